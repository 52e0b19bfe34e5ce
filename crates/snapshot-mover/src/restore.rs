//! Filling a volume from the vault.

use std::{
    ops::Range,
    sync::{Mutex, PoisonError},
    thread,
};

use snapshot_domain::{LossCollector, Losses, RestoreMode};
use snapshot_vault::{Lost, ReadBuffers, StoredCopy, VaultError, Verifier};

use crate::{
    capture::first_failure,
    error::MoveError,
    sparse::{Runs, SparseFile},
    watch::Watch,
};

/// Writes a whole copy into a new image with `threads` workers, checks every chunk and the digest of the whole, and waits
/// until it is on disk. A salvage leaves zeros where bytes are lost, and returns which.
///
/// # Errors
///
/// [`MoveError`]; the image is of no use then.
pub(crate) fn fill(
    image: &SparseFile,
    copy: &StoredCopy,
    mode: RestoreMode,
    threads: usize,
    watch: &Watch,
) -> Result<Losses, MoveError> {
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
        mode,
        lost: Mutex::default(),
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
    let losses = restore
        .lost
        .into_inner()
        .unwrap_or_else(PoisonError::into_inner)
        .finish();
    // Without an index page there is no digest; with all of them it tells that the content is this snapshot's.
    match verifier.finish() {
        Err(VaultError::DigestMismatch) if losses.bytes() > 0 => {}
        finished => finished?,
    }
    image.sync().map_err(MoveError::Target)?;
    Ok(losses)
}

struct Restore<'a> {
    image: &'a SparseFile,
    copy: &'a StoredCopy,
    verifier: &'a Verifier,
    mode: RestoreMode,
    lost: Mutex<LossCollector>,
    watch: &'a Watch,
}

impl Restore<'_> {
    fn work(&self, next_page: impl Fn() -> Option<u64>) -> Result<(), MoveError> {
        let mut buffers = ReadBuffers::default();
        let mut runs = Runs::new();
        while let Some(page) = next_page() {
            self.watch.check()?;
            let mut sink = |offset: u64, bytes: &[u8]| runs.write(self.image, offset, bytes);
            let read = match self.mode {
                RestoreMode::Whole => Some(self.copy.read_page(page, &mut buffers, &mut sink)?),
                RestoreMode::Salvage => {
                    let mut lose = |lost: Lost| self.lose(lost.range);
                    self.copy.salvage_page(page, &mut buffers, &mut sink, &mut lose)?
                }
            };
            if let Some(read) = read {
                self.verifier.page_read(&read);
            }
            let span = self.copy.page_span(page);
            self.watch.advance(span.end - span.start);
        }
        runs.flush(self.image).map_err(MoveError::Target)
    }

    fn lose(&self, range: Range<u64>) {
        self.lost.lock().unwrap_or_else(PoisonError::into_inner).note(range);
    }
}
