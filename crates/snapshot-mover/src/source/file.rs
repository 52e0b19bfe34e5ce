//! Raw images in regular files, sparse or not.

use std::{
    fs::File,
    io,
    ops::Range,
    os::unix::fs::{FileExt, MetadataExt},
    path::{Path, PathBuf},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use rustix::{fs::SeekFrom, io::Errno};
use snapshot_domain::VolumeSize;
use snapshot_vault::AlignedBuffer;

use super::{
    FrozenSource, SourceError, VolumeSource,
    open::{Kind, open},
};

pub(super) struct FileSource {
    path: PathBuf,
}

impl FileSource {
    pub(super) fn new(path: &Path) -> Self {
        Self { path: path.to_owned() }
    }
}

impl VolumeSource for FileSource {
    fn freeze(&self, size: VolumeSize) -> Result<Box<dyn FrozenSource>, SourceError> {
        let file = opened(&self.path)?;
        // A page that a mapping has dirtied already takes further writes without a new stamp, until it is written back.
        file.sync_data()
            .map_err(|source| SourceError::Unreadable { offset: 0, source })?;
        let stamp = Stamp::settled(&file)?;
        if stamp.len != size.as_bytes() {
            return Err(SourceError::WrongSize {
                expected: size.as_bytes(),
                actual: stamp.len,
            });
        }
        Ok(Box::new(FrozenFile {
            path: self.path.clone(),
            file,
            stamp,
        }))
    }
}

fn opened(path: &Path) -> Result<File, SourceError> {
    let opened = open(path)?;
    match opened.kind {
        Kind::Image => Ok(opened.file),
        Kind::Device => Err(SourceError::WrongKind),
    }
}

/// What changes whenever a file's bytes do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    len: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

/// The longest time between two ticks of a kernel's clock (100 a second), twice.
const TWO_TICKS: Duration = Duration::from_millis(20);

/// The coarsest stamps that file systems keep: FAT has a time each two seconds; NFS servers, HFS+, and ext3 or ext4 with small
/// inodes one each second.
const COARSE: Duration = Duration::from_secs(2);

/// From this age on a stamp counts as old, whosever clock it is from: the server of a network file system has its own.
const OLD: Duration = Duration::from_secs(10);

/// How often a file may be found freshly written before it is clear that somebody goes on writing.
const MOST_LOOKS: u32 = 10;

impl Stamp {
    /// A stamp that no later write repeats. The kernel stamps a write with the time of its clock's last tick, and the file
    /// system may keep only the second, so that a write right after a fresh stamp could bear the same one: a fresh stamp is
    /// given time to grow old.
    fn settled(file: &File) -> Result<Self, SourceError> {
        let mut stamp = Self::of(file)?;
        for _ in 0..MOST_LOOKS {
            if stamp.is_old() {
                return Ok(stamp);
            }
            std::thread::sleep(stamp.repeats_for());
            let now = Self::of(file)?;
            if now == stamp {
                return Ok(stamp);
            }
            stamp = now;
        }
        Err(SourceError::Changed)
    }

    fn is_old(&self) -> bool {
        let (seconds, nanoseconds) = self.changed;
        let changed = UNIX_EPOCH + Duration::from_secs(u64::try_from(seconds).unwrap_or(0));
        let changed = changed + Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(0));
        SystemTime::now().duration_since(changed).is_ok_and(|age| age >= OLD)
    }

    /// How long writes that follow may bear the same stamp, at most.
    const fn repeats_for(&self) -> Duration {
        match self.changed {
            (_, 0) => COARSE.saturating_add(TWO_TICKS),
            _ => TWO_TICKS,
        }
    }

    fn of(file: &File) -> Result<Self, SourceError> {
        let metadata = file
            .metadata()
            .map_err(|source| SourceError::Unreadable { offset: 0, source })?;
        Ok(Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            len: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        })
    }
}

struct FrozenFile {
    path: PathBuf,
    file: File,
    stamp: Stamp,
}

impl FrozenSource for FrozenFile {
    fn next_data(&self, offset: u64) -> Result<Option<Range<u64>>, SourceError> {
        if offset >= self.stamp.len {
            return Ok(None);
        }
        match rustix::fs::seek(&self.file, SeekFrom::Data(offset)) {
            Ok(start) => {
                let end =
                    rustix::fs::seek(&self.file, SeekFrom::Hole(start)).map_err(|error| SourceError::Unreadable {
                        offset: start,
                        source: error.into(),
                    })?;
                Ok(Some(start..end.min(self.stamp.len)))
            }
            Err(Errno::NXIO) => Ok(None),
            // The file system knows no holes: everything may be data.
            Err(Errno::INVAL | Errno::OPNOTSUPP) => Ok(Some(offset..self.stamp.len)),
            Err(error) => Err(SourceError::Unreadable {
                offset,
                source: error.into(),
            }),
        }
    }

    fn read(&self, offset: u64, len: usize, buffer: &mut AlignedBuffer) -> Result<(), SourceError> {
        self.file
            .read_exact_at(&mut buffer.as_mut_slice()[..len], offset)
            .map_err(|error| match error.kind() {
                io::ErrorKind::UnexpectedEof => SourceError::Changed,
                _ => SourceError::Unreadable { offset, source: error },
            })
    }

    fn thaw(self: Box<Self>) -> Result<(), SourceError> {
        // Whoever put another file in this one's place has changed the volume as well.
        let now_there = opened(&self.path)?;
        if Stamp::of(&self.file)? == self.stamp && Stamp::of(&now_there)? == self.stamp {
            Ok(())
        } else {
            Err(SourceError::Changed)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        fs::OpenOptions,
        io::Write,
        sync::atomic::{AtomicBool, Ordering},
        thread,
    };

    use super::*;

    const MIB: u64 = 1 << 20;

    fn image(bytes: u64) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("image.raw");
        File::create(&path).unwrap().set_len(bytes).unwrap();
        (folder, path)
    }

    fn freeze(path: &Path, bytes: u64) -> Box<dyn FrozenSource> {
        FileSource::new(path)
            .freeze(VolumeSize::from_bytes(bytes).unwrap())
            .unwrap()
    }

    #[test]
    fn holes_are_skipped_and_data_is_found() {
        let (_folder, path) = image(8 * MIB);
        OpenOptions::new()
            .write(true)
            .open(&path)
            .unwrap()
            .write_all_at(&[1; 4096], 5 * MIB)
            .unwrap();
        let source = freeze(&path, 8 * MIB);

        let data = source.next_data(0).unwrap().unwrap();

        assert!(data.start <= 5 * MIB && data.end >= 5 * MIB + 4096, "{data:?}");
        assert_eq!(source.next_data(data.end).unwrap(), None);
        assert_eq!(source.next_data(8 * MIB).unwrap(), None);
    }

    #[test]
    fn a_file_that_held_still_thaws() {
        let (_folder, path) = image(MIB);
        let source = freeze(&path, MIB);

        source.thaw().unwrap();
    }

    #[test]
    fn a_write_during_the_copy_is_noticed() {
        let (_folder, path) = image(MIB);
        let source = freeze(&path, MIB);

        OpenOptions::new()
            .write(true)
            .open(&path)
            .unwrap()
            .write_all(&[1])
            .unwrap();

        assert!(matches!(source.thaw(), Err(SourceError::Changed)));
    }

    #[test]
    fn a_file_that_somebody_goes_on_writing_to_is_not_waited_for() {
        let (_folder, path) = image(MIB);
        let size = VolumeSize::from_bytes(MIB).unwrap();
        let done = AtomicBool::new(false);

        let refused = thread::scope(|scope| {
            scope.spawn(|| {
                let file = OpenOptions::new().write(true).open(&path).unwrap();
                while !done.load(Ordering::Relaxed) {
                    file.write_all_at(&[1], 0).unwrap();
                }
            });
            // The writer may pause for a moment: then the file is frozen, and that is right too.
            let mut tries = std::iter::repeat_with(|| FileSource::new(&path).freeze(size)).take(100);
            let refused = tries.find_map(Result::err);
            done.store(true, Ordering::Relaxed);
            refused
        });

        assert!(matches!(refused, Some(SourceError::Changed)), "{refused:?}");
    }

    #[test]
    fn a_stamp_without_a_fraction_of_a_second_is_taken_for_one_of_a_coarse_clock() {
        let (_folder, path) = image(MIB);
        let fine = Stamp::of(&File::open(path).unwrap()).unwrap();
        let with = |nanoseconds| Stamp {
            changed: (fine.changed.0, nanoseconds),
            ..fine
        };

        assert!(with(0).repeats_for() > Duration::from_secs(2));
        assert!(with(4_000_000).repeats_for() < Duration::from_secs(1));
    }

    #[test]
    fn only_what_was_written_long_ago_by_any_clock_is_old() {
        let (_folder, path) = image(MIB);
        let fresh = Stamp::of(&File::open(path).unwrap()).unwrap();
        let years = |years: i64| Stamp {
            changed: (fresh.changed.0 + years * 365 * 86_400, 1),
            ..fresh
        };

        assert!(years(-1).is_old());
        assert!(!fresh.is_old());
        assert!(!years(1).is_old());
    }

    #[test]
    fn a_file_put_in_place_of_the_image_is_noticed() {
        let (folder, path) = image(MIB);
        let source = freeze(&path, MIB);

        let other = folder.path().join("other.raw");
        File::create(&other).unwrap().set_len(MIB).unwrap();
        std::fs::rename(&other, &path).unwrap();

        assert!(matches!(source.thaw(), Err(SourceError::Changed)));
    }

    #[test]
    fn an_image_that_shrank_or_grew_is_refused() {
        let (_folder, path) = image(MIB);
        let expected = VolumeSize::from_bytes(2 * MIB).unwrap();

        let refused = FileSource::new(&path).freeze(expected);

        assert!(matches!(
            refused,
            Err(SourceError::WrongSize {
                expected: 2_097_152,
                actual: 1_048_576
            })
        ));
    }

    #[test]
    fn an_image_cut_off_during_the_copy_is_noticed() {
        let (_folder, path) = image(MIB);
        let source = freeze(&path, MIB);
        OpenOptions::new()
            .write(true)
            .open(&path)
            .unwrap()
            .set_len(512)
            .unwrap();

        let read = source.read(0, 4096, &mut AlignedBuffer::new(4096));

        assert!(matches!(read, Err(SourceError::Changed)));
    }
}
