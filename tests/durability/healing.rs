//! Damage from its discovery to its end: found, told, set aside, salvaged around, and healed by a later snapshot.

use std::{fs, path::PathBuf};

use serde_json::{Value, json};

use crate::{
    client::{Client, id_of, noise},
    service::{Data, ORGANIZATION, Service, Setup, TOKEN, wait_for},
    story::{bytes_of, restore},
    vault_folder::{flip, objects, records},
};

const CHUNK: usize = 131_072;
const SIZE: usize = 4 << 20;

/// A service that checks nothing by itself, or everything all the time.
fn start(data: &Data, scrubs: bool) -> Service {
    Setup::on(data)
        .set("SNAPSHOT__BOOTSTRAP__TOKEN", TOKEN)
        .set("SNAPSHOT__BOOTSTRAP__ORGANIZATION", ORGANIZATION)
        .set(
            "SNAPSHOT__MAINTENANCE__SCRUB_INTERVAL_MS",
            if scrubs { "100" } else { "0" },
        )
        .set("SNAPSHOT__MAINTENANCE__SCRUB_SHARE_PERCENT", "100")
        .start()
}

fn stop(service: Service) -> Data {
    let mut service = service;
    let data = service.data().clone();
    service.signal("TERM");
    assert!(service.wait().success());
    data
}

/// Two volumes whose first half is the same and a third that has nothing in common with them, a snapshot of each, and the
/// pack in which the first chunk of the shared half lies.
struct Shelf {
    volumes: [String; 3],
    bytes: [Vec<u8>; 3],
    snapshots: [String; 3],
    shared_pack: PathBuf,
}

fn fill(service: &Service) -> Shelf {
    let client = service.client();
    let shared = noise(SIZE / 2, 1);
    let bytes = [
        [shared.clone(), noise(SIZE / 2, 2)].concat(),
        [shared, noise(SIZE / 2, 3)].concat(),
        noise(SIZE, 4),
    ];
    let take = |bytes: &Vec<u8>| {
        let volume = client.make_volume_of(bytes);
        let snapshot = id_of(&client.make_snapshot(&volume, "taken"));
        (volume, snapshot)
    };
    let first = take(&bytes[0]);
    let packs = objects(&service.data().path(), "packs");
    let [second, third] = [take(&bytes[1]), take(&bytes[2])];
    Shelf {
        shared_pack: packs.first().unwrap().clone(),
        volumes: [first.0, second.0, third.0],
        snapshots: [first.1, second.1, third.1],
        bytes,
    }
}

/// Damages the chunk at the beginning of the first two volumes. With one thread per core, chunks lie in any order.
fn damage(shelf: &Shelf, client: &Client) -> usize {
    let record = records(&shelf.shared_pack)
        .into_iter()
        .find(|record| !record.is_page)
        .unwrap();
    flip(&shelf.shared_pack, record.offset + record.length / 2);
    let lost: Vec<usize> = (0..SIZE / CHUNK)
        .filter(|chunk| !reads(client, &shelf.snapshots[0], *chunk))
        .collect();
    let [chunk] = lost[..] else {
        panic!("one chunk is damaged: {lost:?}")
    };
    assert!(chunk < SIZE / CHUNK / 2, "it lies in the shared half");
    chunk
}

fn reads(client: &Client, snapshot: &str, chunk: usize) -> bool {
    let range = format!("bytes={}-{}", chunk * CHUNK, (chunk + 1) * CHUNK - 1);
    let path = format!("/snapshots/{snapshot}/data");
    client.call("GET", &path, &[("Range", &range)], b"").status == 206
}

fn health(client: &Client, snapshot: &str) -> Value {
    client.get(&format!("/snapshots/{snapshot}")).expect(200).json()["snapshot"].clone()
}

fn healths(client: &Client, shelf: &Shelf) -> [String; 3] {
    shelf
        .snapshots
        .clone()
        .map(|id| health(client, &id)["health"].as_str().unwrap().to_owned())
}

fn verify(data: &Data, more: &[&str]) -> (i32, Value) {
    let setup = Setup::on(data).arg("vault").arg("verify").arg("--output").arg("json");
    let output = more.iter().fold(setup, |setup, argument| setup.arg(*argument)).run();
    let told = serde_json::from_slice::<Value>(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"));
    (output.status.code().unwrap(), told["verification"].clone())
}

fn salvage(client: &Client, snapshot: &str) -> Value {
    let body = json!({"name": "salvaged", "organization": ORGANIZATION, "base_snapshot": snapshot});
    let id = id_of(&client.post("/volumes?salvage=true", &body).expect(201).json()["volume"]);
    client.wait_for_state("volume", &id, "available")
}

#[test]
fn a_damaged_chunk_is_told_of_those_who_need_it_and_healed_by_who_has_it() {
    let service = start(&Data::new(), false);
    let client = service.client();
    let shelf = fill(&service);
    assert_eq!(healths(&client, &shelf), ["unverified"; 3]);
    let (code, _) = verify(service.data(), &[]);
    assert_eq!((code, healths(&client, &shelf)), (0, ["ok"; 3].map(str::to_owned)));
    let before = health(&client, &shelf.snapshots[2]);

    let chunk = damage(&shelf, &client);
    assert_eq!(
        healths(&client, &shelf),
        ["damaged", "ok", "ok"],
        "the reader's is known to be damaged"
    );
    let (code, told) = verify(service.data(), &[]);
    assert_eq!(
        (code, healths(&client, &shelf)),
        (1, ["damaged", "damaged", "ok"].map(str::to_owned))
    );
    let lost: Vec<_> = told["damage"][0]["lost"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| &it["snapshot"])
        .collect();
    assert!(lost.len() == 2 && !lost.contains(&&json!(shelf.snapshots[2])), "{told}");
    let after = health(&client, &shelf.snapshots[2]);
    assert!(after["verified_at"].as_str() > before["verified_at"].as_str());
    assert_eq!(after["modification_date"], before["modification_date"]);

    let volume = restore(&client, &shelf.snapshots[1]);
    let failed = client.wait_for_state("volume", &volume, "error");
    let range = json!({"first": chunk * CHUNK, "last": (chunk + 1) * CHUNK - 1});
    let reason = failed["error_reason"].as_str().unwrap();
    assert!(
        reason.contains(&format!("{} to {}", range["first"], range["last"])),
        "{reason}"
    );
    let salvaged = salvage(&client, &shelf.snapshots[1]);
    let losses = json!({"damaged_bytes": CHUNK, "damaged_ranges": [range], "more_ranges": false});
    assert_eq!(salvaged["salvage"], losses);
    let mut expected = shelf.bytes[1].clone();
    expected[chunk * CHUNK..(chunk + 1) * CHUNK].fill(0);
    assert!(bytes_of(&client, "volume", &id_of(&salvaged)) == expected);
    let copy = id_of(&client.make_snapshot(&id_of(&salvaged), "of the salvaged"));
    assert!(bytes_of(&client, "snapshot", &copy) == expected);

    // What is set aside is in the database: a new index does not bring it back.
    let data = stop(service);
    fs::remove_dir_all(data.path().join("index")).unwrap();
    let service = start(&data, false);
    let client = service.client();
    assert!(!reads(&client, &shelf.snapshots[0], chunk));
    let healed = id_of(&client.make_snapshot(&shelf.volumes[1], "made after the damage"));
    assert!(bytes_of(&client, "snapshot", &healed) == shelf.bytes[1]);
    let service = service.restart();
    let client = service.client();

    for number in [0, 1] {
        let volume = restore(&client, &shelf.snapshots[number]);
        client.wait_for_state("volume", &volume, "available");
        assert!(bytes_of(&client, "volume", &volume) == shelf.bytes[number]);
    }
    assert_eq!(
        healths(&client, &shelf),
        ["damaged", "damaged", "ok"],
        "until the next check"
    );
    assert_eq!(verify(service.data(), &["--snapshot", &shelf.snapshots[0]]).0, 0);
    assert_eq!(healths(&client, &shelf), ["ok", "damaged", "ok"]);
    let (code, told) = verify(service.data(), &["--share", "100%"]);
    assert_eq!((code, &told["snapshots"]), (0, &json!(5)), "{told}");
    assert_eq!(healths(&client, &shelf), ["ok"; 3]);
    assert_eq!(
        client.get(&format!("/volumes/{}", id_of(&salvaged))).json()["volume"]["salvage"],
        losses
    );
    // The bad bytes still lie in their pack, of which the whole vault's check says so.
    let whole = Setup::on(service.data()).arg("vault").arg("verify").run();
    let told = String::from_utf8(whole.stdout).unwrap();
    assert!(told.contains("nothing is lost by it"), "{told}");
    assert!(!told.contains("lost of snapshot"), "{told}");
}

#[test]
fn the_scrub_finds_damage_by_itself_and_sees_it_healed() {
    let service = start(&Data::new(), true);
    let client = service.client();
    let shelf = fill(&service);
    let until = |expected: [&str; 3]| {
        wait_for(&format!("{expected:?}"), || {
            (healths(&client, &shelf) == expected).then_some(())
        });
    };
    until(["ok"; 3]);

    let record = records(&shelf.shared_pack)
        .into_iter()
        .find(|record| !record.is_page)
        .unwrap();
    flip(&shelf.shared_pack, record.offset + record.length / 2);
    until(["damaged", "damaged", "ok"]);
    let log = service.log();
    assert!(
        log.contains(&shelf.snapshots[0]) && log.contains(&shelf.snapshots[1]),
        "{log}"
    );
    client.make_snapshot(&shelf.volumes[0], "made after the damage");
    until(["ok"; 3]);

    for number in [0, 1] {
        let volume = restore(&client, &shelf.snapshots[number]);
        client.wait_for_state("volume", &volume, "available");
        assert!(bytes_of(&client, "volume", &volume) == shelf.bytes[number]);
    }
    stop(service);
}

#[test]
fn a_share_is_what_was_checked_longest_ago_and_needs_a_servers_database() {
    let service = start(&Data::new(), false);
    let client = service.client();
    let shelf = fill(&service);
    let data = service.data();

    let (_, told) = verify(data, &["--share", "1%"]);
    let first = healths(&client, &shelf).iter().filter(|health| *health == "ok").count();
    let more: Vec<_> = (0..2)
        .map(|_| verify(data, &["--share", "1%"]).1["snapshots"].clone())
        .collect();

    assert_eq!((&told["snapshots"], first), (&json!(1), 1));
    assert_eq!(
        (more, healths(&client, &shelf)),
        (vec![json!(1), json!(1)], ["ok"; 3].map(str::to_owned))
    );
    let before = shelf
        .snapshots
        .clone()
        .map(|id| health(&client, &id)["verified_at"].clone());
    verify(data, &["--share", "1%"]);
    let after = shelf
        .snapshots
        .clone()
        .map(|id| health(&client, &id)["verified_at"].clone());
    let oldest = (0..3).min_by_key(|number| before[*number].to_string()).unwrap();
    assert_eq!(
        (0..3)
            .filter(|number| before[*number] != after[*number])
            .collect::<Vec<_>>(),
        [oldest]
    );

    // A copy of the vault is another vault: what is found there is not true of this one.
    flip(&shelf.shared_pack, 1_000);
    fs::remove_file(data.path().join("instance")).unwrap();
    assert_eq!(verify(data, &[]).0, 1);
    assert_eq!(healths(&client, &shelf), ["ok"; 3]);
    let refused = Setup::on(data)
        .arg("vault")
        .arg("verify")
        .arg("--share")
        .arg("5%")
        .run();
    assert!(
        String::from_utf8(refused.stderr)
            .unwrap()
            .contains("no folder of a server")
    );
}

#[test]
fn level_1_says_nothing_of_snapshots_but_sets_damage_aside() {
    let service = start(&Data::new(), false);
    let client = service.client();
    let shelf = fill(&service);
    let record = records(&shelf.shared_pack)
        .into_iter()
        .find(|record| !record.is_page)
        .unwrap();
    flip(&shelf.shared_pack, record.offset + record.length / 2);

    let (code, told) = verify(service.data(), &["--level", "1"]);
    let known = healths(&client, &shelf);
    client.make_snapshot(&shelf.volumes[0], "made after the damage");

    assert_eq!((code, &told["kept"]), (1, &json!(false)));
    assert_eq!(known, ["unverified"; 3]);
    assert!(
        bytes_of(&client, "snapshot", &shelf.snapshots[1]) == shelf.bytes[1],
        "it is healed"
    );
}
