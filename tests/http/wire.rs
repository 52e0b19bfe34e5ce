//! What clients rely on between the lines: headers, slashes, methods, odd bodies.

use crate::{
    client::{id_of, noise},
    service::Service,
};

const JSON: (&str, &str) = ("Content-Type", "application/json");

#[test]
fn a_trailing_slash_is_answered_and_not_redirected() {
    let service = Service::start();
    let client = service.client();
    let volume = id_of(&client.make_volume(512));

    for path in [
        "/volumes/",
        &format!("/volumes/{volume}/"),
        &format!("/volumes/{volume}/data/"),
        "/snapshots/?",
    ] {
        client.get(path).expect(200);
    }
    let body = serde_json::json!({"name": "x", "organization": crate::service::ORGANIZATION, "size": 512});
    client.post("/volumes/", &body).expect(201);
}

#[test]
fn head_answers_as_get_does_without_the_body() {
    let service = Service::start();
    let client = service.client();
    let volume = id_of(&client.make_volume(1 << 20));
    let snapshot = id_of(&client.make_snapshot(&volume, "x"));

    for path in [
        "/snapshots".to_owned(),
        "/snapshots?page=1".to_owned(),
        format!("/snapshots/{snapshot}"),
        format!("/snapshots/{snapshot}/data"),
        "/volumes".to_owned(),
        format!("/volumes/{volume}"),
        format!("/volumes/{volume}/data"),
        "/healthz".to_owned(),
        "/snapshots/42".to_owned(),
        "/nowhere".to_owned(),
    ] {
        let (get, head) = (client.get(&path), client.head(&path));
        assert_eq!(head.status, get.status, "{path}");
        assert!(head.body.is_empty(), "{path}");
        for (name, value) in &get.headers {
            if !["date", "x-request-id"].contains(&name.as_str()) {
                assert_eq!(head.headers.get(name), Some(value), "{path} {name}");
            }
        }
    }
}

#[test]
fn a_request_that_is_sent_right_after_a_head_is_answered_right_after_it() {
    let service = Service::start();
    let client = service.client();
    let volume = client.make_volume_of(&noise(512, 1));
    let snapshot = id_of(&client.make_snapshot(&volume, "x"));
    for _ in 0..200 {
        client.make_volume(512);
    }
    let next = client.head_of("GET", "/healthz", "Connection: close\r\n");

    for path in [
        format!("/volumes/{volume}/data"),
        format!("/snapshots/{snapshot}/data"),
        "/volumes".to_owned(),
        "/volumes?name=x".to_owned(),
    ] {
        for _ in 0..20 {
            let answers = client.raw((client.head_of("HEAD", &path, "") + &next).as_bytes());
            let parts: Vec<_> = answers.split("\r\n\r\n").collect();
            let [head, second, body] = parts[..] else {
                panic!("{path}: {answers:?}");
            };
            assert!(head.starts_with("HTTP/1.1 200 "), "{path}: {answers:?}");
            assert!(second.starts_with("HTTP/1.1 200 "), "{path}: {answers:?}");
            assert_eq!(body, r#"{"status":"ok"}"#, "{path}");
        }
    }
}

#[test]
fn bodies_of_get_and_delete_do_not_matter() {
    let service = Service::start();
    let client = service.client();

    for body in ["{}", "null", "", "nonsense"] {
        let volume = id_of(&client.make_volume(512));
        client.call("GET", "/snapshots", &[JSON], body.as_bytes()).expect(200);
        client.call("GET", "/volumes?", &[JSON], body.as_bytes()).expect(200);
        client
            .call("GET", &format!("/volumes/{volume}"), &[JSON], body.as_bytes())
            .expect(200);
        client
            .call("DELETE", &format!("/volumes/{volume}"), &[JSON], body.as_bytes())
            .expect(204);
    }
}

#[test]
fn every_answer_has_a_request_id() {
    let service = Service::start();
    let client = service.client();

    for (method, path, body) in [
        ("GET", "/snapshots", ""),
        ("GET", "/nowhere", ""),
        ("PATCH", "/snapshots", ""),
        ("POST", "/volumes", "nonsense"),
        ("GET", "/healthz", ""),
    ] {
        let answer = client.call(method, path, &[JSON], body.as_bytes());
        let id = answer.header("x-request-id");
        assert!(uuid::Uuid::try_parse(id).is_ok(), "{method} {path}: {id}");
    }
    let unknown = service.stranger().get("/snapshots").expect(401);
    assert!(unknown.has_header("x-request-id"));
}

#[test]
fn a_request_id_is_taken_from_the_request_when_it_is_a_uuid() {
    let service = Service::start();
    let ask = |id: &str| {
        let answer = service.client().call("GET", "/snapshots", &[("X-Request-Id", id)], b"");
        answer.header("x-request-id").to_owned()
    };
    let id = "f0361e7b-cbe4-4882-a999-945192b7171b";

    assert_eq!(ask(id), id);
    assert_ne!(ask("mine"), "mine");
    assert_ne!(ask("1"), ask("1"));
    service.logged(&format!("request={id}"));
}

#[test]
fn the_access_log_has_a_line_per_request() {
    let service = Service::start();
    service.client().get("/snapshots?name=a%20b").expect(200);

    service.logged("path=/snapshots");

    let log = service.log();
    let line = log.lines().find(|line| line.contains("path=/snapshots")).unwrap();
    for part in [
        "method=GET",
        "status=200",
        "ms=",
        "request=",
        crate::service::ORGANIZATION,
    ] {
        assert!(line.contains(part), "{line}");
    }
    assert!(!line.contains("a%20b"), "{line}");
}

#[test]
fn several_requests_share_a_connection_also_after_bodies_that_nobody_reads() {
    let service = Service::start();
    let client = service.client();
    let length = "Content-Length: 2\r\n";
    let first = client.head_of("GET", "/snapshots", length) + "{}";
    let second = client.head_of("GET", "/nowhere", length) + "{}";
    let last = client.head_of("GET", "/volumes", "Connection: close\r\n");

    let answers = client.raw((first + &second + &last).as_bytes());

    let statuses: Vec<_> = answers
        .split("HTTP/1.1 ")
        .skip(1)
        .map(|answer| answer[..3].to_owned())
        .collect();
    assert_eq!(statuses, ["200", "404", "200"], "{answers}");
}

#[test]
fn a_client_of_http_1_0_is_sent_no_chunks() {
    let service = Service::start();
    let client = service.client();
    // As many as are read at once, so that the list is streamed.
    for _ in 0..200 {
        client.make_volume(512);
    }
    let request = client.head_of("GET", "/volumes", "").replace("HTTP/1.1", "HTTP/1.0");

    let answer = client.raw(request.as_bytes());

    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.0 200"), "{head}");
    assert!(!head.to_ascii_lowercase().contains("transfer-encoding"), "{head}");
    let list: serde_json::Value = serde_json::from_str(body).unwrap();
    assert_eq!(list["volumes"].as_array().unwrap().len(), 200);
}
