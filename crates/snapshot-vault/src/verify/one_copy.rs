//! One copy, read as a restore reads it.

use super::Check;
use super::copies::{NO_CHUNKS, NO_DIGEST};
use super::packs::{self, StoredPack};
use crate::catalog::NoCatalog;
use crate::codec::Expected;
use crate::error::VaultError;
use crate::format::names;
use crate::format::pack::FooterEntry;
use crate::found::FoundChunks;
use crate::hash::ChunkId;
use crate::index::Location;
use crate::read::{ReadBuffers, StoredCopy, Verifier};
use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

/// What the chunks of a page that are looked for take in memory.
const PAGE_BYTES: usize = 2 * size_of::<(ChunkId, Option<Location>)>() * 256;

/// Where a copy's chunks are looked for.
pub(super) struct OneCopy<'a> {
    pub(super) packs: &'a [StoredPack],
    /// What was found in them.
    pub(super) found: &'a FoundChunks,
    /// What of it was read and is damaged.
    pub(super) damaged: &'a NoCatalog,
    /// Whether what is missing is lost, though packs may have gone meanwhile.
    pub(super) is_last_round: bool,
}

/// What is lost: the object and what is wrong with it, and the bytes of the content.
type Lost = Vec<((String, &'static str), Range<u64>)>;

impl Check<'_> {
    /// Reads all chunks of a copy, a group of pages at a time: as many as the memory takes the places of.
    ///
    /// When something is missing, and packs have gone meanwhile, it may have been moved: then nothing is noted, and the
    /// packs are returned that are there now. Not in the last round.
    pub(super) fn one_copy(
        &self,
        copy: &StoredCopy,
        places: &OneCopy<'_>,
    ) -> Result<Option<Vec<StoredPack>>, VaultError> {
        let at_once = (self.options.memory_bytes / PAGE_BYTES).max(1);
        self.pace
            .expect(copy.data_pages().map(|page| len(&copy.page_span(page))).sum());
        self.findings().checked.packs = places.packs.len() as u64;
        let verifier = copy.verifier();
        let mut pages = copy.data_pages();
        let mut all_lost = Lost::new();
        loop {
            let group: Vec<u64> = pages.by_ref().take(at_once).collect();
            if group.is_empty() {
                break;
            }
            let mut known = places.damaged.met().len();
            self.find(copy, &group, places)?;
            let mut lost = self.read_group(copy, &group, &verifier)?;
            let first = lost.clone();
            // What is damaged in one pack may be whole in another. Each round passes over what was found damaged before it.
            while !lost.is_empty() && places.damaged.met().len() != known {
                known = places.damaged.met().len();
                let page_bytes = copy.geometry().page_bytes();
                let again: BTreeSet<u64> = lost.iter().map(|(_, range)| range.start / page_bytes).collect();
                let again: Vec<u64> = again.into_iter().collect();
                self.find(copy, &again, places)?;
                lost = self.read_group(copy, &again, &verifier)?;
            }
            // Now they are only found nowhere else: what is wrong with them was seen before.
            for (cause, range) in &mut lost {
                if let Some((seen, _)) = first.iter().find(|(_, lost)| lost == range) {
                    cause.clone_from(seen);
                }
            }
            all_lost.extend(lost);
        }
        let (domain, id) = (copy.domain_id(), copy.manifest_id());
        if !self.is_there(domain, id)? {
            return Ok(None);
        }
        if !all_lost.is_empty() && !places.is_last_round {
            let now = packs::list(&*self.blobs)?;
            if places.packs.iter().any(|pack| !now.contains(pack)) {
                let mut findings = self.findings();
                (findings.checked.records, findings.checked.stored_bytes) = (0, 0);
                return Ok(Some(now));
            }
        }
        let manifest = names::manifest(domain, id);
        if all_lost.is_empty() && verifier.finish().is_err() {
            all_lost.push(((manifest.to_string(), NO_DIGEST), 0..copy.size_bytes()));
        }
        let mut findings = self.findings();
        all_lost.sort_unstable_by_key(|(_, range)| range.start);
        for ((object, reason), range) in all_lost {
            // What no pack holds has no object that could be named but the one that needs it.
            let damage = if object.starts_with(names::PACKS) || object == manifest.as_str() {
                findings.object(&object, reason)
            } else {
                findings.object(manifest.as_str(), NO_CHUNKS)
            };
            findings.lost(damage, domain, id, range);
        }
        Ok(None)
    }

    /// Finds the places of these pages and all their chunks.
    fn find(&self, copy: &StoredCopy, group: &[u64], places: &OneCopy<'_>) -> Result<(), VaultError> {
        let found = places.found;
        let damaged = places.damaged.met_places();
        let look = || {
            self.scan(places.packs, |pack, entries| {
                let whole = entries.iter().filter(|entry| !damaged.contains(&(pack, entry.offset)));
                found.in_pack(pack, whole.map(FooterEntry::for_index));
            })
        };
        let hashes = group.iter().filter_map(|page| Some((*page, copy.page_hash(*page)?)));
        found.look_for(hashes.clone().map(|(_, hash)| Expected::page(copy.keys(), hash).id));
        look()?;
        let mut buffers = ReadBuffers::default();
        for (page, hash) in hashes {
            // A page that is lost is told when its chunks are read.
            if let Ok(entries) = copy.page_entries(page, hash, &mut buffers) {
                let chunks = entries.iter().flatten().map(|hash| copy.keys().chunk_id(hash));
                found.also_look_for(chunks);
            }
        }
        look()
    }

    fn read_group(&self, copy: &StoredCopy, group: &[u64], verifier: &Verifier) -> Result<Lost, VaultError> {
        let lost: Mutex<Lost> = Mutex::default();
        let next = AtomicUsize::new(0);
        self.in_parallel(group.len(), || {
            let mut buffers = ReadBuffers::default();
            while let Some(page) = group.get(next.fetch_add(1, Ordering::Relaxed)) {
                let (mut chunks, mut bytes, mut end) = (0, 0, 0);
                let mut count = |offset: u64, chunk: &[u8]| {
                    // Beside a lost one, chunks come again.
                    if offset >= end {
                        end = offset + chunk.len() as u64;
                        chunks += 1;
                        bytes += chunk.len() as u64;
                    }
                    Ok(())
                };
                let mut lost_here = Vec::new();
                let read = copy.salvage_page(*page, &mut buffers, &mut count, &mut |it| lost_here.push(it))?;
                if let Some(read) = read {
                    verifier.page_read(&read);
                }
                let lost_here = lost_here.into_iter().map(|it| ((it.object, it.reason), it.range));
                lost.lock().unwrap_or_else(PoisonError::into_inner).extend(lost_here);
                let mut findings = self.findings();
                findings.checked.records += 1 + chunks;
                findings.checked.stored_bytes += bytes;
                drop(findings);
                self.pace.advance(len(&copy.page_span(*page)));
            }
            Ok(())
        })?;
        Ok(lost.into_inner().unwrap_or_else(PoisonError::into_inner))
    }
}

fn len(range: &Range<u64>) -> u64 {
    range.end - range.start
}
