//! What the packs hold, a part of all ids at a time.

use crate::format::pack::FooterEntry;
use crate::hash::ChunkId;

/// One of several equal parts of the range of all ids. Ids are keyed hashes, so each part has about as many.
#[derive(Clone, Copy, Debug)]
pub(super) struct Part {
    number: u64,
    parts: u64,
}

impl Part {
    /// As many parts as are needed when there are `records`, and the memory takes `at_once`.
    pub(super) fn all(records: u64, at_once: usize) -> impl Iterator<Item = Self> {
        let parts = records.div_ceil(at_once.max(1) as u64).max(1);
        (0..parts).map(move |number| Self { number, parts })
    }

    pub(super) const fn is_first(self) -> bool {
        self.number == 0
    }

    pub(super) fn covers(self, id: &ChunkId) -> bool {
        let first = u32::from_be_bytes(*id.as_bytes().first_chunk().expect("an id is 32 bytes"));
        (u128::from(first) * u128::from(self.parts)) >> 32 == u128::from(self.number)
    }
}

/// Chunks that some pack holds, whole, and how long they are. Half of an id tells it from all others as well as the
/// whole would: 128 bits of a hash.
#[derive(Debug, Default)]
pub(super) struct Held(Vec<([u8; 16], u32)>);

impl Held {
    /// What one of them takes.
    pub(super) const ENTRY_BYTES: usize = size_of::<([u8; 16], u32)>();

    pub(super) fn add(&mut self, entry: &FooterEntry) {
        self.0.push((half(&entry.id), entry.plain_len));
    }

    /// To be called when all are added.
    pub(super) fn sort(&mut self) {
        self.0.sort_unstable();
    }

    pub(super) fn holds(&self, id: &ChunkId, len: u64) -> bool {
        let half = half(id);
        let at = self.0.partition_point(|(held, _)| *held < half);
        self.0[at..]
            .iter()
            .take_while(|(held, _)| *held == half)
            .any(|(_, held)| u64::from(*held) == len)
    }
}

fn half(id: &ChunkId) -> [u8; 16] {
    *id.as_bytes().first_chunk().expect("an id is 32 bytes")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::record::Kind;
    use crate::hash::ChunkHash;

    fn id(n: u64) -> ChunkId {
        ChunkId(ChunkHash::of(&n.to_le_bytes()).0)
    }

    #[test]
    fn every_id_lies_in_exactly_one_part() {
        for at_once in [0, 1, 7, 100, 1000] {
            for n in 0..100 {
                let covering = Part::all(100, at_once).filter(|part| part.covers(&id(n))).count();

                assert_eq!(covering, 1, "{at_once} at once, id {n}");
            }
        }
        let last = ChunkId([255; 32]);
        assert_eq!(Part::all(100, 3).filter(|part| part.covers(&last)).count(), 1);
    }

    #[test]
    fn what_was_added_is_held_at_its_own_length_only() {
        let mut held = Held::default();
        for n in 0..100 {
            held.add(&FooterEntry {
                id: id(n),
                kind: Kind::Chunk,
                offset: 0,
                length: 0,
                plain_len: 7,
            });
        }
        held.sort();

        assert!((0..100).all(|n| held.holds(&id(n), 7)));
        assert!(!held.holds(&id(100), 7));
        assert!(!held.holds(&id(0), 8));
    }
}
