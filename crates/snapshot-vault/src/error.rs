//! Why the vault did not do what it was asked for.

use crate::blob::BlobError;
use crate::catalog::CatalogError;
use crate::id::ManifestId;
use crate::index::IndexError;
use std::fmt;
use std::io;
use std::ops::Range;

/// Tells which bytes of something are meant, by the first and the last one; `0..u64::MAX` is all of it, however long it is.
#[derive(Clone, Copy, Debug)]
pub struct ByteRange<'a>(pub &'a Range<u64>);

impl ByteRange<'_> {
    /// Whether everything is meant.
    pub const fn is_all(&self) -> bool {
        self.0.end == u64::MAX
    }
}

impl fmt::Display for ByteRange<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_all() {
            formatter.write_str("all of it")
        } else {
            write!(formatter, "bytes {} to {}", self.0.start, self.0.end.saturating_sub(1))
        }
    }
}

/// Why the vault did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// Stored bytes are not what was stored, or are gone. Trying again does not help.
    #[error("{} can't be read: {object}: {reason}", ByteRange(range))]
    Damaged {
        /// Which bytes of the content are lost by it, as far as this read got. Of an object without which nothing can
        /// be read: `0..u64::MAX`.
        range: Range<u64>,
        /// The damaged object.
        object: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// There is no such manifest.
    #[error("there is no manifest {0}")]
    ManifestNotFound(ManifestId),
    /// The copy's name is taken: that copy was committed before.
    #[error("there is a manifest {0} already")]
    ManifestExists(ManifestId),
    /// The vault belongs to another master key.
    #[error("the master key is not the one that this vault was made with")]
    WrongMasterKey,
    /// There are objects, but the one that describes the vault is gone.
    #[error("the store holds objects, but no vault description")]
    NotAVault,
    /// The store is empty, and the database knows of copies or packs in it.
    #[error("the store is empty, but the database knows of what lies in it: is it the right one, and mounted?")]
    StoreIsEmpty,
    /// The object was written by a later version of this program.
    #[error("{object} has format version {version}, which this program does not know")]
    UnsupportedVersion {
        /// The object.
        object: String,
        /// Its version.
        version: u16,
    },
    /// There is no room left in the store.
    #[error("no space left in the vault")]
    NoSpace(#[source] BlobError),
    /// The store failed; it may pass.
    #[error(transparent)]
    Blob(BlobError),
    /// The chunk index failed.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// The catalog of packs failed.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// What was sealed did not open to what went in: this machine's memory or processor is not reliable. Nothing of it
    /// was stored.
    #[error("a sealed chunk did not open to the same bytes: the memory of this machine is not reliable")]
    SelfCheckFailed,
    /// The whole content's digest is not the one that the manifest tells, though every chunk was what it should be.
    #[error("the content's digest is not the one in its manifest")]
    DigestMismatch,
    /// The system gave no random bytes or no compression context.
    #[error("the cryptographic or compression library failed")]
    Library(#[source] Option<io::Error>),
    /// The receiver of the bytes that were read failed.
    #[error("the bytes that were read could not be delivered")]
    Sink(#[source] io::Error),
    /// A worker of this copy failed or was dropped half-way, so the copy can't be committed.
    #[error("the copy is incomplete: a worker failed or did not finish")]
    Incomplete,
    /// It was told to stop before its end.
    #[error("stopped before the end")]
    Stopped,
    /// The caller broke a rule of this library.
    #[error("misuse of the vault: {0}")]
    Misuse(&'static str),
}

impl VaultError {
    /// Whether it failed for want of space.
    pub const fn is_no_space(&self) -> bool {
        matches!(self, Self::NoSpace(_) | Self::Index(IndexError::NoSpace(_)))
    }
}

impl From<BlobError> for VaultError {
    fn from(error: BlobError) -> Self {
        if error.is_no_space() {
            Self::NoSpace(error)
        } else {
            Self::Blob(error)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_told_by_the_first_and_the_last_one() {
        assert_eq!(ByteRange(&(512..1024)).to_string(), "bytes 512 to 1023");
        assert_eq!(ByteRange(&(0..u64::MAX)).to_string(), "all of it");
    }
}
