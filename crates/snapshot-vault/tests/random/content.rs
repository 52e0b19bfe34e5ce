//! Contents of copies, of which most is zero: told by a number a chunk, stored, and read back.

use snapshot_vault::{CopySession, ReadBuffers, StoredCopy, VaultError};
use std::collections::{BTreeMap, BTreeSet};

pub(crate) const CHUNK: usize = 64 << 10;
pub(crate) const PAGE_CHUNKS: u64 = 256;

/// The chunks of a content that are not zero, by number; a chunk is told by a number that it holds.
pub(crate) type Content = BTreeMap<u64, u64>;

pub(crate) fn fill(session: &CopySession, content: &Content) -> Result<(), VaultError> {
    let mut worker = session.worker()?;
    let mut bytes = vec![0; CHUNK];
    let pages: BTreeSet<u64> = content.keys().map(|chunk| chunk / PAGE_CHUNKS).collect();
    for page in pages {
        worker.begin_page(page)?;
        let mut position = page * PAGE_CHUNKS;
        for (chunk, seed) in content.range(position..position + PAGE_CHUNKS) {
            worker.push_zeros((chunk - position) * CHUNK as u64)?;
            bytes[..8].copy_from_slice(&(seed + 1).to_le_bytes());
            worker.push(&bytes)?;
            position = chunk + 1;
        }
        worker.push_zeros(((page + 1) * PAGE_CHUNKS - position) * CHUNK as u64)?;
        worker.finish_page()?;
    }
    worker.finish()
}

pub(crate) fn read(copy: &StoredCopy) -> Result<Content, VaultError> {
    let mut content = Content::new();
    let mut buffers = ReadBuffers::default();
    let verifier = copy.verifier();
    for page in copy.data_pages() {
        let read = copy.read_page(page, &mut buffers, &mut |offset, plain| {
            assert!(plain.len() == CHUNK && plain[8..].iter().all(|byte| *byte == 0));
            let seed = u64::from_le_bytes(*plain.first_chunk().unwrap()) - 1;
            content.insert(offset / CHUNK as u64, seed);
            Ok(())
        })?;
        verifier.page_read(&read);
    }
    verifier.finish()?;
    Ok(content)
}
