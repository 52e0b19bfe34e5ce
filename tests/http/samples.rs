//! The samples of the original API's document, sent as printed there with ids that exist.

use serde_json::Value;

use crate::{
    client::{Client, id_of},
    service::{ORGANIZATION, Service},
};

const CREATE: &str = r#"
            {
                "name": "snapshot-0-1",
                "organization": "000a115d-2852-4b0a-9ce8-47f1134ba95a",
                "volume_id": "701a8946-ff9d-4579-95e3-1c2c2d0f892d"
            }
"#;
const CREATED: &str = r#"
        {
          "snapshot": {
            "base_volume": {
              "id": "701a8946-ff9d-4579-95e3-1c2c2d0f892d",
              "name": "vol simple snapshot"
            },
            "creation_date": "2014-05-22T12:10:05.596769+00:00",
            "id": "f0361e7b-cbe4-4882-a999-945192b7171b",
            "name": "snapshot-0-1",
            "organization": "000a115d-2852-4b0a-9ce8-47f1134ba95a",
            "size": 10000000000,
            "state": "snapshotting",
            "volume_type": "l_ssd"
          }
        }
"#;
const UPDATE: &str = r#"
            {
                "organization": "f1350c5d-f1d8-4f9d-b114-6053905578e1"
            }
"#;

/// Asserts that everything in the sample is in the answer, and of the same kind.
#[track_caller]
fn assert_like(answer: &Value, sample: &Value) {
    match (answer, sample) {
        (Value::Object(answer), Value::Object(sample)) => {
            for (key, value) in sample {
                let answered = answer.get(key).unwrap_or_else(|| panic!("no {key} in {answer:?}"));
                assert_like(answered, value);
            }
        }
        (Value::Array(answer), Value::Array(sample)) => {
            assert_eq!(answer.len(), sample.len());
            for (answered, value) in answer.iter().zip(sample) {
                assert_like(answered, value);
            }
        }
        (Value::String(_), Value::String(_)) => {}
        (Value::Number(answer), Value::Number(_)) => assert!(answer.is_u64()),
        _ => panic!("{answer} is not like {sample}"),
    }
}

/// As printed, with an id that exists in place of the sample's.
fn send(client: &Client, method: &str, path: &str, sample: &str, ids: &[(&str, &str)]) -> crate::client::Answer {
    let body = ids
        .iter()
        .fold(sample.to_owned(), |body, (from, to)| body.replace(from, to));
    assert_ne!(body, sample, "the sample has none of the ids");
    client.call(method, path, &[("Content-Type", "application/json")], body.as_bytes())
}

fn create(client: &Client) -> Value {
    let volume = id_of(&client.make_volume(1 << 20));
    let ids = [("701a8946-ff9d-4579-95e3-1c2c2d0f892d", volume.as_str())];
    send(client, "POST", "/snapshots", CREATE, &ids).expect(200).json()
}

#[test]
fn create_a_snapshot() {
    let service = Service::start();
    let sample: Value = serde_json::from_str(CREATED).unwrap();

    let created = create(&service.client());

    assert_like(&created, &sample);
    for key in ["name", "organization", "state", "volume_type"] {
        assert_eq!(created["snapshot"][key], sample["snapshot"][key]);
    }
    assert_eq!(created["snapshot"]["base_volume"]["name"], "vol simple snapshot");
}

#[test]
fn list_all_snapshots() {
    let service = Service::start();
    let client = service.client();
    let first = create(&client);
    let second = create(&client);
    let one: Value = serde_json::from_str(CREATED).unwrap();
    let sample = serde_json::json!({"snapshots": [one["snapshot"], one["snapshot"]]});

    let list = client.get("/snapshots").expect(200).json();

    assert_like(&list, &sample);
    assert_eq!(list["snapshots"][0]["id"], first["snapshot"]["id"]);
    assert_eq!(list["snapshots"][1]["id"], second["snapshot"]["id"]);
    assert_eq!(list.as_object().unwrap().len(), 1);
}

#[test]
fn retrieve_a_snapshot() {
    let service = Service::start();
    let client = service.client();
    let id = id_of(&create(&client)["snapshot"]);

    let got = client.get(&format!("/snapshots/{id}")).expect(200).json();

    assert_like(&got, &serde_json::from_str(CREATED).unwrap());
    assert_eq!(got["snapshot"]["id"], id);
}

#[test]
fn update_a_snapshot() {
    let service = Service::start();
    let other = service.json_of_command(&["organization", "create", "another"]);
    let other = id_of(&other["organization"]);
    let arguments = [
        "token",
        "create",
        "--name",
        "both",
        "--organization",
        ORGANIZATION,
        "--organization",
        &other,
    ];
    let token = service.json_of_command(&arguments)["token"]["secret"]
        .as_str()
        .unwrap()
        .to_owned();
    let client = service.client_with(&token);
    let id = id_of(&create(&client)["snapshot"]);
    let ids = [("f1350c5d-f1d8-4f9d-b114-6053905578e1", other.as_str())];

    let updated = send(&client, "PUT", &format!("/snapshots/{id}"), UPDATE, &ids)
        .expect(200)
        .json();

    assert_like(&updated, &serde_json::from_str(CREATED).unwrap());
    assert_eq!(updated["snapshot"]["id"], id);
    assert_eq!(updated["snapshot"]["organization"], other);
}

#[test]
fn remove_a_snapshot() {
    let service = Service::start();
    let client = service.client();
    let id = id_of(&create(&client)["snapshot"]);

    let removed = client.delete(&format!("/snapshots/{id}"));

    assert_eq!(removed.status, 204);
    assert!(removed.body.is_empty());
}
