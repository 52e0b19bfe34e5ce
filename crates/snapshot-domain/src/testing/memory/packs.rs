use std::ops::Bound;

use super::InMemoryStore;
use crate::{Pack, PackId, Result, ports::PackRepository};

impl PackRepository for InMemoryStore {
    fn record(&self, pack: &Pack) -> Result<()> {
        self.lock().packs.entry(pack.id).or_insert(*pack);
        Ok(())
    }

    fn list(&self, after: Option<PackId>, limit: u32) -> Result<Vec<Pack>> {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let start = after.map_or(Bound::Unbounded, Bound::Excluded);
        let tables = self.lock();
        let rest = tables.packs.range((start, Bound::Unbounded));
        Ok(rest.map(|(_, pack)| *pack).take(limit).collect())
    }
}
