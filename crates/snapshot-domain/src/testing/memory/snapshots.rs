use super::{InMemoryStore, Tables, checks::with_health, slice_of};
use crate::{
    Error, Lease, OrganizationId, ReadableSnapshot, Receipt, Resource, Result, Scope, Snapshot, SnapshotId, Task,
    TaskOutcome, Timestamp, Volume, VolumeId, VolumeState, Work,
    ports::{Measured, Slice, SnapshotCursor, SnapshotQuery, SnapshotRepository},
};

impl SnapshotRepository for InMemoryStore {
    fn begin(&self, snapshot: &Snapshot, task: &Task, volume: &Volume, receipt: Option<&Receipt>) -> Result<()> {
        let mut tables = self.lock();
        tables.check_receipt_is_new(receipt)?;
        tables.check_snapshot_is_new(snapshot)?;
        tables.check_task_is_new(task)?;
        let stored = tables.volumes.get(&volume.id());
        let is_current = stored.is_some_and(|stored| {
            stored.revision() == volume.revision() && matches!(stored.state(), VolumeState::Available { .. })
        });
        if !is_current {
            return Err(Error::Stale {
                resource: Resource::Volume,
            });
        }
        tables.check_snapshot_quota(snapshot.organization())?;
        tables.note(snapshot.id().as_uuid(), snapshot.organization());
        tables.count_copies(volume.id(), |copies| copies + 1);
        tables.snapshots.insert(snapshot.id(), snapshot.clone());
        tables.add_task(task);
        tables.add_receipt(receipt);
        Ok(())
    }

    fn adopt(&self, snapshot: ReadableSnapshot<'_>) -> Result<()> {
        let snapshot = snapshot.snapshot();
        let mut tables = self.lock();
        tables.check_snapshot_is_new(snapshot)?;
        tables.snapshots.insert(snapshot.id(), snapshot.clone());
        Ok(())
    }

    fn find(&self, scope: &Scope, id: SnapshotId) -> Result<Snapshot> {
        let snapshot = SnapshotRepository::get(self, id)?;
        if scope.covers(snapshot.organization()) {
            Ok(snapshot)
        } else {
            Err(not_found(id))
        }
    }

    fn find_measured(&self, scope: &Scope, id: SnapshotId) -> Result<Measured> {
        let snapshot = self.find(scope, id)?;
        Ok(self.lock().measured(snapshot))
    }

    fn get(&self, id: SnapshotId) -> Result<Snapshot> {
        self.lock().snapshots.get(&id).cloned().ok_or(not_found(id))
    }

    fn latest_available(&self, volume: VolumeId, domain: OrganizationId) -> Result<Option<Snapshot>> {
        let tables = self.lock();
        let candidates = tables.snapshots.values().filter(|snapshot| {
            snapshot.base_volume().id == volume && snapshot.domain() == domain && snapshot.readable().is_ok()
        });
        Ok(candidates.max_by_key(|snapshot| SnapshotCursor::of(snapshot)).cloned())
    }

    fn list(&self, query: &SnapshotQuery, slice: Slice<SnapshotCursor>) -> Result<Vec<Measured>> {
        let tables = self.lock();
        let listed = slice_of(tables.matching_snapshots(query), SnapshotCursor::of, &slice);
        Ok(listed.into_iter().map(|it| tables.measured(it)).collect())
    }

    fn list_nearby(&self, query: &SnapshotQuery, slice: Slice<SnapshotCursor>) -> Result<Option<Vec<Measured>>> {
        self.list(query, slice).map(Some)
    }

    fn count(&self, query: &SnapshotQuery) -> Result<u64> {
        Ok(self.lock().matching_snapshots(query).len() as u64)
    }

    fn update(&self, snapshot: &Snapshot) -> Result<()> {
        let mut tables = self.lock();
        let before = tables.snapshots.get(&snapshot.id()).map(Snapshot::organization);
        tables.change_snapshot(snapshot)?;
        let mut owners = vec![snapshot.organization()];
        owners.extend(before.filter(|before| *before != snapshot.organization()));
        tables.note_for_all(snapshot.id().as_uuid(), &owners);
        Ok(())
    }

    fn finish_capture(&self, lease: &Lease, snapshot: &Snapshot, outcome: TaskOutcome, now: Timestamp) -> Result<()> {
        let mut tables = self.lock();
        let mut task = tables.task_not_called_off(lease)?;
        tables.check_is_next_snapshot(snapshot)?;
        task.finish(lease, outcome, now)?;
        tables.tasks.insert(task.id(), task);
        tables.count_copies(snapshot.base_volume().id, |copies| copies.saturating_sub(1));
        tables.replace_snapshot(snapshot)?;
        Ok(())
    }

    fn cancel(&self, snapshot: &Snapshot) -> Result<()> {
        let mut tables = self.lock();
        tables.check_is_current_snapshot(snapshot)?;
        for task in tables.tasks.values_mut() {
            let fills_it = matches!(task.work(), Work::Capture { snapshot: id, .. } if *id == snapshot.id());
            if fills_it && !task.state().name().has_ended() {
                task.request_cancel();
            }
        }
        tables.count_copies(snapshot.base_volume().id, |copies| copies.saturating_sub(1));
        tables.snapshots.remove(&snapshot.id());
        tables.checked_at.remove(&snapshot.id());
        tables.end_offers_of(snapshot.id());
        tables.note(snapshot.id().as_uuid(), snapshot.organization());
        Ok(())
    }

    fn delete(&self, snapshot: &Snapshot, forget: &Task) -> Result<()> {
        let mut tables = self.lock();
        tables.check_is_current_snapshot(snapshot)?;
        tables.check_task_is_new(forget)?;
        tables.snapshots.remove(&snapshot.id());
        tables.checked_at.remove(&snapshot.id());
        tables.end_offers_of(snapshot.id());
        tables.note(snapshot.id().as_uuid(), snapshot.organization());
        tables.add_task(forget);
        Ok(())
    }
}

impl Tables {
    fn matching_snapshots(&self, query: &SnapshotQuery) -> Vec<Snapshot> {
        let matches = |it: &&Snapshot| {
            query.scope.covers(it.organization())
                && query.name.as_ref().is_none_or(|name| it.name() == name)
                && it.tags().contains_all(&query.tags)
                && query.base_volume.is_none_or(|volume| it.base_volume().id == volume)
                && query.state.is_none_or(|state| it.state().name() == state)
        };
        self.snapshots.values().filter(matches).cloned().collect()
    }

    fn measured(&self, snapshot: Snapshot) -> Measured {
        Measured {
            exclusive_bytes: self.exclusive_bytes_of(snapshot.id()),
            snapshot,
        }
    }

    /// Replaces a snapshot by its next revision, which may be another organization's.
    pub(super) fn change_snapshot(&mut self, snapshot: &Snapshot) -> Result<()> {
        self.check_is_next_snapshot(snapshot)?;
        let owner = self.snapshots.get(&snapshot.id()).map(Snapshot::organization);
        if owner != Some(snapshot.organization()) {
            self.check_snapshot_quota(snapshot.organization())?;
            self.end_offers_of(snapshot.id());
        }
        self.replace_snapshot(snapshot)
    }

    fn check_snapshot_is_new(&self, snapshot: &Snapshot) -> Result<()> {
        if self.snapshots.contains_key(&snapshot.id()) {
            return Err(Error::AlreadyExists {
                resource: Resource::Snapshot,
                id: snapshot.id().as_uuid(),
            });
        }
        Ok(())
    }

    /// Replaces a snapshot by its next revision. What is known of its bytes stays.
    fn replace_snapshot(&mut self, snapshot: &Snapshot) -> Result<()> {
        self.check_is_next_snapshot(snapshot)?;
        let health = self.snapshots.get(&snapshot.id()).map(Snapshot::health);
        let next = with_health(snapshot, health.unwrap_or_default());
        self.snapshots.insert(snapshot.id(), next);
        Ok(())
    }

    fn check_is_next_snapshot(&self, snapshot: &Snapshot) -> Result<()> {
        let stored = self.snapshots.get(&snapshot.id()).ok_or(not_found(snapshot.id()))?;
        if stored.revision().next() == snapshot.revision() {
            Ok(())
        } else {
            Err(STALE)
        }
    }

    fn check_is_current_snapshot(&self, snapshot: &Snapshot) -> Result<()> {
        let stored = self.snapshots.get(&snapshot.id()).ok_or(not_found(snapshot.id()))?;
        if stored.revision() == snapshot.revision() {
            Ok(())
        } else {
            Err(STALE)
        }
    }
}

const STALE: Error = Error::Stale {
    resource: Resource::Snapshot,
};

const fn not_found(id: SnapshotId) -> Error {
    Error::NotFound {
        resource: Resource::Snapshot,
        id: id.as_uuid(),
    }
}
