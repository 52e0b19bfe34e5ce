//! Where objects lie.

mod direct;
pub(crate) mod local;
mod naming;

pub use direct::Piece;

use rustix::io::Errno;
use std::fmt;
use std::io;
use std::ops::ControlFlow;

/// A store of immutable objects under names.
///
/// What every implementation promises:
///
/// * An object is written once. As long as nothing fails it appears whole or not at all, and a name that is taken is never
///   written again.
/// * When [`put`](Self::put) or [`BlobWriter::commit`] returns `Ok`, the object is whole, and survives a power loss. So does
///   what they say exists already.
/// * When it returns an error, or the process or the machine stops before anybody learns what it returned, the object may be
///   there, or absent, or torn: a part of it from its beginning, and behind that nothing, or anything, up to its length. It
///   stays so: nothing completes it later. [`LocalBlobs`](crate::LocalBlobs) promises more: whole or absent.
/// * What was read is what was written, or an error; an object that is shorter than the read asks for is
///   [`BlobError::Short`].
/// * A listing sees every object that was there when it began and was not deleted since.
/// * When [`delete`](Self::delete) returns `Ok`, the object stays deleted after a power loss.
///
/// So a vault counts on nothing that was not acknowledged, and what is torn is in nobody's way for good: a description, a
/// domain's key and a manifest are put again by whoever puts them next, and packs, whose names are never used again, are
/// removed by [`Vault::collect`](crate::Vault::collect). A torn manifest keeps collections from removing anything until its
/// copy is made again or deleted: what it needs can't be known.
pub trait BlobStore: Send + Sync {
    /// Starts an object that is written piece by piece. Nothing is visible under the name before it is committed.
    ///
    /// # Errors
    ///
    /// When the store can't take it. A taken name may be noticed only by the commit.
    fn create(&self, key: &BlobKey) -> Result<Box<dyn BlobWriter>, BlobError>;

    /// Stores a small object whole.
    ///
    /// # Errors
    ///
    /// [`BlobError::AlreadyExists`] when the name is taken; what lies there is untouched.
    fn put(&self, key: &BlobKey, bytes: &[u8]) -> Result<(), BlobError>;

    /// Fills `buffer` with the object's bytes from `offset` on.
    ///
    /// # Errors
    ///
    /// [`BlobError::NotFound`], and [`BlobError::Short`] when the object ends before the buffer is full.
    fn read(&self, key: &BlobKey, offset: u64, buffer: &mut [u8]) -> Result<(), BlobError>;

    /// Reads `len` bytes from `offset` on that are many, and are hardly asked for again. Where that is possible they come
    /// from below the system's caches: it takes less of the processor, leaves the caches to others, and whoever checks the
    /// bytes knows what lies on the disk.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read).
    fn read_piece(&self, key: &BlobKey, offset: u64, len: usize, piece: &mut Piece) -> Result<(), BlobError> {
        self.read(key, offset, piece.room(len))
    }

    /// The object's size in bytes.
    ///
    /// # Errors
    ///
    /// [`BlobError::NotFound`].
    fn size(&self, key: &BlobKey) -> Result<u64, BlobError>;

    /// Shows every object whose name begins with `prefix` (empty: all) to `visit`, in the order of the names' bytes,
    /// until `visit` breaks. Memory stays bounded by the largest folder, not by the number of objects.
    ///
    /// # Errors
    ///
    /// When the store can't be listed completely.
    fn list(&self, prefix: &str, visit: &mut dyn FnMut(BlobEntry) -> ControlFlow<()>) -> Result<(), BlobError>;

    /// Deletes an object. One that is not there is fine.
    ///
    /// # Errors
    ///
    /// When it may still be there, or come back after a power loss.
    fn delete(&self, key: &BlobKey) -> Result<(), BlobError>;
}

/// An object being written. Dropping it discards what was written.
pub trait BlobWriter: Send {
    /// Appends bytes.
    ///
    /// # Errors
    ///
    /// When the store can't take them; the writer is of no use after that.
    fn write(&mut self, bytes: &[u8]) -> Result<(), BlobError>;

    /// Makes the object durable, then visible under its name.
    ///
    /// # Errors
    ///
    /// [`BlobError::AlreadyExists`] when the name is taken; what lies there is untouched.
    fn commit(self: Box<Self>) -> Result<(), BlobError>;
}

/// An object in a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlobEntry {
    /// Its name.
    pub key: BlobKey,
    /// Its size in bytes.
    pub size_bytes: u64,
}

/// The name of an object: one or more segments joined by `/`, each of `a-z`, `0-9`, `-`, not empty; at most 255 bytes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlobKey(String);

impl BlobKey {
    /// The longest name, in bytes.
    pub const MAX_BYTES: usize = 255;

    /// Checks a name.
    ///
    /// # Errors
    ///
    /// When it is not of the form that the type describes.
    pub fn parse(raw: &str) -> Result<Self, InvalidBlobKey> {
        let segment_is_valid = |segment: &str| {
            !segment.is_empty()
                && segment
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        };
        if raw.len() <= Self::MAX_BYTES && raw.split('/').all(segment_is_valid) {
            Ok(Self(raw.to_owned()))
        } else {
            Err(InvalidBlobKey(raw.to_owned()))
        }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// A name made of parts that are known to be valid.
    pub(crate) fn from_valid(name: String) -> Self {
        debug_assert!(Self::parse(&name).is_ok(), "{name} is no name of an object");
        Self(name)
    }
}

impl fmt::Display for BlobKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for BlobKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BlobKey({})", self.0)
    }
}

/// Text that is no name of an object.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no name of an object")]
pub struct InvalidBlobKey(pub String);

/// Why the store did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum BlobError {
    /// There is no object of this name.
    #[error("there is no object {key}")]
    NotFound {
        /// The name.
        key: BlobKey,
    },
    /// The name is taken.
    #[error("there is an object {key} already")]
    AlreadyExists {
        /// The name.
        key: BlobKey,
    },
    /// The object ends before the bytes that were asked for.
    #[error("object {key} is too short")]
    Short {
        /// The name.
        key: BlobKey,
    },
    /// The store has no room left.
    #[error("no space left in the store")]
    NoSpace {
        /// The failure below.
        source: io::Error,
    },
    /// Any other failure below; it may pass.
    #[error("input/output failed at {path}")]
    Io {
        /// The object or folder at which it happened.
        path: String,
        /// The failure below.
        source: io::Error,
    },
}

/// What Linux answers for a bad place: EIO through the page cache; a direct read tells what the block layer made of it
/// (ENODATA for a medium error, EILSEQ for a checksum, EREMOTEIO for a target); EBADMSG and EUCLEAN are a file system's own
/// checksums.
const BAD_PLACE: [Errno; 6] = [
    Errno::IO,
    Errno::NODATA,
    Errno::ILSEQ,
    Errno::REMOTEIO,
    Errno::BADMSG,
    Errno::UCLEAN,
];

impl BlobError {
    /// Whether the store has no room left.
    pub const fn is_no_space(&self) -> bool {
        matches!(self, Self::NoSpace { .. })
    }

    /// Whether a disk does not give back the bytes that were asked for, as at a bad sector. It says the same when it gives
    /// back none at all.
    pub(crate) fn is_of_bad_place(&self) -> bool {
        let Self::Io { source, .. } = self else {
            return false;
        };
        BAD_PLACE
            .iter()
            .any(|errno| source.raw_os_error() == Some(errno.raw_os_error()))
    }
}
