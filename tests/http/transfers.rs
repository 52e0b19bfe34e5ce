//! Giving snapshots to somebody else: by offer and acceptance.

use std::thread;

use serde_json::{Value, json};

use crate::{
    client::{Client, id_of, noise},
    service::{ORGANIZATION, Service, wait_for},
};

fn offer(client: &Client, snapshot: &str, body: &Value) -> Value {
    let path = format!("/snapshots/{snapshot}/transfer");
    let answer = client.post(&path, body).expect(201);
    let transfer = answer.json()["transfer"].clone();
    assert_eq!(answer.header("location"), format!("/transfers/{}", id_of(&transfer)));
    assert_eq!(answer.header("cache-control"), "no-store");
    transfer
}

fn accept(client: &Client, transfer: &Value, organization: &str) -> crate::client::Answer {
    let body = json!({"secret": transfer["secret"], "organization": organization});
    client.post(&format!("/transfers/{}/accept", id_of(transfer)), &body)
}

/// A whole snapshot of these bytes.
fn snapshot_of(client: &Client, bytes: &[u8]) -> (String, String) {
    let volume = client.make_volume_of(bytes);
    let snapshot = id_of(&client.make_snapshot(&volume, "precious"));
    (volume, snapshot)
}

#[test]
fn an_accepted_snapshot_restores_after_the_giver_deleted_everything() {
    let service = Service::start();
    let giver = service.client();
    let (theirs, receiver) = service.other_tenant();
    let bytes = noise(3 << 20, 1);
    let (volume, snapshot) = snapshot_of(&giver, &bytes);
    let kept = id_of(&giver.make_snapshot(&volume, "kept by the giver, then deleted"));
    receiver.get(&format!("/snapshots/{snapshot}")).expect(404);

    let transfer = offer(&giver, &snapshot, &json!({}));
    let accepted = accept(&receiver, &transfer, &theirs).expect(200).json();

    assert_eq!(accepted["snapshot"]["organization"], json!(theirs));
    assert_eq!(accepted["snapshot"]["id"], json!(snapshot));
    giver.get(&format!("/snapshots/{snapshot}")).expect(404);
    giver.delete(&format!("/snapshots/{kept}")).expect(204);
    giver.delete(&format!("/volumes/{volume}")).expect(204);
    wait_for("the giver's bytes to be removed", || {
        let mut left = std::fs::read_dir(service.data().path().join("volumes")).unwrap();
        let is_its = |name: std::ffi::OsString| name.to_string_lossy().contains(&volume);
        (!left.any(|entry| is_its(entry.unwrap().file_name()))).then_some(())
    });
    let service = service.restart();
    let receiver = service.client_with(&token_of(&service, &theirs));
    let body = json!({"name": "back", "organization": theirs, "base_snapshot": snapshot});
    let restored = id_of(&receiver.post("/volumes", &body).expect(201).json()["volume"]);
    receiver.wait_for_state("volume", &restored, "available");
    assert!(receiver.get(&format!("/volumes/{restored}/data")).expect(200).body == bytes);
    receiver.delete(&format!("/snapshots/{snapshot}")).expect(204);
}

fn token_of(service: &Service, organization: &str) -> String {
    let arguments = [
        "token",
        "create",
        "--name",
        "x",
        "--role",
        "admin",
        "--organization",
        organization,
    ];
    let made = service.json_of_command(&arguments);
    made["token"]["secret"].as_str().unwrap().to_owned()
}

#[test]
fn whatever_is_wrong_with_an_acceptance_reads_alike() {
    let service = Service::start();
    let giver = service.client();
    let (theirs, receiver) = service.other_tenant();
    let (_, snapshot) = snapshot_of(&giver, &[7; 512]);
    let (_, other_snapshot) = snapshot_of(&giver, &[8; 512]);
    let nobody = "6f418e5f-b42d-4423-a0b5-349c74c454a4";
    let refused = |transfer: &Value, what: &str| {
        let id = id_of(transfer);
        let answer = accept(&receiver, transfer, &theirs).expect(404).json();
        let expected = json!({"type": "unknown_resource", "message": format!("Transfer \"{id}\" not found")});
        assert_eq!(answer, expected, "{what}");
    };

    refused(&json!({"id": nobody, "secret": nobody}), "an unknown offer");
    let mut wrong = offer(&giver, &snapshot, &json!({}));
    let right = wrong["secret"].clone();
    wrong["secret"] = json!(nobody);
    refused(&wrong, "a wrong secret");
    wrong["secret"] = right;
    let replaced = wrong;
    let withdrawn = offer(&giver, &snapshot, &json!({}));
    refused(&replaced, "an offer that was replaced");
    giver.delete(&format!("/transfers/{}", id_of(&withdrawn))).expect(204);
    refused(&withdrawn, "an offer that was withdrawn");
    refused(
        &offer(&giver, &snapshot, &json!({"organization": nobody})),
        "an offer to somebody else",
    );
    let short = offer(&giver, &snapshot, &json!({"expires_in_seconds": 1}));
    wait_for("the offer's end", || {
        (giver.get(&format!("/transfers/{}", id_of(&short))).status == 404).then_some(())
    });
    refused(&short, "an expired offer");
    let deleted = offer(&giver, &other_snapshot, &json!({}));
    giver.delete(&format!("/snapshots/{other_snapshot}")).expect(204);
    refused(&deleted, "an offer of what was deleted");
    let tried = offer(&giver, &snapshot, &json!({}));
    for _ in 0..10 {
        let mut wrong = tried.clone();
        wrong["secret"] = json!(nobody);
        refused(&wrong, "one of many wrong secrets");
    }
    refused(&tried, "the right secret after too many wrong ones");
    let accepted = offer(&giver, &snapshot, &json!({"organization": theirs}));
    accept(&receiver, &accepted, &theirs).expect(200);
    refused(&accepted, "an offer that was accepted");
}

#[test]
fn an_offer_is_seen_by_its_two_sides_only_and_shows_its_secret_once() {
    let service = Service::start();
    let giver = service.client();
    let (theirs, receiver) = service.other_tenant();
    let (others, stranger) = service.other_tenant();
    let (_, snapshot) = snapshot_of(&giver, &[7; 512]);

    let transfer = offer(
        &giver,
        &snapshot,
        &json!({"organization": theirs, "expires_in_seconds": 3600}),
    );

    let path = format!("/transfers/{}", id_of(&transfer));
    for side in [&giver, &receiver] {
        let mut shown = side.get(&path).expect(200).json()["transfer"].clone();
        assert_eq!(shown["secret"], Value::Null);
        shown["secret"] = transfer["secret"].clone();
        assert_eq!(shown, transfer);
    }
    stranger.get(&path).expect(404);
    stranger.delete(&path).expect(404);
    receiver.delete(&path).expect(404);
    accept(&stranger, &transfer, &others).expect(404);
    accept(&receiver, &transfer, &others).expect(403);
    accept(&receiver, &transfer, ORGANIZATION).expect(403);
    accept(&receiver, &transfer, &theirs).expect(200);
    assert_secret_is_nowhere(&service, transfer["secret"].as_str().unwrap());
}

pub(crate) fn assert_secret_is_nowhere(service: &Service, secret: &str) {
    let bytes = uuid::Uuid::parse_str(secret).unwrap().into_bytes();
    assert!(!service.log().contains(secret));
    let trail = service
        .client_with(&token_of(service, ORGANIZATION))
        .get("/audit")
        .expect(200);
    assert!(!trail.text().contains(secret));
    for file in ["metadata.sqlite", "metadata.sqlite-wal"] {
        let stored = std::fs::read(service.data().path().join(file)).unwrap_or_default();
        assert!(!stored.windows(16).any(|window| window == bytes), "{file}");
        assert!(!stored.windows(36).any(|window| window == secret.as_bytes()), "{file}");
    }
}

#[test]
fn of_many_that_accept_at_once_one_gets_the_snapshot() {
    let service = Service::start();
    let (_, snapshot) = snapshot_of(&service.client(), &[7; 512]);
    let transfer = offer(&service.client(), &snapshot, &json!({}));
    let tenants: Vec<_> = (0..6).map(|_| service.other_tenant()).collect();

    let answers: Vec<u16> = thread::scope(|scope| {
        let asking: Vec<_> = tenants
            .iter()
            .map(|(organization, client)| {
                let transfer = &transfer;
                scope.spawn(move || accept(client, transfer, organization).status)
            })
            .collect();
        asking.into_iter().map(|thread| thread.join().unwrap()).collect()
    });

    assert_eq!(
        answers.iter().filter(|status| **status == 200).count(),
        1,
        "{answers:?}"
    );
    assert!(answers.iter().all(|status| [200, 404].contains(status)), "{answers:?}");
    let found = |(_, client): &&(String, Client)| client.get(&format!("/snapshots/{snapshot}")).status == 200;
    assert_eq!(tenants.iter().filter(found).count(), 1);
}

#[test]
fn quota_and_audit_trail_follow_the_new_owner() {
    let service = Service::start();
    let giver = service.client();
    let (theirs, _) = service.other_tenant();
    let receiver = service.client_with(&token_of(&service, &theirs));
    let (_, snapshot) = snapshot_of(&giver, &[7; 512]);
    let (_, second) = snapshot_of(&giver, &[8; 512]);
    let quota = |organization: &str, more: &[&str]| {
        let arguments = [&["organization", "quota", organization], more].concat();
        service.json_of_command(&arguments)["quota"]["snapshots"]["used"].clone()
    };
    quota(&theirs, &["--snapshots", "1"]);

    accept(&receiver, &offer(&giver, &snapshot, &json!({})), &theirs).expect(200);
    let transfer = offer(&giver, &second, &json!({}));
    let refused = accept(&receiver, &transfer, &theirs).expect(403).json();

    assert_eq!(refused["resource"], "snapshots");
    assert_eq!((quota(&theirs, &[]), quota(ORGANIZATION, &[])), (json!(1), json!(1)));
    let trail = |client: &Client| {
        let answer = client.get(&format!("/audit?resource_id={snapshot}&action=transfer.accept"));
        answer.expect(200).header("x-total-count").to_owned()
    };
    assert_eq!((trail(&giver), trail(&receiver)), ("1".to_owned(), "1".to_owned()));
    receiver.delete(&format!("/snapshots/{snapshot}")).expect(204);
    accept(&receiver, &transfer, &theirs).expect(200);
}

#[test]
fn an_offer_needs_a_whole_snapshot_of_ones_own_and_sensible_fields() {
    let service = Service::start();
    let giver = service.client();
    let (theirs, receiver) = service.other_tenant();
    let (_, snapshot) = snapshot_of(&giver, &[7; 512]);
    let path = format!("/snapshots/{snapshot}/transfer");

    receiver.post(&path, &json!({})).expect(404);
    for wrong in [
        json!({"expires_in_seconds": 0}),
        json!({"expires_in_seconds": 2_592_001}),
        json!({"expires_in_seconds": "1h"}),
        json!({"organization": "42"}),
    ] {
        giver.post(&path, &wrong).expect(400);
    }
    giver.get(&path).expect(405);
    let transfer = offer(&giver, &snapshot, &json!({}));
    let accept = format!("/transfers/{}/accept", id_of(&transfer));
    let told = receiver
        .post(&accept, &json!({"secret": "hunter2", "organization": theirs}))
        .expect(400);
    assert!(!told.text().contains("hunter2"));
    receiver.post(&accept, &json!({"organization": theirs})).expect(400);
    giver
        .post(
            &accept,
            &json!({"secret": transfer["secret"], "organization": ORGANIZATION}),
        )
        .expect(409);
    giver
        .put(&format!("/snapshots/{snapshot}"), &json!({"organization": theirs}))
        .expect(403);
    let arguments = [
        "token",
        "create",
        "--name",
        "x",
        "--role",
        "backup",
        "--organization",
        ORGANIZATION,
    ];
    let made = service.json_of_command(&arguments)["token"]["secret"]
        .as_str()
        .unwrap()
        .to_owned();
    service.client_with(&made).post(&path, &json!({})).expect(403);
}
