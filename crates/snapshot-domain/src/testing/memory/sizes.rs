use std::{
    collections::{BTreeSet, HashMap},
    hash::{DefaultHasher, Hash as _, Hasher as _},
};

use super::{InMemoryStore, Tables};
use crate::{
    OrganizationId, Result, Snapshot, SnapshotId,
    ports::{DomainSnapshots, SnapshotSizes},
};

/// What was stored for a domain's snapshots.
#[derive(Debug)]
pub(super) struct Measured {
    change: u64,
    exclusive_bytes: HashMap<SnapshotId, u64>,
}

impl SnapshotSizes for InMemoryStore {
    fn unmeasured(&self) -> Result<Vec<OrganizationId>> {
        let tables = self.lock();
        let mut domains: BTreeSet<_> = tables.snapshots.values().map(Snapshot::domain).collect();
        domains.extend(tables.measured.keys());
        domains.retain(|&domain| {
            let now = tables.snapshots_of(domain);
            match tables.measured.get(&domain) {
                Some(measured) => measured.change != now.change,
                None => !now.snapshots.is_empty(),
            }
        });
        Ok(domains.into_iter().collect())
    }

    fn snapshots_of(&self, domain: OrganizationId) -> Result<DomainSnapshots> {
        Ok(self.lock().snapshots_of(domain))
    }

    fn store(&self, domain: OrganizationId, change: u64, exclusive_bytes: &[(SnapshotId, u64)]) -> Result<bool> {
        let mut tables = self.lock();
        if tables.snapshots_of(domain).change != change {
            return Ok(false);
        }
        let exclusive_bytes = exclusive_bytes.iter().copied().collect();
        let measured = Measured {
            change,
            exclusive_bytes,
        };
        tables.measured.insert(domain, measured);
        Ok(true)
    }

    fn exclusive_bytes(&self, snapshots: &[SnapshotId]) -> Result<Vec<(SnapshotId, u64)>> {
        let tables = self.lock();
        let known = snapshots
            .iter()
            .filter_map(|id| Some((*id, tables.exclusive_bytes_of(*id)?)));
        Ok(known.collect())
    }
}

impl Tables {
    pub(super) fn exclusive_bytes_of(&self, snapshot: SnapshotId) -> Option<u64> {
        self.measured.iter().find_map(|(domain, measured)| {
            let bytes = measured.exclusive_bytes.get(&snapshot)?;
            (self.snapshots_of(*domain).change == measured.change).then_some(*bytes)
        })
    }

    /// A snapshot that was deleted never comes back: so equal sets are at the same change.
    fn snapshots_of(&self, domain: OrganizationId) -> DomainSnapshots {
        let whole = self
            .snapshots
            .values()
            .filter(|it| it.domain() == domain && it.readable().is_ok());
        let snapshots: BTreeSet<_> = whole.map(Snapshot::id).collect();
        let mut hasher = DefaultHasher::new();
        snapshots.hash(&mut hasher);
        DomainSnapshots {
            change: hasher.finish(),
            snapshots: snapshots.into_iter().collect(),
        }
    }
}
