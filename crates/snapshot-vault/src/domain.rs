//! A domain: copies under one key.

use crate::blob::{BlobEntry, BlobError};
use crate::copy::CopySession;
use crate::error::VaultError;
use crate::format::Flaw;
use crate::format::manifest::{MAX_CONTENT_BYTES, Manifest};
use crate::format::names;
use crate::geometry::Geometry;
use crate::id::{DomainId, ManifestId};
use crate::key::DomainKeys;
use crate::read::StoredCopy;
use crate::vault::VaultCore;
use std::ops::ControlFlow;
use std::sync::Arc;

/// A part of the vault under a key of its own. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Domain {
    pub(crate) vault: Arc<VaultCore>,
    pub(crate) core: Arc<DomainCore>,
}

/// What all handles of a domain share.
#[derive(Debug)]
pub(crate) struct DomainCore {
    pub(crate) id: DomainId,
    pub(crate) keys: DomainKeys,
    /// The object of its key, as it is stored: the key is sealed in it.
    pub(crate) sealed_key: Vec<u8>,
}

impl Domain {
    pub(crate) const fn new(vault: Arc<VaultCore>, core: Arc<DomainCore>) -> Self {
        Self { vault, core }
    }

    /// The domain's name.
    pub fn id(&self) -> DomainId {
        self.core.id
    }

    /// Starts a copy of a content of `size_bytes` (at most 1 PiB). `parent` is compared with position by position: what
    /// equals it is neither looked up nor stored; a parent of another domain is of no use and ignored. A copy that was
    /// interrupted is simply started again: a manifest of it that was torn when it was stored is removed first.
    ///
    /// # Errors
    ///
    /// [`VaultError::ManifestExists`] when the copy was committed before, [`VaultError::Misuse`] when the content is
    /// too large, failures of store and catalog.
    pub fn begin_copy(
        &self,
        manifest: ManifestId,
        size_bytes: u64,
        parent: Option<&StoredCopy>,
    ) -> Result<CopySession, VaultError> {
        if size_bytes > MAX_CONTENT_BYTES {
            return Err(VaultError::Misuse("a content is at most 1 PiB"));
        }
        if !self.vault.clear_torn_manifest(self.id(), manifest)? {
            return Err(VaultError::ManifestExists(manifest));
        }
        let geometry = Geometry {
            size_bytes,
            chunk_size: self.vault.config.chunk_size,
        };
        CopySession::new(self.clone(), manifest, geometry, parent)
    }

    /// Opens a committed copy.
    ///
    /// # Errors
    ///
    /// [`VaultError::ManifestNotFound`], [`VaultError::Damaged`], [`VaultError::UnsupportedVersion`], failures of the
    /// store.
    pub fn open_manifest(&self, id: ManifestId) -> Result<StoredCopy, VaultError> {
        let name = names::manifest(self.id(), id);
        let bytes = match self.vault.read_manifest(&name) {
            Err(VaultError::Blob(BlobError::NotFound { .. })) => return Err(VaultError::ManifestNotFound(id)),
            bytes => bytes?,
        };
        let manifest = Manifest::decode(&bytes, self.id(), id, &self.core.keys.manifests)
            .map_err(|flaw| flaw.losing_all(&name))?;
        if manifest.geometry.chunk_size != self.vault.config.chunk_size {
            return Err(Flaw::Bytes("its chunk size is not the vault's").losing_all(&name));
        }
        Ok(StoredCopy::new(self.clone(), id, manifest, bytes.len() as u64))
    }

    /// Deletes a copy, durably. One that is not there is fine. Its chunks stay until they are collected.
    ///
    /// # Errors
    ///
    /// Failures of the store.
    pub fn delete_manifest(&self, id: ManifestId) -> Result<(), VaultError> {
        Ok(self.vault.blobs.delete(&names::manifest(self.id(), id))?)
    }

    /// All copies of the domain, in the order of their ids.
    ///
    /// # Errors
    ///
    /// Failures of the store.
    pub fn manifests(&self) -> Result<Vec<ManifestId>, VaultError> {
        let mut manifests = Vec::new();
        self.vault
            .blobs
            .list(&names::manifests(self.id()), &mut |entry: BlobEntry| {
                manifests.extend(names::uuid_of(&entry.key).map(ManifestId::new));
                ControlFlow::Continue(())
            })?;
        Ok(manifests)
    }
}
