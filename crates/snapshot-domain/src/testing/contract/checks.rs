//! Rules of what is known of snapshots' stored bytes.

use super::{
    Ports,
    world::{World, race},
};
use crate::{
    Check, DueCheck, Finding, Health, Snapshot, SnapshotChanges, SnapshotId, Timestamp,
    ports::DueQuery,
    testing::{a_snapshot, a_task, moment, name},
};

/// A new snapshot is unverified, whole or not.
pub fn knows_nothing_of_a_snapshots_bytes_before_the_first_check(ports: &dyn Ports) {
    let world = World::new(ports);
    let volume = world.volume();
    let copying = world.copy(&volume).snapshot;
    let whole = an_available_one(&world);

    for snapshot in [copying, whole] {
        assert_eq!(health(ports, &snapshot), Health::Unverified);
    }
}

/// The latest word stays, with the moment at which its check began.
pub fn keeps_what_a_check_found(ports: &dyn Ports) {
    let world = World::new(ports);
    let snapshot = an_available_one(&world);

    record(ports, &snapshot, 30, Finding::Whole);
    let first = health(ports, &snapshot);
    record(ports, &snapshot, 40, Finding::Damaged);
    let second = health(ports, &snapshot);
    record(ports, &snapshot, 50, Finding::Whole);

    assert_eq!(first, ok_at(30));
    assert_eq!(second, damaged_at(40));
    assert_eq!(health(ports, &snapshot), ok_at(50));
}

/// Neither revision nor date of modification moves, so that nobody who changes the snapshot is disturbed.
pub fn changes_nothing_of_a_snapshot_by_a_check_but_its_health(ports: &dyn Ports) {
    let world = World::new(ports);
    let before = an_available_one(&world);

    record(ports, &before, 30, Finding::Damaged);

    let after = ports.snapshots().get(before.id()).unwrap();
    assert_eq!(
        (after.revision(), after.modified_at()),
        (before.revision(), before.modified_at())
    );
    assert_eq!((after.name(), after.state()), (before.name(), before.state()));
    ports.snapshots().update(&renamed(&before, "renamed")).unwrap();
}

/// Who read a snapshot before a check and stores it after, does not undo the check.
pub fn keeps_the_health_of_a_snapshot_that_is_changed(ports: &dyn Ports) {
    let world = World::new(ports);
    let read_before = an_available_one(&world);
    record(ports, &read_before, 30, Finding::Whole);

    ports.snapshots().update(&renamed(&read_before, "renamed")).unwrap();

    let now = ports.snapshots().get(read_before.id()).unwrap();
    assert_eq!((now.name().as_str(), now.health()), ("renamed", ok_at(30)));
    let listed = ports.snapshots().latest_available(now.base_volume().id, now.domain());
    assert_eq!(listed.unwrap(), Some(now));
}

/// Renames and checks at once: each of them is there afterwards.
pub fn records_checks_and_changes_at_once_without_losing_any(ports: &dyn Ports) {
    const CHECKS: usize = 8;
    let world = World::new(ports);
    let snapshot = an_available_one(&world);

    race(CHECKS + 1, |n| {
        if n < CHECKS {
            record(ports, &snapshot, 30 + i64::try_from(n).unwrap(), Finding::Whole);
        } else {
            ports.snapshots().update(&renamed(&snapshot, "renamed")).unwrap();
        }
    });

    let now = ports.snapshots().get(snapshot.id()).unwrap();
    assert_eq!((now.name().as_str(), now.health()), ("renamed", ok_at(37)));
}

/// It keeps the word and the date of the check before, but the snapshot has had its turn.
pub fn says_nothing_by_a_check_that_could_not_decide(ports: &dyn Ports) {
    let world = World::new(ports);
    let (checked, never) = (an_available_one(&world), an_available_one(&world));
    record(ports, &checked, 30, Finding::Whole);

    record(ports, &checked, 40, Finding::Undecided);
    record(ports, &never, 40, Finding::Undecided);

    assert_eq!(health(ports, &checked), ok_at(30));
    assert_eq!(health(ports, &never), Health::Unverified);
    assert_eq!(due(ports, &all_before(40)), []);
    assert_eq!(due(ports, &all_before(41)).len(), 2);
}

/// Of two checks at once, the one that began later says how things are, in whatever order they end.
pub fn ignores_a_check_that_began_before_the_last_one(ports: &dyn Ports) {
    let world = World::new(ports);
    let snapshot = an_available_one(&world);
    record(ports, &snapshot, 40, Finding::Whole);

    record(ports, &snapshot, 30, Finding::Damaged);

    assert_eq!(health(ports, &snapshot), ok_at(40));
}

/// A snapshot that is gone or has no bytes has no health, and is never due.
pub fn checks_only_what_is_there_and_available(ports: &dyn Ports) {
    let world = World::new(ports);
    let volume = world.volume();
    let copying = world.copy(&volume).snapshot;
    let failed = world.failed(&volume, a_snapshot(world.organization));
    let gone = an_available_one(&world);
    let work = crate::Work::ForgetSnapshot {
        snapshot: gone.id(),
        domain: gone.domain(),
    };
    ports
        .snapshots()
        .delete(&gone, &a_task(world.organization, work).build())
        .unwrap();

    let there = an_available_one(&world);
    let recorded = [&copying, &failed, &gone, &there, &there].map(|snapshot| {
        let found = check(30, 30, Finding::Damaged);
        ports.checks().record_check(snapshot.id(), &found).unwrap()
    });
    let earlier = check(20, 20, Finding::Whole);

    assert_eq!(recorded, [false, false, false, true, true]);
    assert!(ports.checks().record_check(there.id(), &earlier).unwrap());

    assert_eq!(health(ports, &copying), Health::Unverified);
    assert_eq!(health(ports, &failed), Health::Unverified);
    assert_eq!(ids(&due(ports, &all_before(99))), [there.id()]);
}

/// The order in which snapshots shall be checked, with ties by id.
pub fn lists_what_was_never_checked_before_what_was_checked_longest_ago(ports: &dyn Ports) {
    let world = World::new(ports);
    let [late, new, early, late_too, new_too] = [(); 5].map(|()| an_available_one(&world));
    record(ports, &late, 50, Finding::Whole);
    record(ports, &early, 40, Finding::Damaged);
    record(ports, &late_too, 50, Finding::Damaged);

    let listed = due(ports, &all_before(99));

    let expected = [
        (&new, None),
        (&new_too, None),
        (&early, Some(40)),
        (&late, Some(50)),
        (&late_too, Some(50)),
    ];
    let expected = expected.map(|(snapshot, at)| DueCheck {
        snapshot: snapshot.id(),
        domain: snapshot.domain(),
        checked_at: at.map(moment),
    });
    assert_eq!(listed, expected);
}

/// Part by part, each comes once.
pub fn lists_what_is_due_part_by_part(ports: &dyn Ports) {
    let world = World::new(ports);
    let snapshots = [(); 5].map(|()| an_available_one(&world));
    for snapshot in &snapshots[2..] {
        record(ports, snapshot, 30, Finding::Whole);
    }

    let mut query = all_before(99);
    let mut listed = Vec::new();
    loop {
        let part = ports.checks().due_checks(&query, 2).unwrap();
        let Some(last) = part.last() else { break };
        query.after = Some(*last);
        listed.extend(part);
    }

    assert_eq!(ids(&listed), snapshots.map(|it| it.id()));
}

/// What was checked since is not due.
pub fn lists_only_what_was_checked_before_a_moment(ports: &dyn Ports) {
    let world = World::new(ports);
    let [old, new] = [(); 2].map(|()| an_available_one(&world));
    record(ports, &old, 30, Finding::Whole);
    record(ports, &new, 31, Finding::Whole);

    assert_eq!(ids(&due(ports, &all_before(31))), [old.id()]);
    assert_eq!(due(ports, &all_before(30)), []);
}

/// What claims to have begun long after this check ended was told by a clock that is set back by now.
pub fn records_a_check_although_one_in_the_future_is_recorded(ports: &dyn Ports) {
    const DAY: i64 = 86_400_000_000;
    let world = World::new(ports);
    let [by_a_wrong_clock, by_another_machine] = [(); 2].map(|()| an_available_one(&world));
    record(ports, &by_a_wrong_clock, 9 * DAY, Finding::Whole);
    record(ports, &by_another_machine, 60, Finding::Whole);

    for snapshot in [&by_a_wrong_clock, &by_another_machine] {
        let damaged = check(30, 40, Finding::Damaged);
        ports.checks().record_check(snapshot.id(), &damaged).unwrap();
    }

    assert_eq!(health(ports, &by_a_wrong_clock), damaged_at(30));
    assert_eq!(health(ports, &by_another_machine), ok_at(60));
}

/// They come first again, and their health is known still.
pub fn forgets_checks_that_began_after_a_moment(ports: &dyn Ports) {
    let world = World::new(ports);
    let [before, after] = [(); 2].map(|()| an_available_one(&world));
    record(ports, &before, 50, Finding::Whole);
    record(ports, &after, 51, Finding::Damaged);

    let forgotten = ports.checks().forget_checks_after(moment(50)).unwrap();

    assert_eq!(forgotten, 1);
    assert_eq!(ids(&due(ports, &all_before(99))), [after.id(), before.id()]);
    assert_eq!(due(ports, &all_before(99))[0].checked_at, None);
    assert_eq!(health(ports, &after), damaged_at(51));
    assert_eq!(ports.checks().forget_checks_after(moment(50)).unwrap(), 0);
}

/// Those that are damaged can be asked for alone.
pub fn lists_only_the_damaged_when_asked_for_them(ports: &dyn Ports) {
    let world = World::new(ports);
    let [whole, never, late, early] = [(); 4].map(|()| an_available_one(&world));
    record(ports, &whole, 30, Finding::Whole);
    record(ports, &never, 30, Finding::Undecided);
    record(ports, &late, 50, Finding::Damaged);
    record(ports, &early, 40, Finding::Damaged);

    let query = DueQuery {
        only_damaged: true,
        ..all_before(99)
    };

    assert_eq!(ids(&due(ports, &query)), [early.id(), late.id()]);
}

fn an_available_one(world: &World<'_>) -> Snapshot {
    world.available(&world.volume(), a_snapshot(world.organization))
}

fn check(began_at: i64, ended_at: i64, finding: Finding) -> Check {
    Check {
        began_at: moment(began_at),
        ended_at: moment(ended_at),
        finding,
    }
}

fn record(ports: &dyn Ports, snapshot: &Snapshot, began_at: i64, finding: Finding) {
    ports
        .checks()
        .record_check(snapshot.id(), &check(began_at, began_at, finding))
        .unwrap();
}

fn health(ports: &dyn Ports, snapshot: &Snapshot) -> Health {
    ports.snapshots().get(snapshot.id()).unwrap().health()
}

fn ok_at(offset: i64) -> Health {
    Health::Ok {
        verified_at: moment(offset),
    }
}

fn damaged_at(offset: i64) -> Health {
    Health::Damaged {
        verified_at: moment(offset),
    }
}

fn all_before(offset: i64) -> DueQuery {
    let before: Timestamp = moment(offset);
    DueQuery {
        before,
        only_damaged: false,
        after: None,
    }
}

fn due(ports: &dyn Ports, query: &DueQuery) -> Vec<DueCheck> {
    ports.checks().due_checks(query, 100).unwrap()
}

fn ids(due: &[DueCheck]) -> Vec<SnapshotId> {
    due.iter().map(|it| it.snapshot).collect()
}

fn renamed(snapshot: &Snapshot, to: &str) -> Snapshot {
    let mut next = snapshot.clone();
    let changes = SnapshotChanges {
        name: Some(name(to)),
        ..SnapshotChanges::default()
    };
    next.update(changes, moment(60));
    next
}
