//! Volumes, and which operation each of their states refuses.
//!
//! ```text
//!                 WriteBegun
//!     available ──────────────► saving       WriteCommitted, WriteAbandoned lead back
//!         ▲
//!         │ RestoreCommitted,
//!         │ SalvageCommitted       RestoreFailed
//!     fetching ──────────────────────────────────► error
//! ```
//!
//! A volume that is `available` may be copied, by several snapshots at once; the API calls it `snapshotting` meanwhile.
//!
//! | state | copy | write | read | rename | delete |
//! | --- | --- | --- | --- | --- | --- |
//! | `available` | yes | yes | yes | yes | yes |
//! | `snapshotting` | yes | no | yes | yes | no |
//! | `saving` | no | no | yes, the bytes from before | yes | no |
//! | `fetching` | no | no | no | yes | no |
//! | `error` | no | no | no | yes | yes |

use std::{fmt, path::PathBuf};

use crate::{
    Error, Losses, Name, OrganizationId, Resource, Result, Revision, SnapshotId, Tags, Timestamp, VolumeId, VolumeSize,
};

/// A disk of some machine: bytes of a fixed size that can be copied and filled.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(
    clippy::struct_field_names,
    reason = "`type` alone is a keyword, and the API calls it so"
)]
pub struct Volume {
    id: VolumeId,
    organization: OrganizationId,
    name: Name,
    tags: Tags,
    size: VolumeSize,
    volume_type: VolumeType,
    location: VolumeLocation,
    base_snapshot: Option<SnapshotId>,
    losses: Option<Losses>,
    created_at: Timestamp,
    modified_at: Timestamp,
    state: VolumeState,
    revision: Revision,
}

/// The kind of a volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum VolumeType {
    /// `l_ssd`: a local disk.
    LocalSsd,
}

impl VolumeType {
    /// The kind as the API and the database call it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::LocalSsd => "l_ssd",
        }
    }

    /// The kind of this name, if there is one.
    pub fn parse(raw: &str) -> Option<Self> {
        [Self::LocalSsd].into_iter().find(|kind| kind.as_str() == raw)
    }
}

/// Where a volume's bytes lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VolumeLocation {
    /// In a file that the service keeps.
    Managed,
    /// In an image or a block device of the host that an operator registered. Never written, never deleted.
    Registered(PathBuf),
}

/// Where a volume is in its life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VolumeState {
    /// Its bytes are whole and at rest, or are being read by `copies` snapshots in the making.
    Available {
        /// How many copies of it are running.
        copies: u32,
    },
    /// New bytes are coming in over HTTP; those from before stay until they are all there.
    Saving,
    /// It is being filled from a snapshot.
    Fetching,
    /// It could not be filled.
    Error {
        /// Why: a sentence for the volume's owner.
        reason: String,
    },
}

/// The name of a [`VolumeState`], as the API shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum VolumeStateName {
    /// At rest.
    Available,
    /// Being copied by at least one snapshot.
    Snapshotting,
    /// Being written over HTTP.
    Saving,
    /// Being filled from a snapshot.
    Fetching,
    /// Could not be filled.
    Error,
}

/// What moves a volume from one state to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VolumeEvent {
    /// Somebody began to send new bytes.
    WriteBegun,
    /// The new bytes are durable, and in place of the old ones.
    WriteCommitted,
    /// The new bytes did not arrive; the old ones are untouched.
    WriteAbandoned,
    /// The restore is durable and was compared with the snapshot.
    RestoreCommitted,
    /// All that is whole of the snapshot is durable, with zeros in the place of what is lost.
    SalvageCommitted(Losses),
    /// The volume can't be filled.
    RestoreFailed {
        /// Why: a sentence for the volume's owner.
        reason: String,
    },
}

impl VolumeState {
    /// The state as the API shows it.
    pub const fn name(&self) -> VolumeStateName {
        match self {
            Self::Available { copies: 0 } => VolumeStateName::Available,
            Self::Available { .. } => VolumeStateName::Snapshotting,
            Self::Saving => VolumeStateName::Saving,
            Self::Fetching => VolumeStateName::Fetching,
            Self::Error { .. } => VolumeStateName::Error,
        }
    }

    /// The state after an event, unless the event has no arrow from this one.
    fn on(&self, event: &VolumeEvent) -> Option<Self> {
        match (self, event) {
            (Self::Available { copies: 0 }, VolumeEvent::WriteBegun) => Some(Self::Saving),
            (Self::Saving, VolumeEvent::WriteCommitted | VolumeEvent::WriteAbandoned)
            | (Self::Fetching, VolumeEvent::RestoreCommitted | VolumeEvent::SalvageCommitted(_)) => {
                Some(Self::Available { copies: 0 })
            }
            (Self::Fetching, VolumeEvent::RestoreFailed { reason }) => Some(Self::Error { reason: reason.clone() }),
            _ => None,
        }
    }
}

impl VolumeStateName {
    /// Every state there is.
    pub const ALL: [Self; 5] = [
        Self::Available,
        Self::Snapshotting,
        Self::Saving,
        Self::Fetching,
        Self::Error,
    ];

    /// The state as the API calls it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Available => "available",
            Self::Snapshotting => "snapshotting",
            Self::Saving => "saving",
            Self::Fetching => "fetching",
            Self::Error => "error",
        }
    }

    /// The state of this name, if there is one.
    pub fn parse(raw: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == raw)
    }
}

impl fmt::Display for VolumeStateName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a new volume needs to be told.
#[derive(Clone, Debug)]
pub struct NewVolume {
    /// The new volume's id.
    pub id: VolumeId,
    /// Who will own it.
    pub organization: OrganizationId,
    /// What to call it.
    pub name: Name,
    /// Tags to put on it.
    pub tags: Tags,
    /// Its size.
    pub size: VolumeSize,
    /// Its kind.
    pub volume_type: VolumeType,
}

/// What an update of a volume changes; `None` leaves things as they are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VolumeChanges {
    /// A new name.
    pub name: Option<Name>,
    /// New tags, in place of all old ones.
    pub tags: Option<Tags>,
}

/// All fields of a volume, as a repository keeps them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredVolume {
    /// See [`Volume::id`].
    pub id: VolumeId,
    /// See [`Volume::organization`].
    pub organization: OrganizationId,
    /// See [`Volume::name`].
    pub name: Name,
    /// See [`Volume::tags`].
    pub tags: Tags,
    /// See [`Volume::size`].
    pub size: VolumeSize,
    /// See [`Volume::volume_type`].
    pub volume_type: VolumeType,
    /// See [`Volume::location`].
    pub location: VolumeLocation,
    /// See [`Volume::base_snapshot`].
    pub base_snapshot: Option<SnapshotId>,
    /// See [`Volume::losses`].
    pub losses: Option<Losses>,
    /// See [`Volume::created_at`].
    pub created_at: Timestamp,
    /// See [`Volume::modified_at`].
    pub modified_at: Timestamp,
    /// See [`Volume::state`].
    pub state: VolumeState,
    /// See [`Volume::revision`].
    pub revision: Revision,
}

impl Volume {
    /// A new volume of zeros that the service keeps.
    pub fn empty(new: NewVolume, now: Timestamp) -> Self {
        Self::new(
            new,
            VolumeLocation::Managed,
            None,
            VolumeState::Available { copies: 0 },
            now,
        )
    }

    /// A volume whose bytes an operator keeps on the host.
    pub fn registered(new: NewVolume, path: PathBuf, now: Timestamp) -> Self {
        Self::new(
            new,
            VolumeLocation::Registered(path),
            None,
            VolumeState::Available { copies: 0 },
            now,
        )
    }

    /// A new volume that is to be filled from a snapshot, in state `fetching`.
    pub fn restoring(new: NewVolume, snapshot: SnapshotId, now: Timestamp) -> Self {
        Self::new(new, VolumeLocation::Managed, Some(snapshot), VolumeState::Fetching, now)
    }

    fn new(
        new: NewVolume,
        location: VolumeLocation,
        base_snapshot: Option<SnapshotId>,
        state: VolumeState,
        now: Timestamp,
    ) -> Self {
        Self {
            id: new.id,
            organization: new.organization,
            name: new.name,
            tags: new.tags,
            size: new.size,
            volume_type: new.volume_type,
            location,
            base_snapshot,
            losses: None,
            created_at: now,
            modified_at: now,
            state,
            revision: Revision::FIRST,
        }
    }

    /// Rebuilds a volume from its stored fields. For repositories only: everybody else changes volumes by the methods
    /// below.
    pub fn from_stored(stored: StoredVolume) -> Self {
        let StoredVolume {
            id,
            organization,
            name,
            tags,
            size,
            volume_type,
            location,
            base_snapshot,
            losses,
            created_at,
            modified_at,
            state,
            revision,
        } = stored;
        Self {
            id,
            organization,
            name,
            tags,
            size,
            volume_type,
            location,
            base_snapshot,
            losses,
            created_at,
            modified_at,
            state,
            revision,
        }
    }

    /// Moves the volume to its next state and revision.
    ///
    /// # Errors
    ///
    /// [`Error::Conflict`] when the event has no arrow from the present state, or would write to a registered volume;
    /// nothing is changed then.
    pub fn apply(&mut self, event: VolumeEvent, now: Timestamp) -> Result<()> {
        if event == VolumeEvent::WriteBegun && matches!(self.location, VolumeLocation::Registered(_)) {
            return Err(self.conflict("volume is registered from the host and can only be read"));
        }
        let Some(next) = self.state.on(&event) else {
            return Err(self.conflict("volume is not available"));
        };
        self.state = next;
        if let VolumeEvent::SalvageCommitted(losses) = event {
            self.losses = Some(losses);
        }
        self.touch(now);
        Ok(())
    }

    /// Renames or retags the volume. `false` when that changed nothing; then the revision stays too.
    pub fn update(&mut self, changes: VolumeChanges, now: Timestamp) -> bool {
        let before = self.clone();
        if let Some(name) = changes.name {
            self.name = name;
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

    /// Refuses to copy bytes that are not all there or are about to change.
    ///
    /// # Errors
    ///
    /// [`Error::Conflict`] unless the volume is `available` or `snapshotting`.
    pub fn check_can_be_copied(&self) -> Result<()> {
        match self.state {
            VolumeState::Available { .. } => Ok(()),
            VolumeState::Saving | VolumeState::Fetching | VolumeState::Error { .. } => {
                Err(self.conflict("volume is not available"))
            }
        }
    }

    /// Refuses to read bytes that are not all there.
    ///
    /// # Errors
    ///
    /// [`Error::Conflict`] while the volume is `fetching` or in `error`.
    pub fn check_can_be_read(&self) -> Result<()> {
        match self.state {
            VolumeState::Available { .. } | VolumeState::Saving => Ok(()),
            VolumeState::Fetching | VolumeState::Error { .. } => Err(self.conflict("volume is not available")),
        }
    }

    /// Refuses to delete what somebody works on.
    ///
    /// # Errors
    ///
    /// [`Error::Conflict`] unless the volume is `available` or in `error`.
    pub fn check_can_be_deleted(&self) -> Result<()> {
        match self.state {
            VolumeState::Available { copies: 0 } | VolumeState::Error { .. } => Ok(()),
            VolumeState::Available { .. } => Err(self.conflict("volume is being copied")),
            VolumeState::Saving => Err(self.conflict("volume is being written")),
            VolumeState::Fetching => Err(self.conflict("volume is being filled from a snapshot")),
        }
    }

    fn touch(&mut self, now: Timestamp) {
        self.modified_at = now.max(self.modified_at);
        self.revision = self.revision.next();
    }

    fn conflict(&self, reason: &'static str) -> Error {
        Error::Conflict {
            resource: Resource::Volume,
            id: self.id.as_uuid(),
            state: self.state.name().as_str(),
            reason,
        }
    }

    /// The volume's id.
    pub const fn id(&self) -> VolumeId {
        self.id
    }

    /// Who owns it.
    pub const fn organization(&self) -> OrganizationId {
        self.organization
    }

    /// What people call it.
    pub const fn name(&self) -> &Name {
        &self.name
    }

    /// The tags on it.
    pub const fn tags(&self) -> &Tags {
        &self.tags
    }

    /// Its full size.
    pub const fn size(&self) -> VolumeSize {
        self.size
    }

    /// Its kind.
    pub const fn volume_type(&self) -> VolumeType {
        self.volume_type
    }

    /// Where its bytes lie.
    pub const fn location(&self) -> &VolumeLocation {
        &self.location
    }

    /// The snapshot that it was filled from, if it was; the snapshot may be gone by now.
    pub const fn base_snapshot(&self) -> Option<SnapshotId> {
        self.base_snapshot
    }

    /// What of the snapshot was lost when the volume was filled with what is whole of it; `None` when it was filled with
    /// all of a snapshot, or with none. It says how the volume began, and stays when the volume is written.
    pub const fn losses(&self) -> Option<&Losses> {
        self.losses.as_ref()
    }

    /// When it was made.
    pub const fn created_at(&self) -> Timestamp {
        self.created_at
    }

    /// When anything about it last changed.
    pub const fn modified_at(&self) -> Timestamp {
        self.modified_at
    }

    /// Where it is in its life.
    pub const fn state(&self) -> &VolumeState {
        &self.state
    }

    /// How many copies of it are running.
    pub const fn copies(&self) -> u32 {
        match self.state {
            VolumeState::Available { copies } => copies,
            VolumeState::Saving | VolumeState::Fetching | VolumeState::Error { .. } => 0,
        }
    }

    /// How often it was changed. Beginning and ending a copy changes only the count of copies, not the revision.
    pub const fn revision(&self) -> Revision {
        self.revision
    }
}
