//! The database's list of the vault's packs.

use crate::{Pack, PackId, Result};

/// Keeps the list of packs, so that a pack that disappears from the vault is noticed.
#[cfg_attr(feature = "mocks", mockall::automock)]
pub trait PackRepository: Send + Sync {
    /// Notes a pack that is durable in the vault. Noting the same pack again changes nothing.
    ///
    /// # Errors
    ///
    /// Only those of the storage itself.
    fn record(&self, pack: &Pack) -> Result<()>;

    /// The next `limit` packs by id, in byte order.
    ///
    /// # Errors
    ///
    /// Only those of the storage itself.
    fn list(&self, after: Option<PackId>, limit: u32) -> Result<Vec<Pack>>;
}
