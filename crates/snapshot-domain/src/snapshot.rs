//! Snapshots, and the arrows between their states.
//!
//! ```text
//!            CaptureCommitted
//! snapshotting ──────────────► available
//!      │  CaptureFailed
//!      └─────────────────────► error
//! ```

use std::fmt;

use crate::{
    Content, Error, Health, Name, OrganizationId, Resource, Result, Revision, SnapshotId, Tags, Timestamp, Volume,
    VolumeId, VolumeSize, VolumeType,
};

/// A full copy of a volume as it was at one moment, independent of the volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    id: SnapshotId,
    organization: OrganizationId,
    domain: OrganizationId,
    name: Name,
    tags: Tags,
    base_volume: BaseVolume,
    size: VolumeSize,
    volume_type: VolumeType,
    created_at: Timestamp,
    modified_at: Timestamp,
    state: SnapshotState,
    health: Health,
    revision: Revision,
}

/// The volume that a snapshot was taken of, as it was called then. Both stay when the volume is renamed or deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BaseVolume {
    /// The volume's id.
    pub id: VolumeId,
    /// The volume's name at the moment of the snapshot.
    pub name: Name,
}

/// Where a snapshot is in its life, with the facts of that state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SnapshotState {
    /// The volume is being copied.
    Snapshotting,
    /// The copy is whole: it can be restored bit for bit.
    Available(Content),
    /// The copy failed.
    Error {
        /// Why: a sentence for the snapshot's owner.
        reason: String,
    },
}

/// The name of a [`SnapshotState`], without its facts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SnapshotStateName {
    /// See [`SnapshotState::Snapshotting`].
    Snapshotting,
    /// See [`SnapshotState::Available`].
    Available,
    /// See [`SnapshotState::Error`].
    Error,
}

/// What moves a snapshot from one state to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SnapshotEvent {
    /// The manifest is durable, and so is everything under it.
    CaptureCommitted(Content),
    /// The copy can't be made.
    CaptureFailed {
        /// Why: a sentence for the snapshot's owner.
        reason: String,
    },
}

impl SnapshotState {
    /// The state without its facts.
    pub const fn name(&self) -> SnapshotStateName {
        match self {
            Self::Snapshotting => SnapshotStateName::Snapshotting,
            Self::Available(_) => SnapshotStateName::Available,
            Self::Error { .. } => SnapshotStateName::Error,
        }
    }

    /// The state after an event, unless the event has no arrow from this one.
    fn on(&self, event: SnapshotEvent) -> Option<Self> {
        match (self, event) {
            (Self::Snapshotting, SnapshotEvent::CaptureCommitted(content)) => Some(Self::Available(content)),
            (Self::Snapshotting, SnapshotEvent::CaptureFailed { reason }) => Some(Self::Error { reason }),
            (Self::Available(_) | Self::Error { .. }, _) => None,
        }
    }
}

impl SnapshotStateName {
    /// Every state there is.
    pub const ALL: [Self; 3] = [Self::Snapshotting, Self::Available, Self::Error];

    /// The state as the API and the database call it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Snapshotting => "snapshotting",
            Self::Available => "available",
            Self::Error => "error",
        }
    }

    /// The state of this name, if there is one.
    pub fn parse(raw: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == raw)
    }
}

impl fmt::Display for SnapshotStateName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a new snapshot needs to be told.
#[derive(Clone, Debug)]
pub struct NewSnapshot {
    /// The new snapshot's id.
    pub id: SnapshotId,
    /// Who will own it.
    pub organization: OrganizationId,
    /// What to call it.
    pub name: Name,
    /// Tags to put on it.
    pub tags: Tags,
}

/// What an update of a snapshot changes; `None` leaves things as they are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SnapshotChanges {
    /// A new name.
    pub name: Option<Name>,
    /// A new owner: a transfer.
    pub organization: Option<OrganizationId>,
    /// New tags, in place of all old ones.
    pub tags: Option<Tags>,
}

/// All fields of a snapshot, as a repository keeps them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredSnapshot {
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
    /// See [`Snapshot::modified_at`].
    pub modified_at: Timestamp,
    /// See [`Snapshot::state`].
    pub state: SnapshotState,
    /// See [`Snapshot::health`].
    pub health: Health,
    /// See [`Snapshot::revision`].
    pub revision: Revision,
}

impl Snapshot {
    /// Begins a snapshot of a volume, in state `snapshotting`.
    ///
    /// # Errors
    ///
    /// [`Error::Conflict`] when the volume has no bytes to copy now: it is being written or filled, or is in error.
    pub fn begin(new: NewSnapshot, volume: &Volume, now: Timestamp) -> Result<Self> {
        volume.check_can_be_copied()?;
        Ok(Self {
            id: new.id,
            organization: new.organization,
            domain: new.organization,
            name: new.name,
            tags: new.tags,
            base_volume: BaseVolume {
                id: volume.id(),
                name: volume.name().clone(),
            },
            size: volume.size(),
            volume_type: volume.volume_type(),
            created_at: now,
            modified_at: now,
            state: SnapshotState::Snapshotting,
            health: Health::Unverified,
            revision: Revision::FIRST,
        })
    }

    /// Rebuilds a snapshot from its stored fields. For repositories only: everybody else changes snapshots by the
    /// methods below.
    pub fn from_stored(stored: StoredSnapshot) -> Self {
        let StoredSnapshot {
            id,
            organization,
            domain,
            name,
            tags,
            base_volume,
            size,
            volume_type,
            created_at,
            modified_at,
            state,
            health,
            revision,
        } = stored;
        Self {
            id,
            organization,
            domain,
            name,
            tags,
            base_volume,
            size,
            volume_type,
            created_at,
            modified_at,
            state,
            health,
            revision,
        }
    }

    /// Moves the snapshot to its next state and revision.
    ///
    /// # Errors
    ///
    /// [`Error::Conflict`] when the event has no arrow from the present state; nothing is changed then.
    pub fn apply(&mut self, event: SnapshotEvent, now: Timestamp) -> Result<()> {
        let Some(next) = self.state.on(event) else {
            return Err(self.conflict("the snapshot's copy has ended before"));
        };
        self.state = next;
        self.touch(now);
        Ok(())
    }

    /// Renames, retags or transfers the snapshot. `false` when that changed nothing; then the revision stays too.
    ///
    /// A transferred snapshot keeps its [`domain`](Self::domain), and so stays readable.
    pub fn update(&mut self, changes: SnapshotChanges, now: Timestamp) -> bool {
        let before = self.clone();
        if let Some(name) = changes.name {
            self.name = name;
        }
        if let Some(organization) = changes.organization {
            self.organization = organization;
        }
        if let Some(tags) = changes.tags {
            self.tags = tags;
        }
        let differs = *self != before;
        if differs {
            self.touch(now);
        }
        differs
    }

    /// The key to what may only happen to a whole copy.
    ///
    /// # Errors
    ///
    /// [`Error::Conflict`] unless the snapshot is `available`.
    pub fn readable(&self) -> Result<ReadableSnapshot<'_>> {
        match &self.state {
            SnapshotState::Available(content) => Ok(ReadableSnapshot {
                snapshot: self,
                content,
            }),
            SnapshotState::Snapshotting | SnapshotState::Error { .. } => {
                Err(self.conflict("snapshot is not available"))
            }
        }
    }

    fn touch(&mut self, now: Timestamp) {
        self.modified_at = now.max(self.modified_at);
        self.revision = self.revision.next();
    }

    fn conflict(&self, reason: &'static str) -> Error {
        Error::Conflict {
            resource: Resource::Snapshot,
            id: self.id.as_uuid(),
            state: self.state.name().as_str(),
            reason,
        }
    }

    /// The snapshot's id.
    pub const fn id(&self) -> SnapshotId {
        self.id
    }

    /// Who owns it.
    pub const fn organization(&self) -> OrganizationId {
        self.organization
    }

    /// Whose key seals its bytes: the organization that it was made for, also after a transfer.
    pub const fn domain(&self) -> OrganizationId {
        self.domain
    }

    /// What people call it.
    pub const fn name(&self) -> &Name {
        &self.name
    }

    /// The tags on it.
    pub const fn tags(&self) -> &Tags {
        &self.tags
    }

    /// What it is a copy of.
    pub const fn base_volume(&self) -> &BaseVolume {
        &self.base_volume
    }

    /// The volume's full size at the moment of the snapshot.
    pub const fn size(&self) -> VolumeSize {
        self.size
    }

    /// The kind of the volume.
    pub const fn volume_type(&self) -> VolumeType {
        self.volume_type
    }

    /// When it was asked for.
    pub const fn created_at(&self) -> Timestamp {
        self.created_at
    }

    /// When anything about it last changed.
    pub const fn modified_at(&self) -> Timestamp {
        self.modified_at
    }

    /// Where it is in its life.
    pub const fn state(&self) -> &SnapshotState {
        &self.state
    }

    /// What is known of its stored bytes. It is no part of the revision: only recorded checks change it, and storing the
    /// snapshot does not.
    pub const fn health(&self) -> Health {
        self.health
    }

    /// How often it was changed.
    pub const fn revision(&self) -> Revision {
        self.revision
    }
}

/// A snapshot that is whole: made by [`Snapshot::readable`] alone, so nothing else can be restored or read.
#[derive(Clone, Copy, Debug)]
pub struct ReadableSnapshot<'a> {
    snapshot: &'a Snapshot,
    content: &'a Content,
}

impl<'a> ReadableSnapshot<'a> {
    /// The snapshot.
    pub const fn snapshot(self) -> &'a Snapshot {
        self.snapshot
    }

    /// What is known of its bytes.
    pub const fn content(self) -> &'a Content {
        self.content
    }
}
