//! What the tests start from, and what they expect most often.

use std::fmt::Debug;

use snapshot_domain::{
    Caller, Error, Resource, RestoreMode, Result, Snapshot, Task, TaskStateName, Volume, VolumeId,
    ports::{SnapshotRepository, VolumeRepository},
    testing::{Services, a_caller, a_content, a_request, name, size, tags},
    use_case::{CreateSnapshot, CreateVolume, RestoreVolume},
};
use uuid::Uuid;

/// Two callers who have nothing to do with each other, and every service.
pub(crate) struct Story {
    pub(crate) services: Services,
    pub(crate) owner: Caller,
    pub(crate) stranger: Caller,
}

impl Story {
    pub(crate) fn new() -> Self {
        Self {
            services: Services::default(),
            owner: a_caller(),
            stranger: a_caller(),
        }
    }

    /// A volume of the owner.
    pub(crate) fn volume(&self) -> Volume {
        self.services
            .volumes
            .create(&self.owner, new_volume(&self.owner))
            .unwrap()
    }

    /// A snapshot of the owner that waits to be copied.
    pub(crate) fn copying(&self, volume: &Volume) -> Snapshot {
        let command = new_snapshot(&self.owner, volume.id());
        self.services
            .snapshots
            .create(&self.owner, &command, a_request())
            .unwrap()
            .item
    }

    /// A whole snapshot of the owner.
    pub(crate) fn available(&self, volume: &Volume) -> Snapshot {
        let snapshot = self.copying(volume);
        let worker = self.services.worker();
        let task = self.claim();
        worker
            .complete_capture(&task.lease(), snapshot.id(), &a_content())
            .unwrap()
    }

    /// A volume of the owner that waits to be filled.
    pub(crate) fn restoring(&self, snapshot: &Snapshot) -> Volume {
        let command = new_restore(&self.owner, snapshot);
        self.services
            .volumes
            .restore(&self.owner, command, a_request())
            .unwrap()
            .item
    }

    /// A worker takes the oldest task.
    pub(crate) fn claim(&self) -> Task {
        self.services.worker().claim().unwrap().expect("a task waits")
    }

    /// The only task that has not ended.
    pub(crate) fn only_task(&self) -> Task {
        let mut unfinished = self.unfinished_tasks();
        assert_eq!(unfinished.len(), 1, "{unfinished:?}");
        unfinished.remove(0)
    }

    pub(crate) fn unfinished_tasks(&self) -> Vec<Task> {
        let mut tasks = self.services.store.all_tasks();
        tasks.retain(|task| !task.state().name().has_ended());
        tasks
    }

    pub(crate) fn state_of(&self, task: &Task) -> TaskStateName {
        let tasks = self.services.store.all_tasks();
        let stored = tasks.iter().find(|it| it.id() == task.id()).unwrap();
        stored.state().name()
    }

    pub(crate) fn stored_volume(&self, volume: &Volume) -> Volume {
        VolumeRepository::get(&self.services.store, volume.id()).unwrap()
    }

    pub(crate) fn stored_snapshot(&self, snapshot: &Snapshot) -> Snapshot {
        SnapshotRepository::get(&self.services.store, snapshot.id()).unwrap()
    }

    /// The first bytes of a volume, as its owner reads them.
    pub(crate) fn read(&self, volume: &Volume, length: usize) -> Vec<u8> {
        let (_, mut open) = self.services.volumes.open(&self.owner, volume.id()).unwrap();
        let mut bytes = vec![0xff; length];
        open.bytes.read_at(0, &mut bytes).unwrap();
        bytes
    }
}

pub(crate) fn new_volume(owner: &Caller) -> CreateVolume {
    CreateVolume {
        name: name("vol-0-1"),
        organization: owner.organizations[0],
        size: size(4_096),
        volume_type: snapshot_domain::VolumeType::LocalSsd,
        tags: tags(&["db"]),
    }
}

pub(crate) fn new_snapshot(owner: &Caller, volume: VolumeId) -> CreateSnapshot {
    CreateSnapshot {
        name: name("snapshot-0-1"),
        organization: owner.organizations[0],
        volume,
        tags: tags(&["nightly"]),
    }
}

pub(crate) fn new_restore(owner: &Caller, snapshot: &Snapshot) -> RestoreVolume {
    RestoreVolume {
        name: name("restored"),
        organization: owner.organizations[0],
        snapshot: snapshot.id(),
        mode: RestoreMode::Whole,
        volume_type: snapshot.volume_type(),
        tags: tags(&[]),
    }
}

#[track_caller]
pub(crate) fn assert_not_found<T>(result: Result<T>, wanted: Resource, wanted_id: Uuid) {
    match result.map(drop) {
        Err(Error::NotFound { resource, id }) => assert_eq!((resource, id), (wanted, wanted_id)),
        other => panic!("expected {wanted} {wanted_id} not to be found, got {other:?}"),
    }
}

#[track_caller]
pub(crate) fn assert_not_allowed<T: Debug>(result: Result<T>) {
    assert!(matches!(result, Err(Error::NotAllowed)), "{result:?}");
}

#[track_caller]
pub(crate) fn assert_lease_lost<T: Debug>(result: Result<T>) {
    assert!(matches!(result, Err(Error::LeaseLost)), "{result:?}");
}

/// A conflict that says in which state the resource is.
#[track_caller]
pub(crate) fn assert_conflict<T>(result: Result<T>, wanted: Resource, wanted_id: Uuid, wanted_state: &str) {
    match result.map(drop) {
        Err(Error::Conflict {
            resource, id, state, ..
        }) => assert_eq!((resource, id, state), (wanted, wanted_id, wanted_state)),
        other => panic!("expected a conflict with {wanted} {wanted_id}, got {other:?}"),
    }
}
