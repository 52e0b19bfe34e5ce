use std::ops::Bound;

use super::{InMemoryStore, Tables};
use crate::{CollectionId, DamagedChunk, Distrusted, Pack, PackId, PackStanding, Result, ports::PackRepository};

impl PackRepository for InMemoryStore {
    fn record(&self, pack: &Pack) -> Result<()> {
        let standing = PackStanding::Kept;
        self.lock()
            .packs
            .entry(pack.id)
            .or_insert(ListedPack::new(Pack { standing, ..*pack }));
        Ok(())
    }

    fn list(&self, after: Option<PackId>, limit: u32) -> Result<Vec<Pack>> {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let start = after.map_or(Bound::Unbounded, Bound::Excluded);
        let tables = self.lock();
        let rest = tables.packs.range((start, Bound::Unbounded));
        Ok(rest.map(|(_, listed)| listed.pack).take(limit).collect())
    }

    fn take_over(&self, collection: CollectionId) -> Result<Vec<Pack>> {
        let mut tables = self.lock();
        let owned = tables.packs.values_mut().filter(|it| it.collection.is_some());
        Ok(owned
            .map(|listed| {
                listed.collection = Some(collection);
                listed.pack
            })
            .collect())
    }

    fn condemn(&self, collection: CollectionId, packs: &[PackId]) -> Result<()> {
        let kept = (PackStanding::Kept, None);
        self.lock()
            .change(packs, kept, (PackStanding::Condemned, Some(collection)));
        Ok(())
    }

    fn release(&self, collection: CollectionId, packs: &[PackId]) -> Result<()> {
        let condemned = (PackStanding::Condemned, Some(collection));
        self.lock().change(packs, condemned, (PackStanding::Kept, None));
        Ok(())
    }

    fn drop_packs(&self, collection: CollectionId, packs: &[PackId]) -> Result<Vec<PackId>> {
        let condemned = (PackStanding::Condemned, Some(collection));
        let dropped = (PackStanding::Dropped, Some(collection));
        Ok(self.lock().change(packs, condemned, dropped))
    }

    fn forget(&self, packs: &[PackId]) -> Result<()> {
        let mut tables = self.lock();
        let Tables {
            packs: listed,
            damaged_chunks,
            ..
        } = &mut *tables;
        listed.retain(|id, it| it.pack.standing != PackStanding::Dropped || !packs.contains(id));
        damaged_chunks.retain(|chunk| listed.contains_key(&chunk.pack));
        Ok(())
    }

    fn set_aside(&self, chunks: &[DamagedChunk]) -> Result<()> {
        let mut tables = self.lock();
        for chunk in chunks {
            if tables.packs.contains_key(&chunk.pack) {
                tables.damaged_chunks.insert(*chunk);
            }
        }
        Ok(())
    }

    fn distrusted(&self) -> Result<Distrusted> {
        let tables = self.lock();
        let packs = tables.packs.values().filter(|it| it.collection.is_some());
        Ok(Distrusted {
            packs: packs.map(|it| it.pack.id).collect(),
            chunks: tables.damaged_chunks.iter().copied().collect(),
        })
    }
}

/// A pack and the collection that decides about it.
#[derive(Debug)]
pub(super) struct ListedPack {
    pack: Pack,
    collection: Option<CollectionId>,
}

impl ListedPack {
    const fn new(pack: Pack) -> Self {
        Self { pack, collection: None }
    }
}

impl Tables {
    /// Changes those of the packs that are exactly as `from` says, and returns them.
    fn change(
        &mut self,
        packs: &[PackId],
        from: (PackStanding, Option<CollectionId>),
        to: (PackStanding, Option<CollectionId>),
    ) -> Vec<PackId> {
        let mut changed = Vec::new();
        for (id, listed) in &mut self.packs {
            if packs.contains(id) && (listed.pack.standing, listed.collection) == from {
                (listed.pack.standing, listed.collection) = to;
                changed.push(*id);
            }
        }
        changed
    }
}
