//! `ETag`, `If-Match` and `If-None-Match` on snapshots and volumes.

use std::{sync::Barrier, thread};

use serde_json::{Value, json};

use crate::{
    client::{Answer, Client, id_of, noise},
    service::{ORGANIZATION, Service, wait_for},
};

fn with(client: &Client, method: &str, path: &str, headers: &[(&str, &str)], body: &Value) -> Answer {
    let headers = [headers, &[("Content-Type", "application/json")]].concat();
    let body = if body.is_null() {
        String::new()
    } else {
        body.to_string()
    };
    client.call(method, path, &headers, body.as_bytes())
}

fn tag(client: &Client, path: &str) -> String {
    client.get(path).expect(200).header("etag").to_owned()
}

struct Prepared {
    client: Client,
    /// The paths of a snapshot and a volume that nobody works on.
    paths: [String; 2],
    service: Service,
}

fn prepared() -> Prepared {
    let service = Service::start();
    let client = service.client();
    let volume = id_of(&client.make_volume(512));
    let snapshot = id_of(&client.make_snapshot(&volume, "x"));
    client.wait_for_state("volume", &volume, "available");
    // The last that changes by itself, a moment after the snapshot is whole.
    wait_for("the exclusive size", || {
        let shown = client.get(&format!("/snapshots/{snapshot}")).expect(200).json();
        shown["snapshot"]["exclusive_size"].as_u64()
    });
    Prepared {
        client,
        paths: [format!("/snapshots/{snapshot}"), format!("/volumes/{volume}")],
        service,
    }
}

#[test]
fn a_tag_names_what_is_seen_and_changes_with_it() {
    let Prepared {
        client,
        paths,
        service: _service,
    } = prepared();
    for path in &paths {
        let first = tag(&client, path);
        assert!(first.starts_with('"') && first.ends_with('"'), "{first}");
        assert_eq!(client.head(path).expect(200).header("etag"), first);
        assert_eq!(tag(&client, path), first);

        let updated = client.put(path, &json!({"name": "another"})).expect(200);
        let second = updated.header("etag").to_owned();
        assert_ne!(second, first);
        assert_eq!(tag(&client, path), second);
        let zoned = tag(&client, &format!("/instance/v1/zones/a-1{path}"));
        assert_ne!(zoned, second, "the zone is another one, and so is the JSON");
        let patched = with(
            &client,
            "PATCH",
            &format!("/instance/v1/zones/a-1{path}"),
            &[],
            &json!({"name": "third"}),
        );
        assert_ne!(patched.expect(200).header("etag"), zoned);
    }
}

#[test]
fn what_is_made_is_answered_with_its_tag() {
    let service = Service::start();
    let client = service.client();
    let body = json!({"name": "v", "organization": ORGANIZATION, "volume_type": "l_ssd", "size": 512});

    for prefix in ["", "/instance/v1/zones/a-1"] {
        let made = client.post(&format!("{prefix}/volumes"), &body).expect(201);
        let path = made.header("location").to_owned();
        assert_eq!(tag(&client, &path), made.header("etag"));
        let id = id_of(&made.json()["volume"]);
        let wanted = json!({"name": "s", "organization": ORGANIZATION, "volume_id": id});
        let begun = client.post(&format!("{prefix}/snapshots"), &wanted);
        let path = format!("{prefix}/snapshots/{}", id_of(&begun.json()["snapshot"]));
        assert_ne!(begun.header("etag"), "");
        client.wait_for_state("snapshot", &id_of(&begun.json()["snapshot"]), "available");
        assert_ne!(tag(&client, &path), begun.header("etag"), "it is available by now");
    }
}

#[test]
fn who_has_seen_it_is_not_sent_it_again() {
    let Prepared {
        client,
        paths,
        service: _service,
    } = prepared();
    for path in &paths {
        let current = tag(&client, path);
        for method in ["GET", "HEAD"] {
            for list in [
                current.clone(),
                format!("W/{current}"),
                format!("\"x\", {current}"),
                "*".to_owned(),
            ] {
                let answer = client.call(method, path, &[("If-None-Match", &list)], b"").expect(304);
                assert_eq!(answer.header("etag"), current);
                assert!(answer.body.is_empty());
            }
        }
        client.call("GET", path, &[("If-None-Match", "\"x\"")], b"").expect(200);

        client.put(path, &json!({"name": "another"})).expect(200);
        client
            .call("GET", path, &[("If-None-Match", &current)], b"")
            .expect(200);
        client.call("GET", path, &[("If-Match", &current)], b"").expect(412);
    }
}

#[test]
fn a_stale_change_is_refused_and_changes_nothing() {
    let Prepared {
        client,
        paths,
        service: _service,
    } = prepared();
    for path in &paths {
        let stale = tag(&client, path);
        client.put(path, &json!({"name": "theirs"})).expect(200);
        let before = client.get(path).expect(200).text();
        let (_, id) = path.rsplit_once('/').unwrap();
        let zoned = format!("/instance/v1/zones/a-1{path}");

        for (method, path) in [("PUT", path), ("PATCH", &zoned), ("PUT", &zoned), ("DELETE", path)] {
            let body = if method == "DELETE" {
                Value::Null
            } else {
                json!({"name": "mine"})
            };
            for list in [&stale, "\"x\"", &format!("W/{stale}"), &format!("{stale}, \"x\"")] {
                let refused = with(&client, method, path, &[("If-Match", list)], &body).expect(412);
                assert_eq!(refused.json()["type"], "precondition_failed");
                assert_eq!(refused.json()["resource_id"], id);
            }
            with(&client, method, path, &[("If-None-Match", "*")], &body).expect(412);
        }
        if path.starts_with("/snapshots") {
            let offer = format!("{path}/transfer");
            with(&client, "POST", &offer, &[("If-Match", &stale)], &json!({})).expect(412);
            with(
                &client,
                "POST",
                &offer,
                &[("If-Match", &tag(&client, path))],
                &json!({}),
            )
            .expect(201);
        }
        assert_eq!(client.get(path).expect(200).text(), before);

        let current = tag(&client, path);
        let of_zone = tag(&client, &zoned);
        let both = format!("{stale}, {current}");
        with(&client, "PUT", path, &[("If-Match", &of_zone)], &json!({"name": "1"})).expect(200);
        with(&client, "PUT", path, &[("If-Match", &both)], &json!({"name": "2"})).expect(412);
        with(&client, "PUT", path, &[("If-Match", "*")], &json!({"name": "3"})).expect(200);
        with(
            &client,
            "PUT",
            path,
            &[("If-None-Match", &current)],
            &json!({"name": "4"}),
        )
        .expect(200);
    }
    for path in &paths {
        with(
            &client,
            "DELETE",
            path,
            &[("If-Match", &tag(&client, path))],
            &Value::Null,
        )
        .expect(204);
        with(&client, "DELETE", path, &[("If-Match", "*")], &Value::Null).expect(404);
    }
}

#[test]
fn a_tag_of_something_else_never_fits() {
    let service = Service::start();
    let client = service.client();
    let [one, other] = [(); 2].map(|()| format!("/volumes/{}", id_of(&client.make_volume(512))));

    let refused = with(
        &client,
        "DELETE",
        &one,
        &[("If-Match", &tag(&client, &other))],
        &Value::Null,
    );

    refused.expect(412);
    client.get(&one).expect(200);
}

#[test]
fn of_many_changes_with_one_tag_exactly_one_wins() {
    const AT_ONCE: usize = 12;
    let Prepared {
        client,
        paths,
        service: _service,
    } = prepared();
    for path in &paths {
        let seen = tag(&client, path);
        let start = Barrier::new(AT_ONCE);

        let answers: Vec<Answer> = thread::scope(|scope| {
            let callers: Vec<_> = (0..AT_ONCE)
                .map(|number| {
                    let (start, seen, client) = (&start, &seen, client.clone());
                    scope.spawn(move || {
                        start.wait();
                        let body = json!({"name": format!("name {number}")});
                        with(&client, "PUT", path, &[("If-Match", seen)], &body)
                    })
                })
                .collect();
            callers.into_iter().map(|caller| caller.join().unwrap()).collect()
        });

        let won: Vec<_> = answers.iter().filter(|answer| answer.status == 200).collect();
        assert_eq!(won.len(), 1);
        assert!(answers.iter().all(|it| it.status == 200 || it.status == 412));
        assert_eq!(client.get(path).expect(200).text(), won[0].text());
    }
}

#[test]
fn malformed_lists_of_tags_are_refused() {
    let Prepared {
        client,
        paths,
        service: _service,
    } = prepared();
    for path in &paths {
        for list in ["x", "\"x", "\"x\" \"y\"", "*, \"x\"", "", ","] {
            for (method, header) in [
                ("PUT", "If-Match"),
                ("DELETE", "If-Match"),
                ("PUT", "If-None-Match"),
                ("GET", "If-None-Match"),
            ] {
                let body = if method == "PUT" {
                    json!({"name": "mine"})
                } else {
                    Value::Null
                };
                let refused = with(&client, method, path, &[(header, list)], &body).expect(400);
                assert_eq!(
                    refused.json()["type"],
                    "invalid_request_error",
                    "{method} {header} {list}"
                );
            }
        }
        let both = [("If-Match", "*"), ("If-None-Match", "\"x\"")];
        with(&client, "PUT", path, &both, &json!({"name": "mine"})).expect(400);
    }
}

/// The tags of the bytes are another matter.
#[test]
fn the_bytes_keep_their_own_tags() {
    let Prepared {
        client,
        paths,
        service: _service,
    } = prepared();
    let data = format!("{}/data", paths[0]);
    let digest = client.get(&paths[0]).expect(200).json()["snapshot"]["digest"].clone();

    let read = client.get(&data).expect(200);

    assert_eq!(read.header("etag"), format!("\"{}\"", digest.as_str().unwrap()));
    let tag = read.header("etag").to_owned();
    client.call("GET", &data, &[("If-None-Match", &tag)], b"").expect(304);
}

#[test]
fn conditions_tell_nothing_of_what_is_somebody_elses() {
    let service = Service::start();
    let client = service.client();
    let path = format!("/volumes/{}", id_of(&client.make_volume(512)));
    let current = tag(&client, &path);
    let (_, other) = service.other_tenant();

    for list in [current.as_str(), "\"x\"", "*"] {
        with(&other, "DELETE", &path, &[("If-Match", list)], &Value::Null).expect(404);
        with(&other, "PUT", &path, &[("If-None-Match", list)], &json!({"name": "x"})).expect(404);
        other.call("GET", &path, &[("If-None-Match", list)], b"").expect(404);
    }
}

#[test]
fn bytes_are_overwritten_only_as_they_were_seen() {
    let Prepared {
        client,
        paths: [_, path],
        service: _service,
    } = prepared();
    let data = format!("{path}/data");
    let (_, id) = path.rsplit_once('/').unwrap();
    let stale = tag(&client, &path);
    let written = client.write(id, b"theirs").expect(200);
    let current = written.header("etag").to_owned();
    assert_eq!(tag(&client, &path), current);
    let write = |header: (&str, &str)| client.call("PUT", &data, &[header], b"mine");

    let refused = write(("If-Match", &stale)).expect(412);
    assert_eq!(refused.json()["type"], "precondition_failed");
    assert_eq!(refused.json()["resource_id"], id);
    write(("If-None-Match", "*")).expect(412);
    assert_eq!(client.get(&data).expect(200).body[..6], *b"theirs");
    assert_eq!(tag(&client, &path), current);

    write(("If-Match", &current)).expect(200);
    assert_eq!(client.get(&data).expect(200).body[..6], *b"mine\0\0");
}

#[test]
fn bytes_are_read_only_as_they_were_seen() {
    let Prepared {
        client,
        paths: [snapshot, _],
        service: _service,
    } = prepared();
    let data = format!("{snapshot}/data");
    let tag = client.head(&data).expect(200).header("etag").to_owned();

    for method in ["GET", "HEAD"] {
        client
            .call(method, &data, &[("If-Match", "\"other\"")], b"")
            .expect(412);
        client
            .call(method, &data, &[("If-Match", &format!("W/{tag}"))], b"")
            .expect(412);
        client.call(method, &data, &[("If-Match", &tag)], b"").expect(200);
        client.call(method, &data, &[("If-Match", "*")], b"").expect(200);
    }
}

#[test]
fn the_tag_of_a_volumes_bytes_tells_nothing_of_the_host_and_outlives_the_process() {
    let service = Service::start();
    let volume = service.client().make_volume_of(&noise(512, 1));
    let data = format!("/volumes/{volume}/data");
    let tag = tag_of_bytes(&service.client(), &data);

    let digits = tag.trim_matches('"');
    assert_eq!(digits.len(), 32, "{tag}");
    assert!(digits.bytes().all(|digit| digit.is_ascii_hexdigit()), "{tag}");
    let service = service.restart();
    assert_eq!(tag_of_bytes(&service.client(), &data), tag);
    service.client().write(&volume, &noise(512, 1)).expect(200);
    assert_ne!(tag_of_bytes(&service.client(), &data), tag);
}

fn tag_of_bytes(client: &Client, path: &str) -> String {
    client.head(path).expect(200).header("etag").to_owned()
}
