//! The database's list of the vault's packs.

use crate::{CollectionId, DamagedChunk, Distrusted, Pack, PackId, Result};

/// Keeps the list of packs, so that a pack that disappears from the vault is noticed, and decides which packs copies may
/// rely on.
///
/// Condemned and dropped packs belong to one collection. Every change of theirs compares it, so that a collection that
/// was interrupted can do nothing any more once another one has taken over.
#[cfg_attr(feature = "mocks", mockall::automock)]
pub trait PackRepository: Send + Sync {
    /// Notes a pack that is durable in the vault; it is kept, whatever `pack.standing` says. Noting the same pack again
    /// changes nothing.
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

    /// Makes all condemned and dropped packs this collection's, and returns them in the order of their ids.
    ///
    /// # Errors
    ///
    /// Only those of the storage itself.
    fn take_over(&self, collection: CollectionId) -> Result<Vec<Pack>>;

    /// Condemns packs that are kept; they are this collection's then. Others are left alone.
    ///
    /// # Errors
    ///
    /// Only those of the storage itself.
    fn condemn(&self, collection: CollectionId, packs: &[PackId]) -> Result<()>;

    /// Keeps packs again that this collection has condemned. Others are left alone.
    ///
    /// # Errors
    ///
    /// Only those of the storage itself.
    fn release(&self, collection: CollectionId, packs: &[PackId]) -> Result<()>;

    /// Drops packs that this collection has condemned, and returns exactly these, in the order of their ids. Others are
    /// left alone.
    ///
    /// # Errors
    ///
    /// Only those of the storage itself.
    fn drop_packs(&self, collection: CollectionId, packs: &[PackId]) -> Result<Vec<PackId>>;

    /// Removes dropped packs from the list, with what is set aside in them. Others are left alone.
    ///
    /// # Errors
    ///
    /// Only those of the storage itself.
    fn forget(&self, packs: &[PackId]) -> Result<()>;

    /// Sets damaged chunks aside. Noting one again changes nothing, and so does noting one in a pack that is not listed:
    /// no copy can rely on it.
    ///
    /// # Errors
    ///
    /// Only those of the storage itself.
    fn set_aside(&self, chunks: &[DamagedChunk]) -> Result<()>;

    /// What copies that begin now must not rely on, as it is at one moment.
    ///
    /// # Errors
    ///
    /// Only those of the storage itself.
    fn distrusted(&self) -> Result<Distrusted>;
}
