//! Bytes that change while they lie in the vault, and objects that get lost.

use std::{
    fs::{self, OpenOptions},
    ops::Range,
    path::PathBuf,
};

use serde_json::Value;

use crate::{
    client::{Client, id_of, noise},
    service::{Service, Setup},
    story::{bytes_of, restore, start_on},
    vault_folder::{flip, objects, records},
};

const MIB: usize = 1 << 20;
const SIZE: usize = 6 * MIB;

/// A snapshot, what is in it, and the packs that were made for it.
struct Taken {
    id: String,
    bytes: Vec<u8>,
    packs: Vec<PathBuf>,
}

fn take(service: &Service, seed: u64) -> Taken {
    let data = service.data().path();
    let before = objects(&data, "packs");
    let bytes = noise(SIZE, seed);
    let client = service.client();
    let volume = client.make_volume_of(&bytes);
    let id = id_of(&client.make_snapshot(&volume, "taken"));
    let packs = objects(&data, "packs").difference(&before).cloned().collect();
    Taken { id, bytes, packs }
}

fn restore_until(client: &Client, snapshot: &str, end: &str) -> Value {
    let volume = restore(client, snapshot);
    client.wait_for_state("volume", &volume, end)
}

/// The snapshot can't be restored and says which bytes are lost; a read of these says so, too.
#[track_caller]
fn check_lost(client: &Client, taken: &Taken, lost: &Range<usize>) {
    let volume = restore_until(client, &taken.id, "error");
    let reason = volume["error_reason"].as_str().unwrap();
    let told = format!("The bytes {} to {} are damaged in the vault", lost.start, lost.end - 1);
    assert!(reason.starts_with(&told), "{reason}");

    let answer = read(client, taken, lost.start, lost.start + 512).expect(500);
    let told = format!("The bytes {} to {} are damaged", lost.start, lost.end - 1);
    assert_eq!(answer.json()["message"], told);
    for place in [0, SIZE - 512].into_iter().filter(|place| !lost.contains(place)) {
        let answer = read(client, taken, place, place + 512).expect(206);
        assert!(answer.body == taken.bytes[place..place + 512]);
    }
}

#[track_caller]
fn check_whole(client: &Client, taken: &Taken) {
    restore_until(client, &taken.id, "available");
    assert!(bytes_of(client, "snapshot", &taken.id) == taken.bytes);
}

fn read(client: &Client, taken: &Taken, start: usize, end: usize) -> crate::client::Answer {
    let range = format!("bytes={start}-{}", end - 1);
    client.call(
        "GET",
        &format!("/snapshots/{}/data", taken.id),
        &[("Range", &range)],
        b"",
    )
}

#[test]
fn a_flipped_bit_is_told_with_the_range_that_it_costs_and_costs_nothing_else() {
    let service = Service::start();
    let client = service.client();
    let (in_chunk, in_page, in_manifest, whole) = (
        take(&service, 1),
        take(&service, 2),
        take(&service, 3),
        take(&service, 4),
    );
    let chunk = &records(&in_chunk.packs[0])[7];
    flip(&in_chunk.packs[0], chunk.offset + chunk.length / 2);
    let holds_page = |pack: &&PathBuf| records(pack).iter().any(|record| record.is_page);
    let pack = in_page.packs.iter().find(holds_page).unwrap();
    let page = records(pack).into_iter().find(|record| record.is_page).unwrap();
    flip(pack, page.offset + page.length / 2);
    let manifests = objects(&service.data().path(), "manifests");
    let manifest = manifests
        .iter()
        .find(|path| path.to_string_lossy().contains(&in_manifest.id))
        .unwrap();
    flip(manifest, fs::metadata(manifest).unwrap().len() / 2);

    check_lost(&client, &in_chunk, &(7 * 131_072..8 * 131_072));
    check_lost(&client, &in_page, &(0..SIZE));
    let volume = restore_until(&client, &in_manifest.id, "error");
    assert!(
        volume["error_reason"]
            .as_str()
            .unwrap()
            .starts_with("The snapshot can't be read"),
        "{volume}"
    );
    read(&client, &in_manifest, 0, 512).expect(500);
    check_whole(&client, &whole);
}

#[test]
fn a_pack_that_is_cut_off_or_gone_is_told_before_and_after_a_restart() {
    let service = Service::start();
    let (cut, gone, whole) = (take(&service, 1), take(&service, 2), take(&service, 3));
    let file = OpenOptions::new().write(true).open(&cut.packs[0]).unwrap();
    file.set_len(file.metadata().unwrap().len() / 2).unwrap();
    gone.packs.iter().for_each(|pack| fs::remove_file(pack).unwrap());

    check_lost(&service.client(), &gone, &(0..SIZE));
    check_whole(&service.client(), &whole);
    let service = service.restart();
    let client = service.client();

    restore_until(&client, &cut.id, "error");
    check_lost(&client, &gone, &(0..SIZE));
    check_whole(&client, &whole);
    assert!(service.log().contains("ERROR"), "{}", service.log());
}

#[test]
fn a_copy_does_not_rely_on_chunks_of_a_lost_pack() {
    let service = Service::start();
    let bytes = noise(SIZE, 1);
    let volume = service.client().make_volume_of(&bytes);
    service.client().make_snapshot(&volume, "lost");
    for pack in objects(&service.data().path(), "packs") {
        fs::remove_file(pack).unwrap();
    }

    let service = service.restart();
    let client = service.client();
    let id = id_of(&client.make_snapshot(&volume, "made after the loss"));

    let packs = Vec::new();
    check_whole(&client, &Taken { id, bytes, packs });
}

#[test]
fn the_index_is_rebuilt_from_the_packs() {
    let service = Service::start();
    let taken = take(&service, 1);
    let data = service.data().path();

    service.signal("TERM");
    let mut service = service;
    assert!(service.wait().success());
    fs::remove_dir_all(data.join("index")).unwrap();
    let service = start_on(service.data());

    check_whole(&service.client(), &taken);
}

#[test]
fn another_master_key_and_a_missing_one_stop_the_start() {
    let mut service = Service::start();
    take(&service, 1);
    service.signal("TERM");
    assert!(service.wait().success());
    let key = service.data().path().join("keys/master.key");
    let kept = fs::read(&key).unwrap();

    fs::write(&key, "5a".repeat(32)).unwrap();
    let other = Setup::on(service.data()).run();
    fs::remove_file(&key).unwrap();
    let missing = Setup::on(service.data()).run();

    for (output, told) in [(other, "the master key is not the one"), (missing, "is missing")] {
        let log = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{log}");
        assert!(log.contains(told), "{log}");
    }
    assert!(!key.exists(), "a vault must never get a new key");
    fs::write(&key, kept).unwrap();
    Setup::on(service.data()).start();
}
