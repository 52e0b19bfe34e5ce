//! The provider's present paths, `/instance/v1/zones/{zone}`: the same things as under the original ones.

use serde_json::{Value, json};

use crate::{
    client::{Client, id_of, noise},
    service::{ORGANIZATION, Service, Setup},
};

const ZONE: &str = "/instance/v1/zones/fr-par-1";

fn path(rest: &str) -> String {
    format!("{ZONE}{rest}")
}

#[track_caller]
fn make_snapshot(client: &Client, volume: &str) -> Value {
    let body = json!({"name": "snapshot-0-1", "project": ORGANIZATION, "volume_id": volume});
    client.post(&path("/snapshots"), &body).expect(201).json()
}

#[test]
fn a_new_snapshot_is_answered_with_its_task_and_its_place() {
    let service = Service::start();
    let client = service.client();
    let volume = id_of(&client.make_volume(1 << 20));
    let body = json!({"name": "snapshot-0-1", "project": ORGANIZATION, "volume_id": volume});

    let created = client.post(&path("/snapshots"), &body).expect(201);

    let (snapshot, task) = (&created.json()["snapshot"], &created.json()["task"]);
    let place = path(&format!("/snapshots/{}", id_of(snapshot)));
    assert_eq!(created.header("location"), place);
    assert_eq!(snapshot["state"], "snapshotting");
    assert_eq!(snapshot["zone"], "fr-par-1");
    assert_eq!(snapshot["organization"], ORGANIZATION);
    assert_eq!(snapshot["project"], ORGANIZATION);
    let expected = json!({
        "id": id_of(task),
        "description": format!("Copy volume {volume} into snapshot {}", id_of(snapshot)),
        "progress": 0,
        "status": "pending",
        "started_at": snapshot["creation_date"],
        "terminated_at": null,
        "href_from": path("/snapshots"),
        "href_result": place,
        "zone": "fr-par-1",
    });
    assert_eq!(*task, expected);
    assert_eq!(created.json().as_object().unwrap().len(), 2);
}

#[test]
fn what_is_made_under_one_generation_is_there_under_the_other() {
    let service = Service::start();
    let client = service.client();
    let bytes = noise(1 << 20, 3);
    let volume = client.make_volume_of(&bytes);
    let snapshot = id_of(&make_snapshot(&client, &volume)["snapshot"]);
    client.wait_for_state("snapshot", &snapshot, "available");

    for resource in [format!("/snapshots/{snapshot}"), format!("/volumes/{volume}")] {
        let original = client.get(&resource).expect(200).json();
        let mut zoned = client.get(&path(&resource)).expect(200).json();
        let (kind, _) = resource[1..].split_once("s/").unwrap();
        assert_eq!(zoned[kind]["zone"], "fr-par-1");
        zoned[kind]["zone"] = original[kind]["zone"].clone();
        assert_eq!(zoned, original);
        assert!(client.get(&path(&format!("{resource}/data"))).expect(200).body == bytes);
    }
    client.delete(&path(&format!("/snapshots/{snapshot}"))).expect(204);
    client.get(&format!("/snapshots/{snapshot}")).expect(404);
}

#[test]
fn volumes_are_made_written_changed_restored_and_deleted() {
    let service = Service::start();
    let client = service.client();
    let bytes = noise(1 << 20, 4);
    let body = json!({"name": "disk", "organization": ORGANIZATION, "volume_type": "l_ssd", "size": 1 << 20});

    let made = client.post(&path("/volumes"), &body).expect(201);

    let volume = id_of(&made.json()["volume"]);
    let place = path(&format!("/volumes/{volume}"));
    assert_eq!(made.header("location"), place);
    assert_eq!(made.json().as_object().unwrap().len(), 1, "nothing is left to do");
    let binary = [("Content-Type", "application/octet-stream")];
    let written = client
        .call("PUT", &format!("{place}/data"), &binary, &bytes)
        .expect(200);
    assert_eq!(written.json()["volume"]["zone"], "fr-par-1");
    for method in ["PUT", "PATCH"] {
        let renamed = client.send(method, &place, &json!({"name": method})).expect(200).json();
        assert_eq!(
            (&renamed["volume"]["name"], &renamed["volume"]["zone"]),
            (&json!(method), &json!("fr-par-1"))
        );
    }
    let snapshot = id_of(&make_snapshot(&client, &volume)["snapshot"]);
    client.wait_for_state("snapshot", &snapshot, "available");
    let body = json!({"name": "restored", "project": ORGANIZATION, "base_snapshot": snapshot});
    let restored = client.post(&path("/volumes"), &body).expect(201).json();
    let restored_id = id_of(&restored["volume"]);
    assert_eq!(restored["task"]["href_from"], path("/volumes"));
    assert_eq!(
        restored["task"]["href_result"],
        path(&format!("/volumes/{restored_id}"))
    );
    client.wait_for_state("volume", &restored_id, "available");
    assert!(
        client
            .get(&path(&format!("/volumes/{restored_id}/data")))
            .expect(200)
            .body
            == bytes
    );
    client.delete(&place).expect(204);
    client.get(&place).expect(404);
}

#[test]
fn a_snapshot_is_changed_by_patch_as_well_as_put() {
    let service = Service::start();
    let client = service.client();
    let volume = id_of(&client.make_volume(512));
    let snapshot = id_of(&make_snapshot(&client, &volume)["snapshot"]);
    let place = path(&format!("/snapshots/{snapshot}"));

    for method in ["PUT", "PATCH"] {
        let body = json!({"name": method, "tags": [method]});
        let changed = client.send(method, &place, &body).expect(200).json()["snapshot"].clone();
        assert_eq!(changed["name"], method);
        assert_eq!(changed["tags"], json!([method]));
        assert_eq!(changed["zone"], "fr-par-1");
    }
    let refused = client.call("POST", &place, &[], b"").expect(405);
    assert_eq!(refused.header("allow"), "GET, HEAD, PUT, PATCH, DELETE");
    let original = format!("/snapshots/{snapshot}");
    client.send("PATCH", &original, &json!({"name": "x"})).expect(405);
}

#[test]
fn project_or_organization_alone_stands_for_both_and_two_different_ones_for_none() {
    let service = Service::start();
    let client = service.client();
    let volume = id_of(&client.make_volume(512));
    let create = |owner: Value| {
        let mut body = json!({"name": "x", "volume_id": volume});
        body.as_object_mut().unwrap().extend(owner.as_object().unwrap().clone());
        client.post(&path("/snapshots"), &body)
    };
    let (other, _) = service.other_tenant();

    for owner in [
        json!({"organization": ORGANIZATION}),
        json!({"project": ORGANIZATION, "organization": null}),
        json!({"project": ORGANIZATION, "organization": ORGANIZATION}),
    ] {
        let snapshot = create(owner).expect(201).json()["snapshot"].clone();
        assert_eq!(snapshot["organization"], ORGANIZATION);
        assert_eq!(snapshot["project"], ORGANIZATION);
    }
    let both = create(json!({"project": other, "organization": ORGANIZATION})).expect(400);
    assert_eq!(
        both.json()["fields"],
        json!({"project": ["must be the same as organization"]})
    );
    let none = create(json!({})).expect(400);
    let sentence = "required key not provided, unless project is";
    assert_eq!(none.json()["fields"], json!({"organization": [sentence]}));
    create(json!({"project": other})).expect(403);
    let by_the_original_path = json!({"name": "x", "volume_id": volume, "project": ORGANIZATION});
    client.post("/snapshots", &by_the_original_path).expect(400);
}

#[test]
fn a_list_without_a_page_is_the_first_page_of_50() {
    let service = Service::start();
    let client = service.client();
    for _ in 0..51 {
        client.make_volume(512);
    }

    let answer = client
        .get(&path(&format!("/volumes?project={ORGANIZATION}")))
        .expect(200);

    let volumes = answer.json()["volumes"].clone();
    assert_eq!(volumes.as_array().unwrap().len(), 50);
    assert_eq!(volumes[49]["zone"], "fr-par-1");
    assert_eq!(answer.header("x-total-count"), "51");
    let link = |rel| {
        format!(
            "<{}?page=2&per_page=50&project={ORGANIZATION}>; rel=\"{rel}\"",
            path("/volumes")
        )
    };
    assert_eq!(answer.header("link"), [link("next"), link("last")].join(","));
    let second = client.get(&path("/volumes?page=2")).expect(200).json();
    assert_eq!(second["volumes"].as_array().unwrap().len(), 1);
    let empty = client.get(&path("/snapshots")).expect(200);
    assert_eq!(empty.json(), json!({"snapshots": []}));
}

#[test]
fn any_zone_is_answered_when_none_is_configured_but_only_a_name_is_a_zone() {
    let service = Service::start();
    let client = service.client();
    let volume = id_of(&client.make_volume(512));

    for zone in ["fr-par-1", "nl-ams-2", "X"] {
        let got = client
            .get(&format!("/instance/v1/zones/{zone}/volumes/{volume}"))
            .expect(200);
        assert_eq!(got.json()["volume"]["zone"], zone);
    }
    let too_long = "z".repeat(64);
    for zone in ["a%22%3E", "a%0d%0ab", "a.b", "%C3%A4", &too_long] {
        let answer = client.get(&format!("/instance/v1/zones/{zone}/volumes")).expect(404);
        assert_eq!(answer.json()["type"], "unknown_resource");
        assert!(answer.has_header("x-request-id"));
    }
}

#[test]
fn zones_that_are_not_among_the_configured_ones_are_not_found() {
    let service = Setup::new().set("SNAPSHOT__ZONES", "fr-par-1, fr-par-2").start();
    let client = service.client();

    for zone in ["fr-par-1", "fr-par-2"] {
        client.get(&format!("/instance/v1/zones/{zone}/snapshots")).expect(200);
    }
    for rest in ["snapshots", "volumes", "tasks/6f418e5f-b42d-4423-a0b5-349c74c454a4"] {
        let elsewhere = format!("/instance/v1/zones/nl-ams-1/{rest}");
        let answer = client.get(&elsewhere).expect(404).json();
        let expected = json!({"type": "unknown_resource", "message": format!("Route \"{elsewhere}\" not found")});
        assert_eq!(answer, expected);
        client.call("OPTIONS", &elsewhere, &[], b"").expect(404);
    }
    assert_eq!(
        client.make_volume(512)["zone"],
        "local-1",
        "the original paths name no zone"
    );
}

#[test]
fn a_zone_that_is_no_name_stops_the_start() {
    let output = Setup::new().set("SNAPSHOT__ZONES", "fr-par-1,,x").run();

    assert_eq!(output.status.code(), Some(1));
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(
        told.contains("`zones` must be of letters, digits and hyphens"),
        "{told}"
    );
}

#[test]
fn failures_read_as_they_do_under_the_original_paths() {
    let service = Service::start();
    let client = service.client();
    let missing = "6f418e5f-b42d-4423-a0b5-349c74c454a4";
    let volume = id_of(&client.make_volume(512));
    let (_, other) = service.other_tenant();

    for resource in [
        format!("/snapshots/{missing}"),
        format!("/volumes/{missing}/data"),
        "/snapshots/42".to_owned(),
        "/snapshots?page=0".to_owned(),
    ] {
        let (original, zoned) = (client.get(&resource), client.get(&path(&resource)));
        assert_eq!(
            (zoned.status, zoned.text()),
            (original.status, original.text()),
            "{resource}"
        );
    }
    other.get(&path(&format!("/volumes/{volume}"))).expect(404);
    service.stranger().get(&path("/volumes")).expect(401);
    let nowhere = client.get(&path("/servers")).expect(404).json();
    assert_eq!(nowhere["message"], format!("Route \"{}\" not found", path("/servers")));
    let slash = client.get(&path(&format!("/volumes/{volume}/"))).expect(200).json();
    assert_eq!(slash["volume"]["id"], volume);
    let (get, head) = (client.get(&path("/volumes")), client.head(&path("/volumes")));
    assert_eq!((head.status, head.header("link")), (get.status, get.header("link")));
}
