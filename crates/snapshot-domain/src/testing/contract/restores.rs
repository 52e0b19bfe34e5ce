//! Rules of beginning and ending restores.

use super::{
    Ports,
    world::{
        Restoring, World, assert_exists_already, assert_lease_lost, assert_not_found, assert_stale, far_from, race,
        volume_after,
    },
};
use crate::{
    Lease, Losses, Resource, RestoreMode, Result, Snapshot, Task, TaskId, TaskOutcome, TaskState, TaskStateName,
    Volume, VolumeChanges, VolumeEvent, Work,
    testing::{a_restore, a_salvage, a_snapshot, a_task, a_volume, an_instance, moment, name, some_losses},
};

/// The volume and the task that fills it are there together, as they were given.
pub fn keeps_a_restore_as_it_was_begun(ports: &dyn Ports) {
    let world = World::new(ports);
    let snapshot = world.available(&world.volume(), a_snapshot(world.organization));

    let restoring = world.restore(&snapshot);

    assert_eq!(world.reread(&restoring.volume), restoring.volume);
    assert_eq!(ports.tasks().get(restoring.task.id()).unwrap(), restoring.task);
}

/// The owner deleted the snapshot just before: there is nothing to fill a volume from, and none is made.
pub fn does_not_begin_a_restore_from_a_snapshot_that_is_gone(ports: &dyn Ports) {
    let world = World::new(ports);
    let snapshot = world.available(&world.volume(), a_snapshot(world.organization));
    delete(ports, &snapshot);
    let volume = a_volume(world.organization).restoring(snapshot.id()).build();
    let task = a_restore(&volume, &snapshot).build();

    let begun = ports.volumes().begin_restore(&volume, &task, None);

    assert_not_found(begun, Resource::Snapshot, snapshot.id().as_uuid());
    assert_not_found(
        ports.volumes().get(volume.id()),
        Resource::Volume,
        volume.id().as_uuid(),
    );
    assert_not_found(ports.tasks().get(task.id()), Resource::Task, task.id().as_uuid());
}

/// A taken id is refused, and no task is stored.
pub fn refuses_a_restore_into_a_volume_whose_id_is_taken(ports: &dyn Ports) {
    let world = World::new(ports);
    let existing = world.volume();
    let snapshot = world.available(&existing, a_snapshot(world.organization));
    let volume = a_volume(world.organization)
        .id(existing.id())
        .restoring(snapshot.id())
        .build();
    let task = a_restore(&volume, &snapshot).build();

    let begun = ports.volumes().begin_restore(&volume, &task, None);

    assert_exists_already(begun);
    assert_eq!(world.reread(&existing), existing);
    assert_not_found(ports.tasks().get(task.id()), Resource::Task, task.id().as_uuid());
}

/// The volume is at rest, and the task has succeeded.
pub fn ends_a_restore_that_went_well(ports: &dyn Ports) {
    let world = World::new(ports);
    let restoring = a_running_restore(&world);
    let lease = world.claim(restoring.task.id()).lease();
    let whole = volume_after(&restoring.volume, VolumeEvent::RestoreCommitted);

    ports
        .volumes()
        .finish_restore(&lease, &whole, TaskOutcome::Succeeded, moment(77))
        .unwrap();

    let task = ports.tasks().get(restoring.task.id()).unwrap();
    assert_eq!(world.reread(&whole), whole);
    assert_eq!(task.state(), &TaskState::Succeeded);
    assert_eq!(task.ended_at(), Some(moment(77)));
    assert_eq!(task.progress().done_bytes, task.progress().total_bytes);
}

/// The volume says why, and the task has failed.
pub fn ends_a_restore_that_failed(ports: &dyn Ports) {
    let world = World::new(ports);
    let restoring = a_running_restore(&world);
    let lease = world.claim(restoring.task.id()).lease();
    let reason = "the bytes 0 to 131071 are lost".to_owned();
    let failed = volume_after(&restoring.volume, VolumeEvent::RestoreFailed { reason });

    ports
        .volumes()
        .finish_restore(&lease, &failed, TaskOutcome::Failed, moment(77))
        .unwrap();

    let task = ports.tasks().get(restoring.task.id()).unwrap();
    assert_eq!(world.reread(&failed), failed);
    assert_eq!(task.state(), &TaskState::Failed);
    assert_eq!(task.ended_at(), Some(moment(77)));
}

/// What is lost stands on the volume and on the task, also when nothing is.
pub fn keeps_what_a_salvage_could_not_bring_back(ports: &dyn Ports) {
    let world = World::new(ports);
    for losses in [some_losses(), Losses::default()] {
        let restoring = a_running_restore(&world);
        let lease = world.claim(restoring.task.id()).lease();
        let salvaged = volume_after(&restoring.volume, VolumeEvent::SalvageCommitted(losses.clone()));

        ports
            .volumes()
            .finish_restore(&lease, &salvaged, TaskOutcome::Succeeded, moment(77))
            .unwrap();

        assert_eq!(world.reread(&salvaged), salvaged);
        assert_eq!(world.reread(&salvaged).losses(), Some(&losses));
        assert_eq!(ports.tasks().get(restoring.task.id()).unwrap().losses(), Some(&losses));
    }
}

/// Whoever takes the task up knows that damage is no reason to fail, also when another worker had it before.
pub fn keeps_that_a_restore_is_a_salvage(ports: &dyn Ports) {
    let world = World::new(ports);
    let snapshot = world.available(&world.volume(), a_snapshot(world.organization));
    let volume = a_volume(world.organization).restoring(snapshot.id()).build();
    let task = a_salvage(&volume, &snapshot).build();
    ports.volumes().begin_restore(&volume, &task, None).unwrap();

    let first = world.claim(task.id());
    ports.tasks().put_back(&first.lease()).unwrap();
    let second = world.claim(task.id());

    for claimed in [first, second] {
        assert_eq!(claimed.work(), task.work());
        assert!(matches!(
            claimed.work(),
            Work::Restore {
                mode: RestoreMode::Salvage,
                ..
            }
        ));
    }
}

/// A restore ends once; the second end is nobody's.
pub fn ends_a_restore_only_once(ports: &dyn Ports) {
    let world = World::new(ports);
    let restoring = a_running_restore(&world);
    let lease = world.claim(restoring.task.id()).lease();
    finish(ports, &lease, &restoring.volume).unwrap();
    let now = world.reread(&restoring.volume);

    let again = finish(ports, &lease, &restoring.volume);

    assert_lease_lost(again);
    assert_eq!(world.reread(&restoring.volume), now);
}

/// The owner renamed the volume while it was filled: the worker is told, and nothing has ended.
pub fn does_not_end_a_restore_over_a_rename(ports: &dyn Ports) {
    let world = World::new(ports);
    let restoring = a_running_restore(&world);
    let lease = world.claim(restoring.task.id()).lease();
    let mut renamed = restoring.volume.clone();
    let changes = VolumeChanges {
        name: Some(name("renamed")),
        tags: None,
    };
    renamed.update(changes, moment(15));
    ports.volumes().update(&renamed).unwrap();

    let finished = finish(ports, &lease, &restoring.volume);

    assert_stale(finished);
    assert_eq!(world.reread(&renamed), renamed);
    assert_eq!(state_of(ports, &restoring.task), TaskStateName::Running);
    finish(ports, &lease, &renamed).unwrap();
    assert_eq!(world.reread(&renamed).name(), renamed.name());
}

/// A worker that was given up on can't end what its successor works on.
pub fn does_not_let_a_worker_end_a_restore_that_somebody_else_took(ports: &dyn Ports) {
    let world = World::new(ports);
    let restoring = a_running_restore(&world);
    let lost = world.claim(restoring.task.id()).lease();
    let successor = world.claim_any(an_instance(), far_from(moment(10))).unwrap();

    let finished = finish(ports, &lost, &restoring.volume);

    assert_lease_lost(finished);
    assert_eq!(world.reread(&restoring.volume), restoring.volume);
    assert_eq!(ports.tasks().get(restoring.task.id()).unwrap(), successor);
}

/// Nobody ends a restore that nobody claimed.
pub fn does_not_end_a_restore_that_is_not_running(ports: &dyn Ports) {
    let world = World::new(ports);
    let restoring = a_running_restore(&world);
    let lease = world.claim(restoring.task.id()).lease();
    ports.tasks().put_back(&lease).unwrap();

    assert_lease_lost(finish(ports, &lease, &restoring.volume));
    assert_lease_lost(finish(ports, &restoring.task.lease(), &restoring.volume));
    assert_eq!(world.reread(&restoring.volume), restoring.volume);
}

/// Any number of volumes can be filled from one snapshot at once.
pub fn lets_any_number_of_restores_of_one_snapshot_begin_at_once(ports: &dyn Ports) {
    let world = World::new(ports);
    let snapshot = world.available(&world.volume(), a_snapshot(world.organization));

    let begun = race(8, |_| world.restore(&snapshot));

    for Restoring { volume, task } in begun {
        assert_eq!(world.reread(&volume), volume);
        assert_eq!(ports.tasks().get(task.id()).unwrap(), task);
    }
}

/// The manifest of a deleted snapshot stays while restores read it, waiting or running: the task that removes it is not
/// given out before the last of them has ended, however it ended.
pub fn gives_out_the_removal_of_a_manifest_only_when_no_restore_reads_it(ports: &dyn Ports) {
    let world = World::new(ports);
    let snapshot = world.available(&world.volume(), a_snapshot(world.organization));
    let restores = [(); 2].map(|()| world.restore(&snapshot));
    let forget = delete(ports, &snapshot);
    let held = restores.map(|it| world.claim(it.task.id()));
    let next = |now| world.claim_any(an_instance(), now).map(|task| task.id());

    assert_eq!(next(moment(10)), None);
    ports
        .tasks()
        .finish(&held[0].lease(), TaskOutcome::Failed, moment(11))
        .unwrap();
    assert_eq!(next(moment(12)), None);
    ports.tasks().put_back(&held[1].lease()).unwrap();
    assert_eq!(next(moment(13)), Some(held[1].id()));
    assert_eq!(next(moment(14)), None);
    let lease = ports.tasks().get(held[1].id()).unwrap().lease();
    ports
        .tasks()
        .finish(&lease, TaskOutcome::Succeeded, moment(15))
        .unwrap();
    assert_eq!(next(moment(16)), Some(forget));
}

/// A removal that has to wait holds up nothing that is newer, and a restore of one snapshot no other snapshot's removal.
pub fn does_not_let_a_waiting_removal_hold_up_other_tasks(ports: &dyn Ports) {
    let world = World::new(ports);
    let volume = world.volume();
    let snapshot = world.available(&volume, a_snapshot(world.organization));
    let other = world.available(&volume, a_snapshot(world.organization));
    let restore = world.restore(&snapshot);
    world.claim(restore.task.id());
    delete(ports, &snapshot);
    let forget_other = delete(ports, &other);
    let copy = world.copy_as(&volume, a_snapshot(world.organization).created_at(moment(99)));

    let claimed = [(); 3].map(|()| world.claim_any(an_instance(), moment(100)).map(|task| task.id()));

    assert_eq!(claimed, [Some(forget_other), Some(copy.task.id()), None]);
}

/// Deletes a snapshot, and returns the task that removes its manifest.
fn delete(ports: &dyn Ports, snapshot: &Snapshot) -> TaskId {
    let work = Work::ForgetSnapshot {
        snapshot: snapshot.id(),
        domain: snapshot.domain(),
    };
    let forget = a_task(snapshot.organization(), work).created_at(moment(1)).build();
    ports.snapshots().delete(snapshot, &forget).unwrap();
    forget.id()
}

fn a_running_restore(world: &World<'_>) -> Restoring {
    let snapshot = world.available(&world.volume(), a_snapshot(world.organization));
    world.restore(&snapshot)
}

fn finish(ports: &dyn Ports, lease: &Lease, volume: &Volume) -> Result<()> {
    let whole = volume_after(volume, VolumeEvent::RestoreCommitted);
    ports
        .volumes()
        .finish_restore(lease, &whole, TaskOutcome::Succeeded, moment(60))
}

fn state_of(ports: &dyn Ports, task: &Task) -> TaskStateName {
    ports.tasks().get(task.id()).unwrap().state().name()
}
