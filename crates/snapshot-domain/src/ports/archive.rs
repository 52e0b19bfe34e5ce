//! What the vault itself knows of the snapshots in it.

use crate::{ArchivedSnapshot, OrganizationId, Result, SnapshotId};

/// Reads from the vault alone which snapshots there are: for when the rows are lost.
#[cfg_attr(feature = "mocks", mockall::automock)]
pub trait SnapshotArchive: Send + Sync {
    /// The organizations that have a key in the vault, whether or not anything is sealed with it.
    ///
    /// # Errors
    ///
    /// [`Unavailable`](crate::Error::Unavailable).
    fn domains(&self) -> Result<Vec<OrganizationId>>;

    /// All whole snapshots, each with the organization whose key seals it.
    ///
    /// # Errors
    ///
    /// [`Unavailable`](crate::Error::Unavailable).
    fn list(&self) -> Result<Vec<(OrganizationId, SnapshotId)>>;

    /// What is known of a snapshot.
    ///
    /// # Errors
    ///
    /// [`Damaged`](crate::Error::Damaged) and [`Corrupt`](crate::Error::Corrupt) when that can't be read, and never will;
    /// [`NotFound`](crate::Error::NotFound) when there is none; [`Unavailable`](crate::Error::Unavailable).
    fn read(&self, domain: OrganizationId, snapshot: SnapshotId) -> Result<ArchivedSnapshot>;
}
