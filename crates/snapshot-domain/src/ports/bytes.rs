//! Where the bytes of volumes and snapshots are read and written.

use crate::{ReadableSnapshot, Result, Volume, VolumeId};

/// The bytes of managed and registered volumes.
#[cfg_attr(feature = "mocks", mockall::automock)]
pub trait VolumeBytes: Send + Sync {
    /// Makes the bytes of a new managed volume: zeros, taking no room. Durable when it returns.
    ///
    /// # Errors
    ///
    /// [`NoSpace`](crate::Error::NoSpace), [`Unavailable`](crate::Error::Unavailable).
    fn create(&self, volume: &Volume) -> Result<()>;

    /// Opens a volume's bytes as they are now: a reader keeps them while they are replaced.
    ///
    /// # Errors
    ///
    /// [`Unavailable`](crate::Error::Unavailable) when they can't be opened, or are fewer than the volume's size.
    fn open(&self, volume: &Volume) -> Result<OpenVolume>;

    /// Begins to write new bytes beside the present ones.
    ///
    /// # Errors
    ///
    /// [`NoSpace`](crate::Error::NoSpace), [`Unavailable`](crate::Error::Unavailable).
    fn stage(&self, volume: &Volume) -> Result<Box<dyn StagedWrite>>;

    /// Removes the bytes of a managed volume; those that are gone already are no error.
    ///
    /// # Errors
    ///
    /// [`Unavailable`](crate::Error::Unavailable) when they can't be removed.
    fn remove(&self, volume: VolumeId) -> Result<()>;
}

/// A volume's bytes, opened for reading.
pub struct OpenVolume {
    /// Reads them.
    pub bytes: Box<dyn ReadAt>,
    /// Names these very bytes: a text that changes whenever they do. `None` where nothing tells, as with a device.
    pub version: Option<String>,
}

/// The bytes of whole snapshots.
#[cfg_attr(feature = "mocks", mockall::automock)]
pub trait SnapshotBytes: Send + Sync {
    /// Opens a snapshot for reading. What is read is checked: it is the snapshot's, or an error.
    ///
    /// # Errors
    ///
    /// [`Damaged`](crate::Error::Damaged), [`Unavailable`](crate::Error::Unavailable).
    #[cfg_attr(feature = "mocks", mockall::concretize)]
    fn open(&self, snapshot: ReadableSnapshot<'_>) -> Result<Box<dyn ReadAt>>;
}

/// Bytes that can be read at any place.
#[cfg_attr(feature = "mocks", mockall::automock)]
pub trait ReadAt: Send {
    /// Fills `buffer` with the bytes from `offset` on. All of them must lie within the volume's size.
    ///
    /// # Errors
    ///
    /// [`Damaged`](crate::Error::Damaged) with the range that is lost, [`Unavailable`](crate::Error::Unavailable).
    fn read_at(&mut self, offset: u64, buffer: &mut [u8]) -> Result<()>;
}

/// New bytes of a volume on their way: nothing is seen of them before [`commit`](Self::commit). Dropping it instead
/// leaves the volume's bytes as they were.
#[cfg_attr(feature = "mocks", mockall::automock)]
pub trait StagedWrite: Send {
    /// Appends bytes.
    ///
    /// # Errors
    ///
    /// [`TooManyBytes`](crate::Error::TooManyBytes), [`NoSpace`](crate::Error::NoSpace),
    /// [`Unavailable`](crate::Error::Unavailable).
    fn write(&mut self, bytes: &[u8]) -> Result<()>;

    /// Puts the bytes in place of the old ones, with zeros up to the volume's size. Durable when it returns.
    ///
    /// # Errors
    ///
    /// [`NoSpace`](crate::Error::NoSpace), [`Unavailable`](crate::Error::Unavailable); the old bytes are in place then.
    fn commit(self: Box<Self>) -> Result<()>;
}
