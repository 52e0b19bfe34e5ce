//! Rules of claiming tasks, keeping them and giving them back.

use super::{
    Ports,
    world::{World, assert_lease_lost, race},
};
use crate::{
    InstanceId, Lease, Progress, Task, TaskId, TaskOutcome, TaskState, TaskStateName,
    ports::Renewal,
    testing::{a_snapshot, an_instance, moment},
};

/// Oldest first, ties by id, whatever the order of storing.
pub fn gives_out_the_oldest_task_first_with_ties_by_id(ports: &dyn Ports) {
    let world = World::new(ports);
    let volume = world.volume();
    let copies = [3, 2, 2, 1].map(|micros| {
        let snapshot = a_snapshot(world.organization).created_at(moment(micros));
        world.copy_as(&volume, snapshot).task.id()
    });

    let claimed: Vec<_> = claim_all(&world, an_instance());

    assert_eq!(claimed, [copies[3], copies[1], copies[2], copies[0]]);
}

/// No work is no error.
pub fn gives_out_nothing_when_there_is_nothing_to_do(ports: &dyn Ports) {
    let world = World::new(ports);
    world.volume();

    assert_eq!(world.claim_any(an_instance(), moment(10)), None);
}

/// A claimed task runs for its instance until its lease ends, and says so from then on.
pub fn notes_who_holds_a_task_and_until_when(ports: &dyn Ports) {
    let world = World::new(ports);
    let task = world.copy(&world.volume()).task;
    let instance = an_instance();
    let expires_at = moment(123_456_789);

    let claimed = ports.tasks().claim(instance, moment(10), expires_at).unwrap().unwrap();

    assert_eq!(claimed.state(), &TaskState::Running { instance, expires_at });
    assert_eq!(claimed.epoch(), 1);
    assert_eq!((claimed.id(), claimed.work()), (task.id(), task.work()));
    assert_eq!(
        (claimed.request(), claimed.created_at()),
        (task.request(), task.created_at())
    );
    assert_eq!(ports.tasks().get(task.id()).unwrap(), claimed);
}

/// A task is held until its lease has expired, and free from that very moment on; each claim has a new epoch.
pub fn gives_out_a_held_task_again_only_when_its_lease_has_expired(ports: &dyn Ports) {
    let world = World::new(ports);
    let id = world.copy(&world.volume()).task.id();
    let expires_at = moment(1_000);
    ports.tasks().claim(an_instance(), moment(10), expires_at).unwrap();

    let before = world.claim_any(an_instance(), moment(999));
    let after = world.claim_any(an_instance(), expires_at);

    assert_eq!(before, None);
    assert_eq!(after.map(|it| (it.id(), it.epoch())), Some((id, 2)));
}

/// An expired task comes in its turn by age, before newer ones that nobody ever held.
pub fn gives_out_an_expired_task_before_newer_ones(ports: &dyn Ports) {
    let world = World::new(ports);
    let volume = world.volume();
    let [old, new] = [1, 2].map(|micros| {
        let snapshot = a_snapshot(world.organization).created_at(moment(micros));
        world.copy_as(&volume, snapshot).task.id()
    });
    ports.tasks().claim(an_instance(), moment(10), moment(1_000)).unwrap();

    let claimed = [(); 2].map(|()| world.claim_any(an_instance(), moment(1_000)).unwrap().id());

    assert_eq!(claimed, [old, new]);
}

/// What was called off is still given out, once: somebody has to clean up.
pub fn gives_out_a_cancelled_task_until_somebody_ended_it(ports: &dyn Ports) {
    let world = World::new(ports);
    let copying = world.copy(&world.volume());
    ports.snapshots().cancel(&copying.snapshot).unwrap();

    let claimed = world.claim_any(an_instance(), moment(10)).unwrap();
    ports
        .tasks()
        .finish(&claimed.lease(), TaskOutcome::Cancelled, moment(11))
        .unwrap();

    assert_eq!(claimed.id(), copying.task.id());
    assert!(claimed.cancel_requested());
    assert_eq!(world.claim_any(an_instance(), moment(i64::from(u32::MAX))), None);
}

/// However a task ended, nobody gets it again.
pub fn never_gives_out_a_task_that_has_ended(ports: &dyn Ports) {
    let world = World::new(ports);
    let volume = world.volume();
    for outcome in [TaskOutcome::Succeeded, TaskOutcome::Failed, TaskOutcome::Cancelled] {
        world.copy(&volume);
        let task = world.claim_any(an_instance(), moment(10)).unwrap();
        ports.tasks().finish(&task.lease(), outcome, moment(11)).unwrap();
    }

    let claimed = world.claim_any(an_instance(), moment(i64::from(u32::MAX)));

    assert_eq!(claimed, None);
}

/// Many workers claim at once: each task goes to one of them, and none is left.
pub fn never_gives_the_same_task_to_two_racing_claims(ports: &dyn Ports) {
    let world = World::new(ports);
    let volume = world.volume();
    let mut expected: Vec<_> = (0..32).map(|_| world.copy(&volume).task.id()).collect();

    let claimed = race(8, |_| claim_all(&world, an_instance()));

    let mut claimed = claimed.concat();
    claimed.sort_unstable();
    expected.sort_unstable();
    assert_eq!(claimed, expected);
}

/// Two workers find the same expired lease: one of them gets the task.
pub fn gives_an_expired_task_to_only_one_of_many_racing_claims(ports: &dyn Ports) {
    let world = World::new(ports);
    world.copy(&world.volume());
    ports.tasks().claim(an_instance(), moment(10), moment(20)).unwrap();

    let claimed = race(8, |_| world.claim_any(an_instance(), moment(20)));

    assert_eq!(claimed.iter().flatten().count(), 1);
    assert_eq!(claimed.iter().flatten().map(Task::epoch).collect::<Vec<_>>(), [2]);
}

/// A renewed lease lasts longer, and the progress is there for everybody.
pub fn keeps_a_renewed_task_longer_and_notes_its_progress(ports: &dyn Ports) {
    let world = World::new(ports);
    let instance = an_instance();
    world.copy(&world.volume());
    let task = ports.tasks().claim(instance, moment(10), moment(20)).unwrap().unwrap();
    let progress = Progress {
        done_bytes: (16 << 40) - 1,
        total_bytes: 16 << 40,
    };

    let renewal = ports.tasks().renew(&task.lease(), progress, moment(30)).unwrap();

    let renewed = ports.tasks().get(task.id()).unwrap();
    let expires_at = moment(30);
    assert_eq!(renewal, Renewal::Continue);
    assert_eq!(renewed.state(), &TaskState::Running { instance, expires_at });
    assert_eq!(renewed.progress(), progress);
    assert_eq!(renewed.epoch(), task.epoch());
    assert_eq!(world.claim_any(an_instance(), moment(29)), None);
}

/// A worker that was late, but that nobody replaced, goes on.
pub fn renews_a_lease_that_expired_but_was_not_taken(ports: &dyn Ports) {
    let world = World::new(ports);
    world.copy(&world.volume());
    let task = ports
        .tasks()
        .claim(an_instance(), moment(10), moment(20))
        .unwrap()
        .unwrap();

    let renewal = ports.tasks().renew(&task.lease(), task.progress(), moment(1_000));

    assert_eq!(renewal.unwrap(), Renewal::Continue);
    assert_eq!(world.claim_any(an_instance(), moment(500)), None);
}

/// Only the last claim's lease counts: not an older one, not one that was given back or ended, not a made-up one.
pub fn refuses_every_lease_but_the_last_claims(ports: &dyn Ports) {
    let world = World::new(ports);
    let volume = world.volume();
    let taken = world.copy(&volume).task;
    let old = ports
        .tasks()
        .claim(an_instance(), moment(10), moment(20))
        .unwrap()
        .unwrap();
    let current = world.claim_any(an_instance(), moment(20)).unwrap();
    let put_back = world.claim(world.copy(&volume).task.id()).lease();
    ports.tasks().put_back(&put_back).unwrap();
    let ended = world.claim(world.copy(&volume).task.id()).lease();
    ports.tasks().finish(&ended, TaskOutcome::Failed, moment(12)).unwrap();
    let never_claimed = world.copy(&volume).task.lease();
    let unknown = Lease {
        task: TaskId::new(volume.id().as_uuid()),
        epoch: 1,
    };
    let future = Lease {
        epoch: current.epoch() + 1,
        ..current.lease()
    };

    for lease in [old.lease(), put_back, ended, never_claimed, unknown, future] {
        assert_lease_lost(ports.tasks().renew(&lease, Progress::none_of(1), moment(99)));
        assert_lease_lost(ports.tasks().put_back(&lease));
        assert_lease_lost(ports.tasks().finish(&lease, TaskOutcome::Succeeded, moment(99)));
    }
    assert_eq!(ports.tasks().get(taken.id()).unwrap(), current);
}

/// What was given back is there for the next claim, with its progress and a new epoch.
pub fn gives_out_a_task_that_was_put_back(ports: &dyn Ports) {
    let world = World::new(ports);
    world.copy(&world.volume());
    let task = world.claim_any(an_instance(), moment(10)).unwrap();
    let progress = Progress {
        done_bytes: 4_096,
        total_bytes: 1 << 20,
    };
    ports.tasks().renew(&task.lease(), progress, moment(1_000)).unwrap();

    ports.tasks().put_back(&task.lease()).unwrap();

    let pending = ports.tasks().get(task.id()).unwrap();
    let again = world.claim_any(an_instance(), moment(11)).unwrap();
    assert_eq!((pending.state(), pending.progress()), (&TaskState::Pending, progress));
    assert_eq!((again.id(), again.epoch()), (task.id(), 2));
}

/// At start, an instance gives back what its last process held, expired or not; others keep what they hold, and what has
/// ended stays so.
pub fn gives_back_every_task_of_one_instance_only(ports: &dyn Ports) {
    let world = World::new(ports);
    let volume = world.volume();
    let (restarted, other) = (an_instance(), an_instance());
    let ids: Vec<_> = (0..5).map(|_| world.copy(&volume).task.id()).collect();
    let held = world.claim_for(restarted, ids[0]);
    let expired = ports.tasks().claim(restarted, moment(10), moment(11)).unwrap().unwrap();
    let others = world.claim_for(other, ids[2]);
    let ended = world.claim_for(restarted, ids[3]);
    ports
        .tasks()
        .finish(&ended.lease(), TaskOutcome::Failed, moment(12))
        .unwrap();

    let given_back = ports.tasks().put_back_all(restarted).unwrap();

    let states: Vec<_> = ids
        .iter()
        .map(|id| ports.tasks().get(*id).unwrap().state().name())
        .collect();
    assert_eq!(given_back, 2);
    assert_eq!(
        states,
        [
            TaskStateName::Pending,
            TaskStateName::Pending,
            TaskStateName::Running,
            TaskStateName::Failed,
            TaskStateName::Pending,
        ]
    );
    assert_lease_lost(ports.tasks().put_back(&held.lease()));
    assert_lease_lost(ports.tasks().put_back(&expired.lease()));
    assert_eq!(ports.tasks().get(ids[2]).unwrap(), others);
    assert_eq!(ports.tasks().put_back_all(restarted).unwrap(), 0);
}

/// Only what nobody gave back counts: a lease that somebody else took when it had expired, and what a dead process left.
pub fn counts_how_often_a_task_was_interrupted(ports: &dyn Ports) {
    let world = World::new(ports);
    let instance = an_instance();
    let id = world.copy(&world.volume()).task.id();
    let interruptions = || ports.tasks().get(id).unwrap().interruptions();

    let put_back = world.claim_any(instance, moment(10)).unwrap();
    ports.tasks().put_back(&put_back.lease()).unwrap();
    assert_eq!(interruptions(), 0);
    ports.tasks().claim(instance, moment(10), moment(20)).unwrap();
    let taken = world.claim_any(an_instance(), moment(20)).unwrap();
    assert_eq!((taken.interruptions(), interruptions()), (1, 1));
    ports.tasks().put_back(&taken.lease()).unwrap();
    world.claim_any(instance, moment(30)).unwrap();
    ports.tasks().put_back_all(instance).unwrap();
    ports.tasks().put_back_all(instance).unwrap();
    assert_eq!(interruptions(), 2);
    let last = world.claim_any(instance, moment(40)).unwrap();
    ports
        .tasks()
        .finish(&last.lease(), TaskOutcome::Failed, moment(50))
        .unwrap();
    assert_eq!(interruptions(), 2);
}

fn claim_all(world: &World<'_>, instance: InstanceId) -> Vec<TaskId> {
    std::iter::from_fn(|| world.claim_any(instance, moment(10)))
        .map(|task| task.id())
        .collect()
}
