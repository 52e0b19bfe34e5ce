//! `Idempotency-Key`: a `POST` that is sent again is carried out once.

use std::{sync::Barrier, thread};

use serde_json::{Value, json};

use crate::{
    client::{Answer, Client, id_of},
    service::{Data, ORGANIZATION, Service, Setup, TOKEN},
    transfers::assert_secret_is_nowhere,
};

fn keyed(client: &Client, path: &str, key: &str, body: &Value) -> Answer {
    let headers = [("Content-Type", "application/json"), ("Idempotency-Key", key)];
    client.call("POST", path, &headers, body.to_string().as_bytes())
}

fn a_snapshot_of(volume: &str, name: &str) -> Value {
    json!({"name": name, "organization": ORGANIZATION, "volume_id": volume})
}

fn a_volume(name: &str) -> Value {
    json!({"name": name, "organization": ORGANIZATION, "volume_type": "l_ssd", "size": 512})
}

#[track_caller]
fn assert_same_answer(first: &Answer, again: &Answer) {
    assert_eq!((again.status, again.text()), (first.status, first.text()));
    for header in ["content-type", "location", "etag"] {
        assert_eq!(again.headers.get(header), first.headers.get(header), "{header}");
    }
    assert!(!first.has_header("idempotent-replayed"));
    assert_eq!(again.header("idempotent-replayed"), "true");
    assert_ne!(again.header("x-request-id"), first.header("x-request-id"));
}

#[track_caller]
fn count(client: &Client, path: &str) -> usize {
    let (_, list) = path.rsplit_once('/').unwrap();
    client.get(path).expect(200).json()[list].as_array().unwrap().len()
}

fn again(data: &Data) -> Service {
    Setup::on(data)
        .set("SNAPSHOT__BOOTSTRAP__TOKEN", TOKEN)
        .set("SNAPSHOT__BOOTSTRAP__ORGANIZATION", ORGANIZATION)
        .start()
}

#[test]
fn the_same_key_and_body_is_answered_as_it_was_also_after_a_restart() {
    let service = Service::start();
    let client = service.client();
    let volume = id_of(&client.make_volume(512));
    let zoned = "/instance/v1/zones/a-1/snapshots";
    let first = keyed(&client, "/snapshots", "k1", &a_snapshot_of(&volume, "x")).expect(200);
    let first_zoned = keyed(&client, zoned, "k2", &a_snapshot_of(&volume, "y")).expect(201);
    let id = id_of(&first.json()["snapshot"]);
    client.wait_for_state("snapshot", &id, "available");

    // The answer is the first one, not how things are by now.
    assert_same_answer(
        &first,
        &keyed(&client, "/snapshots", "k1", &a_snapshot_of(&volume, "x")),
    );
    let service = service.restart();
    let client = service.client();
    assert_same_answer(
        &first,
        &keyed(&client, "/snapshots", "k1", &a_snapshot_of(&volume, "x")),
    );
    assert_same_answer(&first_zoned, &keyed(&client, zoned, "k2", &a_snapshot_of(&volume, "y")));
    assert!(first_zoned.has_header("location"));
    assert_eq!(count(&client, "/snapshots"), 2);

    // Another writing of the same JSON is the same request, and so is another slash.
    let rewritten =
        format!("{{ \"volume_id\": \"{volume}\", \"organization\":\"{ORGANIZATION}\", \"name\" : \"\\u0078\" }}");
    let headers = [("Content-Type", "application/json"), ("Idempotency-Key", "k1")];
    assert_same_answer(
        &first,
        &client.call("POST", "/snapshots/", &headers, rewritten.as_bytes()),
    );
    client.delete(&format!("/snapshots/{id}")).expect(204);
    assert_same_answer(
        &first,
        &keyed(&client, "/snapshots", "k1", &a_snapshot_of(&volume, "x")),
    );
}

#[test]
fn volumes_and_restores_are_made_once_too() {
    let service = Service::start();
    let client = service.client();
    let first = keyed(&client, "/volumes", "empty", &a_volume("v")).expect(201);
    assert_same_answer(&first, &keyed(&client, "/volumes", "empty", &a_volume("v")));
    let snapshot = id_of(&client.make_snapshot(&id_of(&first.json()["volume"]), "x"));
    let restore = json!({"name": "r", "organization": ORGANIZATION, "base_snapshot": snapshot});

    let path = "/instance/v1/zones/a-1/volumes";
    let restored = keyed(&client, path, "restored", &restore).expect(201);
    assert_same_answer(&restored, &keyed(&client, path, "restored", &restore));

    assert!(restored.json()["task"].is_object());
    assert_eq!(count(&client, "/volumes"), 2);
    let images = service.data().path().join("volumes");
    client.wait_for_state("volume", &id_of(&restored.json()["volume"]), "available");
    let files = std::fs::read_dir(images).unwrap();
    let files = files.filter(|entry| entry.as_ref().unwrap().path().is_file()).count();
    assert_eq!(files, 2);
}

/// A whole snapshot, and the path that offers it.
fn to_offer(client: &Client) -> (String, String) {
    let snapshot = id_of(&client.make_snapshot(&id_of(&client.make_volume(512)), "x"));
    let path = format!("/snapshots/{snapshot}/transfer");
    (snapshot, path)
}

#[test]
fn offers_and_acceptances_are_made_once_too() {
    let service = Service::start();
    let client = service.client();
    let (theirs, receiver) = service.other_tenant();
    let (snapshot, path) = to_offer(&client);
    let zoned = format!("/instance/v1/zones/a-1{path}");

    let first = keyed(&client, &zoned, "offer", &json!({})).expect(201);
    assert_same_answer(&first, &keyed(&client, &zoned, "offer", &json!({})));
    keyed(&client, &zoned, "offer", &json!({"expires_in_seconds": 5})).expect(409);
    assert!(
        first
            .header("location")
            .starts_with("/instance/v1/zones/a-1/transfers/")
    );

    // The repetition tells the secret again, also after a restart, and did not replace the offer.
    let service = service.restart();
    let client = service.client();
    let receiver = service.client_with(receiver.token());
    let again = keyed(&client, &zoned, "offer", &json!({}));
    assert_same_answer(&first, &again);
    let transfer = again.json()["transfer"].clone();
    let accept = format!("/transfers/{}/accept", id_of(&transfer));
    let body = json!({"secret": transfer["secret"], "organization": theirs});
    let wrong = json!({"secret": id_of(&transfer), "organization": theirs});

    keyed(&receiver, &accept, "accept", &wrong).expect(404);
    let accepted = keyed(&receiver, &accept, "accept", &body).expect(200);
    assert_eq!(accepted.json()["snapshot"]["organization"], json!(theirs));
    assert_same_answer(&accepted, &keyed(&receiver, &accept, "accept", &body));
    keyed(&receiver, &accept, "accept", &wrong).expect(409);
    keyed(&receiver, &accept, "another key", &body).expect(404);

    let service = service.restart();
    let (client, receiver) = (service.client(), service.client_with(receiver.token()));
    receiver.delete(&format!("/snapshots/{snapshot}")).expect(204);
    assert_same_answer(&accepted, &keyed(&receiver, &accept, "accept", &body));
    assert_same_answer(&first, &keyed(&client, &zoned, "offer", &json!({})));
    assert_secret_is_nowhere(&service, transfer["secret"].as_str().unwrap());
}

#[test]
fn many_offers_and_acceptances_at_once_have_one_effect() {
    let service = Service::start();
    let (theirs, receiver) = service.other_tenant();
    let (snapshot, path) = to_offer(&service.client());

    let offers = at_once(&service.client(), &path, &json!({}));
    let transfer = offers[0].json()["transfer"].clone();
    let accept = format!("/transfers/{}/accept", id_of(&transfer));
    let body = json!({"secret": transfer["secret"], "organization": theirs});
    let acceptances = at_once(&receiver, &accept, &body);

    for (answers, status) in [(&offers, 201), (&acceptances, 200)] {
        for answer in answers {
            assert_eq!((answer.status, answer.text()), (status, answers[0].text()));
        }
        let first = answers.iter().filter(|it| !it.has_header("idempotent-replayed"));
        assert_eq!(first.count(), 1);
    }
    receiver.get(&format!("/snapshots/{snapshot}")).expect(200);
}

#[test]
fn a_key_can_not_be_used_for_another_request() {
    let service = Service::start();
    let client = service.client();
    let volume = id_of(&client.make_volume(512));
    keyed(&client, "/snapshots", "k", &a_snapshot_of(&volume, "x")).expect(200);
    let told = json!({
        "type": "conflict",
        "message": "This Idempotency-Key was used before, for another request: use a new one",
    });

    let others = [
        ("/snapshots", a_snapshot_of(&volume, "y")),
        ("/volumes", a_volume("v")),
        ("/volumes", a_snapshot_of(&volume, "x")),
        ("/snapshots?x=1", a_snapshot_of(&volume, "x")),
        ("/instance/v1/zones/a-1/snapshots", a_snapshot_of(&volume, "x")),
    ];
    for (path, body) in others {
        let refused = keyed(&client, path, "k", &body).expect(409);
        assert_eq!(refused.json(), told, "{path}");
        assert!(!refused.has_header("idempotent-replayed"));
    }
    assert_eq!(count(&client, "/snapshots"), 1);
    assert_eq!(count(&client, "/volumes"), 1);
}

/// What many clients are answered that send the same under the same key at the same time.
fn at_once(client: &Client, path: &str, body: &Value) -> Vec<Answer> {
    const AT_ONCE: usize = 16;
    let start = Barrier::new(AT_ONCE);
    thread::scope(|scope| {
        let callers: Vec<_> = (0..AT_ONCE)
            .map(|_| {
                scope.spawn(|| {
                    start.wait();
                    keyed(client, path, "k", body)
                })
            })
            .collect();
        callers.into_iter().map(|caller| caller.join().unwrap()).collect()
    })
}

#[test]
fn many_at_once_make_one_snapshot_and_all_are_told_of_it() {
    let service = Service::start();
    let client = service.client();
    let volume = id_of(&client.make_volume(512));

    let answers = at_once(&client, "/snapshots", &a_snapshot_of(&volume, "x"));

    for answer in &answers {
        assert_eq!((answer.status, answer.text()), (200, answers[0].text()));
    }
    let first = answers.iter().filter(|it| !it.has_header("idempotent-replayed"));
    assert_eq!(first.count(), 1);
    assert_eq!(count(&client, "/snapshots"), 1);
}

#[test]
fn a_key_is_its_tokens_own() {
    let service = Service::start();
    let client = service.client();
    let made = keyed(&client, "/volumes", "k", &a_volume("secret plans")).expect(201);
    let (organization, other) = service.other_tenant();

    let theirs = json!({"name": "v", "organization": organization, "volume_type": "l_ssd", "size": 512});
    let answer = keyed(&other, "/volumes", "k", &theirs).expect(201);
    assert!(!answer.has_header("idempotent-replayed"));
    keyed(&other, "/volumes", "k2", &a_volume("secret plans")).expect(403);
    keyed(&other, "/volumes", "k", &a_volume("secret plans")).expect(409);
    keyed(&service.stranger(), "/volumes", "k", &a_volume("secret plans")).expect(401);

    assert_same_answer(&made, &keyed(&client, "/volumes", "k", &a_volume("secret plans")));
}

#[test]
fn a_request_that_was_refused_may_be_sent_again() {
    let service = Service::start();
    let client = service.client();
    let volume = id_of(&client.make_volume(512));
    let bad = json!({"name": "", "organization": ORGANIZATION, "volume_id": volume});

    keyed(&client, "/snapshots", "k", &bad).expect(400);
    keyed(&client, "/snapshots", "k", &a_snapshot_of(ORGANIZATION, "x")).expect(404);
    let headers = [("Content-Type", "application/json"), ("Idempotency-Key", "k")];
    client.call("POST", "/snapshots", &headers, b"{").expect(400);
    client
        .call("POST", "/snapshots", &headers, &vec![b' '; 300_000])
        .expect(413);

    keyed(&client, "/snapshots", "k", &a_snapshot_of(&volume, "x")).expect(200);
    keyed(&client, "/snapshots", "k", &bad).expect(409);
}

#[test]
fn malformed_keys_are_refused_before_anything_is_done() {
    let service = Service::start();
    let client = service.client();
    let check = |key: &str, problem: &str| {
        let refused = keyed(&client, "/volumes", key, &a_volume("v")).expect(400);
        assert_eq!(refused.json()["type"], "invalid_request_error");
        let message = refused.json()["message"].as_str().unwrap().to_owned();
        assert_eq!(message, format!("The header 'Idempotency-Key' {problem}"));
    };

    check("", "must not be empty");
    check(&"k".repeat(256), "must have at most 255 characters, and has 256");
    check("a\tb", "must be of visible ASCII characters");
    check("schl\u{fc}ssel", "must be of visible ASCII characters");
    let body = a_volume("v").to_string();
    let head = client.head_of(
        "POST",
        "/volumes",
        &format!(
            "Content-Type: application/json\r\nIdempotency-Key: a\r\nIdempotency-Key: b\r\nConnection: close\r\n\
             Content-Length: {}\r\n",
            body.len()
        ),
    );
    let twice = client.raw((head + &body).as_bytes());
    assert!(twice.starts_with("HTTP/1.1 400 "), "{twice}");

    assert_eq!(count(&client, "/volumes"), 0);
    keyed(&client, "/volumes", &"k".repeat(255), &a_volume("v")).expect(201);
}

#[test]
fn whenever_the_service_is_killed_the_retry_finds_the_same_snapshot() {
    let service = Service::start();
    let client = service.client();
    let volume = id_of(&client.make_volume(512));
    let data = service.data().clone();
    let mut service = service;

    for round in 0..6_u32 {
        let (key, body) = (format!("round {round}"), a_snapshot_of(&volume, &format!("s{round}")));
        let (client, address) = (service.client(), service.address().to_owned());
        // The answer is not waited for: the process dies before, while, or after the rows are stored.
        let sent = client.head_of(
            "POST",
            "/snapshots",
            &format!(
                "Content-Type: application/json\r\nIdempotency-Key: {key}\r\nContent-Length: {}\r\n",
                body.to_string().len()
            ),
        ) + &body.to_string();
        let mut stream = std::net::TcpStream::connect(address).unwrap();
        std::io::Write::write_all(&mut stream, sent.as_bytes()).unwrap();
        for _ in 0..(round * round) {
            thread::park_timeout(std::time::Duration::from_millis(1));
        }
        service.signal("KILL");
        service.wait();

        service = again(&data);
        let client = service.client();
        let first = keyed(&client, "/snapshots", &key, &body).expect(200);
        let second = keyed(&client, "/snapshots", &key, &body).expect(200);

        assert_eq!(first.text(), second.text());
        let list = format!("/snapshots?name=s{round}");
        let found = client.get(&list).expect(200).json()["snapshots"].clone();
        assert_eq!(found.as_array().unwrap().len(), 1, "{found}");
        assert_eq!(found[0]["id"], first.json()["snapshot"]["id"]);
        client.wait_for_state("snapshot", &id_of(&found[0]), "available");
    }
}

#[test]
fn nothing_of_a_token_or_a_key_is_stored() {
    let service = Service::start();
    let client = service.client();
    let key = "a-key-that-is-easy-to-find";
    keyed(&client, "/volumes", key, &a_volume("v")).expect(201);
    let data = service.restart();

    let mut searched = 0;
    for name in ["metadata.sqlite", "metadata.sqlite-wal"] {
        let Ok(bytes) = std::fs::read(data.data().path().join(name)) else {
            continue;
        };
        searched += bytes.len();
        for secret in [key, TOKEN] {
            let found = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
            assert!(!found, "{secret} is in {name}");
        }
    }
    assert!(searched > 0);
    assert!(!data.log().contains(key));
}
