//! Rules of what each snapshot takes for itself: told for exactly the present set of snapshots, or not at all.

use super::{Ports, world::World};
use crate::{
    Scope, Snapshot, SnapshotId, Work,
    ports::{Slice, SnapshotQuery},
    testing::{a_snapshot, a_task},
};

/// What was stored is told, for those that are asked for.
pub fn tells_what_was_measured(ports: &dyn Ports) {
    let world = World::new(ports);
    let volume = world.volume();
    let [first, second] = [(); 2].map(|()| world.available(&volume, a_snapshot(world.organization)).id());
    let copying = world.copy(&volume).snapshot.id();
    let domain = world.organization;
    let before = ports.sizes().unmeasured().unwrap();
    let present = ports.sizes().snapshots_of(domain).unwrap();

    let stored = ports
        .sizes()
        .store(domain, present.change, &[(first, 7), (second, 1 << 50)])
        .unwrap();

    assert_eq!(before, [domain]);
    assert_eq!(present.snapshots, sorted(&[first, second]));
    assert!(stored);
    assert_eq!(ports.sizes().unmeasured().unwrap(), []);
    assert_eq!(
        told(ports, &[second, copying, first]),
        sorted(&[(first, 7), (second, 1 << 50)])
    );
    assert_eq!(told(ports, &[first]), [(first, 7)]);
    assert_eq!(told(ports, &[]), []);
}

/// A snapshot more, one less, an adopted one: what was measured before is told no longer, until it is measured again.
pub fn tells_nothing_that_was_measured_for_other_snapshots(ports: &dyn Ports) {
    let world = World::new(ports);
    let volume = world.volume();
    let snapshot = world.available(&volume, a_snapshot(world.organization));
    let measure = || {
        let present = ports.sizes().snapshots_of(world.organization).unwrap();
        let sizes: Vec<_> = present.snapshots.iter().map(|id| (*id, 9)).collect();
        assert!(ports.sizes().store(world.organization, present.change, &sizes).unwrap());
        assert_eq!(told(ports, &[snapshot.id()]), [(snapshot.id(), 9)]);
    };
    let assert_unknown = || {
        assert_eq!(told(ports, &[snapshot.id()]), []);
        assert_eq!(ports.sizes().unmeasured().unwrap(), [world.organization]);
    };
    measure();

    let other = world.available(&volume, a_snapshot(world.organization));
    assert_unknown();
    measure();
    delete(&world, ports, &other);
    assert_unknown();
    measure();
    let adopted = world.available(&world.volume(), a_snapshot(world.organization));
    delete(&world, ports, &adopted);
    measure();
    ports.snapshots().adopt(adopted.readable().unwrap()).unwrap();
    assert_unknown();
}

/// A copy that begins, fails or is cancelled, and another key's snapshots, take nothing of what is told.
pub fn tells_on_when_no_whole_snapshot_of_the_domain_changes(ports: &dyn Ports) {
    let world = World::new(ports);
    let volume = world.volume();
    let snapshot = world.available(&volume, a_snapshot(world.organization));
    let present = ports.sizes().snapshots_of(world.organization).unwrap();
    let sizes = [(snapshot.id(), 5)];
    ports.sizes().store(world.organization, present.change, &sizes).unwrap();

    let cancelled = world.copy(&volume).snapshot;
    ports.snapshots().cancel(&cancelled).unwrap();
    let failed = world.failed(&volume, a_snapshot(world.organization));
    delete(&world, ports, &failed);
    let other = world.another_organization();
    world.available(&volume, a_snapshot(other));

    assert_eq!(told(ports, &[snapshot.id()]), sizes);
    assert_eq!(ports.sizes().unmeasured().unwrap(), [other]);
    assert_eq!(ports.sizes().snapshots_of(world.organization).unwrap(), present);
}

/// Whoever measured while the snapshots became others stores nothing.
pub fn stores_nothing_that_was_measured_for_other_snapshots(ports: &dyn Ports) {
    let world = World::new(ports);
    let volume = world.volume();
    let snapshot = world.available(&volume, a_snapshot(world.organization)).id();
    let present = ports.sizes().snapshots_of(world.organization).unwrap();
    world.available(&volume, a_snapshot(world.organization));

    let stored = ports
        .sizes()
        .store(world.organization, present.change, &[(snapshot, 5)])
        .unwrap();

    assert!(!stored);
    assert_eq!(told(ports, &[snapshot]), []);
    assert_eq!(ports.sizes().unmeasured().unwrap(), [world.organization]);
}

/// Each measurement takes the place of the one before, also for thousands of snapshots that are not stored as such.
pub fn replaces_what_was_measured_before(ports: &dyn Ports) {
    let world = World::new(ports);
    let volume = world.volume();
    let [first, second] = [(); 2].map(|()| world.available(&volume, a_snapshot(world.organization)).id());
    let change = ports.sizes().snapshots_of(world.organization).unwrap().change;
    let many: Vec<_> = (0..2_500)
        .map(|n| (SnapshotId::new(uuid::Uuid::from_u128(n)), 3))
        .collect();

    for sizes in [
        [&many[..], &[(first, 1), (second, 2)]].concat(),
        vec![(first, 1)],
        vec![(second, 4), (first, 3)],
    ] {
        assert!(ports.sizes().store(world.organization, change, &sizes).unwrap());

        assert_eq!(told(ports, &[first, second]), {
            let mut of_both: Vec<_> = sizes
                .into_iter()
                .filter(|(id, _)| [first, second].contains(id))
                .collect();
            of_both.sort_unstable();
            of_both
        });
    }
    assert_eq!(told(ports, &[many[7].0]), []);
}

/// An organization may hold snapshots under several keys: each is told as long as what was measured under its own holds.
pub fn tells_each_snapshot_of_a_list_by_its_own_domain(ports: &dyn Ports) {
    let world = World::new(ports);
    let volume = world.volume();
    let other = world.another_organization();
    let own = world.available(&volume, a_snapshot(world.organization)).id();
    let sealed_by_other = || {
        let snapshot = a_snapshot(world.organization).sealed_for(other);
        world.available(&volume, snapshot).id()
    };
    let [taken_over, taken_over_too] = [(); 2].map(|()| sealed_by_other());
    let measure = |domain, sizes: &[(SnapshotId, u64)]| {
        let change = ports.sizes().snapshots_of(domain).unwrap().change;
        assert!(ports.sizes().store(domain, change, sizes).unwrap());
    };
    let all = [own, taken_over, taken_over_too];

    measure(other, &[(taken_over, 1), (taken_over_too, 2)]);
    assert_eq!(told(ports, &all), sorted(&[(taken_over, 1), (taken_over_too, 2)]));

    measure(world.organization, &[(own, 3)]);
    assert_eq!(
        told(ports, &all),
        sorted(&[(own, 3), (taken_over, 1), (taken_over_too, 2)])
    );

    sealed_by_other();
    assert_eq!(told(ports, &all), [(own, 3)]);
}

/// What is told of these snapshots, whichever way it is asked for.
fn told(ports: &dyn Ports, snapshots: &[SnapshotId]) -> Vec<(SnapshotId, u64)> {
    let told = sorted(&ports.sizes().exclusive_bytes(snapshots).unwrap());
    for id in snapshots {
        let alone = told.iter().find(|it| it.0 == *id).map(|it| it.1);
        let Ok(stored) = ports.snapshots().get(*id) else {
            continue;
        };
        let scope = Scope::new(vec![stored.organization()]);
        let found = ports.snapshots().find_measured(&scope, *id).unwrap();
        let everything = SnapshotQuery::all(scope);
        let listed = ports.snapshots().list(&everything, Slice::first(1_000)).unwrap();
        assert_eq!((found.snapshot.id(), found.exclusive_bytes), (*id, alone));
        assert!(listed.contains(&found), "{listed:?}");
    }
    told
}

fn sorted<T: Ord + Copy>(items: &[T]) -> Vec<T> {
    let mut items = items.to_vec();
    items.sort_unstable();
    items
}

fn delete(world: &World<'_>, ports: &dyn Ports, snapshot: &Snapshot) {
    let work = Work::ForgetSnapshot {
        snapshot: snapshot.id(),
        domain: snapshot.domain(),
    };
    let forget = a_task(world.organization, work).build();
    ports.snapshots().delete(snapshot, &forget).unwrap();
}
