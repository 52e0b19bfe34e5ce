//! Whether the packs hold all that the copies need.

use super::Check;
use super::held::{Held, Part};
use super::objects::Domains;
use super::packs::StoredPack;
use super::report::UNREADABLE;
use crate::codec::Expected;
use crate::error::VaultError;
use crate::format::names;
use crate::format::pack::FooterEntry;
use crate::format::page::Page;
use crate::format::record::Kind;
use crate::found::FoundChunks;
use crate::hash::ChunkId;
use crate::id::{DomainId, ManifestId};
use crate::read::{Lost, ReadBuffers, StoredCopy};
use crate::{PAGE_CHUNKS, index::Location};
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

/// What a page that is looked for takes in memory.
const PAGE_BYTES: usize = 2 * size_of::<(ChunkId, Option<Location>)>();

pub(super) const NO_DIGEST: &str = "the digest of its chunks is not the one that it tells";
pub(super) const NO_CHUNKS: &str = "no pack holds some of what it needs";

/// What a copy has lost.
type Missing = Vec<(Cause, Range<u64>)>;

/// Why bytes of a copy's content are lost.
enum Cause {
    /// No pack holds the chunk or page, or only one that is damaged there.
    NotHeld(ChunkId),
    /// An index page is in an object that does not give it back now, though it did before.
    Unread(String, &'static str),
}

impl Check<'_> {
    /// Compares what the copies need with what is whole in the packs, which have been checked.
    pub(super) fn copies(
        &self,
        domains: &Domains,
        manifests: &[(DomainId, ManifestId)],
        packs: &[StoredPack],
        found: &FoundChunks,
    ) -> Result<(), VaultError> {
        let pages_at_once = (self.options.memory_bytes / PAGE_BYTES) as u64;
        let mut batch: Vec<StoredCopy> = Vec::new();
        let mut pages = 0;
        for (domain, id) in manifests {
            let Some(copy) = self.open_copy(domains, *domain, *id)? else {
                continue;
            };
            if pages + copy.data_page_count() > pages_at_once {
                self.batch(&batch, packs, found)?;
                batch.clear();
                pages = 0;
            }
            pages += copy.data_page_count();
            batch.push(copy);
        }
        self.batch(&batch, packs, found)
    }

    fn batch(&self, copies: &[StoredCopy], packs: &[StoredPack], found: &FoundChunks) -> Result<(), VaultError> {
        if copies.is_empty() {
            return Ok(());
        }
        found.look_for(copies.iter().flat_map(page_ids));
        self.scan(packs, |pack, entries| {
            let pages = entries.iter().filter(|entry| entry.kind == Kind::Page);
            found.in_pack(pack, pages.map(FooterEntry::for_index));
        })?;
        let records = self.findings().checked.records;
        for part in Part::all(records, self.options.memory_bytes / Held::ENTRY_BYTES) {
            let held = self.held(packs, part)?;
            for copy in copies {
                self.copy(copy, part, &held)?;
            }
        }
        Ok(())
    }

    fn held(&self, packs: &[StoredPack], part: Part) -> Result<Held, VaultError> {
        let held = Mutex::new(Held::default());
        self.scan(packs, |_, entries| {
            let mut held = held.lock().unwrap_or_else(PoisonError::into_inner);
            let chunks = entries.iter().filter(|entry| entry.kind == Kind::Chunk);
            chunks
                .filter(|entry| part.covers(&entry.id))
                .for_each(|entry| held.add(entry));
        })?;
        let mut held = held.into_inner().unwrap_or_else(PoisonError::into_inner);
        held.sort();
        Ok(held)
    }

    /// Looks for those chunks of a copy that are in a part of the ids; with the first part also for its pages, and
    /// computes its digest.
    fn copy(&self, copy: &StoredCopy, part: Part, held: &Held) -> Result<(), VaultError> {
        let verifier = copy.verifier();
        let missing: Mutex<Missing> = Mutex::default();
        let pages = Mutex::new(copy.data_pages());
        let next = || pages.lock().unwrap_or_else(PoisonError::into_inner).next();
        self.in_parallel(usize::try_from(copy.data_page_count()).unwrap_or(usize::MAX), || {
            let mut buffers = ReadBuffers::default();
            while let Some(page) = next() {
                let Some(hash) = copy.page_hash(page) else { continue };
                let lost = match copy.page_entries(page, hash, &mut buffers) {
                    Ok(entries) => {
                        if part.is_first() {
                            verifier.page_read(&copy.part_of_digest(page, &entries));
                        }
                        missing_chunks(copy, page, &entries, part, held)
                    }
                    Err(error) => {
                        let lost = Lost::by(error, copy.page_span(page))?;
                        let cause = if lost.reason == UNREADABLE {
                            // Perhaps only with this part, so that it has to be told with each.
                            Some(Cause::Unread(lost.object, lost.reason))
                        } else {
                            let id = Expected::page(copy.keys(), hash).id;
                            part.is_first().then_some(Cause::NotHeld(id))
                        };
                        cause.map(|cause| (cause, lost.range)).into_iter().collect()
                    }
                };
                missing.lock().unwrap_or_else(PoisonError::into_inner).extend(lost);
            }
            Ok(())
        })?;
        let missing = missing.into_inner().unwrap_or_else(PoisonError::into_inner);
        if missing.is_empty() && part.is_first() && verifier.finish().is_err() {
            let name = names::manifest(copy.domain_id(), copy.manifest_id());
            let mut findings = self.findings();
            let damage = findings.object(name.as_str(), NO_DIGEST);
            findings.lost(damage, copy.domain_id(), copy.manifest_id(), 0..copy.size_bytes());
        }
        self.note_missing(copy, missing)
    }

    fn note_missing(&self, copy: &StoredCopy, mut missing: Missing) -> Result<(), VaultError> {
        let (domain, id) = (copy.domain_id(), copy.manifest_id());
        if missing.is_empty() {
            return Ok(());
        }
        if !self.is_there(domain, id)? {
            self.findings().copy_is_gone(domain, id);
            return Ok(());
        }
        if let Some(suspects) = &mut *self.suspects() {
            suspects.insert((domain, id));
            return Ok(());
        }
        missing.sort_unstable_by_key(|(_, range)| range.start);
        let mut findings = self.findings();
        for (cause, range) in missing {
            let damage = match cause {
                Cause::NotHeld(chunk) => match findings.cause(&chunk) {
                    Some(damage) => damage,
                    None => findings.object(names::manifest(domain, id).as_str(), NO_CHUNKS),
                },
                Cause::Unread(object, reason) => {
                    let damage = findings.object(&object, reason);
                    if findings.is_told(damage, domain, id, &range) {
                        continue;
                    }
                    damage
                }
            };
            findings.lost(damage, domain, id, range);
        }
        Ok(())
    }
}

/// The ids of all pages of a copy that are not all zero.
fn page_ids(copy: &StoredCopy) -> impl Iterator<Item = ChunkId> + '_ {
    copy.data_pages()
        .filter_map(|page| Some(Expected::page(copy.keys(), copy.page_hash(page)?).id))
}

fn missing_chunks(copy: &StoredCopy, page: u64, entries: &Page, part: Part, held: &Held) -> Missing {
    let ids = entries.iter().enumerate().filter_map(|(n, hash)| {
        let id = copy.keys().chunk_id(hash.as_ref()?);
        Some((id, copy.geometry().chunk_span(page * PAGE_CHUNKS + n as u64)))
    });
    ids.filter(|(id, span)| part.covers(id) && !held.holds(id, span.end - span.start))
        .map(|(id, span)| (Cause::NotHeld(id), span))
        .collect()
}
