//! What a manifest says about its snapshot, so that the vault and its key alone tell whose bytes these are.

use serde::Serialize;
use snapshot_domain::{Snapshot, Tag};

/// The description inside a manifest, as JSON. Fields are only ever added.
#[derive(Serialize)]
struct Description<'a> {
    id: String,
    organization: String,
    name: &'a str,
    tags: Vec<&'a str>,
    base_volume: BaseVolume<'a>,
    volume_type: &'static str,
    /// UTC, to the microsecond.
    creation_date: String,
}

#[derive(Serialize)]
struct BaseVolume<'a> {
    id: String,
    name: &'a str,
}

/// The description of a snapshot at the moment at which its copy is committed.
pub(crate) fn describe(snapshot: &Snapshot) -> Vec<u8> {
    let description = Description {
        id: snapshot.id().to_string(),
        organization: snapshot.organization().to_string(),
        name: snapshot.name().as_str(),
        tags: snapshot.tags().as_slice().iter().map(Tag::as_str).collect(),
        base_volume: BaseVolume {
            id: snapshot.base_volume().id.to_string(),
            name: snapshot.base_volume().name.as_str(),
        },
        volume_type: snapshot.volume_type().as_str(),
        creation_date: snapshot.created_at().to_string(),
    };
    serde_json::to_vec(&description).expect("strings and lists of strings always have a JSON form")
}
