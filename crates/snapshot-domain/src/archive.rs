//! What the vault itself knows of a snapshot.

use crate::{
    BaseVolume, Content, Health, Name, OrganizationId, Revision, Snapshot, SnapshotId, SnapshotState, StoredSnapshot,
    Tags, Timestamp, VolumeSize, VolumeType,
};

/// A whole snapshot as it was described when its copy was made. Later renames and transfers are not in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArchivedSnapshot {
    /// See [`Snapshot::id`].
    pub id: SnapshotId,
    /// See [`Snapshot::organization`].
    pub organization: OrganizationId,
    /// See [`Snapshot::domain`].
    pub domain: OrganizationId,
    /// See [`Snapshot::name`].
    pub name: Name,
    /// See [`Snapshot::tags`].
    pub tags: Tags,
    /// See [`Snapshot::base_volume`].
    pub base_volume: BaseVolume,
    /// See [`Snapshot::size`].
    pub size: VolumeSize,
    /// See [`Snapshot::volume_type`].
    pub volume_type: VolumeType,
    /// See [`Snapshot::created_at`].
    pub created_at: Timestamp,
    /// What is known of the bytes.
    pub content: Content,
}

/// An `available` snapshot that was never changed.
impl From<ArchivedSnapshot> for Snapshot {
    fn from(archived: ArchivedSnapshot) -> Self {
        Self::from_stored(StoredSnapshot {
            id: archived.id,
            organization: archived.organization,
            domain: archived.domain,
            name: archived.name,
            tags: archived.tags,
            base_volume: archived.base_volume,
            size: archived.size,
            volume_type: archived.volume_type,
            created_at: archived.created_at,
            modified_at: archived.created_at,
            state: SnapshotState::Available(archived.content),
            health: Health::Unverified,
            revision: Revision::FIRST,
        })
    }
}
