//! The digest of a whole content while it is read.

use super::StoredCopy;
use crate::digest::{Digest, Digester, PageRead};
use crate::error::VaultError;
use std::sync::{Mutex, PoisonError};

/// Checks the digest of a whole content from its pages, in any order, by any number of threads.
#[derive(Debug)]
pub struct Verifier {
    expected: Digest,
    digester: Mutex<Digester>,
}

impl Verifier {
    pub(super) fn new(copy: &StoredCopy) -> Self {
        Self {
            expected: copy.digest(),
            digester: Mutex::new(Digester::new(copy.size_bytes(), copy.chunk_size())),
        }
    }

    /// Notes a page that was read.
    pub fn page_read(&self, page: &PageRead) {
        self.digester.lock().unwrap_or_else(PoisonError::into_inner).add(page);
    }

    /// Whether the pages make up the content that the manifest describes.
    ///
    /// # Errors
    ///
    /// [`VaultError::DigestMismatch`] when not, also when a page of [`StoredCopy::data_pages`] was not noted.
    pub fn finish(self) -> Result<(), VaultError> {
        let digest = self
            .digester
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner)
            .finish();
        if digest == self.expected {
            Ok(())
        } else {
            Err(VaultError::DigestMismatch)
        }
    }
}
