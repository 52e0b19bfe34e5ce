//! The vault's list of packs, kept in the database.

use std::sync::Arc;

use snapshot_domain::{
    CollectionId, DamagedChunk, Error, OrganizationId, Pack, PackId, PackStanding, ports::PackRepository,
};
use snapshot_vault::{self as vault, CatalogError, ChunkId, DomainId, PackCatalog, PackSummary, SetAside};

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
            id: stored_id(pack.id),
            domain: OrganizationId::new(pack.domain.as_uuid()),
            size_bytes: pack.size_bytes,
            chunks: pack.chunks,
            standing: PackStanding::Kept,
        };
        self.0.record(&pack).map_err(unavailable)
    }

    fn list(&self, after: Option<vault::PackId>, limit: usize) -> Result<Vec<PackSummary>, CatalogError> {
        let limit = u32::try_from(limit).unwrap_or(u32::MAX);
        let packs = self.0.list(after.map(stored_id), limit).map_err(unavailable)?;
        Ok(packs.into_iter().map(summary).collect())
    }

    fn take_over(&self, collection: vault::CollectionId) -> Result<Vec<PackSummary>, CatalogError> {
        let packs = self.0.take_over(owner(collection)).map_err(unavailable)?;
        Ok(packs.into_iter().map(summary).collect())
    }

    fn condemn(&self, collection: vault::CollectionId, packs: &[vault::PackId]) -> Result<(), CatalogError> {
        self.0
            .condemn(owner(collection), &stored_ids(packs))
            .map_err(unavailable)
    }

    fn release(&self, collection: vault::CollectionId, packs: &[vault::PackId]) -> Result<(), CatalogError> {
        self.0
            .release(owner(collection), &stored_ids(packs))
            .map_err(unavailable)
    }

    fn drop_packs(
        &self,
        collection: vault::CollectionId,
        packs: &[vault::PackId],
    ) -> Result<Vec<vault::PackId>, CatalogError> {
        let dropped = self.0.drop_packs(owner(collection), &stored_ids(packs));
        Ok(dropped.map_err(unavailable)?.into_iter().map(vault_id).collect())
    }

    fn forget(&self, packs: &[vault::PackId]) -> Result<(), CatalogError> {
        self.0.forget(&stored_ids(packs)).map_err(unavailable)
    }

    fn set_aside(&self, chunks: &[SetAside]) -> Result<(), CatalogError> {
        let chunks: Vec<_> = chunks
            .iter()
            .map(|chunk| DamagedChunk {
                pack: stored_id(chunk.pack),
                record_offset: chunk.offset,
                chunk: *chunk.chunk.as_bytes(),
            })
            .collect();
        self.0.set_aside(&chunks).map_err(unavailable)
    }

    fn distrusted(&self) -> Result<vault::Distrusted, CatalogError> {
        let distrusted = self.0.distrusted().map_err(unavailable)?;
        let chunks = distrusted.chunks.into_iter().map(|chunk| SetAside {
            chunk: ChunkId::from_bytes(chunk.chunk),
            pack: vault_id(chunk.pack),
            offset: chunk.record_offset,
        });
        Ok(vault::Distrusted {
            packs: distrusted.packs.into_iter().map(vault_id).collect(),
            chunks: chunks.collect(),
        })
    }
}

fn stored_id(pack: vault::PackId) -> PackId {
    PackId::new(pack.as_uuid())
}

fn stored_ids(packs: &[vault::PackId]) -> Vec<PackId> {
    packs.iter().copied().map(stored_id).collect()
}

fn vault_id(pack: PackId) -> vault::PackId {
    vault::PackId::new(pack.as_uuid())
}

fn owner(collection: vault::CollectionId) -> CollectionId {
    CollectionId::new(collection.as_uuid())
}

fn summary(pack: Pack) -> PackSummary {
    PackSummary {
        id: vault_id(pack.id),
        domain: DomainId::new(pack.domain.as_uuid()),
        size_bytes: pack.size_bytes,
        chunks: pack.chunks,
        standing: match pack.standing {
            PackStanding::Kept => vault::PackStanding::Kept,
            PackStanding::Condemned => vault::PackStanding::Condemned,
            PackStanding::Dropped => vault::PackStanding::Dropped,
        },
    }
}

fn unavailable(error: Error) -> CatalogError {
    CatalogError(Box::new(error))
}
