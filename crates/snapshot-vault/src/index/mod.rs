//! Where a chunk lies: a local cache that can be rebuilt from the packs.

pub(crate) mod redb;

use crate::hash::ChunkId;
use crate::id::PackId;
use std::error::Error;
use uuid::Uuid;

/// Where each chunk lies. A cache: it may lag behind the packs, never run ahead of them, and [`crate::Vault::reconcile`]
/// fills it again from the packs' footers.
pub trait ChunkIndex: Send + Sync {
    /// Whether some pack holds the chunk.
    ///
    /// # Errors
    ///
    /// When the index can't be read.
    fn contains(&self, id: &ChunkId) -> Result<bool, IndexError>;

    /// Where each of `ids` lies, in their order; `None` for what no pack holds.
    ///
    /// # Errors
    ///
    /// When the index can't be read.
    fn locate(&self, ids: &[ChunkId]) -> Result<Vec<Option<Location>>, IndexError>;

    /// Notes all that a durable pack holds, and that it is noted: all or nothing. A chunk that was noted elsewhere lies
    /// here from now on.
    ///
    /// # Errors
    ///
    /// When the index can't be written.
    fn add_pack(&self, pack: PackId, entries: &[IndexEntry]) -> Result<(), IndexError>;

    /// Up to `limit` of the noted packs in the order of their ids' bytes: the first ones, or those that follow `after`.
    /// Fewer than `limit` means that there are no more.
    ///
    /// # Errors
    ///
    /// When the index can't be read.
    fn packs(&self, after: Option<PackId>, limit: usize) -> Result<Vec<PackId>, IndexError>;

    /// Forgets a pack: chunks that are noted to lie there are in no pack from now on. `chunks` are those that the pack
    /// holds, as far as that is known: the space that noting them takes is given back. Like what is noted, what is
    /// forgotten is durable only when it was flushed.
    ///
    /// # Errors
    ///
    /// When the index can't be written.
    fn remove_pack(&self, pack: PackId, chunks: &[ChunkId]) -> Result<(), IndexError>;

    /// Forgets everything.
    ///
    /// # Errors
    ///
    /// When the index can't be written.
    fn clear(&self) -> Result<(), IndexError>;

    /// Makes durable what was noted so far. What was not flushed may be forgotten by a crash.
    ///
    /// # Errors
    ///
    /// When the index can't be written.
    fn flush(&self) -> Result<(), IndexError>;
}

/// Whether a pack is noted.
pub(crate) fn knows_pack(index: &dyn ChunkIndex, pack: PackId) -> Result<bool, IndexError> {
    let before = pack.as_uuid().as_u128().checked_sub(1);
    let before = before.map(Uuid::from_u128).map(PackId::new);
    Ok(index.packs(before, 1)?.contains(&pack))
}

/// The place of a stored chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Location {
    /// The pack that holds it.
    pub pack: PackId,
    /// Where its record begins, in bytes from the beginning of the pack.
    pub offset: u32,
    /// The length of its record in bytes.
    pub length: u32,
}

/// A record of a pack, as the index notes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IndexEntry {
    /// The chunk.
    pub id: ChunkId,
    /// Where its record begins, in bytes from the beginning of the pack.
    pub offset: u32,
    /// The length of its record in bytes.
    pub length: u32,
}

/// The index could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    /// There is no room left for the index.
    #[error("no space left for the chunk index")]
    NoSpace(#[source] Box<dyn Error + Send + Sync>),
    /// Any other failure.
    #[error("the chunk index is unavailable")]
    Unavailable(#[source] Box<dyn Error + Send + Sync>),
}
