//! The commands besides `serve`.

use std::process::Command;

use serde_json::json;

use crate::{
    client::{id_of, noise},
    service::{Data, ORGANIZATION, Service, Setup, TOKEN},
};

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap()
}

#[test]
fn usage_errors_exit_with_2_and_failures_with_1() {
    let run = |arguments: &[&str]| {
        let setup = arguments
            .iter()
            .fold(Setup::new(), |setup, &argument| setup.arg(argument));
        setup.run().status.code()
    };
    let id = "6f418e5f-b42d-4423-a0b5-349c74c454a4";

    assert_eq!(run(&["nonsense"]), Some(2));
    assert_eq!(run(&["token", "create", "--name", "x"]), Some(2));
    assert_eq!(run(&["token", "create", "--name", " ", "--organization", id]), Some(2));
    assert_eq!(run(&["token", "revoke", "nonsense"]), Some(2));
    assert_eq!(run(&["token", "revoke", id]), Some(1));
    assert_eq!(run(&["token", "create", "--name", "x", "--organization", id]), Some(1));
    assert_eq!(
        run(&["volume", "register", "/nowhere", "--name", "x", "--organization", id]),
        Some(1)
    );
    assert_eq!(run(&["digest", "/nowhere"]), Some(1));
    assert_eq!(run(&["--help"]), Some(0));
    assert_eq!(run(&["--version"]), Some(0));
}

#[test]
fn every_command_has_help() {
    let commands: [&[&str]; 12] = [
        &[],
        &["serve"],
        &["token", "create"],
        &["token", "list"],
        &["token", "revoke"],
        &["organization", "create"],
        &["volume", "register"],
        &["migrate"],
        &["healthcheck"],
        &["digest"],
        &["vault", "collect"],
        &["vault", "stat"],
    ];
    for command in commands {
        let setup = command.iter().fold(Setup::new(), |setup, &part| setup.arg(part));
        let output = setup.arg("--help").run();
        assert!(output.status.success(), "{command:?}");
        assert!(text(output.stdout).contains("Usage: snapshot-api"), "{command:?}");
    }
}

#[test]
fn the_commands_work_on_a_folder_that_is_not_there_yet() {
    let data = Data::new();
    let run = |arguments: &[&str]| {
        let setup = arguments
            .iter()
            .fold(Setup::on(&data), |setup, &argument| setup.arg(argument));
        let output = setup.run();
        assert!(output.status.success(), "{arguments:?}: {}", text(output.stderr));
        text(output.stdout)
    };

    run(&["migrate"]);
    let organization = run(&["organization", "create", "first team"]);
    let organization = organization.split_whitespace().next().unwrap();
    let token = run(&["token", "create", "--name", "nightly", "--organization", organization]);

    let token = token.split_whitespace().nth(1).unwrap();
    let service = Setup::on(&data).start();
    assert_eq!(service.printed(), "", "there is a token already");
    service.client_with(token).get("/snapshots").expect(200);
}

#[test]
fn a_token_is_shown_once_and_listed_without_its_secret() {
    let service = Service::start();
    let arguments = ["token", "create", "--name", "nightly", "--organization", ORGANIZATION];

    let made = service.json_of_command(&arguments)["token"].clone();

    let secret = made["secret"].as_str().unwrap();
    assert_eq!(uuid::Uuid::try_parse(secret).unwrap().get_version_num(), 4);
    let listed = service.json_of_command(&["token", "list"]);
    let entry = listed["tokens"]
        .as_array()
        .unwrap()
        .iter()
        .find(|token| token["id"] == made["id"])
        .unwrap();
    assert_eq!(entry["name"], "nightly");
    assert_eq!(entry["organizations"], json!([ORGANIZATION]));
    assert_eq!(entry["revocation_date"], serde_json::Value::Null);
    for output in ["text", "json"] {
        assert!(!text(service.command(&["token", "list", "--output", output]).stdout).contains(secret));
    }
}

#[test]
fn a_revoked_token_is_listed_as_revoked() {
    let service = Service::start();
    let arguments = ["token", "create", "--name", "nightly", "--organization", ORGANIZATION];
    let id = service.json_of_command(&arguments)["token"]["id"]
        .as_str()
        .unwrap()
        .to_owned();

    service.json_of_command(&["token", "revoke", &id]);

    let listed = service.json_of_command(&["token", "list"]);
    let entry = listed["tokens"]
        .as_array()
        .unwrap()
        .iter()
        .find(|token| token["id"] == id)
        .unwrap()
        .clone();
    assert!(entry["revocation_date"].is_string());
    service.json_of_command(&["token", "revoke", &id]);
    let again = service.json_of_command(&["token", "list"]);
    assert_eq!(listed, again, "revoking again keeps the first moment");
}

#[test]
fn organizations_are_made_and_listed() {
    let service = Service::start();

    let made = service.json_of_command(&["organization", "create", "second team"])["organization"].clone();

    let listed = service.json_of_command(&["organization", "list"]);
    assert_eq!(listed["organizations"].as_array().unwrap().len(), 2);
    assert_eq!(listed["organizations"][1], made);
    assert_eq!(made["name"], "second team");
    let lines = text(service.command(&["organization", "list"]).stdout);
    assert!(
        lines.contains("second team") && lines.contains(made["id"].as_str().unwrap()),
        "{lines}"
    );
}

#[test]
fn only_images_and_devices_of_whole_sectors_are_registered() {
    let service = Service::start();
    let register = |path: &str, organization: &str| {
        service.command(&[
            "volume",
            "register",
            path,
            "--name",
            "x",
            "--organization",
            organization,
        ])
    };
    let odd = service.data().beside("odd.raw");
    std::fs::write(&odd, [0; 513]).unwrap();
    let good = service.data().beside("good.raw");
    std::fs::write(&good, [0; 512]).unwrap();

    assert_eq!(register(odd.to_str().unwrap(), ORGANIZATION).status.code(), Some(1));
    assert_eq!(register("/dev/null", ORGANIZATION).status.code(), Some(1));
    assert_eq!(register("/tmp", ORGANIZATION).status.code(), Some(1));
    let pipe = service.data().beside("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    assert_eq!(register(pipe.to_str().unwrap(), ORGANIZATION).status.code(), Some(1));
    let nobody = "6f418e5f-b42d-4423-a0b5-349c74c454a4";
    let refused = register(good.to_str().unwrap(), nobody);
    assert!(text(refused.stderr).contains(nobody));
    assert!(register(good.to_str().unwrap(), ORGANIZATION).status.success());
    assert_eq!(
        service.client().get("/volumes").expect(200).header("x-total-count"),
        "1"
    );
}

#[test]
fn the_files_of_the_service_are_not_registered_by_any_name() {
    let data = Data::new();
    let database = data.beside("elsewhere.sqlite");
    let service = Setup::on(&data)
        .set("SNAPSHOT__BOOTSTRAP__TOKEN", TOKEN)
        .set("SNAPSHOT__BOOTSTRAP__ORGANIZATION", ORGANIZATION)
        .set("SNAPSHOT__DATABASE__URL", &format!("sqlite://{}", database.display()))
        .start();
    let linked = data.beside("linked.raw");
    std::fs::hard_link(data.path().join("keys/master.key"), &linked).unwrap();
    let symbolic = data.beside("symbolic.raw");
    std::os::unix::fs::symlink(&database, &symbolic).unwrap();

    for own in [
        &data.path().join("keys/master.key"),
        &database,
        &data.beside("elsewhere.sqlite-wal"),
        &linked,
        &symbolic,
    ] {
        let own = own.to_str().unwrap();
        let arguments = ["volume", "register", own, "--name", "x", "--organization", ORGANIZATION];
        let refused = service.command(&arguments);

        assert_eq!(refused.status.code(), Some(1), "{own}");
        let told = text(refused.stderr);
        assert!(told.contains("belongs to the service itself"), "{told}");
    }
}

#[test]
fn what_took_the_place_of_an_image_is_not_read() {
    let service = Service::start();
    let client = service.client();
    let image = service.data().beside("image.raw");
    std::fs::write(&image, [1; 512]).unwrap();
    let path = image.to_str().unwrap();
    let arguments = [
        "volume",
        "register",
        path,
        "--name",
        "x",
        "--organization",
        ORGANIZATION,
    ];
    let made = service.json_of_command(&arguments);
    let volume = made["volume"]["id"].as_str().unwrap();
    client.get(&format!("/volumes/{volume}/data")).expect(200);
    let other = service.data().beside("other.raw");
    std::fs::rename(&image, &other).unwrap();

    let check = || {
        client.get(&format!("/volumes/{volume}/data")).expect(503);
        service.logged(&format!("{path} can't be opened"));
        let snapshot = id_of(&client.snapshot(volume, "x").expect(200).json()["snapshot"]);
        client.wait_for_state("snapshot", &snapshot, "error");
    };
    std::os::unix::fs::symlink(&other, &image).unwrap();
    check();
    std::fs::remove_file(&image).unwrap();
    assert!(Command::new("mkfifo").arg(&image).status().unwrap().success());
    check();
    std::fs::remove_file(&image).unwrap();
    std::fs::rename(&other, &image).unwrap();
    client.get(&format!("/volumes/{volume}/data")).expect(200);
}

#[test]
fn healthcheck_asks_the_configured_address() {
    let service = Service::start();
    let check = |bind: &str| {
        Setup::on(service.data())
            .set("SNAPSHOT__SERVER__BIND", bind)
            .arg("healthcheck")
            .run()
    };
    let port = service.address().rsplit_once(':').unwrap().1;

    assert!(check(service.address()).status.success());
    assert!(check(&format!("0.0.0.0:{port}")).status.success());
    let free = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .to_string();
    let refused = check(&free);
    assert_eq!(refused.status.code(), Some(1));
    assert!(text(refused.stderr).contains(&free));
}

#[test]
fn the_digest_of_a_file_depends_on_its_bytes_and_the_chunk_size_alone() {
    let service = Service::start();
    let digest = |name: &str, more: &[&str]| {
        let path = service.data().beside(name);
        let arguments = [&["digest", path.to_str().unwrap()], more].concat();
        service.json_of_command(&arguments)["digest"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    let mut bytes = noise(300_000, 1);
    std::fs::write(service.data().beside("a"), &bytes).unwrap();
    std::fs::write(service.data().beside("b"), &bytes).unwrap();
    bytes[299_999] ^= 1;
    std::fs::write(service.data().beside("c"), &bytes).unwrap();

    assert!(digest("a", &[]).starts_with("blake3-131072:"));
    assert_eq!(digest("a", &[]), digest("b", &[]));
    assert_ne!(digest("a", &[]), digest("c", &[]));
    assert!(digest("a", &["--chunk-size", "65536"]).starts_with("blake3-65536:"));
}
