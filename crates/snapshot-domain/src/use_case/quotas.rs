//! How much organizations may have: what an operator sets on the host.

use std::sync::Arc;

use crate::{OrganizationId, QuotaChanges, QuotaStatus, Result, ports::QuotaRepository};

/// Everything about quotas.
#[derive(Clone)]
pub struct QuotaService {
    quotas: Arc<dyn QuotaRepository>,
}

impl QuotaService {
    /// A service over these quotas.
    pub fn new(quotas: Arc<dyn QuotaRepository>) -> Self {
        Self { quotas }
    }

    /// What an organization may have, and what it has.
    ///
    /// # Errors
    ///
    /// [`NotFound`](crate::Error::NotFound) when there is no such organization.
    pub fn get(&self, organization: OrganizationId) -> Result<QuotaStatus> {
        self.quotas.quota(organization)
    }

    /// Changes some of what an organization may have, and returns what holds afterwards.
    ///
    /// # Errors
    ///
    /// [`NotFound`](crate::Error::NotFound) when there is no such organization.
    pub fn change(&self, organization: OrganizationId, changes: &QuotaChanges) -> Result<QuotaStatus> {
        self.quotas.change_quota(organization, changes)?;
        self.quotas.quota(organization)
    }
}
