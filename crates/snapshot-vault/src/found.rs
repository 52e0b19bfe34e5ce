//! An index of a few chunks, for readers that have none of their own.

use crate::hash::ChunkId;
use crate::id::PackId;
use crate::index::{ChunkIndex, IndexEntry, IndexError, Location};
use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};

/// The places of those chunks that somebody asked for, as far as they were found in packs.
#[derive(Debug, Default)]
pub(crate) struct FoundChunks(RwLock<HashMap<ChunkId, Option<Location>>>);

impl FoundChunks {
    /// Forgets everything, and waits for these.
    pub(crate) fn look_for(&self, ids: impl Iterator<Item = ChunkId>) {
        let mut places = self.0.write().unwrap_or_else(PoisonError::into_inner);
        *places = ids.map(|id| (id, None)).collect();
    }

    /// Waits for these, too.
    pub(crate) fn also_look_for(&self, ids: impl Iterator<Item = ChunkId>) {
        let mut places = self.0.write().unwrap_or_else(PoisonError::into_inner);
        for id in ids {
            places.entry(id).or_default();
        }
    }

    /// Notes what a pack holds, as far as it is waited for.
    pub(crate) fn in_pack(&self, pack: PackId, entries: impl Iterator<Item = IndexEntry>) {
        let mut places = self.0.write().unwrap_or_else(PoisonError::into_inner);
        for entry in entries {
            if let Some(place) = places.get_mut(&entry.id) {
                *place = Some(Location {
                    pack,
                    offset: entry.offset,
                    length: entry.length,
                });
            }
        }
    }

    fn get(&self, id: &ChunkId) -> Option<Location> {
        let places = self.0.read().unwrap_or_else(PoisonError::into_inner);
        places.get(id).copied().flatten()
    }
}

impl ChunkIndex for FoundChunks {
    fn contains(&self, id: &ChunkId) -> Result<bool, IndexError> {
        Ok(self.get(id).is_some())
    }

    fn locate(&self, ids: &[ChunkId]) -> Result<Vec<Option<Location>>, IndexError> {
        Ok(ids.iter().map(|id| self.get(id)).collect())
    }

    fn add_pack(&self, pack: PackId, entries: &[IndexEntry]) -> Result<(), IndexError> {
        self.in_pack(pack, entries.iter().copied());
        Ok(())
    }

    fn packs(&self, _after: Option<PackId>, _limit: usize) -> Result<Vec<PackId>, IndexError> {
        Ok(Vec::new())
    }

    fn remove_pack(&self, pack: PackId, _chunks: &[ChunkId]) -> Result<(), IndexError> {
        let mut places = self.0.write().unwrap_or_else(PoisonError::into_inner);
        for place in places
            .values_mut()
            .filter(|place| place.is_some_and(|at| at.pack == pack))
        {
            *place = None;
        }
        Ok(())
    }

    fn clear(&self) -> Result<(), IndexError> {
        self.look_for(std::iter::empty());
        Ok(())
    }

    fn flush(&self) -> Result<(), IndexError> {
        Ok(())
    }
}
