//! Rules of quotas.

use super::{
    Ports,
    world::{World, after, assert_not_found, committed, race, volume_after},
};
use crate::{
    Error, Limit, OrganizationId, OwnLimit, OwnQuota, Quota, QuotaChanges, QuotaResource, QuotaUse, Resource, Result,
    SnapshotChanges, TaskOutcome, VolumeEvent,
    ports::{SnapshotQuery, VolumeQuery},
    testing::{a_capture, a_restore, a_snapshot, a_task, a_volume, an_instance, an_organization_id, moment, name},
};

const MIB: u64 = 1 << 20;

fn set(ports: &dyn Ports, organization: OrganizationId, changes: QuotaChanges) {
    ports.quotas().change_quota(organization, &changes).unwrap();
}

fn at_most_snapshots(number: u64) -> QuotaChanges {
    QuotaChanges {
        snapshots: Some(at_most(number)),
        ..QuotaChanges::default()
    }
}

fn at_most_bytes(number: u64) -> QuotaChanges {
    QuotaChanges {
        volume_bytes: Some(at_most(number)),
        ..QuotaChanges::default()
    }
}

fn at_most_tasks(number: u64) -> QuotaChanges {
    QuotaChanges {
        tasks: Some(at_most(number)),
        ..QuotaChanges::default()
    }
}

fn at_most(number: u64) -> OwnLimit {
    OwnLimit::Set(Limit::from_number(number))
}

fn used(ports: &dyn Ports, organization: OrganizationId) -> QuotaUse {
    ports.quotas().quota(organization).unwrap().used
}

#[track_caller]
fn assert_exceeded<T: std::fmt::Debug>(result: Result<T>, of: QuotaResource) {
    assert!(
        matches!(result, Err(Error::QuotaExceeded { resource }) if resource == of),
        "expected the quota of {of} to be exceeded, got {result:?}"
    );
}

/// Whoever was never given a quota has the default one: here, none.
pub fn shows_no_quota_and_no_use_at_first(ports: &dyn Ports) {
    let world = World::new(ports);

    let status = ports.quotas().quota(world.organization).unwrap();

    assert_eq!(status.organization, world.organization);
    assert_eq!((status.own, status.quota), (OwnQuota::default(), Quota::default()));
    assert_eq!(status.used, QuotaUse::default());
}

/// Every kind of limit comes back, for the organization that it was set for only, and the default when it is set again.
pub fn keeps_a_quota_as_it_was_set(ports: &dyn Ports) {
    let world = World::new(ports);
    let other = world.another_organization();
    let changes = QuotaChanges {
        snapshots: Some(at_most(7)),
        volume_bytes: Some(OwnLimit::Set(Limit::Unlimited)),
        tasks: Some(OwnLimit::Default),
    };

    set(ports, world.organization, at_most_tasks(3));
    set(ports, world.organization, changes);

    let own = OwnQuota {
        snapshots: Some(Limit::from_number(7)),
        volume_bytes: Some(Limit::Unlimited),
        tasks: None,
    };
    let status = ports.quotas().quota(world.organization).unwrap();
    assert_eq!((status.own, status.quota), (own, own.or(Quota::default())));
    assert_eq!(ports.quotas().quota(other).unwrap().own, OwnQuota::default());
}

/// One limit, and none of the others, which somebody else may be changing.
pub fn changes_only_the_limits_that_are_told(ports: &dyn Ports) {
    let world = World::new(ports);

    for changes in [
        at_most_snapshots(7),
        at_most_bytes(2),
        at_most_tasks(2),
        QuotaChanges::default(),
    ] {
        set(ports, world.organization, changes);
    }

    let expected = OwnQuota {
        snapshots: Some(Limit::from_number(7)),
        volume_bytes: Some(Limit::from_number(2)),
        tasks: Some(Limit::from_number(2)),
    };
    assert_eq!(ports.quotas().quota(world.organization).unwrap().own, expected);
}

/// Nobody else than an organization has a quota.
pub fn knows_no_quota_of_an_organization_that_is_not_there(ports: &dyn Ports) {
    let missing = an_organization_id();

    let shown = ports.quotas().quota(missing);
    let set = ports.quotas().change_quota(missing, &QuotaChanges::default());

    assert_not_found(shown, Resource::Organization, missing.as_uuid());
    assert_not_found(set, Resource::Organization, missing.as_uuid());
}

/// What is refused was not begun: no snapshot, no task, no copy counted.
pub fn refuses_a_snapshot_beyond_the_quota_and_leaves_nothing_of_it(ports: &dyn Ports) {
    let world = World::new(ports);
    let volume = world.volume();
    set(ports, world.organization, at_most_snapshots(2));
    world.copy(&volume);
    world.copy(&volume);
    let snapshot = a_snapshot(world.organization).of(&volume).build();
    let task = a_capture(&snapshot).build();

    let refused = ports.snapshots().begin(&snapshot, &task, &world.reread(&volume), None);

    assert_exceeded(refused, QuotaResource::Snapshots);
    assert_eq!(ports.snapshots().count(&SnapshotQuery::all(world.scope())).unwrap(), 2);
    assert_not_found(ports.tasks().get(task.id()), Resource::Task, task.id().as_uuid());
    assert_eq!(world.copies(&volume), 2);
    assert_eq!(used(ports, world.organization).snapshots, 2);
}

/// Only what is there or may still come counts.
pub fn gives_a_failed_cancelled_or_deleted_snapshot_back(ports: &dyn Ports) {
    let world = World::new(ports);
    let volume = world.volume();
    set(ports, world.organization, at_most_snapshots(1));
    let used = || used(ports, world.organization).snapshots;

    let failed = world.failed(&volume, a_snapshot(world.organization));
    assert_eq!(used(), 0);
    let cancelled = world.copy(&volume).snapshot;
    assert_eq!(used(), 1);
    ports.snapshots().cancel(&cancelled).unwrap();
    assert_eq!(used(), 0);
    let whole = world.available(&volume, a_snapshot(world.organization));
    assert_eq!(used(), 1);
    for snapshot in [&whole, &failed] {
        let forget = a_task(
            world.organization,
            crate::Work::ForgetSnapshot {
                snapshot: snapshot.id(),
                domain: snapshot.domain(),
            },
        );
        ports.snapshots().delete(snapshot, &forget.build()).unwrap();
        assert_eq!(used(), 0);
    }
    world.copy(&volume);
}

/// New volumes and restores are refused alike, and nothing of them is left.
pub fn refuses_bytes_of_volumes_beyond_the_quota(ports: &dyn Ports) {
    let world = World::new(ports);
    let volume = world.store_volume(a_volume(world.organization).sized(2 * MIB));
    let snapshot = world.available(&volume, a_snapshot(world.organization));
    set(ports, world.organization, at_most_bytes(3 * MIB));
    let too_large = a_volume(world.organization).sized(MIB + 512).build();
    let restored = a_volume(world.organization)
        .sized(2 * MIB)
        .restoring(snapshot.id())
        .build();
    let task = a_restore(&restored, &snapshot).build();

    let inserted = ports.volumes().insert(&too_large, None);
    let begun = ports.volumes().begin_restore(&restored, &task, None);
    world.store_volume(a_volume(world.organization).sized(MIB));

    assert_exceeded(inserted, QuotaResource::VolumeBytes);
    assert_exceeded(begun, QuotaResource::VolumeBytes);
    assert_not_found(ports.tasks().get(task.id()), Resource::Task, task.id().as_uuid());
    assert_eq!(ports.volumes().count(&VolumeQuery::all(world.scope())).unwrap(), 2);
    assert_eq!(used(ports, world.organization).volume_bytes, 3 * MIB);
}

/// A volume that could not be filled takes no room.
pub fn gives_the_bytes_of_a_failed_or_deleted_volume_back(ports: &dyn Ports) {
    let world = World::new(ports);
    let volume = world.store_volume(a_volume(world.organization).sized(MIB));
    let snapshot = world.available(&volume, a_snapshot(world.organization));
    let used = || used(ports, world.organization).volume_bytes;

    let restoring = world.restore(&snapshot);
    assert_eq!(used(), 2 * MIB);
    let task = world.claim(restoring.task.id());
    let reason = "a pack is damaged".to_owned();
    let failed = volume_after(&restoring.volume, VolumeEvent::RestoreFailed { reason });
    let finish = ports
        .volumes()
        .finish_restore(&task.lease(), &failed, TaskOutcome::Failed, moment(20));
    finish.unwrap();
    assert_eq!(used(), MIB);
    ports.volumes().delete(&failed, None).unwrap();
    assert_eq!(used(), MIB);
    ports.volumes().delete(&world.reread(&volume), None).unwrap();
    assert_eq!(used(), 0);
}

/// The giver's count goes down as the receiver's goes up, and a receiver that has enough gets nothing.
pub fn moves_a_transferred_snapshot_from_quota_to_quota(ports: &dyn Ports) {
    let world = World::new(ports);
    let other = world.another_organization();
    let volume = world.volume();
    let [first, second] = [(), ()].map(|()| world.available(&volume, a_snapshot(world.organization)));
    set(ports, other, at_most_snapshots(1));
    let given = |snapshot: &crate::Snapshot| {
        let mut given = snapshot.clone();
        let changes = SnapshotChanges {
            organization: Some(other),
            ..SnapshotChanges::default()
        };
        assert!(given.update(changes, moment(30)));
        given
    };

    ports.snapshots().update(&given(&first)).unwrap();
    let refused = ports.snapshots().update(&given(&second));

    assert_exceeded(refused, QuotaResource::Snapshots);
    assert_eq!(ports.snapshots().get(second.id()).unwrap(), second);
    assert_eq!(used(ports, world.organization).snapshots, 1);
    assert_eq!(used(ports, other).snapshots, 1);
}

/// A quota that was lowered takes nothing away: what is there can be renamed, and its copies end.
pub fn changes_what_is_there_beyond_a_quota_that_was_lowered(ports: &dyn Ports) {
    let world = World::new(ports);
    let volume = world.volume();
    let whole = world.available(&volume, a_snapshot(world.organization));
    let copying = world.copy(&volume);
    set(ports, world.organization, at_most_snapshots(1));
    let mut renamed = whole.clone();
    let changes = SnapshotChanges {
        name: Some(name("renamed")),
        ..SnapshotChanges::default()
    };
    assert!(renamed.update(changes, moment(30)));

    ports.snapshots().update(&renamed).unwrap();
    let task = world.claim(copying.task.id());
    let ended = after(&copying.snapshot, committed());
    let finish = ports
        .snapshots()
        .finish_capture(&task.lease(), &ended, TaskOutcome::Succeeded, moment(20));

    finish.unwrap();
    assert_eq!(used(ports, world.organization).snapshots, 2);
}

/// What the vault holds is not left out because somebody may have less now.
pub fn adopts_snapshots_beyond_the_quota(ports: &dyn Ports) {
    let world = World::new(ports);
    set(ports, world.organization, at_most_snapshots(1));

    for _ in 0..2 {
        let found = a_snapshot(world.organization).available().build();
        ports.snapshots().adopt(found.readable().unwrap()).unwrap();
    }

    assert_eq!(used(ports, world.organization).snapshots, 2);
}

/// Of many who ask at once, exactly as many get something as there was room for.
pub fn never_exceeds_a_quota_when_many_race(ports: &dyn Ports) {
    let world = World::new(ports);
    let volume = world.store_volume(a_volume(world.organization).sized(MIB));
    set(ports, world.organization, at_most_snapshots(5));
    set(ports, world.organization, at_most_bytes(8 * MIB));

    let outcomes = race(64, |n| {
        if n % 2 == 0 {
            let snapshot = a_snapshot(world.organization).of(&volume).build();
            ports
                .snapshots()
                .begin(&snapshot, &a_capture(&snapshot).build(), &volume, None)
        } else {
            ports
                .volumes()
                .insert(&a_volume(world.organization).sized(MIB).build(), None)
        }
    });

    let (taken, refused): (Vec<_>, Vec<_>) = outcomes.into_iter().partition(Result::is_ok);
    assert_eq!(taken.len(), 5 + 7);
    for refused in refused {
        assert!(matches!(refused, Err(Error::QuotaExceeded { .. })), "{refused:?}");
    }
    let used = used(ports, world.organization);
    assert_eq!((used.snapshots, used.volume_bytes), (5, 8 * MIB));
    assert_eq!(ports.snapshots().count(&SnapshotQuery::all(world.scope())).unwrap(), 5);
    assert_eq!(ports.volumes().count(&VolumeQuery::all(world.scope())).unwrap(), 8);
}

/// They wait; others overtake them.
pub fn passes_over_tasks_beyond_the_quota_and_gives_out_those_of_others(ports: &dyn Ports) {
    let world = World::new(ports);
    let (other, volume) = (world.another_organization(), world.volume());
    set(ports, world.organization, at_most_tasks(1));
    let first = world.copy(&volume).task;
    world.copy(&volume);
    let theirs = world.copy_as(&volume, a_snapshot(other)).task;
    let next = || world.claim_any(an_instance(), moment(10)).map(|task| task.id());

    assert_eq!(next(), Some(first.id()));
    assert_eq!(next(), Some(theirs.id()));
    assert_eq!(next(), None);
    assert_eq!(used(ports, world.organization).tasks, 1);
}

/// Room that was made is used at once.
pub fn gives_out_what_waited_when_a_running_task_ended_or_was_put_back(ports: &dyn Ports) {
    let world = World::new(ports);
    let volume = world.volume();
    set(ports, world.organization, at_most_tasks(1));
    let [first, second] = [(), ()].map(|()| world.copy(&volume).task);
    let instance = an_instance();
    let next = || world.claim_any(instance, moment(10));

    let running = next().unwrap();
    ports.tasks().put_back(&running.lease()).unwrap();
    assert_eq!(used(ports, world.organization).tasks, 0);
    let running = next().unwrap();
    assert_eq!(running.id(), first.id());
    assert_eq!(ports.tasks().put_back_all(instance).unwrap(), 1);
    assert_eq!(used(ports, world.organization).tasks, 0);
    let running = next().unwrap();
    let finish = ports.tasks().finish(&running.lease(), TaskOutcome::Failed, moment(11));
    finish.unwrap();

    assert_eq!(next().map(|task| task.id()), Some(second.id()));
    assert_eq!(used(ports, world.organization).tasks, 1);
}

/// A copy that was called off only has to be cleaned up, one whose worker died counts already, and removals never count.
pub fn gives_out_called_off_and_expired_tasks_beyond_the_quota(ports: &dyn Ports) {
    let world = World::new(ports);
    let volume = world.volume();
    set(ports, world.organization, at_most_tasks(1));
    let expired = world.copy(&volume).task;
    let called_off = world.copy(&volume);
    ports
        .tasks()
        .claim(an_instance(), moment(1), moment(2))
        .unwrap()
        .unwrap();
    ports.snapshots().cancel(&called_off.snapshot).unwrap();
    let gone = world.store_volume(a_volume(world.organization));
    let erase = a_task(world.organization, crate::Work::EraseVolume { volume: gone.id() }).build();
    ports.volumes().delete(&gone, Some(&erase)).unwrap();

    let mut given: Vec<_> = (0..3)
        .filter_map(|_| world.claim_any(an_instance(), moment(10)))
        .map(|task| task.id())
        .collect();

    given.sort_unstable();
    let mut expected = vec![expired.id(), called_off.task.id(), erase.id()];
    expected.sort_unstable();
    assert_eq!(given, expected);
}

/// Also when all ask at the same moment.
pub fn never_gives_out_more_tasks_than_the_quota_to_racing_claims(ports: &dyn Ports) {
    let world = World::new(ports);
    let volume = world.volume();
    set(ports, world.organization, at_most_tasks(3));
    for _ in 0..16 {
        world.copy(&volume);
    }

    let claimed = race(16, |_| world.claim_any(an_instance(), moment(10)).is_some());

    let running = claimed.into_iter().filter(|claimed| *claimed).count();
    assert_eq!(used(ports, world.organization).tasks, running as u64);
    assert!(running <= 3, "{running} run");
    while world.claim_any(an_instance(), moment(10)).is_some() {}
    assert_eq!(used(ports, world.organization).tasks, 3);
}
