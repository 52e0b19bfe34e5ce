//! The two small objects without which nothing of a copy can be read: the vault's description, and its domain's key.
//!
//! A process has read both, and goes on without them. So it looks for them before it tells anybody that a copy exists, and
//! stores again what somebody has removed.

use crate::blob::{BlobError, BlobKey};
use crate::domain::DomainCore;
use crate::error::VaultError;
use crate::format::{Flaw, names};
use crate::vault::{VaultCore, read_fixed_object};

impl VaultCore {
    /// Sees to it that the description and a domain's key are stored. Where both are gone the store as a whole is away, and
    /// nothing is stored in its place.
    ///
    /// # Errors
    ///
    /// [`VaultError::NotAVault`] when both are gone, [`VaultError::Damaged`] when one is another than this process has read,
    /// failures of the store.
    pub(crate) fn keep_essentials(&self, domain: &DomainCore) -> Result<(), VaultError> {
        let (description, key) = (names::config(), names::domain_key(domain.id));
        let has_description = self.holds(&description, &self.description)?;
        let has_key = self.holds(&key, &domain.sealed_key)?;
        match (has_description, has_key) {
            (true, true) => Ok(()),
            (false, false) => Err(VaultError::NotAVault),
            (false, true) => self.store_again(&description, &self.description),
            (true, false) => self.store_again(&key, &domain.sealed_key),
        }
    }

    /// Whether an object is there.
    fn holds(&self, name: &BlobKey, known: &[u8]) -> Result<bool, VaultError> {
        match read_fixed_object(&*self.blobs, name)? {
            Some(bytes) if bytes == known => Ok(true),
            Some(_) => Err(Flaw::Bytes("its key or the vault's description was replaced meanwhile").losing_all(name)),
            None => Ok(false),
        }
    }

    fn store_again(&self, name: &BlobKey, bytes: &[u8]) -> Result<(), VaultError> {
        log::error!("{name} was removed, and is stored again: nothing could be read without it");
        match self.blobs.put(name, bytes) {
            // Somebody else was quicker.
            Err(BlobError::AlreadyExists { .. }) => Ok(()),
            stored => Ok(stored?),
        }
    }
}
