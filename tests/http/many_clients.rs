//! Many clients at once: nothing is refused, nothing is lost.

use std::{collections::BTreeSet, thread};

use serde_json::json;

use crate::{
    client::id_of,
    service::{ORGANIZATION, Service},
};

const CLIENTS: usize = 200;

#[test]
fn what_is_left_is_exactly_what_was_acknowledged() {
    let service = Service::start();
    let volume = id_of(&service.client().make_volume(512));

    let acknowledged: BTreeSet<String> = thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|number| {
                let (client, volume) = (service.client(), &volume);
                scope.spawn(move || {
                    let make = |round: usize| {
                        let body = json!({
                            "name": format!("client {number} round {round}"),
                            "organization": ORGANIZATION,
                            "volume_id": volume,
                        });
                        id_of(&client.post("/snapshots", &body).expect(200).json()["snapshot"])
                    };
                    let (kept, deleted) = (make(0), make(1));
                    client.get("/snapshots?page=1").expect(200);
                    client.delete(&format!("/snapshots/{deleted}")).expect(204);
                    client
                        .put(&format!("/snapshots/{kept}"), &json!({"tags": ["kept"]}))
                        .expect(200);
                    kept
                })
            })
            .collect();
        clients.into_iter().map(|client| client.join().unwrap()).collect()
    });

    let client = service.client();
    let list = client.get("/snapshots").expect(200).json();
    let listed: BTreeSet<String> = list["snapshots"].as_array().unwrap().iter().map(id_of).collect();
    assert_eq!(acknowledged.len(), CLIENTS);
    assert_eq!(listed, acknowledged);
    let tagged = client.get("/snapshots?tags=kept&per_page=1").expect(200);
    assert_eq!(tagged.header("x-total-count"), CLIENTS.to_string());
    client.wait_for_state("snapshot", acknowledged.last().unwrap(), "available");
    assert!(!service.log().contains(" status=5"), "no request may fail inside");
}
