//! The list of packs that the caller's database keeps.

use crate::hash::ChunkId;
use crate::id::{CollectionId, DomainId, ManifestId, PackId};
use std::collections::{BTreeSet, HashSet};
use std::error::Error;
use std::ops::ControlFlow;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The list of packs that the caller's database keeps, a row per pack: the vault's memory of what must be in the store,
/// so that a pack that got lost is noticed, and of what is being removed from it.
///
/// Each method is one transaction, durable when it returns. A pack is kept, then condemned by a collection, then dropped
/// by it (see [`PackStanding`]). Condemned and dropped packs belong to one collection; what another one asks of them
/// changes nothing, so that a collection that was given up on can do no harm.
pub trait PackCatalog: Send + Sync {
    /// Records a pack, kept. Recording a pack that is recorded changes nothing, whatever its standing.
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

    /// Makes all condemned and dropped packs this collection's, and returns them in the order of their ids' bytes.
    ///
    /// # Errors
    ///
    /// When the catalog can't be written.
    fn take_over(&self, collection: CollectionId) -> Result<Vec<PackSummary>, CatalogError>;

    /// Condemns those of the packs that are kept; they become this collection's.
    ///
    /// # Errors
    ///
    /// When the catalog can't be written.
    fn condemn(&self, collection: CollectionId, packs: &[PackId]) -> Result<(), CatalogError>;

    /// Keeps those of the packs that are condemned and this collection's.
    ///
    /// # Errors
    ///
    /// When the catalog can't be written.
    fn release(&self, collection: CollectionId, packs: &[PackId]) -> Result<(), CatalogError>;

    /// Drops those of the packs that are condemned and this collection's, and returns them.
    ///
    /// # Errors
    ///
    /// When the catalog can't be written.
    fn drop_packs(&self, collection: CollectionId, packs: &[PackId]) -> Result<Vec<PackId>, CatalogError>;

    /// Removes those of the packs that are dropped, with all that is set aside in them.
    ///
    /// # Errors
    ///
    /// When the catalog can't be written.
    fn forget(&self, packs: &[PackId]) -> Result<(), CatalogError>;

    /// Notes damaged chunks, as far as their packs are recorded. Noting one again changes nothing.
    ///
    /// # Errors
    ///
    /// When the catalog can't be written.
    fn set_aside(&self, chunks: &[SetAside]) -> Result<(), CatalogError>;

    /// What copies that begin now must not count on.
    ///
    /// # Errors
    ///
    /// When the catalog can't be read.
    fn distrusted(&self) -> Result<Distrusted, CatalogError>;
}

/// The copies that somebody makes or is about to make, as the caller's database knows them.
pub trait RunningCopies: Send + Sync {
    /// All copies that were begun or are about to begin, and have not ended. A copy that is not among them reads what is
    /// [`distrusted`](PackCatalog::distrusted) later than now, or ended before.
    ///
    /// # Errors
    ///
    /// When the database can't be read.
    fn running(&self) -> Result<Vec<ManifestId>, CatalogError>;
}

/// The copies that must be there, as the caller's database knows them. A copy is promised only after it was committed, and
/// deleted only after it is promised no more: one that is promised all the while and not there is lost.
pub trait PromisedCopies: Send + Sync {
    /// Shows all promised copies, some at a time and in any order, until `visit` breaks. Each one that is promised all the
    /// while is shown, however others come and go.
    ///
    /// # Errors
    ///
    /// When the database can't be read.
    fn visit(&self, visit: CopyVisitor<'_>) -> Result<(), CatalogError>;

    /// Whether a copy is promised still.
    ///
    /// # Errors
    ///
    /// When the database can't be read.
    fn is_promised(&self, domain: DomainId, copy: ManifestId) -> Result<bool, CatalogError>;
}

/// Is shown copies, some at a time, until it breaks.
pub type CopyVisitor<'a> = &'a mut dyn FnMut(&[(DomainId, ManifestId)]) -> ControlFlow<()>;

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
    /// Whether it stays.
    pub standing: PackStanding,
}

/// Whether a pack stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PackStanding {
    /// It stays, and copies count on it.
    Kept,
    /// It is chosen for removal: copies that begin from now on count its chunks as absent. It may be kept again.
    Condemned,
    /// Its removal is decided: nothing needs it any more. Its object goes first, then its row.
    Dropped,
}

/// A damaged chunk at its place. Copies count what lies there as absent, and store it again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SetAside {
    /// The chunk, or the index page.
    pub chunk: ChunkId,
    /// The pack in which it is damaged.
    pub pack: PackId,
    /// Where its record begins, in bytes from the beginning of the pack.
    pub offset: u32,
}

/// What copies must not count on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Distrusted {
    /// Packs that are condemned or dropped.
    pub packs: Vec<PackId>,
    /// Damaged chunks.
    pub chunks: Vec<SetAside>,
}

/// The catalog could not be read or written.
#[derive(Debug, thiserror::Error)]
#[error("the catalog of packs is unavailable")]
pub struct CatalogError(#[source] pub Box<dyn Error + Send + Sync>);

/// The catalog of who only reads: it knows nothing, and takes nothing. It only remembers what was damaged.
#[derive(Debug, Default)]
pub(crate) struct NoCatalog(Mutex<BTreeSet<SetAside>>);

impl NoCatalog {
    /// The damaged chunks that were met.
    pub(crate) fn met(&self) -> Vec<SetAside> {
        self.lock().iter().copied().collect()
    }

    /// Their places.
    pub(crate) fn met_places(&self) -> HashSet<(PackId, u32)> {
        self.lock().iter().map(|chunk| (chunk.pack, chunk.offset)).collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeSet<SetAside>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn refuse<T>() -> Result<T, CatalogError> {
        Err(CatalogError("the vault was opened to be read only".into()))
    }
}

impl PackCatalog for NoCatalog {
    fn record(&self, _pack: &PackSummary) -> Result<(), CatalogError> {
        Self::refuse()
    }

    fn list(&self, _after: Option<PackId>, _limit: usize) -> Result<Vec<PackSummary>, CatalogError> {
        Ok(Vec::new())
    }

    fn take_over(&self, _collection: CollectionId) -> Result<Vec<PackSummary>, CatalogError> {
        Self::refuse()
    }

    fn condemn(&self, _collection: CollectionId, _packs: &[PackId]) -> Result<(), CatalogError> {
        Self::refuse()
    }

    fn release(&self, _collection: CollectionId, _packs: &[PackId]) -> Result<(), CatalogError> {
        Self::refuse()
    }

    fn drop_packs(&self, _collection: CollectionId, _packs: &[PackId]) -> Result<Vec<PackId>, CatalogError> {
        Self::refuse()
    }

    fn forget(&self, _packs: &[PackId]) -> Result<(), CatalogError> {
        Self::refuse()
    }

    fn set_aside(&self, chunks: &[SetAside]) -> Result<(), CatalogError> {
        self.lock().extend(chunks);
        Ok(())
    }

    fn distrusted(&self) -> Result<Distrusted, CatalogError> {
        Ok(Distrusted::default())
    }
}
