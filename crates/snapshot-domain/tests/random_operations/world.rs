//! The service, its callers and workers, and what was answered to them so far.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

use snapshot_domain::{
    Caller, Content, Error, InstanceId, OrganizationId, RestoreMode, Result, Right, SnapshotChanges, SnapshotId, Task,
    TaskId, TaskOutcome, TaskStateName, VolumeChanges, VolumeId, VolumeType, Work,
    ports::{Renewal, TaskQueue, VolumeBytes},
    testing::{Services, a_caller_of, a_content, a_request, an_instance, an_organization_id, name, size, tags},
    use_case::{CreateSnapshot, CreateVolume, RegisterVolume, RestoreVolume, TaskService, VolumeWrite},
};

use crate::operation::Operation;

/// Everything that happens, and what has to be true because of what was answered.
pub(crate) struct World {
    pub(crate) services: Services,
    pub(crate) organizations: Vec<OrganizationId>,
    pub(crate) callers: Vec<Caller>,
    workers: Vec<Worker>,
    writes: Vec<VolumeWrite>,
    /// Who owns which snapshot, of those that were made and not deleted.
    pub(crate) snapshots: BTreeMap<SnapshotId, OrganizationId>,
    /// Who owns which volume, of those that were made and not deleted.
    pub(crate) volumes: BTreeMap<VolumeId, OrganizationId>,
    /// What was known of each snapshot when its copy was completed.
    pub(crate) contents: BTreeMap<SnapshotId, Content>,
    pub(crate) ended_tasks: BTreeMap<TaskId, Task>,
    /// Volumes that are being written, by those who write.
    pub(crate) written: BTreeSet<VolumeId>,
    names_given: u32,
}

/// The workers of one instance, with all tasks that they believe to hold.
struct Worker {
    instance: InstanceId,
    tasks: TaskService,
    held: Vec<Task>,
}

impl World {
    pub(crate) fn new() -> Self {
        let services = Services::default();
        let organizations = vec![an_organization_id(), an_organization_id(), an_organization_id()];
        let callers = vec![
            a_caller_of(&organizations[..1]),
            a_caller_of(&organizations[1..2]),
            a_caller_of(&organizations[1..]),
        ];
        let workers = (0..3)
            .map(|_| {
                let instance = an_instance();
                Worker {
                    instance,
                    tasks: services.worker_of(instance),
                    held: Vec::new(),
                }
            })
            .collect();
        Self {
            services,
            organizations,
            callers,
            workers,
            writes: Vec::new(),
            snapshots: BTreeMap::new(),
            volumes: BTreeMap::new(),
            contents: BTreeMap::new(),
            ended_tasks: BTreeMap::new(),
            written: BTreeSet::new(),
            names_given: 0,
        }
    }

    pub(crate) fn perform(&mut self, operation: Operation) {
        self.services.clock.advance_millis(1);
        match operation {
            Operation::CreateVolume { caller, organization } => self.create_volume(caller, organization),
            Operation::RegisterVolume { organization } => self.register_volume(organization),
            Operation::RenameVolume { caller, volume } => self.rename_volume(caller, volume),
            Operation::DeleteVolume { caller, volume } => self.delete_volume(caller, volume),
            Operation::BeginWrite { caller, volume } => self.begin_write(caller, volume),
            Operation::EndWrite { write, commit } => self.end_write(write, commit),
            Operation::CreateSnapshot {
                caller,
                organization,
                volume,
            } => self.create_snapshot(caller, organization, volume),
            Operation::RenameSnapshot { caller, snapshot } => self.rename_snapshot(caller, snapshot),
            Operation::TransferSnapshot { caller, snapshot, to } => self.transfer_snapshot(caller, snapshot, to),
            Operation::DeleteSnapshot { caller, snapshot } => self.delete_snapshot(caller, snapshot),
            Operation::Restore {
                caller,
                organization,
                snapshot,
            } => self.restore(caller, organization, snapshot),
            Operation::Claim { worker } => {
                let worker = pick_mut(&mut self.workers, worker).unwrap();
                worker.held.extend(worker.tasks.claim().unwrap());
            }
            Operation::Renew { worker, task } => {
                let worker = pick_mut(&mut self.workers, worker).unwrap();
                if let Some(task) = pick(&worker.held, task) {
                    expect_workers_answer(worker.tasks.renew(&task.lease(), task.progress()));
                }
            }
            Operation::Complete { worker, task } => self.end_task(worker, task, true),
            Operation::Fail { worker, task } => self.end_task(worker, task, false),
            Operation::PutBack { worker, task } => {
                let worker = pick_mut(&mut self.workers, worker).unwrap();
                if let Some(task) = take(&mut worker.held, task) {
                    expect_workers_answer(worker.tasks.put_back(&task.lease()));
                }
            }
            Operation::Die { worker } => {
                let worker = pick_mut(&mut self.workers, worker).unwrap();
                worker.held.clear();
                worker.tasks = self.services.worker_of(worker.instance);
                worker.tasks.put_back_all().unwrap();
            }
            Operation::Wait { long } => {
                let millis = if long { Services::LEASE_MS } else { 7_000 };
                self.services.clock.advance_millis(millis);
            }
        }
    }

    /// All processes end; the next one ends every write, and then every task there is.
    pub(crate) fn finish_everything(&mut self) {
        self.writes.clear();
        let interrupted = self.services.volumes.abandon_interrupted_writes().unwrap();
        assert_eq!(interrupted, self.written.len());
        self.written.clear();
        self.workers.truncate(1);
        self.workers[0].held.clear();
        self.services.clock.advance_millis(Services::LEASE_MS);
        while let Some(task) = self.workers[0].tasks.claim().unwrap() {
            self.workers[0].held.push(task);
            self.end_task(0, 0, true);
            assert_eq!(self.workers[0].held.len(), 0);
        }
    }

    fn create_volume(&mut self, caller: u8, organization: u8) {
        let caller = pick(&self.callers, caller).unwrap();
        let organization = pick(&self.organizations, organization).unwrap();
        let command = CreateVolume {
            name: name("new"),
            organization,
            size: size(4_096),
            volume_type: VolumeType::LocalSsd,
            tags: tags(&[]),
        };
        let created = self.services.volumes.create(&caller, command);
        assert_eq!(
            created.is_ok(),
            caller.may(Right::Create).unwrap().act_for(organization).is_ok()
        );
        if let Some(volume) = expect_callers_answer(created) {
            self.volumes.insert(volume.id(), organization);
        }
    }

    fn register_volume(&mut self, organization: u8) {
        let command = RegisterVolume {
            name: name("registered"),
            organization: pick(&self.organizations, organization).unwrap(),
            size: size(4_096),
            path: PathBuf::from("/dev/vdb"),
        };
        let volume = self.services.volumes.register(command).unwrap();
        self.volumes.insert(volume.id(), volume.organization());
    }

    fn rename_volume(&mut self, caller: u8, volume: u8) {
        let (caller, Some(id)) = (pick(&self.callers, caller).unwrap(), self.volume(volume)) else {
            return;
        };
        let changes = VolumeChanges {
            name: Some(self.new_name()),
            tags: None,
        };
        let updated = self.services.volumes.update(&caller, id, &changes);
        assert_eq!(updated.is_ok(), self.owns_volume(&caller, id));
        if let Some(updated) = expect_callers_answer(updated) {
            assert_eq!(Some(updated.item.name()), changes.name.as_ref());
        }
    }

    fn delete_volume(&mut self, caller: u8, volume: u8) {
        let (caller, Some(id)) = (pick(&self.callers, caller).unwrap(), self.volume(volume)) else {
            return;
        };
        let deleted = self.services.volumes.delete(&caller, id, a_request());
        assert!(deleted.is_err() || self.owns_volume(&caller, id));
        if expect_callers_answer(deleted).is_some() {
            self.volumes.remove(&id);
        }
    }

    fn begin_write(&mut self, caller: u8, volume: u8) {
        let (caller, Some(id)) = (pick(&self.callers, caller).unwrap(), self.volume(volume)) else {
            return;
        };
        let begun = self.services.volumes.begin_write(&caller, id);
        assert!(begun.is_err() || self.owns_volume(&caller, id));
        if let Some(write) = expect_callers_answer(begun) {
            self.written.insert(id);
            self.writes.push(write);
        }
    }

    fn end_write(&mut self, write: u8, commit: bool) {
        if self.writes.is_empty() {
            return;
        }
        let write = self.writes.swap_remove(usize::from(write) % self.writes.len());
        self.written.remove(&write.volume().id());
        let ended = if commit { write.commit() } else { write.abandon() };
        ended.unwrap();
    }

    fn create_snapshot(&mut self, caller: u8, organization: u8, volume: u8) {
        let (caller, Some(volume)) = (pick(&self.callers, caller).unwrap(), self.volume(volume)) else {
            return;
        };
        let command = CreateSnapshot {
            name: name("new"),
            organization: pick(&self.organizations, organization).unwrap(),
            volume,
            tags: tags(&[]),
        };
        let created = self.services.snapshots.create(&caller, &command, a_request());
        let allowed = caller.may(Right::Create).unwrap().act_for(command.organization).is_ok()
            && self.owns_volume(&caller, volume);
        assert!(created.is_err() || allowed);
        if let Some(begun) = expect_callers_answer(created) {
            self.snapshots.insert(begun.item.id(), command.organization);
        }
    }

    fn rename_snapshot(&mut self, caller: u8, snapshot: u8) {
        let (caller, Some(id)) = (pick(&self.callers, caller).unwrap(), self.snapshot(snapshot)) else {
            return;
        };
        let changes = SnapshotChanges {
            name: Some(self.new_name()),
            ..SnapshotChanges::default()
        };
        let updated = self.services.snapshots.update(&caller, id, &changes);
        assert_eq!(updated.is_ok(), self.owns_snapshot(&caller, id));
        if let Some(updated) = expect_callers_answer(updated) {
            assert_eq!(Some(updated.item.name()), changes.name.as_ref());
        }
    }

    fn transfer_snapshot(&mut self, caller: u8, snapshot: u8, to: u8) {
        let (caller, Some(id)) = (pick(&self.callers, caller).unwrap(), self.snapshot(snapshot)) else {
            return;
        };
        let to = pick(&self.organizations, to).unwrap();
        let changes = SnapshotChanges {
            organization: Some(to),
            ..SnapshotChanges::default()
        };
        let updated = self.services.snapshots.update(&caller, id, &changes);
        let allowed = self.owns_snapshot(&caller, id) && caller.may(Right::Create).unwrap().act_for(to).is_ok();
        assert_eq!(updated.is_ok(), allowed);
        if expect_callers_answer(updated).is_some() {
            self.snapshots.insert(id, to);
        }
    }

    fn delete_snapshot(&mut self, caller: u8, snapshot: u8) {
        let (caller, Some(id)) = (pick(&self.callers, caller).unwrap(), self.snapshot(snapshot)) else {
            return;
        };
        let deleted = self.services.snapshots.delete(&caller, id, a_request());
        assert_eq!(deleted.is_ok(), self.owns_snapshot(&caller, id));
        if expect_callers_answer(deleted).is_some() {
            self.snapshots.remove(&id);
        }
    }

    fn restore(&mut self, caller: u8, organization: u8, snapshot: u8) {
        let (caller, Some(id)) = (pick(&self.callers, caller).unwrap(), self.snapshot(snapshot)) else {
            return;
        };
        let command = RestoreVolume {
            name: name("restored"),
            organization: pick(&self.organizations, organization).unwrap(),
            snapshot: id,
            mode: RestoreMode::Whole,
            volume_type: VolumeType::LocalSsd,
            tags: tags(&[]),
        };
        let organization = command.organization;
        let restored = self.services.volumes.restore(&caller, command, a_request());
        let allowed =
            caller.may(Right::Create).unwrap().act_for(organization).is_ok() && self.owns_snapshot(&caller, id);
        let is_whole = self.contents.contains_key(&id);
        assert_eq!(restored.is_ok(), allowed && is_whole);
        if let Some(begun) = expect_callers_answer(restored) {
            self.volumes.insert(begun.item.id(), organization);
        }
    }

    /// A worker does what is to be done with one of its tasks, and then ends it.
    fn end_task(&mut self, worker: u8, task: u8, well: bool) {
        let worker = pick_mut(&mut self.workers, worker).unwrap();
        let Some(task) = take(&mut worker.held, task) else {
            return;
        };
        let (tasks, lease) = (&worker.tasks, task.lease());
        let outcome = if well {
            TaskOutcome::Succeeded
        } else {
            TaskOutcome::Failed
        };
        let renewal = expect_workers_answer(tasks.renew(&lease, task.progress()));
        assert_eq!(renewal.is_some(), is_last_claim(&self.services, &task));
        let Some(renewal) = renewal else {
            // A worker that does not notice tries to end it nevertheless.
            let ended = match *task.work() {
                Work::Capture { snapshot, .. } => tasks.complete_capture(&lease, snapshot, &a_content()).map(drop),
                Work::Restore { volume, .. } => tasks.complete_restore(&lease, volume).map(drop),
                Work::EraseVolume { .. } | Work::ForgetSnapshot { .. } => tasks.finish(&lease, outcome),
            };
            assert_eq!(expect_workers_answer(ended), None);
            return;
        };
        match (renewal, *task.work()) {
            (Renewal::Cancelled, Work::Capture { snapshot, .. }) => {
                let completed = tasks.complete_capture(&lease, snapshot, &a_content());
                assert_eq!(expect_workers_answer(completed), None);
                tasks.finish(&lease, TaskOutcome::Cancelled).unwrap();
            }
            (Renewal::Cancelled, work) => panic!("nobody calls off {work:?}"),
            (Renewal::Continue, Work::Capture { snapshot, .. }) if well => {
                let content = Content {
                    stored_bytes: self.contents.len() as u64,
                    ..a_content()
                };
                tasks.complete_capture(&lease, snapshot, &content).unwrap();
                self.contents.insert(snapshot, content);
            }
            (Renewal::Continue, Work::Capture { snapshot, .. }) => {
                tasks.fail_capture(&task, snapshot, "it broke").unwrap();
            }
            (Renewal::Continue, Work::Restore { volume, .. }) if well => {
                self.services.volume_bytes.put(volume, b"restored");
                tasks.complete_restore(&lease, volume).unwrap();
            }
            (Renewal::Continue, Work::Restore { volume, .. }) => {
                tasks.fail_restore(&task, volume, "it broke").unwrap();
            }
            (Renewal::Continue, Work::EraseVolume { volume }) => {
                self.services.volume_bytes.remove(volume).unwrap();
                tasks.finish(&lease, outcome).unwrap();
            }
            (Renewal::Continue, Work::ForgetSnapshot { .. }) => tasks.finish(&lease, outcome).unwrap(),
        }
    }

    fn volume(&self, n: u8) -> Option<VolumeId> {
        pick(&self.volumes.keys().copied().collect::<Vec<_>>(), n)
    }

    fn snapshot(&self, n: u8) -> Option<SnapshotId> {
        pick(&self.snapshots.keys().copied().collect::<Vec<_>>(), n)
    }

    fn owns_volume(&self, caller: &Caller, id: VolumeId) -> bool {
        caller.organizations.contains(&self.volumes[&id])
    }

    fn owns_snapshot(&self, caller: &Caller, id: SnapshotId) -> bool {
        caller.organizations.contains(&self.snapshots[&id])
    }

    fn new_name(&mut self) -> snapshot_domain::Name {
        self.names_given += 1;
        name(&format!("name {}", self.names_given))
    }
}

/// Whether this is the claim that counts: nobody else took the task since, and it was neither put back nor ended.
fn is_last_claim(services: &Services, task: &Task) -> bool {
    let stored = TaskQueue::get(&services.store, task.id()).unwrap();
    stored.state().name() == TaskStateName::Running && stored.epoch() == task.epoch()
}

/// Callers are refused what is not theirs or can't be now. Nobody ever hears of races, leases or broken rows.
#[track_caller]
fn expect_callers_answer<T>(result: Result<T>) -> Option<T> {
    match result {
        Ok(done) => Some(done),
        Err(Error::NotFound { .. } | Error::NotAllowed | Error::Conflict { .. }) => None,
        Err(other) => panic!("no answer for a caller: {other:?}"),
    }
}

/// Workers are told that their task is not theirs any more, or that what it was about is gone.
#[track_caller]
fn expect_workers_answer<T>(result: Result<T>) -> Option<T> {
    match result {
        Ok(done) => Some(done),
        Err(Error::NotFound { .. } | Error::LeaseLost) => None,
        Err(other) => panic!("no answer for a worker: {other:?}"),
    }
}

fn pick<T: Clone>(from: &[T], n: u8) -> Option<T> {
    from.get(usize::from(n).checked_rem(from.len())?).cloned()
}

fn pick_mut<T>(from: &mut [T], n: u8) -> Option<&mut T> {
    let place = usize::from(n).checked_rem(from.len())?;
    from.get_mut(place)
}

fn take<T>(from: &mut Vec<T>, n: u8) -> Option<T> {
    let place = usize::from(n).checked_rem(from.len())?;
    Some(from.swap_remove(place))
}
