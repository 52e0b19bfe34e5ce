//! Rules of reading and ending tasks, and of how far they are.

use super::{
    Ports,
    world::{World, assert_not_found},
};
use crate::{
    Progress, Resource, Scope, Task, TaskId, TaskOutcome, TaskState, VolumeId, Work,
    testing::{a_snapshot, a_task, an_instance, an_organization_id, moment},
};

/// Every kind of work comes back with all its facts.
pub fn keeps_every_kind_of_work_as_it_was_stored(ports: &dyn Ports) {
    let world = World::new(ports);
    let volume = world.volume();
    let copying = world.copy_as(&volume, a_snapshot(world.another_organization()).created_at(moment(-7)));
    let snapshot = world.available(&volume, a_snapshot(world.organization));
    let restoring = world.restore(&snapshot);
    let forget = a_task(
        world.organization,
        Work::ForgetSnapshot {
            snapshot: snapshot.id(),
            domain: snapshot.domain(),
        },
    )
    .build();
    ports.snapshots().delete(&snapshot, &forget).unwrap();
    let deleted = world.volume();
    let erase = a_task(world.organization, Work::EraseVolume { volume: deleted.id() })
        .created_at(moment(1))
        .build();
    ports.volumes().delete(&deleted, Some(&erase)).unwrap();

    for task in [restoring.task, forget, erase] {
        assert_eq!(ports.tasks().get(task.id()).unwrap(), task);
    }
    let capture = ports.tasks().get(copying.task.id()).unwrap();
    assert_eq!(capture.work(), copying.task.work());
    assert_eq!(capture.request(), copying.task.request());
    assert_eq!(capture.organization(), copying.task.organization());
    assert_eq!(capture.created_at(), copying.task.created_at());
}

/// A task that is not there is not found.
pub fn does_not_find_a_task_that_is_not_there(ports: &dyn Ports) {
    let missing = TaskId::new(an_organization_id().as_uuid());

    assert_not_found(ports.tasks().get(missing), Resource::Task, missing.as_uuid());
}

/// Somebody else's task is not found, just like one that is not there.
pub fn hides_a_task_from_everybody_but_its_owner(ports: &dyn Ports) {
    let world = World::new(ports);
    let other = Scope::new(vec![world.another_organization()]);
    let task = world.copy(&world.volume()).task;
    let missing = TaskId::new(an_organization_id().as_uuid());

    let theirs = ports.tasks().find(&other, task.id());
    let nobodys = ports.tasks().find(&other, missing);

    assert_not_found(theirs, Resource::Task, task.id().as_uuid());
    assert_not_found(nobodys, Resource::Task, missing.as_uuid());
    assert_eq!(ports.tasks().find(&world.scope(), task.id()).unwrap(), task);
    let empty = Scope::new(Vec::new());
    assert_not_found(
        ports.tasks().find(&empty, task.id()),
        Resource::Task,
        task.id().as_uuid(),
    );
}

/// However a task ends, it stays to be read; all is done only when it succeeded.
pub fn keeps_how_a_task_ended(ports: &dyn Ports) {
    let world = World::new(ports);
    let progress = |done_bytes| Progress {
        done_bytes,
        total_bytes: 1 << 20,
    };
    for (outcome, state, done_bytes) in [
        (TaskOutcome::Succeeded, TaskState::Succeeded, 1 << 20),
        (TaskOutcome::Failed, TaskState::Failed, 512),
        (TaskOutcome::Cancelled, TaskState::Cancelled, 512),
    ] {
        let task = world.claim(world.copy(&world.volume()).task.id());
        ports
            .tasks()
            .renew(&task.lease(), progress(512), moment(1_000))
            .unwrap();

        ports.tasks().finish(&task.lease(), outcome, moment(77)).unwrap();

        let ended = ports.tasks().get(task.id()).unwrap();
        assert_eq!(ended.state(), &state);
        assert_eq!(ended.ended_at(), Some(moment(77)));
        assert_eq!(ended.progress(), progress(done_bytes));
    }
}

/// The progress of copies, waiting or running; of those that have ended, and of others, nothing.
pub fn tells_how_far_the_copies_of_snapshots_are(ports: &dyn Ports) {
    let world = World::new(ports);
    let volume = world.volume();
    let ended = world.available(&volume, a_snapshot(world.organization));
    let failed = world.failed(&volume, a_snapshot(world.organization));
    let waiting = world.copy(&volume);
    let running = world.copy(&volume);
    let not_asked_for = world.copy(&volume);
    let progress = advance(ports, &world.claim(running.task.id()), 4_096);
    world.restore(&ended);

    let mut told = ports
        .tasks()
        .captures_of(&[ended.id(), running.snapshot.id(), failed.id(), waiting.snapshot.id()])
        .unwrap();

    told.sort_unstable_by_key(|(id, _)| *id);
    assert_eq!(
        told,
        [
            (waiting.snapshot.id(), Progress::none_of(1 << 20)),
            (running.snapshot.id(), progress),
        ]
    );
    assert_eq!(ports.tasks().captures_of(&[]).unwrap(), []);
    assert_eq!(
        ports.tasks().captures_of(&[not_asked_for.snapshot.id()]).unwrap().len(),
        1
    );
}

/// The progress of restores and copies, one for each volume; of volumes at rest, and of others, nothing.
pub fn tells_how_far_the_work_on_volumes_is(ports: &dyn Ports) {
    let world = World::new(ports);
    let resting = world.volume();
    let snapshot = world.available(&resting, a_snapshot(world.organization));
    let copied = world.volume();
    let copying = world.copy(&copied);
    let not_asked_for = world.volume();
    world.copy(&not_asked_for);
    let restoring = world.restore(&snapshot);
    let progress = advance(ports, &world.claim(restoring.task.id()), 8_192);
    world.claim(copying.task.id());

    let told = work_on(ports, &[resting.id(), restoring.volume.id(), copied.id()]);

    assert_eq!(
        told,
        [
            (copied.id(), Progress::none_of(1 << 20)),
            (restoring.volume.id(), progress)
        ]
    );
    assert_eq!(work_on(ports, &[]), []);
}

/// Of several copies of one volume the one that began last counts, and none that has ended or was called off.
pub fn tells_of_several_copies_of_a_volume_the_last_one(ports: &dyn Ports) {
    let world = World::new(ports);
    let volume = world.volume();
    let copies = [1, 3, 3, 4, 2].map(|micros| {
        let snapshot = a_snapshot(world.organization).created_at(moment(micros));
        world.copy_as(&volume, snapshot)
    });
    let progress: Vec<_> = (1..)
        .zip(&copies)
        .map(|(n, copy)| advance(ports, &world.claim(copy.task.id()), n * 512))
        .collect();
    let told = |expected: Progress| assert_eq!(work_on(ports, &[volume.id()]), [(volume.id(), expected)]);

    told(progress[3]);
    ports.snapshots().cancel(&copies[3].snapshot).unwrap();
    told(progress[2]);
    let lease = ports.tasks().get(copies[2].task.id()).unwrap().lease();
    ports.tasks().finish(&lease, TaskOutcome::Failed, moment(50)).unwrap();
    told(progress[1]);
}

/// Exactly those that somebody has claimed and neither ended nor put back: also when the copy was called off or its lease
/// has expired, because somebody may still be at work.
pub fn tells_which_copies_run(ports: &dyn Ports) {
    let world = World::new(ports);
    let volume = world.volume();
    let whole = world.available(&volume, a_snapshot(world.organization));
    world.failed(&volume, a_snapshot(world.organization));
    let before = ports.tasks().running_captures().unwrap();
    let [running, cancelled, expired, put_back, waiting] = [(); 5].map(|()| world.copy(&volume));
    let restoring = world.restore(&whole);
    world.claim(running.task.id());
    world.claim(cancelled.task.id());
    ports.snapshots().cancel(&cancelled.snapshot).unwrap();
    let lease = world.claim(put_back.task.id()).lease();
    world.claim(restoring.task.id());
    let claimed = ports.tasks().claim(an_instance(), moment(10), moment(11)).unwrap();
    ports.tasks().put_back(&lease).unwrap();

    let mut told = ports.tasks().running_captures().unwrap();

    told.sort_unstable();
    assert_eq!(claimed.map(|it| it.id()), Some(expired.task.id()));
    assert_eq!(before, []);
    assert_eq!(
        told,
        [running.snapshot.id(), cancelled.snapshot.id(), expired.snapshot.id()]
    );
    assert!(!told.contains(&waiting.snapshot.id()));
}

/// Renews the task's lease with this progress.
fn advance(ports: &dyn Ports, task: &Task, done_bytes: u64) -> Progress {
    let progress = Progress {
        done_bytes,
        ..task.progress()
    };
    let until = super::world::far_from(moment(10));
    ports.tasks().renew(&task.lease(), progress, until).unwrap();
    progress
}

fn work_on(ports: &dyn Ports, volumes: &[VolumeId]) -> Vec<(VolumeId, Progress)> {
    let mut told = ports.tasks().work_on(volumes).unwrap();
    told.sort_unstable_by_key(|(id, _)| *id);
    told
}
