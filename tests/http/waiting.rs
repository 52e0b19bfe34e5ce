//! Waiting for a snapshot or a volume without asking again and again, and streams of events.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    sync::Barrier,
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::{
    client::{Answer, Client, id_of, noise},
    service::{Service, Setup, wait_for},
};

/// A service that runs one task at a time, with one thread.
fn slow() -> Setup {
    Setup::new()
        .set("SNAPSHOT__TASKS__CONCURRENCY", "1")
        .set("SNAPSHOT__TASKS__THREADS", "1")
}

/// A snapshot that waits until another one is copied.
fn queued(client: &Client) -> String {
    let volume = client.make_volume_of(&noise(48 << 20, 1));
    let snapshots =
        ["first", "second"].map(|name| id_of(&client.snapshot(&volume, name).expect(200).json()["snapshot"]));
    snapshots[1].clone()
}

/// A volume that is being written, for as long as the connection is kept.
fn saving(client: &Client) -> (String, TcpStream) {
    let volume = id_of(&client.make_volume(512));
    let mut writing = client.connect();
    let head = client.head_of("PUT", &format!("/volumes/{volume}/data"), "Content-Length: 512\r\n");
    writing.write_all(head.as_bytes()).unwrap();
    writing.write_all(&[7; 100]).unwrap();
    client.wait_for_state("volume", &volume, "saving");
    (volume, writing)
}

/// A stream of events, as it arrives.
struct Events(BufReader<TcpStream>);

#[derive(Debug, Default)]
struct Event {
    name: String,
    id: String,
    data: Value,
}

impl Events {
    #[track_caller]
    fn of(client: &Client, path: &str, headers: &str) -> Self {
        let mut stream = client.connect();
        stream
            .write_all(client.head_of("GET", path, headers).as_bytes())
            .unwrap();
        let mut events = Self(BufReader::new(stream));
        let head = events.head();
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        assert!(head.contains("content-type: text/event-stream\r\n"), "{head}");
        assert!(head.contains("cache-control: no-store\r\n"), "{head}");
        assert!(head.contains("x-request-id: "), "{head}");
        events
    }

    fn head(&mut self) -> String {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert!(self.0.read_line(&mut head).unwrap() > 0, "{head}");
        }
        head.to_lowercase().replacen("http", "HTTP", 1)
    }

    /// The next chunk of the body; `None` at its end.
    fn chunk(&mut self) -> Option<String> {
        let mut size = String::new();
        self.0.read_line(&mut size).unwrap();
        let size = usize::from_str_radix(size.trim(), 16).unwrap();
        let mut chunk = vec![0; size + 2];
        self.0.read_exact(&mut chunk).unwrap();
        chunk.truncate(size);
        (size > 0).then(|| String::from_utf8(chunk).unwrap())
    }

    fn next(&mut self) -> Option<Event> {
        loop {
            let chunk = self.chunk()?;
            if chunk.starts_with(':') {
                continue;
            }
            assert!(chunk.ends_with("\n\n"), "{chunk:?}");
            let mut event = Event::default();
            for line in chunk.trim_end().lines() {
                match line.split_once(": ").unwrap() {
                    ("event", name) => name.clone_into(&mut event.name),
                    ("id", id) => id.clone_into(&mut event.id),
                    ("data", data) => event.data = serde_json::from_str(data).unwrap(),
                    other => panic!("{other:?}"),
                }
            }
            return Some(event);
        }
    }

    fn rest(mut self) -> Vec<Event> {
        std::iter::from_fn(|| self.next()).collect()
    }
}

#[test]
fn an_answer_comes_as_soon_as_a_snapshot_is_whole() {
    let service = Service::start();
    let client = service.client();
    let volume = client.make_volume_of(&noise(4 << 20, 1));
    let snapshot = id_of(&client.snapshot(&volume, "x").expect(200).json()["snapshot"]);

    for prefix in ["", "/instance/v1/zones/a-1"] {
        let path = format!("{prefix}/snapshots/{snapshot}");
        let whole = client.get(&format!("{path}?wait=available&timeout=60")).expect(200);
        assert_eq!(whole.json()["snapshot"]["state"], "available");
        assert_eq!(whole.header("etag"), client.get(&path).expect(200).header("etag"));
    }
    let tag = client.get(&format!("/snapshots/{snapshot}")).header("etag").to_owned();
    let path = format!("/snapshots/{snapshot}?wait=available");
    client.call("GET", &path, &[("If-None-Match", &tag)], b"").expect(304);
    let volume = client.get(&format!("/volumes/{volume}?wait=available")).expect(200);
    assert_eq!(volume.json()["volume"]["state"], "available");
}

#[test]
fn a_wait_ends_when_a_copy_fails() {
    let service = Service::start();
    let client = service.client();
    let image = service.data().beside("disk.raw");
    std::fs::write(&image, vec![1; 1 << 20]).unwrap();
    let registered = service.json_of_command(&[
        "volume",
        "register",
        image.to_str().unwrap(),
        "--name",
        "image",
        "--organization",
        crate::service::ORGANIZATION,
    ]);
    let volume = id_of(&registered["volume"]);
    std::fs::remove_file(&image).unwrap();
    let snapshot = id_of(&client.snapshot(&volume, "x").expect(200).json()["snapshot"]);

    let failed = client.get(&format!("/snapshots/{snapshot}?wait=available&timeout=60"));

    assert_eq!(failed.expect(200).json()["snapshot"]["state"], "error");
}

#[test]
fn connections_are_kept_while_their_requests_run() {
    let service = Setup::new()
        .set("SNAPSHOT__LIMITS__KEEP_ALIVE_MS", "200")
        .set("SNAPSHOT__LIMITS__REQUEST_HEAD_MS", "2000")
        .start();
    let client = service.client().without_kept_connections();
    // More than what the kernel takes for a client that reads nothing yet.
    let size = 64 << 20;
    let large = id_of(&client.make_volume(size));
    let head = client.head_of("GET", &format!("/volumes/{large}/data"), "Connection: close\r\n");
    let mut download = client.connect();
    download.write_all(head.as_bytes()).unwrap();
    let (volume, mut upload) = saving(&client);

    // Longer than an unused connection is kept.
    let waited = client.get(&format!("/volumes/{volume}?wait=available&timeout=4"));

    assert_eq!(waited.expect(200).json()["volume"]["state"], "saving");
    let mut answer = Vec::new();
    download.read_to_end(&mut answer).unwrap();
    assert!(answer.len() as u64 > size, "{} bytes came", answer.len());
    upload.write_all(&[7; 412]).unwrap();
    client.wait_for_state("volume", &volume, "available");
}

#[test]
fn who_waited_long_enough_is_told_how_things_are() {
    let service = Service::start();
    let client = service.client();
    let (volume, mut upload) = saving(&client);
    let began = Instant::now();

    let shown = client
        .get(&format!("/volumes/{volume}?wait=available&timeout=1"))
        .expect(200);

    assert_eq!(shown.json()["volume"]["state"], "saving");
    assert!(began.elapsed() >= Duration::from_secs(1));
    let waiting = {
        let (client, path) = (client.clone(), format!("/volumes/{volume}?wait=available&timeout=60"));
        thread::spawn(move || client.get(&path))
    };
    upload.write_all(&[7; 412]).unwrap();
    let shown = waiting.join().unwrap().expect(200).json();
    assert_eq!(shown["volume"]["state"], "available");
}

#[test]
fn a_deleted_snapshot_ends_the_wait_and_the_stream() {
    let service = slow().start();
    let client = service.client();
    let snapshot = queued(&client);
    let mut events = Events::of(&client, &format!("/snapshots/{snapshot}/events"), "");
    let first = events.next().unwrap();
    assert_eq!(
        (first.name.as_str(), &first.data["snapshot"]["state"]),
        ("change", &json!("snapshotting"))
    );
    let waiting = {
        let (client, path) = (
            client.clone(),
            format!("/snapshots/{snapshot}?wait=available&timeout=60"),
        );
        thread::spawn(move || client.get(&path))
    };

    client.delete(&format!("/snapshots/{snapshot}")).expect(204);

    let gone = json!({"type": "unknown_resource", "message": format!("Snapshot \"{snapshot}\" not found")});
    assert_eq!(waiting.join().unwrap().expect(404).json(), gone);
    let last = events.rest().pop().unwrap();
    assert_eq!((last.name.as_str(), last.data), ("end", gone));
    client.get(&format!("/snapshots/{snapshot}/events")).expect(404);
}

#[test]
fn a_stream_tells_of_every_change_up_to_the_last() {
    let service = slow().start();
    let client = service.client();
    let snapshot = queued(&client);
    let path = format!("/snapshots/{snapshot}/events");

    let mut events = Events::of(&client, &path, "").rest();

    let last = events.pop().unwrap();
    assert_eq!(
        (last.name.as_str(), &last.data["snapshot"]["state"]),
        ("end", &json!("available"))
    );
    assert!(!events.is_empty());
    let mut progress = 0;
    for event in &events {
        assert_eq!(event.name, "change");
        assert_eq!(event.data["snapshot"]["state"], "snapshotting");
        let now = event.data["snapshot"]["progress"].as_u64().unwrap();
        assert!(now >= progress, "{now} after {progress}");
        progress = now;
    }
    let shown = client.get(&format!("/snapshots/{snapshot}")).expect(200);
    assert_eq!(last.data, shown.json());
    assert_eq!(format!("\"{}\"", last.id), shown.header("etag"));

    // Who comes again with what it has seen last is told that there is no more.
    let seen = [("Last-Event-ID", last.id.as_str())];
    let nothing = client.call("GET", &path, &seen, b"").expect(204);
    assert!(nothing.body.is_empty());
    for other in ["Last-Event-ID: 1-x-y\r\n", "Last-Event-ID: \u{fc}\r\n", ""] {
        let again = Events::of(&client, &path, other).rest();
        assert_eq!(again.len(), 1, "{other}");
        assert_eq!(
            (again[0].name.as_str(), again[0].id.as_str()),
            ("end", last.id.as_str())
        );
    }
    let head = client.head(&path).expect(200);
    assert_eq!(head.header("content-type"), "text/event-stream");
}

#[test]
fn a_rename_is_a_change_too() {
    let service = slow().start();
    let client = service.client();
    let snapshot = queued(&client);
    let mut events = Events::of(
        &client,
        &format!("/instance/v1/zones/a-1/snapshots/{snapshot}/events"),
        "",
    );
    events.next().unwrap();

    client
        .put(&format!("/snapshots/{snapshot}"), &json!({"name": "renamed"}))
        .expect(200);

    let renamed = std::iter::from_fn(|| events.next()).find(|event| event.data["snapshot"]["name"] == "renamed");
    assert_eq!(renamed.unwrap().data["snapshot"]["zone"], "a-1");
}

#[test]
fn bad_waits_are_refused() {
    let service = Service::start();
    let client = service.client();
    let path = format!("/volumes/{}", id_of(&client.make_volume(512)));
    let check = |query: &str, field: &str, sentence: &str| {
        let refused = client.get(&format!("{path}?{query}")).expect(400).json();
        assert_eq!(refused["fields"], json!({field: [sentence]}), "{query}");
    };

    check("wait=error", "wait", "must be available");
    let range = "must be a whole number from 1 to 300";
    check("wait=available&timeout=0", "timeout", range);
    check("wait=available&timeout=301", "timeout", range);
    check("wait=available&timeout=x", "timeout", range);
    check("timeout=1", "timeout", "must be given together with wait");
    client.get(&format!("{path}?anything=else")).expect(200);
}

#[test]
fn nobody_waits_for_what_is_not_theirs() {
    let service = Service::start();
    let client = service.client();
    let volume = id_of(&client.make_volume(512));
    let snapshot = id_of(&client.make_snapshot(&volume, "x"));
    let (_, other) = service.other_tenant();

    for path in [
        format!("/snapshots/{snapshot}?wait=available"),
        format!("/volumes/{volume}?wait=available"),
        format!("/snapshots/{snapshot}/events"),
    ] {
        other.get(&path).expect(404);
        service.stranger().get(&path).expect(401);
    }
    client.get("/snapshots/42/events").expect(404);
    let refused = client
        .post(&format!("/snapshots/{snapshot}/events"), &json!({}))
        .expect(405);
    assert_eq!(refused.header("allow"), "GET, HEAD");
}

#[test]
fn only_so_many_wait_at_once_and_who_leaves_makes_room() {
    const AT_ONCE: usize = 4;
    let service = Setup::new().set("SNAPSHOT__LIMITS__WAITING", "1").start();
    let client = service.client();
    let (volume, _upload) = saving(&client);
    let start = Barrier::new(AT_ONCE);

    let answers: Vec<Answer> = thread::scope(|scope| {
        let callers: Vec<_> = (0..AT_ONCE)
            .map(|_| {
                let (start, client) = (&start, service.client());
                let path = format!("/volumes/{volume}?wait=available&timeout=3");
                scope.spawn(move || {
                    start.wait();
                    client.get(&path)
                })
            })
            .collect();
        callers.into_iter().map(|caller| caller.join().unwrap()).collect()
    });

    let (waited, refused): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status == 200);
    assert!(!waited.is_empty() && !refused.is_empty(), "{answers:?}");
    for answer in refused {
        assert_eq!((answer.status, answer.header("retry-after")), (503, "5"));
        assert_eq!(answer.json()["type"], "service_unavailable");
    }
    client.get(&format!("/volumes/{volume}")).expect(200);
    client
        .get(&format!("/volumes/{volume}?wait=available&timeout=1"))
        .expect(200);
}

#[test]
fn a_stream_shows_that_it_is_there_and_a_client_that_leaves_it_is_noticed() {
    let service = slow()
        .set("SNAPSHOT__LIMITS__WAITING", "1")
        .set("SNAPSHOT__LIMITS__HEARTBEAT_MS", "1")
        .start();
    let client = service.client();
    let snapshot = queued(&client);
    let path = format!("/snapshots/{snapshot}/events");
    let mut events = Events::of(&client, &path, "");
    let chunks: Vec<_> = std::iter::from_fn(|| events.chunk()).take(3).collect();
    assert!(chunks.iter().any(|chunk| chunk == ": still there\n\n"), "{chunks:?}");

    drop(events);

    wait_for("room for another stream", || {
        (client.head(&path).status != 503).then_some(())
    });
}

#[test]
fn a_stop_does_not_wait_for_those_who_wait() {
    let mut service = slow().start();
    let client = service.client();
    let (volume, _upload) = saving(&client);
    let snapshot = queued(&client);
    let mut events = Events::of(&client, &format!("/snapshots/{snapshot}/events"), "");
    events.next().unwrap();
    let mut waiting = client.connect();
    let head = client.head_of("GET", &format!("/volumes/{volume}?wait=available&timeout=300"), "");
    waiting.write_all(head.as_bytes()).unwrap();
    let other = client
        .get(&format!("/volumes/{volume}?wait=available&timeout=1"))
        .expect(200);
    assert_eq!(other.json()["volume"]["state"], "saving");

    service.signal("TERM");

    events.rest();
    let mut answer = String::new();
    // The connection is closed afterwards, with a reset or without.
    let _ = waiting.read_to_string(&mut answer);
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert_eq!(service.wait().code(), Some(0));
}
