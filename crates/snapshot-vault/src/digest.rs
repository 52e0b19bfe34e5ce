//! The digest of a whole content.

use crate::hex::{Hex, parse_32};
use crate::id::ChunkSize;
use crate::read::PageRead;
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
pub fn digest_reader(_reader: impl Read, _chunk_size: ChunkSize) -> io::Result<(Digest, u64)> {
    unimplemented!()
}

/// Computes the digest of a content from its pages, which may come in any order.
#[derive(Debug)]
pub struct Digester {}

impl Digester {
    /// Starts the digest of a content of `size_bytes`.
    pub fn new(_size_bytes: u64, _chunk_size: ChunkSize) -> Self {
        unimplemented!()
    }

    /// Adds a page that was read.
    pub fn add(&mut self, _page: &PageRead) {
        unimplemented!()
    }

    /// The digest, with zeros where no page was added.
    pub fn finish(self) -> Digest {
        unimplemented!()
    }
}
