//! Where tasks are kept, and who works on which.

use crate::{InstanceId, Lease, Progress, Result, Scope, SnapshotId, Task, TaskId, TaskOutcome, Timestamp, VolumeId};

/// Keeps tasks, and gives them to workers. New ones are stored together with what they work on, by the methods of the
/// other repositories.
#[cfg_attr(feature = "mocks", mockall::automock)]
pub trait TaskQueue: Send + Sync {
    /// Gives the oldest task that nobody holds at `now` to an instance, until `expires_at`. Two claims at once never get
    /// the same task. The manifest of a deleted snapshot has to stay as long as restores read it: a
    /// [`ForgetSnapshot`](crate::Work::ForgetSnapshot) is not given out before every restore from its snapshot has ended.
    ///
    /// A copy or a restore that waits is passed over while its organization has as many running as its quota says, unless it
    /// was called off. An expired lease still counts, until its task was given to somebody else or back.
    ///
    /// # Errors
    ///
    /// Only those of the storage itself.
    fn claim(&self, instance: InstanceId, now: Timestamp, expires_at: Timestamp) -> Result<Option<Task>>;

    /// Keeps a task until `expires_at`, and notes how far it is.
    ///
    /// # Errors
    ///
    /// [`LeaseLost`](crate::Error::LeaseLost) unless the task runs under this lease.
    fn renew(&self, lease: &Lease, progress: Progress, expires_at: Timestamp) -> Result<Renewal>;

    /// Gives a task back undone.
    ///
    /// # Errors
    ///
    /// [`LeaseLost`](crate::Error::LeaseLost) unless the task runs under this lease.
    fn put_back(&self, lease: &Lease) -> Result<()>;

    /// Gives back every task that runs under a lease of this instance: at start, what its last process left. Returns how
    /// many.
    ///
    /// # Errors
    ///
    /// Only those of the storage itself.
    fn put_back_all(&self, instance: InstanceId) -> Result<u64>;

    /// Ends a task that changes no snapshot or volume (any more).
    ///
    /// # Errors
    ///
    /// [`LeaseLost`](crate::Error::LeaseLost) unless the task runs under this lease.
    fn finish(&self, lease: &Lease, outcome: TaskOutcome, now: Timestamp) -> Result<()>;

    /// The task, when it belongs to an organization of `scope`.
    ///
    /// # Errors
    ///
    /// [`NotFound`](crate::Error::NotFound) when there is none, or when it is somebody else's.
    fn find(&self, scope: &Scope, id: TaskId) -> Result<Task>;

    /// The task.
    ///
    /// # Errors
    ///
    /// [`NotFound`](crate::Error::NotFound) when there is none.
    fn get(&self, id: TaskId) -> Result<Task>;

    /// How far the copies of these snapshots are, for those that have not ended.
    ///
    /// # Errors
    ///
    /// Only those of the storage itself.
    fn captures_of(&self, snapshots: &[SnapshotId]) -> Result<Vec<(SnapshotId, Progress)>>;

    /// The snapshots that are being copied into just now: those of every capture whose state is running, called off or
    /// not, its lease expired or not. In no order.
    ///
    /// # Errors
    ///
    /// Only those of the storage itself.
    fn running_captures(&self) -> Result<Vec<SnapshotId>>;

    /// How far the restores and copies of these volumes are, for those that have neither ended nor been called off. Of
    /// several copies of one volume, the one that began last counts.
    ///
    /// # Errors
    ///
    /// Only those of the storage itself.
    fn work_on(&self, volumes: &[VolumeId]) -> Result<Vec<(VolumeId, Progress)>>;
}

/// What a worker is told when it renews its lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Renewal {
    /// Go on.
    Continue,
    /// The task was called off: clean up and end it.
    Cancelled,
}
