//! The first start on an empty folder, and the ones after it.

use std::process::Command;

use serde_json::json;

use crate::{
    client::{Client, id_of, noise},
    service::{Data, ORGANIZATION, Setup, TOKEN, mode},
};

/// What stands behind a word in what the first start prints.
#[track_caller]
fn printed<'a>(text: &'a str, word: &str) -> &'a str {
    let line = text.lines().find(|line| line.trim_start().starts_with(word)).unwrap();
    line.split_whitespace().last().unwrap()
}

#[test]
fn it_prints_an_organization_a_token_and_a_line_that_works_when_pasted() {
    let service = Setup::on(&Data::new()).start();
    let text = service.printed_at_first_start();
    let client = service.client_with(printed(&text, "token"));

    let line = text.lines().find(|line| line.contains("curl")).unwrap();
    let pasted = Command::new("bash").args(["-c", line]).output().unwrap();

    assert_eq!(pasted.stdout, b"{\"snapshots\":[]}");
    let body = json!({"name": "x", "organization": printed(&text, "organization"), "size": 512});
    client.post("/volumes", &body).expect(201);
    assert!(
        !service.log().contains(printed(&text, "token")),
        "the log is no place for a secret"
    );
}

#[test]
fn it_makes_the_folder_for_its_owner_alone() {
    let service = Setup::on(&Data::new()).start();
    let path = service.data().path();

    assert_eq!(mode(&path), 0o700);
    for (name, expected) in [
        ("vault", 0o700),
        ("keys", 0o700),
        ("volumes", 0o700),
        ("index", 0o700),
        ("keys/master.key", 0o600),
        ("instance", 0o600),
        ("lock", 0o600),
    ] {
        assert_eq!(mode(&path.join(name)), expected, "{name}");
    }
    assert!(path.join("metadata.sqlite").exists());
    let key = service.logged("a master key was made in ");
    assert_eq!(
        key.trim_end_matches(':'),
        path.join("keys/master.key").to_str().unwrap()
    );
    assert!(
        !service
            .log()
            .contains(std::fs::read_to_string(path.join("keys/master.key")).unwrap().trim())
    );
}

#[test]
fn the_second_start_prints_nothing_and_everything_is_still_there() {
    let service = Setup::on(&Data::new()).start();
    let text = service.printed_at_first_start();
    let organization = printed(&text, "organization").to_owned();
    let token = printed(&text, "token").to_owned();
    let client = service.client_with(&token);
    let body = json!({"name": "x", "organization": organization, "size": 512});
    let volume = id_of(&client.post("/volumes", &body).expect(201).json()["volume"]);

    let service = service.restart();

    assert_eq!(service.printed(), "");
    service
        .client_with(&token)
        .get(&format!("/volumes/{volume}"))
        .expect(200);
}

#[test]
fn configured_secrets_are_used_and_none_is_printed() {
    let service = Setup::new().start();

    service.client().get("/snapshots").expect(200);

    assert_eq!(service.printed(), "");
    assert!(!service.log().contains(TOKEN));
    let organizations = service.json_of_command(&["organization", "list"]);
    assert_eq!(organizations["organizations"].as_array().unwrap().len(), 1);
    assert_eq!(organizations["organizations"][0]["id"], ORGANIZATION);
    let service = service.restart();
    let tokens = service.json_of_command(&["token", "list"]);
    assert_eq!(tokens["tokens"].as_array().unwrap().len(), 1);
}

#[test]
fn a_second_server_on_the_same_folder_refuses_to_start_and_says_why() {
    let service = Setup::new().start();

    let refused = Setup::on(service.data()).run();

    assert_eq!(refused.status.code(), Some(1));
    let told = String::from_utf8(refused.stderr).unwrap();
    assert!(told.contains(service.data().path().to_str().unwrap()), "{told}");
    assert!(told.contains(&format!("process {}", service.process())), "{told}");
    service.client().get("/snapshots").expect(200);
}

#[test]
fn a_vault_whose_key_is_gone_is_an_error_and_gets_no_new_key() {
    let mut service = Setup::new().start();
    let data = service.data().clone();
    let key = data.path().join("keys/master.key");
    service.signal("TERM");
    service.wait();
    let kept = std::fs::read_to_string(&key).unwrap();
    std::fs::remove_file(&key).unwrap();

    let refused = Setup::on(&data).run();

    assert_eq!(refused.status.code(), Some(1));
    let told = String::from_utf8(refused.stderr).unwrap();
    assert!(told.contains("master key") && told.contains("missing"), "{told}");
    assert!(!key.exists());
    Setup::on(&data).set("SNAPSHOT__VAULT__MASTER_KEY", kept.trim()).start();
}

#[test]
fn a_wrong_master_key_is_an_error_at_start() {
    let mut service = Setup::new().start();
    let data = service.data().clone();
    service.signal("TERM");
    service.wait();

    let refused = Setup::on(&data)
        .set("SNAPSHOT__VAULT__MASTER_KEY", &"ab".repeat(32))
        .run();

    assert_eq!(refused.status.code(), Some(1));
    let told = String::from_utf8(refused.stderr).unwrap();
    assert!(told.contains("master key is not the one"), "{told}");
    assert!(!told.contains("abab"), "{told}");
}

#[test]
fn the_key_may_lie_elsewhere() {
    let data = Data::new();
    let key = data.beside("elsewhere").join("my.key");
    let setup = || {
        Setup::on(&data)
            .set("SNAPSHOT__VAULT__MASTER_KEY_FILE", key.to_str().unwrap())
            .set("SNAPSHOT__BOOTSTRAP__TOKEN", TOKEN)
            .set("SNAPSHOT__BOOTSTRAP__ORGANIZATION", ORGANIZATION)
    };

    let service = setup().start();

    assert_eq!(mode(&key), 0o600);
    assert!(!data.path().join("keys/master.key").exists());
    let client: Client = service.client();
    let bytes = noise(100_000, 1);
    let volume = client.make_volume_of(&bytes);
    let snapshot = id_of(&client.make_snapshot(&volume, "x"));
    let service = service.restart();
    let read = service
        .client()
        .get(&format!("/snapshots/{snapshot}/data"))
        .expect(200)
        .body;
    assert_eq!(&read[..bytes.len()], bytes);
}

#[test]
fn the_index_is_rebuilt_when_it_is_gone() {
    let mut service = Setup::new().start();
    let client = service.client();
    let bytes = noise(1 << 20, 2);
    let volume = client.make_volume_of(&bytes);
    let snapshot = id_of(&client.make_snapshot(&volume, "x"));
    let data = service.data().clone();
    service.signal("TERM");
    service.wait();
    std::fs::remove_dir_all(data.path().join("index")).unwrap();

    let service = Setup::on(&data).start();

    let read = service
        .client()
        .get(&format!("/snapshots/{snapshot}/data"))
        .expect(200)
        .body;
    assert!(read == bytes);
}
