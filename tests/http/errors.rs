//! Failures: always a JSON object, whatever went wrong.

use serde_json::json;

use crate::{
    client::id_of,
    service::{ORGANIZATION, Service, Setup},
};

const JSON: (&str, &str) = ("Content-Type", "application/json");

#[test]
fn an_unknown_route_says_what_was_asked_for() {
    let service = Service::start();

    for path in ["/", "/servers", "/snapshots/a/b/c", "/instance/v2"] {
        let answer = service.client().get(path).expect(404).json();
        let expected = json!({"type": "unknown_resource", "message": format!("Route \"{path}\" not found")});
        assert_eq!(answer, expected);
    }
}

#[test]
fn a_wrong_method_is_told_the_right_ones() {
    let service = Service::start();
    let id = "6f418e5f-b42d-4423-a0b5-349c74c454a4";

    for (method, path, allow) in [
        ("DELETE", "/snapshots".to_owned(), "GET, HEAD, POST"),
        ("PATCH", "/snapshots/".to_owned(), "GET, HEAD, POST"),
        ("POST", format!("/snapshots/{id}"), "GET, HEAD, PUT, DELETE"),
        ("PUT", format!("/snapshots/{id}/data"), "GET, HEAD"),
        ("PUT", "/volumes".to_owned(), "GET, HEAD, POST"),
        ("POST", format!("/volumes/{id}"), "GET, HEAD, PUT, PATCH, DELETE"),
        ("POST", format!("/volumes/{id}/data"), "GET, HEAD, PUT"),
        ("OPTIONS", "/volumes".to_owned(), "GET, HEAD, POST"),
        ("POST", "/healthz".to_owned(), "GET, HEAD"),
    ] {
        let answer = service.client().call(method, &path, &[], b"").expect(405);
        assert_eq!(answer.header("allow"), allow, "{method} {path}");
        assert_eq!(answer.json()["type"], "invalid_request_error");
    }
}

#[test]
fn bodies_that_do_not_parse_are_refused() {
    let service = Service::start();
    let client = service.client();
    let deep = format!("{{\"name\": {}1{}}}", "[".repeat(5_000), "]".repeat(5_000));
    let bodies: [&[u8]; 10] = [
        b"",
        b"{",
        b"nonsense",
        b"[]",
        b"null",
        b"7",
        b"{\"name\": \"\xff\xfe\"}",
        b"{\"name\": \"\\ud800\"}",
        b"{} {}",
        deep.as_bytes(),
    ];

    for (method, path) in [("POST", "/snapshots"), ("POST", "/volumes")] {
        for body in bodies {
            let answer = client.call(method, path, &[JSON], body).expect(400).json();
            assert_eq!(
                answer["type"],
                "invalid_request_error",
                "{}",
                String::from_utf8_lossy(body)
            );
            assert!(answer.get("fields").is_none());
        }
    }
}

#[test]
fn a_key_that_is_given_twice_is_refused() {
    let service = Service::start();
    let body = br#"{"name": "a", "name": "b", "tags": [], "tags": []}"#;

    let answer = service
        .client()
        .call("POST", "/volumes", &[JSON], body)
        .expect(400)
        .json();

    assert_eq!(answer["fields"]["name"], json!(["must not be given more than once"]));
    assert_eq!(answer["fields"]["tags"], json!(["must not be given more than once"]));
}

#[test]
fn what_nobody_reads_may_be_given_twice() {
    let service = Service::start();
    let client = service.client();
    let body = format!(r#"{{"name": "x", "organization": "{ORGANIZATION}", "size": 512, "x": 1, "x": 2}}"#);

    let made = client
        .call("POST", "/volumes", &[JSON], body.as_bytes())
        .expect(201)
        .json();
    let changed = format!("/volumes/{}", id_of(&made["volume"]));
    let read_only = br#"{"name": "y", "size": 1, "size": 2, "state": "error", "state": "saving"}"#;
    let answer = client.call("PUT", &changed, &[JSON], read_only).expect(200).json();

    assert_eq!(answer["volume"]["name"], "y");
    assert_eq!(answer["volume"]["size"], 512);
    client.get("/volumes?x=1&x=2&y=%FF").expect(200);
    let wrong = client.get("/volumes?name=x&name=y&x=1&x=2").expect(400).json();
    assert_eq!(wrong["fields"], json!({"name": ["must not be given more than once"]}));
    let wrong = client.get("/volumes?name=%FF").expect(400).json();
    assert_eq!(wrong["fields"], json!({"name": ["must be valid UTF-8"]}));
}

#[test]
fn other_media_types_are_not_taken() {
    let service = Service::start();
    let client = service.client();
    let body = json!({"name": "x", "organization": ORGANIZATION, "size": 512}).to_string();

    for media_type in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/json; charset=latin-1",
        "application/jsonp",
        "nonsense",
    ] {
        let answer = client
            .call("POST", "/volumes", &[("Content-Type", media_type)], body.as_bytes())
            .expect(415);
        assert_eq!(answer.json()["type"], "invalid_request_error", "{media_type}");
    }
    let packed = [JSON, ("Content-Encoding", "gzip")];
    client.call("POST", "/volumes", &packed, body.as_bytes()).expect(415);
    for media_type in [
        "application/json",
        "application/json; charset=utf-8",
        "Application/JSON;charset=\"UTF-8\"",
    ] {
        client
            .call("POST", "/volumes", &[("Content-Type", media_type)], body.as_bytes())
            .expect(201);
    }
}

#[test]
fn a_body_that_is_too_large_is_refused() {
    let service = Setup::new().set("SNAPSHOT__LIMITS__JSON_BODY_BYTES", "1000").start();
    let client = service.client();
    let body = |padding: usize| {
        let body = json!({"name": "x", "organization": ORGANIZATION, "size": 512, "padding": ""}).to_string();
        body.replace("\"padding\":\"\"", &format!("\"padding\":\"{}\"", "x".repeat(padding)))
    };
    let fitting = 1000 - body(0).len();

    client
        .call("POST", "/volumes", &[JSON], body(fitting).as_bytes())
        .expect(201);
    let answer = client
        .call("POST", "/volumes", &[JSON], body(fitting + 1).as_bytes())
        .expect(413)
        .json();

    let expected = json!({"type": "invalid_request_error", "message": "The body must have at most 1000 bytes"});
    assert_eq!(answer, expected);
}

#[test]
fn wrong_types_are_errors_of_their_fields() {
    let service = Service::start();
    let body = json!({
        "name": ["x"],
        "organization": {"id": ORGANIZATION},
        "volume_type": 1,
        "size": "10GB",
        "tags": [1],
    });

    let answer = service.client().post("/volumes", &body).expect(400).json();

    let expected = json!({
        "name": ["must be a string"],
        "organization": ["must be a string"],
        "volume_type": ["must be a string"],
        "size": ["must be a whole number of bytes"],
        "tags": ["must be a list of strings"],
    });
    assert_eq!(answer["fields"], expected);
}

#[test]
fn a_failure_inside_names_the_request_and_nothing_else() {
    let service = Service::start();
    let client = service.client();
    let volume = id_of(&client.make_volume(512));
    std::fs::remove_file(service.data().path().join("volumes").join(format!("{volume}.raw"))).unwrap();
    let id = "6f418e5f-b42d-4423-a0b5-349c74c454a4";

    let answer = client.call("GET", &format!("/volumes/{volume}/data"), &[("X-Request-Id", id)], b"");

    assert!(answer.status >= 500, "{}", answer.text());
    assert_eq!(answer.header("x-request-id"), id);
    let text = answer.text();
    assert!(
        !text.contains(".raw") && !text.contains(service.data().path().to_str().unwrap()),
        "{text}"
    );
    answer.json();
    service.logged(&format!("request={id}"));
    let log = service.log();
    let cause = log.lines().find(|line| line.contains(id)).unwrap();
    assert!(cause.contains("ERROR"), "{cause}");
}
