//! Rules of taking in snapshots that are whole already.

use super::{
    Ports,
    world::{World, assert_exists_already},
};
use crate::{
    SnapshotChanges, Work,
    ports::{Slice, SnapshotQuery},
    testing::{a_snapshot, a_task, moment, name},
};

/// It is found in every way that others are, though its volume was never stored, and its maker is another than its owner.
pub fn adopts_a_whole_snapshot_as_it_is(ports: &dyn Ports) {
    let world = World::new(ports);
    let domain = world.another_organization();
    let snapshot = a_snapshot(world.organization)
        .sealed_for(domain)
        .tagged(&["b", "a"])
        .created_at(moment(-7))
        .available()
        .build();

    ports.snapshots().adopt(snapshot.readable().unwrap()).unwrap();

    let all = SnapshotQuery::all(world.scope());
    assert_eq!(ports.snapshots().get(snapshot.id()).unwrap(), snapshot);
    let listed = ports.snapshots().list(&all, Slice::first(10)).unwrap();
    assert_eq!(listed.iter().map(|it| &it.snapshot).collect::<Vec<_>>(), [&snapshot]);
    assert_eq!(ports.snapshots().count(&all).unwrap(), 1);
    let volume = snapshot.base_volume().id;
    assert_eq!(
        ports.snapshots().latest_available(volume, domain).unwrap(),
        Some(snapshot)
    );
}

/// What is stored under the id wins: it may have been renamed since.
pub fn leaves_a_snapshot_as_it_is_that_is_adopted_again(ports: &dyn Ports) {
    let world = World::new(ports);
    let snapshot = a_snapshot(world.organization).available().build();
    ports.snapshots().adopt(snapshot.readable().unwrap()).unwrap();
    let other = a_snapshot(world.organization)
        .id(snapshot.id())
        .named("another")
        .available()
        .build();

    assert_exists_already(ports.snapshots().adopt(other.readable().unwrap()));

    assert_eq!(ports.snapshots().get(snapshot.id()).unwrap(), snapshot);
    assert_eq!(ports.snapshots().count(&SnapshotQuery::all(world.scope())).unwrap(), 1);
}

/// From then on it is a snapshot like those that were taken here.
pub fn lets_an_adopted_snapshot_be_changed_and_deleted_like_any_other(ports: &dyn Ports) {
    let world = World::new(ports);
    let mut snapshot = a_snapshot(world.organization).available().build();
    ports.snapshots().adopt(snapshot.readable().unwrap()).unwrap();
    let forget = Work::ForgetSnapshot {
        snapshot: snapshot.id(),
        domain: snapshot.domain(),
    };
    let forget = a_task(world.organization, forget).build();

    let renamed = SnapshotChanges {
        name: Some(name("renamed")),
        ..SnapshotChanges::default()
    };
    snapshot.update(renamed, moment(1));
    ports.snapshots().update(&snapshot).unwrap();
    let stored = ports.snapshots().get(snapshot.id()).unwrap();
    ports.snapshots().delete(&snapshot, &forget).unwrap();

    assert_eq!(stored, snapshot);
    assert_eq!(ports.snapshots().count(&SnapshotQuery::all(world.scope())).unwrap(), 0);
}
