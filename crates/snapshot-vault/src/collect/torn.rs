//! The end of packs that were torn while they were stored.

use crate::blob::BlobError;
use crate::error::VaultError;
use crate::format::{Flaw, names};
use crate::id::PackId;
use crate::listing::read_listing;
use crate::vault::VaultCore;

/// A torn pack, as it lies in the store now.
#[derive(Clone, Copy, Debug)]
pub(super) struct Torn {
    id: PackId,
    pub(super) size_bytes: u64,
}

impl Torn {
    /// Those that were found at the start and are still there, not whole.
    ///
    /// What appears later is left alone, however it looks: it may just be being stored.
    pub(super) fn all(vault: &VaultCore) -> Result<Vec<Self>, VaultError> {
        let ids: Vec<PackId> = vault.torn().iter().copied().collect();
        let mut torn = Vec::new();
        for id in ids {
            let size_bytes = match vault.blobs.size(&names::pack(id)) {
                Ok(size_bytes) => size_bytes,
                Err(BlobError::NotFound { .. }) => continue,
                Err(error) => return Err(error.into()),
            };
            // What can be read by now is for the next start to take in.
            if let Err(Flaw::Bytes(_)) = read_listing(&*vault.blobs, id, size_bytes)? {
                torn.push(Self { id, size_bytes });
            }
        }
        Ok(torn)
    }

    pub(super) fn remove(self, vault: &VaultCore) -> Result<(), VaultError> {
        vault.blobs.delete(&names::pack(self.id))?;
        vault.torn().remove(&self.id);
        Ok(())
    }
}
