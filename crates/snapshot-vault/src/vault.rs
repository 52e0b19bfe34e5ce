//! The vault and its domains.

use crate::blob::BlobStore;
use crate::catalog::PackCatalog;
use crate::copy::CopySession;
use crate::error::VaultError;
use crate::id::{ChunkSize, DomainId, ManifestId, PackId};
use crate::index::ChunkIndex;
use crate::key::MasterKey;
use crate::read::StoredCopy;
use std::sync::Arc;

/// How a vault is made and used.
#[derive(Clone, Copy, Debug)]
pub struct VaultOptions {
    /// The chunk size of a vault that is made. An existing vault keeps its own.
    pub chunk_size: ChunkSize,
    /// How large a pack grows before it is closed, in bytes; at most 1 GiB counts.
    pub pack_size_bytes: u64,
}

impl Default for VaultOptions {
    fn default() -> Self {
        Self {
            chunk_size: ChunkSize::default(),
            pack_size_bytes: 64 << 20,
        }
    }
}

/// The store of all copies. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Vault {}

impl Vault {
    /// Opens the vault, or makes it in an empty store.
    ///
    /// # Errors
    ///
    /// [`VaultError::WrongMasterKey`], [`VaultError::UnsupportedVersion`], [`VaultError::NotAVault`],
    /// [`VaultError::Damaged`] when the description of the vault is, failures of the store.
    pub fn open(
        _blobs: Arc<dyn BlobStore>,
        _master: &MasterKey,
        _index: Arc<dyn ChunkIndex>,
        _catalog: Arc<dyn PackCatalog>,
        _options: VaultOptions,
    ) -> Result<Self, VaultError> {
        unimplemented!()
    }

    /// The size of this vault's chunks.
    pub fn chunk_size(&self) -> ChunkSize {
        unimplemented!()
    }

    /// Makes index, catalog and the stored packs agree. To be called at start, before the first copy: packs that are
    /// stored but not in the catalog are recorded; packs that are not in the index are fed from their footers; packs
    /// that are lost or damaged are reported, and their chunks count as absent. Memory stays bounded.
    ///
    /// # Errors
    ///
    /// Failures of store, index and catalog; damage is no error here.
    pub fn reconcile(&self) -> Result<Reconciliation, VaultError> {
        unimplemented!()
    }

    /// A domain. Its key is made and stored if it is new.
    ///
    /// # Errors
    ///
    /// [`VaultError::Damaged`] when its key object is; failures of the store.
    pub fn domain(&self, _id: DomainId) -> Result<Domain, VaultError> {
        unimplemented!()
    }

    /// All domains that have a key in the store, in the order of their ids.
    ///
    /// # Errors
    ///
    /// Failures of the store.
    pub fn domains(&self) -> Result<Vec<DomainId>, VaultError> {
        unimplemented!()
    }
}

/// What [`Vault::reconcile`] found and did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reconciliation {
    /// Packs that are stored and whole, as far as their sizes and footers tell.
    pub packs: u64,
    /// Of these, packs that the catalog did not know.
    pub adopted: u64,
    /// Of these, packs that the index did not know.
    pub indexed: u64,
    /// Packs that the index knew, and that are neither stored nor in the catalog.
    pub forgotten: u64,
    /// Packs that are lost or damaged.
    pub damaged: Vec<DamagedPack>,
}

/// A pack that is lost or damaged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DamagedPack {
    /// The pack.
    pub id: PackId,
    /// What is wrong with it.
    pub reason: &'static str,
}

/// A part of the vault under a key of its own. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Domain {}

impl Domain {
    /// The domain's name.
    pub fn id(&self) -> DomainId {
        unimplemented!()
    }

    /// Starts a copy of a content of `size_bytes`. `parent` is compared with position by position: what equals it is
    /// neither looked up nor stored. A copy that was interrupted is simply started again.
    ///
    /// # Errors
    ///
    /// [`VaultError::ManifestExists`] when the copy was committed before; failures of the store.
    pub fn begin_copy(
        &self,
        _manifest: ManifestId,
        _size_bytes: u64,
        _parent: Option<&StoredCopy>,
    ) -> Result<CopySession, VaultError> {
        unimplemented!()
    }

    /// Opens a committed copy.
    ///
    /// # Errors
    ///
    /// [`VaultError::ManifestNotFound`], [`VaultError::Damaged`], [`VaultError::UnsupportedVersion`], failures of the
    /// store.
    pub fn open_manifest(&self, _id: ManifestId) -> Result<StoredCopy, VaultError> {
        unimplemented!()
    }

    /// Deletes a copy, durably. One that is not there is fine. Its chunks stay until they are collected.
    ///
    /// # Errors
    ///
    /// Failures of the store.
    pub fn delete_manifest(&self, _id: ManifestId) -> Result<(), VaultError> {
        unimplemented!()
    }

    /// All copies of the domain, in the order of their ids.
    ///
    /// # Errors
    ///
    /// Failures of the store.
    pub fn manifests(&self) -> Result<Vec<ManifestId>, VaultError> {
        unimplemented!()
    }
}
