use super::InMemoryStore;
use crate::{
    Check, DueCheck, Health, HealthName, Result, Snapshot, SnapshotId, SnapshotState, StoredSnapshot, Timestamp,
    ports::{CheckRepository, DueQuery},
};

impl CheckRepository for InMemoryStore {
    fn record_check(&self, id: SnapshotId, check: &Check) -> Result<bool> {
        let mut tables = self.lock();
        let last = tables.checked_at.get(&id).copied();
        let Some(snapshot) = tables.snapshots.get_mut(&id) else {
            return Ok(false);
        };
        let is_available = matches!(snapshot.state(), SnapshotState::Available(_));
        let counts = |last: Timestamp| last > check.began_at && last <= check.ended_at.latest_elsewhere();
        if is_available && !last.is_some_and(counts) {
            *snapshot = with_health(snapshot, snapshot.health().after(check));
            tables.checked_at.insert(id, check.began_at);
        }
        Ok(is_available)
    }

    fn forget_checks_after(&self, moment: Timestamp) -> Result<u64> {
        let mut tables = self.lock();
        let before = tables.checked_at.len();
        tables.checked_at.retain(|_, checked_at| *checked_at <= moment);
        Ok((before - tables.checked_at.len()) as u64)
    }

    fn due_checks(&self, query: &DueQuery, limit: u32) -> Result<Vec<DueCheck>> {
        let tables = self.lock();
        let place = |due: &DueCheck| (due.checked_at, due.snapshot);
        let available = tables.snapshots.values().filter(|it| it.readable().is_ok());
        let mut due: Vec<_> = available
            .filter(|it| !query.only_damaged || it.health().name() == HealthName::Damaged)
            .map(|it| DueCheck {
                snapshot: it.id(),
                domain: it.domain(),
                checked_at: tables.checked_at.get(&it.id()).copied(),
            })
            .filter(|due| due.checked_at.is_none_or(|at: Timestamp| at < query.before))
            .filter(|due| query.after.as_ref().is_none_or(|after| place(due) > place(after)))
            .collect();
        due.sort_unstable_by_key(place);
        due.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        Ok(due)
    }
}

/// The same snapshot with this health.
pub(super) fn with_health(snapshot: &Snapshot, health: Health) -> Snapshot {
    Snapshot::from_stored(StoredSnapshot {
        id: snapshot.id(),
        organization: snapshot.organization(),
        domain: snapshot.domain(),
        name: snapshot.name().clone(),
        tags: snapshot.tags().clone(),
        base_volume: snapshot.base_volume().clone(),
        size: snapshot.size(),
        volume_type: snapshot.volume_type(),
        created_at: snapshot.created_at(),
        modified_at: snapshot.modified_at(),
        state: snapshot.state().clone(),
        health,
        revision: snapshot.revision(),
    })
}
