//! Snapshots and volumes as clients see them. Structs of their own, so that a change inside never changes the API.

use serde::Serialize;
use snapshot_domain::{OrganizationId, Snapshot, SnapshotState, Tag, Tags, Volume, VolumeState, use_case::Tracked};

/// A snapshot.
#[derive(Debug, Serialize)]
pub(super) struct SnapshotBody {
    base_volume: BaseVolumeBody,
    creation_date: String,
    id: String,
    name: String,
    organization: String,
    size: u64,
    state: &'static str,
    volume_type: &'static str,
    project: String,
    modification_date: String,
    tags: Vec<String>,
    zone: String,
    error_reason: Option<String>,
    digest: Option<String>,
    /// Percent, while it is worked on.
    #[serde(skip_serializing_if = "Option::is_none")]
    progress: Option<u8>,
}

#[derive(Debug, Serialize)]
struct BaseVolumeBody {
    id: String,
    name: String,
}

/// A volume.
#[derive(Debug, Serialize)]
pub(super) struct VolumeBody {
    id: String,
    name: String,
    organization: String,
    project: String,
    size: u64,
    volume_type: &'static str,
    state: &'static str,
    creation_date: String,
    modification_date: String,
    tags: Vec<String>,
    zone: String,
    /// Clients of the original API expect the key; there is nothing to put there.
    export_uri: Option<String>,
    /// The same: this service knows no servers.
    server: Option<String>,
    base_snapshot: Option<String>,
    error_reason: Option<String>,
    /// Percent, while it is worked on.
    #[serde(skip_serializing_if = "Option::is_none")]
    progress: Option<u8>,
}

/// `{"snapshot": …}`
#[derive(Debug, Serialize)]
pub(super) struct OneSnapshot {
    snapshot: SnapshotBody,
}

/// `{"volume": …}`
#[derive(Debug, Serialize)]
pub(super) struct OneVolume {
    volume: VolumeBody,
}

impl OneSnapshot {
    /// Presents a snapshot.
    pub(super) fn new(snapshot: &Tracked<Snapshot>, zone: &str) -> Self {
        Self {
            snapshot: SnapshotBody::new(snapshot, zone),
        }
    }
}

impl OneVolume {
    /// Presents a volume.
    pub(super) fn new(volume: &Tracked<Volume>, zone: &str) -> Self {
        Self {
            volume: VolumeBody::new(volume, zone),
        }
    }
}

impl SnapshotBody {
    /// Presents a snapshot.
    pub(super) fn new(snapshot: &Tracked<Snapshot>, zone: &str) -> Self {
        let Tracked { item, progress } = snapshot;
        let Owner { organization, project } = Owner::new(item.organization());
        let (digest, error_reason) = match item.state() {
            SnapshotState::Snapshotting => (None, None),
            SnapshotState::Available(content) => (Some(content.digest.to_string()), None),
            SnapshotState::Error { reason } => (None, Some(reason.clone())),
        };
        Self {
            base_volume: BaseVolumeBody {
                id: item.base_volume().id.to_string(),
                name: item.base_volume().name.to_string(),
            },
            creation_date: item.created_at().to_string(),
            id: item.id().to_string(),
            name: item.name().to_string(),
            organization,
            size: item.size().as_bytes(),
            state: item.state().name().as_str(),
            volume_type: item.volume_type().as_str(),
            project,
            modification_date: item.modified_at().to_string(),
            tags: texts(item.tags()),
            zone: zone.to_owned(),
            error_reason,
            digest,
            progress: progress.map(snapshot_domain::Progress::percent),
        }
    }
}

impl VolumeBody {
    /// Presents a volume.
    pub(super) fn new(volume: &Tracked<Volume>, zone: &str) -> Self {
        let Tracked { item, progress } = volume;
        let Owner { organization, project } = Owner::new(item.organization());
        let error_reason = match item.state() {
            VolumeState::Error { reason } => Some(reason.clone()),
            VolumeState::Available { .. } | VolumeState::Saving | VolumeState::Fetching => None,
        };
        Self {
            id: item.id().to_string(),
            name: item.name().to_string(),
            organization,
            project,
            size: item.size().as_bytes(),
            volume_type: item.volume_type().as_str(),
            state: item.state().name().as_str(),
            creation_date: item.created_at().to_string(),
            modification_date: item.modified_at().to_string(),
            tags: texts(item.tags()),
            zone: zone.to_owned(),
            export_uri: None,
            server: None,
            base_snapshot: item.base_snapshot().map(|id| id.to_string()),
            error_reason,
            progress: progress.map(snapshot_domain::Progress::percent),
        }
    }
}

/// Who owns something, under the two names that clients know.
struct Owner {
    organization: String,
    project: String,
}

impl Owner {
    fn new(id: OrganizationId) -> Self {
        Self {
            organization: id.to_string(),
            project: id.to_string(),
        }
    }
}

fn texts(tags: &Tags) -> Vec<String> {
    tags.as_slice().iter().map(Tag::as_str).map(str::to_owned).collect()
}
