//! Zeros, which are stored nowhere, but hashed.

use crate::format::page::Page;
use crate::geometry::Geometry;
use crate::hash::ChunkHash;
use crate::id::ChunkSize;
use std::sync::OnceLock;

/// Whether all bytes are zero, at the speed of memory; data is usually told from its first bytes.
pub(crate) fn is_zero(bytes: &[u8]) -> bool {
    // A whole block without a branch, so that the compiler uses wide registers.
    bytes
        .chunks(4096)
        .all(|block| block.iter().fold(0, |bits, byte| bits | byte) == 0)
}

/// The hash of a full chunk of zeros.
pub(crate) fn zero_hash(size: ChunkSize) -> ChunkHash {
    const SIZES: usize = (ChunkSize::MAX_BYTES / ChunkSize::MIN_BYTES).ilog2() as usize + 1;
    // Whoever opens a manifest may ask: hashing it anew would be most of what opening one costs.
    static KNOWN: [OnceLock<ChunkHash>; SIZES] = [const { OnceLock::new() }; SIZES];
    let place = (size.bytes() / ChunkSize::MIN_BYTES).ilog2() as usize;
    *KNOWN[place].get_or_init(|| hash_of_zeros(size.as_usize()))
}

fn hash_of_zeros(len: usize) -> ChunkHash {
    ChunkHash::of(&vec![0; len])
}

/// The hashes of a page's chunks, with those of zeros where it has none.
pub(super) fn all_hashes(geometry: Geometry, page: u64, entries: &Page) -> Vec<ChunkHash> {
    let zero_hash = zero_hash(geometry.chunk_size);
    let mut hashes: Vec<ChunkHash> = entries.iter().map(|entry| entry.unwrap_or(zero_hash)).collect();
    if let (Some((_, tail_len)), Some(None), Some(last)) = (geometry.tail(), entries.last(), hashes.last_mut())
        && page + 1 == geometry.page_count()
    {
        *last = hash_of_zeros(tail_len);
    }
    hashes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn full_chunks_of_zeros_have_the_hash_of_as_many_zeros() {
        let mut bytes = ChunkSize::MIN_BYTES;
        while bytes <= ChunkSize::MAX_BYTES {
            let size = ChunkSize::new(bytes).unwrap();
            for _ in 0..2 {
                assert_eq!(zero_hash(size), ChunkHash::of(&vec![0; size.as_usize()]), "{bytes}");
            }
            bytes *= 2;
        }
    }

    #[test]
    fn zeros_of_the_last_chunk_are_hashed_at_their_true_length() {
        let chunk_size = ChunkSize::MIN;
        let geometry = Geometry {
            size_bytes: 258 * chunk_size.as_u64() + 3,
            chunk_size,
        };
        let data = ChunkHash([7; 32]);
        let (full, tail) = (zero_hash(chunk_size), ChunkHash::of(&[0; 3]));

        assert_eq!(
            all_hashes(geometry, 1, &vec![None, Some(data), None]),
            [full, data, tail]
        );
        assert_eq!(
            all_hashes(geometry, 1, &vec![Some(data), None, Some(data)]),
            [data, full, data]
        );
        assert_eq!(all_hashes(geometry, 0, &vec![Some(data), None]), [data, full]);
        assert_eq!(all_hashes(geometry, 2, &vec![]), []);
    }
}
