//! Where snapshots are kept.

use crate::{
    Lease, Name, ReadableSnapshot, Receipt, Result, Scope, Snapshot, SnapshotId, SnapshotStateName, Tag, Task,
    TaskOutcome, Timestamp, Volume, VolumeId,
    ports::{Slice, Tell},
};

/// Keeps snapshots.
#[cfg_attr(feature = "mocks", mockall::automock)]
pub trait SnapshotRepository: Send + Sync {
    /// Stores a new snapshot and the task that fills it, counts one more copy of the volume, and keeps the receipt of the
    /// request for it, if that is to have one.
    ///
    /// Any number of copies of one volume may begin at once: beginning one does not change the volume's revision.
    ///
    /// # Errors
    ///
    /// [`AnsweredBefore`](crate::Error::AnsweredBefore) when there is such a receipt already;
    /// [`Stale`](crate::Error::Stale) unless the volume is stored at exactly `volume.revision()`;
    /// [`AlreadyExists`](crate::Error::AlreadyExists) when the id is taken;
    /// [`QuotaExceeded`](crate::Error::QuotaExceeded) when its organization has as many as it may.
    #[cfg_attr(feature = "mocks", mockall::concretize)]
    fn begin(&self, snapshot: &Snapshot, task: &Task, volume: &Volume, receipt: Option<&Receipt>) -> Result<()>;

    /// As [`begin`](Self::begin), for a caller that must not wait for a disk: returns as soon as all is handed over, and
    /// tells how it ended when that is durable, perhaps from another thread. What is not told is not known.
    ///
    /// # Errors
    ///
    /// Those that show at once: they are not told.
    #[cfg_attr(feature = "mocks", mockall::concretize)]
    fn begin_and_tell(
        &self,
        snapshot: &Snapshot,
        task: &Task,
        volume: &Volume,
        receipt: Option<&Receipt>,
        tell: Tell<()>,
    ) -> Result<()> {
        self.begin(snapshot, task, volume, receipt)?;
        tell(Ok(()));
        Ok(())
    }

    /// Stores a snapshot that is whole already, without any task and without a volume: it was found in the vault. It counts
    /// against its organization's quota, but is never refused.
    ///
    /// # Errors
    ///
    /// [`AlreadyExists`](crate::Error::AlreadyExists) when the id is taken; what is stored stays as it is.
    #[cfg_attr(feature = "mocks", mockall::concretize)]
    fn adopt(&self, snapshot: ReadableSnapshot<'_>) -> Result<()>;

    /// The snapshot, if it is in the scope.
    ///
    /// # Errors
    ///
    /// [`NotFound`](crate::Error::NotFound) when there is none, or when it is somebody else's.
    fn find(&self, scope: &Scope, id: SnapshotId) -> Result<Snapshot>;

    /// As [`find`](Self::find), with what the snapshot takes for itself.
    ///
    /// # Errors
    ///
    /// As [`find`](Self::find).
    fn find_measured(&self, scope: &Scope, id: SnapshotId) -> Result<Measured>;

    /// The snapshot, whoever owns it: for background work.
    ///
    /// # Errors
    ///
    /// [`NotFound`](crate::Error::NotFound) when there is none.
    fn get(&self, id: SnapshotId) -> Result<Snapshot>;

    /// The latest `available` snapshot of a volume that is sealed with the key of `domain`, whoever owns it now.
    ///
    /// # Errors
    ///
    /// Only those of the storage itself.
    fn latest_available(&self, volume: VolumeId, domain: crate::OrganizationId) -> Result<Option<Snapshot>>;

    /// A part of the snapshots that match, oldest first, ties by id.
    ///
    /// # Errors
    ///
    /// Only those of the storage itself.
    fn list(&self, query: &SnapshotQuery, slice: Slice<SnapshotCursor>) -> Result<Vec<Measured>>;

    /// As [`list`](Self::list), for a caller whom others wait for: `None` where many rows would have to be read that are not
    /// returned.
    ///
    /// # Errors
    ///
    /// As [`list`](Self::list).
    fn list_nearby(&self, query: &SnapshotQuery, slice: Slice<SnapshotCursor>) -> Result<Option<Vec<Measured>>>;

    /// How many snapshots match. Of [everything of one organization](SnapshotQuery::is_everything_of_one) that is known
    /// without looking at them.
    ///
    /// # Errors
    ///
    /// Only those of the storage itself.
    fn count(&self, query: &SnapshotQuery) -> Result<u64>;

    /// Replaces the stored snapshot by its next revision.
    ///
    /// # Errors
    ///
    /// [`Stale`](crate::Error::Stale) unless the stored revision is exactly the one before `snapshot.revision()`;
    /// [`NotFound`](crate::Error::NotFound) when the snapshot is gone;
    /// [`QuotaExceeded`](crate::Error::QuotaExceeded) when it goes to another organization, which has as many as it may.
    fn update(&self, snapshot: &Snapshot) -> Result<()>;

    /// Ends a copy: replaces the snapshot by its next revision, in which nothing but the end of the copy is different, ends the
    /// task with this outcome, and counts one copy of its base volume less.
    ///
    /// # Errors
    ///
    /// [`LeaseLost`](crate::Error::LeaseLost) unless the task runs under this lease and was not called off;
    /// [`Stale`](crate::Error::Stale) and [`NotFound`](crate::Error::NotFound) as [`update`](Self::update).
    fn finish_capture(&self, lease: &Lease, snapshot: &Snapshot, outcome: TaskOutcome, now: Timestamp) -> Result<()>;

    /// Removes a snapshot that is still being copied: calls its task off, and counts one copy of its base volume less.
    /// Whoever holds the task cleans up what was stored.
    ///
    /// # Errors
    ///
    /// [`Stale`](crate::Error::Stale) unless the snapshot is stored at exactly `snapshot.revision()`;
    /// [`NotFound`](crate::Error::NotFound) when it is gone.
    fn cancel(&self, snapshot: &Snapshot) -> Result<()>;

    /// Removes a snapshot whose copy has ended, and stores the task that removes its manifest.
    ///
    /// # Errors
    ///
    /// As [`cancel`](Self::cancel).
    fn delete(&self, snapshot: &Snapshot, forget: &Task) -> Result<()>;
}

/// A snapshot, and what it takes for itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Measured {
    /// The snapshot.
    pub snapshot: Snapshot,
    /// What [`SnapshotSizes::exclusive_bytes`](crate::ports::SnapshotSizes::exclusive_bytes) would tell of it at that moment.
    pub exclusive_bytes: Option<u64>,
}

/// Which snapshots are wanted: all conditions at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotQuery {
    /// Owned by one of these.
    pub scope: Scope,
    /// Called exactly this.
    pub name: Option<Name>,
    /// With all of these tags.
    pub tags: Vec<Tag>,
    /// Taken of this volume.
    pub base_volume: Option<VolumeId>,
    /// In this state.
    pub state: Option<SnapshotStateName>,
}

impl SnapshotQuery {
    /// Everything in a scope.
    pub const fn all(scope: Scope) -> Self {
        Self {
            scope,
            name: None,
            tags: Vec::new(),
            base_volume: None,
            state: None,
        }
    }

    /// Whether all is wanted that one organization has, or none.
    pub fn is_everything_of_one(&self) -> bool {
        let Self {
            scope,
            name,
            tags,
            base_volume,
            state,
        } = self;
        scope.organizations().len() <= 1
            && name.is_none()
            && tags.is_empty()
            && base_volume.is_none()
            && state.is_none()
    }
}

/// A place in the order of snapshots: oldest first, ties by id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SnapshotCursor {
    /// The snapshot's creation.
    pub created_at: Timestamp,
    /// The snapshot's id.
    pub id: SnapshotId,
}

impl SnapshotCursor {
    /// The place of a snapshot.
    pub const fn of(snapshot: &Snapshot) -> Self {
        Self {
            created_at: snapshot.created_at(),
            id: snapshot.id(),
        }
    }
}
