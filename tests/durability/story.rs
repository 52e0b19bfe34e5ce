//! What every story here does.

use serde_json::json;

use crate::{
    client::{Client, id_of},
    service::{Data, ORGANIZATION, Service, Setup, TOKEN},
};

/// Starts the service on a folder, which may be there already.
#[track_caller]
pub(crate) fn start_on(data: &Data) -> Service {
    Setup::on(data)
        .set("SNAPSHOT__BOOTSTRAP__TOKEN", TOKEN)
        .set("SNAPSHOT__BOOTSTRAP__ORGANIZATION", ORGANIZATION)
        .start()
}

/// Asks for a volume with a snapshot's bytes; returns its id.
#[track_caller]
pub(crate) fn restore(client: &Client, snapshot: &str) -> String {
    let body = json!({
        "name": "restored", "organization": ORGANIZATION, "volume_type": "l_ssd", "base_snapshot": snapshot,
    });
    id_of(&client.post("/volumes", &body).expect(201).json()["volume"])
}

/// All bytes of a volume or a snapshot, as `kind` tells.
#[track_caller]
pub(crate) fn bytes_of(client: &Client, kind: &str, id: &str) -> Vec<u8> {
    client.get(&format!("/{kind}s/{id}/data")).expect(200).body
}
