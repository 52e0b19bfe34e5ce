//! Where it is kept how much organizations may have.

use crate::{OrganizationId, QuotaChanges, QuotaStatus, Result};

/// Keeps quotas. They are seen to by the other repositories, each in the transaction that stores something.
#[cfg_attr(feature = "mocks", mockall::automock)]
pub trait QuotaRepository: Send + Sync {
    /// What an organization may have, and what it has.
    ///
    /// # Errors
    ///
    /// [`NotFound`](crate::Error::NotFound) when there is no such organization.
    fn quota(&self, organization: OrganizationId) -> Result<QuotaStatus>;

    /// Changes some of what an organization may have; who changes something else at the same moment loses nothing. What it has
    /// beyond that stays; only nothing can be added.
    ///
    /// # Errors
    ///
    /// [`NotFound`](crate::Error::NotFound) when there is no such organization.
    fn change_quota(&self, organization: OrganizationId, changes: &QuotaChanges) -> Result<()>;
}
