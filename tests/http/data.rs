//! `/volumes/{id}/data` and `/snapshots/{id}/data`: the bytes themselves.

use std::io::{ErrorKind, Read as _, Write as _};

use serde_json::json;

use crate::{
    client::{Client, id_of, noise},
    service::{ORGANIZATION, Service, Setup, wait_for},
};

const MIB: usize = 1 << 20;

/// A volume of 3 MiB and a snapshot of it, and the paths of their bytes.
struct Prepared {
    service: Service,
    client: Client,
    bytes: Vec<u8>,
    volume: String,
    paths: [String; 2],
}

fn prepared() -> Prepared {
    let service = Service::start();
    let client = service.client();
    let bytes = noise(3 * MIB, 1);
    let volume = client.make_volume_of(&bytes);
    let snapshot = id_of(&client.make_snapshot(&volume, "x"));
    let paths = [format!("/volumes/{volume}/data"), format!("/snapshots/{snapshot}/data")];
    Prepared {
        service,
        client,
        bytes,
        volume,
        paths,
    }
}

#[test]
fn all_bytes_are_sent_with_their_length_type_and_tag() {
    let Prepared {
        client, bytes, paths, ..
    } = &prepared();

    for path in paths {
        let answer = client.get(path).expect(200);
        assert!(answer.body == *bytes, "{path}");
        assert_eq!(answer.header("content-type"), "application/octet-stream");
        assert_eq!(answer.header("content-length"), (3 * MIB).to_string());
        assert_eq!(answer.header("accept-ranges"), "bytes");
        assert!(answer.header("etag").starts_with('"'), "{path}");
    }
}

#[test]
fn a_snapshots_tag_is_its_digest() {
    let Prepared { client, paths, .. } = &prepared();
    let snapshot = client.get(paths[1].trim_end_matches("/data")).expect(200).json();

    let answer = client.head(&paths[1]).expect(200);

    assert_eq!(answer.header("etag"), format!("{}", snapshot["snapshot"]["digest"]));
}

#[test]
fn a_range_is_answered_with_that_part() {
    let Prepared {
        client, bytes, paths, ..
    } = &prepared();
    let size = bytes.len();

    for path in paths {
        for (range, first, end) in [
            ("bytes=0-0", 0, 1),
            ("bytes=1000-2000", 1000, 2001),
            ("bytes=131071-131072", 131_071, 131_073),
            ("bytes=1048575-2097153", MIB - 1, 2 * MIB + 2),
            ("bytes=3145727-", size - 1, size),
            ("bytes=100-99999999999", 100, size),
            ("bytes=-512", size - 512, size),
            ("bytes=-99999999999", 0, size),
        ] {
            let answer = client.call("GET", path, &[("Range", range)], b"").expect(206);
            assert!(answer.body == bytes[first..end], "{path} {range}");
            assert_eq!(
                answer.header("content-range"),
                format!("bytes {first}-{}/{size}", end - 1)
            );
            assert_eq!(answer.header("content-length"), (end - first).to_string());
        }
    }
}

#[test]
fn a_range_that_there_is_not_is_told_the_size() {
    let Prepared {
        client, bytes, paths, ..
    } = &prepared();

    for path in paths {
        for range in ["bytes=3145728-", "bytes=9999999999999999999999-", "bytes=-0"] {
            let answer = client.call("GET", path, &[("Range", range)], b"").expect(416);
            assert_eq!(answer.header("content-range"), format!("bytes */{}", bytes.len()));
            assert_eq!(answer.json()["type"], "invalid_request_error");
        }
    }
}

#[test]
fn ranges_that_make_no_sense_are_as_if_they_were_not_there() {
    let Prepared {
        client, bytes, paths, ..
    } = &prepared();

    for range in ["bytes=0-1,5-6", "bytes=2-1", "lines=1-2", "nonsense"] {
        let answer = client.call("GET", &paths[1], &[("Range", range)], b"").expect(200);
        assert_eq!(answer.body.len(), bytes.len(), "{range}");
    }
}

#[test]
fn a_part_is_only_sent_of_the_bytes_that_the_client_knows() {
    let Prepared {
        client, volume, paths, ..
    } = &prepared();
    let before = client.head(&paths[0]).expect(200).header("etag").to_owned();
    let resume = |etag: &str| client.call("GET", &paths[0], &[("Range", "bytes=5-9"), ("If-Range", etag)], b"");

    resume(&before).expect(206);
    client.write(volume, &noise(MIB, 2)).expect(200);

    let whole = resume(&before).expect(200);
    assert_eq!(whole.body.len(), 3 * MIB);
    assert_ne!(whole.header("etag"), before);
}

#[test]
fn who_has_the_bytes_already_is_told_so() {
    let Prepared {
        client, volume, paths, ..
    } = &prepared();

    for path in paths {
        let etag = client.head(path).expect(200).header("etag").to_owned();
        for method in ["GET", "HEAD"] {
            let answer = client.call(method, path, &[("If-None-Match", &etag)], b"").expect(304);
            assert!(answer.body.is_empty());
            assert_eq!(answer.header("etag"), etag);
        }
    }
    let etag = client.head(&paths[0]).expect(200).header("etag").to_owned();
    client.write(volume, b"other bytes").expect(200);
    client
        .call("GET", &paths[0], &[("If-None-Match", &etag)], b"")
        .expect(200);
}

#[test]
fn a_write_replaces_everything_and_the_rest_reads_as_zeros() {
    let Prepared {
        client, volume, paths, ..
    } = &prepared();

    let answer = client.write(volume, b"short").expect(200).json();

    assert_eq!(answer["volume"]["id"], *volume);
    assert_eq!(answer["volume"]["state"], "available");
    let read = client.get(&paths[0]).expect(200).body;
    assert_eq!(read.len(), 3 * MIB);
    assert_eq!(&read[..5], b"short");
    assert!(read[5..].iter().all(|&byte| byte == 0));
}

#[test]
fn a_body_without_a_length_is_taken_too() {
    let Prepared {
        client,
        bytes,
        volume,
        paths,
        ..
    } = &prepared();
    let head = client.head_of(
        "PUT",
        &format!("/volumes/{volume}/data"),
        "Transfer-Encoding: chunked\r\nConnection: close\r\n",
    );
    let mut request = head.into_bytes();
    for chunk in bytes[..MIB].chunks(100_000) {
        request.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
        request.extend_from_slice(chunk);
        request.extend_from_slice(b"\r\n");
    }
    request.extend_from_slice(b"0\r\n\r\n");

    let answer = client.raw(&request);

    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    let read = client.get(&paths[0]).expect(200).body;
    assert!(read[..MIB] == bytes[..MIB]);
    assert!(read[MIB..].iter().all(|&byte| byte == 0));
}

#[test]
fn too_many_bytes_are_refused_and_the_old_ones_kept() {
    let Prepared {
        client,
        bytes,
        volume,
        paths,
        ..
    } = &prepared();

    let shown = || client.get(&format!("/volumes/{volume}")).expect(200);
    let before = shown();
    let told = client.write(volume, &noise(3 * MIB + 1, 3)).expect(413).json();

    assert_eq!(told["type"], "invalid_request_error");
    assert_eq!(shown().header("etag"), before.header("etag"), "nothing was begun");
    assert!(client.get(&paths[0]).expect(200).body == *bytes);
    let head = client.head_of("PUT", &paths[0], "Transfer-Encoding: chunked\r\nConnection: close\r\n");
    let mut request = head.into_bytes();
    for _ in 0..4 {
        request.extend_from_slice(b"100000\r\n");
        request.extend_from_slice(&noise(MIB, 4));
        request.extend_from_slice(b"\r\n");
    }
    request.extend_from_slice(b"0\r\n\r\n");
    let answer = client.raw(&request);
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    assert!(client.get(&paths[0]).expect(200).body == *bytes);
}

#[test]
fn a_write_that_breaks_off_leaves_the_bytes_from_before() {
    let Prepared {
        client,
        bytes,
        volume,
        paths,
        ..
    } = &prepared();
    for framing in ["Content-Length: 2000000\r\n", "Transfer-Encoding: chunked\r\n"] {
        let mut writing = client.connect();
        writing
            .write_all(client.head_of("PUT", &paths[0], framing).as_bytes())
            .unwrap();
        writing.write_all(b"186a0\r\n").unwrap();
        writing.write_all(&noise(100_000, 5)).unwrap();
        client.wait_for_state("volume", volume, "saving");

        drop(writing);

        client.wait_for_state("volume", volume, "available");
        assert!(client.get(&paths[0]).expect(200).body == *bytes, "{framing}");
    }
}

#[test]
fn malformed_chunks_end_the_connection_and_leave_the_bytes_from_before() {
    let Prepared {
        client,
        bytes,
        volume,
        paths,
        ..
    } = &prepared();
    let mut writing = client.connect();
    let head = client.head_of("PUT", &paths[0], "Transfer-Encoding: chunked\r\n");
    writing.write_all(head.as_bytes()).unwrap();
    writing.write_all(b"3\r\nabc\r\n").unwrap();
    client.wait_for_state("volume", volume, "saving");

    writing.write_all(b"no number\r\n").unwrap();

    let mut answer = Vec::new();
    let ended = writing.read_to_end(&mut answer);
    assert!(ended.is_ok() || ended.is_err_and(|error| error.kind() == ErrorKind::ConnectionReset));
    client.wait_for_state("volume", volume, "available");
    assert!(client.get(&paths[0]).expect(200).body == *bytes);
}

#[test]
fn who_may_no_longer_write_at_the_end_has_not_written() {
    let service = Service::start();
    let client = service.client();
    let volume = client.make_volume_of(&noise(MIB, 6));
    let path = format!("/volumes/{volume}/data");
    let arguments = [
        "token",
        "create",
        "--name",
        "short-lived",
        "--organization",
        ORGANIZATION,
    ];
    let token = service.json_of_command(&arguments)["token"].clone();
    let other = service.client_with(token["secret"].as_str().unwrap());
    let mut writing = other.connect();
    let head = other.head_of("PUT", &path, "Content-Length: 1000\r\nConnection: close\r\n");
    writing.write_all(head.as_bytes()).unwrap();
    client.wait_for_state("volume", &volume, "saving");

    service.json_of_command(&["token", "revoke", token["id"].as_str().unwrap()]);
    writing.write_all(&[1; 1000]).unwrap();

    let mut answer = String::new();
    writing.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
    client.wait_for_state("volume", &volume, "available");
    assert!(client.get(&path).expect(200).body == noise(MIB, 6));
}

#[test]
fn a_write_that_stalls_is_abandoned() {
    let service = Setup::new().set("SNAPSHOT__LIMITS__STALLED_BODY_MS", "200").start();
    let client = service.client();
    let volume = client.make_volume_of(&noise(MIB, 6));
    let mut writing = client.connect();
    let head = client.head_of("PUT", &format!("/volumes/{volume}/data"), "Content-Length: 1000\r\n");
    writing.write_all(head.as_bytes()).unwrap();
    writing.write_all(b"half").unwrap();

    let mut answer = String::new();
    writing.read_to_string(&mut answer).unwrap();

    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert_eq!(
        client.get(&format!("/volumes/{volume}")).expect(200).json()["volume"]["state"],
        "available"
    );
    assert!(client.get(&format!("/volumes/{volume}/data")).expect(200).body == noise(MIB, 6));
}

#[test]
fn parts_and_packed_bodies_can_not_be_written() {
    let Prepared {
        client, volume, paths, ..
    } = &prepared();
    let put = |header: (&str, &str)| client.call("PUT", &paths[0], &[header], b"bytes");

    put(("Content-Range", "bytes 0-4/3145728")).expect(400).json();
    put(("Content-Encoding", "gzip")).expect(415).json();
    put(("Content-Encoding", "identity")).expect(200);
    put(("Content-Type", "application/x-raw-disk-image")).expect(200);
    assert_eq!(
        client.get(&format!("/volumes/{volume}")).expect(200).json()["volume"]["state"],
        "available"
    );
}

#[test]
fn a_form_is_no_image() {
    let Prepared {
        client, bytes, paths, ..
    } = &prepared();
    let form = b"--x\r\nContent-Disposition: form-data; name=\"file\"; filename=\"disk.raw\"\r\n\r\nbytes\r\n--x--\r\n";
    let put = |media_type: &str, body: &[u8]| client.call("PUT", &paths[0], &[("Content-Type", media_type)], body);

    for media_type in ["multipart/form-data; boundary=x", "Multipart/Form-Data; boundary=x"] {
        let answer = put(media_type, form).expect(415).json();
        assert_eq!(answer["type"], "invalid_request_error", "{media_type}");
    }

    assert!(client.get(&paths[0]).expect(200).body == *bytes);
    put("application/x-www-form-urlencoded", b"bytes").expect(200);
}

#[test]
fn a_snapshot_in_the_making_can_not_be_read() {
    let service = Service::start();
    let client = service.client();
    let image = service.data().beside("gone.raw");
    std::fs::write(&image, noise(MIB, 7)).unwrap();
    let organization = crate::service::ORGANIZATION;
    let arguments = [
        "volume",
        "register",
        image.to_str().unwrap(),
        "--name",
        "x",
        "--organization",
        organization,
    ];
    let volume = id_of(&service.json_of_command(&arguments)["volume"]);
    std::fs::remove_file(&image).unwrap();
    let id = id_of(&client.snapshot(&volume, "x").expect(200).json()["snapshot"]);
    let failed = client.wait_for_state("snapshot", &id, "error");

    let answer = client.get(&format!("/snapshots/{id}/data")).expect(409).json();

    let expected = json!({
        "type": "conflict",
        "message": "snapshot is not available",
        "resource_id": id,
        "current_state": "error",
    });
    assert_eq!(answer, expected);
    let reason = failed["error_reason"].as_str().unwrap();
    assert!(!reason.is_empty() && !reason.contains("gone.raw"), "{reason}");
    assert_eq!(failed["digest"], serde_json::Value::Null);
}

#[test]
fn hung_readers_and_writers_do_not_keep_others_waiting() {
    let service = Setup::new().set("SNAPSHOT__SERVER__BLOCKING_THREADS", "2").start();
    let client = service.client();
    let volume = id_of(&client.make_volume(64 << 20));
    let hung: Vec<_> = (0..16)
        .map(|number| {
            let written = id_of(&client.make_volume(MIB as u64));
            let mut stream = client.connect();
            let request = if number % 2 == 0 {
                client.head_of("GET", &format!("/volumes/{volume}/data"), "")
            } else {
                client.head_of("PUT", &format!("/volumes/{written}/data"), "Content-Length: 1000\r\n")
            };
            stream.write_all(request.as_bytes()).unwrap();
            stream
        })
        .collect();

    let snapshot = client.make_snapshot(&volume, "meanwhile");

    assert_eq!(snapshot["state"], "available");
    drop(hung);
}

#[test]
fn no_more_transfers_run_at_once_than_are_configured() {
    let service = Setup::new().set("SNAPSHOT__LIMITS__TRANSFERS", "1").start();
    let client = service.client();
    let volume = client.make_volume_of(&noise(MIB, 8));
    let other = id_of(&client.make_volume(512));
    let mut writing = client.connect();
    let head = client.head_of("PUT", &format!("/volumes/{other}/data"), "Content-Length: 512\r\n");
    writing.write_all(head.as_bytes()).unwrap();
    client.wait_for_state("volume", &other, "saving");

    let refused = client.get(&format!("/volumes/{volume}/data")).expect(503);

    assert_eq!(refused.header("retry-after"), "5");
    assert_eq!(refused.json()["type"], "service_unavailable");
    client.write(&volume, b"x").expect(503);
    client.head(&format!("/volumes/{volume}/data")).expect(200);
    drop(writing);
    client.wait_for_state("volume", &other, "available");
    wait_for("the transfer's end", || {
        (client.get(&format!("/volumes/{volume}/data")).status == 200).then_some(())
    });
    assert!(client.get(&format!("/volumes/{volume}/data")).expect(200).body == noise(MIB, 8));
}

#[test]
fn a_reader_that_takes_nothing_is_given_up() {
    let service = Setup::new().set("SNAPSHOT__LIMITS__STALLED_ANSWER_MS", "300").start();
    let client = service.client();
    let volume = id_of(&client.make_volume(64 << 20));
    let before = service.sockets();
    let mut reading = client.connect();
    reading
        .write_all(client.head_of("GET", &format!("/volumes/{volume}/data"), "").as_bytes())
        .unwrap();
    wait_for("the connection to be served", || {
        (service.sockets() > before).then_some(())
    });

    wait_for("the connection to be closed", || {
        (service.sockets() <= before).then_some(())
    });

    let mut taken = Vec::new();
    // The connection was reset, or ended early.
    let _ = reading.read_to_end(&mut taken);
    assert!(taken.len() < 64 << 20, "{}", taken.len());
}

#[test]
fn a_flipped_byte_in_the_vault_is_told_with_the_range_that_is_lost() {
    let prepared = prepared();
    let packs = prepared.service.data().path().join("vault");
    for pack in files_below(&packs)
        .into_iter()
        .filter(|file| file.metadata().unwrap().len() > 1 << 20)
    {
        let mut stored = std::fs::read(&pack).unwrap();
        let middle = stored.len() / 2;
        stored[middle] ^= 1;
        std::fs::write(&pack, stored).unwrap();
    }
    let Prepared {
        client, paths, service, ..
    } = prepared;

    let mut told = Vec::new();
    for first in (0..3 * MIB).step_by(131_072) {
        let range = format!("bytes={first}-{}", first + 131_071);
        let answer = client.call("GET", &paths[1], &[("Range", &range)], b"");
        if answer.status != 206 {
            told.push((first, answer.expect(500).json()));
        }
    }

    let [(first, told)] = told.as_slice() else {
        panic!("one chunk is lost, and not {told:?}");
    };
    assert_eq!(
        told["message"],
        format!("The bytes {first} to {} are damaged", first + 131_071)
    );
    assert_eq!(told["type"], "api_error");
    service.logged(told["request_id"].as_str().unwrap());
}

fn files_below(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(files_below(&path));
        } else {
            files.push(path);
        }
    }
    files
}
