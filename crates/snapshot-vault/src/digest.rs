//! The digest of a whole content.

use crate::PAGE_CHUNKS;
use crate::geometry::{Geometry, PAGE_ENTRIES};
use crate::hash::ChunkHash;
use crate::hex::{Hex, parse_32};
use crate::id::ChunkSize;
use blake3::hazmat::{ChainingValue, HasherExt, Mode, merge_subtrees_non_root, merge_subtrees_root};
use std::collections::HashMap;
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
    let zero_hash = zero_hash(chunk_size.as_usize());
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
            digester.geometry.size_bytes = size_bytes;
            return Ok((digester.finish(), size_bytes));
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

/// Whether all bytes are zero, at the speed of memory; data is usually told from its first bytes.
pub(crate) fn is_zero(bytes: &[u8]) -> bool {
    // A whole block without a branch, so that the compiler uses wide registers.
    bytes
        .chunks(4096)
        .all(|block| block.iter().fold(0, |bits, byte| bits | byte) == 0)
}

/// The hash of a chunk of `len` zeros.
pub(crate) fn zero_hash(len: usize) -> ChunkHash {
    ChunkHash::of(&vec![0; len])
}

/// What a page adds to the digest of the whole content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageRead {
    page: u64,
    part: Part,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    /// Nothing: where nothing is added, the digest has zeros.
    Zero,
    /// Of a full page: the chaining value of its hashes.
    Full(ChainingValue),
    /// Of the last page, when it is not full: its hashes.
    Rest(Vec<ChunkHash>),
}

impl PageRead {
    /// A page whose chunks, zero ones included, have these hashes.
    pub(crate) fn of(page: u64, hashes: &[ChunkHash]) -> Self {
        let part = if hashes.len() == PAGE_ENTRIES {
            Part::Full(subtree(page, hashes))
        } else {
            Part::Rest(hashes.to_vec())
        };
        Self { page, part }
    }

    /// A page that is all zero.
    pub(crate) const fn zero(page: u64) -> Self {
        Self { page, part: Part::Zero }
    }
}

/// The chaining value of the hashes of whole pages, of which `page` is the first.
fn subtree(page: u64, hashes: &[ChunkHash]) -> ChainingValue {
    // Copied together first: BLAKE3 is several times faster on long pieces than on 32 bytes at a time.
    let bytes: Vec<u8> = hashes.iter().flat_map(|hash| hash.0).collect();
    blake3::Hasher::new()
        .set_input_offset(page * LEAF_BYTES)
        .update(&bytes)
        .finalize_non_root()
}

/// Computes the digest of a content from its pages, which may come in any order.
///
/// The input of the digest is a list of hashes, and those of a full page are 8 KiB at a multiple of 8 KiB: a subtree of
/// BLAKE3's tree. So a page needs nothing but its number to be hashed, neighbours are merged as soon as both are there,
/// and the memory that is needed depends on how far out of order the pages come, not on how many there are.
#[derive(Debug)]
pub struct Digester {
    geometry: Geometry,
    /// Chaining values by level (2^level pages) and number on that level. No node lies below another.
    nodes: HashMap<(u32, u64), ChainingValue>,
    rest: Option<Vec<ChunkHash>>,
}

/// The length of a full page's hashes.
const LEAF_BYTES: u64 = PAGE_CHUNKS * 32;
/// Zero pages are hashed up to 16 at once, so that BLAKE3 can use all its lanes.
const MAX_ZERO_LEVEL: u32 = 4;

impl Digester {
    /// Starts the digest of a content of `size_bytes`.
    pub fn new(size_bytes: u64, chunk_size: ChunkSize) -> Self {
        Self {
            geometry: Geometry { size_bytes, chunk_size },
            nodes: HashMap::new(),
            rest: None,
        }
    }

    /// Adds a page. Adding it again changes nothing.
    pub fn add(&mut self, page: &PageRead) {
        match &page.part {
            Part::Rest(hashes) => self.rest = Some(hashes.clone()),
            Part::Full(value) if !self.covers(page.page) => self.insert(0, page.page, *value),
            Part::Full(_) | Part::Zero => {}
        }
    }

    /// The digest, with zeros where no page was added.
    pub fn finish(mut self) -> Digest {
        self.fill_gaps_with_zeros();
        let tail = self.tail_bytes();
        let full_pages = self.geometry.chunk_count() / PAGE_CHUNKS;
        let bytes = if full_pages == 0 {
            *blake3::hash(&tail).as_bytes()
        } else {
            let mut hasher = blake3::Hasher::new();
            hasher.set_input_offset(full_pages * LEAF_BYTES);
            let right = hasher.update(&tail).finalize_non_root();
            self.root(full_pages, right)
        };
        Digest {
            chunk_size: self.geometry.chunk_size,
            bytes,
        }
    }

    fn covers(&self, page: u64) -> bool {
        (0..u64::BITS).any(|level| self.nodes.contains_key(&(level, page >> level)))
    }

    fn insert(&mut self, mut level: u32, mut index: u64, mut value: ChainingValue) {
        while let Some(sibling) = self.nodes.remove(&(level, index ^ 1)) {
            let (left, right) = if index & 1 == 0 {
                (value, sibling)
            } else {
                (sibling, value)
            };
            value = merge_subtrees_non_root(&left, &right, Mode::Hash);
            level += 1;
            index >>= 1;
        }
        self.nodes.insert((level, index), value);
    }

    fn fill_gaps_with_zeros(&mut self) {
        let full_pages = self.geometry.chunk_count() / PAGE_CHUNKS;
        if self.geometry.tail().is_some() && full_pages == self.geometry.page_count() {
            // The last page has all its chunks, but the last of them is short, and so are its zeros.
            self.add(&PageRead::of(full_pages - 1, &zero_page(self.geometry, full_pages - 1)));
        }
        let mut present: Vec<(u64, u64)> = self
            .nodes
            .keys()
            .map(|(level, index)| (index << level, (index + 1) << level))
            .collect();
        present.push((full_pages, full_pages));
        present.sort_unstable();
        let zero_hashes = vec![zero_hash(self.geometry.chunk_size.as_usize()); PAGE_ENTRIES << MAX_ZERO_LEVEL];
        let mut page = 0;
        for (start, end) in present {
            while page < start {
                let level = page.trailing_zeros().min((start - page).ilog2()).min(MAX_ZERO_LEVEL);
                self.insert(
                    level,
                    page >> level,
                    subtree(page, &zero_hashes[..PAGE_ENTRIES << level]),
                );
                page += 1 << level;
            }
            page = end;
        }
    }

    /// What follows the full pages: the hashes of the last page if it is not full, and the size.
    fn tail_bytes(&mut self) -> Vec<u8> {
        let full_pages = self.geometry.chunk_count() / PAGE_CHUNKS;
        let hashes = self.rest.take().unwrap_or_else(|| zero_page(self.geometry, full_pages));
        let mut bytes: Vec<u8> = hashes.iter().flat_map(|hash| hash.0).collect();
        bytes.extend_from_slice(&self.geometry.size_bytes.to_le_bytes());
        bytes
    }

    /// The left side of BLAKE3's tree is always the largest possible power of two, so the full pages form one complete
    /// subtree for each bit of their number, and the tail is joined to the smallest of them first.
    fn root(&self, full_pages: u64, tail: ChainingValue) -> [u8; 32] {
        let mut right = tail;
        let mut left_pages = full_pages;
        loop {
            let level = left_pages.trailing_zeros();
            left_pages -= 1 << level;
            let left = self
                .nodes
                .get(&(level, left_pages >> level))
                .expect("gaps were filled, and siblings merged");
            if left_pages == 0 {
                return *merge_subtrees_root(left, &right, Mode::Hash).as_bytes();
            }
            right = merge_subtrees_non_root(left, &right, Mode::Hash);
        }
    }
}

/// The hashes of a page that is all zero.
pub(crate) fn zero_page(geometry: Geometry, page: u64) -> Vec<ChunkHash> {
    let chunks = geometry.chunks_in_page(page);
    let mut hashes = vec![zero_hash(geometry.chunk_size.as_usize()); chunks];
    if let (Some((tail_chunk, len)), Some(last)) = (geometry.tail(), hashes.last_mut())
        && page * PAGE_CHUNKS + chunks as u64 - 1 == tail_chunk
    {
        *last = zero_hash(len);
    }
    hashes
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

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

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn pages_in_any_order_give_the_digest_by_definition(
            chunks in 0_u64..9000, tail in 0_u64..65_536, seed: u64, order in any::<prop::sample::Index>(), keep in 1_u64..5,
        ) {
            let size_bytes = chunks * 65_536 + tail;
            let geometry = Geometry { size_bytes, chunk_size: chunk_size() };
            let zero = zero_hash(CHUNK);
            let mut pages: Vec<(u64, Vec<ChunkHash>)> = (0..geometry.page_count()).map(|page| {
                let is_zero = (page ^ seed) % keep != 0;
                let hashes = if is_zero { zero_page(geometry, page) } else {
                    (0..geometry.chunks_in_page(page) as u64).map(|i| {
                        if i % 3 == 0 && page * PAGE_CHUNKS + i != chunks { zero } else { ChunkHash::of(&(page, i, seed).0.to_le_bytes()) }
                    }).collect()
                };
                (page, hashes)
            }).collect();
            let all: Vec<ChunkHash> = pages.iter().flat_map(|(_, hashes)| hashes.clone()).collect();
            pages.retain(|(page, _)| (page ^ seed) % keep == 0);
            if !pages.is_empty() {
                let middle = order.index(pages.len());
                pages.rotate_left(middle);
                if seed % 2 == 0 { pages.reverse(); }
            }

            let mut digester = Digester::new(size_bytes, chunk_size());
            for (page, hashes) in &pages {
                digester.add(&PageRead::of(*page, hashes));
                digester.add(&PageRead::of(*page, hashes));
            }

            prop_assert_eq!(digester.finish().bytes, by_definition(&all, size_bytes));
        }
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
    fn zeros_of_a_short_last_chunk_in_a_full_page_are_hashed_at_their_true_length() {
        let size_bytes = 511 * 65_536 + 1;
        let mut hashes = vec![zero_hash(CHUNK); 511];
        hashes.push(zero_hash(1));

        assert_eq!(
            Digester::new(size_bytes, chunk_size()).finish().bytes,
            by_definition(&hashes, size_bytes)
        );
    }

    #[test]
    fn pages_in_order_need_no_more_memory_the_more_there_are() {
        let mut digester = Digester::new(10_000 * 256 * 65_536, chunk_size());
        let page = vec![ChunkHash([1; 32]); PAGE_ENTRIES];

        for number in 0..10_000 {
            digester.add(&PageRead::of(number, &page));
            assert!(digester.nodes.len() <= 14);
        }
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
