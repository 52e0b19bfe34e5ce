//! Rules of finding, listing and counting volumes.

use super::{
    Ports,
    world::{World, assert_not_found},
};
use crate::{
    Resource, Scope, Volume, VolumeEvent, VolumeId, VolumeState, VolumeStateName,
    ports::{Slice, VolumeCursor, VolumeQuery},
    testing::{a_snapshot, a_volume, an_organization_id, moment, name, tags},
};

/// Oldest first, ties by id, whatever the order of storing.
pub fn lists_volumes_oldest_first_with_ties_by_id(ports: &dyn Ports) {
    let world = World::new(ports);
    let expected = five_with_ties(&world);

    let listed = list(ports, &VolumeQuery::all(world.scope()));

    assert_eq!(listed, expected);
}

/// Page by page, each volume comes once, also where moments are equal.
pub fn continues_a_list_of_volumes_after_a_cursor(ports: &dyn Ports) {
    let world = World::new(ports);
    let expected = five_with_ties(&world);
    let query = VolumeQuery::all(world.scope());

    let mut pages = vec![ports.volumes().list(&query, Slice::first(2)).unwrap()];
    for _ in 0..3 {
        let last = pages.iter().flatten().last().unwrap();
        let rest = Slice::after(VolumeCursor::of(last), 2);
        pages.push(ports.volumes().list(&query, rest).unwrap());
    }

    let lengths: Vec<_> = pages.iter().map(Vec::len).collect();
    assert_eq!(lengths, [2, 2, 1, 0]);
    assert_eq!(ids(&pages.concat()), expected);
}

/// `skip` leaves out what comes first, also after a cursor; past the end there is nothing.
pub fn skips_and_limits_volumes(ports: &dyn Ports) {
    let world = World::new(ports);
    let all = five_with_ties(&world);
    let first = VolumeCursor::of(&ports.volumes().get(all[0]).unwrap());
    let check = |after, skip, limit, expected: &[VolumeId]| {
        let slice = Slice { after, skip, limit };
        let listed = ports.volumes().list(&VolumeQuery::all(world.scope()), slice).unwrap();
        assert_eq!(ids(&listed), expected, "{slice:?}");
    };

    check(None, 0, 3, &all[..3]);
    check(None, 1, 3, &all[1..4]);
    check(None, 4, 3, &all[4..]);
    check(None, 5, 3, &[]);
    check(Some(first), 0, 2, &all[1..3]);
    check(Some(first), 2, 2, &all[3..]);
}

/// The volumes of several organizations come in one order, and are cut as one list; others' are not among them.
pub fn lists_volumes_of_several_organizations_in_one_order(ports: &dyn Ports) {
    let world = World::new(ports);
    let other = world.another_organization();
    world.store_volume(a_volume(world.another_organization()));
    let owners = [world.organization, other, other, world.organization];
    let expected: Vec<_> = (0..)
        .zip(owners)
        .map(|(n, owner)| world.store_volume(a_volume(owner).created_at(moment(n))).id())
        .collect();
    let query = VolumeQuery::all(Scope::new(vec![other, world.organization, other]));

    let slice = Slice {
        after: None,
        skip: 1,
        limit: 2,
    };
    let cut = ports.volumes().list(&query, slice).unwrap();

    assert_eq!(list(ports, &query), expected);
    assert_eq!(ids(&cut), expected[1..3]);
    assert_eq!(ports.volumes().count(&query).unwrap(), 4);
}

/// Nobody's volumes: an empty scope matches nothing, and is no error.
pub fn finds_no_volumes_in_an_empty_scope(ports: &dyn Ports) {
    let world = World::new(ports);
    let volume = world.volume();
    let nobody = Scope::new(Vec::new());
    let query = VolumeQuery::all(nobody.clone());

    assert_eq!(list(ports, &query), []);
    assert_eq!(ports.volumes().count(&query).unwrap(), 0);
    let found = ports.volumes().find(&nobody, volume.id());
    assert_not_found(found, Resource::Volume, volume.id().as_uuid());
}

/// Somebody else's volume answers just as one that does not exist; background work finds it all the same.
pub fn hides_a_volume_from_everybody_but_its_owner(ports: &dyn Ports) {
    let world = World::new(ports);
    let other = Scope::new(vec![world.another_organization()]);
    let volume = world.volume();
    let missing = VolumeId::new(an_organization_id().as_uuid());

    let theirs = ports.volumes().find(&other, volume.id());
    let nobodys = ports.volumes().find(&other, missing);

    assert_not_found(theirs, Resource::Volume, volume.id().as_uuid());
    assert_not_found(nobodys, Resource::Volume, missing.as_uuid());
    assert_not_found(ports.volumes().get(missing), Resource::Volume, missing.as_uuid());
    assert_eq!(ports.volumes().find(&world.scope(), volume.id()).unwrap(), volume);
    assert_eq!(ports.volumes().get(volume.id()).unwrap(), volume);
}

/// A name matches as a whole and letter by letter; nothing in it is a pattern.
pub fn filters_volumes_by_exact_name(ports: &dyn Ports) {
    let world = World::new(ports);
    let named = ["db", "DB", "db 2", "d%", "d_", "ü", "'; --"]
        .map(|raw| (raw, world.store_volume(a_volume(world.organization).named(raw)).id()));

    for (raw, id) in named {
        let query = VolumeQuery {
            name: Some(name(raw)),
            ..VolumeQuery::all(world.scope())
        };
        assert_eq!(list(ports, &query), [id], "{raw}");
        assert_eq!(ports.volumes().count(&query).unwrap(), 1, "{raw}");
    }
}

/// All wanted tags have to be there, in any order; part of a tag is no tag, and nothing in one is a pattern.
pub fn filters_volumes_by_all_tags(ports: &dyn Ports) {
    let world = World::new(ports);
    let tagged = |raw: &[&str]| world.store_volume(a_volume(world.organization).tagged(raw)).id();
    let untagged = tagged(&[]);
    let db = tagged(&["db"]);
    let nightly_db = tagged(&["nightly", "db"]);
    let longer = tagged(&["db2", "mydb", "nightly db", "DB", "d%"]);
    let check = |wanted: &[&str], expected: &[VolumeId]| {
        let query = VolumeQuery {
            tags: tags(wanted).as_slice().to_vec(),
            ..VolumeQuery::all(world.scope())
        };
        assert_eq!(list(ports, &query), expected, "{wanted:?}");
        assert_eq!(
            ports.volumes().count(&query).unwrap(),
            expected.len() as u64,
            "{wanted:?}"
        );
    };

    check(&[], &[untagged, db, nightly_db, longer]);
    check(&["db"], &[db, nightly_db]);
    check(&["db", "nightly"], &[nightly_db]);
    check(&["d"], &[]);
    check(&["d%"], &[longer]);
    check(&["db", "web"], &[]);
}

/// `available` are those at rest, `snapshotting` those that are being copied: never the same volume.
pub fn filters_volumes_by_the_state_that_the_api_shows(ports: &dyn Ports) {
    let world = World::new(ports);
    let resting = world.volume();
    let copied = world.volume();
    let snapshot = world.available(&resting, a_snapshot(world.organization));
    world.copy(&copied);
    world.copy(&copied);
    let saving = saving(ports, &world);
    let fetching = world.restore(&snapshot).volume;
    let reason = "the snapshot is damaged".to_owned();
    let broken = world.store_volume(a_volume(world.organization).in_state(VolumeState::Error { reason }));

    for (state, volume) in [
        (VolumeStateName::Available, &resting),
        (VolumeStateName::Snapshotting, &copied),
        (VolumeStateName::Saving, &saving),
        (VolumeStateName::Fetching, &fetching),
        (VolumeStateName::Error, &broken),
    ] {
        let query = VolumeQuery {
            state: Some(state),
            ..VolumeQuery::all(world.scope())
        };
        assert_eq!(list(ports, &query), [volume.id()], "{state}");
        assert_eq!(ports.volumes().count(&query).unwrap(), 1, "{state}");
    }
}

/// What is found meets every condition.
pub fn applies_all_filters_of_volumes_at_once(ports: &dyn Ports) {
    let world = World::new(ports);
    let wanted = || a_volume(world.organization).named("wanted").tagged(&["db", "x"]);
    let found = world.store_volume(wanted()).id();
    world.store_volume(wanted().named("another name"));
    world.store_volume(wanted().tagged(&["x"]));
    let copied = world.store_volume(wanted());
    world.copy(&copied);
    let query = VolumeQuery {
        scope: world.scope(),
        name: Some(name("wanted")),
        tags: tags(&["db"]).as_slice().to_vec(),
        state: Some(VolumeStateName::Available),
    };

    assert_eq!(list(ports, &query), [found]);
    assert_eq!(ports.volumes().count(&query).unwrap(), 1);
}

/// At start, all interrupted writes are found, whoever's they are.
pub fn finds_every_volume_that_is_being_written(ports: &dyn Ports) {
    let world = World::new(ports);
    let other = World::new(ports);
    world.volume();
    world.copy(&world.volume());
    let mut expected = [saving(ports, &world), saving(ports, &other)];

    let mut found = ports.volumes().saving().unwrap();

    expected.sort_unstable_by_key(Volume::id);
    found.sort_unstable_by_key(Volume::id);
    assert_eq!(found, expected);
}

fn saving(ports: &dyn Ports, world: &World<'_>) -> Volume {
    let mut volume = world.volume();
    volume.apply(VolumeEvent::WriteBegun, moment(3)).unwrap();
    ports.volumes().update(&volume).unwrap();
    volume
}

/// Five volumes in their order: the second to the fourth were made at the same moment. Stored in another order.
fn five_with_ties(world: &World<'_>) -> Vec<VolumeId> {
    let mut volumes: Vec<_> = [1, 2, 2, 2, 3]
        .into_iter()
        .map(|micros| a_volume(world.organization).created_at(moment(micros)))
        .collect();
    let expected = volumes.iter().map(|it| it.clone().build().id()).collect();
    volumes.swap(0, 3);
    volumes.swap(1, 4);
    for volume in volumes {
        world.store_volume(volume);
    }
    expected
}

fn list(ports: &dyn Ports, query: &VolumeQuery) -> Vec<VolumeId> {
    ids(&ports.volumes().list(query, Slice::first(1_000)).unwrap())
}

fn ids(volumes: &[Volume]) -> Vec<VolumeId> {
    volumes.iter().map(Volume::id).collect()
}
