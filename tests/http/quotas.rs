//! How much an organization may have.

use std::thread;

use serde_json::{Value, json};

use crate::{
    client::{Answer, Client, id_of},
    service::{ORGANIZATION, Service, Setup, wait_for},
};

const CLIENTS: usize = 64;

fn refusal(resource: &str) -> Value {
    json!({"type": "invalid_request_error", "message": "Quota exceeded for this resource.", "resource": resource})
}

fn set(service: &Service, organization: &str, limits: &[&str]) -> Value {
    let arguments = [&["organization", "quota", organization], limits].concat();
    service.json_of_command(&arguments)["quota"].clone()
}

fn used(service: &Service, what: &str) -> Value {
    set(service, ORGANIZATION, &[])[what]["used"].clone()
}

/// What 64 clients are answered who all ask for the same at once: how many got it. All others are told that the quota is
/// used up.
fn crowd(service: &Service, expected: u16, resource: &str, ask: impl Fn(&Client, usize) -> Answer + Sync) -> usize {
    let ask = &ask;
    thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|number| {
                let client = service.client();
                scope.spawn(move || {
                    let answer = ask(&client, number);
                    if answer.status != expected {
                        assert_eq!(answer.expect(403).json(), refusal(resource));
                        return 0;
                    }
                    1
                })
            })
            .collect();
        clients.into_iter().map(|client| client.join().unwrap()).sum()
    })
}

#[test]
fn of_64_clients_at_once_exactly_as_many_get_a_snapshot_as_there_is_room_for() {
    let service = Service::start();
    let volume = id_of(&service.client().make_volume(512));
    set(&service, ORGANIZATION, &["--snapshots", "7"]);

    let got = crowd(&service, 200, "snapshots", |client, _| client.snapshot(&volume, "x"));

    assert_eq!(got, 7);
    let listed = service.client().get("/snapshots?page=1").expect(200);
    assert_eq!(listed.header("x-total-count"), "7");
    let first = id_of(&listed.json()["snapshots"][0]);
    service.client().delete(&format!("/snapshots/{first}")).expect(204);
    service.client().snapshot(&volume, "in its place").expect(200);
    service.client().snapshot(&volume, "one too many").expect(403);
}

#[test]
fn of_64_clients_at_once_exactly_as_many_get_a_volume_as_there_is_room_for() {
    let service = Service::start();
    let volume = id_of(&service.client().make_volume(1 << 20));
    let snapshot = id_of(&service.client().make_snapshot(&volume, "x"));
    set(&service, ORGANIZATION, &["--volume-bytes", "5M"]);
    let empty = json!({"name": "v", "organization": ORGANIZATION, "size": 1 << 20});
    let restored = json!({"name": "r", "organization": ORGANIZATION, "base_snapshot": snapshot});

    let got = crowd(&service, 201, "volume_bytes", |client, number| {
        // By both ways to a volume.
        client.post("/volumes", if number % 2 == 0 { &empty } else { &restored })
    });

    assert_eq!(got, 4);
    assert_eq!(used(&service, "volume_bytes"), 5 << 20);
    let listed = service.client().get("/volumes?page=1").expect(200);
    assert_eq!(listed.header("x-total-count"), "5");
}

#[test]
fn a_transfer_to_an_organization_that_has_enough_is_refused() {
    let service = Service::start();
    let (theirs, _) = service.other_tenant();
    let both = [
        "token",
        "create",
        "--name",
        "both",
        "--organization",
        ORGANIZATION,
        "--organization",
        &theirs,
    ];
    let token = service.json_of_command(&both)["token"]["secret"]
        .as_str()
        .unwrap()
        .to_owned();
    let client = service.client_with(&token);
    let volume = id_of(&client.make_volume(512));
    let [first, second] = ["first", "second"].map(|name| id_of(&client.make_snapshot(&volume, name)));
    set(&service, &theirs, &["--snapshots", "1"]);
    let give = |id: &str| client.put(&format!("/snapshots/{id}"), &json!({"organization": theirs}));

    give(&first).expect(200);
    let refused = give(&second).expect(403);

    assert_eq!(refused.json(), refusal("snapshots"));
    assert_eq!(used(&service, "snapshots"), 1);
    assert_eq!(set(&service, &theirs, &[])["snapshots"]["used"], 1);
    client
        .put(&format!("/snapshots/{first}"), &json!({"name": "renamed"}))
        .expect(200);
}

#[test]
fn tasks_beyond_the_quota_wait_and_none_fails() {
    let service = Setup::new().set("SNAPSHOT__QUOTAS__TASKS", "1").start();
    let client = service.client();
    let volume = id_of(&client.make_volume(1 << 20));
    let (theirs, other) = service.other_tenant();
    let body = json!({"name": "v", "organization": theirs, "size": 1 << 20});
    let their_volume = id_of(&other.post("/volumes", &body).expect(201).json()["volume"]);

    let ours: Vec<_> = (0..12)
        .map(|_| id_of(&client.snapshot(&volume, "x").expect(200).json()["snapshot"]))
        .collect();
    let body = json!({"name": "s", "organization": theirs, "volume_id": their_volume});
    let snapshot = id_of(&other.post("/snapshots", &body).expect(200).json()["snapshot"]);

    other.wait_for_state("snapshot", &snapshot, "available");
    for id in ours {
        client.wait_for_state("snapshot", &id, "available");
    }
    wait_for("no task to run", || (used(&service, "tasks") == 0).then_some(()));
    let shown = set(&service, ORGANIZATION, &[]);
    assert_eq!(shown["tasks"], json!({"used": 0, "at_most": 1, "is_default": true}));
}

#[test]
fn defaults_hold_until_something_else_is_set() {
    let service = Setup::new().set("SNAPSHOT__QUOTAS__SNAPSHOTS", "1").start();
    let client = service.client();
    let volume = id_of(&client.make_volume(512));
    client.snapshot(&volume, "first").expect(200);
    client.snapshot(&volume, "second").expect(403);

    set(&service, ORGANIZATION, &["--snapshots", "unlimited"]);
    client.snapshot(&volume, "second").expect(200);
    client.snapshot(&volume, "third").expect(200);
    set(&service, ORGANIZATION, &["--snapshots", "default"]);
    client.snapshot(&volume, "fourth").expect(403);

    let shown = String::from_utf8(service.command(&["organization", "quota", ORGANIZATION]).stdout).unwrap();
    assert!(shown.contains("snapshots     3 used of 1 (default)"), "{shown}");
    let nobody = "6f418e5f-b42d-4423-a0b5-349c74c454a4";
    assert_eq!(
        service.command(&["organization", "quota", nobody]).status.code(),
        Some(1)
    );
}
