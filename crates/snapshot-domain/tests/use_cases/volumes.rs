//! Making, filling, listing, changing, deleting and reading volumes.

use std::path::PathBuf;

use snapshot_domain::{
    Progress, Resource, RestoreMode, RestoreSource, Right, SnapshotChanges, VolumeChanges, VolumeId, VolumeLocation,
    VolumeState, Work,
    ports::{Slice, VolumeBytes, VolumeQuery, VolumeRepository},
    testing::{SequentialIds, a_caller_of, a_request, a_volume, moment, name, size},
    use_case::{Begun, RegisterVolume},
};

use crate::story::{Story, assert_conflict, assert_not_allowed, assert_not_found, new_restore, new_volume};

#[test]
fn a_new_volume_is_there_at_once_and_reads_as_zeros() {
    let story = Story::new();

    let volume = story.volume();

    assert_eq!(story.stored_volume(&volume), volume);
    assert_eq!(volume.state(), &VolumeState::Available { copies: 0 });
    assert_eq!(story.read(&volume, 4_096), vec![0; 4_096]);
    assert_eq!(story.services.store.all_tasks(), []);
}

#[test]
fn a_volume_for_somebody_elses_organization_is_refused_and_leaves_no_bytes() {
    let story = Story::new();

    let created = story.services.volumes.create(&story.owner, new_volume(&story.stranger));

    assert_not_allowed(created);
    assert!(
        !story
            .services
            .volume_bytes
            .contains(VolumeId::new(SequentialIds::nth_id(1)))
    );
}

#[test]
fn a_restored_volume_waits_to_be_filled_and_has_the_snapshots_size() {
    let story = Story::new();
    let snapshot = story.available(&story.volume());
    let request = a_request();
    let command = new_restore(&story.owner, &snapshot);

    let Begun { item: volume, task } = story.services.volumes.restore(&story.owner, command, request).unwrap();

    assert_eq!(task, story.only_task());
    assert_eq!(volume.state(), &VolumeState::Fetching);
    assert_eq!(
        (volume.size(), volume.base_snapshot()),
        (snapshot.size(), Some(snapshot.id()))
    );
    assert_eq!(story.stored_volume(&volume), volume);
    assert_eq!(
        task.work(),
        &Work::Restore {
            volume: volume.id(),
            source: RestoreSource {
                snapshot: snapshot.id(),
                domain: snapshot.domain(),
            },
            mode: RestoreMode::Whole,
        }
    );
    assert_eq!((task.request(), task.progress()), (request, Progress::none_of(4_096)));
}

#[test]
fn a_restore_for_somebody_elses_organization_is_refused_before_anything_is_looked_for() {
    let story = Story::new();
    let snapshot = story.available(&story.volume());
    let command = new_restore(&story.owner, &snapshot);

    let restored = story.services.volumes.restore(&story.stranger, command, a_request());

    assert_not_allowed(restored);
}

#[test]
fn somebody_elses_snapshot_can_not_be_restored() {
    let story = Story::new();
    let snapshot = story.available(&story.volume());
    let command = new_restore(&story.stranger, &snapshot);

    let restored = story.services.volumes.restore(&story.stranger, command, a_request());

    assert_not_found(restored, Resource::Snapshot, snapshot.id().as_uuid());
}

#[test]
fn a_snapshot_that_is_not_whole_can_not_be_restored() {
    let story = Story::new();
    let volume = story.volume();
    let copying = story.copying(&volume);
    let too_early = new_restore(&story.owner, &copying);
    let early = story
        .services
        .volumes
        .restore(&story.owner, too_early.clone(), a_request());
    let task = story.claim();
    story
        .services
        .worker()
        .fail_capture(&task, copying.id(), "it broke")
        .unwrap();

    let failed = story.services.volumes.restore(&story.owner, too_early, a_request());

    assert_conflict(early, Resource::Snapshot, copying.id().as_uuid(), "snapshotting");
    assert_conflict(failed, Resource::Snapshot, copying.id().as_uuid(), "error");
    assert_eq!(story.services.store.all_volumes().len(), 1);
}

#[test]
fn a_deleted_snapshot_can_not_be_restored() {
    let story = Story::new();
    let snapshot = story.available(&story.volume());
    story
        .services
        .snapshots
        .delete(&story.owner, snapshot.id(), a_request())
        .unwrap();
    let command = new_restore(&story.owner, &snapshot);

    let restored = story.services.volumes.restore(&story.owner, command, a_request());

    assert_not_found(restored, Resource::Snapshot, snapshot.id().as_uuid());
}

#[test]
fn a_restore_that_began_goes_on_when_its_snapshot_is_deleted() {
    let story = Story::new();
    let snapshot = story.available(&story.volume());
    let volume = story.restoring(&snapshot);

    story
        .services
        .snapshots
        .delete(&story.owner, snapshot.id(), a_request())
        .unwrap();

    let worker = story.services.worker();
    let restore = worker.claim().unwrap().unwrap();
    let while_it_runs = worker.claim().unwrap();
    worker.complete_restore(&restore.lease(), volume.id()).unwrap();
    let afterwards = worker.claim().unwrap().unwrap();
    assert_eq!(while_it_runs, None);
    assert_eq!(
        story.stored_volume(&volume).state(),
        &VolumeState::Available { copies: 0 }
    );
    assert_eq!(afterwards.work().kind(), "forget_snapshot");
}

#[test]
fn a_transferred_snapshot_is_restored_with_the_key_of_its_domain() {
    let story = Story::new();
    let (giver, receiver) = (story.owner.organizations[0], story.stranger.organizations[0]);
    let snapshot = story.available(&story.volume());
    let changes = SnapshotChanges {
        organization: Some(receiver),
        ..SnapshotChanges::default()
    };
    let both = a_caller_of(&[giver, receiver]);
    story.services.snapshots.update(&both, snapshot.id(), &changes).unwrap();
    let command = new_restore(&story.stranger, &snapshot);

    story
        .services
        .volumes
        .restore(&story.stranger, command, a_request())
        .unwrap();

    let task = story.only_task();
    assert!(matches!(task.work(), Work::Restore { source, .. } if source.domain == giver));
    assert_eq!(task.organization(), receiver);
}

#[test]
fn a_stranger_learns_nothing_of_a_volume_by_any_call() {
    let story = Story::new();
    let theirs = story.volume().id();
    let nowhere = VolumeId::new(SequentialIds::nth_id(999));
    let (volumes, stranger) = (&story.services.volumes, &story.stranger);
    let renamed = VolumeChanges {
        name: Some(name("mine now")),
        tags: None,
    };
    let before = story.services.store.all_volumes();

    for id in [theirs, nowhere] {
        let wanted = id.as_uuid();
        assert_not_found(volumes.get(stranger, id), Resource::Volume, wanted);
        assert_not_found(volumes.open(stranger, id), Resource::Volume, wanted);
        assert_not_found(volumes.update(stranger, id, &renamed), Resource::Volume, wanted);
        assert_not_found(volumes.delete(stranger, id, a_request()), Resource::Volume, wanted);
        assert_not_found(volumes.begin_write(stranger, id), Resource::Volume, wanted);
    }
    let query = VolumeQuery::all(stranger.may(Right::Read).unwrap().scope());
    assert_eq!(volumes.list(&query, Slice::first(10)).unwrap(), []);
    assert_eq!(volumes.count(&query).unwrap(), 0);
    assert_eq!(story.services.store.all_volumes(), before);
}

#[test]
fn a_volume_can_be_renamed_in_every_state() {
    let story = Story::new();
    let snapshotted = story.volume();
    story.copying(&snapshotted);
    let mut volumes = vec![story.volume(), snapshotted];
    for state in [
        VolumeState::Saving,
        VolumeState::Fetching,
        VolumeState::Error {
            reason: "it broke".to_owned(),
        },
    ] {
        let volume = a_volume(story.owner.organizations[0]).in_state(state).build();
        VolumeRepository::insert(&story.services.store, &volume, None).unwrap();
        volumes.push(volume);
    }
    story.services.clock.advance_millis(5);
    let renamed = VolumeChanges {
        name: Some(name("renamed")),
        tags: None,
    };

    for volume in volumes {
        let before = story.stored_volume(&volume);
        let updated = story
            .services
            .volumes
            .update(&story.owner, volume.id(), &renamed)
            .unwrap()
            .item;

        assert_eq!(
            (updated.name(), updated.modified_at()),
            (&name("renamed"), moment(5_000))
        );
        assert_eq!((updated.state(), updated.tags()), (before.state(), before.tags()));
        assert_eq!(story.stored_volume(&volume), updated);
    }
}

#[test]
fn renaming_a_volume_leaves_the_names_that_its_snapshots_remember() {
    let story = Story::new();
    let volume = story.volume();
    let snapshot = story.available(&volume);
    let renamed = VolumeChanges {
        name: Some(name("renamed")),
        tags: None,
    };

    story
        .services
        .volumes
        .update(&story.owner, volume.id(), &renamed)
        .unwrap();

    assert_eq!(story.stored_snapshot(&snapshot).base_volume().name, name("vol-0-1"));
}

#[test]
fn a_deleted_volume_leaves_its_snapshots_and_one_task_that_removes_its_bytes() {
    let story = Story::new();
    let volume = story.volume();
    let snapshot = story.available(&volume);

    story
        .services
        .volumes
        .delete(&story.owner, volume.id(), a_request())
        .unwrap();

    let again = story.services.volumes.delete(&story.owner, volume.id(), a_request());
    assert_eq!(story.only_task().work(), &Work::EraseVolume { volume: volume.id() });
    assert_eq!(story.stored_snapshot(&snapshot), snapshot);
    assert_not_found(again, Resource::Volume, volume.id().as_uuid());
}

#[test]
fn a_volume_that_somebody_works_on_is_not_deleted() {
    let story = Story::new();
    let copied = story.volume();
    let restoring = story.restoring(&story.available(&story.volume()));
    story.copying(&copied);
    let written = story.volume();
    let _write = story.services.volumes.begin_write(&story.owner, written.id()).unwrap();

    for (volume, state) in [(copied, "snapshotting"), (restoring, "fetching"), (written, "saving")] {
        let deleted = story.services.volumes.delete(&story.owner, volume.id(), a_request());

        assert_conflict(deleted, Resource::Volume, volume.id().as_uuid(), state);
    }
}

#[test]
fn a_volume_that_could_not_be_filled_can_only_be_renamed_and_deleted() {
    let story = Story::new();
    let volume = story.restoring(&story.available(&story.volume()));
    let task = story.claim();
    story
        .services
        .worker()
        .fail_restore(&task, volume.id(), "it broke")
        .unwrap();
    let id = volume.id();

    let read = story.services.volumes.open(&story.owner, id);
    let write = story.services.volumes.begin_write(&story.owner, id);
    let deleted = story.services.volumes.delete(&story.owner, id, a_request());

    assert_conflict(read, Resource::Volume, id.as_uuid(), "error");
    assert_conflict(write, Resource::Volume, id.as_uuid(), "error");
    assert!(deleted.is_ok());
}

#[test]
fn a_registered_volume_is_copied_and_read_where_it_lies_and_never_written_or_erased() {
    let story = Story::new();
    let command = RegisterVolume {
        name: name("the old server's disk"),
        organization: story.owner.organizations[0],
        size: size(4_096),
        path: PathBuf::from("/dev/vdb"),
    };
    let volume = story.services.volumes.register(command).unwrap();
    story.services.volume_bytes.put(volume.id(), b"on the host");

    let read = story.read(&volume, 12);
    let write = story.services.volumes.begin_write(&story.owner, volume.id());
    story.available(&volume);
    story
        .services
        .volumes
        .delete(&story.owner, volume.id(), a_request())
        .unwrap();

    assert_eq!(
        volume.location(),
        &VolumeLocation::Registered(PathBuf::from("/dev/vdb"))
    );
    assert_eq!(read, b"on the host\0");
    assert_conflict(write, Resource::Volume, volume.id().as_uuid(), "available");
    assert_eq!(story.unfinished_tasks(), []);
    assert!(story.services.volume_bytes.contains(volume.id()));
}

#[test]
fn a_volume_carries_its_progress_only_while_it_is_worked_on() {
    let story = Story::new();
    let source = story.volume();
    let volume = story.restoring(&story.available(&source));
    let get = || story.services.volumes.get(&story.owner, volume.id()).unwrap().progress;
    let listed = || {
        let query = VolumeQuery::all(story.owner.may(Right::Read).unwrap().scope());
        let list = story.services.volumes.list(&query, Slice::first(10)).unwrap();
        list.into_iter().map(|it| it.progress).collect::<Vec<_>>()
    };
    let half = Progress {
        done_bytes: 2_048,
        total_bytes: 4_096,
    };
    let worker = story.services.worker();
    let task = story.claim();

    worker.renew(&task.lease(), half).unwrap();
    assert_eq!((get(), listed()), (Some(half), vec![None, Some(half)]));
    worker.complete_restore(&task.lease(), volume.id()).unwrap();
    assert_eq!((get(), listed()), (None, vec![None, None]));
}

#[test]
fn whoever_reads_a_volume_keeps_the_bytes_while_they_are_replaced() {
    let story = Story::new();
    let volume = story.volume();
    story.services.volume_bytes.put(volume.id(), b"before");
    let (_, mut open) = story.services.volumes.open(&story.owner, volume.id()).unwrap();

    let mut write = story.services.volumes.begin_write(&story.owner, volume.id()).unwrap();
    write.write(b"after!").unwrap();
    write.commit().unwrap();

    let now = story.services.volume_bytes.open(&volume).unwrap();
    let mut read = [0; 6];
    open.bytes.read_at(0, &mut read).unwrap();
    assert_eq!(&read, b"before");
    assert_eq!(story.read(&volume, 6), b"after!");
    assert_ne!(open.version, now.version);
}
