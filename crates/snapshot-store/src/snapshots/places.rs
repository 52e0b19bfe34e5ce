//! Where pages of long lists begin.
//!
//! The rows before a page are skipped one by one, which takes long on page 10,000. Whoever asks for it has mostly read page
//! 9,999 just before: so the last row of each page is remembered with its number, and the next page begins behind it. That
//! holds as long as no row changed its place, which the database counts.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Mutex, PoisonError},
};

use crate::list::Place;

/// The most organizations that something is known of.
const MOST_ORGANIZATIONS: usize = 1024;
/// The most places that are known of one.
const MOST_PLACES: usize = 1024;

/// What is known of places in the lists of organizations.
#[derive(Default)]
pub(crate) struct Places(Mutex<HashMap<Vec<u8>, Known>>);

struct Known {
    shifts: i64,
    /// The last of the first so many rows.
    last_of: BTreeMap<i64, Place>,
}

impl Places {
    /// A row that is known among the first `skip` of an organization after so many shifts, and how many stand up to it.
    pub(super) fn nearest(&self, organization: &[u8], shifts: i64, skip: i64) -> Option<(i64, Place)> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = all.get(organization).filter(|known| known.shifts == shifts)?;
        let (&passed, place) = known.last_of.range(..=skip).next_back()?;
        Some((passed, place.clone()))
    }

    /// Remembers which row is the last of the first so many.
    pub(super) fn remember(&self, organization: &[u8], shifts: i64, passed: i64, place: Place) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= MOST_ORGANIZATIONS && !all.contains_key(organization) {
            all.clear();
        }
        let known = all.entry(organization.to_vec()).or_insert_with(|| Known {
            shifts,
            last_of: BTreeMap::new(),
        });
        if known.shifts != shifts {
            known.shifts = shifts;
            known.last_of.clear();
        }
        if known.last_of.len() >= MOST_PLACES {
            // Who reads on needs the later ones.
            known.last_of.pop_first();
        }
        known.last_of.insert(passed, place);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(number: u8) -> Place {
        (i64::from(number), vec![number])
    }

    #[test]
    fn the_nearest_place_is_found_until_something_shifts() {
        let places = Places::default();
        places.remember(b"a", 7, 50, place(1));
        places.remember(b"a", 7, 100, place(2));

        assert_eq!(places.nearest(b"a", 7, 49), None);
        assert_eq!(places.nearest(b"a", 7, 99), Some((50, place(1))));
        assert_eq!(places.nearest(b"a", 7, 100), Some((100, place(2))));
        assert_eq!(places.nearest(b"b", 7, 100), None);
        assert_eq!(places.nearest(b"a", 8, 100), None);

        places.remember(b"a", 8, 200, place(3));
        assert_eq!(places.nearest(b"a", 8, 150), None);
    }

    #[test]
    fn no_more_than_so_much_is_remembered() {
        let places = Places::default();
        for number in 0..5000_u32 {
            places.remember(b"a", 0, number.into(), place(0));
            places.remember(&number.to_be_bytes(), 0, 1, place(0));
        }

        let all = places.0.lock().unwrap();
        assert!(all.len() <= MOST_ORGANIZATIONS);
        assert!(all.values().all(|known| known.last_of.len() <= MOST_PLACES));
    }
}
