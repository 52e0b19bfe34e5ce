//! Where work on the vault as a whole is asked for.

use crate::{InstanceId, MaintenanceKind, MaintenanceRun, Result, RunId, RunLease, RunOutcome, Timestamp};

/// Keeps runs of maintenance, and gives them to workers.
#[cfg_attr(feature = "mocks", mockall::automock)]
pub trait MaintenanceQueue: Send + Sync {
    /// Stores a new run.
    ///
    /// # Errors
    ///
    /// [`AlreadyExists`](crate::Error::AlreadyExists) when the id is taken.
    fn ask(&self, run: &MaintenanceRun) -> Result<()>;

    /// Gives the oldest run that nobody holds at `now` to an instance, until `expires_at`. Of each kind at most one runs:
    /// another one of a kind is not given out before it has ended, or was put back. Two claims at once never get the same
    /// run, nor two of one kind.
    ///
    /// # Errors
    ///
    /// Only those of the storage itself.
    fn claim(&self, instance: InstanceId, now: Timestamp, expires_at: Timestamp) -> Result<Option<MaintenanceRun>>;

    /// Keeps a run until `expires_at`, and notes what it is waiting for.
    ///
    /// # Errors
    ///
    /// [`LeaseLost`](crate::Error::LeaseLost) unless it runs under this lease.
    fn renew(&self, lease: &RunLease, note: Option<String>, expires_at: Timestamp) -> Result<()>;

    /// Gives a run back undone.
    ///
    /// # Errors
    ///
    /// [`LeaseLost`](crate::Error::LeaseLost) unless it runs under this lease.
    fn put_back(&self, lease: &RunLease) -> Result<()>;

    /// Gives back every run under a lease of this instance: at start, what its last process left. Returns how many.
    ///
    /// # Errors
    ///
    /// Only those of the storage itself.
    fn put_back_all(&self, instance: InstanceId) -> Result<u64>;

    /// Ends a run.
    ///
    /// # Errors
    ///
    /// [`LeaseLost`](crate::Error::LeaseLost) unless it runs under this lease.
    fn finish(&self, lease: &RunLease, outcome: &RunOutcome, now: Timestamp) -> Result<()>;

    /// The run.
    ///
    /// # Errors
    ///
    /// [`NotFound`](crate::Error::NotFound) when there is none.
    fn get(&self, id: RunId) -> Result<MaintenanceRun>;

    /// The run of this kind that was asked for last, up to this moment, dry runs left out.
    ///
    /// # Errors
    ///
    /// Only those of the storage itself.
    fn latest(&self, kind: MaintenanceKind, until: Timestamp) -> Result<Option<MaintenanceRun>>;

    /// Removes runs that ended before a moment, except the latest of each kind. Returns how many.
    ///
    /// # Errors
    ///
    /// Only those of the storage itself.
    fn forget_ended_before(&self, moment: Timestamp) -> Result<u64>;
}
