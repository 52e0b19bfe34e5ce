//! Which pages of a content hold data, and their hashes: the main part of a manifest.

use super::Flaw;
use super::fields::Fields;
use crate::hash::ChunkHash;
use std::collections::BTreeMap;

/// The pages of a content. Memory is in proportion to the pages that hold data and the number of gaps between them, so
/// a sparse content of terabytes costs nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct PageMap {
    runs: Vec<Run>,
    hashes: Vec<ChunkHash>,
    page_count: u64,
}

/// Consecutive pages that hold data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Run {
    first_page: u64,
    pages: u64,
    /// Where in `hashes` those of this run begin.
    first_hash: usize,
}

/// The longest map of a content of `page_count` pages, in bytes: it has data everywhere. A page that is all zero may begin
/// a run, which takes less than a hash.
pub(crate) const fn max_bytes(page_count: u64) -> u64 {
    (NUMBER_BYTES + RUN_BYTES) as u64 + page_count * size_of::<ChunkHash>() as u64
}

const NUMBER_BYTES: usize = size_of::<u64>();
const RUN_BYTES: usize = 2 * size_of::<u64>();

impl PageMap {
    /// A content of `page_count` pages, of which all but `pages` are zero.
    pub(crate) fn new(pages: &BTreeMap<u64, ChunkHash>, page_count: u64) -> Self {
        let mut map = Self {
            runs: Vec::new(),
            hashes: Vec::with_capacity(pages.len()),
            page_count,
        };
        for (page, hash) in pages {
            match map.runs.last_mut() {
                Some(run) if run.first_page + run.pages == *page => run.pages += 1,
                _ => map.runs.push(Run {
                    first_page: *page,
                    pages: 1,
                    first_hash: map.hashes.len(),
                }),
            }
            map.hashes.push(*hash);
        }
        map
    }

    /// The hash of a page, `None` when it is all zero.
    pub(crate) fn get(&self, page: u64) -> Option<ChunkHash> {
        let run = self.runs[..self.runs.partition_point(|run| run.first_page <= page)].last()?;
        let within = page - run.first_page;
        let index = usize::try_from(within).ok().filter(|_| within < run.pages)?;
        self.hashes.get(run.first_hash + index).copied()
    }

    /// The pages that hold data, in order.
    pub(crate) fn data_pages(&self) -> impl Iterator<Item = u64> + '_ {
        self.runs
            .iter()
            .flat_map(|run| run.first_page..run.first_page + run.pages)
    }

    pub(crate) fn data_page_count(&self) -> u64 {
        self.hashes.len() as u64
    }

    /// The number of runs, each as its zero pages and the data pages that follow them, then all hashes. Only the first
    /// run may have no zero pages, only the last no data pages.
    pub(crate) fn encode(&self, bytes: &mut Vec<u8>) {
        let mut end = 0;
        let mut runs = Vec::with_capacity(self.runs.len() + 1);
        for run in &self.runs {
            runs.push((run.first_page - end, run.pages));
            end = run.first_page + run.pages;
        }
        if end < self.page_count {
            runs.push((self.page_count - end, 0));
        }
        bytes.extend_from_slice(&(runs.len() as u64).to_le_bytes());
        for (zero_pages, data_pages) in runs {
            bytes.extend_from_slice(&zero_pages.to_le_bytes());
            bytes.extend_from_slice(&data_pages.to_le_bytes());
        }
        for hash in &self.hashes {
            bytes.extend_from_slice(&hash.0);
        }
    }

    /// Reads the map of a content of `page_count` pages.
    pub(crate) fn decode(fields: &mut Fields<'_>, page_count: u64) -> Result<Self, Flaw> {
        const NONSENSE: Flaw = Flaw::Bytes("its runs of pages are nonsense");
        let runs = usize::try_from(fields.u64()?).map_err(|_| NONSENSE)?;
        let mut runs = Fields::new(fields.bytes(runs.checked_mul(RUN_BYTES).ok_or(NONSENSE)?)?);
        let mut map = Self {
            runs: Vec::new(),
            hashes: Vec::new(),
            page_count,
        };
        let (mut page, mut hashes) = (0_u64, 0_usize);
        while page < page_count {
            let (zero_pages, data_pages) = (runs.u64()?, runs.u64()?);
            if zero_pages == 0 && page > 0 {
                return Err(NONSENSE);
            }
            let first_page = page.checked_add(zero_pages).ok_or(NONSENSE)?;
            page = first_page
                .checked_add(data_pages)
                .filter(|end| *end <= page_count)
                .ok_or(NONSENSE)?;
            if data_pages > 0 {
                map.runs.push(Run {
                    first_page,
                    pages: data_pages,
                    first_hash: hashes,
                });
                let data_pages = usize::try_from(data_pages).map_err(|_| NONSENSE)?;
                hashes = hashes.checked_add(data_pages).ok_or(NONSENSE)?;
            } else if page < page_count {
                return Err(NONSENSE);
            }
        }
        runs.end().map_err(|_| NONSENSE)?;
        let bytes = fields.bytes(hashes.checked_mul(32).ok_or(NONSENSE)?)?;
        map.hashes = bytes.as_chunks().0.iter().map(|hash| ChunkHash(*hash)).collect();
        Ok(map)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn decode(bytes: &[u8], page_count: u64) -> Result<PageMap, Flaw> {
        let mut fields = Fields::new(bytes);
        let map = PageMap::decode(&mut fields, page_count)?;
        fields.end()?;
        Ok(map)
    }

    proptest! {
        #[test]
        fn a_map_reads_as_it_was_written(
            pages in proptest::collection::btree_map(0_u64..60, any::<[u8; 32]>().prop_map(ChunkHash), 0..50),
        ) {
            let map = PageMap::new(&pages, 60);
            let mut bytes = Vec::new();
            map.encode(&mut bytes);

            let read = decode(&bytes, 60).unwrap();

            prop_assert_eq!(&read, &map);
            prop_assert!(bytes.len() as u64 <= max_bytes(60));
            for page in 0..61 {
                prop_assert_eq!(read.get(page), pages.get(&page).copied());
            }
            prop_assert!(read.data_pages().eq(pages.keys().copied()));
        }

        #[test]
        fn no_numbers_make_the_decoder_panic_or_accept_two_forms(numbers in proptest::collection::vec(0_u64..4, 0..12)) {
            let bytes: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
            if let Ok(map) = decode(&bytes, 5) {
                let mut again = Vec::new();
                map.encode(&mut again);
                prop_assert_eq!(again, bytes);
            }
        }

        #[test]
        fn huge_numbers_are_refused(numbers in proptest::collection::vec(u64::MAX - 2..=u64::MAX, 1..12), runs in 0_u64..4) {
            let mut bytes = runs.to_le_bytes().to_vec();
            bytes.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));

            prop_assert!(decode(&bytes, u64::MAX - 5).is_err());
        }
    }

    #[test]
    fn a_sparse_content_of_a_million_pages_takes_a_few_bytes() {
        let map = PageMap::new(&BTreeMap::from([(500_000, ChunkHash([1; 32]))]), 1_000_000);
        let mut bytes = Vec::new();
        map.encode(&mut bytes);

        assert_eq!(bytes.len(), 8 + 2 * 16 + 32);
    }
}
