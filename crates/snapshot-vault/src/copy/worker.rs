//! One worker of a copy.

use super::CopySession;
use crate::blob::BlobError;
use crate::codec::Sealer;
use crate::digest::{PageRead, is_zero};
use crate::error::VaultError;
use crate::format::page::{self, Page};
use crate::format::record::Kind;
use crate::hash::{ChunkHash, ChunkId};
use crate::pack::{OpenPack, store};
use crate::read::ReadBuffers;
use std::collections::hash_map::Entry;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// One worker of a copy. It claims whole pages and pushes their content in order; pages may be done in any order by any
/// worker, each once. After an error it is of no use, and the copy can't be committed; so too when it is dropped before
/// it finished.
///
/// It does everything with a chunk by itself, from the cheapest question to the dearest work: is it zero, is it what
/// the parent has at this place, is it in some pack already; only then is it compressed, sealed, checked and appended
/// to the worker's own open pack.
#[derive(Debug)]
pub struct PageWriter<'a> {
    session: &'a CopySession,
    sealer: Sealer,
    pack: Option<OpenPack>,
    page: Option<OpenPage>,
    buffers: ReadBuffers,
    failed: bool,
}

#[derive(Debug)]
struct OpenPage {
    number: u64,
    entries: Page,
    /// How many entries it will have.
    chunks: usize,
    parent: ParentPage,
}

/// What the parent has in the place of a page.
#[derive(Debug)]
enum ParentPage {
    /// Nothing but zeros, or there is no parent.
    None,
    Known {
        hash: ChunkHash,
        entries: Arc<Page>,
    },
    /// A page that can't be read, or not now. If the new page is equal to it, it must be stored again, though the index
    /// believes that it is there.
    Damaged,
}

impl<'a> PageWriter<'a> {
    pub(super) fn new(session: &'a CopySession) -> Result<Self, VaultError> {
        let sealer = Sealer::new(session.domain.vault.recheck)?;
        session.unfinished.fetch_add(1, Ordering::AcqRel);
        Ok(Self {
            session,
            sealer,
            pack: None,
            page: None,
            buffers: ReadBuffers::default(),
            failed: false,
        })
    }

    /// Claims a page.
    ///
    /// # Errors
    ///
    /// [`VaultError::Misuse`] when a page is open, or there is no such page; failures to read the parent's page.
    pub fn begin_page(&mut self, page: u64) -> Result<(), VaultError> {
        self.guarded(|worker| {
            if worker.page.is_some() {
                return Err(VaultError::Misuse("a page is open already"));
            }
            let chunks = worker.session.geometry.chunks_in_page(page);
            if chunks == 0 {
                return Err(VaultError::Misuse("there is no such page"));
            }
            let parent = worker.parent_page(page)?;
            worker.page = Some(OpenPage {
                number: page,
                entries: Vec::with_capacity(chunks),
                chunks,
                parent,
            });
            Ok(())
        })
    }

    /// The next bytes of the page: whole chunks, or up to the end of the content. Chunks that are all zero are noticed.
    ///
    /// # Errors
    ///
    /// [`VaultError::Misuse`] when no page is open, the length is not right, or the page is full; failures of store,
    /// index and catalog.
    pub fn push(&mut self, plain: &[u8]) -> Result<(), VaultError> {
        self.guarded(|worker| {
            worker.check_push(plain.len() as u64)?;
            plain
                .chunks(worker.session.geometry.chunk_size.as_usize())
                .try_for_each(|chunk| worker.push_chunk(chunk))
        })
    }

    /// The next `bytes` bytes of the page are zeros: as many as [`push`](Self::push) would take.
    ///
    /// # Errors
    ///
    /// [`VaultError::Misuse`] as in [`push`](Self::push).
    pub fn push_zeros(&mut self, bytes: u64) -> Result<(), VaultError> {
        self.guarded(|worker| {
            let chunks = worker.check_push(bytes)?;
            if let Some(page) = &mut worker.page {
                page.entries.extend((0..chunks).map(|_| None));
            }
            Ok(())
        })
    }

    /// Ends the page.
    ///
    /// # Errors
    ///
    /// [`VaultError::Misuse`] unless its whole span was pushed, once; failures of store, index and catalog.
    pub fn finish_page(&mut self) -> Result<(), VaultError> {
        self.guarded(|worker| {
            let page = worker.page.take().ok_or(VaultError::Misuse("no page is open"))?;
            if page.entries.len() != page.chunks {
                return Err(VaultError::Misuse("a page was ended before its end"));
            }
            worker.store_page(&page)
        })
    }

    /// Ends the worker: its open pack becomes durable, recorded and indexed.
    ///
    /// # Errors
    ///
    /// [`VaultError::Misuse`] when a page is open, [`VaultError::Incomplete`] when the worker failed before; failures of
    /// store, index and catalog.
    pub fn finish(mut self) -> Result<(), VaultError> {
        self.guarded(|worker| {
            if worker.page.is_some() {
                return Err(VaultError::Misuse("a page is still open"));
            }
            worker.close_pack()
        })?;
        self.session.unfinished.fetch_sub(1, Ordering::AcqRel);
        Ok(())
    }

    /// Does a step, and remembers when it fails: a worker that failed never counts as finished.
    fn guarded(&mut self, step: impl FnOnce(&mut Self) -> Result<(), VaultError>) -> Result<(), VaultError> {
        if self.failed {
            return Err(VaultError::Incomplete);
        }
        let result = step(self);
        self.failed = result.is_err();
        result
    }

    fn parent_page(&mut self, page: u64) -> Result<ParentPage, VaultError> {
        let Some(parent) = &self.session.parent else {
            return Ok(ParentPage::None);
        };
        let Some(hash) = parent.page_hash(page) else {
            return Ok(ParentPage::None);
        };
        match parent.page_entries(page, hash, &mut self.buffers) {
            Ok(entries) => Ok(ParentPage::Known { hash, entries }),
            Err(VaultError::Damaged { object, reason, .. }) => {
                log::warn!("copying page {page} without its parent's: {object}: {reason}");
                Ok(ParentPage::Damaged)
            }
            // A parent only saves work. When it is the store as a whole that fails, what the copy has to store tells.
            Err(VaultError::Blob(error @ BlobError::Io { .. })) => {
                log::warn!("copying page {page} without its parent's: {error}");
                Ok(ParentPage::Damaged)
            }
            Err(error) => Err(error),
        }
    }

    /// How many chunks a push of so many bytes would add, if it is allowed.
    fn check_push(&self, bytes: u64) -> Result<u64, VaultError> {
        let page = self.page.as_ref().ok_or(VaultError::Misuse("no page is open"))?;
        let geometry = self.session.geometry;
        let span = geometry.page_span(page.number);
        let start = span.start + page.entries.len() as u64 * geometry.chunk_size.as_u64();
        let end = start.checked_add(bytes).filter(|end| *end <= span.end);
        let end = end.ok_or(VaultError::Misuse("more was pushed than the page covers"))?;
        if end == span.end || bytes.is_multiple_of(geometry.chunk_size.as_u64()) {
            Ok(bytes.div_ceil(geometry.chunk_size.as_u64()))
        } else {
            Err(VaultError::Misuse("a push ended within a chunk"))
        }
    }

    fn push_chunk(&mut self, plain: &[u8]) -> Result<(), VaultError> {
        let entry = if is_zero(plain) {
            None
        } else {
            Some(ChunkHash::of(plain))
        };
        if let Some(hash) = entry
            && !self.parent_has(&hash)
        {
            let id = self.session.domain.core.keys.chunk_id(&hash);
            self.store(Kind::Chunk, id, plain, false)?;
        }
        if let Some(page) = &mut self.page {
            page.entries.push(entry);
        }
        Ok(())
    }

    /// Whether the parent has the chunk at the same place, and what it has counts as stored.
    fn parent_has(&self, hash: &ChunkHash) -> bool {
        self.page.as_ref().is_some_and(|page| match &page.parent {
            ParentPage::Known { entries, .. } if self.session.trust.includes_parent() => {
                entries.get(page.entries.len()) == Some(&Some(*hash))
            }
            ParentPage::Known { .. } | ParentPage::None | ParentPage::Damaged => false,
        })
    }

    fn store_page(&mut self, open: &OpenPage) -> Result<(), VaultError> {
        if open.entries.iter().all(Option::is_none) {
            return self
                .session
                .page_finished(open.number, None, &PageRead::zero(open.number));
        }
        let bytes = page::encode(&open.entries);
        let hash = ChunkHash::of(&bytes);
        let (is_parents, again) = match &open.parent {
            ParentPage::Known { hash: parent, .. } => (self.session.trust.includes_parent() && *parent == hash, false),
            ParentPage::None => (false, false),
            ParentPage::Damaged => (false, true),
        };
        if !is_parents {
            let id = self.session.domain.core.keys.page_id(&hash);
            self.store(Kind::Page, id, &bytes, again)?;
        }
        let part = PageRead::of_entries(self.session.geometry, open.number, &open.entries);
        self.session.page_finished(open.number, Some(hash), &part)
    }

    /// Stores a chunk or a page unless some pack holds it already; with `again`, even then.
    fn store(&mut self, kind: Kind, id: ChunkId, plain: &[u8], again: bool) -> Result<(), VaultError> {
        // Claimed before the index is asked: of two workers with the same chunk, one asks and stores, the other relies
        // on it. What is claimed and not stored in the end was in the index, and nobody wanted it anew meanwhile.
        match self.session.in_flight().entry(id) {
            Entry::Occupied(mut claim) => {
                *claim.get_mut() |= again;
                return Ok(());
            }
            Entry::Vacant(free) => free.insert(again),
        };
        if !again
            && self.session.trust.finds(&self.session.domain.vault, &id)?
            && let Entry::Occupied(claim) = self.session.in_flight().entry(id)
            && !*claim.get()
        {
            claim.remove();
            return Ok(());
        }
        let record = self.sealer.seal(&self.session.domain.core.keys, kind, id, plain)?;
        let vault = &self.session.domain.vault;
        let limit = vault.pack_size_bytes;
        if let Some(pack) = self
            .pack
            .take_if(|pack| pack.is_full() || pack.size_with(record.len()) > limit)
        {
            close(self.session, pack)?;
        }
        let pack = match &mut self.pack {
            Some(pack) => pack,
            none => none.insert(OpenPack::begin(&*vault.blobs, self.session.domain.id())?),
        };
        pack.append(kind, id, plain.len(), record)
    }

    fn close_pack(&mut self) -> Result<(), VaultError> {
        self.pack.take().map_or(Ok(()), |pack| close(self.session, pack))
    }
}

fn close(session: &CopySession, pack: OpenPack) -> Result<(), VaultError> {
    let (summary, entries) = store(&session.domain.vault, pack)?;
    let mut in_flight = session.in_flight();
    for entry in &entries {
        in_flight.remove(&entry.id);
    }
    drop(in_flight);
    session.pack_finished(
        &summary,
        entries.iter().filter(|entry| entry.kind == Kind::Page).count() as u64,
    );
    Ok(())
}
