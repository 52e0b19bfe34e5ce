//! `vault verify` and `vault recover`, as an operator runs them.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Output,
};

use serde_json::{Value, json};

use crate::{
    client::{Client, id_of, noise},
    service::{Data, ORGANIZATION, Service, Setup},
    story::{bytes_of, restore, start_on},
    vault_folder::{flip, objects, records},
};

const MIB: usize = 1 << 20;

/// Runs a command on a data folder, with or without a server on it.
fn run(data: &Data, arguments: &[&str]) -> Output {
    arguments
        .iter()
        .fold(Setup::on(data), |setup, argument| setup.arg(*argument))
        .run()
}

#[track_caller]
fn json_of(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

/// Verifies, and returns the exit code and what was found.
#[track_caller]
fn verify(data: &Data, more: &[&str]) -> (i32, Value) {
    let output = run(data, &[&["vault", "verify", "--output", "json"], more].concat());
    (output.status.code().unwrap(), json_of(&output)["verification"].take())
}

/// A volume with these bytes, and a snapshot of it, whose id is returned.
fn snapshot_of(client: &Client, bytes: &[u8], name: &str) -> String {
    let volume = client.make_volume_of(bytes);
    id_of(&client.make_snapshot(&volume, name))
}

fn stop(service: Service) -> Data {
    let mut service = service;
    let data = service.data().clone();
    service.signal("TERM");
    assert!(service.wait().success());
    data
}

fn lose_the_database(data: &Data) {
    for entry in fs::read_dir(data.path()).unwrap() {
        let path = entry.unwrap().path();
        if path
            .file_name()
            .unwrap()
            .to_string_lossy()
            .starts_with("metadata.sqlite")
        {
            fs::remove_file(path).unwrap();
        }
    }
}

fn snapshots_of(client: &Client) -> Vec<Value> {
    client.get("/snapshots").expect(200).json()["snapshots"]
        .as_array()
        .unwrap()
        .clone()
}

/// The snapshots, once it is known what each takes for itself.
fn measured_snapshots_of(client: &Client) -> Vec<Value> {
    crate::service::wait_for("the sizes of all snapshots", || {
        let snapshots = snapshots_of(client);
        let are_measured = snapshots.iter().all(|it| !it["exclusive_size"].is_null());
        are_measured.then_some(snapshots)
    })
}

/// Every file in the vault's folder with its bytes and the moment of its last change.
fn vault_of(data: &Data) -> BTreeMap<PathBuf, (Vec<u8>, std::time::SystemTime)> {
    let entry = |path: &Path| (fs::read(path).unwrap(), path.metadata().unwrap().modified().unwrap());
    let files = objects(&data.path(), "");
    files.into_iter().map(|path| (path.clone(), entry(&path))).collect()
}

#[test]
fn a_database_that_is_gone_is_recovered_from_the_vault_and_its_key() {
    let service = start_on(&Data::new());
    let client = service.client();
    let mut bytes = noise(9 * MIB, 1);
    bytes[2 * MIB..5 * MIB].fill(0);
    let first = snapshot_of(&client, &bytes, "vor dem „Upgrade“ 🗄");
    let body = json!({"name": "tagged", "organization": ORGANIZATION, "tags": ["nightly", " db "],
        "volume_id": client.make_volume_of(&noise(MIB, 2))});
    let tagged = id_of(&client.post("/snapshots", &body).expect(200).json()["snapshot"]);
    client.wait_for_state("snapshot", &tagged, "available");
    let deleted = snapshot_of(&client, &noise(MIB, 3), "deleted");
    client.delete(&format!("/snapshots/{deleted}")).expect(204);
    crate::service::wait_for("the manifest's removal", || {
        let manifests = objects(&service.data().path(), "manifests");
        (manifests.len() == 2).then_some(())
    });
    let (other, their_client) = service.other_tenant();
    let body = json!({"name": "theirs", "organization": other, "volume_type": "l_ssd", "size": MIB});
    let theirs = id_of(&their_client.post("/volumes", &body).expect(201).json()["volume"]);
    let body = json!({"name": "theirs", "organization": other, "volume_id": theirs});
    let theirs = id_of(&their_client.post("/snapshots", &body).expect(200).json()["snapshot"]);
    their_client.wait_for_state("snapshot", &theirs, "available");
    let before = measured_snapshots_of(&client);
    let data = stop(service);
    lose_the_database(&data);
    fs::remove_dir_all(data.path().join("index")).unwrap();

    let recovered = run(&data, &["vault", "recover", "--output", "json"]);
    let again = run(&data, &["vault", "recover", "--output", "json"]);
    let arguments = [
        "token",
        "create",
        "--name",
        "new",
        "--organization",
        ORGANIZATION,
        "--output",
        "json",
    ];
    let token = json_of(&run(&data, &arguments))["token"]["secret"]
        .as_str()
        .unwrap()
        .to_owned();
    let service = Setup::on(&data).start();
    let client = service.client_with(&token);

    assert_eq!(recovered.status.code(), Some(0), "{recovered:?}");
    let told = &json_of(&recovered)["recovery"];
    assert_eq!(told["snapshots"].as_array().unwrap().len(), 3);
    assert_eq!(told["organizations"].as_array().unwrap().len(), 2);
    assert_eq!(json_of(&again)["recovery"]["present"], 3);
    // A manifest does not tell when the row of its snapshot was last changed.
    let without_modification = |mut snapshots: Vec<Value>| {
        for snapshot in &mut snapshots {
            snapshot.as_object_mut().unwrap().remove("modification_date").unwrap();
        }
        snapshots
    };
    assert_eq!(before.len(), 2);
    assert_eq!(
        without_modification(measured_snapshots_of(&client)),
        without_modification(before)
    );
    let volume = restore(&client, &first);
    client.wait_for_state("volume", &volume, "available");
    assert!(bytes_of(&client, "volume", &volume) == bytes);
    client.get(&format!("/snapshots/{theirs}")).expect(404);
}

#[test]
fn what_a_check_finds_right_after_a_recovery_is_stored_again_by_the_next_snapshot() {
    let service = start_on(&Data::new());
    let bytes = noise(2 * MIB, 1);
    let first = snapshot_of(&service.client(), &bytes, "before");
    let data = stop(service);
    let pack = objects(&data.path(), "packs").pop_first().unwrap();
    let chunk = &records(&pack)[3];
    flip(&pack, chunk.offset + chunk.length / 2);
    lose_the_database(&data);

    assert_eq!(run(&data, &["vault", "recover"]).status.code(), Some(0));
    let (code, found) = verify(&data, &[]);
    let service = start_on(&data);
    let client = service.client();
    let second = snapshot_of(&client, &bytes, "after");

    assert_eq!((code, &found["kept"]), (1, &json!(true)));
    for snapshot in [&second, &first] {
        assert!(bytes_of(&client, "snapshot", snapshot) == bytes);
    }
}

#[test]
fn a_verification_that_misses_a_manifest_does_not_call_the_vault_whole() {
    let service = start_on(&Data::new());
    let lost = snapshot_of(&service.client(), &noise(MIB, 1), "lost");
    let data = service.data().clone();
    fs::remove_file(objects(&data.path(), "manifests").pop_first().unwrap()).unwrap();

    let (code, found) = verify(&data, &[]);
    let text = run(&data, &["vault", "verify"]);

    assert_eq!(code, 1);
    assert_eq!((&found["whole"], &found["missing"]), (&json!(false), &json!([lost])));
    let text = String::from_utf8(text.stdout).unwrap();
    assert!(
        text.contains("it has no manifest") && !text.contains("all of it"),
        "{text}"
    );
}

#[test]
fn what_cant_be_recovered_is_told_and_a_database_in_use_and_a_running_server_are_left_alone() {
    let service = start_on(&Data::new());
    let client = service.client();
    let lost = snapshot_of(&client, &noise(MIB, 1), "lost");
    let kept = snapshot_of(&client, &noise(MIB, 2), "kept");
    let beside_the_server = service.command(&["vault", "recover"]);
    let data = stop(service);
    let in_use = run(&data, &["vault", "recover"]);
    lose_the_database(&data);
    let manifests = objects(&data.path(), "manifests");
    let manifest = manifests
        .iter()
        .find(|path| path.to_string_lossy().contains(&lost))
        .unwrap();
    flip(manifest, 100);

    let recovered = run(&data, &["vault", "recover"]);

    let error = |output: &Output| String::from_utf8(output.stderr.clone()).unwrap();
    assert_eq!(beside_the_server.status.code(), Some(1));
    assert!(
        error(&beside_the_server).contains("another server"),
        "{}",
        error(&beside_the_server)
    );
    assert_eq!(in_use.status.code(), Some(1));
    assert!(
        error(&in_use).contains("the database is not empty: it has tokens"),
        "{}",
        error(&in_use)
    );
    let text = String::from_utf8(recovered.stdout.clone()).unwrap();
    assert_eq!(recovered.status.code(), Some(1), "{recovered:?}");
    assert!(text.contains(&format!("snapshot {lost} can't be read")), "{text}");
    assert!(text.contains("snapshots that are back: 1;"), "{text}");
    let service = start_on(&data);
    let listed = snapshots_of(&service.client());
    assert_eq!(listed.iter().map(id_of).collect::<Vec<_>>(), [kept]);
}

#[test]
fn a_recovery_makes_no_key_and_no_vault() {
    let data = Data::new();

    let nothing = run(&data, &["vault", "recover"]);
    fs::create_dir_all(data.path().join("vault/keys")).unwrap();
    let no_key = run(&data, &["vault", "recover"]);

    assert_eq!((nothing.status.code(), no_key.status.code()), (Some(1), Some(1)));
    assert!(!data.path().join("keys/master.key").exists());
    assert!(!data.path().join("metadata.sqlite").exists());
    assert_eq!(objects(&data.path(), "").len(), 0);
}

#[test]
fn a_verification_beside_the_server_names_what_is_damaged_and_whose_bytes_are_lost() {
    let service = start_on(&Data::new());
    let client = service.client();
    let data = service.data().clone();
    let hit = snapshot_of(&client, &noise(2 * MIB, 1), "hit");
    let pack = objects(&data.path(), "packs").pop_first().unwrap();
    let whole = snapshot_of(&client, &noise(2 * MIB, 2), "whole");
    let before = vault_of(&data);
    let healthy = verify(&data, &[]);
    assert!(vault_of(&data) == before, "it only reads");
    let chunk = &records(&pack)[3];

    flip(&pack, chunk.offset + chunk.length / 2);
    let (code, found) = verify(&data, &[]);
    let stored = verify(&data, &["--level", "1", "--threads", "1"]);
    let of_hit = verify(&data, &["--snapshot", &hit]);
    let of_whole = verify(&data, &["--snapshot", &whole, "--throughput", "1G"]);
    let text = run(&data, &["vault", "verify"]);

    assert_eq!((healthy.0, &healthy.1["whole"]), (0, &json!(true)), "{}", healthy.1);
    assert_eq!(healthy.1["snapshots"], 2);
    assert_eq!(code, 1);
    let [damage] = &found["damage"].as_array().unwrap()[..] else {
        panic!("{found}")
    };
    let object = damage["object"].as_str().unwrap();
    assert!(pack.ends_with(object), "{object}");
    assert_eq!(damage["first"], chunk.offset);
    let [loss] = &damage["lost"].as_array().unwrap()[..] else {
        panic!("{found}")
    };
    let (first, last) = (3 * 131_072, 4 * 131_072 - 1);
    assert_eq!(
        (&loss["snapshot"], &loss["first"], &loss["last"]),
        (&json!(hit), &json!(first), &json!(last))
    );
    assert_eq!((stored.0, &stored.1["damage"][0]["object"]), (1, &json!(object)));
    assert_eq!((of_hit.0, &of_hit.1["damage"][0]["lost"]), (1, &damage["lost"]));
    assert_eq!((of_whole.0, &of_whole.1["damage"]), (0, &json!([])));
    let text = String::from_utf8(text.stdout).unwrap();
    assert!(
        text.contains(&format!("lost of snapshot {hit}: bytes {first} to {last}")),
        "{text}"
    );
    snapshot_of(&client, &noise(MIB, 3), "the server goes on");
}

#[test]
fn verifications_beside_a_server_that_copies_and_deletes_find_nothing_wrong() {
    let service = start_on(&Data::new());
    let client = service.client();
    let data = service.data().clone();
    snapshot_of(&client, &noise(4 * MIB, 1), "stays");
    let busy = std::thread::spawn(move || {
        for seed in 2..10 {
            let snapshot = snapshot_of(&client, &noise(3 * MIB, seed), "comes and goes");
            client.delete(&format!("/snapshots/{snapshot}")).expect(204);
        }
    });

    let mut runs = 0;
    while !busy.is_finished() || runs == 0 {
        let (code, found) = verify(&data, &[]);
        assert_eq!((code, &found["damage"]), (0, &json!([])));
        runs += 1;
    }

    busy.join().unwrap();
}

#[test]
fn a_verification_without_the_key_or_the_vault_or_of_no_snapshot_says_why_it_failed() {
    let service = start_on(&Data::new());
    snapshot_of(&service.client(), &noise(MIB, 1), "some");
    let data = stop(service);
    let unknown = "00000000-0000-7000-8000-000000000001";
    let fails = |arguments: &[&str], told: &str| {
        let output = run(&data, arguments);
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{error}");
        assert!(error.contains(told), "{error}");
    };

    fails(&["vault", "verify", "--snapshot", unknown], "there is no manifest");
    fails(
        &["vault", "verify", "--snapshot", unknown, "--level", "1"],
        "leave out --snapshot",
    );
    let key = data.path().join("keys/master.key");
    fs::write(&key, "5a".repeat(32)).unwrap();
    fails(&["vault", "verify"], "the master key is not the one");
    fs::remove_file(&key).unwrap();
    fails(&["vault", "verify"], "is missing");
    assert_eq!(verify(&data, &["--level", "1"]).0, 0, "checksums need no key");
    fs::remove_dir_all(data.path().join("vault")).unwrap();
    fails(&["vault", "verify"], "there is no vault");
    assert!(!data.path().join("vault").exists());
}
