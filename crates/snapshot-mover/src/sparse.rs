//! Writing raw images so that zeros take no room.

use std::{
    fs::{File, OpenOptions},
    io,
    ops::Range,
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::Path,
};

use rustix::{fs::OFlags, io::Errno};
use snapshot_vault::{ALIGNMENT, AlignedBuffer};

/// Bytes written at once. Direct writes of this size measured best: 1 MiB took twice as long.
const RUN_BYTES: usize = 4 << 20;

/// The block below which file systems keep no holes.
const BLOCK_BYTES: usize = 4096;

/// With more separate pieces of data than this in one run, the page cache collects them faster than direct writes go.
const MOST_DIRECT_PIECES: usize = 8;

static ZEROS: [u8; BLOCK_BYTES] = [0; BLOCK_BYTES];

/// A new image, written by several threads at once, each through [`Runs`] of its own. What nobody writes is a hole.
pub(crate) struct SparseFile {
    cached: File,
    /// The same file past the page cache, where the file system takes that.
    direct: Option<File>,
}

impl SparseFile {
    /// Makes an image of `size_bytes` zeros. Readable by its owner alone.
    ///
    /// # Errors
    ///
    /// Those of the file system; also when there is a file already.
    pub(crate) fn create(path: &Path, size_bytes: u64) -> io::Result<Self> {
        let cached = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)?;
        cached.set_len(size_bytes)?;
        let direct = i32::try_from(OFlags::DIRECT.bits()).expect("open flags fit into an int: open(2) takes one");
        let direct = match OpenOptions::new().write(true).custom_flags(direct).open(path) {
            Ok(file) => Some(file),
            Err(error) if error.raw_os_error() == Some(Errno::INVAL.raw_os_error()) => None,
            Err(error) => return Err(error),
        };
        Ok(Self { cached, direct })
    }

    /// Waits until everything is on disk.
    ///
    /// # Errors
    ///
    /// Those of the file system.
    pub(crate) fn sync(&self) -> io::Result<()> {
        self.cached.sync_all()
    }

    fn write_run(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let pieces = data_pieces(bytes);
        let direct = self.direct.as_ref().filter(|_| pieces.len() <= MOST_DIRECT_PIECES);
        for piece in pieces {
            let at = offset + piece.start as u64;
            // The rest of a last block that is none goes through the page cache.
            let whole = if at.is_multiple_of(ALIGNMENT as u64) {
                piece.len() / ALIGNMENT * ALIGNMENT
            } else {
                0
            };
            let (aligned, rest) = bytes[piece].split_at(whole);
            let taken = match direct {
                Some(file) if !aligned.is_empty() => write_unless_refused(file, aligned, at)?,
                _ => false,
            };
            if !taken {
                self.cached.write_all_at(aligned, at)?;
            }
            self.cached.write_all_at(rest, at + whole as u64)?;
        }
        Ok(())
    }
}

/// Writes, unless the file system refuses direct writes of this alignment: then `false`.
fn write_unless_refused(file: &File, bytes: &[u8], offset: u64) -> io::Result<bool> {
    match file.write_all_at(bytes, offset) {
        Ok(()) => Ok(true),
        Err(error) if error.raw_os_error() == Some(Errno::INVAL.raw_os_error()) => Ok(false),
        Err(error) => Err(error),
    }
}

/// The runs of blocks that are not all zeros.
fn data_pieces(bytes: &[u8]) -> Vec<Range<usize>> {
    let mut pieces: Vec<Range<usize>> = Vec::new();
    for (number, block) in bytes.chunks(BLOCK_BYTES).enumerate() {
        if *block == ZEROS[..block.len()] {
            continue;
        }
        let start = number * BLOCK_BYTES;
        let end = start + block.len();
        match pieces.last_mut() {
            Some(last) if last.end == start => last.end = end,
            _ => pieces.push(start..end),
        }
    }
    pieces
}

/// Collects what one thread writes into long runs.
pub(crate) struct Runs {
    buffer: AlignedBuffer,
    start: u64,
    len: usize,
}

impl Runs {
    /// Nothing collected yet.
    pub(crate) fn new() -> Self {
        Self {
            buffer: AlignedBuffer::new(RUN_BYTES),
            start: 0,
            len: 0,
        }
    }

    /// Writes bytes at an offset. Best in the order of offsets. They may reach the file only with [`flush`](Self::flush).
    ///
    /// # Errors
    ///
    /// Those of the file system.
    pub(crate) fn write(&mut self, file: &SparseFile, mut offset: u64, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            if self.len == RUN_BYTES || (self.len > 0 && self.start + self.len as u64 != offset) {
                self.flush(file)?;
            }
            if self.len == 0 {
                self.start = offset;
            }
            let taken = bytes.len().min(RUN_BYTES - self.len);
            self.buffer.as_mut_slice()[self.len..self.len + taken].copy_from_slice(&bytes[..taken]);
            self.len += taken;
            offset += taken as u64;
            bytes = &bytes[taken..];
        }
        Ok(())
    }

    /// Hands what is collected to the file.
    ///
    /// # Errors
    ///
    /// Those of the file system.
    pub(crate) fn flush(&mut self, file: &SparseFile) -> io::Result<()> {
        let len = std::mem::take(&mut self.len);
        file.write_run(self.buffer.first(len), self.start)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use proptest::prelude::*;

    use super::*;

    const SIZE: u64 = 9 << 20;

    fn write_all(pieces: &[(u64, Vec<u8>)], size: u64) -> (tempfile::TempDir, std::path::PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("image.raw");
        let file = SparseFile::create(&path, size).unwrap();
        let mut runs = Runs::new();
        for (offset, bytes) in pieces {
            runs.write(&file, *offset, bytes).unwrap();
        }
        runs.flush(&file).unwrap();
        file.sync().unwrap();
        (folder, path)
    }

    /// Pieces side by side, or with a gap between them, in any order. No two overlap: nobody writes a place twice.
    fn pieces() -> impl Strategy<Value = Vec<(u64, Vec<u8>)>> {
        let gap = prop_oneof![Just(0), 0..250_000_usize];
        let piece = (gap, 1..600_000_usize, any::<u8>());
        let placed = prop::collection::vec(piece, 1..12).prop_map(|pieces| {
            let mut end = 0;
            let place = |(gap, len, fill): (usize, usize, u8)| {
                let at = end + gap;
                end = at + len;
                (at as u64, vec![fill; len])
            };
            pieces.into_iter().map(place).collect::<Vec<_>>()
        });
        placed.prop_shuffle()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        /// Whatever is written in whatever order reads back, with zeros elsewhere.
        #[test]
        fn an_image_holds_what_was_written(pieces in pieces()) {
            let mut expected = vec![0; usize::try_from(SIZE).unwrap()];
            for (at, bytes) in &pieces {
                let at = usize::try_from(*at).unwrap();
                expected[at..at + bytes.len()].copy_from_slice(bytes);
            }

            let (_folder, path) = write_all(&pieces, SIZE);

            prop_assert!(std::fs::read(path).unwrap() == expected);
        }
    }

    #[test]
    fn zeros_take_no_room() {
        let mut bytes = vec![0; 4 << 20];
        bytes[1 << 20..(1 << 20) + 4096].fill(1);

        let (_folder, path) = write_all(&[(0, bytes)], SIZE);

        assert!(std::fs::metadata(path).unwrap().blocks() * 512 <= 64 << 10);
    }

    #[test]
    fn an_image_that_ends_within_a_block_is_whole() {
        let (_folder, path) = write_all(&[(0, vec![5; 10_240 + 512])], 10_240 + 512);

        assert_eq!(std::fs::read(path).unwrap(), vec![5; 10_240 + 512]);
    }

    #[test]
    fn there_is_one_piece_for_each_run_of_blocks_with_data() {
        let mut bytes = vec![0; 5 * BLOCK_BYTES + 10];
        bytes[BLOCK_BYTES] = 1;
        bytes[3 * BLOCK_BYTES - 1] = 1;
        bytes[5 * BLOCK_BYTES + 9] = 1;

        let pieces = data_pieces(&bytes);

        assert_eq!(
            pieces,
            [BLOCK_BYTES..3 * BLOCK_BYTES, 5 * BLOCK_BYTES..5 * BLOCK_BYTES + 10]
        );
    }
}
