//! A vault in memory, and contents to copy.

use snapshot_vault::testing::{MemoryBlobs, MemoryCatalog, MemoryIndex};
use snapshot_vault::{
    BlobKey, BlobStore, ChunkId, ChunkSize, CopySession, CopySummary, Domain, DomainId, ManifestId, MasterKey, PackId,
    ReadBuffers, StoredCopy, Vault, VaultError, VaultOptions,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

pub(crate) const CHUNK: usize = 64 << 10;
pub(crate) const PAGE: usize = CHUNK * 256;

/// Small packs, so that small contents make several.
pub(crate) fn options() -> VaultOptions {
    VaultOptions {
        chunk_size: ChunkSize::new(64 << 10).unwrap(),
        pack_size_bytes: 4 << 20,
        ..VaultOptions::default()
    }
}

pub(crate) fn master() -> MasterKey {
    MasterKey::from_hex(&"7a".repeat(32)).unwrap()
}

pub(crate) struct TestVault {
    pub(crate) blobs: MemoryBlobs,
    pub(crate) index: MemoryIndex,
    pub(crate) catalog: MemoryCatalog,
    pub(crate) vault: Vault,
    pub(crate) domain: Domain,
}

impl TestVault {
    pub(crate) fn new() -> Self {
        Self::open(MemoryBlobs::default(), MemoryCatalog::default(), DomainId::random())
    }

    /// The vault after a restart that lost the index.
    pub(crate) fn restarted(&self) -> Self {
        Self::open(self.blobs.clone(), self.catalog.clone(), self.domain.id())
    }

    /// The vault after a restart that lost the index and the catalog.
    pub(crate) fn recovered(&self) -> Self {
        Self::open(self.blobs.clone(), MemoryCatalog::default(), self.domain.id())
    }

    pub(crate) fn pack_key(&self, pack: PackId) -> BlobKey {
        let name = format!("/{pack}");
        let mut keys = self.blobs.keys().into_iter();
        keys.find(|key| key.as_str().ends_with(&name))
            .unwrap_or_else(|| BlobKey::parse("packs/gone").unwrap())
    }

    /// The id of the record that begins at `offset` of a pack, as the record tells it.
    pub(crate) fn chunk_at(&self, pack: PackId, offset: u32) -> ChunkId {
        let bytes = self.blobs.get(&self.pack_key(pack)).unwrap();
        let id = offset as usize + 24;
        ChunkId::from_bytes(*bytes[id..].first_chunk().unwrap())
    }

    fn open(blobs: MemoryBlobs, catalog: MemoryCatalog, domain: DomainId) -> Self {
        let index = MemoryIndex::default();
        let vault = open(Arc::new(blobs.clone()), &index, &catalog).unwrap();
        let domain = vault.domain(domain).unwrap();
        Self {
            blobs,
            index,
            catalog,
            vault,
            domain,
        }
    }
}

pub(crate) fn open(
    blobs: Arc<dyn BlobStore>,
    index: &MemoryIndex,
    catalog: &MemoryCatalog,
) -> Result<Vault, VaultError> {
    Vault::open(
        blobs,
        &master(),
        Arc::new(index.clone()),
        Arc::new(catalog.clone()),
        options(),
    )
}

/// Bytes that don't compress, the same for the same seed, and never a chunk of zeros.
pub(crate) fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}

pub(crate) fn copy(domain: &Domain, content: &[u8], parent: Option<&StoredCopy>) -> StoredCopy {
    let summary = copy_with(domain, content, parent, 1, 0);
    domain.open_manifest(summary.manifest).unwrap()
}

pub(crate) fn copy_with(
    domain: &Domain,
    content: &[u8],
    parent: Option<&StoredCopy>,
    workers: usize,
    order: u64,
) -> CopySummary {
    try_copy(domain, ManifestId::random(), content, parent, workers, order).unwrap()
}

/// Copies with several workers, in an order of pages that depends on `order`.
pub(crate) fn try_copy(
    domain: &Domain,
    manifest: ManifestId,
    content: &[u8],
    parent: Option<&StoredCopy>,
    workers: usize,
    order: u64,
) -> Result<CopySummary, VaultError> {
    let session = domain.begin_copy(manifest, content.len() as u64, parent)?;
    let mut pages: Vec<u64> = (0..session.page_count()).collect();
    if order % 2 == 1 {
        pages.reverse();
    }
    let middle = usize::try_from(order % pages.len().max(1) as u64).unwrap();
    pages.rotate_left(middle);

    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        let work = || copy_pages(&session, content, &pages, &next, order);
        let threads: Vec<_> = (1..workers).map(|_| scope.spawn(work)).collect();
        let mine = work();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .fold(mine, Result::and)
    })?;
    session.commit(b"metadata")
}

/// Several copies at once of a content of one page. None relies on another's open pack, so each stores all of it.
pub(crate) fn copies_at_once(domain: &Domain, content: &[u8], count: usize) -> Vec<ManifestId> {
    let begin = || domain.begin_copy(ManifestId::random(), content.len() as u64, None);
    let sessions: Vec<_> = (0..count).map(|_| begin().unwrap()).collect();
    let mut workers: Vec<_> = sessions.iter().map(|session| session.worker().unwrap()).collect();
    for worker in &mut workers {
        worker.begin_page(0).unwrap();
        worker.push(content).unwrap();
        worker.finish_page().unwrap();
    }
    for worker in workers {
        worker.finish().unwrap();
    }
    let commit = |session: CopySession| session.commit(b"").unwrap().manifest;
    sessions.into_iter().map(commit).collect()
}

fn copy_pages(
    session: &CopySession,
    content: &[u8],
    pages: &[u64],
    next: &AtomicUsize,
    order: u64,
) -> Result<(), VaultError> {
    let mut worker = session.worker()?;
    while let Some(page) = pages.get(next.fetch_add(1, Ordering::Relaxed)) {
        let span = session.page_span(*page);
        let bytes = &content[usize::try_from(span.start).unwrap()..usize::try_from(span.end).unwrap()];
        let is_zero = |bytes: &[u8]| bytes.iter().all(|byte| *byte == 0);
        if order.is_multiple_of(3) && is_zero(bytes) {
            continue;
        }
        worker.begin_page(*page)?;
        // Pushes of a few chunks each; zeros are told now as zeros, now as data.
        for (i, piece) in bytes.chunks(CHUNK * 5).enumerate() {
            if i % 2 == 0 && is_zero(piece) {
                worker.push_zeros(piece.len() as u64)?;
            } else {
                worker.push(piece)?;
            }
        }
        worker.finish_page()?;
    }
    worker.finish()
}

/// Reads a copy page by page, and checks its digest.
pub(crate) fn read_all(copy: &StoredCopy) -> Result<Vec<u8>, VaultError> {
    let mut content = vec![0; usize::try_from(copy.size_bytes()).unwrap()];
    let mut buffers = ReadBuffers::default();
    let verifier = copy.verifier();
    for page in copy.data_pages() {
        let read = copy.read_page(page, &mut buffers, &mut |offset, plain| {
            let offset = usize::try_from(offset).unwrap();
            content[offset..offset + plain.len()].copy_from_slice(plain);
            Ok(())
        })?;
        verifier.page_read(&read);
    }
    verifier.finish()?;
    Ok(content)
}
