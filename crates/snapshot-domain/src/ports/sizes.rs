//! What each snapshot takes for itself.

use crate::{OrganizationId, Result, SnapshotId};

/// Keeps how many bytes deleting a snapshot would free. That depends on every other snapshot under the same key: a number
/// is told only as long as these are exactly those that it was computed for.
#[cfg_attr(feature = "mocks", mockall::automock)]
pub trait SnapshotSizes: Send + Sync {
    /// The domains whose whole snapshots became others since they were measured, in no order.
    ///
    /// # Errors
    ///
    /// Only those of the storage itself.
    fn unmeasured(&self) -> Result<Vec<OrganizationId>>;

    /// The whole snapshots under a domain's key, as they are at one moment.
    ///
    /// # Errors
    ///
    /// Only those of the storage itself.
    fn snapshots_of(&self, domain: OrganizationId) -> Result<DomainSnapshots>;

    /// Stores what was computed for exactly these snapshots. `false` when they are others by now, and nothing was stored.
    ///
    /// # Errors
    ///
    /// Only those of the storage itself.
    fn store(&self, domain: OrganizationId, change: u64, exclusive_bytes: &[(SnapshotId, u64)]) -> Result<bool>;

    /// How many bytes deleting each of these snapshots now would free; those for which that is not known are left out.
    ///
    /// # Errors
    ///
    /// Only those of the storage itself.
    fn exclusive_bytes(&self, snapshots: &[SnapshotId]) -> Result<Vec<(SnapshotId, u64)>>;
}

/// The whole snapshots under a domain's key, at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DomainSnapshots {
    /// How often they became others before.
    pub change: u64,
    /// All that are `available`, whoever owns them, in the order of their ids.
    pub snapshots: Vec<SnapshotId>,
}
