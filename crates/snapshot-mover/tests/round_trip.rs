//! What goes into the vault comes out of it, bit for bit.

#![expect(clippy::unwrap_used, reason = "what prepares a test fails like the test itself")]

mod house;

use std::{
    fs::{self, File, OpenOptions},
    os::unix::fs::{FileExt, MetadataExt},
    process::Command,
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use house::{House, files_below, name, noise};
use snapshot_domain::{
    SnapshotChanges, SnapshotState, SnapshotStateName, Task, VolumeState,
    ports::{ReadAt, SnapshotRepository},
    testing::InMemoryStore,
};

const MIB: usize = 1 << 20;

#[test]
fn a_snapshot_outlives_its_volume_and_gives_every_byte_back() {
    let house = House::new();
    let open = house.start();
    let mut bytes = noise(1, 70 * MIB + 512);
    bytes[3 * MIB..40 * MIB].fill(0);
    let volume = open.volume_of(&bytes);

    let snapshot = open.snapshot(volume);
    open.write(volume, &noise(2, 5 * MIB));
    open.volumes.delete(&open.caller, volume, house::request()).unwrap();
    let restored = open.restore(snapshot.id());

    assert_eq!(*restored.state(), VolumeState::Available { copies: 0 });
    assert!(open.bytes_of(restored.id()) == bytes);
    open.stop();
}

#[test]
fn a_second_snapshot_of_the_same_bytes_stores_nothing_but_its_manifest() {
    let house = House::new();
    let open = house.start();
    let volume = open.volume_of(&noise(1, 40 * MIB));
    open.snapshot(volume);
    let packs = house.objects("packs");

    let second = open.snapshot(volume);

    assert_eq!(house.objects("packs"), packs);
    let SnapshotState::Available(content) = second.state() else {
        panic!("{:?}", second.state())
    };
    assert!(
        content.stored_bytes < 4096,
        "{} bytes were stored",
        content.stored_bytes
    );
    open.stop();
}

#[test]
fn equal_bytes_have_equal_digests_however_they_came_to_be() {
    let house = House::new();
    let open = house.start();
    let mut bytes = noise(1, 2 * MIB);
    bytes.extend(vec![0; 2 * MIB]);
    let written_whole = open.volume_of(&bytes);
    let with_a_hole = open.empty_volume(4 * MIB as u64);
    open.write(with_a_hole, &bytes[..2 * MIB]);

    let digests = [written_whole, with_a_hole].map(|volume| match open.snapshot(volume).state() {
        SnapshotState::Available(content) => content.digest.clone(),
        other => panic!("{other:?}"),
    });

    assert_eq!(digests[0], digests[1]);
    let (digest, _) =
        snapshot_vault::digest_reader(&*bytes, open.vault.chunk_size()).expect("a slice can always be read");
    assert_eq!(digest.to_string(), digests[0].as_str());
    open.stop();
}

#[test]
fn a_restored_image_is_as_sparse_as_its_source() {
    let house = House::new();
    let open = house.start();
    let image = house.path("sparse.raw");
    let file = File::create(&image).unwrap();
    file.set_len(600 * MIB as u64).unwrap();
    for place in 0..40_u64 {
        file.write_all_at(&noise(place, 4096), place * 13 * MIB as u64 + 40 * 4096)
            .unwrap();
    }
    file.sync_all().unwrap();
    let volume = open.register(&image);

    let snapshot = open.snapshot(volume);
    let restored = open.restore(snapshot.id());

    let restored = house.path(&format!("volumes/{}.raw", restored.id()));
    assert!(fs::metadata(&restored).unwrap().blocks() <= fs::metadata(&image).unwrap().blocks());
    assert!(fs::read(restored).unwrap() == fs::read(image).unwrap());
    open.stop();
}

#[test]
fn an_image_that_is_written_to_during_the_copy_makes_no_snapshot() {
    let house = House::new();
    let open = house.start();
    let image = house.path("busy.raw");
    fs::write(&image, noise(1, 64 * MIB)).unwrap();
    let volume = open.register(&image);
    let done = AtomicBool::new(false);

    let snapshot = thread::scope(|scope| {
        scope.spawn(|| {
            let file = OpenOptions::new().write(true).open(&image).unwrap();
            while !done.load(Ordering::Relaxed) {
                file.write_all_at(&[1], 63 * MIB as u64).unwrap();
            }
        });
        let snapshot = open.settled_snapshot(open.begin_snapshot(volume));
        done.store(true, Ordering::Relaxed);
        snapshot
    });

    let SnapshotState::Error { reason } = snapshot.state() else {
        panic!("{:?}", snapshot.state())
    };
    assert!(
        reason.starts_with("The volume was written to while it was copied"),
        "{reason}"
    );
    assert!(reason.contains(&house::request().to_string()), "{reason}");
    assert!(house.objects("manifests").is_empty());
    assert_eq!(open.snapshot(volume).state().name(), SnapshotStateName::Available);
    open.stop();
}

#[test]
fn deleting_a_snapshot_cancels_its_copy_and_leaves_no_manifest() {
    let house = House::new();
    let mut open = house.open();
    let volume = open.volume_of(&noise(1, 30 * MIB));
    let cancelled_before_it_began = open.begin_snapshot(volume);
    open.snapshots
        .delete(&open.caller, cancelled_before_it_began, house::request())
        .unwrap();
    let kept = open.begin_snapshot(volume);
    let cancelled_at_some_moment = open.begin_snapshot(volume);

    open.run();
    open.snapshots
        .delete(&open.caller, cancelled_at_some_moment, house::request())
        .unwrap();
    open.settled_snapshot(kept);
    house::eventually("every task ends", || {
        open.wake();
        house
            .store
            .all_tasks()
            .iter()
            .all(|task| task.state().name().has_ended())
            .then_some(())
    });

    assert_eq!(house.objects("manifests").len(), 1);
    open.write(volume, &[7; 512]);
    open.stop();
}

#[test]
fn a_deleted_snapshot_loses_its_manifest_but_not_before_restores_from_it_have_ended() {
    let house = House::new();
    let mut open = house.open();
    let bytes = noise(1, 10 * MIB);
    open.run();
    let snapshot = open.snapshot(open.volume_of(&bytes)).id();
    open.stop();

    let mut open = house.open();
    let command = snapshot_domain::use_case::RestoreVolume {
        name: name("restored"),
        organization: house.organization,
        snapshot,
        mode: snapshot_domain::RestoreMode::Whole,
        volume_type: snapshot_domain::VolumeType::LocalSsd,
        tags: snapshot_domain::Tags::default(),
    };
    let volume = open
        .volumes
        .restore(&open.caller, command, house::request())
        .unwrap()
        .item
        .id();
    open.snapshots.delete(&open.caller, snapshot, house::request()).unwrap();
    open.run();

    let volume = open.settled_volume(volume);
    assert_eq!(*volume.state(), VolumeState::Available { copies: 0 });
    assert!(open.bytes_of(volume.id()) == bytes);
    house::eventually("the manifest is removed", || {
        open.wake();
        house.objects("manifests").is_empty().then_some(())
    });
    open.stop();
}

#[test]
fn a_snapshot_renamed_while_it_is_copied_keeps_its_new_name() {
    let house = House::new();
    let mut open = house.open();
    let volume = open.volume_of(&noise(1, 30 * MIB));
    let snapshot = open.begin_snapshot(volume);

    open.run();
    let changes = SnapshotChanges {
        name: Some(name("renamed")),
        ..SnapshotChanges::default()
    };
    open.snapshots.update(&open.caller, snapshot, &changes).unwrap();

    let snapshot = open.settled_snapshot(snapshot);
    assert_eq!(snapshot.state().name(), SnapshotStateName::Available);
    assert_eq!(snapshot.name(), &name("renamed"));
    open.stop();
}

#[test]
fn what_a_stopped_service_was_doing_goes_on_at_the_next_start() {
    let house = House::new();
    let mut open = house.open();
    let bytes = noise(1, 60 * MIB);
    let volume = open.volume_of(&bytes);
    let snapshots: Vec<_> = (0..3).map(|_| open.begin_snapshot(volume)).collect();

    // Stopped at once: whatever was begun is put back.
    open.run();
    open.stop();
    let open = house.start();

    for snapshot in snapshots {
        let snapshot = open.settled_snapshot(snapshot);
        assert_eq!(
            snapshot.state().name(),
            SnapshotStateName::Available,
            "{:?}",
            snapshot.state()
        );
        assert!(open.bytes_of(open.restore(snapshot.id()).id()) == bytes);
    }
    open.stop();
}

#[test]
fn a_copy_whose_row_was_not_told_is_taken_as_it_is() {
    let house = House::new();
    let mut open = house.open();
    let volume = open.volume_of(&noise(1, 3 * MIB));
    let snapshot = open.begin_snapshot(volume);
    let domain = open
        .vault
        .domain(snapshot_vault::DomainId::new(house.organization.as_uuid()))
        .unwrap();
    let manifest = snapshot_vault::ManifestId::new(snapshot.as_uuid());
    let session = domain.begin_copy(manifest, 3 * MIB as u64, None).unwrap();
    let mut worker = session.worker().unwrap();
    worker.begin_page(0).unwrap();
    worker.push(&noise(1, 3 * MIB)).unwrap();
    worker.finish_page().unwrap();
    worker.finish().unwrap();
    let committed = session.commit(b"{}").unwrap();

    open.run();

    let snapshot = open.settled_snapshot(snapshot);
    let SnapshotState::Available(content) = snapshot.state() else {
        panic!("{:?}", snapshot.state())
    };
    assert_eq!(content.digest.as_str(), committed.digest.to_string());
    open.stop();
}

#[test]
fn a_damaged_pack_fails_the_restore_with_the_range_that_is_lost_and_nothing_else() {
    let house = House::new();
    let open = house.start();
    let damaged = open.snapshot(open.volume_of(&noise(1, 8 * MIB)));
    let packs_of_the_first = house.objects("packs");
    let bytes = noise(2, 8 * MIB);
    let whole = open.snapshot(open.volume_of(&bytes));
    for pack in packs_of_the_first {
        flip_a_byte(&pack, 200_000);
    }

    let refused = open.restore(damaged.id());
    let restored = open.restore(whole.id());

    let VolumeState::Error { reason } = refused.state() else {
        panic!("{:?}", refused.state())
    };
    assert!(reason.starts_with("The bytes "), "{reason}");
    assert!(reason.contains(" are damaged in the vault"), "{reason}");
    assert!(!house.path(&format!("volumes/{}.raw", refused.id())).exists());
    assert!(files_below(&house.path("volumes/staging")).is_empty());
    assert!(open.bytes_of(restored.id()) == bytes);
    let (_, mut reader) = open.snapshots.open(&open.caller, damaged.id()).unwrap();
    assert!(matches!(
        read_all(&mut *reader, 8 * MIB),
        Err(snapshot_domain::Error::Damaged { .. })
    ));
    open.stop();
}

#[test]
fn a_volume_whose_latest_manifest_the_disk_does_not_give_back_is_copied_without_it() {
    let house = House::new();
    let open = house.start();
    let bytes = noise(1, 2 * MIB);
    let volume = open.volume_of(&bytes);
    open.snapshot(volume);
    // A folder can't be read, which is no damage of a file.
    let manifest = house.objects("manifests").remove(0);
    fs::remove_file(&manifest).unwrap();
    fs::create_dir(&manifest).unwrap();

    let snapshot = open.snapshot(volume);

    assert!(open.bytes_of(open.restore(snapshot.id()).id()) == bytes);
    open.stop();
}

/// Database and packs were lost, so that nothing but the snapshot's damage tells of them, and what was salvaged of it has been
/// made whole by its owner since.
#[test]
fn a_copy_counts_on_nothing_that_its_damaged_parent_has_lost() {
    let mut house = House::new();
    let open = house.start();
    let shared = noise(1, 8 * MIB);
    let bytes = [&shared[..], &noise(2, 2 * MIB)].concat();
    open.snapshot(open.volume_of(&shared));
    let lost = house.objects("packs");
    let recovered = open.snapshot(open.volume_of(&bytes));
    open.stop();
    for pack in lost {
        fs::remove_file(pack).unwrap();
    }
    house.store = InMemoryStore::default();
    house.store.adopt(recovered.readable().unwrap()).unwrap();

    let open = house.start();
    let salvaged = open.salvage(recovered.id());
    assert!(open.bytes_of(salvaged.id()) != bytes);
    open.write(salvaged.id(), &bytes);
    let snapshot = open.snapshot(salvaged.id());
    let restored = open.restore(snapshot.id());

    assert_eq!(*restored.state(), VolumeState::Available { copies: 0 });
    assert!(open.bytes_of(restored.id()) == bytes);
    open.stop();
}

#[test]
fn a_write_that_breaks_off_leaves_the_bytes_from_before() {
    let house = House::new();
    let open = house.start();
    let bytes = noise(1, 6 * MIB);
    let volume = open.volume_of(&bytes);

    let mut write = open.volumes.begin_write(&open.caller, volume).unwrap();
    write.write(&noise(2, 5 * MIB)).unwrap();
    write.abandon().unwrap();

    assert!(open.bytes_of(volume) == bytes);
    assert!(files_below(&house.path("volumes/staging")).is_empty());
    open.stop();
}

#[test]
fn a_shorter_write_leaves_zeros_behind_it() {
    let house = House::new();
    let open = house.start();
    let volume = open.volume_of(&noise(1, 6 * MIB));

    open.write(volume, &[5; 1000]);

    let mut expected = vec![0; 6 * MIB];
    expected[..1000].fill(5);
    assert!(open.bytes_of(volume) == expected);
    open.stop();
}

#[test]
fn a_block_device_is_copied_and_noticed_when_it_is_written_to() {
    let house = House::new();
    let image = house.path("device.raw");
    let bytes = noise(1, 20 * MIB);
    fs::write(&image, &bytes).unwrap();
    let Some(device) = LoopDevice::attach(&image) else {
        println!("SKIPPED: no loop device can be attached here; that needs root");
        return;
    };
    let open = house.start();
    let volume = open.register(&device.0);

    let snapshot = open.snapshot(volume);
    let restored = open.restore(snapshot.id());

    assert!(open.bytes_of(restored.id()) == bytes);
    let done = AtomicBool::new(false);
    let disturbed = thread::scope(|scope| {
        scope.spawn(|| {
            let file = OpenOptions::new().write(true).open(&device.0).unwrap();
            while !done.load(Ordering::Relaxed) {
                file.write_all_at(&[1; 4096], 19 * MIB as u64).unwrap();
                file.sync_data().unwrap();
            }
        });
        let snapshot = open.settled_snapshot(open.begin_snapshot(volume));
        done.store(true, Ordering::Relaxed);
        snapshot
    });
    assert_eq!(
        disturbed.state().name(),
        SnapshotStateName::Error,
        "{:?}",
        disturbed.state()
    );
    let Some(_uncounted) = Uncounted::on(&device) else {
        println!("SKIPPED: the kernel can't be told here not to count writes");
        return open.stop();
    };
    let uncounted = open.settled_snapshot(open.begin_snapshot(volume));
    assert_eq!(
        uncounted.state().name(),
        SnapshotStateName::Error,
        "nobody could tell whether it held still"
    );
    open.stop();
}

/// The kernel does not count what is written to a device.
struct Uncounted(std::path::PathBuf);

impl Uncounted {
    fn on(device: &LoopDevice) -> Option<Self> {
        let name = device.0.file_name()?.to_str()?;
        let switch = std::path::PathBuf::from(format!("/sys/block/{name}/queue/iostats"));
        fs::write(&switch, "0").ok().map(|()| Self(switch))
    }
}

impl Drop for Uncounted {
    fn drop(&mut self) {
        let _ = fs::write(&self.0, "1");
    }
}

struct LoopDevice(std::path::PathBuf);

impl LoopDevice {
    fn attach(image: &std::path::Path) -> Option<Self> {
        let output = Command::new("losetup")
            .args(["--find", "--show"])
            .arg(image)
            .output()
            .ok()?;
        let path = String::from_utf8(output.stdout).ok()?;
        output.status.success().then(|| Self(path.trim().into()))
    }
}

impl Drop for LoopDevice {
    fn drop(&mut self) {
        let _ = Command::new("losetup").arg("--detach").arg(&self.0).status();
    }
}

fn flip_a_byte(path: &std::path::Path, offset: u64) {
    let file = OpenOptions::new().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, offset).unwrap();
    file.write_all_at(&[byte[0] ^ 1], offset).unwrap();
}

fn read_all(reader: &mut dyn ReadAt, len: usize) -> snapshot_domain::Result<Vec<u8>> {
    let mut bytes = vec![0; len];
    reader.read_at(0, &mut bytes)?;
    Ok(bytes)
}

#[test]
fn a_task_that_ends_the_process_again_and_again_is_failed_and_others_go_on() {
    let house = House::new();
    let open = house.open();
    let volume = open.volume_of(&noise(1, MIB));
    let poisonous = open.begin_snapshot(volume);
    for _ in 0..Task::MOST_INTERRUPTIONS {
        house.die_with_a_task();
    }
    let other = open.begin_snapshot(volume);
    drop(open);

    let open = house.start();

    let failed = open.settled_snapshot(poisonous);
    let SnapshotState::Error { reason } = failed.state() else {
        panic!("{:?}", failed.state())
    };
    assert!(reason.starts_with("The service was interrupted 32 times"), "{reason}");
    let other = open.settled_snapshot(other);
    assert_eq!(other.state().name(), SnapshotStateName::Available);
    open.stop();
}

#[test]
fn a_task_that_was_interrupted_often_may_still_succeed() {
    let house = House::new();
    let open = house.open();
    let volume = open.volume_of(&noise(1, MIB));
    let unlucky = open.begin_snapshot(volume);
    for _ in 1..Task::MOST_INTERRUPTIONS {
        house.die_with_a_task();
    }
    drop(open);

    let open = house.start();

    let snapshot = open.settled_snapshot(unlucky);
    assert_eq!(snapshot.state().name(), SnapshotStateName::Available);
    open.stop();
}
