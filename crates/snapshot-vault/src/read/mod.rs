//! Reading a copy.

mod chunks;
mod damage;
mod salvage;
mod verifier;

pub use salvage::Lost;
pub use verifier::Verifier;

use crate::blob::{BlobError, Piece};
use crate::codec::{Expected, Opener};
use crate::digest::{Digest, PageRead};
use crate::domain::Domain;
use crate::error::VaultError;
use crate::format::manifest::Manifest;
use crate::format::page::{self, MAX_PAGE_BYTES, Page};
use crate::format::record::OVERHEAD_BYTES;
use crate::format::{Flaw, names};
use crate::geometry::Geometry;
use crate::hash::{ChunkHash, ChunkId};
use crate::id::{ChunkSize, DomainId, ManifestId};
use crate::index::Location;
use crate::key::DomainKeys;
use std::io;
use std::ops::Range;
use std::sync::Arc;

/// A committed copy, opened for reading, by any number of threads. Cheap to clone. It keeps the manifest in memory
/// (32 bytes per page that is not all zero).
#[derive(Clone, Debug)]
pub struct StoredCopy {
    domain: Domain,
    core: Arc<CopyCore>,
}

#[derive(Debug)]
struct CopyCore {
    id: ManifestId,
    manifest: Manifest,
    manifest_bytes: u64,
}

/// The buffers of one reading thread: up to some 4 MiB and two chunks, allocated when first used.
#[derive(Debug, Default)]
pub struct ReadBuffers {
    run: Piece,
    opener: Option<Opener>,
    /// The page that was read last, because small reads ask for the same one again and again.
    page: Option<(ChunkHash, Arc<Page>)>,
}

impl StoredCopy {
    pub(crate) fn new(domain: Domain, id: ManifestId, manifest: Manifest, manifest_bytes: u64) -> Self {
        let core = CopyCore {
            id,
            manifest,
            manifest_bytes,
        };
        Self {
            domain,
            core: Arc::new(core),
        }
    }

    /// The copy's name.
    pub fn manifest_id(&self) -> ManifestId {
        self.core.id
    }

    /// The domain that holds it.
    pub fn domain_id(&self) -> DomainId {
        self.domain.id()
    }

    /// The size of the content in bytes.
    pub fn size_bytes(&self) -> u64 {
        self.core.manifest.geometry.size_bytes
    }

    /// The size of its chunks.
    pub fn chunk_size(&self) -> ChunkSize {
        self.core.manifest.geometry.chunk_size
    }

    /// The digest of the content, as it was when it was copied.
    pub fn digest(&self) -> Digest {
        Digest::new(self.chunk_size(), self.core.manifest.digest)
    }

    /// Bytes that the copy added to the store when it was made: its packs and its manifest.
    pub fn stored_bytes(&self) -> u64 {
        self.core.manifest.pack_bytes.saturating_add(self.core.manifest_bytes)
    }

    /// The size of its manifest.
    pub(crate) fn manifest_bytes(&self) -> u64 {
        self.core.manifest_bytes
    }

    /// Whether it was not deleted since it was opened.
    pub(crate) fn is_there(&self) -> Result<bool, VaultError> {
        let name = names::manifest(self.domain_id(), self.manifest_id());
        match self.domain.vault.blobs.size(&name) {
            Ok(_) => Ok(true),
            Err(BlobError::NotFound { .. }) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// What the caller gave to [`crate::CopySession::commit`].
    pub fn metadata(&self) -> &[u8] {
        &self.core.manifest.metadata
    }

    /// How many pages cover the content.
    pub fn page_count(&self) -> u64 {
        self.core.manifest.geometry.page_count()
    }

    /// The bytes of the content that a page covers. Past the end, an empty range.
    pub fn page_span(&self, page: u64) -> Range<u64> {
        self.core.manifest.geometry.page_span(page)
    }

    /// The pages that hold anything but zeros, in order. A reader needs no others.
    pub fn data_pages(&self) -> impl Iterator<Item = u64> + '_ {
        self.core.manifest.pages.data_pages()
    }

    /// How many pages [`data_pages`](Self::data_pages) gives.
    pub fn data_page_count(&self) -> u64 {
        self.core.manifest.pages.data_page_count()
    }

    /// Reads a page in few large reads, checks every chunk, and gives each that is not all zero to `sink`, with its
    /// offset in the content, in the order of offsets. A page past the end is empty.
    ///
    /// # Errors
    ///
    /// [`VaultError::Damaged`] for what is lost (chunks before it were given to `sink`), [`VaultError::Sink`] with the
    /// sink's error, failures of store and index.
    pub fn read_page(
        &self,
        page: u64,
        buffers: &mut ReadBuffers,
        sink: &mut dyn FnMut(u64, &[u8]) -> io::Result<()>,
    ) -> Result<PageRead, VaultError> {
        let Some(hash) = self.page_hash(page) else {
            return Ok(PageRead::zero(page));
        };
        let entries = self.page_entries(page, hash, buffers)?;
        self.read_chunks(page, &entries, 0..entries.len(), buffers, sink)?;
        Ok(self.part_of_digest(page, &entries))
    }

    /// What a page whose entries are these adds to the digest.
    pub(crate) fn part_of_digest(&self, page: u64, entries: &Page) -> PageRead {
        PageRead::of_entries(self.core.manifest.geometry, page, entries)
    }

    /// Fills `buffer` with the content from `offset` on, every chunk checked. Fastest in pieces of a mebibyte or more.
    ///
    /// # Errors
    ///
    /// [`VaultError::Misuse`] when the range reaches past the end; otherwise as [`read_page`](Self::read_page).
    pub fn read_at(&self, offset: u64, buffer: &mut [u8], buffers: &mut ReadBuffers) -> Result<(), VaultError> {
        let geometry = self.core.manifest.geometry;
        let end = offset
            .checked_add(buffer.len() as u64)
            .filter(|end| *end <= self.size_bytes());
        let end = end.ok_or(VaultError::Misuse("the range reaches past the end of the content"))?;
        buffer.fill(0);
        let mut position = offset;
        while position < end {
            let page = position / geometry.page_bytes();
            let span = geometry.page_span(page);
            if let Some(hash) = self.page_hash(page) {
                let entries = self.page_entries(page, hash, buffers)?;
                let chunks = geometry.entry_of(position)..geometry.entry_of(end.min(span.end) - 1) + 1;
                self.read_chunks(page, &entries, chunks, buffers, &mut |at, plain| {
                    copy_overlap(at, plain, offset, buffer);
                    Ok(())
                })?;
            }
            position = span.end;
        }
        Ok(())
    }

    /// Checks the digest of the whole content while its pages are read, in any order, by any number of threads.
    pub fn verifier(&self) -> Verifier {
        Verifier::new(self)
    }

    pub(crate) fn geometry(&self) -> Geometry {
        self.core.manifest.geometry
    }

    pub(crate) fn keys(&self) -> &DomainKeys {
        &self.domain.core.keys
    }

    /// The name of an index page, unless the page is all zero.
    pub(crate) fn page_id(&self, page: u64) -> Option<ChunkId> {
        Some(Expected::page(self.keys(), self.page_hash(page)?).id)
    }

    pub(crate) fn page_hash(&self, page: u64) -> Option<ChunkHash> {
        self.core.manifest.pages.get(page)
    }

    /// The hashes of a page's chunks. Damage is told with the page's whole span.
    pub(crate) fn page_entries(
        &self,
        page: u64,
        hash: ChunkHash,
        buffers: &mut ReadBuffers,
    ) -> Result<Arc<Page>, VaultError> {
        if let Some((cached, entries)) = &buffers.page
            && *cached == hash
        {
            return Ok(entries.clone());
        }
        let span = self.page_span(page);
        let expected = Expected::page(&self.domain.core.keys, hash);
        let vault = &self.domain.vault;
        let mut location = vault.index.locate(&[expected.id])?.pop().flatten().ok_or_else(|| {
            vault.met_lack();
            Flaw::Bytes("no pack holds this index page").losing(span.clone(), &format!("page {}", expected.id))
        })?;
        let record = loop {
            let object = names::pack(location.pack);
            if location.length as usize > MAX_PAGE_BYTES + OVERHEAD_BYTES {
                let flaw = Flaw::Bytes("the index page is longer than one can be");
                return Err(self.damaged(expected.id, &location, flaw, span));
            }
            let mut record = vec![0; location.length as usize];
            match vault.blobs.read(&object, u64::from(location.offset), &mut record) {
                Ok(()) => break record,
                Err(error) => match self.moved(&error, &expected.id, &location)? {
                    Some(elsewhere) => location = elsewhere,
                    None => return Err(self.not_given(expected.id, &location, error, span)),
                },
            }
        };
        let plain = opener(&mut buffers.opener)?
            .open(&self.domain.core.keys, &record, &expected, MAX_PAGE_BYTES)
            .and_then(|plain| page::decode(plain, self.core.manifest.geometry.chunks_in_page(page)));
        let entries = plain.map_err(|flaw| self.damaged(expected.id, &location, flaw, span))?;
        let entries = Arc::new(entries);
        buffers.page = Some((hash, entries.clone()));
        Ok(entries)
    }
}

impl StoredCopy {
    /// Where a chunk or page lies by now of which the pack was gone: packs are removed when what they hold and somebody
    /// needs lies elsewhere. `None` when it still should lie there.
    fn moved(&self, error: &BlobError, id: &ChunkId, from: &Location) -> Result<Option<Location>, VaultError> {
        if !matches!(error, BlobError::NotFound { .. }) {
            return Ok(None);
        }
        let now = self
            .domain
            .vault
            .index
            .locate(std::slice::from_ref(id))?
            .pop()
            .flatten();
        Ok(now.filter(|now| now.pack != from.pack))
    }
}

/// The opener of one thread, made when it is first needed.
fn opener(slot: &mut Option<Opener>) -> Result<&mut Opener, VaultError> {
    Ok(match slot {
        Some(opener) => opener,
        none => none.insert(Opener::new()?),
    })
}

/// Copies what `plain`, which lies at `at`, has in common with `buffer`, which lies at `offset`.
fn copy_overlap(at: u64, plain: &[u8], offset: u64, buffer: &mut [u8]) {
    let start = at.max(offset);
    let end = (at + plain.len() as u64).min(offset + buffer.len() as u64);
    let within = |position: u64, base: u64| usize::try_from(position - base).expect("within a buffer");
    let source = &plain[within(start, at)..within(end, at)];
    buffer[within(start, offset)..within(end, offset)].copy_from_slice(source);
}
