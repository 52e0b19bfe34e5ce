//! Making index, catalog and stored packs agree.

use crate::blob::{BlobEntry, BlobError, BlobStore};
use crate::catalog::{Distrusted, PackCatalog, PackStanding, PackSummary, SetAside};
use crate::collect::removal;
use crate::error::VaultError;
use crate::format::pack::{Footer, FooterEntry};
use crate::format::{Flaw, names};
use crate::id::PackId;
use crate::index::{ChunkIndex, IndexEntry, Location};
use crate::listing::{Listing, read_listing, whole_records};
use crate::pack::summary;
use std::collections::HashSet;
use std::error::Error;
use std::ops::ControlFlow;

/// What [`crate::Vault::reconcile`] found and did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reconciliation {
    /// Packs that are stored and whole, as far as their sizes and footers tell.
    pub packs: u64,
    /// Of these, packs that the catalog did not know.
    pub adopted: u64,
    /// Of these, packs that the index did not know.
    pub indexed: u64,
    /// Packs that the index knew, and that are not stored.
    pub forgotten: u64,
    /// Packs whose removal an interrupted collection had left to be finished.
    pub removed: u64,
    /// Packs that are lost or damaged.
    pub damaged: Vec<DamagedPack>,
    /// Packs that are not whole, and that neither the catalog nor the index knows: they were torn while they were stored,
    /// before anything counted on them. [`crate::Vault::collect`] removes them.
    pub torn: Vec<DamagedPack>,
}

/// A pack that is lost, damaged or torn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DamagedPack {
    /// The pack.
    pub id: PackId,
    /// What is wrong with it.
    pub reason: &'static str,
}

/// How many packs are asked for at once.
const BATCH: usize = 1024;

/// The three lists of packs are in the same order, so they are walked side by side, and none is held in memory.
pub(crate) fn reconcile(
    blobs: &dyn BlobStore,
    index: &dyn ChunkIndex,
    catalog: &dyn PackCatalog,
) -> Result<Reconciliation, VaultError> {
    let first = walk(blobs, index, catalog)?;
    if first.lost_from_index == 0 {
        return Ok(finish(blobs, index, catalog, first));
    }
    // The index knows one place of each chunk. A chunk of a pack that is gone may have a second one in a pack that is there, and
    // only the footers of all packs tell: this is rare enough to read them all.
    index.clear()?;
    let second = walk(blobs, index, catalog)?;
    Ok(Reconciliation {
        adopted: first.found.adopted,
        forgotten: first.found.forgotten,
        ..finish(blobs, index, catalog, second)
    })
}

/// Finishes what was dropped. What can't be removed now must not keep the service from starting: it stays dropped, and
/// nothing counts on it.
fn finish(blobs: &dyn BlobStore, index: &dyn ChunkIndex, catalog: &dyn PackCatalog, walked: Outcome) -> Reconciliation {
    let mut found = walked.found;
    for packs in walked.dropped.chunks(removal::AT_ONCE) {
        match removal::remove(blobs, index, catalog, packs) {
            Ok(()) => found.removed += packs.len() as u64,
            Err(error) => log::error!("{} dropped packs could not be removed yet: {error}", packs.len()),
        }
    }
    found
}

struct Walk<'a> {
    blobs: &'a dyn BlobStore,
    index: &'a dyn ChunkIndex,
    catalog: &'a dyn PackCatalog,
    recorded: Ahead<'a, PackSummary>,
    indexed: Ahead<'a, PackId>,
    distrusted: Distrusted,
    outcome: Outcome,
}

/// What a pack holds.
struct Held {
    footer: Footer,
    /// Of that, what the index may lead to.
    whole: Vec<FooterEntry>,
}

impl Held {
    /// What the index may not lead to: what copies count on it for has to be stored anew.
    fn left_out(&self, pack: PackId) -> Vec<SetAside> {
        let whole: HashSet<u32> = self.whole.iter().map(|entry| entry.offset).collect();
        let entries = self.footer.entries.iter();
        let left_out = entries.filter(|entry| !whole.contains(&entry.offset));
        let set_aside = |entry: &FooterEntry| SetAside {
            chunk: entry.id,
            pack,
            offset: entry.offset,
        };
        left_out.map(set_aside).collect()
    }
}

/// Why it is not known what a pack holds.
enum NotListed {
    /// It was read, and is no whole pack.
    Flaw(Flaw),
    /// It could not be read, which may pass.
    Unread,
}

#[derive(Default)]
struct Outcome {
    found: Reconciliation,
    /// Packs that are gone, on purpose or not, or damaged, and that the index knew.
    lost_from_index: u64,
    dropped: Vec<PackSummary>,
}

fn walk(blobs: &dyn BlobStore, index: &dyn ChunkIndex, catalog: &dyn PackCatalog) -> Result<Outcome, VaultError> {
    let mut walk = Walk {
        blobs,
        index,
        catalog,
        recorded: Ahead::new(|after: Option<&PackSummary>| Ok(catalog.list(after.map(|pack| pack.id), BATCH)?)),
        indexed: Ahead::new(|after: Option<&PackId>| Ok(index.packs(after.copied(), BATCH)?)),
        distrusted: catalog.distrusted()?,
        outcome: Outcome::default(),
    };
    let mut result = Ok(());
    blobs.list(names::PACKS, &mut |entry: BlobEntry| {
        let Some(id) = names::uuid_of(&entry.key)
            .map(PackId::new)
            .filter(|id| names::pack(*id) == entry.key)
        else {
            log::warn!("{} is no pack", entry.key);
            return ControlFlow::Continue(());
        };
        result = walk.stored(id, entry.size_bytes);
        if result.is_ok() {
            ControlFlow::Continue(())
        } else {
            ControlFlow::Break(())
        }
    })?;
    result?;
    walk.missing_before(None)?;
    index.flush()?;
    Ok(walk.outcome)
}

impl Walk<'_> {
    /// A pack lies in the store.
    fn stored(&mut self, id: PackId, size_bytes: u64) -> Result<(), VaultError> {
        self.missing_before(Some(id))?;
        let recorded = self.recorded.take_if(|pack| pack.id == id)?;
        let indexed = self.indexed.take_if(|pack| *pack == id)?.is_some();
        if let Some(dropped) = recorded.filter(is_dropped) {
            self.outcome.dropped.push(dropped);
            return Ok(());
        }
        if recorded.is_some_and(|pack| pack.size_bytes != size_bytes) {
            self.damaged(id, "its length is not the one in the catalog", indexed);
            return Ok(());
        }
        if recorded.is_none() || !indexed {
            match self.listing(id, size_bytes)? {
                Ok(held) => self.take_in(id, size_bytes, &held, recorded.is_some(), indexed)?,
                Err(NotListed::Flaw(Flaw::Bytes(reason))) if recorded.is_none() && !indexed => {
                    log::warn!("pack {id} was never finished: {reason}");
                    self.outcome.found.torn.push(DamagedPack { id, reason });
                    return Ok(());
                }
                Err(NotListed::Flaw(flaw)) => {
                    self.damaged(id, flaw.reason(), indexed);
                    return Ok(());
                }
                Err(NotListed::Unread) => {
                    self.damaged(id, "it can't be read", indexed);
                    return Ok(());
                }
            }
        }
        self.outcome.found.packs += 1;
        Ok(())
    }

    /// What a pack holds. One that can't be read must not keep the service from starting: it is reported, and when it was
    /// only for a moment, the next start takes it in.
    fn listing(&self, id: PackId, size_bytes: u64) -> Result<Result<Held, NotListed>, VaultError> {
        let listing = read_listing(self.blobs, id, size_bytes).and_then(|listing| match listing {
            Ok(Listing { footer, flaw: None }) => Ok(Ok(Held {
                whole: footer.entries.clone(),
                footer,
            })),
            Ok(Listing {
                footer,
                flaw: Some(flaw),
            }) => {
                let reason = flaw.reason();
                log::error!(
                    "pack {id} has a damaged header or footer, and what it holds is known all the same: {reason}"
                );
                // Nothing else tells that they were stored to their ends.
                let whole = whole_records(self.blobs, id, &footer)?;
                Ok(Ok(Held { footer, whole }))
            }
            Err(flaw) => Ok(Err(NotListed::Flaw(flaw))),
        });
        match listing {
            Ok(listing) => Ok(listing),
            Err(error @ (BlobError::NotFound { .. } | BlobError::Short { .. } | BlobError::Io { .. })) => {
                log::error!(
                    "pack {id}: {error}: {}",
                    error.source().map(ToString::to_string).unwrap_or_default()
                );
                Ok(Err(NotListed::Unread))
            }
            Err(error) => Err(error.into()),
        }
    }

    fn take_in(
        &mut self,
        id: PackId,
        size_bytes: u64,
        held: &Held,
        recorded: bool,
        indexed: bool,
    ) -> Result<(), VaultError> {
        if !recorded {
            self.catalog
                .record(&summary(id, held.footer.domain, size_bytes, &held.footer.entries))?;
            self.outcome.found.adopted += 1;
        }
        // Before the index tells of the pack: from then on, no start looks at its records again.
        let left_out = held.left_out(id);
        if !left_out.is_empty() {
            self.catalog.set_aside(&left_out)?;
        }
        if !indexed {
            self.index.add_pack(id, &self.places(id, &held.whole)?)?;
            self.outcome.found.indexed += 1;
        }
        Ok(())
    }

    /// What the index is to note of a pack: where a place is distrusted, only what is nowhere else. Otherwise the index
    /// would lead readers to a damaged chunk past a whole one.
    fn places(&self, id: PackId, entries: &[FooterEntry]) -> Result<Vec<IndexEntry>, VaultError> {
        let places: Vec<_> = entries.iter().map(FooterEntry::for_index).collect();
        let offsets = self.distrusted.chunks.iter().filter(|chunk| chunk.pack == id);
        let offsets: HashSet<u32> = offsets.map(|chunk| chunk.offset).collect();
        let all = self.distrusted.packs.contains(&id);
        if !all && offsets.is_empty() {
            return Ok(places);
        }
        let ids: Vec<_> = places.iter().map(|place| place.id).collect();
        let others = self.index.locate(&ids)?;
        let is_needed =
            |place: &IndexEntry, other: Option<Location>| other.is_none() || !(all || offsets.contains(&place.offset));
        let pairs = places.into_iter().zip(others);
        Ok(pairs
            .filter(|(place, other)| is_needed(place, *other))
            .map(|(place, _)| place)
            .collect())
    }

    /// All packs up to `next` (`None`: all that follow) that catalog or index know, and that do not lie in the store.
    fn missing_before(&mut self, next: Option<PackId>) -> Result<(), VaultError> {
        let is_before = |id: PackId| next.is_none_or(|next| id < next);
        while let Some(recorded) = self.recorded.take_if(|pack| is_before(pack.id))? {
            self.unknown_before(Some(recorded.id))?;
            let indexed = self.indexed.take_if(|pack| *pack == recorded.id)?.is_some();
            if is_dropped(&recorded) {
                self.outcome.dropped.push(recorded);
            } else {
                self.damaged(recorded.id, "it is gone", indexed);
            }
        }
        self.unknown_before(next)
    }

    /// Packs that only the index knows were deleted on purpose, or came after the state that vault and database were put
    /// back to.
    fn unknown_before(&mut self, next: Option<PackId>) -> Result<(), VaultError> {
        while let Some(indexed) = self.indexed.take_if(|pack| next.is_none_or(|next| *pack < next))? {
            self.index.remove_pack(indexed, &[])?;
            self.outcome.found.forgotten += 1;
            self.outcome.lost_from_index += 1;
        }
        Ok(())
    }

    fn damaged(&mut self, id: PackId, reason: &'static str, indexed: bool) {
        log::error!("pack {id} is damaged: {reason}");
        self.outcome.found.damaged.push(DamagedPack { id, reason });
        self.outcome.lost_from_index += u64::from(indexed);
    }
}

fn is_dropped(pack: &PackSummary) -> bool {
    pack.standing == PackStanding::Dropped
}

type Fetch<'a, T> = Box<dyn Fn(Option<&T>) -> Result<Vec<T>, VaultError> + 'a>;

/// A long list that is fetched in batches and looked at one item ahead.
struct Ahead<'a, T> {
    fetch: Fetch<'a, T>,
    batch: std::iter::Peekable<std::vec::IntoIter<T>>,
    last: Option<T>,
    exhausted: bool,
}

impl<'a, T: Copy> Ahead<'a, T> {
    fn new(fetch: impl Fn(Option<&T>) -> Result<Vec<T>, VaultError> + 'a) -> Self {
        Self {
            fetch: Box::new(fetch),
            batch: Vec::new().into_iter().peekable(),
            last: None,
            exhausted: false,
        }
    }

    /// The next item, if there is one and it is wanted.
    fn take_if(&mut self, wanted: impl FnOnce(&T) -> bool) -> Result<Option<T>, VaultError> {
        if self.batch.peek().is_none() && !self.exhausted {
            let batch = (self.fetch)(self.last.as_ref())?;
            self.exhausted = batch.len() < BATCH;
            self.last = batch.last().copied();
            self.batch = batch.into_iter().peekable();
        }
        Ok(self.batch.next_if(wanted))
    }
}
