//! Who did what.

use std::io::Write as _;

use serde_json::{Value, json};

use crate::{
    client::{Client, id_of},
    service::{ORGANIZATION, Service, TOKEN, wait_for},
};

const NOBODY: &str = "6f418e5f-b42d-4423-a0b5-349c74c454a4";

/// All entries, as `action result`, oldest first.
fn told(client: &Client, query: &str) -> Vec<String> {
    let word = |entry: &Value, key: &str| entry[key].as_str().unwrap().to_owned();
    entries(client, query)
        .iter()
        .map(|entry| format!("{} {}", word(entry, "action"), word(entry, "result")))
        .collect()
}

fn entries(client: &Client, query: &str) -> Vec<Value> {
    let answer = client.get(&format!("/audit{query}")).expect(200).json();
    answer["audit"].as_array().unwrap().clone()
}

/// The secret of a new token for the first organization.
fn token_of(service: &Service, role: &str) -> String {
    let made = token_for(service, role, &[ORGANIZATION]);
    made["secret"].as_str().unwrap().to_owned()
}

fn token_for(service: &Service, role: &str, organizations: &[&str]) -> Value {
    let mut arguments = vec!["token", "create", "--name", role, "--role", role];
    for organization in organizations {
        arguments.extend(["--organization", organization]);
    }
    service.json_of_command(&arguments)["token"].clone()
}

#[test]
fn everything_that_is_done_is_told_in_order() {
    let service = Service::start();
    let client = service.client();

    let volume = id_of(&client.make_volume(512));
    client.write(&volume, b"bytes").expect(200);
    let snapshot = id_of(&client.make_snapshot(&volume, "x"));
    client
        .put(&format!("/snapshots/{snapshot}"), &json!({"name": "y"}))
        .expect(200);
    let body = json!({"name": "r", "organization": ORGANIZATION, "base_snapshot": snapshot});
    let restored = id_of(&client.post("/volumes", &body).expect(201).json()["volume"]);
    client.wait_for_state("volume", &restored, "available");
    client.get(&format!("/snapshots/{snapshot}/data")).expect(200);
    client.head(&format!("/snapshots/{snapshot}/data")).expect(200);
    client.get(&format!("/volumes/{volume}/data")).expect(200);
    client
        .send("PATCH", &format!("/volumes/{volume}"), &json!({"name": "z"}))
        .expect(200);
    client.delete(&format!("/volumes/{volume}")).expect(204);
    client.delete(&format!("/snapshots/{snapshot}")).expect(204);

    assert_eq!(
        told(&client, ""),
        [
            "volume.create done",
            "volume.write done",
            "snapshot.create done",
            "snapshot.change done",
            "volume.restore done",
            "snapshot.read done",
            "volume.read done",
            "volume.change done",
            "volume.delete done",
            "snapshot.delete done",
        ]
    );
    let of_snapshot = entries(&client, &format!("?resource_id={snapshot}"));
    assert_eq!(of_snapshot.len(), 4);
    for entry in of_snapshot {
        assert_eq!(entry["organization"], ORGANIZATION);
        assert!(entry["token"].is_string() && entry["account"].is_string() && entry["date"].is_string());
    }
}

#[test]
fn refused_attempts_are_told_with_what_refused_them_and_their_request() {
    let service = Service::start();
    let client = service.client();
    let volume = id_of(&client.make_volume(512));
    let thief = service.client_with(&token_of(&service, "backup"));
    let (theirs, other) = service.other_tenant();
    let body = json!({"name": "v", "organization": theirs, "size": 512});
    let their_volume = id_of(&other.post("/volumes", &body).expect(201).json()["volume"]);

    let request = "0f5e3a9c-7c1d-4c39-8a44-6d1f3b0c9e22";
    let headers = [("X-Request-Id", request)];
    thief
        .call("DELETE", &format!("/volumes/{volume}"), &headers, b"")
        .expect(403);
    client.delete(&format!("/snapshots/{NOBODY}")).expect(404);
    client.get(&format!("/volumes/{their_volume}/data")).expect(404);
    client.snapshot(&their_volume, "x").expect(404);
    client.post("/volumes", &body).expect(403);
    service.json_of_command(&["organization", "quota", ORGANIZATION, "--volume-bytes", "512"]);
    let body = json!({"name": "v", "organization": ORGANIZATION, "size": 512});
    client.post("/volumes", &body).expect(403);
    service
        .client_with(NOBODY)
        .delete(&format!("/volumes/{volume}"))
        .expect(401);

    assert_eq!(
        told(&client, "?page=1"),
        [
            "volume.create done",
            "token.create done",
            "volume.delete right_missing",
            "snapshot.delete not_found",
            "volume.read not_found",
            "snapshot.create not_found",
            "volume.create not_allowed",
            "organization.quota done",
            "volume.create quota_exceeded",
        ]
    );
    let refused = &entries(&client, "?action=volume.delete")[0];
    assert_eq!(
        (&refused["request_id"], &refused["resource_id"]),
        (&json!(request), &json!(volume))
    );
    let by_host = &entries(&client, "?action=organization.quota")[0];
    assert_eq!(
        (&by_host["token"], &by_host["resource_id"]),
        (&Value::Null, &json!(ORGANIZATION))
    );
}

#[test]
fn what_comes_to_nothing_is_told_as_it_ended() {
    let service = Service::start();
    let client = service.client();
    let volume = id_of(&client.make_volume(512));
    let data = format!("/volumes/{volume}/data");
    let read = |name, value| client.call("GET", &data, &[(name, value)], b"");

    read("If-Match", "\"others\"").expect(412);
    read("If-None-Match", "*").expect(304);
    read("Range", "bytes=512-").expect(416);
    let head = client.head_of("PUT", &data, "Transfer-Encoding: chunked\r\nConnection: close\r\n");
    let too_much = [head.as_bytes(), b"201\r\n", &[7; 513], b"\r\n0\r\n\r\n"].concat();
    assert!(client.raw(&too_much).starts_with("HTTP/1.1 413 "));
    let mut broken_off = client.connect();
    let head = client.head_of("PUT", &data, "Content-Length: 512\r\n");
    broken_off.write_all(head.as_bytes()).unwrap();
    broken_off.write_all(&[7; 100]).unwrap();
    client.wait_for_state("volume", &volume, "saving");
    drop(broken_off);
    client.wait_for_state("volume", &volume, "available");

    let expected = [
        "volume.create done",
        "volume.read condition_failed",
        "volume.write done",
        "volume.write conflict",
        "volume.write done",
        "volume.write failed",
    ];
    wait_for("the last entry", || {
        (told(&client, "?page=1") == expected).then_some(())
    });
}

#[test]
fn only_admins_see_it_and_only_their_own_organizations() {
    let service = Service::start();
    let client = service.client();
    client.make_volume(512);
    let (theirs, _) = service.other_tenant();
    let made = token_for(&service, "admin", &[&theirs]);
    let their_admin = service.client_with(made["secret"].as_str().unwrap());

    for role in ["operator", "backup", "read"] {
        let refused = service.client_with(&token_of(&service, role)).get("/audit").expect(403);
        assert_eq!(refused.json()["missing_right"], "administer");
    }
    assert_eq!(
        told(&their_admin, ""),
        ["organization.create done", "token.create done", "token.create done"]
    );
    assert_eq!(
        entries(&their_admin, &format!("?organization={ORGANIZATION}")),
        Vec::<Value>::new()
    );
    service.json_of_command(&["token", "revoke", made["id"].as_str().unwrap()]);
    their_admin.get("/audit").expect(401);
}

#[test]
fn of_a_token_for_two_organizations_each_is_told_what_is_its_own() {
    let service = Service::start();
    let (second, _) = service.other_tenant();
    let made = token_for(&service, "admin", &[ORGANIZATION, &second]);
    assert_eq!(made["organizations"], json!([ORGANIZATION, second]));
    let client = service.client_with(made["secret"].as_str().unwrap());
    let body = json!({"name": "v", "organization": second, "size": 512});
    let volume = id_of(&client.post("/volumes", &body).expect(201).json()["volume"]);
    let body = json!({"name": "s", "organization": second, "volume_id": volume});
    let snapshot = id_of(&client.post("/snapshots", &body).expect(200).json()["snapshot"]);
    client.wait_for_state("snapshot", &snapshot, "available");
    let path = format!("/snapshots/{snapshot}");

    client.get(&format!("{path}/data")).expect(200);
    client.get(&format!("/volumes/{volume}/data")).expect(200);
    client.put(&path, &json!({})).expect(200);
    let stale = [("If-Match", "\"stale\"")];
    client.call("DELETE", &path, &stale, b"").expect(412);
    client
        .call("PUT", &format!("/volumes/{volume}/data"), &stale, b"x")
        .expect(412);
    let offer = client.post(&format!("{path}/transfer"), &json!({})).expect(201).json();
    let offer = id_of(&offer["transfer"]);
    client.delete(&format!("/transfers/{offer}")).expect(204);
    let twice = json!({"name": "s", "organization": second, "base_snapshot": volume});
    client.post("/volumes", &twice).expect(404);
    client.put(&path, &json!({"organization": ORGANIZATION})).expect(200);

    let moved = "snapshot.change done";
    assert_eq!(
        told(&client, &format!("?organization={second}&since=2026-01-01T00:00:00Z"))[2..],
        [
            "token.create done",
            "volume.create done",
            "snapshot.create done",
            "snapshot.read done",
            "volume.read done",
            moved,
            "snapshot.delete condition_failed",
            "volume.write condition_failed",
            "snapshot.offer done",
            "transfer.withdraw done",
            "volume.restore not_found",
            moved,
        ]
    );
    assert_eq!(
        told(&client, &format!("?organization={ORGANIZATION}")),
        ["token.create done", moved]
    );
}

#[test]
fn it_is_a_list_like_all_others() {
    let service = Service::start();
    let client = service.client();
    for _ in 0..5 {
        client.make_volume(512);
    }
    client.delete(&format!("/volumes/{NOBODY}")).expect(404);

    let page = client.get("/audit?page=2&per_page=2&action=volume.create").expect(200);

    assert_eq!(page.header("x-total-count"), "5");
    let link = page.header("link").to_owned();
    assert!(
        link.contains("</audit?page=3&per_page=2&action=volume.create>; rel=\"next\""),
        "{link}"
    );
    assert_eq!(page.json()["audit"].as_array().unwrap().len(), 2);
    let third = &entries(&client, "?action=volume.create")[2];
    let date = third["date"].as_str().unwrap().replace('+', "%2B");
    assert_eq!(entries(&client, &format!("?since={date}")).len(), 4);
    assert_eq!(entries(&client, &format!("?until={date}")).len(), 2);
    assert_eq!(entries(&client, &format!("?token={NOBODY}")).len(), 0);
    client.get("/instance/v1/zones/a-1/audit").expect(200);
    for wrong in ["action=melt", "since=yesterday", "resource_id=42", "page=0"] {
        client.get(&format!("/audit?{wrong}")).expect(400);
    }
}

#[test]
fn it_survives_a_restart_and_holds_no_secret() {
    let service = Service::start();
    let secret = token_of(&service, "operator");
    service.client_with(&secret).get("/snapshots").expect(200);
    service.client().make_volume(512);
    let before = entries(&service.client(), "");

    let service = service.restart();

    let text = service.client().get("/audit").expect(200).text();
    assert_eq!(entries(&service.client(), ""), before);
    assert!(!text.contains(TOKEN) && !text.contains(&secret), "{text}");
}
