//! Reading the chunks of a page in few large reads.

use super::{ReadBuffers, StoredCopy, opener};
use crate::PAGE_CHUNKS;
use crate::blob::BlobError;
use crate::codec::Expected;
use crate::error::VaultError;
use crate::format::page::Page;
use crate::format::record::OVERHEAD_BYTES;
use crate::format::{Flaw, names};
use crate::index::Location;
use std::io;
use std::ops::Range;

/// So much is read at once, at most; a single record may be a little longer.
const MAX_RUN_BYTES: u64 = 4 << 20;
/// So much that is not needed is read rather than skipped.
const MAX_GAP_BYTES: u64 = 128 << 10;
/// From here on a run counts as long. Shorter ones gain by what the system reads ahead, and by its caches.
const MIN_PIECE_BYTES: usize = 512 << 10;

/// A chunk to be read.
#[derive(Debug)]
struct Wanted {
    /// The bytes of the content that it covers.
    span: Range<u64>,
    expected: Expected,
    location: Location,
}

impl Wanted {
    fn stored(&self) -> Range<u64> {
        let start = u64::from(self.location.offset);
        start..start + u64::from(self.location.length)
    }
}

type Sink<'a> = dyn FnMut(u64, &[u8]) -> io::Result<()> + 'a;

impl StoredCopy {
    /// Gives those of a page's `chunks` that are not zero to `sink`, in order.
    pub(crate) fn read_chunks(
        &self,
        page: u64,
        entries: &Page,
        chunks: Range<usize>,
        buffers: &mut ReadBuffers,
        sink: &mut Sink<'_>,
    ) -> Result<(), VaultError> {
        let keys = &self.domain.core.keys;
        let with_data = chunks.filter_map(|chunk| Some((chunk, Expected::chunk(keys, entries[chunk]?))));
        let (chunks, expected): (Vec<usize>, Vec<Expected>) = with_data.unzip();
        let ids: Vec<_> = expected.iter().map(|expected| expected.id).collect();
        let locations = self.domain.vault.index.locate(&ids)?;

        let mut run: Vec<Wanted> = Vec::new();
        for ((chunk, expected), location) in chunks.into_iter().zip(expected).zip(locations) {
            let span = self
                .core
                .manifest
                .geometry
                .chunk_span(page * PAGE_CHUNKS + chunk as u64);
            let Some(location) = location else {
                self.domain.vault.met_lack();
                self.read_run(&run, buffers, sink)?;
                return Err(Flaw::Bytes("no pack holds this chunk").losing(span, &format!("chunk {}", expected.id)));
            };
            let wanted = Wanted {
                span,
                expected,
                location,
            };
            if !run.is_empty() && !extends(&run, &wanted) {
                self.read_run(&run, buffers, sink)?;
                run.clear();
            }
            run.push(wanted);
        }
        self.read_run(&run, buffers, sink)
    }

    /// Reads chunks that lie one after another in a pack.
    fn read_run(&self, run: &[Wanted], buffers: &mut ReadBuffers, sink: &mut Sink<'_>) -> Result<(), VaultError> {
        let (Some(first), Some(last)) = (run.first(), run.last()) else {
            return Ok(());
        };
        let chunk_bytes = self.core.manifest.geometry.chunk_size.as_usize();
        let object = names::pack(first.location.pack);
        if first.location.length as usize > chunk_bytes + OVERHEAD_BYTES {
            let flaw = Flaw::Bytes("the chunk is longer than one can be");
            return Err(self.damaged(first.expected.id, &first.location, flaw, first.span.clone()));
        }
        let start = first.stored().start;
        let len = usize::try_from(last.stored().end - start).expect("a run is a few mebibytes");
        let blobs = &self.domain.vault.blobs;
        let read = if len >= MIN_PIECE_BYTES {
            blobs.read_piece(&object, start, len, &mut buffers.run)
        } else {
            blobs.read(&object, start, buffers.run.room(len))
        };
        match read {
            Ok(()) => {}
            // One by one, to give out what can be read and to tell exactly where the loss begins.
            Err(error) if run.len() > 1 && is_of_one_chunk(&error) => {
                return run
                    .iter()
                    .try_for_each(|wanted| self.read_run(std::slice::from_ref(wanted), buffers, sink));
            }
            Err(error) => {
                let Some(location) = self.moved(&error, &first.expected.id, &first.location)? else {
                    return Err(self.not_given(first.expected.id, &first.location, error, first.span.clone()));
                };
                let moved = Wanted {
                    span: first.span.clone(),
                    location,
                    ..*first
                };
                return self.read_run(std::slice::from_ref(&moved), buffers, sink);
            }
        }
        for wanted in run {
            let stored = wanted.stored();
            let within = |position: u64| usize::try_from(position - start).expect("within the run");
            let record = &buffers.run.bytes()[within(stored.start)..within(stored.end)];
            let len = usize::try_from(wanted.span.end - wanted.span.start).expect("a chunk is at most 4 MiB");
            let plain = opener(&mut buffers.opener)?
                .open(&self.domain.core.keys, record, &wanted.expected, len)
                .and_then(|plain| match plain.len() {
                    n if n == len => Ok(plain),
                    _ => Err(Flaw::Bytes("a chunk is shorter than its place")),
                })
                .map_err(|flaw| self.damaged(wanted.expected.id, &wanted.location, flaw, wanted.span.clone()))?;
            sink(wanted.span.start, plain).map_err(VaultError::Sink)?;
        }
        Ok(())
    }
}

/// Whether others of a run may be read nevertheless.
fn is_of_one_chunk(error: &BlobError) -> bool {
    matches!(
        error,
        BlobError::NotFound { .. } | BlobError::Short { .. } | BlobError::Io { .. }
    )
}

/// Whether a chunk can be read together with those before it.
fn extends(run: &[Wanted], next: &Wanted) -> bool {
    let (Some(first), Some(last)) = (run.first(), run.last()) else {
        return false;
    };
    let (end, next_stored) = (last.stored().end, next.stored());
    next.location.pack == first.location.pack
        && next_stored.start >= end
        && next_stored.start - end <= MAX_GAP_BYTES
        && next_stored.end - first.stored().start <= MAX_RUN_BYTES
}
