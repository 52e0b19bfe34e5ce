//! Making a copy.

mod trust;
mod worker;

pub(crate) use trust::OpenSessions;
pub use worker::PageWriter;

use crate::catalog::PackSummary;
use crate::digest::{Digest, Digester, PageRead};
use crate::domain::Domain;
use crate::error::VaultError;
use crate::format::manifest::{MAX_METADATA_BYTES, Manifest};
use crate::format::names;
use crate::format::page_map::PageMap;
use crate::geometry::Geometry;
use crate::hash::{ChunkHash, ChunkId};
use crate::id::{DomainId, ManifestId};
use crate::read::StoredCopy;
use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use trust::Trust;

/// One copy being made, shared by the threads that make it. Dropping it abandons the copy: what was stored so far is
/// found again by the next attempt.
///
/// Chunks in a pack that another worker of this copy has open count as stored, because the copy can't be committed
/// unless every worker finishes. Chunks in open packs of *other* copies do not: those may never be closed.
///
/// What was distrusted when it began ([`crate::PackCatalog::distrusted`]) counts as absent until it ends.
#[derive(Debug)]
pub struct CopySession {
    domain: Domain,
    manifest: ManifestId,
    geometry: Geometry,
    parent: Option<StoredCopy>,
    trust: Trust,
    /// Chunks and pages that are in some worker's open pack, or about to be, and whether they are stored also when a pack holds
    /// them.
    in_flight: Mutex<HashMap<ChunkId, bool>>,
    progress: Mutex<Progress>,
    /// Workers that have not finished. Those that failed never do.
    unfinished: AtomicU64,
}

#[derive(Debug)]
struct Progress {
    /// The pages that hold data.
    pages: BTreeMap<u64, ChunkHash>,
    digester: Digester,
    pack_bytes: u64,
    new_chunks: u64,
    new_pages: u64,
    new_packs: u64,
}

impl CopySession {
    pub(crate) fn new(
        domain: Domain,
        manifest: ManifestId,
        geometry: Geometry,
        parent: Option<&StoredCopy>,
    ) -> Result<Self, VaultError> {
        let parent = parent.filter(|parent| parent.domain_id() == domain.id()).cloned();
        let trust = Trust::now(&domain.vault, parent.as_ref())?;
        let digester = Digester::new(geometry.size_bytes, geometry.chunk_size);
        Ok(Self {
            domain,
            manifest,
            geometry,
            parent,
            trust,
            in_flight: Mutex::default(),
            progress: Mutex::new(Progress {
                pages: BTreeMap::new(),
                digester,
                pack_bytes: 0,
                new_chunks: 0,
                new_pages: 0,
                new_packs: 0,
            }),
            unfinished: AtomicU64::new(0),
        })
    }

    /// The name that the copy will have.
    pub fn manifest_id(&self) -> ManifestId {
        self.manifest
    }

    /// The size of the content in bytes.
    pub fn size_bytes(&self) -> u64 {
        self.geometry.size_bytes
    }

    /// How many pages cover the content.
    pub fn page_count(&self) -> u64 {
        self.geometry.page_count()
    }

    /// The bytes of the content that a page covers. Past the end, an empty range.
    pub fn page_span(&self, page: u64) -> Range<u64> {
        self.geometry.page_span(page)
    }

    /// A worker, one for each thread. It has its own open pack, compression contexts and buffers: some 6 MiB with
    /// chunks of 128 KiB.
    ///
    /// # Errors
    ///
    /// When there is no memory for a compression context.
    pub fn worker(&self) -> Result<PageWriter<'_>, VaultError> {
        PageWriter::new(self)
    }

    /// Ends the copy: pages that no worker wrote are zeros. Writes the manifest, durably, and with that the copy exists.
    /// `metadata`, at most 1 MiB, is sealed inside the manifest.
    ///
    /// # Errors
    ///
    /// [`VaultError::Incomplete`] when a worker failed or was dropped before it finished; [`VaultError::ManifestExists`]
    /// when the name was taken meanwhile; [`VaultError::NotAVault`] and [`VaultError::Damaged`] when description and key of
    /// the vault are not what they were. After another error the manifest may or may not be there: ask
    /// [`crate::Domain::open_manifest`].
    pub fn commit(self, metadata: &[u8]) -> Result<CopySummary, VaultError> {
        let nothing_in_flight = self.in_flight().is_empty();
        if self.unfinished.load(Ordering::Acquire) != 0 || !nothing_in_flight {
            return Err(VaultError::Incomplete);
        }
        if metadata.len() > MAX_METADATA_BYTES {
            return Err(VaultError::Misuse("metadata is at most 1 MiB"));
        }
        let progress = self.progress.into_inner().unwrap_or_else(PoisonError::into_inner);
        let vault = &self.domain.vault;
        if progress.new_packs > 0 {
            vault.index.flush()?;
        }
        vault.keep_essentials(&self.domain.core)?;
        let digest = progress.digester.finish();
        let manifest = Manifest {
            geometry: self.geometry,
            pack_bytes: progress.pack_bytes,
            digest: *digest.as_bytes(),
            pages: PageMap::new(&progress.pages, self.geometry.page_count()),
            metadata: metadata.to_vec(),
        };
        let bytes = manifest.encode(self.domain.id(), self.manifest, &self.domain.core.keys.manifests)?;
        match vault
            .blobs
            .put(&names::manifest(self.domain.id(), self.manifest), &bytes)
        {
            Err(crate::BlobError::AlreadyExists { .. }) => return Err(VaultError::ManifestExists(self.manifest)),
            put => put?,
        }
        Ok(CopySummary {
            manifest: self.manifest,
            domain: self.domain.id(),
            digest,
            size_bytes: self.geometry.size_bytes,
            stored_bytes: progress.pack_bytes + bytes.len() as u64,
            new_chunks: progress.new_chunks,
            new_pages: progress.new_pages,
            new_packs: progress.new_packs,
        })
    }

    fn in_flight(&self) -> MutexGuard<'_, HashMap<ChunkId, bool>> {
        self.in_flight.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a page that is whole: its hash unless it is all zero, and what it adds to the digest.
    fn page_finished(&self, page: u64, hash: Option<ChunkHash>, part: &PageRead) -> Result<(), VaultError> {
        let mut progress = self.progress();
        if let Some(hash) = hash
            && progress.pages.insert(page, hash).is_some()
        {
            return Err(VaultError::Misuse("a page was written twice"));
        }
        progress.digester.add(part);
        Ok(())
    }

    /// Notes a pack that is durable, recorded and indexed.
    fn pack_finished(&self, pack: &PackSummary, new_pages: u64) {
        let mut progress = self.progress();
        progress.pack_bytes += pack.size_bytes;
        progress.new_packs += 1;
        progress.new_pages += new_pages;
        progress.new_chunks += u64::from(pack.chunks) - new_pages;
    }
}

/// What a copy came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CopySummary {
    /// The copy's name.
    pub manifest: ManifestId,
    /// The domain that holds it.
    pub domain: DomainId,
    /// The digest of the content.
    pub digest: Digest,
    /// The size of the content in bytes.
    pub size_bytes: u64,
    /// Bytes that this copy added to the store: its packs and its manifest. What an interrupted attempt stored before it
    /// is not counted.
    pub stored_bytes: u64,
    /// Chunks that were stored because no pack held them.
    pub new_chunks: u64,
    /// Index pages that were stored because no pack held them.
    pub new_pages: u64,
    /// Packs that were written.
    pub new_packs: u64,
}
