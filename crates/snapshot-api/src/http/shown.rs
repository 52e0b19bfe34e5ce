//! A snapshot or a volume as it is answered: its JSON, and the `ETag` that names this very JSON.

use std::hash::{DefaultHasher, Hasher as _};

use actix_web::{
    HttpRequest, HttpResponse,
    http::header::{ContentType, ETAG},
};
use serde::Serialize;
use snapshot_domain::{Error, Resource, Revision, Snapshot, SnapshotState, Volume, VolumeStateName, use_case::Tracked};
use uuid::Uuid;

use super::{
    body::{OneSnapshot, OneVolume},
    error::ApiError,
    precondition,
};

/// How a snapshot or a volume looks just now.
#[derive(Debug)]
pub(super) struct Shown {
    resource: Resource,
    id: Uuid,
    revision: Revision,
    /// Whether its state will not change unless somebody asks for it.
    pub(super) is_settled: bool,
    /// The entity tag, with its quotes. It begins with the revision and the end of the id, which is all that `If-Match`
    /// compares; the rest is a hash of the JSON, so that progress and running copies, which do not count as changes, make
    /// another tag too. Another build may hash in another way: whoever asks with its tag is sent the JSON once more.
    pub(super) tag: String,
    /// The JSON.
    pub(super) json: String,
}

impl Shown {
    /// A snapshot, as `{"snapshot": …}`.
    pub(super) fn snapshot(snapshot: &Tracked<Snapshot>, zone: &str) -> Self {
        let Tracked { item, .. } = snapshot;
        let is_settled = match item.state() {
            SnapshotState::Snapshotting => false,
            SnapshotState::Available(_) | SnapshotState::Error { .. } => true,
        };
        let json = OneSnapshot::new(snapshot, zone).json();
        Self::new(
            Resource::Snapshot,
            item.id().as_uuid(),
            item.revision(),
            is_settled,
            json,
        )
    }

    /// A volume, as `{"volume": …}`.
    pub(super) fn volume(volume: &Tracked<Volume>, zone: &str) -> Self {
        let Tracked { item, .. } = volume;
        let is_settled = match item.state().name() {
            VolumeStateName::Available | VolumeStateName::Error => true,
            VolumeStateName::Snapshotting | VolumeStateName::Saving | VolumeStateName::Fetching => false,
        };
        let json = json(&OneVolume::new(volume, zone));
        Self::new(Resource::Volume, item.id().as_uuid(), item.revision(), is_settled, json)
    }

    fn new(resource: Resource, id: Uuid, revision: Revision, is_settled: bool, json: String) -> Self {
        let mut hasher = DefaultHasher::new();
        hasher.write(json.as_bytes());
        let tag = precondition::tag(id, revision, hasher.finish());
        Self {
            resource,
            id,
            revision,
            is_settled,
            tag,
            json,
        }
    }

    /// The answer to a request that reads it.
    ///
    /// # Errors
    ///
    /// 400 when `If-Match` or `If-None-Match` is malformed, 412 when `If-Match` does not hold.
    pub(super) fn answer_read(self, request: &HttpRequest) -> Result<HttpResponse, ApiError> {
        let headers = request.headers();
        if !precondition::of_match(headers, self.id)?.holds_for(self.revision) {
            let Self { resource, id, .. } = self;
            return Err(Error::ConditionFailed { resource, id }.into());
        }
        if precondition::is_known(headers, &self.tag)? {
            return Ok(HttpResponse::NotModified().insert_header((ETAG, self.tag)).finish());
        }
        Ok(self.answer())
    }

    /// The answer to a request that changed it.
    pub(super) fn answer(self) -> HttpResponse {
        HttpResponse::Ok()
            .insert_header((ETAG, self.tag))
            .content_type(ContentType::json())
            .body(self.json)
    }
}

/// Appends the JSON of a body.
pub(super) fn write(json: &mut Vec<u8>, body: &impl Serialize) {
    serde_json::to_writer(json, body).expect("a body is of texts, numbers and lists, and memory takes every write");
}

/// The JSON of a body.
pub(super) fn json(body: &impl Serialize) -> String {
    serde_json::to_string(body).expect("a body is of texts, numbers and lists")
}
