//! What one client may take of the service: each limit, met from outside.

use std::{
    io::{ErrorKind, Read as _, Write as _},
    net::TcpStream,
    thread,
    time::Duration,
};

use serde_json::{Value, json};

use crate::{
    client::{Answer, Client},
    service::{Service, Setup, wait_for},
};

/// Asks again and again until the answer is 429; returns how many were not, and that one.
fn asked_too_often(client: &Client) -> (usize, Answer) {
    let mut before = 0;
    let refused = wait_for("a 429", || {
        let answer = client.get("/volumes?page=1");
        before += usize::from(answer.status != 429);
        (answer.status == 429).then_some(answer)
    });
    (before, refused)
}

/// What a request that comes too fast is told; returns the seconds that it shall wait.
fn seconds_to_wait(refused: &Answer) -> u64 {
    assert_eq!(
        refused.json(),
        json!({"type": "rate_limit_exceeded", "message": "Too many requests"})
    );
    assert!(refused.has_header("x-request-id"));
    refused.header("retry-after").parse().unwrap()
}

#[test]
fn a_token_that_asks_too_often_is_told_when_to_come_again_and_others_are_not_disturbed() {
    let service = Setup::new()
        .set("SNAPSHOT__LIMITS__REQUESTS_PER_SECOND", "1")
        .set("SNAPSHOT__LIMITS__REQUESTS_BURST", "5")
        .start();
    let client = service.client();
    let (_, other) = service.other_tenant();

    let (before, refused) = asked_too_often(&client);

    assert!(before >= 5, "{before} were answered");
    assert_eq!(seconds_to_wait(&refused), 1);
    other.get("/volumes").expect(200);
    wait_for("the token to be let in again", || {
        (client.get("/volumes").status == 200).then_some(())
    });
    service.logged("status=429");
}

#[test]
fn every_path_counts() {
    let service = Setup::new()
        .set("SNAPSHOT__LIMITS__REQUESTS_PER_SECOND", "1")
        .set("SNAPSHOT__LIMITS__REQUESTS_BURST", "1")
        .start();
    let id = "6f418e5f-b42d-4423-a0b5-349c74c454a4";

    for (method, path) in [
        ("GET", "/snapshots".to_owned()),
        ("POST", "/snapshots".to_owned()),
        ("PUT", format!("/snapshots/{id}")),
        ("DELETE", format!("/snapshots/{id}")),
        ("GET", format!("/snapshots/{id}/data")),
        ("PUT", format!("/volumes/{id}/data")),
        ("GET", format!("/tasks/{id}")),
        ("GET", "/instance/v1/zones/a/volumes".to_owned()),
    ] {
        wait_for(&format!("{method} {path} to be refused"), || {
            (service.client().call(method, &path, &[], b"").status == 429).then_some(())
        });
    }
    service.stranger().get("/healthz").expect(200);
}

#[test]
fn the_rate_can_be_left_open() {
    let service = Setup::new()
        .set("SNAPSHOT__LIMITS__REQUESTS_PER_SECOND", "0")
        .set("SNAPSHOT__LIMITS__REQUESTS_BURST", "1")
        .start();

    for _ in 0..50 {
        service.client().get("/volumes").expect(200);
    }
}

#[test]
fn an_address_that_tries_many_tokens_is_slowed_down_and_tokens_that_are_known_are_not() {
    let service = Setup::new().set("SNAPSHOT__LIMITS__REFUSED_PER_SECOND", "1").start();

    for token in ["c6ff5501-eb35-44b8-aa01-8777211a830b", "no token"] {
        let (_, refused) = asked_too_often(&service.client_with(token));
        assert_eq!(seconds_to_wait(&refused), 1);
    }
    service.client().get("/volumes").expect(200);
}

#[test]
fn a_head_that_is_too_large_is_refused() {
    let service = Setup::new().set("SNAPSHOT__LIMITS__HEAD_BYTES", "2000").start();
    let client = service.client();
    let with_padding = |bytes: usize| client.call("GET", "/volumes", &[("X-Padding", &"x".repeat(bytes))], b"");

    with_padding(1000).expect(200);
    let refused = with_padding(2000).expect(431);

    let expected = json!({
        "type": "invalid_request_error",
        "message": "The head of a request must have at most 2000 bytes",
    });
    assert_eq!(refused.json(), expected);
    assert!(refused.has_header("x-request-id"));
    let long_target = client.get(&format!("/volumes?name={}", "x".repeat(2000)));
    assert_eq!(long_target.expect(431).json(), expected);
}

#[test]
fn what_the_web_server_itself_refuses_is_closed_without_a_word_more() {
    let service = Service::start();
    let client = service.client();
    let many = "X-Padding: x\r\n".repeat(100);
    let large = format!("X-Padding: {}\r\n", "x".repeat(140_000));

    for (request, status) in [
        ("nonsense\r\n\r\n".to_owned(), 400),
        ("GET /volumes HTTP/1.1\r\nno colon\r\n\r\n".to_owned(), 400),
        (client.head_of("GET", "/volumes", &many), 431),
        (client.head_of("GET", "/volumes", &large), 431),
    ] {
        let answer = client.raw(request.as_bytes());
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
        assert!(answer.ends_with("\r\n\r\n"), "{answer}");
    }
    client.get("/volumes").expect(200);
}

#[test]
fn a_head_that_takes_too_long_is_given_up() {
    let service = Setup::new().set("SNAPSHOT__LIMITS__REQUEST_HEAD_MS", "300").start();

    for (beginning, piece) in [("GET /vol", "u"), ("GET /volumes HTTP/1.1\r\nHost: ", "x")] {
        let answer = trickled(&service, beginning, piece);
        assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    }
}

#[test]
fn a_json_body_that_never_ends_is_given_up_also_while_it_brings_something() {
    let service = Setup::new().set("SNAPSHOT__LIMITS__STALLED_BODY_MS", "500").start();
    let headers = "Content-Type: application/json\r\nContent-Length: 200000\r\n";

    for key in ["", "Idempotency-Key: a\r\n"] {
        let head = service.client().head_of("POST", "/volumes", &format!("{headers}{key}"));
        let answer = trickled(&service, &head, " ");

        assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
        let (_, body) = answer.split_once("\r\n\r\n").unwrap();
        let body: Value = serde_json::from_str(body).unwrap();
        assert_eq!(
            body,
            json!({"type": "invalid_request_error", "message": "The body did not arrive in time"})
        );
    }
}

/// Sends a beginning, and then a piece now and again until there is an answer, which is returned.
fn trickled(service: &Service, beginning: &str, piece: &str) -> String {
    let mut stream = service.client().connect();
    stream.write_all(beginning.as_bytes()).unwrap();
    stream.set_nonblocking(true).unwrap();
    let mut answer = Vec::new();
    wait_for("an answer", || {
        // Once the service has answered, it may have closed the connection.
        let _ = stream.write(piece.as_bytes());
        thread::park_timeout(Duration::from_millis(10));
        has_something(&mut stream, &mut answer).then_some(())
    });
    stream.set_nonblocking(false).unwrap();
    // A connection that is reset was answered as well.
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8(answer).unwrap()
}

fn has_something(stream: &mut TcpStream, answer: &mut Vec<u8>) -> bool {
    let mut buffer = [0; 4096];
    match stream.read(&mut buffer) {
        Ok(read) => {
            answer.extend_from_slice(&buffer[..read]);
            true
        }
        Err(error) => {
            let nothing_yet = [ErrorKind::WouldBlock, ErrorKind::TimedOut];
            assert!(nothing_yet.contains(&error.kind()), "{error}");
            false
        }
    }
}

#[test]
fn an_idle_connection_is_closed() {
    let service = Setup::new().set("SNAPSHOT__LIMITS__KEEP_ALIVE_MS", "300").start();
    let client = service.client();

    // Nothing asks the service to close it.
    let answer = client.raw(client.head_of("GET", "/volumes", "").as_bytes());

    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
}

#[test]
fn a_later_head_that_does_not_arrive_keeps_no_connection() {
    let service = Setup::new()
        .set("SNAPSHOT__LIMITS__KEEP_ALIVE_MS", "300")
        .set("SNAPSHOT__LIMITS__REQUEST_HEAD_MS", "2000")
        .start();
    let client = service.client();
    let whole = client.head_of("GET", "/healthz", "");

    for (first, second) in [(&*whole, "GET /hea"), (&format!("{whole}GET /hea"), "lthz")] {
        let mut stream = client.connect();
        let mut answer = Vec::new();
        stream.write_all(first.as_bytes()).unwrap();
        wait_for("the first answer", || {
            has_something(&mut stream, &mut answer);
            answer.ends_with(b"}").then_some(())
        });
        stream.write_all(second.as_bytes()).unwrap();

        let ended = stream.read_to_end(&mut answer);

        assert!(has_ended(&ended), "{second}: {ended:?}");
    }
}

#[test]
fn connections_take_more_files_than_a_process_begins_with() {
    let service = Setup::new().open_files(100).start();
    let client = service.client();

    let held: Vec<_> = (0..200)
        .map(|_| {
            let mut stream = client.connect();
            stream
                .write_all(client.head_of("GET", "/volumes", "").as_bytes())
                .unwrap();
            let mut answer = Vec::new();
            assert!(has_something(&mut stream, &mut answer));
            stream
        })
        .collect();

    client.make_volume_of(b"also files are opened");
    drop(held);
}

#[test]
fn connections_beyond_the_limit_wait_until_others_are_closed() {
    let service = Setup::new()
        .set("SNAPSHOT__SERVER__WORKERS", "1")
        .set("SNAPSHOT__LIMITS__CONNECTIONS", "2")
        .start();
    let client = service.client();
    let ask = |stream: &mut TcpStream| stream.write_all(client.head_of("GET", "/volumes", "").as_bytes());
    let mut answer = Vec::new();
    let mut held: Vec<_> = (0..2)
        .map(|_| {
            let mut stream = client.connect();
            ask(&mut stream).unwrap();
            assert!(has_something(&mut stream, &mut answer));
            stream
        })
        .collect();

    let mut waiting = client.connect();
    ask(&mut waiting).unwrap();

    waiting.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    assert!(!has_something(&mut waiting, &mut answer), "it was answered at once");
    held.pop();
    wait_for("its answer", || has_something(&mut waiting, &mut answer).then_some(()));
}

#[test]
fn a_json_body_that_says_it_is_too_large_is_not_waited_for() {
    let service = Service::start();
    let client = service.client();

    for key in ["", "Idempotency-Key: a\r\n"] {
        let headers =
            format!("Content-Type: application/json\r\nContent-Length: 99999999\r\nConnection: close\r\n{key}");
        let answer = client.raw(client.head_of("POST", "/volumes", &headers).as_bytes());

        assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    }
}

/// Whether the service took everything or closed the connection, rather than let it stand.
fn has_ended<T>(ended: &std::io::Result<T>) -> bool {
    ended
        .as_ref()
        .err()
        .is_none_or(|error| matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe))
}

#[test]
fn a_chunked_body_that_nobody_reads_and_that_stops_keeps_no_connection() {
    let service = Setup::new()
        .set("SNAPSHOT__LIMITS__KEEP_ALIVE_MS", "300")
        .set("SNAPSHOT__LIMITS__STALLED_BODY_MS", "300")
        .start();
    let client = service.client();
    let path = "/volumes/6f418e5f-b42d-4423-a0b5-349c74c454a4";

    for (method, path, status) in [
        ("GET", "/healthz", 200),
        ("GET", "/nosuch", 404),
        ("DELETE", path, 404),
        ("PUT", &format!("{path}/data"), 404),
        ("POST", "/volumes", 408),
    ] {
        for begun in ["", "5\r\nabcde\r\n"] {
            let mut stream = client.connect();
            let head = client.head_of(method, path, "Transfer-Encoding: chunked\r\n");
            stream.write_all(format!("{head}{begun}").as_bytes()).unwrap();
            let mut answer = Vec::new();
            let ended = stream.read_to_end(&mut answer);

            assert!(has_ended(&ended), "{method} {path} {begun:?}: {ended:?}");
            let answer = String::from_utf8_lossy(&answer);
            assert!(
                answer.starts_with(&format!("HTTP/1.1 {status} ")),
                "{method} {path}: {answer}"
            );
        }
    }
}

#[test]
fn a_client_whose_chunked_body_nobody_reads_does_not_get_stuck_sending_it() {
    let service = Service::start();
    let client = service.client();
    let volume = client.make_volume(1 << 20)["id"].as_str().unwrap().to_owned();
    let chunk = [b"10000\r\n".as_slice(), &vec![0; 0x1_0000], b"\r\n"].concat();

    for (method, path) in [
        ("PUT", format!("/volumes/{volume}/data")),
        ("DELETE", "/volumes/6f418e5f-b42d-4423-a0b5-349c74c454a4".to_owned()),
        ("GET", "/healthz".to_owned()),
    ] {
        let mut stream = client.connect();
        stream.set_write_timeout(Some(Duration::from_secs(30))).unwrap();
        let head = client.head_of(method, &path, "Transfer-Encoding: chunked\r\n");
        stream.write_all(head.as_bytes()).unwrap();
        let sent = (0..1024).try_for_each(|_| stream.write_all(&chunk));

        assert!(has_ended(&sent), "{method} {path}: {sent:?}");
    }
    client.get(&format!("/volumes/{volume}")).expect(200);
}
