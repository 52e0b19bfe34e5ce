//! Reading a copy.

use crate::digest::{Digest, PageRead};
use crate::error::VaultError;
use crate::id::{ChunkSize, DomainId, ManifestId};
use std::io;
use std::ops::Range;

/// A committed copy, opened for reading, by any number of threads. Cheap to clone. It keeps the manifest in memory
/// (32 bytes per page that is not all zero).
#[derive(Clone, Debug)]
pub struct StoredCopy {}

impl StoredCopy {
    /// The copy's name.
    pub fn manifest_id(&self) -> ManifestId {
        unimplemented!()
    }

    /// The domain that holds it.
    pub fn domain_id(&self) -> DomainId {
        unimplemented!()
    }

    /// The size of the content in bytes.
    pub fn size_bytes(&self) -> u64 {
        unimplemented!()
    }

    /// The size of its chunks.
    pub fn chunk_size(&self) -> ChunkSize {
        unimplemented!()
    }

    /// The digest of the content, as it was when it was copied.
    pub fn digest(&self) -> Digest {
        unimplemented!()
    }

    /// Bytes that the copy added to the store when it was made.
    pub fn stored_bytes(&self) -> u64 {
        unimplemented!()
    }

    /// What the caller gave to [`crate::CopySession::commit`].
    pub fn metadata(&self) -> &[u8] {
        unimplemented!()
    }

    /// How many pages cover the content.
    pub fn page_count(&self) -> u64 {
        unimplemented!()
    }

    /// The bytes of the content that a page covers. Past the end, an empty range.
    pub fn page_span(&self, _page: u64) -> Range<u64> {
        unimplemented!()
    }

    /// The pages that hold anything but zeros, in order. A reader needs no others.
    pub fn data_pages(&self) -> impl Iterator<Item = u64> + '_ {
        std::iter::empty()
    }

    /// Reads a page in few large reads, checks every chunk, and gives each that is not all zero to `sink`, with its
    /// offset in the content, in the order of offsets.
    ///
    /// # Errors
    ///
    /// [`VaultError::Damaged`] for what is lost (chunks before it were given to `sink`), [`VaultError::Sink`] with the
    /// sink's error, failures of store and index.
    pub fn read_page(
        &self,
        _page: u64,
        _buffers: &mut ReadBuffers,
        _sink: &mut dyn FnMut(u64, &[u8]) -> io::Result<()>,
    ) -> Result<PageRead, VaultError> {
        unimplemented!()
    }

    /// Fills `buffer` with the content from `offset` on, every chunk checked. Fastest in pieces of a mebibyte or more.
    ///
    /// # Errors
    ///
    /// [`VaultError::Misuse`] when the range reaches past the end; otherwise as [`read_page`](Self::read_page).
    pub fn read_at(&self, _offset: u64, _buffer: &mut [u8], _buffers: &mut ReadBuffers) -> Result<(), VaultError> {
        unimplemented!()
    }

    /// Checks the digest of the whole content while its pages are read, in any order, by any number of threads.
    pub fn verifier(&self) -> Verifier {
        unimplemented!()
    }
}

/// The buffers of one reading thread: up to some 5 MiB and a chunk, allocated when first used.
#[derive(Debug, Default)]
pub struct ReadBuffers {}

/// Checks the digest of a whole content from its pages.
#[derive(Debug)]
pub struct Verifier {}

impl Verifier {
    /// Notes a page that was read.
    pub fn page_read(&self, _page: &PageRead) {
        unimplemented!()
    }

    /// Whether the pages make up the content that the manifest describes.
    ///
    /// # Errors
    ///
    /// [`VaultError::DigestMismatch`] when not; [`VaultError::Misuse`] when a page of [`StoredCopy::data_pages`] was not
    /// read.
    pub fn finish(self) -> Result<(), VaultError> {
        unimplemented!()
    }
}
