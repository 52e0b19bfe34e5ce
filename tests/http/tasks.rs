//! `GET /tasks/{id}`: how far background work is.

use serde_json::{Value, json};

use crate::{
    client::{Client, id_of, noise},
    service::{ORGANIZATION, Service, wait_for},
};

/// A snapshot's copy, as the present generation of paths answers it.
#[track_caller]
fn copy(client: &Client, volume: &str) -> Value {
    let body = json!({"name": "x", "project": ORGANIZATION, "volume_id": volume});
    client
        .post("/instance/v1/zones/a-1/snapshots", &body)
        .expect(201)
        .json()["task"]
        .clone()
}

#[track_caller]
fn ended(client: &Client, task: &str) -> Value {
    wait_for("the task's end", || {
        let task = client.get(&format!("/tasks/{task}")).expect(200).json()["task"].clone();
        (task["terminated_at"] != Value::Null).then_some(task)
    })
}

#[test]
fn a_task_that_went_well_is_a_success_with_all_its_progress() {
    let service = Service::start();
    let client = service.client();
    let volume = client.make_volume_of(&noise(1 << 20, 5));
    let begun = copy(&client, &volume);
    let id = id_of(&begun);

    let task = ended(&client, &id);

    assert_eq!((&task["status"], &task["progress"]), (&json!("success"), &json!(100)));
    assert_eq!(task["started_at"], begun["started_at"]);
    assert!(task["terminated_at"].as_str() > task["started_at"].as_str());
    assert_eq!(task["zone"], "local-1");
    let result = task["href_result"].as_str().unwrap();
    assert_eq!(client.get(result).expect(200).json()["snapshot"]["state"], "available");
    client.get(task["href_from"].as_str().unwrap()).expect(200);
    let zoned = client
        .get(&format!("/instance/v1/zones/a-1/tasks/{id}"))
        .expect(200)
        .json();
    assert_eq!(zoned["task"]["href_result"], begun["href_result"]);
    assert_eq!(zoned["task"]["zone"], "a-1");
}

#[test]
fn a_task_that_failed_is_a_failure() {
    let service = Service::start();
    let client = service.client();
    let image = service.data().beside("image");
    std::fs::write(&image, noise(1 << 20, 6)).unwrap();
    let arguments = [
        "volume",
        "register",
        image.to_str().unwrap(),
        "--name",
        "x",
        "--organization",
        ORGANIZATION,
    ];
    let volume = id_of(&service.json_of_command(&arguments)["volume"]);
    std::fs::remove_file(&image).unwrap();

    let task = ended(&client, &id_of(&copy(&client, &volume)));

    assert_eq!(task["status"], "failure");
    let snapshot = client.get(task["href_result"].as_str().unwrap()).expect(200).json();
    assert_eq!(snapshot["snapshot"]["state"], "error");
}

#[test]
fn somebody_elses_task_reads_like_one_that_is_not_there() {
    let service = Service::start();
    let client = service.client();
    let volume = id_of(&client.make_volume(512));
    let task = id_of(&copy(&client, &volume));
    let (_, other) = service.other_tenant();
    let missing = "6f418e5f-b42d-4423-a0b5-349c74c454a4";

    for prefix in ["", "/instance/v1/zones/a-1"] {
        let theirs = other.get(&format!("{prefix}/tasks/{task}")).expect(404);
        let nobodys = other.get(&format!("{prefix}/tasks/{missing}")).expect(404);
        assert_eq!(theirs.text().replace(&task, missing), nobodys.text());
        let expected = json!({"type": "unknown_resource", "message": format!("Task \"{missing}\" not found")});
        assert_eq!(nobodys.json(), expected);
    }
    service.stranger().get(&format!("/tasks/{task}")).expect(401);
}

#[test]
fn a_task_is_only_read() {
    let service = Service::start();
    let client = service.client();

    let refused = client.delete("/tasks/6f418e5f-b42d-4423-a0b5-349c74c454a4").expect(405);

    assert_eq!(refused.header("allow"), "GET, HEAD");
    let malformed = client.get("/tasks/42").expect(404).json();
    assert_eq!(
        (&malformed["resource"], &malformed["resource_id"]),
        (&json!("instance_task"), &json!("42"))
    );
    client.get("/tasks").expect(404);
}
