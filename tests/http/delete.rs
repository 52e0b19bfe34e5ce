//! `DELETE /snapshots/{id}`

use serde_json::json;

use crate::{
    client::{id_of, noise},
    service::{Service, wait_for},
};

#[test]
fn a_deleted_snapshot_is_gone() {
    let service = Service::start();
    let client = service.client();
    let volume = id_of(&client.make_volume(512));
    let id = id_of(&client.make_snapshot(&volume, "x"));
    let path = format!("/snapshots/{id}");

    let deleted = client.delete(&path).expect(204);

    assert!(deleted.body.is_empty());
    assert!(!deleted.has_header("content-type"));
    client.get(&path).expect(404);
    client.get(&format!("{path}/data")).expect(404);
    client.put(&path, &json!({"name": "y"})).expect(404);
    assert_eq!(client.get("/snapshots").expect(200).json(), json!({"snapshots": []}));
}

#[test]
fn a_second_delete_finds_nothing() {
    let service = Service::start();
    let client = service.client();
    let volume = id_of(&client.make_volume(512));
    let id = id_of(&client.make_snapshot(&volume, "x"));
    client.delete(&format!("/snapshots/{id}")).expect(204);

    let again = client.delete(&format!("/snapshots/{id}")).expect(404).json();

    assert_eq!(again["message"], format!("Snapshot \"{id}\" not found"));
}

#[test]
fn deleting_a_snapshot_in_the_making_cancels_its_copy() {
    let service = Service::start();
    let client = service.client();
    let volume = client.make_volume_of(&noise(8 << 20, 1));
    let id = id_of(&client.snapshot(&volume, "x").expect(200).json()["snapshot"]);

    client.delete(&format!("/snapshots/{id}")).expect(204);

    client.get(&format!("/snapshots/{id}")).expect(404);
    client.wait_for_state("volume", &volume, "available");
    wait_for("the copy's end", || service.log().contains("capture").then_some(()));
    client.get(&format!("/snapshots/{id}")).expect(404);
    client.make_snapshot(&volume, "the next one");
}
