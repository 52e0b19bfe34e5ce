//! Roles of tokens, and tokens that expire.

use serde_json::{Value, json};

use crate::{
    client::{Client, id_of},
    service::{ORGANIZATION, Service, Setup},
};

/// The secret of a new token of this role.
fn token_of(service: &Service, role: &str) -> String {
    let arguments = [
        "token",
        "create",
        "--name",
        role,
        "--role",
        role,
        "--organization",
        ORGANIZATION,
    ];
    let made = service.json_of_command(&arguments);
    assert_eq!(made["token"]["role"], role);
    made["token"]["secret"].as_str().unwrap().to_owned()
}

/// Every call there is, with the right that it needs and its status when it is let through.
fn all_calls(client: &Client, owner: &Client) -> Vec<(String, &'static str, u16, u16)> {
    let volume = id_of(&owner.make_volume(512));
    let snapshot = id_of(&owner.make_snapshot(&volume, "x"));
    let other = id_of(&owner.make_volume(512));
    let nobody = "6f418e5f-b42d-4423-a0b5-349c74c454a4";
    let made = |name| json!({"name": name, "organization": ORGANIZATION});
    let with = |mut body: Value, key: &str, value: Value| {
        body[key] = value;
        body
    };
    let zoned = "/instance/v1/zones/a-1";
    let calls = [
        ("GET", "/snapshots".to_owned(), Value::Null, "read", 200),
        ("GET", "/volumes?page=1".to_owned(), Value::Null, "read", 200),
        ("GET", format!("/snapshots/{snapshot}"), Value::Null, "read", 200),
        ("HEAD", format!("/snapshots/{snapshot}/data"), Value::Null, "read", 200),
        ("GET", format!("/volumes/{volume}"), Value::Null, "read", 200),
        ("GET", format!("/volumes/{volume}/data"), Value::Null, "read", 200),
        ("GET", format!("/tasks/{nobody}"), Value::Null, "read", 404),
        (
            "POST",
            "/volumes".to_owned(),
            with(made("v"), "size", json!(512)),
            "create",
            201,
        ),
        (
            "POST",
            "/snapshots".to_owned(),
            with(made("s"), "volume_id", json!(volume)),
            "create",
            200,
        ),
        (
            "POST",
            format!("{zoned}/snapshots"),
            with(made("s"), "volume_id", json!(volume)),
            "create",
            201,
        ),
        (
            "POST",
            "/volumes".to_owned(),
            with(made("r"), "base_snapshot", json!(snapshot)),
            "create",
            201,
        ),
        (
            "PUT",
            format!("/snapshots/{snapshot}"),
            json!({"name": "y"}),
            "change",
            200,
        ),
        (
            "PATCH",
            format!("{zoned}/snapshots/{snapshot}"),
            json!({"tags": ["y"]}),
            "change",
            200,
        ),
        (
            "PUT",
            format!("/snapshots/{snapshot}"),
            json!({"organization": ORGANIZATION}),
            "change",
            200,
        ),
        (
            "PATCH",
            format!("/volumes/{other}"),
            json!({"name": "y"}),
            "change",
            200,
        ),
        ("PUT", format!("/volumes/{other}/data"), json!("bytes"), "change", 200),
        ("DELETE", format!("/volumes/{other}"), Value::Null, "delete", 204),
        ("DELETE", format!("/snapshots/{snapshot}"), Value::Null, "delete", 204),
        ("DELETE", format!("/snapshots/{nobody}"), Value::Null, "delete", 404),
    ];
    let call = |(method, path, body, right, expected): (&str, String, Value, &'static str, u16)| {
        let answer = if body.is_null() {
            client.call(method, &path, &[], b"")
        } else {
            client.send(method, &path, &body)
        };
        if answer.status == 403 && method != "HEAD" {
            let told = answer.json();
            assert_eq!(told["type"], "authorization_required", "{method} {path}");
            assert_eq!(
                told["message"],
                "The token provided doesn't have the requested permission."
            );
            assert_eq!(told["missing_right"], right, "{method} {path}");
        }
        (format!("{method} {path}"), right, expected, answer.status)
    };
    calls.map(call).to_vec()
}

#[test]
fn each_role_is_let_through_to_what_it_is_for_and_nothing_else() {
    let service = Service::start();
    let owner = service.client();
    for (role, rights) in [
        ("admin", &["read", "create", "change", "delete"][..]),
        ("operator", &["read", "create", "change", "delete"]),
        ("backup", &["read", "create"]),
        ("read", &["read"]),
    ] {
        let client = service.client_with(&token_of(&service, role));

        for (call, right, expected, status) in all_calls(&client, &owner) {
            let expected = if rights.contains(&right) { expected } else { 403 };
            assert_eq!(status, expected, "{role}: {call}");
        }
    }
}

#[test]
fn whoever_holds_a_backup_token_can_not_harm_what_is_there() {
    let service = Service::start();
    let owner = service.client();
    let bytes = vec![7; 4096];
    let volume = owner.make_volume_of(&bytes);
    let snapshot = id_of(&owner.make_snapshot(&volume, "precious"));
    owner.wait_for_state("snapshot", &snapshot, "available");
    let thief = service.client_with(&token_of(&service, "backup"));

    thief.write(&volume, b"ransom").expect(403);
    thief.delete(&format!("/snapshots/{snapshot}")).expect(403);
    thief.delete(&format!("/volumes/{volume}")).expect(403);
    let mine = id_of(&thief.make_snapshot(&volume, "made by a machine"));
    thief.wait_for_state("snapshot", &mine, "available");
    thief.delete(&format!("/snapshots/{mine}")).expect(403);

    assert!(thief.get(&format!("/snapshots/{mine}/data")).expect(200).body == bytes);
    assert!(owner.get(&format!("/snapshots/{snapshot}/data")).expect(200).body == bytes);
    assert!(owner.get(&format!("/volumes/{volume}/data")).expect(200).body == bytes);
}

#[test]
fn an_expired_token_answers_like_an_unknown_one() {
    let service = Service::start();
    let make = |expires: &str| {
        let arguments = [
            "token",
            "create",
            "--name",
            "x",
            "--organization",
            ORGANIZATION,
            "--expires",
            expires,
        ];
        service.json_of_command(&arguments)["token"].clone()
    };
    let later = make("90d");
    let token = later["secret"].as_str().unwrap();
    service.client_with(token).get("/snapshots").expect(200);
    assert!(later["expiry_date"].is_string());
    let soon = chrono::DateTime::parse_from_rfc3339(later["creation_date"].as_str().unwrap()).unwrap()
        + chrono::TimeDelta::seconds(2);
    let short = make(&soon.to_rfc3339());
    let client = service.client_with(short["secret"].as_str().unwrap());
    let unknown = service
        .client_with("c6ff5501-eb35-44b8-aa01-8777211a830b")
        .get("/snapshots");

    let refused = crate::service::wait_for("the token's end", || {
        let answer = client.get("/snapshots");
        (answer.status != 200).then_some(answer)
    });

    assert_eq!((refused.status, refused.json()), (unknown.status, unknown.json()));
    let listed = String::from_utf8(service.command(&["token", "list"]).stdout).unwrap();
    assert!(
        listed.contains("expired 2") && listed.contains("valid until 2"),
        "{listed}"
    );
}

#[test]
fn a_token_is_made_for_known_roles_and_a_time_to_come_only() {
    let run = |more: [&str; 2]| {
        let arguments = ["token", "create", "--name", "x", "--organization", ORGANIZATION];
        let setup = arguments
            .iter()
            .chain(&more)
            .fold(Setup::new(), |setup, &part| setup.arg(part));
        setup.run().status.code()
    };

    assert_eq!(run(["--role", "root"]), Some(2));
    assert_eq!(run(["--expires", "someday"]), Some(2));
    assert_eq!(run(["--expires", "2001-01-01"]), Some(1));
}
