//! Giving space back, and telling what takes it: `vault collect`, `vault stat`, and the sizes that the API shows.

use std::{collections::BTreeMap, fs, path::PathBuf, process::Output};

use serde_json::Value;

use crate::{
    client::{Client, id_of, noise},
    service::{Data, ORGANIZATION, Service, Setup, TOKEN, wait_for},
    story::{bytes_of, restore},
    vault_folder::{flip, objects},
};

const MIB: usize = 1 << 20;

/// What a record takes beside its bytes, and what index pages and a manifest take, is less than this for a volume here.
const OVERHEAD: u64 = 64 << 10;

/// Starts the service on a folder, without a schedule that would collect by itself.
fn start_on(data: &Data) -> Service {
    unscheduled(data)
        .set("SNAPSHOT__BOOTSTRAP__TOKEN", TOKEN)
        .set("SNAPSHOT__BOOTSTRAP__ORGANIZATION", ORGANIZATION)
        .start()
}

fn unscheduled(data: &Data) -> Setup {
    Setup::on(data).set("SNAPSHOT__MAINTENANCE__COLLECT_INTERVAL_MS", "0")
}

fn stop(service: Service) -> Data {
    let mut service = service;
    let data = service.data().clone();
    service.signal("TERM");
    assert!(service.wait().success());
    data
}

/// Runs a command on a data folder, with or without a server on it.
fn vault(data: &Data, arguments: &[&str]) -> Output {
    let setup = unscheduled(data).arg("vault");
    let setup = arguments.iter().fold(setup, |setup, argument| setup.arg(*argument));
    setup.arg("--output").arg("json").run()
}

#[track_caller]
fn collect(data: &Data, more: &[&str]) -> Value {
    let output = vault(data, &[&["collect"], more].concat());
    assert!(output.status.success(), "{output:?}");
    json_of(&output)["collection"].take()
}

#[track_caller]
pub(crate) fn stat(data: &Data) -> Value {
    let output = vault(data, &["stat"]);
    assert!(output.status.success(), "{output:?}");
    json_of(&output)
}

#[track_caller]
fn json_of(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

fn take(client: &Client, bytes: &[u8]) -> String {
    let volume = client.make_volume_of(bytes);
    id_of(&client.make_snapshot(&volume, "taken"))
}

/// Deletes a snapshot, and waits until its manifest is gone.
fn delete(client: &Client, data: &Data, snapshot: &str) {
    client.delete(&format!("/snapshots/{snapshot}")).expect(204);
    wait_for("the manifest's end", || {
        let manifests = objects(&data.path(), "manifests");
        manifests
            .iter()
            .all(|path| !path.to_string_lossy().contains(snapshot))
            .then_some(())
    });
}

#[track_caller]
fn check_whole(client: &Client, snapshot: &str, bytes: &[u8]) {
    let volume = restore(client, snapshot);
    client.wait_for_state("volume", &volume, "available");
    assert!(bytes_of(client, "volume", &volume) == bytes);
}

fn stored_bytes(data: &Data) -> u64 {
    let size = |path: &PathBuf| path.metadata().unwrap().len();
    let packs: u64 = objects(&data.path(), "packs").iter().map(size).sum();
    packs + objects(&data.path(), "manifests").iter().map(size).sum::<u64>()
}

/// Every file in the vault's folder with its bytes.
fn vault_of(data: &Data) -> BTreeMap<PathBuf, Vec<u8>> {
    let files = objects(&data.path(), "");
    files
        .into_iter()
        .map(|path| (path.clone(), fs::read(path).unwrap()))
        .collect()
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("{value} is no number"))
}

#[test]
fn a_deleted_snapshots_bytes_are_given_back_and_others_stay_whole() {
    let service = start_on(&Data::new());
    let (client, data) = (service.client(), service.data().clone());
    let kept = noise(9 * MIB, 1);
    let kept_id = take(&client, &kept);
    let size = stored_bytes(&data);
    let deleted = take(&client, &noise(12 * MIB, 2));
    delete(&client, &data, &deleted);
    let before = vault_of(&data);

    let rehearsed = collect(&data, &["--dry-run"]);
    let unchanged = vault_of(&data);
    let collected = collect(&data, &[]);
    let again = collect(&data, &[]);

    assert!(unchanged == before, "a dry run changed something");
    assert_eq!(rehearsed["dry_run"], true);
    assert!(number(&rehearsed["freed_bytes"]) >= 12 << 20, "{rehearsed}");
    for key in ["complete", "deleted_packs", "freed_bytes", "packs"] {
        assert_eq!(collected[key], rehearsed[key], "{key}");
    }
    assert_eq!(stored_bytes(&data), size);
    assert_eq!(again["deleted_packs"], 0, "{again}");
    check_whole(&client, &kept_id, &kept);
}

#[test]
fn what_copies_share_is_rewritten_and_kept() {
    let service = start_on(&Data::new());
    let (client, data) = (service.client(), service.data().clone());
    let mut bytes = noise(16 * MIB, 1);
    let volume = client.make_volume_of(&bytes);
    let first = id_of(&client.make_snapshot(&volume, "first"));
    bytes[MIB..].fill(0);
    client.write(&volume, &bytes).expect(200);
    let second = id_of(&client.make_snapshot(&volume, "second"));
    delete(&client, &data, &first);

    let collected = collect(&data, &[]);

    assert!(number(&collected["rewritten_packs"]) > 0, "{collected}");
    assert!(stored_bytes(&data) < (1 << 20) + OVERHEAD, "{}", stored_bytes(&data));
    check_whole(&client, &second, &bytes);
}

#[test]
fn a_collection_without_a_server_does_the_same() {
    let service = start_on(&Data::new());
    let (client, data) = (service.client(), service.data().clone());
    let kept = noise(9 * MIB, 1);
    let kept_id = take(&client, &kept);
    let size = stored_bytes(&data);
    let deleted = take(&client, &noise(12 * MIB, 2));
    delete(&client, &data, &deleted);
    stop(service);
    let before = vault_of(&data);

    let rehearsed = collect(&data, &["--dry-run"]);
    let unchanged = vault_of(&data);
    let collected = collect(&data, &[]);

    assert!(unchanged == before, "a dry run changed something");
    assert_eq!(collected["freed_bytes"], rehearsed["freed_bytes"]);
    assert_eq!(stored_bytes(&data), size);
    let service = start_on(&data);
    check_whole(&service.client(), &kept_id, &kept);
    assert_eq!(stat(&data)["totals"]["snapshots"], 1);
}

#[test]
fn the_schedule_collects_by_itself() {
    let data = Data::new();
    let service = Setup::on(&data)
        .set("SNAPSHOT__MAINTENANCE__COLLECT_INTERVAL_MS", "1000")
        .set("SNAPSHOT__BOOTSTRAP__TOKEN", TOKEN)
        .set("SNAPSHOT__BOOTSTRAP__ORGANIZATION", ORGANIZATION)
        .start();
    let client = service.client();
    let deleted = take(&client, &noise(5 * MIB, 2));

    delete(&client, &data, &deleted);

    wait_for("the packs' end", || {
        objects(&data.path(), "packs").is_empty().then_some(())
    });
}

#[test]
fn nothing_is_removed_while_a_manifest_can_t_be_read() {
    let service = start_on(&Data::new());
    let (client, data) = (service.client(), service.data().clone());
    let damaged = take(&client, &noise(5 * MIB, 1));
    let deleted = take(&client, &noise(5 * MIB, 2));
    delete(&client, &data, &deleted);
    let manifests = objects(&data.path(), "manifests");
    let manifest = manifests.first().unwrap();
    flip(manifest, manifest.metadata().unwrap().len() / 2);
    let before = vault_of(&data);

    let asked = vault(&data, &["collect"]);
    stop(service);
    let alone = vault(&data, &["collect"]);
    let counted = vault(&data, &["stat"]);

    for output in [&asked, &alone] {
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        let collection = json_of(output)["collection"].take();
        let object = collection["unreadable"][0]["object"].as_str().unwrap();
        assert!(object.contains(&damaged), "{collection}");
        assert_eq!(
            (&collection["complete"], &collection["deleted_packs"]),
            (&false.into(), &0.into())
        );
    }
    assert_eq!(counted.status.code(), Some(1), "{counted:?}");
    assert!(vault_of(&data) == before, "something was removed");
}

#[test]
fn nothing_is_removed_while_the_manifest_of_an_available_snapshot_is_missing() {
    let service = start_on(&Data::new());
    let (client, data) = (service.client(), service.data().clone());
    let (first, second) = (noise(5 * MIB, 1), noise(5 * MIB, 2));
    let lost = take(&client, &first);
    let given_up = take(&client, &second);
    let deleted = take(&client, &noise(5 * MIB, 3));
    delete(&client, &data, &deleted);
    let away = objects(&data.path(), "manifests").into_iter().map(|path| {
        let bytes = fs::read(&path).unwrap();
        fs::remove_file(&path).unwrap();
        (path, bytes)
    });
    let away: Vec<_> = away.collect();
    let before = vault_of(&data);

    let rehearsed = vault(&data, &["collect", "--dry-run"]);
    let asked = vault(&data, &["collect"]);
    let unchanged = vault_of(&data);
    for (path, bytes) in away {
        if path.to_string_lossy().contains(&lost) {
            fs::write(path, bytes).unwrap();
        }
    }
    client.delete(&format!("/snapshots/{given_up}")).expect(204);
    let collected = collect(&data, &[]);

    for output in [&rehearsed, &asked] {
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        let collection = json_of(output)["collection"].take();
        let unreadable = collection["unreadable"].to_string();
        assert!(
            unreadable.contains(&lost) && unreadable.contains(&given_up),
            "{collection}"
        );
        assert_eq!(collection["deleted_packs"], 0, "{collection}");
    }
    assert!(unchanged == before, "something was removed");
    assert!(number(&collected["freed_bytes"]) >= 10 << 20, "{collected}");
    check_whole(&client, &lost, &first);
}

#[test]
fn sizes_are_those_of_what_snapshots_share_and_do_not_share() {
    let service = start_on(&Data::new());
    let (client, data) = (service.client(), service.data().clone());
    let mut bytes = noise(16 * MIB, 1);
    let volume = client.make_volume_of(&bytes);
    let first = id_of(&client.make_snapshot(&volume, "first"));
    let alone = known_size(&client, &first, |_| true);
    bytes[8 * MIB..].copy_from_slice(&noise(8 * MIB, 2));
    client.write(&volume, &bytes).expect(200);
    let second = id_of(&client.make_snapshot(&volume, "second"));
    let half = (8 << 20)..(8 << 20) + OVERHEAD;
    let whole = (16 << 20)..(16 << 20) + OVERHEAD;

    let of_first = known_size(&client, &first, |size| size < alone);
    let of_second = known_size(&client, &second, |_| true);

    assert!(whole.contains(&alone), "{alone}");
    assert!(
        half.contains(&of_first) && half.contains(&of_second),
        "{of_first}, {of_second}"
    );
    let listed = client.get("/snapshots").expect(200).json();
    let zoned = client.get("/instance/v1/zones/local-1/snapshots").expect(200).json();
    for list in [&listed, &zoned] {
        assert!(whole.contains(&number(&list["snapshots"][0]["stored_size"])), "{list}");
        assert!(half.contains(&number(&list["snapshots"][1]["stored_size"])), "{list}");
        assert_eq!(list["snapshots"][0]["exclusive_size"], of_first);
        assert_eq!(list["snapshots"][1]["exclusive_size"], of_second);
    }
    let counted = stat(&data);
    for told in counted["snapshots"].as_array().unwrap() {
        let shown = client.get(&format!("/snapshots/{}", id_of(told))).expect(200).json()["snapshot"].clone();
        for key in ["size", "stored_size", "exclusive_size"] {
            assert_eq!(told[key], shown[key], "{key}");
        }
    }
    assert_eq!(number(&counted["totals"]["stored_size"]), stored_bytes(&data));
    assert_eq!(number(&counted["totals"]["referenced_size"]), 32 << 20);
    assert_eq!(number(&counted["totals"]["unique_size"]), 24 << 20);

    let before = stored_bytes(&data);
    delete(&client, &data, &first);
    assert!(known_size(&client, &second, |size| size > of_second) > 16 << 20);
    collect(&data, &[]);
    let freed = before - stored_bytes(&data);
    assert!(
        freed.abs_diff(of_first) < OVERHEAD,
        "{freed} were freed, {of_first} were told"
    );
}

/// What deleting a snapshot would free, once that is known and what is waited for.
#[track_caller]
fn known_size(client: &Client, snapshot: &str, is_expected: impl Fn(u64) -> bool) -> u64 {
    wait_for("the exclusive size", || {
        let shown = client.get(&format!("/snapshots/{snapshot}")).expect(200).json();
        let size = shown["snapshot"]["exclusive_size"].as_u64();
        size.filter(|size| is_expected(*size))
    })
}
