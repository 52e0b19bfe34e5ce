//! Large buffers.

use memmap2::MmapMut;
use std::alloc::{Layout, handle_alloc_error};
use std::fmt;

/// The alignment of buffers, offsets and lengths that direct I/O asks for at most, in bytes. Some file systems take 512
/// already.
pub const ALIGNMENT: usize = 4096;

/// A large buffer whose first byte lies at a multiple of [`ALIGNMENT`], as direct I/O wants it. It comes straight from
/// the system, and goes back there when it is dropped: an allocator would keep what threads that are gone have freed, and
/// a process that makes copies for months would never be small again.
pub struct AlignedBuffer(MmapMut);

impl AlignedBuffer {
    /// A buffer of `len` zero bytes. As with every allocation, the process ends when there is no memory.
    ///
    /// # Panics
    ///
    /// When `len` is more than half of the address space.
    pub fn new(len: usize) -> Self {
        let layout = Layout::from_size_align(len, ALIGNMENT).expect("no buffer is as large as the address space");
        Self(MmapMut::map_anon(len).unwrap_or_else(|_| handle_alloc_error(layout)))
    }

    /// How many bytes it has.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether it has no bytes at all.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The first `len` bytes, of which it must have as many.
    pub fn first(&self, len: usize) -> &[u8] {
        &self.0[..len]
    }

    /// The whole buffer.
    pub fn as_mut_slice(&mut self) -> &mut [u8] {
        &mut self.0
    }
}

impl fmt::Debug for AlignedBuffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AlignedBuffer")
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_byte_is_aligned_and_all_bytes_are_usable() {
        for len in [0, 1, 4096, 100_000] {
            let mut buffer = AlignedBuffer::new(len);
            assert!(buffer.first(len).iter().all(|byte| *byte == 0));
            buffer.as_mut_slice().fill(7);

            assert_eq!(buffer.first(len).as_ptr().addr() % ALIGNMENT, 0);
            assert_eq!(buffer.first(len), vec![7; len]);
        }
    }
}
