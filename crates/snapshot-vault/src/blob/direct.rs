//! Writing and reading a file in large aligned pieces past the page cache.

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::io::Errno;
use std::fmt;
use std::fs::File;
use std::io::{self, Read, Write};
use std::ops::Range;

/// Packs written in pieces of 4 MiB by direct I/O leave the page cache to those who need it, and were measured to be
/// several times faster than through it when memory is short.
const PIECE_BYTES: usize = 4 << 20;
/// No device known asks for more.
const ALIGNMENT: usize = 4096;

/// A file that is read from beginning to end: by direct I/O where the file system takes it, buffered elsewhere.
#[derive(Debug)]
pub(super) struct DirectReader {
    file: File,
    direct: bool,
    memory: Vec<u8>,
    start: usize,
    /// What of the present piece was not given out yet.
    rest: Range<usize>,
}

impl DirectReader {
    pub(super) fn new(file: File) -> Self {
        let direct = set_direct(&file, true).is_ok();
        let (memory, start) = piece();
        Self {
            file,
            direct,
            memory,
            start,
            rest: 0..0,
        }
    }

    fn read_piece(&mut self) -> io::Result<()> {
        loop {
            match self.file.read(&mut self.memory[self.start..self.start + PIECE_BYTES]) {
                Ok(len) => {
                    self.rest = self.start..self.start + len;
                    return Ok(());
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // As when writing; and after a short read the next one begins unaligned.
                Err(error) if self.direct && error.raw_os_error() == Some(Errno::INVAL.raw_os_error()) => {
                    set_direct(&self.file, false)?;
                    self.direct = false;
                }
                Err(error) => return Err(error),
            }
        }
    }
}

impl Read for DirectReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.rest.is_empty() {
            self.read_piece()?;
        }
        let len = buffer.len().min(self.rest.len());
        buffer[..len].copy_from_slice(&self.memory[self.rest.start..self.rest.start + len]);
        self.rest.start += len;
        Ok(len)
    }
}

/// Memory in which an aligned piece begins at the index that comes with it.
fn piece() -> (Vec<u8>, usize) {
    let memory = vec![0; PIECE_BYTES + ALIGNMENT];
    let start = memory.as_ptr().align_offset(ALIGNMENT).min(ALIGNMENT);
    (memory, start)
}

/// A file that is written from beginning to end: by direct I/O where the file system takes it, buffered elsewhere.
pub(super) struct DirectFile {
    file: File,
    direct: bool,
    /// Longer than a piece, so that an aligned piece lies somewhere in it.
    memory: Vec<u8>,
    start: usize,
    filled: usize,
}

impl DirectFile {
    pub(super) fn new(file: File) -> Self {
        let (memory, start) = piece();
        let direct = set_direct(&file, true).is_ok();
        Self {
            file,
            direct,
            memory,
            start,
            filled: 0,
        }
    }

    pub(super) fn append(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let room = &mut self.memory[self.start + self.filled..self.start + PIECE_BYTES];
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
            match self
                .file
                .write(&self.memory[self.start + written..self.start + self.filled])
            {
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
    fn a_file_is_read_as_it_was_written_whatever_its_length() {
        for base in [env!("CARGO_MANIFEST_DIR"), "/dev/shm"] {
            let Ok(folder) = tempfile::tempdir_in(base) else {
                continue;
            };
            for len in [0, 1, 4096, PIECE_BYTES, 2 * PIECE_BYTES + 4097] {
                let path = folder.path().join("file");
                let expected: Vec<u8> = (0..251).cycle().take(len).collect();
                std::fs::write(&path, &expected).unwrap();

                let mut read = Vec::new();
                DirectReader::new(File::open(&path).unwrap())
                    .read_to_end(&mut read)
                    .unwrap();

                assert!(read == expected, "{len} bytes in {base}");
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
