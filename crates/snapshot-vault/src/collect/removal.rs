//! The end of a dropped pack.

use crate::blob::BlobStore;
use crate::catalog::{PackCatalog, PackSummary};
use crate::error::VaultError;
use crate::format::names;
use crate::hash::ChunkId;
use crate::id::PackId;
use crate::index::ChunkIndex;
use crate::listing::{Listing, read_listing};

/// So many packs are removed together: the index is synced, and the catalog told, once for all of them.
pub(crate) const AT_ONCE: usize = 64;

/// Removes dropped packs: what the index notes of them, then their objects, then their rows. Each step may be done
/// again, so that whoever finds a dropped pack finishes it.
///
/// The index comes first, because only the object tells what it has to forget.
pub(crate) fn remove(
    blobs: &dyn BlobStore,
    index: &dyn ChunkIndex,
    catalog: &dyn PackCatalog,
    dropped: &[PackSummary],
) -> Result<(), VaultError> {
    for pack in dropped {
        index.remove_pack(pack.id, &chunks_of(blobs, pack))?;
    }
    index.flush()?;
    for pack in dropped {
        blobs.delete(&names::pack(pack.id))?;
    }
    let ids: Vec<PackId> = dropped.iter().map(|pack| pack.id).collect();
    Ok(catalog.forget(&ids)?)
}

/// What a pack holds, as far as it can be read: it may be gone already, or it is removed because it is damaged.
fn chunks_of(blobs: &dyn BlobStore, pack: &PackSummary) -> Vec<ChunkId> {
    match read_listing(blobs, pack.id, pack.size_bytes) {
        Ok(Ok(Listing { footer, .. })) => footer.entries.iter().map(|entry| entry.id).collect(),
        Ok(Err(_)) | Err(_) => Vec::new(),
    }
}
