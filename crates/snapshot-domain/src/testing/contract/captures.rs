//! Rules of ending and cancelling copies: who may, and what it leaves behind.

use super::{
    Ports,
    world::{Copying, World, after, assert_lease_lost, assert_not_found, assert_stale, committed, far_from, race},
};
use crate::{
    Error, Lease, Resource, Result, Snapshot, SnapshotChanges, SnapshotEvent, SnapshotState, TaskOutcome, TaskState,
    TaskStateName,
    ports::Renewal,
    testing::{a_content, an_instance, moment, name},
};

/// The snapshot is whole, the task has succeeded, and the copy is no longer counted.
pub fn ends_a_copy_that_went_well(ports: &dyn Ports) {
    let world = World::new(ports);
    let volume = world.volume();
    let copying = world.copy(&volume);
    let lease = world.claim(copying.task.id()).lease();
    let available = after(&copying.snapshot, committed());

    ports
        .snapshots()
        .finish_capture(&lease, &available, TaskOutcome::Succeeded, moment(77))
        .unwrap();

    let task = ports.tasks().get(copying.task.id()).unwrap();
    assert_eq!(ports.snapshots().get(available.id()).unwrap(), available);
    assert_eq!(task.state(), &TaskState::Succeeded);
    assert_eq!(task.ended_at(), Some(moment(77)));
    assert_eq!(task.progress().done_bytes, task.progress().total_bytes);
    assert_eq!(world.reread(&volume), volume);
}

/// The snapshot says why, the task has failed where it was, and the copy is no longer counted.
pub fn ends_a_copy_that_failed(ports: &dyn Ports) {
    let world = World::new(ports);
    let volume = world.volume();
    let copying = world.copy(&volume);
    let lease = world.claim(copying.task.id()).lease();
    let reason = "the volume changed while it was copied".to_owned();
    let failed = after(&copying.snapshot, SnapshotEvent::CaptureFailed { reason });

    ports
        .snapshots()
        .finish_capture(&lease, &failed, TaskOutcome::Failed, moment(77))
        .unwrap();

    let task = ports.tasks().get(copying.task.id()).unwrap();
    assert_eq!(ports.snapshots().get(failed.id()).unwrap(), failed);
    assert_eq!(task.state(), &TaskState::Failed);
    assert_eq!(task.ended_at(), Some(moment(77)));
    assert_eq!(task.progress().done_bytes, 0);
    assert_eq!(world.copies(&volume), 0);
}

/// Ending one copy leaves the count of the others.
pub fn counts_only_the_copies_that_still_run(ports: &dyn Ports) {
    let world = World::new(ports);
    let volume = world.volume();
    let other_volume = world.volume();
    let copies = [world.copy(&volume), world.copy(&volume), world.copy(&volume)];
    world.copy(&other_volume);

    finish(ports, &world.claim(copies[1].task.id()).lease(), &copies[1]).unwrap();
    ports.snapshots().cancel(&copies[0].snapshot).unwrap();

    assert_eq!(world.copies(&volume), 1);
    assert_eq!(world.copies(&other_volume), 1);
}

/// Many copies of one volume end at once, and the count is exact.
pub fn lets_any_number_of_copies_of_one_volume_end_at_once(ports: &dyn Ports) {
    let world = World::new(ports);
    let volume = world.volume();
    let copies: Vec<_> = (0..9).map(|_| world.copy(&volume)).collect();
    let leases: Vec<_> = copies.iter().map(|it| world.claim(it.task.id()).lease()).collect();

    let outcomes = race(8, |n| finish(ports, &leases[n], &copies[n]));

    assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
    assert_eq!(world.copies(&volume), 1);
}

/// The owner renamed the snapshot while it was copied: the worker is told, and nothing has ended.
pub fn does_not_end_a_copy_over_a_rename(ports: &dyn Ports) {
    let world = World::new(ports);
    let volume = world.volume();
    let copying = world.copy(&volume);
    let lease = world.claim(copying.task.id()).lease();
    let renamed = rename(ports, &copying.snapshot);

    let finished = finish(ports, &lease, &copying);

    assert_stale(finished);
    assert_eq!(ports.snapshots().get(renamed.id()).unwrap(), renamed);
    assert_eq!(state_of(ports, &copying), TaskStateName::Running);
    assert_eq!(world.copies(&volume), 1);
    ports
        .snapshots()
        .finish_capture(&lease, &after(&renamed, committed()), TaskOutcome::Succeeded, moment(5))
        .unwrap();
    assert_eq!(ports.snapshots().get(renamed.id()).unwrap().name(), renamed.name());
}

/// A copy ends once; the second end is nobody's.
pub fn ends_a_copy_only_once(ports: &dyn Ports) {
    let world = World::new(ports);
    let volume = world.volume();
    let copying = world.copy(&volume);
    world.copy(&volume);
    let lease = world.claim(copying.task.id()).lease();
    finish(ports, &lease, &copying).unwrap();

    let again = finish(ports, &lease, &copying);

    assert_lease_lost(again);
    assert_eq!(world.copies(&volume), 1);
}

/// A worker that was given up on can't end what its successor works on.
pub fn does_not_let_a_worker_end_a_copy_that_somebody_else_took(ports: &dyn Ports) {
    let world = World::new(ports);
    let volume = world.volume();
    let copying = world.copy(&volume);
    let lost = world.claim(copying.task.id()).lease();
    let later = far_from(moment(10));
    let successor = world.claim_any(an_instance(), later).unwrap();

    let finished = finish(ports, &lost, &copying);

    assert_lease_lost(finished);
    assert_eq!(ports.snapshots().get(copying.snapshot.id()).unwrap(), copying.snapshot);
    assert_eq!(ports.tasks().get(copying.task.id()).unwrap(), successor);
    assert_eq!(world.copies(&volume), 1);
    finish(ports, &successor.lease(), &copying).unwrap();
}

/// Whoever gave the task back no longer holds it.
pub fn does_not_let_a_worker_end_a_copy_that_it_put_back(ports: &dyn Ports) {
    let world = World::new(ports);
    let volume = world.volume();
    let copying = world.copy(&volume);
    let lease = world.claim(copying.task.id()).lease();
    ports.tasks().put_back(&lease).unwrap();

    let finished = finish(ports, &lease, &copying);

    assert_lease_lost(finished);
    assert_eq!(state_of(ports, &copying), TaskStateName::Pending);
    assert_eq!(world.copies(&volume), 1);
}

/// A lease of a task that was never stored is nobody's.
pub fn does_not_end_a_copy_under_a_lease_of_nothing(ports: &dyn Ports) {
    let world = World::new(ports);
    let volume = world.volume();
    let copying = world.copy(&volume);
    let made_up = Lease {
        task: crate::TaskId::new(copying.snapshot.id().as_uuid()),
        epoch: 1,
    };

    assert_lease_lost(finish(ports, &made_up, &copying));
    assert_lease_lost(finish(ports, &copying.task.lease(), &copying));
    assert_eq!(world.copies(&volume), 1);
}

/// A lease that has expired still counts as long as nobody else took the task: no work is thrown away for nothing.
pub fn ends_a_copy_under_a_lease_that_expired_but_was_not_taken(ports: &dyn Ports) {
    let world = World::new(ports);
    let copying = world.copy(&world.volume());
    let task = ports
        .tasks()
        .claim(an_instance(), moment(10), moment(11))
        .unwrap()
        .unwrap();

    let available = after(&copying.snapshot, committed());
    ports
        .snapshots()
        .finish_capture(&task.lease(), &available, TaskOutcome::Succeeded, moment(999))
        .unwrap();

    assert_eq!(ports.snapshots().get(available.id()).unwrap(), available);
}

/// A cancelled snapshot is gone at once, and its copy is no longer counted; the task waits for whoever cleans up.
pub fn cancels_a_copy_that_nobody_holds(ports: &dyn Ports) {
    let world = World::new(ports);
    let volume = world.volume();
    let copying = world.copy(&volume);

    ports.snapshots().cancel(&copying.snapshot).unwrap();

    let task = ports.tasks().get(copying.task.id()).unwrap();
    assert_gone(ports, &copying.snapshot);
    assert_eq!(world.reread(&volume), volume);
    assert!(task.cancel_requested());
    assert_eq!(task.state(), &TaskState::Pending);
}

/// The worker learns from its next renewal that the copy was called off, and its task stays its own until it ends it.
pub fn tells_a_worker_that_its_copy_was_cancelled(ports: &dyn Ports) {
    let world = World::new(ports);
    let copying = world.copy(&world.volume());
    let task = world.claim(copying.task.id());
    let lease = task.lease();
    let before = ports
        .tasks()
        .renew(&lease, task.progress(), far_from(moment(10)))
        .unwrap();

    ports.snapshots().cancel(&copying.snapshot).unwrap();

    let after = ports
        .tasks()
        .renew(&lease, task.progress(), far_from(moment(10)))
        .unwrap();
    assert_eq!((before, after), (Renewal::Continue, Renewal::Cancelled));
    ports
        .tasks()
        .finish(&lease, TaskOutcome::Cancelled, moment(50))
        .unwrap();
    assert_eq!(state_of(ports, &copying), TaskStateName::Cancelled);
}

/// A worker that finishes after its snapshot was deleted brings nothing back.
pub fn does_not_resurrect_a_cancelled_snapshot(ports: &dyn Ports) {
    let world = World::new(ports);
    let volume = world.volume();
    let copying = world.copy(&volume);
    let lease = world.claim(copying.task.id()).lease();
    ports.snapshots().cancel(&copying.snapshot).unwrap();

    let finished = finish(ports, &lease, &copying);

    assert_lease_lost(finished);
    assert_gone(ports, &copying.snapshot);
    assert_eq!(state_of(ports, &copying), TaskStateName::Running);
    assert_eq!(world.reread(&volume), volume);
}

/// A copy that ended, or was renamed, since it was read is not cancelled.
pub fn does_not_cancel_a_snapshot_that_was_changed(ports: &dyn Ports) {
    let world = World::new(ports);
    let volume = world.volume();
    let (ended, renamed) = (world.copy(&volume), world.copy(&volume));
    finish(ports, &world.claim(ended.task.id()).lease(), &ended).unwrap();
    rename(ports, &renamed.snapshot);

    assert_stale(ports.snapshots().cancel(&ended.snapshot));
    assert_stale(ports.snapshots().cancel(&renamed.snapshot));

    assert_eq!(world.copies(&volume), 1);
    assert!(!ports.tasks().get(renamed.task.id()).unwrap().cancel_requested());
    assert_eq!(
        ports.snapshots().get(ended.snapshot.id()).unwrap().state(),
        &SnapshotState::Available(a_content())
    );
}

/// Cancelling again finds nothing, and counts no copy twice.
pub fn does_not_cancel_a_snapshot_that_is_gone(ports: &dyn Ports) {
    let world = World::new(ports);
    let volume = world.volume();
    let copying = world.copy(&volume);
    world.copy(&volume);
    ports.snapshots().cancel(&copying.snapshot).unwrap();

    let again = ports.snapshots().cancel(&copying.snapshot);

    assert_not_found(again, Resource::Snapshot, copying.snapshot.id().as_uuid());
    assert_eq!(world.copies(&volume), 1);
}

/// A worker finishes at the very moment at which the owner deletes: one of the two wins, and the count is exact.
pub fn lets_either_the_end_or_the_cancelling_of_a_copy_win(ports: &dyn Ports) {
    let world = World::new(ports);
    let volume = world.volume();
    for _ in 0..8 {
        let copying = world.copy(&volume);
        let lease = world.claim(copying.task.id()).lease();

        let outcomes = race(2, |n| {
            if n == 0 {
                finish(ports, &lease, &copying)
            } else {
                ports.snapshots().cancel(&copying.snapshot)
            }
        });

        assert_eq!(world.copies(&volume), 0);
        match &outcomes[..] {
            [Ok(()), Err(Error::Stale { .. })] => {
                let stored = ports.snapshots().get(copying.snapshot.id()).unwrap();
                assert_eq!(stored.state(), &SnapshotState::Available(a_content()));
                assert_eq!(state_of(ports, &copying), TaskStateName::Succeeded);
            }
            [Err(Error::LeaseLost | Error::NotFound { .. }), Ok(())] => {
                assert_gone(ports, &copying.snapshot);
                ports
                    .tasks()
                    .finish(&lease, TaskOutcome::Cancelled, moment(50))
                    .unwrap();
            }
            _ => panic!("exactly one of the two wins: {outcomes:?}"),
        }
    }
}

fn finish(ports: &dyn Ports, lease: &Lease, copying: &Copying) -> Result<()> {
    let available = after(&copying.snapshot, committed());
    ports
        .snapshots()
        .finish_capture(lease, &available, TaskOutcome::Succeeded, moment(60))
}

fn rename(ports: &dyn Ports, snapshot: &Snapshot) -> Snapshot {
    let mut renamed = snapshot.clone();
    let changes = SnapshotChanges {
        name: Some(name("renamed")),
        ..SnapshotChanges::default()
    };
    renamed.update(changes, moment(15));
    ports.snapshots().update(&renamed).unwrap();
    renamed
}

fn state_of(ports: &dyn Ports, copying: &Copying) -> TaskStateName {
    ports.tasks().get(copying.task.id()).unwrap().state().name()
}

fn assert_gone(ports: &dyn Ports, snapshot: &Snapshot) {
    assert_not_found(
        ports.snapshots().get(snapshot.id()),
        Resource::Snapshot,
        snapshot.id().as_uuid(),
    );
}
