//! Copying a volume into the vault.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    thread,
};

use snapshot_vault::{AlignedBuffer, ChunkSize, CopySession, PageWriter};

use crate::{error::MoveError, source::FrozenSource, watch::Watch};

/// Bytes read at once, unless a chunk is larger.
const READ_BYTES: u64 = 1 << 20;

/// Reads everything but the holes of a source into a copy, with `threads` workers. The copy is then ready to be committed.
///
/// # Errors
///
/// [`MoveError`]; the copy can't be committed then, but what is stored of it is found again by the next attempt.
pub(crate) fn copy_into(
    session: &CopySession,
    source: &dyn FrozenSource,
    chunk_size: ChunkSize,
    threads: usize,
    watch: &Watch,
) -> Result<(), MoveError> {
    let capture = Capture {
        session,
        source,
        chunk_bytes: u64::from(chunk_size.bytes()),
        next_page: AtomicU64::new(0),
        watch,
    };
    thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(|| capture.work())).collect();
        // Every worker is joined before the first failure is told: none may go on in the dark.
        let ends: Vec<_> = workers
            .into_iter()
            .map(|worker| worker.join().unwrap_or(Err(MoveError::Panicked)))
            .collect();
        first_failure(ends)
    })
}

/// What to tell of several workers' ends: that they were told to stop, only if nothing else went wrong.
pub(crate) fn first_failure(ends: Vec<Result<(), MoveError>>) -> Result<(), MoveError> {
    let mut stopped = Ok(());
    for end in ends {
        match end {
            Ok(()) => {}
            Err(MoveError::Stopped(stop)) => stopped = Err(MoveError::Stopped(stop)),
            Err(error) => return Err(error),
        }
    }
    stopped
}

struct Capture<'a> {
    session: &'a CopySession,
    source: &'a dyn FrozenSource,
    chunk_bytes: u64,
    next_page: AtomicU64,
    watch: &'a Watch,
}

impl Capture<'_> {
    /// Claims page after page, until there is none left or some worker fails.
    fn work(&self) -> Result<(), MoveError> {
        let outcome = self.claim_pages();
        if outcome.is_err() {
            // The copy is lost: the others need not go on.
            self.next_page.store(u64::MAX / 2, Ordering::Relaxed);
        }
        outcome
    }

    fn claim_pages(&self) -> Result<(), MoveError> {
        let mut writer = self.session.worker()?;
        let mut buffer = AlignedBuffer::new(usize_of(READ_BYTES.max(self.chunk_bytes)));
        loop {
            let page = self.next_page.fetch_add(1, Ordering::Relaxed);
            if page >= self.session.page_count() {
                break;
            }
            self.watch.check()?;
            let span = self.session.page_span(page);
            let data = self.source.next_data(span.start)?;
            match data {
                Some(data) if data.start < span.end => self.copy_page(page, &mut writer, &mut buffer)?,
                // Nothing but a hole: a page that nobody writes is zeros, and so are all up to the next data.
                Some(data) => {
                    self.watch.advance(span.end - span.start);
                    self.skip_to(page + 1, data.start / (span.end - span.start));
                }
                None => {
                    self.watch.advance(span.end - span.start);
                    self.skip_to(page + 1, self.session.page_count());
                }
            }
        }
        writer.finish()?;
        Ok(())
    }

    /// Claims every page from `from` to before `to` that nobody has claimed, without doing anything about it.
    fn skip_to(&self, from: u64, to: u64) {
        let claimed = self.next_page.fetch_max(to, Ordering::Relaxed).max(from);
        if claimed < to {
            let skipped = self.session.page_span(to - 1).end - self.session.page_span(claimed).start;
            self.watch.advance(skipped);
        }
    }

    fn copy_page(&self, page: u64, writer: &mut PageWriter<'_>, buffer: &mut AlignedBuffer) -> Result<(), MoveError> {
        let span = self.session.page_span(page);
        writer.begin_page(page)?;
        let mut offset = span.start;
        while offset < span.end {
            // Whole chunks from here to the next data are a hole; a chunk with any data is read whole.
            let data = self.source.next_data(offset)?.map_or(span.end..span.end, |data| {
                self.chunk_floor(data.start).clamp(offset, span.end)..self.chunk_ceil(data.end).min(span.end)
            });
            if offset < data.start {
                writer.push_zeros(data.start - offset)?;
                self.watch.advance(data.start - offset);
                offset = data.start;
            }
            while offset < data.end {
                self.watch.check()?;
                let len = READ_BYTES.max(self.chunk_bytes).min(data.end - offset);
                self.source.read(offset, usize_of(len), buffer)?;
                writer.push(buffer.first(usize_of(len)))?;
                self.watch.advance(len);
                offset += len;
            }
        }
        writer.finish_page()?;
        Ok(())
    }

    const fn chunk_floor(&self, offset: u64) -> u64 {
        offset / self.chunk_bytes * self.chunk_bytes
    }

    const fn chunk_ceil(&self, offset: u64) -> u64 {
        offset.div_ceil(self.chunk_bytes) * self.chunk_bytes
    }
}

fn usize_of(bytes: u64) -> usize {
    usize::try_from(bytes).expect("at most one chunk or one read at once: a few MiB")
}

#[cfg(test)]
mod tests {
    use std::{
        ops::Range,
        sync::{Arc, Mutex},
    };

    use rustix::process::getpriority_process;
    use snapshot_domain::testing::InMemoryStore;
    use snapshot_vault::{DomainId, LocalBlobs, ManifestId, MasterKey, RedbIndex, Vault, VaultOptions};

    use super::*;
    use crate::{
        VaultCatalog,
        priority::{STEPS, let_others_go_first},
        source::SourceError,
    };

    const SIZE: u64 = 1 << 20;

    /// Zeros, and how nice each thread was that read them.
    #[derive(Default)]
    struct Readers(Mutex<Vec<i32>>);

    impl FrozenSource for Readers {
        fn next_data(&self, offset: u64) -> Result<Option<Range<u64>>, SourceError> {
            Ok((offset < SIZE).then_some(offset..SIZE))
        }

        fn read(&self, _: u64, _: usize, _: &mut AlignedBuffer) -> Result<(), SourceError> {
            let niceness = getpriority_process(None).unwrap();
            self.0.lock().unwrap().push(niceness);
            Ok(())
        }

        fn thaw(self: Box<Self>) -> Result<(), SourceError> {
            Ok(())
        }
    }

    #[test]
    fn workers_are_as_nice_as_the_thread_that_runs_the_task() {
        const NICEST: i32 = 19;
        let folder = tempfile::tempdir().unwrap();
        let vault = Vault::open(
            Arc::new(LocalBlobs::open(&folder.path().join("vault")).unwrap()),
            &MasterKey::generate().unwrap(),
            Arc::new(RedbIndex::open(&folder.path().join("index")).unwrap()),
            Arc::new(VaultCatalog::new(Arc::new(InMemoryStore::default()))),
            VaultOptions::default(),
        )
        .unwrap();
        let domain = vault.domain(DomainId::random()).unwrap();
        let session = domain.begin_copy(ManifestId::random(), SIZE, None).unwrap();
        let readers = Readers::default();
        let before = getpriority_process(None).unwrap();

        thread::scope(|scope| {
            let task = scope.spawn(|| {
                let_others_go_first();
                copy_into(&session, &readers, vault.chunk_size(), 2, &Watch::default())
            });
            task.join().unwrap().unwrap();
        });

        assert_eq!(readers.0.into_inner().unwrap(), [(before + STEPS).min(NICEST)]);
    }
}
