//! `POST /snapshots`

use serde_json::{Value, json};

use crate::{
    client::{id_of, noise},
    service::{ORGANIZATION, Service},
};

const NOWHERE: &str = "701a8946-ff9d-4579-95e3-1c2c2d0f892d";

fn is_date(text: &Value) -> bool {
    let text = text.as_str().unwrap();
    let shape: String = text
        .chars()
        .map(|char| if char.is_ascii_digit() { '0' } else { char })
        .collect();
    shape == "0000-00-00T00:00:00.000000+00:00"
}

#[test]
fn a_new_snapshot_has_every_key_and_begins_as_snapshotting() {
    let service = Service::start();
    let client = service.client();
    let volume = id_of(&client.make_volume(1 << 20));

    let answer = client.snapshot(&volume, "snapshot-0-1").expect(200).json();

    let snapshot = &answer["snapshot"];
    assert!(is_date(&snapshot["creation_date"]), "{snapshot}");
    assert_eq!(snapshot["modification_date"], snapshot["creation_date"]);
    let expected = json!({"snapshot": {
        "base_volume": {"id": volume, "name": "vol simple snapshot"},
        "creation_date": snapshot["creation_date"],
        "id": id_of(snapshot),
        "name": "snapshot-0-1",
        "organization": ORGANIZATION,
        "size": 1 << 20,
        "state": "snapshotting",
        "volume_type": "l_ssd",
        "project": ORGANIZATION,
        "modification_date": snapshot["creation_date"],
        "tags": [],
        "zone": "local-1",
        "error_reason": null,
        "digest": null,
        "health": "unverified",
        "verified_at": null,
        "stored_size": null,
        "exclusive_size": null,
        "progress": 0,
    }});
    assert_eq!(answer, expected);
}

#[test]
fn a_snapshot_becomes_available_with_the_digest_of_its_bytes() {
    let service = Service::start();
    let client = service.client();
    let bytes = noise(3 << 20, 1);
    let image = service.data().beside("image");
    std::fs::write(&image, &bytes).unwrap();
    let volume = client.make_volume_of(&bytes);

    let snapshot = client.make_snapshot(&volume, "before");

    let told = service.json_of_command(&["digest", image.to_str().unwrap()]);
    assert_eq!(snapshot["digest"], told["digest"]);
    assert_eq!(told["size"], 3 << 20);
    assert_eq!(snapshot["error_reason"], Value::Null);
    assert!(snapshot.get("progress").is_none(), "{snapshot}");
}

#[test]
fn every_wrong_field_is_named_at_once() {
    let service = Service::start();
    let body = json!({"name": "", "organization": 7, "tags": "nightly"});

    let answer = service.client().post("/snapshots", &body).expect(400).json();

    let expected = json!({
        "type": "invalid_request_error",
        "message": "Validation Error",
        "fields": {
            "name": ["must not be empty"],
            "organization": ["must be a string"],
            "tags": ["must be a list of strings"],
            "volume_id": ["required key not provided"],
        },
    });
    assert_eq!(answer, expected);
}

#[test]
fn unknown_keys_are_ignored_and_tags_are_kept() {
    let service = Service::start();
    let client = service.client();
    let volume = id_of(&client.make_volume(512));
    let body = json!({
        "name": "  räksmörgås 🦐 ",
        "organization": ORGANIZATION,
        "volume_id": volume,
        "tags": ["nightly", "db"],
        "id": 1,
        "state": [],
        "colour": {"nested": null},
    });

    let snapshot = client.post("/snapshots", &body).expect(200).json()["snapshot"].clone();

    assert_eq!(snapshot["name"], "räksmörgås 🦐");
    assert_eq!(snapshot["tags"], json!(["nightly", "db"]));
    assert_eq!(snapshot["state"], "snapshotting");
}

#[test]
fn a_volume_that_is_not_there_is_not_found() {
    let service = Service::start();

    let answer = service.client().snapshot(NOWHERE, "x").expect(404).json();

    let expected = json!({"type": "unknown_resource", "message": format!("Volume \"{NOWHERE}\" not found")});
    assert_eq!(answer, expected);
}

#[test]
fn somebody_elses_volume_reads_like_one_that_is_not_there() {
    let service = Service::start();
    let volume = id_of(&service.client().make_volume(512));
    let (organization, other) = service.other_tenant();
    let body = |volume: &str| json!({"name": "x", "organization": organization, "volume_id": volume});

    let theirs = other.post("/snapshots", &body(&volume)).expect(404).text();
    let nobodys = other.post("/snapshots", &body(NOWHERE)).expect(404).text();

    assert_eq!(theirs.replace(&volume, NOWHERE), nobodys);
}

#[test]
fn an_organization_that_is_not_the_callers_is_refused() {
    let service = Service::start();
    let volume = id_of(&service.client().make_volume(512));
    let (_, other) = service.other_tenant();

    let answer = other.snapshot(&volume, "x").expect(403).json();

    let expected = json!({
        "type": "authorization_required",
        "message": "The token provided doesn't have the requested permission.",
    });
    assert_eq!(answer, expected);
}

#[test]
fn a_volume_in_the_making_can_not_be_copied() {
    let service = Service::start();
    let client = service.client();
    let volume = client.make_volume_of(&noise(1 << 20, 2));
    let mut writing = client.connect();
    let head = client.head_of("PUT", &format!("/volumes/{volume}/data"), "Content-Length: 100\r\n");
    std::io::Write::write_all(&mut writing, head.as_bytes()).unwrap();
    client.wait_for_state("volume", &volume, "saving");

    let answer = client.snapshot(&volume, "x").expect(409).json();

    let expected = json!({
        "type": "conflict",
        "message": "volume is not available",
        "resource_id": volume,
        "current_state": "saving",
    });
    assert_eq!(answer, expected);
}
