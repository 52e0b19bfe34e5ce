//! Memory that direct I/O takes.

/// The alignment of buffers, offsets and lengths that direct I/O asks for at most, in bytes: a page. Some file systems
/// take 512 already.
pub(crate) const ALIGNMENT: usize = 4096;

/// A buffer whose first byte lies at a multiple of [`ALIGNMENT`].
pub(crate) struct AlignedBuffer {
    storage: Vec<u8>,
    start: usize,
    len: usize,
}

impl AlignedBuffer {
    /// A buffer of `len` zero bytes.
    pub(crate) fn new(len: usize) -> Self {
        let storage = vec![0; len + ALIGNMENT];
        let address = storage.as_ptr().addr();
        let start = address.next_multiple_of(ALIGNMENT) - address;
        Self { storage, start, len }
    }

    /// The first `len` bytes.
    pub(crate) fn first(&self, len: usize) -> &[u8] {
        assert!(len <= self.len, "the buffer has {} bytes", self.len);
        &self.storage[self.start..self.start + len]
    }

    /// The whole buffer.
    pub(crate) fn as_mut(&mut self) -> &mut [u8] {
        &mut self.storage[self.start..self.start + self.len]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_byte_is_aligned_and_all_bytes_are_usable() {
        for len in [1, 4096, 100_000] {
            let mut buffer = AlignedBuffer::new(len);
            buffer.as_mut().fill(7);

            assert_eq!(buffer.first(len).as_ptr().addr() % ALIGNMENT, 0);
            assert_eq!(buffer.first(len), vec![7; len]);
        }
    }
}
