//! What a verification found.

use super::copies::NO_CHUNKS;
use crate::catalog::SetAside;
use crate::format::names;
use crate::format::pack::FooterEntry;
use crate::hash::ChunkId;
use crate::id::{DomainId, ManifestId, PackId};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::ops::Range;

/// What a verification checked and found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verification {
    /// Packs that were looked at.
    pub packs: u64,
    /// Chunks and index pages that were checked.
    pub records: u64,
    /// Their bytes as they are stored.
    pub stored_bytes: u64,
    /// Copies that were checked.
    pub copies: u64,
    /// What is damaged; empty when all is well.
    pub damage: Vec<Damage>,
    /// What the check came to for each copy, in the order of their names; nothing, when nothing was opened.
    pub outcomes: Vec<(DomainId, ManifestId, CopyOutcome)>,
    /// The chunks that are damaged, as far as their packs tell which they are, and those at bad places of the disk.
    pub set_aside: Vec<SetAside>,
}

/// What a check of a copy came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CopyOutcome {
    /// All of it is as it was stored.
    Whole,
    /// Some of it is lost.
    Damaged,
    /// Some of it could not be read now, which may pass.
    Undecided,
}

/// Something that is not as it was stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The object.
    pub object: String,
    /// Where in the object, in bytes; `None` when it is the object as a whole.
    pub place: Option<Range<u64>>,
    /// What is wrong.
    pub reason: &'static str,
    /// What of which copies is lost by it. Nothing, when nobody needs it, when other packs hold the same, or when nothing
    /// was opened.
    pub lost: Vec<Loss>,
}

impl Damage {
    /// Whether it may be read another time: the disk did not give it back.
    pub fn may_pass(&self) -> bool {
        self.reason == UNREADABLE
    }
}

/// What is wrong with an object, or a part of it, when reading it fails.
pub(crate) const UNREADABLE: &str = "the disk does not give it back";

/// A part of a copy that can't be read any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loss {
    /// The copy's domain.
    pub domain: DomainId,
    /// The copy.
    pub copy: ManifestId,
    /// The bytes of its content; `0..u64::MAX` when nothing of it can be read.
    pub range: Range<u64>,
}

/// What a verification that still runs has found.
#[derive(Default)]
pub(super) struct Findings {
    pub(super) checked: Verification,
    /// Records that are not to be relied upon, by pack and offset.
    damaged_records: HashSet<(PackId, u32)>,
    /// By which damage the chunks and pages in such records are lost, unless another pack holds them.
    damaged_ids: HashMap<ChunkId, usize>,
    /// Packs of which the footer tells nothing.
    unusable: HashSet<PackId>,
    /// Copies that were looked at.
    copies: BTreeSet<(DomainId, ManifestId)>,
}

impl Findings {
    /// Notes damage to an object as a whole, once. Returns the number under which what is lost by it is noted.
    pub(super) fn object(&mut self, object: &str, reason: &'static str) -> usize {
        let damage = &mut self.checked.damage;
        let known = damage
            .iter()
            .position(|it| it.object == object && it.place.is_none() && it.reason == reason);
        known.unwrap_or_else(|| {
            damage.push(Damage {
                object: object.to_owned(),
                place: None,
                reason,
                lost: Vec::new(),
            });
            damage.len() - 1
        })
    }

    pub(super) fn record(&mut self, pack: PackId, entry: &FooterEntry, reason: &'static str) {
        if reason != UNREADABLE {
            self.set_aside(pack, entry);
        }
        let start = u64::from(entry.offset);
        self.damaged_records.insert((pack, entry.offset));
        self.damaged_ids.insert(entry.id, self.checked.damage.len());
        self.checked.damage.push(Damage {
            object: names::pack(pack).to_string(),
            place: Some(start..start + u64::from(entry.length)),
            reason,
            lost: Vec::new(),
        });
    }

    /// Notes that no copy is to count on records that the disk does not give back, while it does others of their pack.
    pub(super) fn bad_places(&mut self, pack: PackId, entries: &[FooterEntry]) {
        for entry in entries {
            self.set_aside(pack, entry);
        }
    }

    fn set_aside(&mut self, pack: PackId, entry: &FooterEntry) {
        self.checked.set_aside.push(SetAside {
            chunk: entry.id,
            pack,
            offset: entry.offset,
        });
    }

    /// Notes that nothing in a pack counts.
    pub(super) fn pack(&mut self, pack: PackId, reason: &'static str) {
        self.unusable.insert(pack);
        self.object(names::pack(pack).as_str(), reason);
    }

    /// Whether the footer of some pack could not be read now: what no other pack holds may lie there.
    pub(super) fn has_unreadable_packs(&self) -> bool {
        let mut unreadable = self.checked.damage.iter().filter(|damage| damage.may_pass());
        unreadable.any(|damage| damage.place.is_none() && damage.object.starts_with(names::PACKS))
    }

    /// Notes that a copy is looked at.
    pub(super) fn copy(&mut self, domain: DomainId, copy: ManifestId) {
        self.copies.insert((domain, copy));
    }

    /// Notes that a copy was deleted meanwhile.
    pub(super) fn copy_is_gone(&mut self, domain: DomainId, copy: ManifestId) {
        self.copies.remove(&(domain, copy));
    }

    fn outcomes(&self) -> Vec<(DomainId, ManifestId, CopyOutcome)> {
        let has_unreadable_packs = self.has_unreadable_packs();
        let mut outcomes: BTreeMap<_, _> = self.copies.iter().map(|copy| (*copy, CopyOutcome::Whole)).collect();
        for damage in &self.checked.damage {
            let may_pass = damage.may_pass() || (damage.reason == NO_CHUNKS && has_unreadable_packs);
            for loss in &damage.lost {
                let Some(outcome) = outcomes.get_mut(&(loss.domain, loss.copy)) else {
                    continue;
                };
                if !may_pass {
                    *outcome = CopyOutcome::Damaged;
                } else if *outcome == CopyOutcome::Whole {
                    *outcome = CopyOutcome::Undecided;
                }
            }
        }
        outcomes
            .into_iter()
            .map(|((domain, copy), outcome)| (domain, copy, outcome))
            .collect()
    }

    pub(super) fn is_usable(&self, pack: PackId) -> bool {
        !self.unusable.contains(&pack)
    }

    pub(super) fn is_whole(&self, pack: PackId, entry: &FooterEntry) -> bool {
        !self.damaged_records.contains(&(pack, entry.offset))
    }

    /// By which damage a chunk or page is lost that no pack holds, as far as that is known.
    pub(super) fn cause(&self, id: &ChunkId) -> Option<usize> {
        self.damaged_ids.get(id).copied()
    }

    /// Whether this is noted to be lost by a damage.
    pub(super) fn is_told(&self, damage: usize, domain: DomainId, copy: ManifestId, range: &Range<u64>) -> bool {
        let mut losses = self.checked.damage[damage].lost.iter();
        losses.any(|loss| {
            (loss.domain, loss.copy) == (domain, copy) && loss.range.start <= range.start && range.end <= loss.range.end
        })
    }

    /// Notes what a copy has lost by a damage. Ranges that touch become one.
    pub(super) fn lost(&mut self, damage: usize, domain: DomainId, copy: ManifestId, range: Range<u64>) {
        let losses = &mut self.checked.damage[damage].lost;
        match losses.last_mut() {
            Some(last) if (last.domain, last.copy, last.range.end) == (domain, copy, range.start) => {
                last.range.end = range.end;
            }
            _ => losses.push(Loss { domain, copy, range }),
        }
    }

    pub(super) fn finish(mut self) -> Verification {
        self.checked.outcomes = self.outcomes();
        self.checked.set_aside.sort_unstable();
        self.checked.damage.sort_by(|a, b| {
            let key = |damage: &Damage| damage.place.as_ref().map(|place| place.start);
            a.object.cmp(&b.object).then_with(|| key(a).cmp(&key(b)))
        });
        self.checked
    }
}
