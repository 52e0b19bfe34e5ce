//! What is known of snapshots' stored bytes, and whose turn it is to be checked.

use crate::{Check, DueCheck, Result, SnapshotId, Timestamp};

/// Keeps the results of checks.
#[cfg_attr(feature = "mocks", mockall::automock)]
pub trait CheckRepository: Send + Sync {
    /// Records what a check of a snapshot found. It touches neither the revision nor the date of modification: it disturbs
    /// nobody who changes the snapshot meanwhile, and no such change undoes it.
    ///
    /// It changes nothing when the check began before the last one that was recorded, and when the snapshot is gone or is
    /// not `available`. A recorded check that began later than [anybody's clock](Timestamp::latest_elsewhere) can have told when
    /// this one ended does not count: the clock was set back. Returns whether the snapshot is there, and `available`.
    ///
    /// # Errors
    ///
    /// Only those of the storage itself.
    fn record_check(&self, snapshot: SnapshotId, check: &Check) -> Result<bool>;

    /// Makes those snapshots due as if they had never been checked whose last check began after this moment. What is known of
    /// their health stays. Returns how many.
    ///
    /// # Errors
    ///
    /// Only those of the storage itself.
    fn forget_checks_after(&self, moment: Timestamp) -> Result<u64>;

    /// At most `limit` of the `available` snapshots that wait for a check: those that were never checked, then those whose
    /// last check began longest ago; ties by id.
    ///
    /// # Errors
    ///
    /// Only those of the storage itself.
    fn due_checks(&self, query: &DueQuery, limit: u32) -> Result<Vec<DueCheck>>;
}

/// Which snapshots shall be checked: all conditions at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DueQuery {
    /// Their last check began before this moment.
    pub before: Timestamp,
    /// Only those that are damaged.
    pub only_damaged: bool,
    /// What follows this one.
    pub after: Option<DueCheck>,
}
