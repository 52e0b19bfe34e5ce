//! The list of packs that the caller's database keeps.

use crate::id::{DomainId, PackId};
use std::error::Error;

/// The list of packs that the caller's database keeps, a row per pack: the vault's memory of what must be in the store,
/// so that a pack that got lost is noticed.
pub trait PackCatalog: Send + Sync {
    /// Records a pack, durably when it returns. Recording the same pack again changes nothing.
    ///
    /// # Errors
    ///
    /// When the catalog can't be written.
    fn record(&self, pack: &PackSummary) -> Result<(), CatalogError>;

    /// Up to `limit` packs in the order of their ids' bytes: the first ones, or those that follow `after`. Fewer than
    /// `limit` means that there are no more.
    ///
    /// # Errors
    ///
    /// When the catalog can't be read.
    fn list(&self, after: Option<PackId>, limit: usize) -> Result<Vec<PackSummary>, CatalogError>;
}

/// What the catalog knows of a pack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PackSummary {
    /// The pack.
    pub id: PackId,
    /// The domain whose chunks it holds.
    pub domain: DomainId,
    /// The size of the whole object in bytes.
    pub size_bytes: u64,
    /// How many records (chunks and index pages) it holds.
    pub chunks: u32,
}

/// The catalog could not be read or written.
#[derive(Debug, thiserror::Error)]
#[error("the catalog of packs is unavailable")]
pub struct CatalogError(#[source] pub Box<dyn Error + Send + Sync>);

/// The catalog of who only reads: it knows nothing, and takes nothing.
#[derive(Debug)]
pub(crate) struct NoCatalog;

impl PackCatalog for NoCatalog {
    fn record(&self, _pack: &PackSummary) -> Result<(), CatalogError> {
        Err(CatalogError("the vault was opened to be read only".into()))
    }

    fn list(&self, _after: Option<PackId>, _limit: usize) -> Result<Vec<PackSummary>, CatalogError> {
        Ok(Vec::new())
    }
}
