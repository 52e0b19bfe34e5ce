//! What workers do: take tasks, keep them, and end them together with what they worked on. And what callers may read of
//! it.

use std::sync::Arc;

use super::{CheckService, until_not_stale};
use crate::{
    Caller, Content, Error, Health, InstanceId, Lease, Losses, OrganizationId, Progress, RequestId, Result, Right,
    Snapshot, SnapshotEvent, SnapshotId, Task, TaskId, TaskOutcome, Volume, VolumeEvent, VolumeId,
    ports::{Clock, Renewal, SnapshotRepository, TaskQueue, VolumeRepository},
};

/// What callers do with tasks: look how far they are.
#[derive(Clone)]
pub struct TaskReader {
    tasks: Arc<dyn TaskQueue>,
}

impl TaskReader {
    /// A reader of these tasks.
    pub fn new(tasks: Arc<dyn TaskQueue>) -> Self {
        Self { tasks }
    }

    /// One of the caller's tasks. A task belongs to the organization that asked for it, also when what it fills was
    /// transferred since.
    ///
    /// # Errors
    ///
    /// [`NotFound`](Error::NotFound) when there is none, or when it is somebody else's.
    pub fn get(&self, caller: &Caller, id: TaskId) -> Result<Task> {
        self.tasks.find(&caller.may(Right::Read)?.scope(), id)
    }
}

/// Everything that workers do with tasks, and with the snapshots and volumes that tasks are about.
#[derive(Clone)]
pub struct TaskService {
    tasks: Arc<dyn TaskQueue>,
    snapshots: Arc<dyn SnapshotRepository>,
    volumes: Arc<dyn VolumeRepository>,
    checks: CheckService,
    clock: Arc<dyn Clock>,
    instance: InstanceId,
    lease_ms: u32,
}

impl TaskService {
    /// A service for the workers of one instance, whose leases last `lease_ms` milliseconds unless they are renewed.
    pub fn new(
        tasks: Arc<dyn TaskQueue>,
        snapshots: Arc<dyn SnapshotRepository>,
        volumes: Arc<dyn VolumeRepository>,
        checks: CheckService,
        clock: Arc<dyn Clock>,
        instance: InstanceId,
        lease_ms: u32,
    ) -> Self {
        Self {
            tasks,
            snapshots,
            volumes,
            checks,
            clock,
            instance,
            lease_ms,
        }
    }

    /// Takes the oldest task that nobody holds.
    ///
    /// # Errors
    ///
    /// Only those of the storage itself.
    pub fn claim(&self) -> Result<Option<Task>> {
        let now = self.clock.now();
        self.tasks.claim(self.instance, now, now.plus_millis(self.lease_ms))
    }

    /// Keeps a task, and notes how far it is.
    ///
    /// # Errors
    ///
    /// [`LeaseLost`](Error::LeaseLost) when it is somebody else's by now: the worker writes nothing more.
    pub fn renew(&self, lease: &Lease, progress: Progress) -> Result<Renewal> {
        self.tasks
            .renew(lease, progress, self.clock.now().plus_millis(self.lease_ms))
    }

    /// Gives a task back undone.
    ///
    /// # Errors
    ///
    /// [`LeaseLost`](Error::LeaseLost) when it is somebody else's by now.
    pub fn put_back(&self, lease: &Lease) -> Result<()> {
        self.tasks.put_back(lease)
    }

    /// Gives back what the last process of this instance held when it died. Only for the start. Returns how many.
    ///
    /// # Errors
    ///
    /// Only those of the storage itself.
    pub fn put_back_all(&self) -> Result<u64> {
        self.tasks.put_back_all(self.instance)
    }

    /// The volume that a task works on.
    ///
    /// # Errors
    ///
    /// [`NotFound`](Error::NotFound) when it is gone.
    pub fn volume(&self, id: VolumeId) -> Result<Volume> {
        self.volumes.get(id)
    }

    /// The snapshot that a task works on.
    ///
    /// # Errors
    ///
    /// [`NotFound`](Error::NotFound) when it is gone.
    pub fn snapshot(&self, id: SnapshotId) -> Result<Snapshot> {
        self.snapshots.get(id)
    }

    /// The snapshot that a new copy of a volume most likely has most in common with: the volume's latest one, or else
    /// the one that the volume was filled from. `None` when there is no such snapshot under the same key, or when it is
    /// damaged: a copy does not look again for what its parent has, and would lack what that one has lost.
    ///
    /// # Errors
    ///
    /// Only those of the storage itself.
    pub fn parent_of(&self, volume: &Volume, domain: OrganizationId) -> Result<Option<Snapshot>> {
        if let Some(latest) = self.snapshots.latest_available(volume.id(), domain)? {
            return Ok(Some(latest).filter(has_lost_nothing));
        }
        let Some(base) = volume.base_snapshot() else {
            return Ok(None);
        };
        match self.snapshots.get(base) {
            Ok(base) if base.domain() == domain && base.readable().is_ok() => Ok(Some(base).filter(has_lost_nothing)),
            Ok(_) | Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Notes that a worker met damage in a snapshot's stored bytes.
    ///
    /// # Errors
    ///
    /// Only those of the storage itself.
    pub fn note_damage(&self, snapshot: SnapshotId) -> Result<()> {
        self.checks.record_damage(snapshot)
    }

    /// Makes a snapshot `available`. Only when everything that it consists of is durable.
    ///
    /// # Errors
    ///
    /// [`LeaseLost`](Error::LeaseLost) when the task was called off or is somebody else's by now;
    /// [`NotFound`](Error::NotFound) when the snapshot was deleted.
    pub fn complete_capture(&self, lease: &Lease, id: SnapshotId, content: &Content) -> Result<Snapshot> {
        self.end_capture(
            lease,
            id,
            &SnapshotEvent::CaptureCommitted(content.clone()),
            TaskOutcome::Succeeded,
        )
    }

    /// Puts a snapshot in `error`. `reason` is a sentence for its owner; the request that asked for it is added.
    ///
    /// # Errors
    ///
    /// As [`complete_capture`](Self::complete_capture).
    pub fn fail_capture(&self, task: &Task, id: SnapshotId, reason: &str) -> Result<Snapshot> {
        let reason = with_request(reason, task.request());
        self.end_capture(
            &task.lease(),
            id,
            &SnapshotEvent::CaptureFailed { reason },
            TaskOutcome::Failed,
        )
    }

    /// Makes a restored volume `available`. Only when its bytes are durable and were compared with the snapshot's digest.
    ///
    /// # Errors
    ///
    /// [`LeaseLost`](Error::LeaseLost) when the task is somebody else's by now.
    pub fn complete_restore(&self, lease: &Lease, id: VolumeId) -> Result<Volume> {
        self.end_restore(lease, id, &VolumeEvent::RestoreCommitted, TaskOutcome::Succeeded)
    }

    /// Makes a volume `available` that holds all that is whole of its snapshot, and tells what is lost. Only when its bytes
    /// are durable.
    ///
    /// # Errors
    ///
    /// As [`complete_restore`](Self::complete_restore).
    pub fn complete_salvage(&self, lease: &Lease, id: VolumeId, losses: &Losses) -> Result<Volume> {
        let event = VolumeEvent::SalvageCommitted(losses.clone());
        self.end_restore(lease, id, &event, TaskOutcome::Succeeded)
    }

    /// Puts a volume in `error`. `reason` is a sentence for its owner; the request that asked for it is added.
    ///
    /// # Errors
    ///
    /// As [`complete_restore`](Self::complete_restore).
    pub fn fail_restore(&self, task: &Task, id: VolumeId, reason: &str) -> Result<Volume> {
        let reason = with_request(reason, task.request());
        self.end_restore(
            &task.lease(),
            id,
            &VolumeEvent::RestoreFailed { reason },
            TaskOutcome::Failed,
        )
    }

    /// Ends a task that changes no snapshot or volume (any more).
    ///
    /// # Errors
    ///
    /// [`LeaseLost`](Error::LeaseLost) when it is somebody else's by now.
    pub fn finish(&self, lease: &Lease, outcome: TaskOutcome) -> Result<()> {
        self.tasks.finish(lease, outcome, self.clock.now())
    }

    fn end_capture(
        &self,
        lease: &Lease,
        id: SnapshotId,
        event: &SnapshotEvent,
        outcome: TaskOutcome,
    ) -> Result<Snapshot> {
        // The owner may rename the snapshot at any moment: that must neither be lost nor fail the copy.
        until_not_stale(|| {
            let mut snapshot = self.snapshots.get(id)?;
            let now = self.clock.now();
            // Only the holder of its task ends a copy: one that has ended was ended by somebody else.
            snapshot.apply(event.clone(), now).map_err(|_| Error::LeaseLost)?;
            self.snapshots.finish_capture(lease, &snapshot, outcome, now)?;
            Ok(snapshot)
        })
    }

    fn end_restore(&self, lease: &Lease, id: VolumeId, event: &VolumeEvent, outcome: TaskOutcome) -> Result<Volume> {
        until_not_stale(|| {
            let mut volume = self.volumes.get(id)?;
            let now = self.clock.now();
            volume.apply(event.clone(), now).map_err(|_| Error::LeaseLost)?;
            self.volumes.finish_restore(lease, &volume, outcome, now)?;
            Ok(volume)
        })
    }
}

/// Whether nothing is known that a snapshot has lost.
const fn has_lost_nothing(snapshot: &Snapshot) -> bool {
    !matches!(snapshot.health(), Health::Damaged { .. })
}

fn with_request(reason: &str, request: RequestId) -> String {
    format!("{} (request {request})", reason.trim_end_matches('.'))
}
