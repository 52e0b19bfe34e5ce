//! Writing and reading files in large aligned pieces past the page cache.

use crate::memory::{ALIGNMENT, AlignedBuffer};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::io::Errno;
use std::fmt;
use std::fs::File;
use std::io::{self, Write};
use std::ops::Range;
use std::os::unix::fs::FileExt;

/// Packs written in pieces of 4 MiB by direct I/O leave the page cache to those who need it, and were measured to be
/// several times faster than through it when memory is short.
const PIECE_BYTES: usize = 4 << 20;
/// Memory for reading grows in such steps.
const GROWTH_BYTES: usize = 1 << 20;

/// Reads a long piece: by direct I/O where the file system takes it, buffered elsewhere.
pub(super) fn read_piece(file: &File, offset: u64, len: usize, piece: &mut Piece) -> io::Result<()> {
    if set_direct(file, true).is_ok() {
        if read_direct(file, offset, len, piece)? {
            return Ok(());
        }
        set_direct(file, false)?;
    }
    file.read_exact_at(piece.room(len), offset)
}

/// Reads whole blocks, unless the file system refuses that: then `false`.
fn read_direct(file: &File, offset: u64, len: usize, piece: &mut Piece) -> io::Result<bool> {
    let lead = usize::try_from(offset % ALIGNMENT as u64).expect("less than the alignment");
    let blocks = (lead + len).next_multiple_of(ALIGNMENT);
    let room = &mut piece.memory(blocks)[..blocks];
    let mut filled = 0;
    while filled < lead + len {
        match file.read_at(&mut room[filled..], offset - lead as u64 + filled as u64) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(n) => filled += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            // As when writing; and after a short read the next one begins unaligned.
            Err(error) if error.raw_os_error() == Some(Errno::INVAL.raw_os_error()) => return Ok(false),
            Err(error) => return Err(error),
        }
    }
    piece.bytes = lead..lead + len;
    Ok(true)
}

/// What one long read brought. Its memory is used again by the next one.
#[derive(Debug, Default)]
pub struct Piece {
    memory: Option<AlignedBuffer>,
    bytes: Range<usize>,
}

impl Piece {
    /// What was read.
    pub fn bytes(&self) -> &[u8] {
        match &self.memory {
            Some(memory) => &memory.first(self.bytes.end)[self.bytes.start..],
            None => &[],
        }
    }

    /// Room for `len` bytes: those that [`bytes`](Self::bytes) gives from now on.
    pub fn room(&mut self, len: usize) -> &mut [u8] {
        self.bytes = 0..len;
        &mut self.memory(len)[..len]
    }

    /// Memory for at least `len` bytes. It never shrinks: to get it anew from the system costs more than to keep it.
    fn memory(&mut self, len: usize) -> &mut [u8] {
        let memory = self.memory.take().filter(|memory| memory.len() >= len);
        let memory = memory.unwrap_or_else(|| AlignedBuffer::new(len.next_multiple_of(GROWTH_BYTES)));
        self.memory.insert(memory).as_mut_slice()
    }
}

/// A file that is written from beginning to end: by direct I/O where the file system takes it, buffered elsewhere.
pub(super) struct DirectFile {
    file: File,
    direct: bool,
    piece: AlignedBuffer,
    filled: usize,
}

impl DirectFile {
    pub(super) fn new(file: File) -> Self {
        let direct = set_direct(&file, true).is_ok();
        Self {
            file,
            direct,
            piece: AlignedBuffer::new(PIECE_BYTES),
            filled: 0,
        }
    }

    pub(super) fn append(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let room = &mut self.piece.as_mut_slice()[self.filled..];
            let (now, later) = bytes.split_at(bytes.len().min(room.len()));
            room[..now.len()].copy_from_slice(now);
            self.filled += now.len();
            bytes = later;
            if self.filled == PIECE_BYTES {
                self.write_piece()?;
            }
        }
        Ok(())
    }

    /// Writes what is left and syncs the file.
    pub(super) fn finish(mut self) -> io::Result<()> {
        // The end is hardly ever aligned.
        self.stop_direct()?;
        self.write_piece()?;
        self.file.sync_all()
    }

    fn write_piece(&mut self) -> io::Result<()> {
        let mut written = 0;
        while written < self.filled {
            match self.file.write(&self.piece.first(self.filled)[written..]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(n) => written += n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // Not every file system that takes the flag takes the writes, and a short write ends unaligned.
                Err(error) if self.direct && error.raw_os_error() == Some(Errno::INVAL.raw_os_error()) => {
                    self.stop_direct()?;
                }
                Err(error) => return Err(error),
            }
        }
        self.filled = 0;
        Ok(())
    }

    fn stop_direct(&mut self) -> io::Result<()> {
        if self.direct {
            set_direct(&self.file, false)?;
            self.direct = false;
        }
        Ok(())
    }
}

impl fmt::Debug for DirectFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DirectFile")
            .field("file", &self.file)
            .field("direct", &self.direct)
            .finish_non_exhaustive()
    }
}

fn set_direct(file: &File, direct: bool) -> io::Result<()> {
    let mut flags = fcntl_getfl(file)?;
    flags.set(OFlags::DIRECT, direct);
    Ok(fcntl_setfl(file, flags)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(folder: &std::path::Path, pieces: &[usize]) {
        let path = folder.join("file");
        let expected: Vec<u8> = (0..251).cycle().take(pieces.iter().sum()).collect();
        let mut file = DirectFile::new(File::create(&path).unwrap());

        let mut rest = &expected[..];
        for piece in pieces {
            let (now, later) = rest.split_at(*piece);
            file.append(now).unwrap();
            rest = later;
        }
        file.finish().unwrap();

        assert!(std::fs::read(&path).unwrap() == expected, "{pieces:?}");
    }

    #[test]
    fn any_piece_of_a_file_is_read_as_it_was_written() {
        for base in [env!("CARGO_MANIFEST_DIR"), "/dev/shm"] {
            let Ok(folder) = tempfile::tempdir_in(base) else {
                continue;
            };
            let path = folder.path().join("file");
            let expected: Vec<u8> = (0..251).cycle().take(3 * ALIGNMENT + 77).collect();
            std::fs::write(&path, &expected).unwrap();
            let mut piece = Piece::default();

            for offset in [0, 1, ALIGNMENT - 1, ALIGNMENT, 2 * ALIGNMENT + 5, expected.len()] {
                for len in [0, 1, 77, ALIGNMENT, expected.len() - offset] {
                    let file = File::open(&path).unwrap();
                    let read = read_piece(&file, offset as u64, len, &mut piece);

                    let Some(expected) = expected.get(offset..offset + len) else {
                        assert_eq!(read.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
                        continue;
                    };
                    read.unwrap();
                    assert!(piece.bytes() == expected, "{len} bytes from {offset} on in {base}");
                }
            }
        }
    }

    #[test]
    fn a_file_holds_what_was_appended_in_pieces_of_any_length() {
        // Beside the sources lies a disk, and in /dev/shm memory, which has no use for direct I/O.
        for base in [env!("CARGO_MANIFEST_DIR"), "/dev/shm"] {
            let Ok(folder) = tempfile::tempdir_in(base) else {
                continue;
            };
            for pieces in [
                &[][..],
                &[1],
                &[PIECE_BYTES],
                &[PIECE_BYTES + 1, 7],
                &[3, 2 * PIECE_BYTES, 4093, 100_000],
            ] {
                check(folder.path(), pieces);
            }
        }
    }
}
