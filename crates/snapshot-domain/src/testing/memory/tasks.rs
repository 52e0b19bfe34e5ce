use std::collections::{HashMap, HashSet};

use super::{InMemoryStore, Tables};
use crate::{
    Error, InstanceId, Lease, Progress, Resource, Result, Scope, SnapshotId, Task, TaskId, TaskOutcome, TaskState,
    Timestamp, VolumeId, Work,
    ports::{Renewal, TaskQueue},
};

impl TaskQueue for InMemoryStore {
    fn claim(&self, instance: InstanceId, now: Timestamp, expires_at: Timestamp) -> Result<Option<Task>> {
        let mut tables = self.lock();
        let is_free = |task: &&mut Task| match task.state() {
            TaskState::Pending => true,
            TaskState::Running { expires_at, .. } => *expires_at <= now,
            TaskState::Succeeded | TaskState::Failed | TaskState::Cancelled => false,
        };
        let still_read: HashSet<_> = tables.unfinished().filter_map(reads).collect();
        let may_go = |task: &&mut Task| !matches!(task.work(), Work::ForgetSnapshot { snapshot, .. } if still_read.contains(snapshot));
        let full: HashSet<_> = tables
            .unfinished()
            .map(Task::organization)
            .filter(|organization| !tables.may_run_one_more(*organization))
            .collect();
        let has_room = |task: &&mut Task| {
            let begins = *task.state() == TaskState::Pending && !task.cancel_requested();
            !(begins && task.work().counts_against_quota() && full.contains(&task.organization()))
        };
        let free = tables
            .tasks
            .values_mut()
            .filter(is_free)
            .filter(may_go)
            .filter(has_room);
        let Some(oldest) = free.min_by_key(|task| (task.created_at(), task.id())) else {
            return Ok(None);
        };
        oldest.claim(instance, now, expires_at)?;
        Ok(Some(oldest.clone()))
    }

    fn renew(&self, lease: &Lease, progress: Progress, expires_at: Timestamp) -> Result<Renewal> {
        let mut tables = self.lock();
        let task = tables.task_mut(lease)?;
        task.renew(lease, progress, expires_at)?;
        Ok(if task.cancel_requested() {
            Renewal::Cancelled
        } else {
            Renewal::Continue
        })
    }

    fn put_back(&self, lease: &Lease) -> Result<()> {
        self.lock().task_mut(lease)?.put_back(lease)
    }

    fn put_back_all(&self, instance: InstanceId) -> Result<u64> {
        let mut tables = self.lock();
        let mut given_back = 0;
        for task in tables.tasks.values_mut() {
            if matches!(task.state(), TaskState::Running { instance: holder, .. } if *holder == instance) {
                task.give_back();
                given_back += 1;
            }
        }
        Ok(given_back)
    }

    fn finish(&self, lease: &Lease, outcome: TaskOutcome, now: Timestamp) -> Result<()> {
        self.lock().task_mut(lease)?.finish(lease, outcome, now)
    }

    fn find(&self, scope: &Scope, id: TaskId) -> Result<Task> {
        let tables = self.lock();
        let task = tables.tasks.get(&id).filter(|task| scope.covers(task.organization()));
        task.cloned().ok_or_else(|| not_found(id))
    }

    fn get(&self, id: TaskId) -> Result<Task> {
        self.lock().tasks.get(&id).cloned().ok_or_else(|| not_found(id))
    }

    fn captures_of(&self, snapshots: &[SnapshotId]) -> Result<Vec<(SnapshotId, Progress)>> {
        let tables = self.lock();
        let captures = tables.unfinished().filter_map(|task| match task.work() {
            Work::Capture { snapshot, .. } if snapshots.contains(snapshot) => Some((*snapshot, task.progress())),
            _ => None,
        });
        Ok(captures.collect())
    }

    fn running_captures(&self) -> Result<Vec<SnapshotId>> {
        let tables = self.lock();
        let running = tables
            .unfinished()
            .filter_map(|task| match (task.state(), task.work()) {
                (TaskState::Running { .. }, Work::Capture { snapshot, .. }) => Some(*snapshot),
                _ => None,
            });
        Ok(running.collect())
    }

    fn work_on(&self, volumes: &[VolumeId]) -> Result<Vec<(VolumeId, Progress)>> {
        let tables = self.lock();
        let mut latest: HashMap<VolumeId, &Task> = HashMap::new();
        for task in tables.unfinished().filter(|task| !task.cancel_requested()) {
            let (Work::Capture { volume, .. } | Work::Restore { volume, .. }) = task.work() else {
                continue;
            };
            if volumes.contains(volume) {
                let known = latest.entry(*volume).or_insert(task);
                if (task.created_at(), task.id()) > (known.created_at(), known.id()) {
                    *known = task;
                }
            }
        }
        Ok(latest
            .into_iter()
            .map(|(volume, task)| (volume, task.progress()))
            .collect())
    }
}

impl Tables {
    fn unfinished(&self) -> impl Iterator<Item = &Task> {
        self.tasks.values().filter(|task| !task.state().name().has_ended())
    }

    fn task_mut(&mut self, lease: &Lease) -> Result<&mut Task> {
        self.tasks.get_mut(&lease.task).ok_or(Error::LeaseLost)
    }

    /// A copy of the task under this lease, to be stored together with what it worked on.
    pub(super) fn task_not_called_off(&self, lease: &Lease) -> Result<Task> {
        let task = self.tasks.get(&lease.task).ok_or(Error::LeaseLost)?;
        task.check_held_by(lease)?;
        if task.cancel_requested() {
            return Err(Error::LeaseLost);
        }
        Ok(task.clone())
    }
}

const fn not_found(id: TaskId) -> Error {
    Error::NotFound {
        resource: Resource::Task,
        id: id.as_uuid(),
    }
}

/// The snapshot that a restore reads.
const fn reads(task: &Task) -> Option<SnapshotId> {
    match task.work() {
        Work::Restore { source, .. } => Some(source.snapshot),
        Work::Capture { .. } | Work::EraseVolume { .. } | Work::ForgetSnapshot { .. } => None,
    }
}
