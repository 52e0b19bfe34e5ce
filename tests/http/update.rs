//! `PUT /snapshots/{id}`

use serde_json::{Value, json};

use crate::{
    client::{Client, id_of},
    service::{ORGANIZATION, Service},
};

struct Prepared {
    service: Service,
    client: Client,
    id: String,
}

fn prepared() -> Prepared {
    let service = Service::start();
    let client = service.client();
    let volume = id_of(&client.make_volume(512));
    let id = id_of(&client.make_snapshot(&volume, "before"));
    Prepared { service, client, id }
}

impl Prepared {
    #[track_caller]
    fn put(&self, body: &Value) -> Value {
        self.client.put(&self.path(), body).expect(200).json()["snapshot"].clone()
    }

    fn path(&self) -> String {
        format!("/snapshots/{}", self.id)
    }

    fn get(&self) -> Value {
        self.client.get(&self.path()).expect(200).json()["snapshot"].clone()
    }
}

#[test]
fn the_answer_is_the_snapshot_after_the_update() {
    let prepared = prepared();
    let before = prepared.get();

    let after = prepared.put(&json!({"name": "after", "tags": ["kept"]}));

    assert_eq!(after["name"], "after");
    assert_eq!(after["tags"], json!(["kept"]));
    assert!(after["modification_date"].as_str() > before["modification_date"].as_str());
    assert_eq!(after["creation_date"], before["creation_date"]);
    assert_eq!(prepared.get(), after);
}

#[test]
fn what_is_not_named_stays() {
    let prepared = prepared();
    prepared.put(&json!({"tags": ["a", "b"]}));

    let after = prepared.put(&json!({}));

    assert_eq!(after["name"], "before");
    assert_eq!(after["tags"], json!(["a", "b"]));
    assert_eq!(prepared.put(&json!({"name": null, "tags": null})), after);
    assert_eq!(prepared.put(&json!({"tags": []}))["tags"], json!([]));
}

#[test]
fn a_whole_object_is_taken_back() {
    let prepared = prepared();
    let mut object = prepared.get();
    object["name"] = json!("taken back");
    object["creation_date"] = json!("2014-05-22T12:10:05+00:00");
    object["modification_date"] = json!(1_400_760_605);
    object["size"] = json!("10GB");
    object["state"] = json!("error");
    object["base_volume"] = Value::Null;
    object["id"] = json!(["something", "else"]);

    let after = prepared.put(&object);

    assert_eq!(after["name"], "taken back");
    assert_eq!(after["state"], "available");
    assert_eq!(after["size"], 512);
    assert_eq!(after["id"], prepared.id);
}

#[test]
fn wrong_fields_are_refused_and_nothing_is_changed() {
    let prepared = prepared();
    let before = prepared.get();
    let body = json!({"name": "x".repeat(129), "organization": "nobody", "tags": ["ok", ""]});

    let answer = prepared.client.put(&prepared.path(), &body).expect(400).json();

    let expected = json!({
        "name": ["must have at most 128 characters, has 129"],
        "organization": ["must be a UUID"],
        "tags": ["a tag must not be empty"],
    });
    assert_eq!(answer["fields"], expected);
    assert_eq!(prepared.get(), before);
}

#[test]
fn a_snapshot_can_not_be_given_to_somebody_elses_organization() {
    let prepared = prepared();
    let (theirs, other) = prepared.service.other_tenant();

    let answer = prepared
        .client
        .put(&prepared.path(), &json!({"organization": theirs}))
        .expect(403)
        .json();

    assert_eq!(answer["type"], "authorization_required");
    assert_eq!(prepared.get()["organization"], ORGANIZATION);
    other.get(&prepared.path()).expect(404);
}

#[test]
fn a_transferred_snapshot_belongs_to_the_other_organization_and_can_still_be_restored() {
    let prepared = prepared();
    let (theirs, other) = prepared.service.other_tenant();
    let arguments = [
        "token",
        "create",
        "--name",
        "both",
        "--organization",
        ORGANIZATION,
        "--organization",
        &theirs,
    ];
    let token = prepared.service.json_of_command(&arguments)["token"]["secret"]
        .as_str()
        .unwrap()
        .to_owned();
    let both = prepared.service.client_with(&token);

    let moved = both
        .put(&prepared.path(), &json!({"organization": theirs}))
        .expect(200)
        .json();

    assert_eq!(moved["snapshot"]["organization"], theirs);
    assert_eq!(moved["snapshot"]["project"], theirs);
    prepared.client.get(&prepared.path()).expect(404);
    let body = json!({"name": "restored", "organization": theirs, "base_snapshot": prepared.id});
    let volume = id_of(&other.post("/volumes", &body).expect(201).json()["volume"]);
    other.wait_for_state("volume", &volume, "available");
    other.get(&format!("{}/data", prepared.path())).expect(200);
}
