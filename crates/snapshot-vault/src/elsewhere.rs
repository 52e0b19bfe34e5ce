//! Chunks that lie in two packs, and are damaged in the one where the index finds them.
//!
//! The index knows one place of each chunk. Two copies at once store a chunk twice, and so does one that heals it: when the
//! index is made anew by somebody who knows nothing of the damage, it may lead to the damaged one of the two.

use crate::blob::BlobError;
use crate::catalog::{PackStanding, PackSummary, SetAside};
use crate::census::listed;
use crate::checked::{CheckedRecords, NotWhole};
use crate::error::VaultError;
use crate::format::names;
use crate::format::pack::FooterEntry;
use crate::hash::ChunkId;
use crate::id::PackId;
use crate::index::{IndexEntry, Location, knows_pack};
use crate::listing::{Listing, read_listing};
use crate::vault::{Vault, VaultCore};
use std::collections::{HashMap, HashSet};

/// Leads the index to whole ones of those chunks that it finds only where they are set aside, as far as there are any. Reads
/// the footers of all packs, if there is such a chunk.
pub(crate) fn lead_past_damage(vault: &Vault, stop: &dyn Fn() -> bool) -> Result<(), VaultError> {
    let core = &*vault.0;
    let set_aside = core.catalog.distrusted()?.chunks;
    let damaged: HashSet<(PackId, u32)> = set_aside.iter().map(|chunk| (chunk.pack, chunk.offset)).collect();
    let ids: HashSet<ChunkId> = set_aside.iter().map(|chunk| chunk.chunk).collect();
    let ids: Vec<ChunkId> = ids.into_iter().collect();
    let places = core.index.locate(&ids)?;
    let pairs = ids.into_iter().zip(places);
    let wanted: HashSet<ChunkId> = pairs
        .filter(|(_, place)| place.is_some_and(|at| damaged.contains(&(at.pack, at.offset))))
        .map(|(id, _)| id)
        .collect();
    if wanted.is_empty() {
        return Ok(());
    }
    log::info!(
        "{} chunks are damaged where the index finds them: looking for them in all packs",
        wanted.len()
    );
    lead_to(vault, wanted, &damaged, stop).map(drop)
}

/// Leads the index to those chunks and index pages that it does not find, as far as they are whole in a pack that it knows: then it is
/// the index that has lost them. Reads the footers of all packs. Returns how many these were.
pub(crate) fn lead_to_lacking(
    vault: &Vault,
    lacking: HashSet<ChunkId>,
    stop: &dyn Fn() -> bool,
) -> Result<usize, VaultError> {
    log::warn!(
        "the index does not find {} chunks: looking for them in all packs",
        lacking.len()
    );
    lead_to(vault, lacking, &HashSet::new(), stop)
}

/// Leads the index to whole ones of the wanted chunks, at other places than the damaged ones. Returns how many were found.
fn lead_to(
    vault: &Vault,
    mut wanted: HashSet<ChunkId>,
    damaged: &HashSet<(PackId, u32)>,
    stop: &dyn Fn() -> bool,
) -> Result<usize, VaultError> {
    let core = &*vault.0;
    let count = wanted.len();
    let mut records = CheckedRecords::new(vault)?;
    for pack in listed(&*core.catalog)? {
        if wanted.is_empty() {
            break;
        }
        if stop() {
            return Err(VaultError::Stopped);
        }
        if pack.standing == PackStanding::Dropped {
            continue;
        }
        // What can't be looked into now holds nothing that could be relied upon.
        let Ok(Ok(Listing { footer, .. })) = read_listing(&*core.blobs, pack.id, pack.size_bytes) else {
            continue;
        };
        let is_of_use =
            |entry: &&FooterEntry| wanted.contains(&entry.id) && !damaged.contains(&(pack.id, entry.offset));
        let of_use: Vec<FooterEntry> = footer.entries.iter().filter(is_of_use).copied().collect();
        // To a pack that the index does not know, the next start leads it with all that the pack holds.
        if of_use.is_empty() || !knows_pack(&*core.index, pack.id)? {
            continue;
        }
        let Ok(domain) = vault.existing_domain(pack.domain) else {
            continue;
        };
        for entry in of_use {
            if records.read(pack.id, &entry, &domain.core.keys)?.is_ok() {
                log::warn!("chunk {} is found whole in pack {}", entry.id, pack.id);
                core.index.add_pack(pack.id, &[entry.for_index()])?;
                wanted.remove(&entry.id);
            }
        }
    }
    core.index.flush()?;
    Ok(count - wanted.len())
}

/// What of a pack that nobody seems to need is the only whole one: the index finds it in another place, and there it is
/// damaged, or can't be found by an index that is made anew. While copies lack chunks (`some_are_lacked`), also what the index
/// finds nowhere: the index itself may be what is damaged. `is_needed` tells what is known to be in use in this very pack.
pub(crate) fn only_whole_here(
    vault: &Vault,
    records: &mut CheckedRecords<'_>,
    pack: &PackSummary,
    is_needed: &dyn Fn(usize) -> bool,
    some_are_lacked: bool,
    stop: &dyn Fn() -> bool,
) -> Result<Vec<OnlyWhole>, VaultError> {
    let core = &*vault.0;
    let entries = match read_listing(&*core.blobs, pack.id, pack.size_bytes) {
        Ok(Ok(listing)) => listing.footer.entries,
        // Of what is lost or damaged as a whole nothing is left to be kept. What can't be read now may be whole.
        Ok(Err(_)) | Err(BlobError::NotFound { .. }) => return Ok(Vec::new()),
        Err(error) => return Err(error.into()),
    };
    let others = entries.iter().enumerate().filter(|(ordinal, _)| !is_needed(*ordinal));
    let others: Vec<FooterEntry> = others.map(|(_, entry)| *entry).collect();
    let ids: Vec<ChunkId> = others.iter().map(|entry| entry.id).collect();
    let places = others.into_iter().zip(core.index.locate(&ids)?);
    let may_be_only = |(here, place): &(FooterEntry, Option<Location>)| match place {
        Some(at) => (at.pack, at.offset) != (pack.id, here.offset),
        None => some_are_lacked,
    };
    let not_found_here: Vec<(FooterEntry, Option<Location>)> = places.filter(may_be_only).collect();
    if not_found_here.is_empty() {
        return Ok(Vec::new());
    }
    let domain = match vault.existing_domain(pack.domain) {
        Ok(domain) => domain,
        Err(VaultError::Blob(error)) => return Err(error.into()),
        // Without the key nothing can be opened, here or there.
        Err(_) => return Ok(Vec::new()),
    };
    let keys = &domain.core.keys;
    let mut listed: HashMap<PackId, bool> = HashMap::new();
    let mut only = Vec::new();
    for (here, place) in not_found_here {
        if stop() {
            return Err(VaultError::Stopped);
        }
        if let Some(at) = place {
            let there = FooterEntry {
                offset: at.offset,
                length: at.length,
                ..here
            };
            let is_listed = *listed.entry(at.pack).or_insert_with(|| is_listed(core, at.pack));
            if is_listed && records.read(at.pack, &there, keys)?.is_ok() {
                continue;
            }
        }
        match records.read(pack.id, &here, keys)? {
            Ok(()) => only.push(OnlyWhole {
                here: here.for_index(),
                damaged: place.map(|at| SetAside {
                    chunk: here.id,
                    pack: at.pack,
                    offset: at.offset,
                }),
            }),
            Err(NotWhole::Flaw(_)) => {}
            // It may be whole.
            Err(NotWhole::Unread(error)) => return Err(error.into()),
        }
    }
    Ok(only)
}

/// Whether an index that is made anew would find what a pack holds.
fn is_listed(core: &VaultCore, pack: PackId) -> bool {
    let size = core.blobs.size(&names::pack(pack));
    size.is_ok_and(|size| matches!(read_listing(&*core.blobs, pack, size), Ok(Ok(_))))
}

/// A record that is whole, and damaged where the index finds it, if it does.
pub(crate) struct OnlyWhole {
    pub(crate) here: IndexEntry,
    pub(crate) damaged: Option<SetAside>,
}
