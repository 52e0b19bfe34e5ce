//! An index page: the hashes of up to 256 consecutive chunks.

use super::Flaw;
use super::fields::Fields;
use crate::geometry::PAGE_ENTRIES;
use crate::hash::ChunkHash;

/// The longest plaintext of a page.
pub(crate) const MAX_PAGE_BYTES: usize = 4 + PAGE_ENTRIES / 8 + PAGE_ENTRIES * 32;

/// A page: for each chunk in order its hash, or `None` where all is zero.
pub(crate) type Page = Vec<Option<ChunkHash>>;

/// A count, a bitmap of the chunks that are zero, and the hashes of the others.
pub(crate) fn encode(page: &[Option<ChunkHash>]) -> Vec<u8> {
    debug_assert!(page.len() <= PAGE_ENTRIES);
    let count = u32::try_from(page.len()).expect("a page has at most 256 entries");
    let mut bytes = Vec::with_capacity(MAX_PAGE_BYTES);
    bytes.extend_from_slice(&count.to_le_bytes());
    for eight in page.chunks(8) {
        let zeros = eight.iter().enumerate().filter(|(_, hash)| hash.is_none());
        bytes.push(zeros.fold(0, |bits, (i, _)| bits | 1 << i));
    }
    for hash in page.iter().flatten() {
        bytes.extend_from_slice(&hash.0);
    }
    bytes
}

/// Reads a page that must have `entries` entries. Exactly one sequence of bytes is accepted for each page.
pub(crate) fn decode(bytes: &[u8], entries: usize) -> Result<Page, Flaw> {
    let mut fields = Fields::new(bytes);
    if fields.u32()? as usize != entries || entries > PAGE_ENTRIES {
        return Err(Flaw::Bytes("an index page covers another number of chunks"));
    }
    let zeros = fields.bytes(entries.div_ceil(8))?;
    if !entries.is_multiple_of(8) && zeros[entries / 8] >> (entries % 8) != 0 {
        return Err(Flaw::Bytes("reserved bits of an index page are not zero"));
    }
    let mut page = Vec::with_capacity(entries);
    for i in 0..entries {
        let is_zero = zeros[i / 8] >> (i % 8) & 1 == 1;
        page.push(if is_zero {
            None
        } else {
            Some(ChunkHash(fields.array()?))
        });
    }
    fields.end()?;
    Ok(page)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_page() -> impl Strategy<Value = Page> {
        proptest::collection::vec(
            proptest::option::of(any::<[u8; 32]>().prop_map(ChunkHash)),
            0..=PAGE_ENTRIES,
        )
    }

    proptest! {
        #[test]
        fn a_page_reads_as_it_was_written(page in any_page()) {
            let bytes = encode(&page);

            prop_assert!(bytes.len() <= MAX_PAGE_BYTES);
            prop_assert_eq!(decode(&bytes, page.len()), Ok(page));
        }

        #[test]
        fn only_one_sequence_of_bytes_stands_for_a_page(bytes in proptest::collection::vec(any::<u8>(), 0..120), n in 0_usize..30) {
            let mut bytes = bytes;
            if let Some(count) = bytes.first_chunk_mut::<4>() {
                *count = u32::try_from(n).unwrap().to_le_bytes();
            }
            if let Ok(page) = decode(&bytes, n) {
                prop_assert_eq!(encode(&page), bytes);
            }
        }
    }

    #[test]
    fn a_page_of_another_length_is_refused() {
        let bytes = encode(&[None, Some(ChunkHash([1; 32]))]);

        assert!(decode(&bytes, 2).is_ok());
        assert!(decode(&bytes, 3).is_err());
        assert!(decode(&bytes[..bytes.len() - 1], 2).is_err());
        assert!(decode(&[&bytes[..], &[0]].concat(), 2).is_err());
    }
}
