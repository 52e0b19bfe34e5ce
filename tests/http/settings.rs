//! What can be configured, and what is said when it can't.

use crate::service::{Data, ORGANIZATION, Setup, TOKEN};

#[track_caller]
fn refused(setup: &Setup) -> String {
    let output = setup.run();
    assert_eq!(output.status.code(), Some(1));
    assert!(
        !setup.data().path().exists(),
        "nothing is made before the settings are known to be good"
    );
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn a_misspelt_setting_stops_the_start_and_is_named() {
    let told = refused(&Setup::new().set("SNAPSHOT__SERVER__BNID", "127.0.0.1:0"));

    assert!(
        told.contains("server.bnid") && told.contains("SNAPSHOT__SERVER__BNID"),
        "{told}"
    );
}

#[test]
fn a_setting_of_no_use_stops_the_start_and_is_named() {
    let told = refused(&Setup::new().set("SNAPSHOT__LIMITS__CONNECTIONS", "many"));

    assert!(told.contains("limits.connections"), "{told}");
}

#[test]
fn a_wrong_secret_is_not_repeated() {
    let told = refused(&Setup::new().set("SNAPSHOT__BOOTSTRAP__TOKEN", "hunter2"));

    assert!(told.contains("bootstrap.token") && !told.contains("hunter2"), "{told}");
}

#[test]
fn a_file_is_read_and_the_environment_goes_over_it() {
    let data = Data::new();
    let file = data.beside("settings.toml");
    let text = format!(
        "zone = \"from-file\"\n[log]\nformat = \"json\"\n[bootstrap]\ntoken = \"{TOKEN}\"\norganization = \"{ORGANIZATION}\"\n"
    );
    std::fs::write(&file, text).unwrap();
    let setup = || Setup::on(&data).arg("--config").arg(file.to_str().unwrap());

    let service = setup().start();

    assert_eq!(service.client().make_volume(512)["zone"], "from-file");
    drop(service);
    let service = setup().set("SNAPSHOT__ZONE", "from-environment").start();
    assert_eq!(service.client().make_volume(512)["zone"], "from-environment");
}

#[test]
fn a_misspelt_setting_in_a_file_is_named_with_the_file() {
    let setup = Setup::new();
    let file = setup.data().beside("settings.toml");
    std::fs::write(&file, "[vault]\nchunksize = 65536\n").unwrap();

    let told = refused(&setup.arg("--config").arg(file.to_str().unwrap()));

    assert!(
        told.contains("vault.chunksize") && told.contains(file.to_str().unwrap()),
        "{told}"
    );
}

#[test]
fn a_file_that_is_not_there_is_an_error() {
    let told = refused(&Setup::new().arg("--config").arg("/nowhere/settings.toml"));

    assert!(told.contains("/nowhere/settings.toml"), "{told}");
}

#[test]
fn a_taken_address_is_an_error() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();

    let output = Setup::new().set("SNAPSHOT__SERVER__BIND", &address).run();

    assert_eq!(output.status.code(), Some(1));
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.contains(&address) && told.contains("server.bind"), "{told}");
}

#[test]
fn the_log_can_be_json() {
    let service = Setup::new().set("SNAPSHOT__LOG__FORMAT", "json").start();
    service.client().get("/snapshots").expect(200);
    service.logged("\"path\":\"/snapshots\"");

    let log = service.log();

    let lines: Vec<serde_json::Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let access = lines.iter().find(|line| line["path"] == "/snapshots").unwrap();
    assert_eq!(access["method"], "GET");
    assert_eq!(access["status"], 200);
    assert!(access["ms"].is_number());
    assert_eq!(access["organization"], ORGANIZATION);
    assert!(access["time"].is_string() && access["level"] == "INFO");
}

#[test]
fn the_log_can_be_quiet() {
    let service = Setup::new().start();
    assert!(!service.log().is_empty());

    let quiet = Setup::new().set("SNAPSHOT__LOG__LEVEL", "error").arg("migrate").run();

    assert!(quiet.status.success());
    assert!(quiet.stderr.is_empty());
}

#[test]
fn the_chunk_size_of_a_new_vault_is_the_configured_one() {
    let service = Setup::new().set("SNAPSHOT__VAULT__CHUNK_SIZE", "65536").start();
    let client = service.client();
    let volume = client.make_volume_of(&crate::client::noise(200_000, 1));

    let snapshot = client.make_snapshot(&volume, "x");

    assert!(
        snapshot["digest"].as_str().unwrap().starts_with("blake3-65536:"),
        "{snapshot}"
    );
}
