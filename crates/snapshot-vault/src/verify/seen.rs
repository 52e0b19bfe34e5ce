//! Which records were read, and are whole.

use crate::id::PackId;
use crate::index::Location;
use std::collections::{HashMap, HashSet};

/// The places of records that were read. When the memory is full, no more are noted: they are read again.
#[derive(Debug)]
pub(super) struct Seen {
    packs: HashMap<PackId, u32>,
    /// Number of the pack, and offset of the record.
    places: HashSet<u64>,
    most: usize,
}

/// What one place takes in a table that is half full.
const PLACE_BYTES: usize = 24;

impl Seen {
    pub(super) fn new(memory_bytes: usize) -> Self {
        Self {
            packs: HashMap::new(),
            places: HashSet::new(),
            most: memory_bytes / PLACE_BYTES,
        }
    }

    pub(super) fn contains(&self, place: &Location) -> bool {
        let number = self.packs.get(&place.pack);
        number.is_some_and(|number| self.places.contains(&key(*number, place.offset)))
    }
}

impl<'a> Extend<&'a Location> for Seen {
    fn extend<I: IntoIterator<Item = &'a Location>>(&mut self, places: I) {
        for place in places {
            if self.places.len() >= self.most {
                return;
            }
            let next = u32::try_from(self.packs.len()).expect("there is no memory for so many packs");
            let number = *self.packs.entry(place.pack).or_insert(next);
            self.places.insert(key(number, place.offset));
        }
    }
}

fn key(number: u32, offset: u32) -> u64 {
    u64::from(number) << 32 | u64::from(offset)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_noted_is_seen_until_the_memory_is_full() {
        let place = |pack, offset| Location {
            pack,
            offset,
            length: 7,
        };
        let (one, other) = (PackId::random(), PackId::random());
        let mut seen = Seen::new(3 * PLACE_BYTES);

        seen.extend(&[place(one, 1), place(other, 1), place(one, 2), place(one, 3)]);

        assert!(seen.contains(&place(one, 1)) && seen.contains(&place(other, 1)) && seen.contains(&place(one, 2)));
        assert!(!seen.contains(&place(one, 3)), "it is read again");
        assert!(!seen.contains(&place(other, 2)) && !seen.contains(&place(PackId::random(), 1)));
    }
}
