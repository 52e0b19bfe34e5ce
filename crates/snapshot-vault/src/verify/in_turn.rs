//! Copies checked one after the other, as many as somebody wants.
//!
//! Copies share chunks. What was read for one copy and is whole is not read again for the next one, as far as the memory
//! takes the places of what was read: checking all copies so costs about what a check of all packs does.

use super::Check;
use super::packs::{self, StoredPack};
use super::report::CopyOutcome;
use super::seen::Seen;
use super::throttle::Throttle;
use crate::PAGE_CHUNKS;
use crate::blob::{BlobError, BlobStore};
use crate::catalog::{NoCatalog, SetAside};
use crate::error::VaultError;
use crate::format::names;
use crate::format::pack::FooterEntry;
use crate::format::page::Page;
use crate::found::FoundChunks;
use crate::hash::ChunkId;
use crate::id::{DomainId, ManifestId};
use crate::index::Location;
use crate::key::MasterKey;
use crate::read::{Lost, ReadBuffers, StoredCopy, Verifier};
use crate::vault::Vault;
use crate::verify::{VerifyOptions, VerifyProgress};
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// What the chunks of a page that are looked for take in memory.
const PAGE_BYTES: usize = 2 * size_of::<(ChunkId, Option<Location>)>() * 256;
/// So many chunks are read between two looks at the time.
const CHUNKS_AT_ONCE: usize = 32;
/// So many lost parts of a copy are told; of the others only that there are some.
const MOST_LOST: usize = 1024;

const NO_MANIFEST: &str = "it is gone";
const NO_DIGEST: &str = super::copies::NO_DIGEST;

/// Checks copies in turn: opens all their chunks and pages, and compares their digests.
pub struct CopyChecks<'a> {
    vault: Vault,
    check: Check<'a>,
    places: Places,
    seen: Mutex<Seen>,
    throttle: Throttle<'a>,
}

/// How chunks are found.
enum Places {
    /// In the vault's own index.
    Indexed,
    /// In the packs' footers, which are all read for each group of pages.
    InFooters {
        found: Arc<FoundChunks>,
        catalog: Arc<NoCatalog>,
    },
}

/// A copy that was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckedCopy {
    /// Its domain.
    pub domain: DomainId,
    /// Its name.
    pub copy: ManifestId,
    /// What of it is lost, in order; empty when it is whole.
    pub lost: Vec<Lost>,
    /// Whether more is lost than is told.
    pub more_lost: bool,
}

impl CheckedCopy {
    /// What the check came to.
    pub fn outcome(&self) -> CopyOutcome {
        if self.lost.iter().any(|lost| !lost.may_pass) {
            CopyOutcome::Damaged
        } else if self.lost.is_empty() {
            CopyOutcome::Whole
        } else {
            CopyOutcome::Undecided
        }
    }
}

/// A copy that is being checked.
struct Opened {
    copy: StoredCopy,
    verifier: Verifier,
    lost: Mutex<Vec<Lost>>,
}

impl<'a> CopyChecks<'a> {
    /// Checks copies of an open vault. Damage that is met is set aside.
    ///
    /// `stop` is asked often; when it says `true`, the check ends with [`VaultError::Stopped`].
    pub fn of(vault: &Vault, options: &'a VerifyOptions, stop: &'a (dyn Fn() -> bool + Sync)) -> Self {
        Self::new(vault.clone(), Places::Indexed, options, stop)
    }

    /// Checks copies beside a process that has the vault open: nothing is written. [`met`](Self::met) tells what is to be
    /// set aside.
    ///
    /// # Errors
    ///
    /// Those of opening the vault.
    pub fn beside(
        blobs: Arc<dyn BlobStore>,
        master: &MasterKey,
        options: &'a VerifyOptions,
        stop: &'a (dyn Fn() -> bool + Sync),
    ) -> Result<Self, VaultError> {
        let (found, catalog) = (Arc::new(FoundChunks::default()), Arc::new(NoCatalog::default()));
        let vault = Vault::open_read_only(blobs, master, found.clone(), catalog.clone())?;
        let places = Places::InFooters { found, catalog };
        Ok(Self::new(vault, places, options, stop))
    }

    fn new(vault: Vault, places: Places, options: &'a VerifyOptions, stop: &'a (dyn Fn() -> bool + Sync)) -> Self {
        Self {
            check: Check::new(vault.0.blobs.clone(), options, &tell_nobody),
            vault,
            places,
            seen: Mutex::new(Seen::new(options.memory_bytes)),
            throttle: Throttle::new(options.bytes_per_second, stop),
        }
    }

    /// How many bytes all packs have.
    ///
    /// # Errors
    ///
    /// Failures of the store.
    pub fn stored_bytes(&self) -> Result<u64, VaultError> {
        let packs = packs::list(&*self.vault.0.blobs)?;
        Ok(packs.iter().map(StoredPack::size_bytes).sum())
    }

    /// How many stored bytes were read so far.
    pub fn read_bytes(&self) -> u64 {
        self.throttle.done_bytes()
    }

    /// How many copies are best checked at once, as bytes of their contents: where every group of copies costs a look at
    /// all packs, as many as `wanted_bytes` may hold. `None`: one by one.
    pub const fn at_once(&self, wanted_bytes: u64) -> Option<u64> {
        match self.places {
            Places::Indexed => None,
            Places::InFooters { .. } => Some(wanted_bytes),
        }
    }

    /// The size of a copy's content; `None` when that can't be told, which [`check`](Self::check) explains.
    pub fn size_bytes(&self, domain: DomainId, copy: ManifestId) -> Option<u64> {
        let copy = self.vault.domain_of(domain, copy).ok()?.open_manifest(copy).ok()?;
        Some(copy.size_bytes())
    }

    /// What is to be set aside of what was met so far, in a check beside another process.
    pub fn met(&self) -> Vec<SetAside> {
        match &self.places {
            Places::Indexed => Vec::new(),
            Places::InFooters { catalog, .. } => catalog.met(),
        }
    }

    /// Checks copies together.
    ///
    /// # Errors
    ///
    /// [`VaultError::Stopped`], and failures of store and index that are no matter of a single copy.
    pub fn check(&self, copies: &[(DomainId, ManifestId)]) -> Result<Vec<CheckedCopy>, VaultError> {
        let mut checked = Vec::with_capacity(copies.len());
        let mut opened = Vec::new();
        for (domain, id) in copies {
            let mut outcome = CheckedCopy {
                domain: *domain,
                copy: *id,
                lost: Vec::new(),
                more_lost: false,
            };
            match self.open(*domain, *id)? {
                Ok(copy) => opened.push((checked.len(), copy)),
                Err(lost) => outcome.lost.push(lost),
            }
            checked.push(outcome);
        }
        let pages: Vec<(usize, u64)> = opened
            .iter()
            .enumerate()
            .flat_map(|(n, (_, opened))| opened.copy.data_pages().map(move |page| (n, page)))
            .collect();
        let at_once = (self.check.options.memory_bytes / PAGE_BYTES).max(1);
        for group in pages.chunks(at_once) {
            let group: Vec<(&Opened, u64)> = group.iter().map(|(n, page)| (&opened[*n].1, *page)).collect();
            self.group(&group)?;
        }
        for (n, opened) in opened {
            opened.finish(&mut checked[n]);
        }
        Ok(checked)
    }

    fn open(&self, domain: DomainId, id: ManifestId) -> Result<Result<Opened, Lost>, VaultError> {
        let everything = 0..u64::MAX;
        let copy = self
            .vault
            .domain_of(domain, id)
            .and_then(|domain| domain.open_manifest(id));
        match copy {
            Ok(copy) => Ok(Ok(Opened {
                verifier: copy.verifier(),
                copy,
                lost: Mutex::default(),
            })),
            Err(VaultError::ManifestNotFound(_)) => {
                self.vault.check_is_there()?;
                Ok(Err(Lost {
                    range: everything,
                    object: names::manifest(domain, id).to_string(),
                    reason: NO_MANIFEST,
                    may_pass: false,
                }))
            }
            Err(error) => Lost::by(error, everything).map(Err),
        }
    }

    /// Checks pages of any copies.
    fn group(&self, group: &[(&Opened, u64)]) -> Result<(), VaultError> {
        self.find_all(group)?;
        let next = AtomicUsize::new(0);
        let damaged: Mutex<Vec<usize>> = Mutex::default();
        self.check.in_parallel(group.len(), || {
            let mut buffers = ReadBuffers::default();
            loop {
                let n = next.fetch_add(1, Ordering::Relaxed);
                let Some((opened, page)) = group.get(n) else { break };
                let lost = self.page(opened, *page, &mut buffers)?;
                if !lost.is_empty() {
                    opened.lost().extend(lost);
                    damaged.lock().unwrap_or_else(PoisonError::into_inner).push(n);
                }
            }
            Ok(())
        })?;
        let damaged = damaged.into_inner().unwrap_or_else(PoisonError::into_inner);
        let damaged: Vec<_> = damaged.into_iter().map(|n| group[n]).collect();
        self.look_elsewhere(&damaged)
    }

    /// Reads pages again of which something is damaged that another pack may hold whole, or was moved meanwhile.
    fn look_elsewhere(&self, damaged: &[(&Opened, u64)]) -> Result<(), VaultError> {
        let Places::InFooters { catalog, .. } = &self.places else {
            return Ok(());
        };
        let mut known = usize::MAX;
        // Each round passes over what the rounds before have found damaged, so it ends.
        while !damaged.is_empty() && catalog.met().len() != known {
            known = catalog.met().len();
            self.find_all(damaged)?;
            let mut buffers = ReadBuffers::default();
            for (opened, page) in damaged {
                let span = opened.copy.page_span(*page);
                let lost = self.page(opened, *page, &mut buffers)?;
                let mut all = opened.lost();
                // What is only found nowhere else now: what is wrong with it was seen before.
                let seen: Vec<Lost> = all.extract_if(.., |lost| span.contains(&lost.range.start)).collect();
                let cause = |lost: Lost| seen.iter().find(|it| it.range == lost.range).cloned().unwrap_or(lost);
                all.extend(lost.into_iter().map(cause));
            }
        }
        Ok(())
    }

    /// Without an index: finds the places of these pages and all their chunks.
    fn find_all(&self, group: &[(&Opened, u64)]) -> Result<(), VaultError> {
        let Places::InFooters { found, catalog } = &self.places else {
            return Ok(());
        };
        // Listed anew each time: the process beside this one stores and moves chunks meanwhile.
        let packs = packs::list(&*self.vault.0.blobs)?;
        let damaged = catalog.met_places();
        let look = || {
            self.check.scan(&packs, |pack, entries| {
                let whole = entries.iter().filter(|entry| !damaged.contains(&(pack, entry.offset)));
                found.in_pack(pack, whole.map(FooterEntry::for_index));
            })
        };
        found.look_for(group.iter().filter_map(|(opened, page)| opened.copy.page_id(*page)));
        look()?;
        let mut buffers = ReadBuffers::default();
        for (opened, page) in group {
            self.throttle.go_on()?;
            let Some(hash) = opened.copy.page_hash(*page) else {
                continue;
            };
            // A page that is lost is told when its chunks are read.
            if let Ok(entries) = opened.copy.page_entries(*page, hash, &mut buffers) {
                let keys = opened.copy.keys();
                found.also_look_for(entries.iter().flatten().map(|hash| keys.chunk_id(hash)));
            }
        }
        look()
    }

    /// Checks a page and its chunks, and returns what is lost.
    fn page(&self, opened: &Opened, page: u64, buffers: &mut ReadBuffers) -> Result<Vec<Lost>, VaultError> {
        self.throttle.go_on()?;
        let copy = &opened.copy;
        let Some(hash) = copy.page_hash(page) else {
            return Ok(Vec::new());
        };
        let entries = match copy.page_entries(page, hash, buffers) {
            Ok(entries) => entries,
            Err(error) => return Ok(vec![self.lost(error, copy.page_span(page))?]),
        };
        opened.verifier.page_read(&copy.part_of_digest(page, &entries));
        let (unread, places) = self.unread(copy, &entries)?;
        let mut lost = Vec::new();
        for start in (0..unread.len()).step_by(CHUNKS_AT_ONCE) {
            let chunks = start..unread.len().min(start + CHUNKS_AT_ONCE);
            let length = |place: &Option<Location>| place.map_or(0, |place| u64::from(place.length));
            let bytes = places[chunks.clone()].iter().map(length).sum();
            let whole = self.chunks(copy, page, &unread, chunks, buffers, &mut lost)?;
            let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            for chunk in whole {
                seen.extend(places[chunk].as_ref());
            }
            drop(seen);
            self.throttle.advance(bytes)?;
        }
        Ok(lost)
    }

    /// The page's chunks that were not read for another copy, and where they lie.
    fn unread(&self, copy: &StoredCopy, entries: &Page) -> Result<(Page, Vec<Option<Location>>), VaultError> {
        let mut unread = entries.clone();
        let mut places: Vec<Option<Location>> = vec![None; entries.len()];
        let chunks: Vec<usize> = (0..entries.len()).filter(|chunk| entries[*chunk].is_some()).collect();
        let ids: Vec<ChunkId> = entries
            .iter()
            .flatten()
            .map(|hash| copy.keys().chunk_id(hash))
            .collect();
        let located = self.vault.0.index.locate(&ids)?;
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        for (chunk, place) in chunks.into_iter().zip(located) {
            if place.is_some_and(|place| seen.contains(&place)) {
                unread[chunk] = None;
            } else {
                places[chunk] = place;
            }
        }
        Ok((unread, places))
    }

    /// Reads chunks, and returns those that are whole.
    fn chunks(
        &self,
        copy: &StoredCopy,
        page: u64,
        entries: &Page,
        chunks: Range<usize>,
        buffers: &mut ReadBuffers,
        lost: &mut Vec<Lost>,
    ) -> Result<Vec<usize>, VaultError> {
        let mut ignore = |_: u64, _: &[u8]| Ok(());
        match copy.read_chunks(page, entries, chunks.clone(), buffers, &mut ignore) {
            Ok(()) => return Ok(chunks.collect()),
            Err(error) => self.lost(error, copy.page_span(page)).map(drop)?,
        }
        let mut whole = Vec::new();
        // Reading several at once stops at the first that is lost.
        for chunk in chunks {
            match copy.read_chunks(page, entries, chunk..chunk + 1, buffers, &mut ignore) {
                Ok(()) => whole.push(chunk),
                Err(error) => {
                    let span = copy.geometry().chunk_span(page * PAGE_CHUNKS + chunk as u64);
                    lost.push(self.lost(error, span)?);
                }
            }
        }
        Ok(whole)
    }

    /// What is lost by a failure. Where a pack's footer can't be read now, what is not found may lie in that pack.
    fn lost(&self, error: VaultError, range: Range<u64>) -> Result<Lost, VaultError> {
        let mut lost = Lost::by(error, range)?;
        let is_missing = !lost.object.starts_with(names::PACKS);
        lost.may_pass |= is_missing && self.check.findings().has_unreadable_packs();
        Ok(lost)
    }
}

impl Opened {
    fn lost(&self) -> std::sync::MutexGuard<'_, Vec<Lost>> {
        self.lost.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts what was found into the result.
    fn finish(self, checked: &mut CheckedCopy) {
        let mut lost = self.lost.into_inner().unwrap_or_else(PoisonError::into_inner);
        if lost.is_empty() && self.verifier.finish().is_err() {
            lost.push(Lost {
                range: 0..self.copy.size_bytes(),
                object: names::manifest(checked.domain, checked.copy).to_string(),
                reason: NO_DIGEST,
                may_pass: false,
            });
        }
        lost.sort_unstable_by_key(|lost| lost.range.start);
        for next in lost {
            let is_full = checked.lost.len() >= MOST_LOST;
            match checked.lost.last_mut() {
                Some(before) if before.is_continued_by(&next) => before.range.end = next.range.end,
                _ if is_full => checked.more_lost = true,
                _ => checked.lost.push(next),
            }
        }
    }
}

impl Vault {
    /// The domain of a copy, if the copy is there. A domain that has lost its key and its copies gets no new key by this.
    fn domain_of(&self, domain: DomainId, copy: ManifestId) -> Result<crate::Domain, VaultError> {
        match self.0.blobs.size(&names::manifest(domain, copy)) {
            Ok(_) => self.existing_domain(domain),
            Err(BlobError::NotFound { .. }) => Err(VaultError::ManifestNotFound(copy)),
            Err(error) => Err(error.into()),
        }
    }
}

const fn tell_nobody(_: VerifyProgress) {}
