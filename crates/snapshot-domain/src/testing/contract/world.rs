//! What the rules start from: organizations, volumes and copies in an otherwise empty store.

use std::sync::Barrier;

use uuid::Uuid;

use super::Ports;
use crate::{
    Error, InstanceId, OrganizationId, Resource, Result, Scope, Snapshot, SnapshotEvent, Task, TaskId, TaskOutcome,
    Timestamp, Volume, VolumeEvent,
    testing::{
        SnapshotBuilder, VolumeBuilder, a_capture, a_content, a_restore, a_snapshot, a_volume, an_instance,
        an_organization, moment,
    },
};

/// A store with one organization in it.
pub(super) struct World<'a> {
    ports: &'a dyn Ports,
    pub(super) organization: OrganizationId,
}

/// A copy that was begun, as it was stored.
pub(super) struct Copying {
    pub(super) snapshot: Snapshot,
    pub(super) task: Task,
}

/// A restore that was begun, as it was stored.
pub(super) struct Restoring {
    pub(super) volume: Volume,
    pub(super) task: Task,
}

impl<'a> World<'a> {
    pub(super) fn new(ports: &'a dyn Ports) -> Self {
        let organization = store_organization(ports);
        Self { ports, organization }
    }

    /// What the first organization may see.
    pub(super) fn scope(&self) -> Scope {
        Scope::new(vec![self.organization])
    }

    pub(super) fn another_organization(&self) -> OrganizationId {
        store_organization(self.ports)
    }

    /// A volume of the first organization.
    pub(super) fn volume(&self) -> Volume {
        self.store_volume(a_volume(self.organization))
    }

    pub(super) fn store_volume(&self, volume: VolumeBuilder) -> Volume {
        let volume = volume.build();
        self.ports.volumes().insert(&volume, None).unwrap();
        volume
    }

    /// The volume as it is stored now.
    pub(super) fn reread(&self, volume: &Volume) -> Volume {
        self.ports.volumes().get(volume.id()).unwrap()
    }

    /// How many copies of a volume are counted.
    pub(super) fn copies(&self, volume: &Volume) -> u32 {
        self.reread(volume).copies()
    }

    /// Begins a copy of a volume, for its owner.
    pub(super) fn copy(&self, volume: &Volume) -> Copying {
        self.copy_as(volume, a_snapshot(volume.organization()))
    }

    pub(super) fn copy_as(&self, volume: &Volume, snapshot: SnapshotBuilder) -> Copying {
        let snapshot = snapshot.of(volume).build();
        let task = a_capture(&snapshot).build();
        self.ports
            .snapshots()
            .begin(&snapshot, &task, &self.reread(volume), None)
            .unwrap();
        Copying { snapshot, task }
    }

    /// A whole snapshot of a volume.
    pub(super) fn available(&self, volume: &Volume, snapshot: SnapshotBuilder) -> Snapshot {
        let copying = self.copy_as(volume, snapshot);
        self.end_copy(
            &copying,
            SnapshotEvent::CaptureCommitted(a_content()),
            TaskOutcome::Succeeded,
        )
    }

    /// A snapshot of a volume whose copy failed.
    pub(super) fn failed(&self, volume: &Volume, snapshot: SnapshotBuilder) -> Snapshot {
        let reason = "the volume's file is gone".to_owned();
        let copying = self.copy_as(volume, snapshot);
        self.end_copy(&copying, SnapshotEvent::CaptureFailed { reason }, TaskOutcome::Failed)
    }

    fn end_copy(&self, copying: &Copying, event: SnapshotEvent, outcome: TaskOutcome) -> Snapshot {
        let task = self.claim(copying.task.id());
        let ended = after(&copying.snapshot, event);
        self.ports
            .snapshots()
            .finish_capture(&task.lease(), &ended, outcome, moment(20))
            .unwrap();
        ended
    }

    /// Begins to restore a snapshot into a new volume of the first organization.
    pub(super) fn restore(&self, snapshot: &Snapshot) -> Restoring {
        let volume = a_volume(self.organization)
            .sized(snapshot.size().as_bytes())
            .restoring(snapshot.id())
            .build();
        let task = a_restore(&volume, snapshot).build();
        self.ports.volumes().begin_restore(&volume, &task, None).unwrap();
        Restoring { volume, task }
    }

    /// Claims this very task, for an instance of its own and for long.
    pub(super) fn claim(&self, id: TaskId) -> Task {
        self.claim_for(an_instance(), id)
    }

    pub(super) fn claim_for(&self, instance: InstanceId, id: TaskId) -> Task {
        let mut others = Vec::new();
        let found = loop {
            let task = self.claim_any(instance, moment(10)).expect("the task can be claimed");
            if task.id() == id {
                break task;
            }
            others.push(task);
        };
        for other in others {
            self.ports.tasks().put_back(&other.lease()).unwrap();
        }
        found
    }

    /// Claims whatever comes first.
    pub(super) fn claim_any(&self, instance: InstanceId, now: Timestamp) -> Option<Task> {
        self.ports.tasks().claim(instance, now, far_from(now)).unwrap()
    }
}

fn store_organization(ports: &dyn Ports) -> OrganizationId {
    let organization = an_organization();
    ports.organizations().insert(&organization).unwrap();
    organization.id
}

/// An hour later: when a claimed task is free again.
pub(super) fn far_from(now: Timestamp) -> Timestamp {
    now.plus_millis(3_600_000)
}

/// The snapshot after an event.
pub(super) fn after(snapshot: &Snapshot, event: SnapshotEvent) -> Snapshot {
    let mut next = snapshot.clone();
    next.apply(event, moment(20)).unwrap();
    next
}

/// The volume after an event.
pub(super) fn volume_after(volume: &Volume, event: VolumeEvent) -> Volume {
    let mut next = volume.clone();
    next.apply(event, moment(20)).unwrap();
    next
}

/// What a copy that went well does to its snapshot.
pub(super) fn committed() -> SnapshotEvent {
    SnapshotEvent::CaptureCommitted(a_content())
}

/// Does something in several threads at once, and returns what came out of each.
pub(super) fn race<T: Send>(threads: usize, run: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let start = Barrier::new(threads);
    let (run, start) = (&run, &start);
    std::thread::scope(|scope| {
        let running: Vec<_> = (0..threads)
            .map(|n| {
                scope.spawn(move || {
                    start.wait();
                    run(n)
                })
            })
            .collect();
        running.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

#[track_caller]
pub(super) fn assert_not_found<T: std::fmt::Debug>(result: Result<T>, wanted: Resource, wanted_id: Uuid) {
    match result {
        Err(Error::NotFound { resource, id }) => assert_eq!((resource, id), (wanted, wanted_id)),
        other => panic!("expected {wanted} {wanted_id} not to be found, got {other:?}"),
    }
}

#[track_caller]
pub(super) fn assert_stale<T: std::fmt::Debug>(result: Result<T>) {
    assert!(
        matches!(result, Err(Error::Stale { .. })),
        "expected Stale, got {result:?}"
    );
}

#[track_caller]
pub(super) fn assert_lease_lost<T: std::fmt::Debug>(result: Result<T>) {
    assert!(
        matches!(result, Err(Error::LeaseLost)),
        "expected LeaseLost, got {result:?}"
    );
}

#[track_caller]
pub(super) fn assert_exists_already<T: std::fmt::Debug>(result: Result<T>) {
    assert!(
        matches!(result, Err(Error::AlreadyExists { .. })),
        "expected AlreadyExists, got {result:?}"
    );
}
