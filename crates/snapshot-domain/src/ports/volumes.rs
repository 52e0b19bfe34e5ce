//! Where volumes are kept (their rows; for their bytes see [`VolumeBytes`](super::VolumeBytes)).

use crate::{
    Lease, Name, Receipt, Result, Scope, Tag, Task, TaskOutcome, Timestamp, Volume, VolumeId, VolumeStateName,
    ports::Slice,
};

/// Keeps volumes.
#[cfg_attr(feature = "mocks", mockall::automock)]
pub trait VolumeRepository: Send + Sync {
    /// Stores a new volume, and keeps the receipt of the request for it, if that is to have one.
    ///
    /// # Errors
    ///
    /// [`AnsweredBefore`](crate::Error::AnsweredBefore) when there is such a receipt already;
    /// [`AlreadyExists`](crate::Error::AlreadyExists) when the id is taken;
    /// [`QuotaExceeded`](crate::Error::QuotaExceeded) when its organization may not have so many bytes more.
    #[cfg_attr(feature = "mocks", mockall::concretize)]
    fn insert(&self, volume: &Volume, receipt: Option<&Receipt>) -> Result<()>;

    /// Stores a new volume and the restore task that fills it, and keeps the receipt of the request for them, if that is
    /// to have one.
    ///
    /// # Errors
    ///
    /// [`AnsweredBefore`](crate::Error::AnsweredBefore) when there is such a receipt already;
    /// [`NotFound`](crate::Error::NotFound) when the snapshot that the task reads is gone;
    /// [`AlreadyExists`](crate::Error::AlreadyExists) when the volume's id is taken;
    /// [`QuotaExceeded`](crate::Error::QuotaExceeded) as [`insert`](Self::insert).
    #[cfg_attr(feature = "mocks", mockall::concretize)]
    fn begin_restore(&self, volume: &Volume, task: &Task, receipt: Option<&Receipt>) -> Result<()>;

    /// The volume, if it is in the scope.
    ///
    /// # Errors
    ///
    /// [`NotFound`](crate::Error::NotFound) when there is none, or when it is somebody else's.
    fn find(&self, scope: &Scope, id: VolumeId) -> Result<Volume>;

    /// The volume, whoever owns it: for background work.
    ///
    /// # Errors
    ///
    /// [`NotFound`](crate::Error::NotFound) when there is none.
    fn get(&self, id: VolumeId) -> Result<Volume>;

    /// A part of the volumes that match, oldest first, ties by id.
    ///
    /// # Errors
    ///
    /// Only those of the storage itself.
    fn list(&self, query: &VolumeQuery, slice: Slice<VolumeCursor>) -> Result<Vec<Volume>>;

    /// How many volumes match.
    ///
    /// # Errors
    ///
    /// Only those of the storage itself.
    fn count(&self, query: &VolumeQuery) -> Result<u64>;

    /// Every volume in state `saving`, whoever owns it: at start, writes that the last process did not end.
    ///
    /// # Errors
    ///
    /// Only those of the storage itself.
    fn saving(&self) -> Result<Vec<Volume>>;

    /// Replaces the stored volume by its next revision. Whatever `volume.copies()` says, a volume that stays `available`
    /// keeps the stored count: copies begin and end without changing the revision.
    ///
    /// # Errors
    ///
    /// [`Stale`](crate::Error::Stale) unless the stored revision is exactly the one before `volume.revision()`, and, of a
    /// volume that does not stay `available`, when it is being copied: so that a write can't begin beside a copy that began
    /// just before;
    /// [`NotFound`](crate::Error::NotFound) when the volume is gone.
    fn update(&self, volume: &Volume) -> Result<()>;

    /// Ends a restore: replaces the volume by its next revision, and ends the task with this outcome and the volume's
    /// losses.
    ///
    /// # Errors
    ///
    /// [`LeaseLost`](crate::Error::LeaseLost) unless the task runs under this lease and was not called off;
    /// [`Stale`](crate::Error::Stale) and [`NotFound`](crate::Error::NotFound) as [`update`](Self::update).
    fn finish_restore(&self, lease: &Lease, volume: &Volume, outcome: TaskOutcome, now: Timestamp) -> Result<()>;

    /// Removes a volume, and stores the task that removes its bytes, if it has any of its own.
    ///
    /// # Errors
    ///
    /// [`Stale`](crate::Error::Stale) unless the volume is stored at exactly `volume.revision()` and with
    /// `volume.copies()`; [`NotFound`](crate::Error::NotFound) when it is gone.
    #[cfg_attr(feature = "mocks", mockall::concretize)]
    fn delete(&self, volume: &Volume, erase: Option<&Task>) -> Result<()>;
}

/// Which volumes are wanted: all conditions at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VolumeQuery {
    /// Owned by one of these.
    pub scope: Scope,
    /// Called exactly this.
    pub name: Option<Name>,
    /// With all of these tags.
    pub tags: Vec<Tag>,
    /// In this state.
    pub state: Option<VolumeStateName>,
}

impl VolumeQuery {
    /// Everything in a scope.
    pub const fn all(scope: Scope) -> Self {
        Self {
            scope,
            name: None,
            tags: Vec::new(),
            state: None,
        }
    }

    /// Whether all is wanted that one organization has, or none.
    pub fn is_everything_of_one(&self) -> bool {
        let Self {
            scope,
            name,
            tags,
            state,
        } = self;
        scope.organizations().len() <= 1 && name.is_none() && tags.is_empty() && state.is_none()
    }
}

/// A place in the order of volumes: oldest first, ties by id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct VolumeCursor {
    /// The volume's creation.
    pub created_at: Timestamp,
    /// The volume's id.
    pub id: VolumeId,
}

impl VolumeCursor {
    /// The place of a volume.
    pub const fn of(volume: &Volume) -> Self {
        Self {
            created_at: volume.created_at(),
            id: volume.id(),
        }
    }
}
