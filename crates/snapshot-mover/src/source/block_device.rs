//! Block devices: disks, partitions, loop devices, logical volumes.

use std::{
    fs::{self, File},
    io::{self, Seek},
    ops::Range,
    os::unix::fs::{FileExt, MetadataExt},
    path::{Path, PathBuf},
};

use snapshot_domain::VolumeSize;
use snapshot_vault::AlignedBuffer;

use super::{
    FrozenSource, SourceError, VolumeSource,
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
        let writes = Writes::counted_for(&device)?;
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

/// How often the device was written to, as the kernel counts it: the only thing that tells of writes to a device, which
/// has no time of its last change.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Writes {
    requests: u64,
    sectors: u64,
    discarded_sectors: u64,
}

impl Writes {
    fn counted_for(device: &File) -> Result<Self, SourceError> {
        let unreadable = |source| SourceError::Unreadable { offset: 0, source };
        let number = device.metadata().map_err(unreadable)?.rdev();
        let (major, minor) = (rustix::fs::major(number), rustix::fs::minor(number));
        let folder = PathBuf::from(format!("/sys/dev/block/{major}:{minor}"));
        if !is_counted(&folder).map_err(unreadable)? {
            return Err(SourceError::Uncounted);
        }
        let stat = fs::read_to_string(folder.join("stat")).map_err(unreadable)?;
        Self::parse(&stat).ok_or_else(|| unreadable(io::Error::other("the kernel's count of writes is not readable")))
    }

    /// The fields as the kernel's `Documentation/block/stat.rst` numbers them. Kernels before 4.18 count no discards.
    fn parse(stat: &str) -> Option<Self> {
        let fields: Vec<u64> = stat.split_whitespace().map(str::parse).collect::<Result<_, _>>().ok()?;
        Some(Self {
            requests: *fields.get(4)?,
            sectors: *fields.get(6)?,
            discarded_sectors: fields.get(13).copied().unwrap_or(0),
        })
    }
}

/// Whether the kernel counts at all: it can be told not to, and then the counts stand still whatever is written. A partition
/// has no queue of its own, but that of the disk above it.
fn is_counted(folder: &Path) -> io::Result<bool> {
    for queue in ["queue", "../queue"] {
        match fs::read_to_string(folder.join(queue).join("iostats")) {
            Ok(iostats) => return Ok(iostats.trim() != "0"),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(true)
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
        if Writes::counted_for(&self.device)? == self.writes {
            Ok(())
        } else {
            Err(SourceError::Changed)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_counts_are_read_by_their_position() {
        let stat = "   98 2 1610 26 7 3 56 12 0 28 38 4 0 4096 9 0 0\n";

        let writes = Writes::parse(stat);

        assert_eq!(
            writes,
            Some(Writes {
                requests: 7,
                sectors: 56,
                discarded_sectors: 4096
            })
        );
    }

    #[test]
    fn old_kernels_count_no_discards_and_nonsense_is_refused() {
        let old = "98 2 1610 26 7 3 56 12 0 28 38";

        assert_eq!(Writes::parse(old).map(|writes| writes.discarded_sectors), Some(0));
        assert_eq!(Writes::parse("98 2"), None);
        assert_eq!(Writes::parse("a b c d e f g"), None);
    }

    #[test]
    fn a_disk_and_its_partitions_are_counted_unless_the_kernel_was_told_not_to() {
        let disk = tempfile::tempdir().unwrap();
        let partition = disk.path().join("partition");
        fs::create_dir_all(&partition).unwrap();
        fs::create_dir_all(disk.path().join("queue")).unwrap();

        for (iostats, counted) in [("0\n", false), ("1\n", true)] {
            fs::write(disk.path().join("queue/iostats"), iostats).unwrap();

            assert_eq!(is_counted(disk.path()).unwrap(), counted);
            assert_eq!(is_counted(&partition).unwrap(), counted);
        }
    }
}
