//! The digest of a whole content.

mod tree;
mod zeros;

pub use tree::{Digester, PageRead};
pub(crate) use zeros::is_zero;

use crate::geometry::PAGE_ENTRIES;
use crate::hash::ChunkHash;
use crate::hex::{Hex, parse_32};
use crate::id::ChunkSize;
use std::fmt;
use std::io::{self, Read};
use std::str::FromStr;

/// What a whole content hashes to, whoever stored it and however:
/// BLAKE3(hash₀ ‖ … ‖ hashₙ₋₁ ‖ size), the plain BLAKE3 of every chunk in order (zero chunks included, the last one at its
/// true length), then the content's size as 64 bits little endian. It depends on the content and the chunk size alone.
///
/// Printed as `blake3-131072:` and 64 hexadecimal digits, the number being the chunk size.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Digest {
    chunk_size: ChunkSize,
    bytes: [u8; 32],
}

impl Digest {
    pub(crate) const fn new(chunk_size: ChunkSize, bytes: [u8; 32]) -> Self {
        Self { chunk_size, bytes }
    }

    /// The chunk size it was computed with.
    pub const fn chunk_size(&self) -> ChunkSize {
        self.chunk_size
    }

    /// The hash itself.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.bytes
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "blake3-{}:{}", self.chunk_size.bytes(), Hex(&self.bytes))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({self})")
    }
}

impl FromStr for Digest {
    type Err = InvalidDigest;

    fn from_str(raw: &str) -> Result<Self, InvalidDigest> {
        let parse = || {
            let (size, hash) = raw.strip_prefix("blake3-")?.split_once(':')?;
            let chunk_size = ChunkSize::new(size.parse().ok()?).ok()?;
            Some(Self {
                chunk_size,
                bytes: parse_32(hash)?,
            })
        };
        parse().ok_or_else(|| InvalidDigest(raw.to_owned()))
    }
}

/// Text that is no digest.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no digest: it would look like blake3-131072:6a5f… with 64 hexadecimal digits")]
pub struct InvalidDigest(pub String);

/// The digest and the size in bytes of everything that `reader` gives.
///
/// # Errors
///
/// Those of the reader.
pub fn digest_reader(mut reader: impl Read, chunk_size: ChunkSize) -> io::Result<(Digest, u64)> {
    let zero_hash = zeros::zero_hash(chunk_size);
    let mut digester = Digester::new(0, chunk_size);
    let mut chunk = vec![0; chunk_size.as_usize()];
    let mut page = Vec::with_capacity(PAGE_ENTRIES);
    let (mut pages, mut size_bytes) = (0, 0_u64);
    loop {
        let len = read_fully(&mut reader, &mut chunk)?;
        size_bytes += len as u64;
        if len > 0 {
            let full_and_zero = len == chunk.len() && is_zero(&chunk);
            page.push(if full_and_zero {
                zero_hash
            } else {
                ChunkHash::of(&chunk[..len])
            });
        }
        if page.len() == PAGE_ENTRIES || len < chunk.len() {
            digester.add(&PageRead::of(pages, &page));
            pages += 1;
            page.clear();
        }
        if len < chunk.len() {
            return Ok((digester.finish_at(size_bytes), size_bytes));
        }
    }
}

/// Fills `buffer` as far as the reader has bytes.
fn read_fully(reader: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match reader.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHUNK: usize = 64 << 10;

    fn chunk_size() -> ChunkSize {
        ChunkSize::new(64 << 10).unwrap()
    }

    /// The definition, word for word.
    fn by_definition(hashes: &[ChunkHash], size_bytes: u64) -> [u8; 32] {
        let mut input: Vec<u8> = hashes.iter().flat_map(|hash| hash.0).collect();
        input.extend_from_slice(&size_bytes.to_le_bytes());
        *blake3::hash(&input).as_bytes()
    }
    fn check_reader(content: &[u8]) {
        let hashes: Vec<ChunkHash> = content.chunks(CHUNK).map(ChunkHash::of).collect();

        let (digest, size_bytes) = digest_reader(content, chunk_size()).unwrap();

        assert_eq!(size_bytes, content.len() as u64);
        assert_eq!(
            digest.bytes,
            by_definition(&hashes, size_bytes),
            "{} bytes",
            content.len()
        );
    }

    #[test]
    fn a_file_has_the_digest_by_definition() {
        let mut content = vec![0; 300 * CHUNK + 5];
        for (len, data_at) in [
            (0, 0),
            (1, 0),
            (CHUNK, 3),
            (2 * CHUNK + 9, 2 * CHUNK + 1),
            (256 * CHUNK, 70_000),
        ] {
            content[data_at] = 1;
            check_reader(&content[..len]);
        }
        check_reader(&content);
        check_reader(&vec![0; 256 * CHUNK + 1]);
    }

    #[test]
    fn a_digest_is_printed_with_its_chunk_size_and_read_back() {
        let (digest, _) = digest_reader(&b"abc"[..], ChunkSize::default()).unwrap();
        let printed = digest.to_string();

        assert!(printed.starts_with("blake3-131072:"), "{printed}");
        assert_eq!(printed.parse(), Ok(digest));
        for wrong in [
            "",
            "blake3-131072",
            "blake3-131073:00",
            "sha256-131072:00",
            &printed[..70],
        ] {
            assert!(wrong.parse::<Digest>().is_err(), "{wrong}");
        }
    }
}
