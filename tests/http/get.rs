//! `GET /snapshots/{id}`

use serde_json::json;

use crate::{
    client::id_of,
    service::{Service, Setup},
};

const NOWHERE: &str = "6f418e5f-b42d-4423-a0b5-349c74c454a4";

#[test]
fn what_is_not_there_is_named_in_quotes() {
    let service = Service::start();

    let answer = service
        .client()
        .get(&format!("/snapshots/{NOWHERE}"))
        .expect(404)
        .json();

    let expected = json!({"type": "unknown_resource", "message": format!("Snapshot \"{NOWHERE}\" not found")});
    assert_eq!(answer, expected);
}

#[test]
fn somebody_elses_snapshot_reads_like_one_that_is_not_there() {
    let service = Service::start();
    let client = service.client();
    let volume = id_of(&client.make_volume(512));
    let snapshot = id_of(&client.make_snapshot(&volume, "secret"));
    let (_, other) = service.other_tenant();

    for (method, path) in [("GET", ""), ("PUT", ""), ("DELETE", ""), ("GET", "/data")] {
        let ask = |id: &str| {
            let headers = [("Content-Type", "application/json")];
            other
                .call(method, &format!("/snapshots/{id}{path}"), &headers, b"{}")
                .expect(404)
                .text()
        };
        assert_eq!(
            ask(&snapshot).replace(&snapshot, NOWHERE),
            ask(NOWHERE),
            "{method} {path}"
        );
    }
    client.get(&format!("/snapshots/{snapshot}")).expect(200);
}

#[test]
fn an_id_that_is_no_uuid_is_repeated_as_sent() {
    let service = Service::start();
    let client = service.client();

    for (path, resource, id) in [
        ("/snapshots/42", "instance_snapshot", "42"),
        ("/snapshots/42/data", "instance_snapshot", "42"),
        (
            "/volumes/6f418e5fb42d4423a0b5349c74c454a4",
            "instance_volume",
            "6f418e5fb42d4423a0b5349c74c454a4",
        ),
    ] {
        let answer = client.get(path).expect(404).json();
        let expected = json!({
            "type": "not_found",
            "message": "resource is not found",
            "resource": resource,
            "resource_id": id,
        });
        assert_eq!(answer, expected);
    }
}

#[test]
fn a_snapshot_keeps_what_its_volume_was() {
    let service = Service::start();
    let client = service.client();
    let volume = id_of(&client.make_volume(512));
    let snapshot = id_of(&client.make_snapshot(&volume, "x"));
    client
        .put(&format!("/volumes/{volume}"), &json!({"name": "renamed"}))
        .expect(200);
    client.delete(&format!("/volumes/{volume}")).expect(204);

    let got = client.get(&format!("/snapshots/{snapshot}")).expect(200).json();

    assert_eq!(
        got["snapshot"]["base_volume"],
        json!({"id": volume, "name": "vol simple snapshot"})
    );
}

#[test]
fn the_zone_is_the_configured_one() {
    let service = Setup::new().set("SNAPSHOT__ZONE", "fr-par-1").start();
    let client = service.client();

    let volume = client.make_volume(512);

    assert_eq!(volume["zone"], "fr-par-1");
    let list = client.get("/volumes").expect(200).json();
    assert_eq!(list["volumes"][0]["zone"], "fr-par-1");
}
