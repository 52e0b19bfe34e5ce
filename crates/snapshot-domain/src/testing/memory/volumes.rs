use super::{InMemoryStore, Tables, slice_of};
use crate::{
    Error, Lease, Receipt, Resource, Result, Scope, StoredVolume, Task, TaskOutcome, Timestamp, Volume, VolumeId,
    VolumeState, Work,
    ports::{Slice, VolumeCursor, VolumeQuery, VolumeRepository},
};

impl VolumeRepository for InMemoryStore {
    fn insert(&self, volume: &Volume, receipt: Option<&Receipt>) -> Result<()> {
        let mut tables = self.lock();
        tables.check_receipt_is_new(receipt)?;
        tables.check_volume_is_new(volume)?;
        tables.check_volume_quota(volume.organization(), volume.size().as_bytes())?;
        tables.note(volume.id().as_uuid(), volume.organization());
        tables.volumes.insert(volume.id(), volume.clone());
        tables.add_receipt(receipt);
        Ok(())
    }

    fn begin_restore(&self, volume: &Volume, task: &Task, receipt: Option<&Receipt>) -> Result<()> {
        let mut tables = self.lock();
        tables.check_receipt_is_new(receipt)?;
        tables.check_volume_is_new(volume)?;
        tables.check_task_is_new(task)?;
        if let Work::Restore { source, .. } = task.work()
            && !tables.snapshots.contains_key(&source.snapshot)
        {
            return Err(Error::NotFound {
                resource: Resource::Snapshot,
                id: source.snapshot.as_uuid(),
            });
        }
        tables.check_volume_quota(volume.organization(), volume.size().as_bytes())?;
        tables.note(volume.id().as_uuid(), volume.organization());
        tables.volumes.insert(volume.id(), volume.clone());
        tables.add_task(task);
        tables.add_receipt(receipt);
        Ok(())
    }

    fn find(&self, scope: &Scope, id: VolumeId) -> Result<Volume> {
        let volume = VolumeRepository::get(self, id)?;
        if scope.covers(volume.organization()) {
            Ok(volume)
        } else {
            Err(not_found(id))
        }
    }

    fn get(&self, id: VolumeId) -> Result<Volume> {
        self.lock().volumes.get(&id).cloned().ok_or(not_found(id))
    }

    fn list(&self, query: &VolumeQuery, slice: Slice<VolumeCursor>) -> Result<Vec<Volume>> {
        Ok(slice_of(self.lock().matching_volumes(query), VolumeCursor::of, &slice))
    }

    fn count(&self, query: &VolumeQuery) -> Result<u64> {
        Ok(self.lock().matching_volumes(query).len() as u64)
    }

    fn saving(&self) -> Result<Vec<Volume>> {
        let tables = self.lock();
        let saving = tables.volumes.values().filter(|it| *it.state() == VolumeState::Saving);
        Ok(saving.cloned().collect())
    }

    fn update(&self, volume: &Volume) -> Result<()> {
        let mut tables = self.lock();
        tables.replace_volume(volume)?;
        tables.note(volume.id().as_uuid(), volume.organization());
        Ok(())
    }

    fn finish_restore(&self, lease: &Lease, volume: &Volume, outcome: TaskOutcome, now: Timestamp) -> Result<()> {
        let mut tables = self.lock();
        let mut task = tables.task_not_called_off(lease)?;
        task.finish(lease, outcome, now)?;
        task.note_losses(volume.losses().cloned());
        tables.replace_volume(volume)?;
        tables.tasks.insert(task.id(), task);
        Ok(())
    }

    fn delete(&self, volume: &Volume, erase: Option<&Task>) -> Result<()> {
        let mut tables = self.lock();
        let stored = tables.volumes.get(&volume.id()).ok_or(not_found(volume.id()))?;
        if stored.revision() != volume.revision() || stored.copies() != volume.copies() {
            return Err(STALE);
        }
        if let Some(erase) = erase {
            tables.check_task_is_new(erase)?;
            tables.add_task(erase);
        }
        tables.volumes.remove(&volume.id());
        tables.note(volume.id().as_uuid(), volume.organization());
        Ok(())
    }
}

impl Tables {
    /// Changes how many copies of a volume run, if it is there and can be copied. Its revision stays.
    pub(super) fn count_copies(&mut self, id: VolumeId, change: impl FnOnce(u32) -> u32) {
        let Some(stored) = self.volumes.get(&id) else {
            return;
        };
        if let VolumeState::Available { copies } = *stored.state() {
            let copies = change(copies);
            let changed = in_state(stored, VolumeState::Available { copies });
            self.volumes.insert(id, changed);
        }
    }

    fn matching_volumes(&self, query: &VolumeQuery) -> Vec<Volume> {
        let matches = |it: &&Volume| {
            query.scope.covers(it.organization())
                && query.name.as_ref().is_none_or(|name| it.name() == name)
                && it.tags().contains_all(&query.tags)
                && query.state.is_none_or(|state| it.state().name() == state)
        };
        self.volumes.values().filter(matches).cloned().collect()
    }

    fn check_volume_is_new(&self, volume: &Volume) -> Result<()> {
        if self.volumes.contains_key(&volume.id()) {
            return Err(Error::AlreadyExists {
                resource: Resource::Volume,
                id: volume.id().as_uuid(),
            });
        }
        Ok(())
    }

    /// Replaces a volume by its next revision. The count of copies stays.
    fn replace_volume(&mut self, volume: &Volume) -> Result<()> {
        let stored = self.volumes.get(&volume.id()).ok_or(not_found(volume.id()))?;
        let copies = stored.copies();
        let next = match volume.state() {
            VolumeState::Available { .. } => in_state(volume, VolumeState::Available { copies }),
            _ if copies > 0 => return Err(STALE),
            _ => volume.clone(),
        };
        if stored.revision().next() != volume.revision() {
            return Err(STALE);
        }
        self.volumes.insert(volume.id(), next);
        Ok(())
    }
}

fn in_state(volume: &Volume, state: VolumeState) -> Volume {
    Volume::from_stored(StoredVolume {
        id: volume.id(),
        organization: volume.organization(),
        name: volume.name().clone(),
        tags: volume.tags().clone(),
        size: volume.size(),
        volume_type: volume.volume_type(),
        location: volume.location().clone(),
        base_snapshot: volume.base_snapshot(),
        losses: volume.losses().cloned(),
        created_at: volume.created_at(),
        modified_at: volume.modified_at(),
        state,
        revision: volume.revision(),
    })
}

const STALE: Error = Error::Stale {
    resource: Resource::Volume,
};

const fn not_found(id: VolumeId) -> Error {
    Error::NotFound {
        resource: Resource::Volume,
        id: id.as_uuid(),
    }
}
