//! Reading what is whole of a copy that has lost something.

use super::{ReadBuffers, StoredCopy};
use crate::blob::BlobError;
use crate::digest::PageRead;
use crate::error::VaultError;
use crate::verify::UNREADABLE;
use std::io;
use std::ops::Range;

/// A part of a copy that can't be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lost {
    /// The bytes of the content.
    pub range: Range<u64>,
    /// The object that they should be in.
    pub object: String,
    /// What is wrong with it.
    pub reason: &'static str,
    /// Whether it may be read another time: the disk did not give it back, or a later program wrote it. Otherwise it is
    /// damaged.
    pub may_pass: bool,
}

impl Lost {
    /// Whether the next one is more of the same.
    pub(crate) fn is_continued_by(&self, next: &Self) -> bool {
        self.range.end == next.range.start && (&self.object, self.reason) == (&next.object, next.reason)
    }

    /// What is lost by a failure that concerns only the bytes in `range`; other failures come back.
    pub(crate) fn by(error: VaultError, range: Range<u64>) -> Result<Self, VaultError> {
        let (object, reason, may_pass) = match error {
            VaultError::Damaged { object, reason, .. } => (object, reason, false),
            VaultError::UnsupportedVersion { object, .. } => {
                (object, "written by a later version of this program", true)
            }
            // A place on the disk that can't be read. Any other failure is one of the whole store.
            VaultError::Blob(error) if error.is_of_bad_place() => match error {
                BlobError::Io { path, .. } => (path, UNREADABLE, true),
                other => return Err(other.into()),
            },
            other => return Err(other),
        };
        Ok(Self {
            range,
            object,
            reason,
            may_pass,
        })
    }
}

impl StoredCopy {
    /// Reads what is whole of a page: each such chunk that is not all zero goes to `sink`, some more than once, and each
    /// that can't be read to `lost`, once. `None` when the page is lost as a whole.
    ///
    /// # Errors
    ///
    /// [`VaultError::Sink`] with the sink's error, failures of store and index.
    pub fn salvage_page(
        &self,
        page: u64,
        buffers: &mut ReadBuffers,
        sink: &mut dyn FnMut(u64, &[u8]) -> io::Result<()>,
        lost: &mut dyn FnMut(Lost),
    ) -> Result<Option<PageRead>, VaultError> {
        let Some(hash) = self.page_hash(page) else {
            return Ok(Some(PageRead::zero(page)));
        };
        let entries = match self.page_entries(page, hash, buffers) {
            Ok(entries) => entries,
            Err(error) => {
                lost(Lost::by(error, self.page_span(page))?);
                return Ok(None);
            }
        };
        if let Err(error) = self.read_chunks(page, &entries, 0..entries.len(), buffers, sink) {
            Lost::by(error, self.page_span(page))?;
            // Reading several at once stops at the first that is lost.
            for chunk in 0..entries.len() {
                if let Err(error) = self.read_chunks(page, &entries, chunk..chunk + 1, buffers, sink) {
                    let number = page * crate::PAGE_CHUNKS + chunk as u64;
                    lost(Lost::by(error, self.geometry().chunk_span(number))?);
                }
            }
        }
        Ok(Some(self.part_of_digest(page, &entries)))
    }
}
