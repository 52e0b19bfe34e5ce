//! What a manifest says about its snapshot, so that the vault and its key alone tell whose bytes these are.

use serde::{Deserialize, Serialize};
use snapshot_domain::{Snapshot, Tag};
use uuid::Uuid;

/// The description inside a manifest, as JSON. Fields are only ever added, and unknown ones are not looked at.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Description {
    pub(crate) id: Uuid,
    pub(crate) organization: Uuid,
    pub(crate) name: String,
    pub(crate) tags: Vec<String>,
    pub(crate) base_volume: BaseVolume,
    pub(crate) volume_type: String,
    /// UTC, to the microsecond.
    pub(crate) creation_date: String,
}

#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct BaseVolume {
    pub(crate) id: Uuid,
    pub(crate) name: String,
}

/// The description of a snapshot at the moment at which its copy is committed.
pub(crate) fn describe(snapshot: &Snapshot) -> Vec<u8> {
    let description = Description {
        id: snapshot.id().as_uuid(),
        organization: snapshot.organization().as_uuid(),
        name: snapshot.name().as_str().to_owned(),
        tags: snapshot
            .tags()
            .as_slice()
            .iter()
            .map(Tag::as_str)
            .map(str::to_owned)
            .collect(),
        base_volume: BaseVolume {
            id: snapshot.base_volume().id.as_uuid(),
            name: snapshot.base_volume().name.as_str().to_owned(),
        },
        volume_type: snapshot.volume_type().as_str().to_owned(),
        creation_date: snapshot.created_at().to_string(),
    };
    serde_json::to_vec(&description).expect("strings and lists of strings always have a JSON form")
}
