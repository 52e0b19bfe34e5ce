//! Where a copy's bytes come from. A source is frozen, read, and thawed: what was read in between is of one moment.

mod block_device;
mod device_writes;
mod file;
mod open;

use std::{io, ops::Range, path::Path};

use snapshot_domain::{InvalidSize, VolumeSize};
use snapshot_vault::AlignedBuffer;
use thiserror::Error;

use self::open::Kind;
pub(crate) use self::open::{Opened, open};

/// Something that can be copied.
pub(crate) trait VolumeSource: Send + Sync {
    /// Makes the source hold still, as far as it can, and notes what tells whether it did.
    ///
    /// # Errors
    ///
    /// [`SourceError`] when it can't be opened, or has not the size that is expected.
    fn freeze(&self, size: VolumeSize) -> Result<Box<dyn FrozenSource>, SourceError>;
}

/// A source that holds still, read by several threads at once.
pub(crate) trait FrozenSource: Send + Sync {
    /// The next range at or after `offset` that may hold anything but zeros; `None` when there is none.
    ///
    /// # Errors
    ///
    /// [`SourceError::Unreadable`].
    fn next_data(&self, offset: u64) -> Result<Option<Range<u64>>, SourceError>;

    /// Reads `len` bytes from `offset` on into the front of the buffer. Both lie at multiples of 512.
    ///
    /// # Errors
    ///
    /// [`SourceError::Unreadable`]; an end before the last byte is one.
    fn read(&self, offset: u64, len: usize, buffer: &mut AlignedBuffer) -> Result<(), SourceError>;

    /// Lets the source go on.
    ///
    /// # Errors
    ///
    /// [`SourceError::Changed`] when it did not hold still: then what was read is of no single moment.
    fn thaw(self: Box<Self>) -> Result<(), SourceError>;
}

/// Why a volume can't be copied.
#[derive(Debug, Error)]
pub enum SourceError {
    /// It is not there.
    #[error("the volume's image or device is missing")]
    Missing(#[source] io::Error),
    /// It can't be read.
    #[error("the volume can't be read at byte {offset}")]
    Unreadable {
        /// Where.
        offset: u64,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It is neither a regular file nor a block device.
    #[error("the volume is neither a regular file nor a block device")]
    WrongKind,
    /// A link lies on its path.
    #[error("a link lies on the path of the volume's image or device, and is not followed")]
    Link,
    /// It has another size than it had when the volume was made.
    #[error("the volume's image or device has {actual} bytes, not {expected}")]
    WrongSize {
        /// What it should have.
        expected: u64,
        /// What it has.
        actual: u64,
    },
    /// Its size is none that a volume can have.
    #[error("the size {0}")]
    InvalidSize(InvalidSize),
    /// Nobody could tell whether it was written to.
    #[error("the kernel does not count writes to the volume's device: its queue/iostats is 0")]
    Uncounted,
    /// Somebody wrote to it while it was copied.
    #[error("the volume was written to while it was copied")]
    Changed,
}

impl From<InvalidSize> for SourceError {
    fn from(invalid: InvalidSize) -> Self {
        Self::InvalidSize(invalid)
    }
}

impl SourceError {
    /// A sentence for the volume's owner.
    pub(crate) const fn reason(&self) -> &'static str {
        match self {
            Self::Missing(_) => "The volume's image or device is missing",
            Self::Unreadable { .. } => "The volume could not be read",
            Self::WrongKind => "The volume is neither a regular file nor a block device",
            Self::Link => "A link has come to lie on the path of the volume's image or device",
            Self::WrongSize { .. } | Self::InvalidSize(_) => "The volume's image or device has changed its size",
            Self::Uncounted => {
                "The host does not count writes to the volume's device, so that nobody could tell whether it held still"
            }
            Self::Changed => {
                "The volume was written to while it was copied, so that the copy would be of no single moment"
            }
        }
    }
}

/// The source at a path.
///
/// # Errors
///
/// [`SourceError::Missing`], [`SourceError::Link`], [`SourceError::WrongKind`].
pub(crate) fn at(path: &Path) -> Result<Box<dyn VolumeSource>, SourceError> {
    Ok(match open(path)?.kind {
        Kind::Image => Box::new(file::FileSource::new(path)),
        Kind::Device => Box::new(block_device::BlockDeviceSource::new(path)),
    })
}

/// The size of the image or device at a path, as the size of a volume that is to be registered.
///
/// # Errors
///
/// [`SourceError`] when it can't be opened for reading, or its size is none that a volume can have.
pub fn measure(path: &Path) -> Result<VolumeSize, SourceError> {
    let opened = open(path)?;
    let bytes = match opened.kind {
        Kind::Image => opened.metadata.len(),
        Kind::Device => block_device::size_bytes(&opened.file)?,
    };
    Ok(VolumeSize::from_bytes(bytes)?)
}
