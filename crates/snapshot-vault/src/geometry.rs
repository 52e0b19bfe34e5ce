//! How a content is cut into chunks and pages.

use crate::PAGE_CHUNKS;
use crate::id::ChunkSize;
use std::ops::Range;

/// How many entries an index page has at most.
pub(crate) const PAGE_ENTRIES: usize = 256;

/// A content's size and chunk size, and what follows from them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Geometry {
    pub(crate) size_bytes: u64,
    pub(crate) chunk_size: ChunkSize,
}

impl Geometry {
    pub(crate) const fn chunk_count(self) -> u64 {
        self.size_bytes.div_ceil(self.chunk_size.as_u64())
    }

    pub(crate) const fn page_bytes(self) -> u64 {
        self.chunk_size.as_u64() * PAGE_CHUNKS
    }

    pub(crate) const fn page_count(self) -> u64 {
        self.size_bytes.div_ceil(self.page_bytes())
    }

    /// The bytes of the content that a page covers; empty past the end.
    pub(crate) fn page_span(self, page: u64) -> Range<u64> {
        let start = page.saturating_mul(self.page_bytes()).min(self.size_bytes);
        start..start.saturating_add(self.page_bytes()).min(self.size_bytes)
    }

    /// How many chunks a page covers.
    pub(crate) fn chunks_in_page(self, page: u64) -> usize {
        let span = self.page_span(page);
        usize::try_from((span.end - span.start).div_ceil(self.chunk_size.as_u64()))
            .expect("a page has at most 256 chunks")
    }

    /// The bytes of the content that a chunk covers; empty past the end.
    pub(crate) fn chunk_span(self, chunk: u64) -> Range<u64> {
        let start = chunk.saturating_mul(self.chunk_size.as_u64()).min(self.size_bytes);
        start..start.saturating_add(self.chunk_size.as_u64()).min(self.size_bytes)
    }

    /// The number of the chunk within its page that covers the byte of the content at `offset`.
    pub(crate) fn entry_of(self, offset: u64) -> usize {
        usize::try_from(offset / self.chunk_size.as_u64() % PAGE_CHUNKS).expect("a page has 256 entries")
    }

    /// The length of the last chunk when it is shorter than the others, and its number.
    pub(crate) fn tail(self) -> Option<(u64, usize)> {
        let rest = self.size_bytes % self.chunk_size.as_u64();
        let rest = usize::try_from(rest).expect("a chunk is at most 4 MiB");
        (rest > 0).then(|| (self.chunk_count() - 1, rest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(size_bytes: u64, chunks: u64, pages: u64, last_page_chunks: usize) {
        let geometry = Geometry {
            size_bytes,
            chunk_size: ChunkSize::new(64 << 10).unwrap(),
        };

        assert_eq!(geometry.chunk_count(), chunks);
        assert_eq!(geometry.page_count(), pages);
        assert_eq!(geometry.chunks_in_page(pages.saturating_sub(1)), last_page_chunks);
        assert_eq!(
            (0..pages)
                .map(|page| geometry.page_span(page))
                .map(|s| s.end - s.start)
                .sum::<u64>(),
            size_bytes
        );
        assert!(geometry.page_span(pages).is_empty());
        assert!(geometry.chunk_span(chunks).is_empty());
    }

    #[test]
    fn pages_and_chunks_cover_the_content_exactly() {
        let page = 16 << 20;
        check(0, 0, 0, 0);
        check(1, 1, 1, 1);
        check(65_536, 1, 1, 1);
        check(65_537, 2, 1, 2);
        check(page, 256, 1, 256);
        check(page + 1, 257, 2, 1);
        check(10 * page - 1, 2560, 10, 256);
    }

    #[test]
    fn nothing_overflows_past_the_end() {
        let geometry = Geometry {
            size_bytes: u64::MAX,
            chunk_size: ChunkSize::default(),
        };

        assert!(geometry.page_span(u64::MAX).is_empty());
        assert!(geometry.chunk_span(u64::MAX).is_empty());
    }
}
