//! Making a copy.

use crate::digest::Digest;
use crate::error::VaultError;
use crate::id::{DomainId, ManifestId};
use std::marker::PhantomData;
use std::ops::Range;

/// One copy being made, shared by the threads that make it. Dropping it abandons the copy: what was stored so far is
/// found again by the next attempt.
#[derive(Debug)]
pub struct CopySession {
    manifest: ManifestId,
}

impl CopySession {
    /// The name that the copy will have.
    pub fn manifest_id(&self) -> ManifestId {
        self.manifest
    }

    /// The size of the content in bytes.
    pub fn size_bytes(&self) -> u64 {
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

    /// A worker, one for each thread. It has its own open pack, compression contexts and buffers: some 10 MiB.
    ///
    /// # Errors
    ///
    /// When there is no memory for a compression context.
    pub fn worker(&self) -> Result<PageWriter<'_>, VaultError> {
        unimplemented!()
    }

    /// Ends the copy: pages that no worker wrote are zeros. Writes the manifest, durably, and with that the copy exists.
    /// `metadata` is sealed inside the manifest.
    ///
    /// # Errors
    ///
    /// [`VaultError::Incomplete`] when a worker failed or was dropped before it finished; [`VaultError::ManifestExists`]
    /// when the name was taken meanwhile. After another error the manifest may or may not be there: ask
    /// [`crate::Domain::open_manifest`].
    pub fn commit(self, _metadata: &[u8]) -> Result<CopySummary, VaultError> {
        unimplemented!()
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
    /// Bytes that this copy added to the store: its packs and its manifest.
    pub stored_bytes: u64,
    /// Chunks that were stored because no pack held them.
    pub new_chunks: u64,
    /// Index pages that were stored because no pack held them.
    pub new_pages: u64,
    /// Packs that were written.
    pub new_packs: u64,
}

/// One worker of a copy. It claims whole pages and pushes their content in order; pages may be done in any order by any
/// worker. After an error it is of no use, and the copy can't be committed; so too when it is dropped unfinished.
#[derive(Debug)]
pub struct PageWriter<'a> {
    session: PhantomData<&'a CopySession>,
}

impl PageWriter<'_> {
    /// Claims a page. Each page can be claimed once in a copy.
    ///
    /// # Errors
    ///
    /// [`VaultError::Misuse`] when a page is open, or this one was claimed before or does not exist; failures to read the
    /// parent's page.
    pub fn begin_page(&mut self, _page: u64) -> Result<(), VaultError> {
        unimplemented!()
    }

    /// The next bytes of the page: whole chunks, or up to the end of the content. Chunks that are all zero are noticed.
    ///
    /// # Errors
    ///
    /// [`VaultError::Misuse`] when no page is open, the length is not right, or the page is full; failures of store,
    /// index and catalog.
    pub fn push(&mut self, _plain: &[u8]) -> Result<(), VaultError> {
        unimplemented!()
    }

    /// The next `bytes` bytes of the page are zeros: as many as [`push`](Self::push) would take.
    ///
    /// # Errors
    ///
    /// [`VaultError::Misuse`] as in [`push`](Self::push).
    pub fn push_zeros(&mut self, _bytes: u64) -> Result<(), VaultError> {
        unimplemented!()
    }

    /// Ends the page.
    ///
    /// # Errors
    ///
    /// [`VaultError::Misuse`] unless its whole span was pushed; failures of store, index and catalog.
    pub fn finish_page(&mut self) -> Result<(), VaultError> {
        unimplemented!()
    }

    /// Ends the worker: its open pack becomes durable, recorded and indexed.
    ///
    /// # Errors
    ///
    /// [`VaultError::Misuse`] when a page is open; failures of store, index and catalog.
    pub fn finish(self) -> Result<(), VaultError> {
        unimplemented!()
    }
}
