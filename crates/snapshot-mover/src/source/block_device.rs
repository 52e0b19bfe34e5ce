//! Block devices: disks, partitions, loop devices, logical volumes.

use std::{
    fs::File,
    io::{self, Seek},
    ops::Range,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use snapshot_domain::VolumeSize;
use snapshot_vault::AlignedBuffer;

use super::{
    FrozenSource, SourceError, VolumeSource,
    device_writes::Writes,
    open::{Kind, open_direct},
};

pub(super) struct BlockDeviceSource {
    path: PathBuf,
}

impl BlockDeviceSource {
    pub(super) fn new(path: &Path) -> Self {
        Self { path: path.to_owned() }
    }
}

/// The size of an open block device in bytes. Seeking to its end asks the kernel for the same number as `BLKGETSIZE64`,
/// and needs no unsafe code.
pub(super) fn size_bytes(device: &File) -> Result<u64, SourceError> {
    let mut device = device;
    device
        .seek(io::SeekFrom::End(0))
        .map_err(|source| SourceError::Unreadable { offset: 0, source })
}

impl VolumeSource for BlockDeviceSource {
    fn freeze(&self, size: VolumeSize) -> Result<Box<dyn FrozenSource>, SourceError> {
        let device = open_past_the_cache(&self.path)?;
        let actual = size_bytes(&device)?;
        if actual != size.as_bytes() {
            return Err(SourceError::WrongSize {
                expected: size.as_bytes(),
                actual,
            });
        }
        // What others wrote through the cache before this moment must reach the device before it is counted.
        rustix::fs::fdatasync(&device).map_err(|error| SourceError::Unreadable {
            offset: 0,
            source: error.into(),
        })?;
        let writes = Writes::of(&device)?;
        Ok(Box::new(FrozenDevice {
            device,
            size_bytes: actual,
            writes,
        }))
    }
}

/// Opens a device so that reads see what lies on it. Its page cache may be stale: a mounted file system writes past it.
fn open_past_the_cache(path: &Path) -> Result<File, SourceError> {
    let opened = open_direct(path)?;
    match opened.kind {
        Kind::Device => Ok(opened.file),
        Kind::Image => Err(SourceError::WrongKind),
    }
}

struct FrozenDevice {
    device: File,
    size_bytes: u64,
    writes: Writes,
}

impl FrozenSource for FrozenDevice {
    fn next_data(&self, offset: u64) -> Result<Option<Range<u64>>, SourceError> {
        // A device does not tell where its holes are.
        Ok((offset < self.size_bytes).then_some(offset..self.size_bytes))
    }

    fn read(&self, offset: u64, len: usize, buffer: &mut AlignedBuffer) -> Result<(), SourceError> {
        self.device
            .read_exact_at(&mut buffer.as_mut_slice()[..len], offset)
            .map_err(|source| SourceError::Unreadable { offset, source })
    }

    fn thaw(self: Box<Self>) -> Result<(), SourceError> {
        let now = Writes::of(&self.device)?;
        if now.is_same(&self.writes) {
            Ok(())
        } else {
            Err(SourceError::Changed)
        }
    }
}
