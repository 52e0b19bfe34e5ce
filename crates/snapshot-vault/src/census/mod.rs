//! What of the stored records is in use: by a walk over all manifests and the index pages that they need.
//!
//! Memory is in proportion to what is stored, and small: a bit per record (three for the usage of a domain) and some 140
//! bytes per pack, which is 3 to 6 MiB per TiB (the test in `vast.rs` measures it); beside it footers of some 250,000 records, and the manifest that is
//! walked. A page that was seen is not read again, so that a copy that changed little costs little.

mod bits;
mod promised;
mod records;
mod usage;
#[cfg(test)]
mod vast;
mod walk;

pub use usage::{CopyUsage, Totals, Usage};

use crate::catalog::{PackCatalog, PackSummary, PromisedCopies};
use crate::domain::Domain;
use crate::error::VaultError;
use crate::format::names;
use crate::format::pack::record_bytes;
use crate::hash::ChunkId;
use crate::id::{DomainId, ManifestId};
use crate::read::StoredCopy;
use crate::vault::Vault;
use bits::Bits;
use records::{Place, Records};
use std::collections::{BTreeMap, HashSet};
use walk::Walk;

/// Something that a copy needs and that can't be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreadable {
    /// The object.
    pub object: String,
    /// What is wrong with it.
    pub reason: &'static str,
}

/// How many packs are asked for at once.
const BATCH: usize = 1024;

/// Which records of all packs are in use.
pub(crate) struct Census {
    /// In the order of their ids.
    pub(crate) packs: Vec<CountedPack>,
    live: Bits,
    /// Manifests, keys and pages that can't be read, manifests that are promised and packs that are needed, and gone. While
    /// there is any, nobody knows what is in use.
    pub(crate) unreadable: Vec<Unreadable>,
    /// Chunks and index pages that copies need and that the index finds nowhere; some of them, if there are very many.
    pub(crate) lacking: HashSet<ChunkId>,
}

/// A pack, and how much of it is in use.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CountedPack {
    pub(crate) summary: PackSummary,
    /// The bytes of its records that are in use; `None` when they can't be told one by one.
    pub(crate) live_bytes: Option<u64>,
    /// Whether its header or its footer is damaged. Not known of one that has nothing in use.
    pub(crate) has_damaged_ends: bool,
    first: usize,
}

impl CountedPack {
    /// The bytes of all its records.
    pub(crate) fn record_bytes(&self) -> u64 {
        record_bytes(self.summary.size_bytes, self.summary.chunks)
    }
}

impl Census {
    /// Counts what all copies need that are there now, of the packs that were listed before, and notes which of the
    /// promised copies are not there.
    pub(crate) fn take(
        vault: &Vault,
        packs: Vec<PackSummary>,
        promised: &dyn PromisedCopies,
        stop: &dyn Fn() -> bool,
    ) -> Result<Self, VaultError> {
        let core = &*vault.0;
        let records = Records::new(&*core.blobs, packs);
        let mut live = Bits::new(records.count());
        let mut walk = Walk::new(&*core.index, records, stop);
        let mut listed: BTreeMap<DomainId, Vec<ManifestId>> = BTreeMap::new();
        for (domain, copy) in vault.copies()? {
            listed.entry(domain).or_default().push(copy);
        }
        let mut counted = BTreeMap::new();
        for (id, mut copies) in listed {
            if let Some(domain) = open_domain(&mut walk, vault, id)? {
                let mut there = Vec::with_capacity(copies.len());
                for copy in copies {
                    if mark(&mut walk, &domain, copy, &mut live)? {
                        there.push(copy);
                    }
                }
                copies = there;
            }
            copies.sort_unstable();
            counted.insert(id, copies);
        }
        promised::count_others(vault, promised, &counted, &mut walk, &mut live)?;
        if !walk.lacking.is_empty() {
            core.met_lack();
        }
        for pack in walk.records.packs().iter().filter(|pack| pack.is_gone()) {
            core.met_gone(pack.summary.id);
        }
        Ok(Self::of(walk, live))
    }

    fn of(walk: Walk<'_>, live: Bits) -> Self {
        let Walk {
            records,
            mut unreadable,
            lacking,
            ..
        } = walk;
        let packs = records.packs().iter();
        unreadable.extend(packs.clone().filter(|pack| pack.is_gone()).map(|pack| Unreadable {
            object: names::pack(pack.summary.id).to_string(),
            reason: "it is gone, and copies need it",
        }));
        let packs = packs.map(|pack| CountedPack {
            summary: pack.summary,
            live_bytes: pack.flaw.is_none().then_some(pack.live_bytes),
            has_damaged_ends: pack.has_damaged_ends,
            first: pack.first,
        });
        Self {
            packs: packs.collect(),
            live,
            unreadable,
            lacking,
        }
    }

    /// Whether copies need something that the index finds nowhere.
    pub(crate) fn lacks_something(&self) -> bool {
        !self.lacking.is_empty()
    }

    /// Whether a record of a pack is in use.
    pub(crate) fn is_live(&self, pack: &CountedPack, ordinal: usize) -> bool {
        self.live.contains(pack.first + ordinal)
    }
}

/// A domain; `None` when its key can't be read, which is noted.
fn open_domain(walk: &mut Walk<'_>, vault: &Vault, id: DomainId) -> Result<Option<Domain>, VaultError> {
    match vault.existing_domain(id) {
        Ok(domain) => Ok(Some(domain)),
        Err(error) => {
            walk.note(error, names::domain_key(id).as_str())?;
            Ok(None)
        }
    }
}

/// Marks what a copy needs. Whether the copy is there; one that can't be read is, and is noted.
fn mark(walk: &mut Walk<'_>, domain: &Domain, id: ManifestId, live: &mut Bits) -> Result<bool, VaultError> {
    let known = walk.unreadable.len();
    let Some(copy) = walk.open(domain, id)? else {
        return Ok(walk.unreadable.len() > known);
    };
    walk.pages(&copy, &mut |walk, page| {
        // A page that could not be read for another copy is asked for again: that copy may be gone by now, and with it what
        // was noted of the page.
        if !note_live(walk, live, page.place) && !walk.could_not_read(&page) {
            return Ok(());
        }
        for chunk in walk.chunks(&copy, &page)? {
            note_live(walk, live, chunk);
        }
        Ok(())
    })?;
    forget_if_gone(walk, &copy, known)
}

/// Marks a record. Whether it may be new: of what lies in a pack that can't be looked into, nobody knows.
fn note_live(walk: &mut Walk<'_>, live: &mut Bits, place: Place) -> bool {
    match place {
        Place::Record {
            number,
            pack,
            stored_bytes,
            ..
        } => {
            let is_new = live.insert(number);
            if is_new {
                walk.records.add_live(pack, stored_bytes);
            }
            is_new
        }
        Place::Opaque | Place::Unlisted => true,
    }
}

/// A copy that was deleted while it was walked has lost nothing. Whether it is another one: all that it needs is marked, or
/// it is noted what can't be.
fn forget_if_gone(walk: &mut Walk<'_>, copy: &StoredCopy, known: usize) -> Result<bool, VaultError> {
    let is_gone = walk.unreadable.len() > known && !copy.is_there()?;
    if is_gone {
        walk.unreadable.truncate(known);
    }
    Ok(!is_gone)
}

/// All packs that the catalog lists.
pub(crate) fn listed(catalog: &dyn PackCatalog) -> Result<Vec<PackSummary>, VaultError> {
    let mut packs: Vec<PackSummary> = Vec::new();
    loop {
        let batch = catalog.list(packs.last().map(|pack| pack.id), BATCH)?;
        let is_last = batch.len() < BATCH;
        packs.extend(batch);
        if is_last {
            return Ok(packs);
        }
    }
}
