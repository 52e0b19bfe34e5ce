//! `/volumes`

use serde_json::{Value, json};

use crate::{
    client::{id_of, noise},
    service::{ORGANIZATION, Service},
};

#[test]
fn a_new_volume_has_every_key_and_is_available() {
    let service = Service::start();
    let body = json!({
        "name": "disk",
        "organization": ORGANIZATION,
        "volume_type": "l_ssd",
        "size": 10_000_000_000_u64 / 512 * 512,
        "tags": ["a"],
    });

    let answer = service.client().post("/volumes", &body).expect(201);

    let made = answer.json();
    let volume = &made["volume"];
    assert_eq!(answer.header("location"), format!("/volumes/{}", id_of(volume)));
    let expected = json!({"volume": {
        "id": id_of(volume),
        "name": "disk",
        "organization": ORGANIZATION,
        "project": ORGANIZATION,
        "size": 10_000_000_000_u64 / 512 * 512,
        "volume_type": "l_ssd",
        "state": "available",
        "creation_date": volume["creation_date"],
        "modification_date": volume["creation_date"],
        "tags": ["a"],
        "zone": "local-1",
        "export_uri": null,
        "server": null,
        "base_snapshot": null,
        "salvage": null,
        "error_reason": null,
    }});
    assert_eq!(made, expected);
    assert_eq!(service.client().get(answer.header("location")).expect(200).json(), made);
}

#[test]
fn a_volume_is_made_of_a_size_or_of_a_snapshot_and_not_of_both() {
    let service = Service::start();
    let refused = |size: Value, snapshot: Value| {
        let body = json!({"name": "x", "organization": ORGANIZATION, "size": size, "base_snapshot": snapshot});
        service.client().post("/volumes", &body).expect(400).json()["fields"].clone()
    };
    let id = json!("6f418e5f-b42d-4423-a0b5-349c74c454a4");

    assert_eq!(
        refused(Value::Null, Value::Null),
        json!({"size": ["required key not provided, unless base_snapshot is"]})
    );
    assert_eq!(
        refused(json!(512), id),
        json!({
            "size": ["must not be given together with base_snapshot"],
            "base_snapshot": ["must not be given together with size"],
        })
    );
    assert_eq!(
        refused(Value::Null, json!("x")),
        json!({"base_snapshot": ["must be a UUID"]})
    );
}

#[test]
fn a_salvage_of_a_whole_snapshot_loses_nothing_and_says_so() {
    let service = Service::start();
    let client = service.client();
    let bytes = noise(1 << 20, 7);
    let snapshot = id_of(&client.make_snapshot(&client.make_volume_of(&bytes), "whole"));
    let body = json!({"name": "x", "organization": ORGANIZATION, "base_snapshot": snapshot});
    let nothing = json!({"damaged_bytes": 0, "damaged_ranges": [], "more_ranges": false});

    for (prefix, salvage, told) in [
        ("", "?salvage=true", &nothing),
        ("/instance/v1/zones/a-1", "?salvage=true", &nothing),
        ("", "?salvage=false", &Value::Null),
        ("", "", &Value::Null),
    ] {
        let begun = client
            .post(&format!("{prefix}/volumes{salvage}"), &body)
            .expect(201)
            .json();
        assert_eq!(
            begun["volume"]["salvage"],
            Value::Null,
            "nothing is known before the end"
        );
        let volume = client.wait_for_state("volume", &id_of(&begun["volume"]), "available");

        assert_eq!(&volume["salvage"], told);
        assert!(
            client
                .get(&format!("/volumes/{}/data", id_of(&volume)))
                .expect(200)
                .body
                == bytes
        );
        if let Some(task) = begun.get("task") {
            let task = client.get(&format!("/tasks/{}", id_of(task))).expect(200).json();
            assert_eq!(&task["task"]["salvage"], told);
        }
    }
}

#[test]
fn only_a_restore_is_salvaged_and_the_flag_is_true_or_false() {
    let service = Service::start();
    let refused = |query: &str, body: &Value| {
        let answer = service.client().post(&format!("/volumes?{query}"), body).expect(400);
        answer.json()["fields"].clone()
    };
    let restore = json!({"name": "x", "organization": ORGANIZATION,
        "base_snapshot": "6f418e5f-b42d-4423-a0b5-349c74c454a4"});
    let empty = json!({"name": "x", "organization": ORGANIZATION, "size": 512});
    let wrong = json!({"salvage": ["must be true or false"]});

    for value in ["yes", "1", "TRUE", ""] {
        assert_eq!(refused(&format!("salvage={value}"), &restore), wrong, "{value}");
    }
    assert_eq!(
        refused("salvage=true&salvage=true", &restore),
        json!({"salvage": ["must not be given more than once"]})
    );
    assert_eq!(
        refused("salvage=true", &empty),
        json!({"salvage": ["only a volume with a base_snapshot can be salvaged"]})
    );
    assert_eq!(
        refused("salvage=maybe", &json!({"organization": ORGANIZATION, "size": 512})),
        json!({"name": ["required key not provided"], "salvage": ["must be true or false"]})
    );
    let answer = service.client().post("/volumes?salvage=false&x=1&x=2", &empty);
    answer.expect(201);
}

#[test]
fn sizes_are_whole_sectors() {
    let service = Service::start();
    let ask = |size: Value| {
        let body = json!({"name": "x", "organization": ORGANIZATION, "size": size});
        service.client().post("/volumes", &body)
    };

    for (size, sentence) in [
        (json!(0), "must be at least 512 bytes"),
        (json!(513), "must be a multiple of 512 bytes"),
        (
            json!((16_u64 << 40) + 512),
            "must be at most 17592186044416 bytes (16 TiB)",
        ),
        (json!(-512), "must be at least 512 bytes"),
        (json!(512.5), "must be a whole number of bytes"),
        (json!(1e30), "must be at most 17592186044416 bytes (16 TiB)"),
        (json!("512"), "must be a whole number of bytes"),
        (json!(true), "must be a whole number of bytes"),
    ] {
        let answer = ask(size.clone()).expect(400).json();
        assert_eq!(answer["fields"], json!({"size": [sentence]}), "{size}");
    }
    // Not every file system has files of 16 TiB.
    for size in [512, 8_u64 << 40] {
        assert_eq!(ask(json!(size)).expect(201).json()["volume"]["size"], size);
    }
}

#[test]
fn another_volume_type_is_refused() {
    let service = Service::start();
    let body = json!({"name": "x", "organization": ORGANIZATION, "size": 512, "volume_type": "b_ssd"});

    let answer = service.client().post("/volumes", &body).expect(400).json();

    assert_eq!(answer["fields"], json!({"volume_type": ["must be l_ssd"]}));
}

#[test]
fn a_volume_for_somebody_elses_organization_is_refused() {
    let service = Service::start();
    let (_, other) = service.other_tenant();
    let body = json!({"name": "x", "organization": ORGANIZATION, "size": 512});

    let answer = other.post("/volumes", &body).expect(403).json();

    assert_eq!(answer["type"], "authorization_required");
}

#[test]
fn put_and_patch_rename_and_retag() {
    let service = Service::start();
    let client = service.client();
    let mut object = client.make_volume(512);
    let path = format!("/volumes/{}", id_of(&object));

    let renamed = client
        .send("PATCH", &path, &json!({"name": "by patch"}))
        .expect(200)
        .json();
    object["name"] = json!("by put");
    object["tags"] = json!(["x"]);
    object["size"] = json!(1024);
    object["organization"] = json!("6f418e5f-b42d-4423-a0b5-349c74c454a4");
    object["server"] = json!({"id": 1});
    let replaced = client.put(&path, &object).expect(200).json();

    assert_eq!(renamed["volume"]["name"], "by patch");
    assert_eq!(replaced["volume"]["name"], "by put");
    assert_eq!(replaced["volume"]["tags"], json!(["x"]));
    assert_eq!(replaced["volume"]["size"], 512);
    assert_eq!(replaced["volume"]["organization"], ORGANIZATION);
    assert_eq!(client.get(&path).expect(200).json(), replaced);
}

#[test]
fn a_deleted_volume_is_gone_and_its_snapshots_stay() {
    let service = Service::start();
    let client = service.client();
    let bytes = noise(1 << 20, 3);
    let volume = client.make_volume_of(&bytes);
    let snapshot = id_of(&client.make_snapshot(&volume, "x"));

    client.delete(&format!("/volumes/{volume}")).expect(204);

    client.get(&format!("/volumes/{volume}")).expect(404);
    client.delete(&format!("/volumes/{volume}")).expect(404);
    client.get(&format!("/volumes/{volume}/data")).expect(404);
    assert_eq!(
        client.get(&format!("/snapshots/{snapshot}/data")).expect(200).body,
        bytes
    );
}

#[test]
fn a_restore_gives_every_byte_back_after_the_volume_was_overwritten_and_deleted() {
    let service = Service::start();
    let client = service.client();
    let mut bytes = noise(5 << 20, 4);
    bytes[1 << 20..3 << 20].fill(0);
    let volume = client.make_volume_of(&bytes);
    let snapshot = client.make_snapshot(&volume, "before");
    client.write(&volume, &noise(4 << 20, 5)).expect(200);
    client.delete(&format!("/volumes/{volume}")).expect(204);

    let body = json!({"name": "restored", "organization": ORGANIZATION, "base_snapshot": id_of(&snapshot)});
    let answer = client.post("/volumes", &body).expect(201);

    let restoring = answer.json()["volume"].clone();
    assert_eq!(restoring["state"], "fetching");
    assert_eq!(restoring["progress"], 0);
    assert_eq!(restoring["base_snapshot"], snapshot["id"]);
    assert_eq!(restoring["size"], 5 << 20);
    let restored = client.wait_for_state("volume", &id_of(&restoring), "available");
    assert!(restored.get("progress").is_none());
    let data = client.get(&format!("/volumes/{}/data", id_of(&restored))).expect(200);
    assert!(data.body == bytes, "the restored bytes differ");
    assert_eq!(
        client.make_snapshot(&id_of(&restored), "again")["digest"],
        snapshot["digest"]
    );
}

#[test]
fn a_snapshot_that_is_not_there_can_not_be_restored() {
    let service = Service::start();
    let id = "6f418e5f-b42d-4423-a0b5-349c74c454a4";
    let body = json!({"name": "x", "organization": ORGANIZATION, "base_snapshot": id});

    let answer = service.client().post("/volumes", &body).expect(404).json();

    assert_eq!(answer["message"], format!("Snapshot \"{id}\" not found"));
}

#[test]
fn a_volume_that_is_written_can_neither_be_deleted_nor_written_by_another() {
    let service = Service::start();
    let client = service.client();
    let volume = client.make_volume_of(&noise(512, 6));
    let mut writing = client.connect();
    let head = client.head_of("PUT", &format!("/volumes/{volume}/data"), "Content-Length: 512\r\n");
    std::io::Write::write_all(&mut writing, head.as_bytes()).unwrap();
    client.wait_for_state("volume", &volume, "saving");

    let deleted = client.delete(&format!("/volumes/{volume}")).expect(409).json();
    let written = client.write(&volume, b"other").expect(409).json();

    assert_eq!(deleted["current_state"], "saving");
    assert_eq!(deleted["message"], "volume is being written");
    assert_eq!(written["current_state"], "saving");
    client.get(&format!("/volumes/{volume}/data")).expect(200);
}

#[test]
fn a_registered_image_can_be_read_and_copied_but_never_written() {
    let service = Service::start();
    let client = service.client();
    let image = service.data().beside("disk.raw");
    let bytes = noise(2 << 20, 7);
    std::fs::write(&image, &bytes).unwrap();
    let arguments = [
        "volume",
        "register",
        image.to_str().unwrap(),
        "--name",
        "a disk",
        "--organization",
        ORGANIZATION,
    ];

    let registered = id_of(&service.json_of_command(&arguments)["volume"]);

    let shown = client.get(&format!("/volumes/{registered}")).expect(200);
    assert!(!shown.text().contains("disk.raw"));
    assert_eq!(shown.json()["volume"]["size"], 2 << 20);
    assert_eq!(
        client.get(&format!("/volumes/{registered}/data")).expect(200).body,
        bytes
    );
    let snapshot = id_of(&client.make_snapshot(&registered, "of the disk"));
    assert_eq!(
        client.get(&format!("/snapshots/{snapshot}/data")).expect(200).body,
        bytes
    );
    client.write(&registered, b"new").expect(409);
    client.delete(&format!("/volumes/{registered}")).expect(204);
    assert_eq!(std::fs::read(&image).unwrap(), bytes);
}
