//! One run of a collection.

use super::barrier::Barrier;
use super::rescue::{Rescue, Rescued};
use super::torn::Torn;
use super::{CollectOptions, Collection, CollectionEnd, Waiting, removal};
use crate::blob::BlobError;
use crate::catalog::{PackStanding, PackSummary, PromisedCopies, RunningCopies, SetAside};
use crate::census::{Census, CountedPack, listed};
use crate::checked::CheckedRecords;
use crate::elsewhere::{lead_past_damage, lead_to_lacking, only_whole_here};
use crate::error::VaultError;
use crate::format::names;
use crate::id::{CollectionId, PackId};
use crate::index::knows_pack;
use crate::listing::read_listing;
use crate::vault::Vault;
use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;

pub(super) fn collect(
    vault: &Vault,
    running: &dyn RunningCopies,
    promised: &dyn PromisedCopies,
    options: &CollectOptions,
    patience: &mut dyn FnMut(Waiting) -> ControlFlow<()>,
    stop: &dyn Fn() -> bool,
) -> Result<Collection, VaultError> {
    let mut run = Run {
        vault,
        id: CollectionId::random(),
        promised,
        options,
        stop,
        damaged: HashMap::new(),
        report: Collection::default(),
    };
    let end = if options.dry_run {
        run.rehearse()
    } else {
        run.perform(running, patience)
    };
    run.report.end = match end {
        Ok(end) => end,
        Err(VaultError::Stopped) => CollectionEnd::Stopped,
        Err(error) => return Err(error),
    };
    Ok(run.report)
}

/// So many packs are rewritten before the first of them is removed.
const REWRITTEN_AT_ONCE: usize = 16;

struct Run<'a> {
    vault: &'a Vault,
    id: CollectionId,
    promised: &'a dyn PromisedCopies,
    options: &'a CollectOptions,
    stop: &'a dyn Fn() -> bool,
    /// Places of damaged chunks.
    damaged: HashMap<PackId, HashSet<u32>>,
    report: Collection,
}

/// What is to become of a pack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Fate {
    /// It stays as it is.
    Keep,
    /// Nothing in it is in use.
    Delete,
    /// What is in use is copied into a new pack.
    Rewrite,
}

impl Run<'_> {
    fn rehearse(&mut self) -> Result<CollectionEnd, VaultError> {
        let packs = listed(&*self.vault.0.catalog)?;
        self.report.packs = packs.len() as u64;
        let census = self.census(packs)?;
        if !census.unreadable.is_empty() {
            return Ok(CollectionEnd::Refused);
        }
        for torn in self.torn(&census)? {
            self.report.deleted += 1;
            self.report.deleted_bytes += torn.size_bytes;
        }
        for pack in &census.packs {
            let fate = match pack.summary.standing {
                PackStanding::Kept => self.candidate(&census, pack)?,
                PackStanding::Condemned => self.fate(&census, pack)?,
                PackStanding::Dropped => Fate::Delete,
            };
            if fate == Fate::Keep {
                continue;
            }
            self.report.condemned += u64::from(pack.summary.standing == PackStanding::Kept);
            self.report.deleted += 1;
            self.report.deleted_bytes += pack.summary.size_bytes;
            if fate == Fate::Rewrite {
                self.report.rewritten += 1;
                self.report.written_bytes += pack.live_bytes.unwrap_or(0);
            }
        }
        Ok(CollectionEnd::Done)
    }

    fn perform(
        &mut self,
        running: &dyn RunningCopies,
        patience: &mut dyn FnMut(Waiting) -> ControlFlow<()>,
    ) -> Result<CollectionEnd, VaultError> {
        let core = &*self.vault.0;
        let owned = core.catalog.take_over(self.id)?;
        let (dropped, condemned): (Vec<_>, Vec<_>) = owned
            .into_iter()
            .partition(|pack| pack.standing == PackStanding::Dropped);
        self.remove(&dropped)?;
        lead_past_damage(self.vault, self.stop)?;

        let packs = listed(&*core.catalog)?;
        self.report.packs = packs.len() as u64;
        let mut census = self.census(packs)?;
        // Twice: only an index page that is found again tells of its chunks.
        for _ in 0..2 {
            if !census.lacks_something() || lead_to_lacking(self.vault, census.lacking.clone(), self.stop)? == 0 {
                break;
            }
            census = self.census(listed(&*core.catalog)?)?;
        }
        if !census.unreadable.is_empty() {
            return self.refuse(&condemned);
        }
        for torn in self.torn(&census)? {
            torn.remove(core)?;
            self.report.deleted += 1;
            self.report.deleted_bytes += torn.size_bytes;
        }
        let mut candidates = Vec::new();
        for pack in &census.packs {
            if pack.summary.standing == PackStanding::Kept && self.candidate(&census, pack)? != Fate::Keep {
                candidates.push(pack.summary.id);
            }
        }
        drop(census);
        if candidates.is_empty() && condemned.is_empty() {
            return Ok(CollectionEnd::Done);
        }
        core.catalog.condemn(self.id, &candidates)?;
        self.report.condemned = candidates.len() as u64;

        let barrier = Barrier::put_up(core, running)?;
        if let ControlFlow::Break(copies) = barrier.wait(core, running, patience, self.stop)? {
            return Ok(CollectionEnd::Waiting { copies });
        }
        self.settle()
    }

    /// No copy that runs relies on a condemned pack. Counts again, and removes them.
    fn settle(&mut self) -> Result<CollectionEnd, VaultError> {
        let core = &*self.vault.0;
        let census = self.census(listed(&*core.catalog)?)?;
        let is_condemned = |pack: &&CountedPack| pack.summary.standing == PackStanding::Condemned;
        let condemned: Vec<CountedPack> = census.packs.iter().filter(is_condemned).copied().collect();
        if !census.unreadable.is_empty() {
            let packs: Vec<PackSummary> = condemned.iter().map(|pack| pack.summary).collect();
            return self.refuse(&packs);
        }
        let mut with_fate: HashMap<Fate, Vec<CountedPack>> = HashMap::new();
        for pack in condemned {
            let fate = self.fate(&census, &pack)?;
            with_fate.entry(fate).or_default().push(pack);
        }
        let mut take = |fate| with_fate.remove(&fate).unwrap_or_default();
        let (kept, mut dead, mut rewritten) = (take(Fate::Keep), take(Fate::Delete), take(Fate::Rewrite));
        self.release(&kept)?;
        for packs in [&mut dead, &mut rewritten] {
            self.keep_what_is_only_whole(&census, packs)?;
        }
        // First what makes room.
        self.drop_packs(&dead)?;
        let mut rescue = Rescue::new(self.vault, &census)?;
        let result = self.rewrite(&mut rescue, &rewritten);
        self.report.written_bytes += rescue.written_bytes;
        if let Err(error) = &result
            && error.is_no_space()
        {
            // What is in use in them is of more use where it is than stored again by copies.
            self.release(&rewritten)?;
        }
        result.map(|()| CollectionEnd::Done)
    }

    /// Keeps packs with something that is whole here, and damaged where the index finds it, or not found by it while copies
    /// lack chunks. The index is led to them, so that the next collection finds it in use, or not. What can't be looked into
    /// now is kept, too.
    fn keep_what_is_only_whole(&mut self, census: &Census, packs: &mut Vec<CountedPack>) -> Result<(), VaultError> {
        let core = &*self.vault.0;
        let mut records = CheckedRecords::new(self.vault)?;
        let mut kept = Vec::new();
        for pack in &*packs {
            let is_live = |ordinal| census.is_live(pack, ordinal);
            let found = only_whole_here(
                self.vault,
                &mut records,
                &pack.summary,
                &is_live,
                census.lacks_something(),
                self.stop,
            );
            let only_whole = match found {
                Ok(only_whole) if only_whole.is_empty() => continue,
                Ok(only_whole) => only_whole,
                // One bad place must not keep all others from being given back.
                Err(VaultError::Blob(error @ BlobError::Io { .. })) => {
                    log::warn!("pack {} is kept, for it can't be looked into: {error}", pack.summary.id);
                    kept.push(*pack);
                    continue;
                }
                Err(error) => return Err(error),
            };
            log::warn!(
                "pack {} is kept, for {} chunks are whole only there, and the index did not lead to them",
                pack.summary.id,
                only_whole.len()
            );
            let damaged: Vec<SetAside> = only_whole.iter().filter_map(|only| only.damaged).collect();
            self.vault.set_aside(&damaged)?;
            self.report.damaged.extend(damaged);
            // A pack that the index does not know is taken in by the next start, with all that it holds.
            if self.is_indexed(pack.summary.id)? {
                let here: Vec<_> = only_whole.iter().map(|only| only.here).collect();
                core.index.add_pack(pack.summary.id, &here)?;
            }
            kept.push(*pack);
        }
        if kept.is_empty() {
            return Ok(());
        }
        core.index.flush()?;
        packs.retain(|pack| kept.iter().all(|kept| kept.summary.id != pack.summary.id));
        self.release(&kept)
    }

    fn rewrite(&mut self, rescue: &mut Rescue<'_>, packs: &[CountedPack]) -> Result<(), VaultError> {
        for packs in packs.chunks(REWRITTEN_AT_ONCE) {
            let mut rescued = Vec::new();
            for pack in packs {
                match rescue.pack(pack, self.stop)? {
                    Rescued::All => rescued.push(*pack),
                    Rescued::Damaged(chunks) => {
                        self.vault.set_aside(&chunks)?;
                        self.report.damaged.extend(chunks);
                        self.release(std::slice::from_ref(pack))?;
                    }
                }
            }
            rescue.close()?;
            self.report.rewritten += self.drop_packs(&rescued)?;
        }
        Ok(())
    }

    fn census(&mut self, packs: Vec<PackSummary>) -> Result<Census, VaultError> {
        let mut damaged: HashMap<PackId, HashSet<u32>> = HashMap::new();
        for chunk in self.vault.0.catalog.distrusted()?.chunks {
            damaged.entry(chunk.pack).or_default().insert(chunk.offset);
        }
        self.damaged = damaged;
        let census = Census::take(self.vault, packs, self.promised, self.stop)?;
        self.report.unreadable.clone_from(&census.unreadable);
        Ok(census)
    }

    /// The torn packs that can go. While copies miss chunks, none can: what is taken for torn may be a pack that was damaged
    /// after the catalog lost its row, and may still hold them.
    fn torn(&self, census: &Census) -> Result<Vec<Torn>, VaultError> {
        if census.lacks_something() {
            return Ok(Vec::new());
        }
        Torn::all(&self.vault.0)
    }

    /// Nobody knows what is in use: nothing is removed, and copies shall not do without the condemned packs meanwhile.
    fn refuse(&mut self, condemned: &[PackSummary]) -> Result<CollectionEnd, VaultError> {
        let ids: Vec<PackId> = condemned.iter().map(|pack| pack.id).collect();
        self.vault.0.catalog.release(self.id, &ids)?;
        self.report.released += ids.len() as u64;
        Ok(CollectionEnd::Refused)
    }

    /// What is to become of a pack that is kept so far.
    fn candidate(&self, census: &Census, pack: &CountedPack) -> Result<Fate, VaultError> {
        let fate = self.fate(census, pack)?;
        // A pack that the index does not know is just being finished, or waits for the next start to take it in: what
        // lies in it can't be found to be in use.
        if fate != Fate::Keep && !self.is_indexed(pack.summary.id)? && self.is_stored(pack.summary.id)? {
            return Ok(Fate::Keep);
        }
        Ok(fate)
    }

    fn fate(&self, census: &Census, pack: &CountedPack) -> Result<Fate, VaultError> {
        let Some(live_bytes) = pack.live_bytes else {
            return Ok(Fate::Keep);
        };
        if live_bytes == 0 {
            // What copies lack may lie in a pack that the index does not know. When that pack is lost, nothing but its row
            // tells so, and without it copies would count on what their parents lack.
            let may_be_lacked = census.lacks_something() && !self.is_indexed(pack.summary.id)?;
            return Ok(if may_be_lacked { Fate::Keep } else { Fate::Delete });
        }
        #[expect(clippy::cast_precision_loss, reason = "a share need not be exact")]
        let share = live_bytes as f64 / pack.record_bytes() as f64;
        // Rewritten, a pack has whole ends again.
        let is_worth_it = share < self.options.live_share || pack.has_damaged_ends;
        if !is_worth_it || self.holds_damaged(census, pack)? {
            return Ok(Fate::Keep);
        }
        Ok(Fate::Rewrite)
    }

    /// Whether something in use is known to be damaged: it can't be copied, so the pack stays.
    fn holds_damaged(&self, census: &Census, pack: &CountedPack) -> Result<bool, VaultError> {
        let Some(offsets) = self.damaged.get(&pack.summary.id) else {
            return Ok(false);
        };
        let listing = read_listing(&*self.vault.0.blobs, pack.summary.id, pack.summary.size_bytes)?;
        let Ok(listing) = listing else { return Ok(true) };
        let mut entries = listing.footer.entries.iter().enumerate();
        Ok(entries.any(|(ordinal, entry)| offsets.contains(&entry.offset) && census.is_live(pack, ordinal)))
    }

    fn is_indexed(&self, id: PackId) -> Result<bool, VaultError> {
        Ok(knows_pack(&*self.vault.0.index, id)?)
    }

    fn is_stored(&self, id: PackId) -> Result<bool, VaultError> {
        match self.vault.0.blobs.size(&names::pack(id)) {
            Ok(_) => Ok(true),
            Err(BlobError::NotFound { .. }) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    fn release(&mut self, packs: &[CountedPack]) -> Result<(), VaultError> {
        let ids: Vec<PackId> = packs.iter().map(|pack| pack.summary.id).collect();
        self.vault.0.catalog.release(self.id, &ids)?;
        self.report.released += ids.len() as u64;
        Ok(())
    }

    /// Drops condemned packs that are still this collection's, and removes them. Returns how many these were.
    fn drop_packs(&mut self, packs: &[CountedPack]) -> Result<u64, VaultError> {
        let mut count = 0;
        for packs in packs.chunks(removal::AT_ONCE) {
            let ids: Vec<PackId> = packs.iter().map(|pack| pack.summary.id).collect();
            let dropped: HashSet<PackId> = self.vault.0.catalog.drop_packs(self.id, &ids)?.into_iter().collect();
            let dropped: Vec<PackSummary> = packs
                .iter()
                .map(|pack| pack.summary)
                .filter(|pack| dropped.contains(&pack.id))
                .collect();
            self.remove(&dropped)?;
            count += dropped.len() as u64;
        }
        Ok(count)
    }

    fn remove(&mut self, dropped: &[PackSummary]) -> Result<(), VaultError> {
        let core = &*self.vault.0;
        for packs in dropped.chunks(removal::AT_ONCE) {
            if (self.stop)() {
                return Err(VaultError::Stopped);
            }
            removal::remove(&*core.blobs, &*core.index, &*core.catalog, packs)?;
            self.report.deleted += packs.len() as u64;
            self.report.deleted_bytes += packs.iter().map(|pack| pack.size_bytes).sum::<u64>();
        }
        Ok(())
    }
}
