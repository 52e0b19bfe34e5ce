//! Rules of finding, listing and counting snapshots.

use uuid::Uuid;

use super::{
    Ports,
    world::{World, assert_not_found},
};
use crate::{
    OrganizationId, Resource, Scope, Snapshot, SnapshotChanges, SnapshotId, SnapshotStateName,
    ports::{Measured, Slice, SnapshotCursor, SnapshotQuery},
    testing::{a_snapshot, an_organization_id, moment, name, tags},
};

/// Oldest first, ties by id, whatever the order of storing.
pub fn lists_snapshots_oldest_first_with_ties_by_id(ports: &dyn Ports) {
    let world = World::new(ports);
    let expected = five_with_ties(&world);

    let listed = list(ports, &SnapshotQuery::all(world.scope()));

    assert_eq!(listed, expected);
}

/// Page by page, each snapshot comes once, also where moments are equal.
pub fn continues_a_list_of_snapshots_after_a_cursor(ports: &dyn Ports) {
    let world = World::new(ports);
    let expected = five_with_ties(&world);
    let query = SnapshotQuery::all(world.scope());

    let mut pages = vec![ports.snapshots().list(&query, Slice::first(2)).unwrap()];
    for _ in 0..3 {
        let last = pages.iter().flatten().last().unwrap();
        let rest = Slice::after(SnapshotCursor::of(&last.snapshot), 2);
        pages.push(ports.snapshots().list(&query, rest).unwrap());
    }

    let lengths: Vec<_> = pages.iter().map(Vec::len).collect();
    assert_eq!(lengths, [2, 2, 1, 0]);
    assert_eq!(ids(&pages.concat()), expected);
}

/// A cursor is a place in the order, not a row.
pub fn continues_a_list_after_a_snapshot_that_is_gone(ports: &dyn Ports) {
    let world = World::new(ports);
    let expected = five_with_ties(&world);
    let query = SnapshotQuery::all(world.scope());
    let seen = ports.snapshots().get(expected[1]).unwrap();
    ports.snapshots().cancel(&seen).unwrap();

    let rest = Slice::after(SnapshotCursor::of(&seen), 10);

    assert_eq!(ids(&ports.snapshots().list(&query, rest).unwrap()), expected[2..]);
}

/// What a page holds follows from what is stored now, also when it was read before.
pub fn reads_pages_as_they_are_whatever_came_and_went(ports: &dyn Ports) {
    let world = World::new(ports);
    let (other, volume) = (world.another_organization(), world.volume());
    let add = |micros| {
        let snapshot = a_snapshot(world.organization).created_at(moment(micros));
        world.copy_as(&volume, snapshot).snapshot
    };
    let snapshots: Vec<_> = (1..=12).map(|number| add(10 * number)).collect();
    let query = SnapshotQuery::all(world.scope());
    let check_pages = |what: &str| {
        let whole = list(ports, &query);
        // In the order of somebody who reads on, and once more from behind.
        for skip in (0..=12).chain((0..=12).rev()) {
            let slice = Slice {
                after: None,
                skip,
                limit: 2,
            };
            let page = ids(&ports.snapshots().list(&query, slice).unwrap());
            let rest = whole.iter().copied().skip(usize::try_from(skip).unwrap());
            assert_eq!(page, rest.take(2).collect::<Vec<_>>(), "{what}: {skip}");
            let nearby = ports.snapshots().list_nearby(&query, slice).unwrap();
            assert_eq!(nearby.map(|nearby| ids(&nearby)), Some(page), "{what}: {skip}");
        }
    };
    let give = |snapshot: &mut Snapshot, organization, micros| {
        let changes = SnapshotChanges {
            organization: Some(organization),
            ..SnapshotChanges::default()
        };
        snapshot.update(changes, moment(micros));
        ports.snapshots().update(snapshot).unwrap();
    };

    check_pages("at first");
    add(1000);
    check_pages("one came last");
    add(35);
    check_pages("one came in between");
    ports.snapshots().cancel(&snapshots[2]).unwrap();
    check_pages("one went");
    let mut given = snapshots[5].clone();
    give(&mut given, other, 2000);
    check_pages("one was given away");
    give(&mut given, world.organization, 2001);
    check_pages("it came back");
}

/// `skip` leaves out what comes first, also after a cursor; past the end there is nothing.
pub fn skips_and_limits_snapshots(ports: &dyn Ports) {
    let world = World::new(ports);
    let all = five_with_ties(&world);
    let first = SnapshotCursor::of(&ports.snapshots().get(all[0]).unwrap());
    let check = |after, skip, limit, expected: &[SnapshotId]| {
        let slice = Slice { after, skip, limit };
        let listed = ports
            .snapshots()
            .list(&SnapshotQuery::all(world.scope()), slice)
            .unwrap();
        assert_eq!(ids(&listed), expected, "{slice:?}");
    };

    check(None, 0, 3, &all[..3]);
    check(None, 1, 3, &all[1..4]);
    check(None, 4, 3, &all[4..]);
    check(None, 5, 3, &[]);
    check(None, 1_000_000, 3, &[]);
    check(Some(first), 0, 2, &all[1..3]);
    check(Some(first), 2, 2, &all[3..]);
    check(Some(first), 0, 100, &all[1..]);
}

/// The snapshots of several organizations come in one order, and are cut as one list.
pub fn lists_snapshots_of_several_organizations_in_one_order(ports: &dyn Ports) {
    let world = World::new(ports);
    let others = [world.another_organization(), world.another_organization()];
    let volume = world.volume();
    let owners = [world.organization, others[0], others[1], others[0], world.organization];
    let expected: Vec<_> = (0..)
        .zip(owners)
        .map(|(n, owner)| {
            let snapshot = a_snapshot(owner).created_at(moment(n));
            world.copy_as(&volume, snapshot).snapshot.id()
        })
        .collect();
    let query = SnapshotQuery::all(Scope::new(vec![others[1], world.organization, others[0]]));

    let slice = Slice {
        after: None,
        skip: 1,
        limit: 3,
    };
    let cut = ports.snapshots().list(&query, slice).unwrap();

    assert_eq!(list(ports, &query), expected);
    assert_eq!(ids(&cut), expected[1..4]);
    assert_eq!(ports.snapshots().count(&query).unwrap(), 5);
}

/// What a scope names twice is there once.
pub fn lists_snapshots_once_when_a_scope_names_their_organization_twice(ports: &dyn Ports) {
    let world = World::new(ports);
    let snapshot = world.copy(&world.volume()).snapshot;
    let twice = SnapshotQuery::all(Scope::new(vec![world.organization, world.organization]));

    let count = ports.snapshots().count(&twice).unwrap();

    assert_eq!(list(ports, &twice), [snapshot.id()]);
    assert_eq!(count, 1);
}

/// Another organization's snapshots are neither listed nor counted.
pub fn lists_no_snapshots_of_others(ports: &dyn Ports) {
    let world = World::new(ports);
    let other = world.another_organization();
    let volume = world.volume();
    let ours = world.copy(&volume).snapshot;
    world.copy_as(&volume, a_snapshot(other));
    let query = SnapshotQuery::all(world.scope());

    let count = ports.snapshots().count(&query).unwrap();

    assert_eq!(list(ports, &query), [ours.id()]);
    assert_eq!(count, 1);
}

/// Nobody's snapshots: an empty scope matches nothing, and is no error.
pub fn finds_no_snapshots_in_an_empty_scope(ports: &dyn Ports) {
    let world = World::new(ports);
    let snapshot = world.copy(&world.volume()).snapshot;
    let nobody = Scope::new(Vec::new());
    let query = SnapshotQuery::all(nobody.clone());

    assert_eq!(list(ports, &query), []);
    assert_eq!(ports.snapshots().count(&query).unwrap(), 0);
    let found = ports.snapshots().find(&nobody, snapshot.id());
    assert_not_found(found, Resource::Snapshot, snapshot.id().as_uuid());
}

/// Somebody else's snapshot answers just as one that does not exist; background work finds it all the same.
pub fn hides_a_snapshot_from_everybody_but_its_owner(ports: &dyn Ports) {
    let world = World::new(ports);
    let other = Scope::new(vec![world.another_organization()]);
    let snapshot = world.copy(&world.volume()).snapshot;
    let missing = SnapshotId::new(an_organization_id().as_uuid());

    let theirs = ports.snapshots().find(&other, snapshot.id());
    let nobodys = ports.snapshots().find(&other, missing);

    assert_not_found(theirs, Resource::Snapshot, snapshot.id().as_uuid());
    assert_not_found(nobodys, Resource::Snapshot, missing.as_uuid());
    assert_not_found(ports.snapshots().get(missing), Resource::Snapshot, missing.as_uuid());
    assert_eq!(ports.snapshots().find(&world.scope(), snapshot.id()).unwrap(), snapshot);
    assert_eq!(ports.snapshots().get(snapshot.id()).unwrap(), snapshot);
}

/// A transferred snapshot is found by its new owner, and no longer by the old one.
pub fn shows_a_transferred_snapshot_to_its_new_owner_only(ports: &dyn Ports) {
    let world = World::new(ports);
    let receiver = world.another_organization();
    let mut snapshot = world.copy(&world.volume()).snapshot;
    let changes = SnapshotChanges {
        organization: Some(receiver),
        ..SnapshotChanges::default()
    };

    snapshot.update(changes, moment(5));
    ports.snapshots().update(&snapshot).unwrap();

    let theirs = Scope::new(vec![receiver]);
    assert_eq!(ports.snapshots().find(&theirs, snapshot.id()).unwrap(), snapshot);
    assert_eq!(list(ports, &SnapshotQuery::all(theirs.clone())), [snapshot.id()]);
    assert_eq!(ports.snapshots().count(&SnapshotQuery::all(theirs)).unwrap(), 1);
    let given_away = ports.snapshots().find(&world.scope(), snapshot.id());
    assert_not_found(given_away, Resource::Snapshot, snapshot.id().as_uuid());
    assert_eq!(ports.snapshots().count(&SnapshotQuery::all(world.scope())).unwrap(), 0);
}

/// A snapshot is found with its sizes by its owner, alone or among several, and by nobody else: with an id that tells when it was
/// begun, another moment, or none. So it is when it has been transferred.
pub fn finds_a_snapshot_whatever_moment_its_id_tells(ports: &dyn Ports) {
    let world = World::new(ports);
    let receiver = world.another_organization();
    let volume = world.volume();
    let begun_at = |at| SnapshotId::begun_at(at, an_organization_id().as_uuid());
    let (_, random) = an_organization_id().as_uuid().as_u64_pair();
    let untold = SnapshotId::new(Uuid::from_u64_pair(0, random));
    for id in [begun_at(moment(7)), begun_at(moment(6)), untold] {
        let mut snapshot = world
            .copy_as(&volume, a_snapshot(world.organization).id(id).created_at(moment(7)))
            .snapshot;
        for (owner, other) in [(world.organization, receiver), (receiver, world.organization)] {
            let found = |organizations: &[OrganizationId]| {
                let scope = Scope::new(organizations.to_vec());
                ports.snapshots().find_measured(&scope, id).map(|found| found.snapshot)
            };
            assert_eq!(found(&[owner]).unwrap(), snapshot);
            assert_eq!(found(&[other, owner]).unwrap(), snapshot);
            for none in [&[other][..], &[]] {
                assert_not_found(found(none), Resource::Snapshot, id.as_uuid());
            }
            snapshot.update(
                SnapshotChanges {
                    organization: Some(other),
                    ..SnapshotChanges::default()
                },
                moment(8),
            );
            ports.snapshots().update(&snapshot).unwrap();
        }
    }
}

/// A name matches as a whole and letter by letter; nothing in it is a pattern.
pub fn filters_snapshots_by_exact_name(ports: &dyn Ports) {
    let world = World::new(ports);
    let volume = world.volume();
    let named = ["db", "DB", "db 2", "d%", "d_", "ü", "'; --"].map(|raw| {
        (
            raw,
            world
                .copy_as(&volume, a_snapshot(world.organization).named(raw))
                .snapshot
                .id(),
        )
    });

    for (raw, id) in named {
        let query = SnapshotQuery {
            name: Some(name(raw)),
            ..SnapshotQuery::all(world.scope())
        };
        assert_eq!(list(ports, &query), [id], "{raw}");
        assert_eq!(ports.snapshots().count(&query).unwrap(), 1, "{raw}");
    }
    let unknown = SnapshotQuery {
        name: Some(name("d")),
        ..SnapshotQuery::all(world.scope())
    };
    assert_eq!(list(ports, &unknown), []);
}

/// All wanted tags have to be there, in any order; part of a tag is no tag, and nothing in one is a pattern.
pub fn filters_snapshots_by_all_tags(ports: &dyn Ports) {
    let world = World::new(ports);
    let volume = world.volume();
    let tagged = |raw: &[&str]| {
        world
            .copy_as(&volume, a_snapshot(world.organization).tagged(raw))
            .snapshot
            .id()
    };
    let untagged = tagged(&[]);
    let db = tagged(&["db"]);
    let nightly_db = tagged(&["nightly", "db", "db"]);
    let longer = tagged(&["db2", "mydb", "nightly db"]);
    let other_case = tagged(&["DB"]);
    let pattern = tagged(&["d%", "_b", "  x ", "東京"]);
    let check = |wanted: &[&str], expected: &[SnapshotId]| {
        let query = SnapshotQuery {
            tags: tags(wanted).as_slice().to_vec(),
            ..SnapshotQuery::all(world.scope())
        };
        assert_eq!(list(ports, &query), expected, "{wanted:?}");
        assert_eq!(
            ports.snapshots().count(&query).unwrap(),
            expected.len() as u64,
            "{wanted:?}"
        );
    };

    check(&[], &[untagged, db, nightly_db, longer, other_case, pattern]);
    check(&["db"], &[db, nightly_db]);
    check(&["db", "nightly"], &[nightly_db]);
    check(&["db", "db"], &[db, nightly_db]);
    check(&["nightly db"], &[longer]);
    check(&["d"], &[]);
    check(&["d%"], &[pattern]);
    check(&["_b"], &[pattern]);
    check(&["  x "], &[pattern]);
    check(&["x"], &[]);
    check(&["東京", "d%"], &[pattern]);
    check(&["db", "web"], &[]);
}

/// Only snapshots of that very volume, also when it is gone.
pub fn filters_snapshots_by_base_volume(ports: &dyn Ports) {
    let world = World::new(ports);
    let (one, two) = (world.volume(), world.volume());
    let of_one = world.available(&one, a_snapshot(world.organization)).id();
    let of_two = world.copy(&two).snapshot.id();
    ports.volumes().delete(&world.reread(&one), None).unwrap();
    let of = |volume| SnapshotQuery {
        base_volume: Some(volume),
        ..SnapshotQuery::all(world.scope())
    };

    assert_eq!(list(ports, &of(one.id())), [of_one]);
    assert_eq!(list(ports, &of(two.id())), [of_two]);
    assert_eq!(ports.snapshots().count(&of(two.id())).unwrap(), 1);
}

/// Each state finds its snapshots and no others.
pub fn filters_snapshots_by_state(ports: &dyn Ports) {
    let world = World::new(ports);
    let volume = world.volume();
    let copying = world.copy(&volume).snapshot.id();
    let available = world.available(&volume, a_snapshot(world.organization)).id();
    let failed = world.failed(&volume, a_snapshot(world.organization)).id();

    for (state, id) in [
        (SnapshotStateName::Snapshotting, copying),
        (SnapshotStateName::Available, available),
        (SnapshotStateName::Error, failed),
    ] {
        let query = SnapshotQuery {
            state: Some(state),
            ..SnapshotQuery::all(world.scope())
        };
        assert_eq!(list(ports, &query), [id], "{state}");
        assert_eq!(ports.snapshots().count(&query).unwrap(), 1, "{state}");
    }
}

/// What is found meets every condition; pages are cut after filtering.
pub fn applies_all_filters_of_snapshots_at_once(ports: &dyn Ports) {
    let world = World::new(ports);
    let (volume, other_volume) = (world.volume(), world.volume());
    let wanted = || a_snapshot(world.organization).named("wanted").tagged(&["db", "x"]);
    let first = world.available(&volume, wanted()).id();
    world.available(&volume, wanted().named("another name"));
    world.available(&volume, wanted().tagged(&["x"]));
    world.available(&other_volume, wanted());
    world.copy_as(&volume, wanted());
    let second = world.available(&volume, wanted()).id();
    let third = world.available(&volume, wanted()).id();
    let query = SnapshotQuery {
        scope: world.scope(),
        name: Some(name("wanted")),
        tags: tags(&["db"]).as_slice().to_vec(),
        base_volume: Some(volume.id()),
        state: Some(SnapshotStateName::Available),
    };

    let slice = Slice {
        after: None,
        skip: 1,
        limit: 1,
    };
    let cut = ports.snapshots().list(&query, slice).unwrap();

    assert_eq!(list(ports, &query), [first, second, third]);
    assert_eq!(ids(&cut), [second]);
    assert_eq!(ports.snapshots().count(&query).unwrap(), 3);
}

/// Five copies in their order: the second to the fourth began at the same moment. Stored in another order.
fn five_with_ties(world: &World<'_>) -> Vec<SnapshotId> {
    let volume = world.volume();
    let mut snapshots: Vec<_> = [1, 2, 2, 2, 3]
        .into_iter()
        .map(|micros| a_snapshot(world.organization).created_at(moment(micros)))
        .collect();
    let expected = snapshots.iter().map(|it| it.clone().build().id()).collect();
    snapshots.swap(0, 3);
    snapshots.swap(1, 4);
    for snapshot in snapshots {
        world.copy_as(&volume, snapshot);
    }
    expected
}

fn list(ports: &dyn Ports, query: &SnapshotQuery) -> Vec<SnapshotId> {
    ids(&ports.snapshots().list(query, Slice::first(1_000)).unwrap())
}

fn ids(listed: &[Measured]) -> Vec<SnapshotId> {
    listed.iter().map(|it| it.snapshot.id()).collect()
}
