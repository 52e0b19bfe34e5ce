//! The digest as a tree, to which pages may be added in any order.

use super::Digest;
use super::zeros::{all_hashes, zero_hash};
use crate::PAGE_CHUNKS;
use crate::format::page::Page;
use crate::geometry::{Geometry, PAGE_ENTRIES};
use crate::hash::ChunkHash;
use crate::id::ChunkSize;
use blake3::hazmat::{ChainingValue, HasherExt, Mode, merge_subtrees_non_root, merge_subtrees_root};
use std::cell::LazyCell;
use std::collections::HashMap;

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
    /// A page of a content, with the hashes of its chunks that are not zero.
    pub(crate) fn of_entries(geometry: Geometry, page: u64, entries: &Page) -> Self {
        Self::of(page, &all_hashes(geometry, page, entries))
    }

    /// A page whose chunks, zero ones included, have these hashes.
    pub(super) fn of(page: u64, hashes: &[ChunkHash]) -> Self {
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

    /// The digest of a content of which the size is known only now.
    pub(super) fn finish_at(mut self, size_bytes: u64) -> Digest {
        self.geometry.size_bytes = size_bytes;
        self.finish()
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
        let chunk_size = self.geometry.chunk_size;
        let zero_hashes = LazyCell::new(|| vec![zero_hash(chunk_size); PAGE_ENTRIES << MAX_ZERO_LEVEL]);
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
fn zero_page(geometry: Geometry, page: u64) -> Vec<ChunkHash> {
    all_hashes(geometry, page, &vec![None; geometry.chunks_in_page(page)])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

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
            let zero = zero_hash(chunk_size());
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

    #[test]
    fn zeros_of_a_short_last_chunk_in_a_full_page_are_hashed_at_their_true_length() {
        let size_bytes = 511 * 65_536 + 1;
        let mut hashes = vec![zero_hash(chunk_size()); 511];
        hashes.push(ChunkHash::of(&[0]));

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
}
