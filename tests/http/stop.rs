//! Stopping: politely, in time, and not at all politely.

use std::{
    io::{Read as _, Write as _},
    time::{Duration, Instant},
};

use crate::{
    client::{id_of, noise},
    service::{Data, ORGANIZATION, Service, Setup, TOKEN, wait_for},
};

#[test]
fn told_to_stop_it_ends_with_0() {
    for signal in ["TERM", "INT"] {
        let mut service = Service::start();
        service.client().get("/snapshots").expect(200);

        service.signal(signal);

        assert_eq!(service.wait().code(), Some(0), "{signal}");
        service.logged("stopped");
    }
}

#[test]
fn clients_that_hang_do_not_keep_it_from_stopping_in_time() {
    let mut service = Service::start();
    let client = service.client();
    let volume = id_of(&client.make_volume(64 << 20));
    let written = id_of(&client.make_volume(512));
    let requests = [
        String::new(),
        "GET /snapsh".to_owned(),
        client.head_of("GET", &format!("/volumes/{volume}/data"), ""),
        client.head_of("PUT", &format!("/volumes/{written}/data"), "Content-Length: 512\r\n"),
        client.head_of(
            "POST",
            "/snapshots",
            "Content-Type: application/json\r\nContent-Length: 10\r\n",
        ),
    ];
    let hung: Vec<_> = requests
        .iter()
        .map(|request| {
            let mut stream = client.connect();
            stream.write_all(request.as_bytes()).unwrap();
            stream
        })
        .collect();
    client.wait_for_state("volume", &written, "saving");
    let asked = Instant::now();

    service.signal("TERM");

    assert_eq!(service.wait().code(), Some(0));
    assert!(asked.elapsed() < Duration::from_secs(10), "{:?}", asked.elapsed());
    drop(hung);
    let service = again(service.data());
    let volume = service.client().get(&format!("/volumes/{written}")).expect(200).json()["volume"].clone();
    assert_eq!(
        volume["state"], "available",
        "the write that did not end is as if it had never begun"
    );
}

/// The same service on the same folder.
fn again(data: &Data) -> Service {
    Setup::on(data)
        .set("SNAPSHOT__BOOTSTRAP__TOKEN", TOKEN)
        .set("SNAPSHOT__BOOTSTRAP__ORGANIZATION", ORGANIZATION)
        .start()
}

#[test]
fn a_request_that_runs_is_finished_first() {
    let mut service = Service::start();
    let client = service.client();
    let volume = id_of(&client.make_volume(512));
    let mut writing = client.connect();
    let head = client.head_of("PUT", &format!("/volumes/{volume}/data"), "Content-Length: 512\r\n");
    writing.write_all(head.as_bytes()).unwrap();
    writing.write_all(&[7; 500]).unwrap();
    client.wait_for_state("volume", &volume, "saving");

    service.signal("TERM");
    service.logged("told to stop");
    writing.write_all(&[7; 12]).unwrap();

    let mut answer = String::new();
    writing.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert_eq!(service.wait().code(), Some(0));
    let service = again(service.data());
    assert_eq!(
        service
            .client()
            .get(&format!("/volumes/{volume}/data"))
            .expect(200)
            .body,
        [7; 512]
    );
}

#[test]
fn a_copy_that_was_stopped_goes_on_at_the_next_start() {
    for signal in ["TERM", "KILL"] {
        let mut service = Service::start();
        let client = service.client();
        let bytes = noise(24 << 20, 1);
        let volume = client.make_volume_of(&bytes);
        let snapshot = id_of(&client.snapshot(&volume, "x").expect(200).json()["snapshot"]);

        service.signal(signal);
        service.wait();

        let service = again(service.data());
        let client = service.client();
        client.wait_for_state("snapshot", &snapshot, "available");
        assert!(
            client.get(&format!("/snapshots/{snapshot}/data")).expect(200).body == bytes,
            "{signal}"
        );
        client.wait_for_state("volume", &volume, "available");
    }
}

#[test]
fn a_write_that_was_killed_leaves_the_bytes_from_before() {
    let mut service = Service::start();
    let client = service.client();
    let bytes = noise(1 << 20, 2);
    let volume = client.make_volume_of(&bytes);
    let mut writing = client.connect();
    let head = client.head_of("PUT", &format!("/volumes/{volume}/data"), "Content-Length: 1048576\r\n");
    writing.write_all(head.as_bytes()).unwrap();
    writing.write_all(&[7; 1000]).unwrap();
    client.wait_for_state("volume", &volume, "saving");

    service.signal("KILL");
    service.wait();

    let service = again(service.data());
    let client = service.client();
    let shown = client.get(&format!("/volumes/{volume}")).expect(200).json();
    assert_eq!(shown["volume"]["state"], "available");
    assert!(client.get(&format!("/volumes/{volume}/data")).expect(200).body == bytes);
    assert!(service.log().contains("1 interrupted writes"), "{}", service.log());
    wait_for("what was staged to be removed", || {
        let staging = service.data().path().join("volumes").join("staging");
        (std::fs::read_dir(staging).unwrap().count() == 0).then_some(())
    });
}
