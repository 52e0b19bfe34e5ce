//! The state of everything, and the steps that change it.

use crate::collector::Collector;
use crate::copier::Copier;

/// A set of packs, snapshots or copies: a bit for each.
pub(crate) type Set = u16;

pub(crate) const fn only(number: usize) -> Set {
    1 << number
}

pub(crate) fn members(set: Set) -> impl Iterator<Item = usize> {
    (0..16).filter(move |number| set & only(*number) != 0)
}

/// What the protocol prescribes. Each is a safeguard that a test takes away.
#[derive(Clone, Copy)]
#[expect(clippy::struct_excessive_bools, reason = "each is a safeguard that is there or not")]
pub(crate) struct Rules {
    pub(crate) waits: bool,
    pub(crate) barrier_follows_condemning: bool,
    pub(crate) waits_for_sessions: bool,
    pub(crate) copies_distrust_packs: bool,
    pub(crate) copies_distrust_parents: bool,
    pub(crate) parent_is_looked_for_again: bool,
    pub(crate) session_opens_first: bool,
    pub(crate) counts_again: bool,
    pub(crate) rescues: bool,
    pub(crate) compares_owner: bool,
    pub(crate) leaves_unindexed: bool,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            waits: true,
            barrier_follows_condemning: true,
            waits_for_sessions: true,
            copies_distrust_packs: true,
            copies_distrust_parents: true,
            parent_is_looked_for_again: true,
            session_opens_first: true,
            counts_again: true,
            rescues: true,
            compares_owner: true,
            leaves_unindexed: true,
        }
    }
}

/// There is one chunk, which every snapshot needs and every pack holds. Snapshot 0 is available from the beginning, in
/// pack 0, and is the parent of copy 0, which makes snapshot 1; copy 1 makes snapshot 2 without a parent. A copy stores
/// its chunk, if it must, in a pack of its own for each attempt; a collection rescues it into one of its own.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct World {
    // The store.
    pub(crate) objects: Set,
    pub(crate) manifests: Set,
    pub(crate) deleted: Set,
    // The catalog.
    pub(crate) kept: Set,
    pub(crate) condemned: Set,
    pub(crate) dropped: Set,
    /// The collection whose the condemned and dropped packs are.
    pub(crate) owner: [u8; PACKS],
    // The index.
    pub(crate) location: Option<u8>,
    pub(crate) indexed: Set,
    pub(crate) copies: [Copier; 2],
    pub(crate) collectors: [Collector; 2],
    /// What there may be from now on.
    pub(crate) bounds: Bounds,
}

/// What there may be in one history.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Bounds {
    pub(crate) lost_leases: u8,
    pub(crate) crashes: u8,
    /// How many collections there may be, and may go on at the same time. A crash allows one more.
    pub(crate) collections: u8,
}

/// The first, two attempts of each copy, one of each collection.
pub(crate) const PACKS: usize = 7;
pub(crate) const NOBODY: u8 = 9;

pub(crate) const fn pack_of_copy(copy: usize, attempt: u8) -> usize {
    1 + 2 * copy + attempt as usize
}

pub(crate) const fn pack_of_collector(collector: usize) -> usize {
    5 + collector
}

/// Shows a step: its name and the state after it.
pub(crate) type Show<'a> = dyn FnMut(&'static str, World) + 'a;

impl World {
    pub(crate) fn new(bounds: Bounds) -> Self {
        Self {
            objects: only(0),
            manifests: only(0),
            deleted: 0,
            kept: only(0),
            condemned: 0,
            dropped: 0,
            owner: [NOBODY; PACKS],
            location: Some(0),
            indexed: only(0),
            copies: [Copier::default(); 2],
            collectors: [Collector::default(); 2],
            bounds,
        }
    }

    /// Whether every snapshot that is there can be read.
    pub(crate) fn is_sound(&self) -> bool {
        self.manifests == 0 || self.location.is_some_and(|pack| self.objects & only(pack.into()) != 0)
    }

    pub(crate) fn steps(&self, rules: &Rules, show: &mut Show<'_>) {
        for number in 0..2 {
            self.copy_steps(number, rules, show);
            self.collector_steps(number, rules, show);
        }
        if self.manifests & only(0) != 0 {
            let mut after = *self;
            after.manifests &= !only(0);
            after.deleted |= only(0);
            show("a snapshot is deleted", after);
        }
        if self.bounds.lost_leases > 0 {
            for number in 0..2 {
                if self.copies[number].has_row {
                    let mut after = *self;
                    after.copies[number].has_row = false;
                    after.bounds.lost_leases -= 1;
                    show("a lease is lost while its copy runs", after);
                }
            }
        }
        // At other times a crash does nothing that concerns collections.
        if self.bounds.crashes > 0 && self.collectors.iter().any(Collector::is_under_way) {
            self.crash(show);
        }
    }

    /// The process ends; the next one reconciles: it takes in what is stored and finishes what is dropped, or fails to.
    fn crash(&self, show: &mut Show<'_>) {
        for finishes in [true, false] {
            let mut after = *self;
            after.bounds.crashes -= 1;
            after.bounds.collections = 2;
            after.copies.iter_mut().for_each(Copier::crash);
            after.collectors.iter_mut().for_each(Collector::crash);
            after.kept |= after.objects & !after.condemned & !after.dropped;
            if finishes {
                after.objects &= !after.dropped;
                after.dropped = 0;
            }
            let usable = after.objects & !after.dropped;
            after.indexed = usable;
            // The index may remember where the chunk lies, or find it in the first or the last pack.
            let remembered = after.location.filter(|pack| usable & only((*pack).into()) != 0);
            let lowest = members(usable).next().and_then(|pack| u8::try_from(pack).ok());
            let highest = members(usable).last().and_then(|pack| u8::try_from(pack).ok());
            for location in [remembered, lowest, highest].into_iter().flatten() {
                after.location = Some(location);
                show("the process is killed and starts again", after);
            }
            if usable == 0 {
                after.location = None;
                show("the process is killed and starts again", after);
            }
        }
    }

    pub(crate) fn add_to_index(&mut self, pack: usize) {
        self.indexed |= only(pack);
        self.location = u8::try_from(pack).ok();
    }

    pub(crate) fn remove_from_index(&mut self, packs: Set) {
        self.indexed &= !packs;
        self.location = self.location.filter(|pack| packs & only((*pack).into()) == 0);
    }
}
