//! The vault's list of packs, kept in the database.

use std::sync::Arc;

use snapshot_domain::{OrganizationId, Pack, PackId, PackStanding, ports::PackRepository};
use snapshot_vault::{CatalogError, DomainId, PackCatalog, PackSummary};

/// Lets the vault keep its list of packs in a repository of the domain.
pub struct VaultCatalog(Arc<dyn PackRepository>);

impl VaultCatalog {
    /// A catalog over this repository.
    pub fn new(packs: Arc<dyn PackRepository>) -> Self {
        Self(packs)
    }
}

impl PackCatalog for VaultCatalog {
    fn record(&self, pack: &PackSummary) -> Result<(), CatalogError> {
        let pack = Pack {
            id: PackId::new(pack.id.as_uuid()),
            domain: OrganizationId::new(pack.domain.as_uuid()),
            size_bytes: pack.size_bytes,
            chunks: pack.chunks,
            standing: PackStanding::Kept,
        };
        self.0.record(&pack).map_err(|error| CatalogError(Box::new(error)))
    }

    fn list(&self, after: Option<snapshot_vault::PackId>, limit: usize) -> Result<Vec<PackSummary>, CatalogError> {
        let after = after.map(|id| PackId::new(id.as_uuid()));
        let packs = self
            .0
            .list(after, u32::try_from(limit).unwrap_or(u32::MAX))
            .map_err(|error| CatalogError(Box::new(error)))?;
        Ok(packs
            .into_iter()
            .map(|pack| PackSummary {
                id: snapshot_vault::PackId::new(pack.id.as_uuid()),
                domain: DomainId::new(pack.domain.as_uuid()),
                size_bytes: pack.size_bytes,
                chunks: pack.chunks,
            })
            .collect())
    }
}
