//! `X-Auth-Token`: who may call.

use std::io::{Read as _, Write as _};

use serde_json::{Value, json};

use crate::{
    client::id_of,
    service::{ORGANIZATION, Service, TOKEN},
};

const EVERYTHING: [(&str, &str); 18] = [
    ("POST", "/snapshots/6f418e5f-b42d-4423-a0b5-349c74c454a4/transfer"),
    ("GET", "/transfers/6f418e5f-b42d-4423-a0b5-349c74c454a4"),
    ("DELETE", "/transfers/6f418e5f-b42d-4423-a0b5-349c74c454a4"),
    ("POST", "/transfers/6f418e5f-b42d-4423-a0b5-349c74c454a4/accept"),
    ("GET", "/audit"),
    ("GET", "/snapshots"),
    ("POST", "/snapshots"),
    ("GET", "/snapshots/6f418e5f-b42d-4423-a0b5-349c74c454a4"),
    ("PUT", "/snapshots/6f418e5f-b42d-4423-a0b5-349c74c454a4"),
    ("DELETE", "/snapshots/6f418e5f-b42d-4423-a0b5-349c74c454a4"),
    ("GET", "/snapshots/6f418e5f-b42d-4423-a0b5-349c74c454a4/data"),
    ("GET", "/volumes"),
    ("POST", "/volumes"),
    ("GET", "/volumes/42"),
    ("PATCH", "/volumes/42"),
    ("DELETE", "/volumes/42"),
    ("GET", "/volumes/42/data"),
    ("PUT", "/volumes/42/data"),
];

#[test]
fn nothing_is_answered_without_a_token() {
    let service = Service::start();
    let expected = json!({"type": "invalid_auth", "message": "The header 'X-Auth-Token' is missing"});

    for (method, path) in EVERYTHING {
        let answer = service.stranger().call(method, path, &[], b"").expect(401).json();
        assert_eq!(answer, expected, "{method} {path}");
    }
}

/// It is too long to be over before the token is.
#[test]
fn a_download_ends_with_its_token() {
    let service = Service::start();
    let client = service.client();
    let size = 64 << 30;
    let volume = id_of(&client.make_volume(size));
    let made =
        service.json_of_command(&["token", "create", "--name", "x", "--organization", ORGANIZATION])["token"].clone();
    let reader = service.client_with(made["secret"].as_str().unwrap());
    let mut download = reader.connect();
    let head = reader.head_of("GET", &format!("/volumes/{volume}/data"), "Connection: close\r\n");
    download.write_all(head.as_bytes()).unwrap();
    let mut piece = vec![0; 128 << 10];
    let mut received = download.read(&mut piece).unwrap();

    service.json_of_command(&["token", "revoke", made["id"].as_str().unwrap()]);
    while let Ok(some @ 1..) = download.read(&mut piece) {
        received += some;
    }

    assert!((received as u64) < size, "all of it came");
}

#[test]
fn unknown_malformed_and_revoked_tokens_read_alike() {
    let service = Service::start();
    let arguments = [
        "token",
        "create",
        "--name",
        "short-lived",
        "--organization",
        ORGANIZATION,
    ];
    let made = service.json_of_command(&arguments)["token"].clone();
    let revoked = made["secret"].as_str().unwrap();
    service.client_with(revoked).get("/snapshots").expect(200);
    service.json_of_command(&["token", "revoke", made["id"].as_str().unwrap()]);
    let expected = json!({"type": "invalid_auth", "message": "Authentication error"});

    for token in [
        revoked,
        "c6ff5501-eb35-44b8-aa01-8777211a830b",
        "00000000-0000-0000-0000-000000000000",
        "not a token",
        "",
        "ÿ",
    ] {
        for (method, path) in EVERYTHING {
            let answer = service
                .client_with(token)
                .call(method, path, &[], b"")
                .expect(401)
                .json();
            assert_eq!(answer, expected, "{token:?} {method} {path}");
        }
    }
}

#[test]
fn a_caller_sees_what_its_organizations_own_and_nothing_else() {
    let service = Service::start();
    let client = service.client();
    let volume = id_of(&client.make_volume(512));
    client.make_snapshot(&volume, "ours");
    let (theirs, other) = service.other_tenant();

    for list in ["snapshots", "volumes"] {
        let answer = other.get(&format!("/{list}")).expect(200);
        assert_eq!(answer.header("x-total-count"), "0");
        assert_eq!(answer.json()[list], json!([]));
        let filtered = client.get(&format!("/{list}?organization={theirs}")).expect(200).json();
        assert_eq!(filtered[list], json!([]));
    }
    other.delete(&format!("/volumes/{volume}")).expect(404);
    other.write(&volume, b"theirs").expect(404);
    other.get(&format!("/volumes/{volume}/data")).expect(404);
    other
        .send("PATCH", &format!("/volumes/{volume}"), &json!({"name": "x"}))
        .expect(404);
}

#[test]
fn a_token_never_shows_in_the_log() {
    let service = Service::start();
    service.client().get("/snapshots").expect(200);
    service.client().get(&format!("/snapshots?name={TOKEN}")).expect(200);
    service.logged("path=/snapshots");

    assert!(!service.log().contains(TOKEN));
}

#[test]
fn a_token_is_stored_as_a_hash() {
    let service = Service::start();
    service.client().get("/snapshots").expect(200);
    let uuid = TOKEN.replace('-', "");
    let raw: Vec<u8> = (0..32)
        .step_by(2)
        .map(|at| u8::from_str_radix(&uuid[at..at + 2], 16).unwrap())
        .collect();

    for file in ["metadata.sqlite", "metadata.sqlite-wal"] {
        let Ok(stored) = std::fs::read(service.data().path().join(file)) else {
            continue;
        };
        let holds = |secret: &[u8]| stored.windows(secret.len()).any(|window| window == secret);
        assert!(
            !holds(TOKEN.as_bytes()) && !holds(uuid.as_bytes()) && !holds(&raw),
            "{file}"
        );
        let organization = ORGANIZATION.replace('-', "");
        let known: Vec<u8> = (0..32)
            .step_by(2)
            .map(|at| u8::from_str_radix(&organization[at..at + 2], 16).unwrap())
            .collect();
        assert!(
            file != "metadata.sqlite-wal" || holds(&known),
            "the test looks at the wrong bytes"
        );
    }
}

#[test]
fn health_needs_no_token() {
    let service = Service::start();

    let answer: Value = service.stranger().get("/healthz").expect(200).json();

    assert_eq!(answer, json!({"status": "ok"}));
}
