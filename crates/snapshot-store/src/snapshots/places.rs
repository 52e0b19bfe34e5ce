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

/// The most places that are known, of all organizations together: some 6 MiB of memory, and all pages of 50 of a list of
/// three million.
const MOST_PLACES: usize = 1 << 16;

/// What is known of places in the lists of organizations.
#[derive(Default)]
pub(crate) struct Places(Mutex<Lists>);

#[derive(Default)]
struct Lists {
    known: HashMap<Vec<u8>, Known>,
    /// How many places are known, in all lists together.
    places: usize,
}

struct Known {
    shifts: i64,
    /// The last of the first so many rows.
    last_of: BTreeMap<i64, Place>,
}

impl Places {
    /// A row that is known among the first `skip` of an organization after so many shifts, and how many stand up to it.
    pub(super) fn nearest(&self, organization: &[u8], shifts: i64, skip: i64) -> Option<(i64, Place)> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = all.known.get(organization).filter(|known| known.shifts == shifts)?;
        let (&passed, place) = known.last_of.range(..=skip).next_back()?;
        Some((passed, place.clone()))
    }

    /// Remembers which row is the last of the first so many.
    pub(super) fn remember(&self, organization: &[u8], shifts: i64, passed: i64, place: Place) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let all = &mut *all;
        if all.places >= MOST_PLACES {
            all.thin_out();
        }
        let known = all.known.entry(organization.to_vec()).or_insert_with(|| Known {
            shifts,
            last_of: BTreeMap::new(),
        });
        if known.shifts != shifts {
            known.shifts = shifts;
            all.places -= known.last_of.len();
            known.last_of.clear();
        }
        if known.last_of.insert(passed, place).is_none() {
            all.places += 1;
        }
    }
}

impl Lists {
    /// Forgets every second place of each list: from what is left it is a page further at most, for whoever reads where.
    fn thin_out(&mut self) {
        for known in self.known.values_mut() {
            let mut stays = false;
            known.last_of.retain(|_, _| {
                stays = !stays;
                stays
            });
        }
        self.known.retain(|_, known| known.last_of.len() > 1);
        self.places = self.known.values().map(|known| known.last_of.len()).sum();
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
        for number in 0..100_000_u32 {
            places.remember(b"a", 0, number.into(), place(0));
            places.remember(&number.to_be_bytes(), 0, 1, place(0));
        }

        let all = places.0.lock().unwrap();
        let counted: usize = all.known.values().map(|known| known.last_of.len()).sum();
        assert_eq!(all.places, counted);
        assert!(counted <= MOST_PLACES, "{counted}");
    }

    #[test]
    fn several_who_read_a_long_list_far_from_each_other_all_find_a_place_near_by() {
        let places = Places::default();
        let pages = i64::try_from(2 * MOST_PLACES).unwrap();

        // One has read it all; another begins.
        for page in 1..=pages {
            places.remember(b"a", 0, 50 * page, place(0));
        }
        for page in 1..=pages {
            let found = places.nearest(b"a", 0, 50 * page).map_or(0, |(passed, _)| passed);
            assert!(50 * page - found <= 50 * 8, "page {page}: {found}");
            places.remember(b"a", 0, 50 * page, place(0));
        }
    }
}
