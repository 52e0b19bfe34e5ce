//! Filling a volume from the vault.

use std::{
    sync::{Mutex, PoisonError},
    thread,
};

use snapshot_vault::{ReadBuffers, StoredCopy, Verifier};

use crate::{
    capture::first_failure,
    error::MoveError,
    sparse::{Runs, SparseFile},
    watch::Watch,
};

/// Writes a whole copy into a new image with `threads` workers, checks every chunk and the digest of the whole, and waits
/// until it is on disk.
///
/// # Errors
///
/// [`MoveError`]; the image is of no use then.
pub(crate) fn fill(image: &SparseFile, copy: &StoredCopy, threads: usize, watch: &Watch) -> Result<(), MoveError> {
    let verifier = copy.verifier();
    let mut zeros = copy.size_bytes();
    for page in copy.data_pages() {
        let span = copy.page_span(page);
        zeros -= span.end - span.start;
    }
    watch.advance(zeros);
    let pages = Mutex::new(copy.data_pages());
    let restore = Restore {
        image,
        copy,
        verifier: &verifier,
        watch,
    };
    thread::scope(|scope| {
        let work = || restore.work(|| pages.lock().unwrap_or_else(PoisonError::into_inner).next());
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        let ends: Vec<_> = workers
            .into_iter()
            .map(|worker| worker.join().unwrap_or(Err(MoveError::Panicked)))
            .collect();
        first_failure(ends)
    })?;
    verifier.finish()?;
    image.sync().map_err(MoveError::Target)
}

struct Restore<'a> {
    image: &'a SparseFile,
    copy: &'a StoredCopy,
    verifier: &'a Verifier,
    watch: &'a Watch,
}

impl Restore<'_> {
    fn work(&self, next_page: impl Fn() -> Option<u64>) -> Result<(), MoveError> {
        let mut buffers = ReadBuffers::default();
        let mut runs = Runs::new();
        while let Some(page) = next_page() {
            self.watch.check()?;
            let mut sink = |offset: u64, bytes: &[u8]| runs.write(self.image, offset, bytes);
            let read = self.copy.read_page(page, &mut buffers, &mut sink)?;
            self.verifier.page_read(&read);
            let span = self.copy.page_span(page);
            self.watch.advance(span.end - span.start);
        }
        runs.flush(self.image).map_err(MoveError::Target)
    }
}
