//! Rules of the list of packs, and of which of them copies may rely on.

use uuid::Uuid;

use super::{
    Ports,
    world::{World, race},
};
use crate::{
    CollectionId, DamagedChunk, Distrusted, Pack, PackId, PackStanding,
    testing::{a_pack, an_organization_id},
};

/// All that was noted of a pack comes back.
pub fn keeps_a_pack_as_it_was_recorded(ports: &dyn Ports) {
    let world = World::new(ports);
    let pack = Pack {
        size_bytes: 5 << 40,
        chunks: u32::MAX >> 1,
        ..a_pack(world.organization)
    };

    ports.packs().record(&pack).unwrap();

    assert_eq!(ports.packs().list(None, 10).unwrap(), [pack]);
}

/// Noting the same pack again changes nothing, also when many do so at once.
pub fn records_the_same_pack_only_once(ports: &dyn Ports) {
    let world = World::new(ports);
    let pack = a_pack(world.organization);

    let outcomes = race(4, |_| ports.packs().record(&pack));
    ports.packs().record(&pack).unwrap();

    assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
    assert_eq!(ports.packs().list(None, 10).unwrap(), [pack]);
}

/// The order is that of the bytes, whatever the order of recording.
pub fn lists_packs_by_the_bytes_of_their_ids(ports: &dyn Ports) {
    let world = World::new(ports);
    let ids = [0x00ff, 0x7f00, 0x8000, 0xff00, 0xff01].map(|head| PackId::new(Uuid::from_u128(head << 112)));

    for n in [3, 0, 4, 2, 1] {
        let pack = Pack {
            id: ids[n],
            ..a_pack(world.organization)
        };
        ports.packs().record(&pack).unwrap();
    }

    let listed: Vec<_> = ports.packs().list(None, 10).unwrap().iter().map(|it| it.id).collect();
    assert_eq!(listed, ids);
}

/// Page by page, each pack comes once.
pub fn continues_the_list_of_packs_after_an_id(ports: &dyn Ports) {
    let world = World::new(ports);
    let packs: Vec<_> = (0..5).map(|_| a_pack(world.organization)).collect();
    for pack in &packs {
        ports.packs().record(pack).unwrap();
    }

    let first = ports.packs().list(None, 2).unwrap();
    let second = ports.packs().list(Some(packs[1].id), 2).unwrap();
    let third = ports.packs().list(Some(packs[3].id), 2).unwrap();
    let beyond = ports.packs().list(Some(packs[4].id), 2).unwrap();

    assert_eq!([first, second, third, beyond].concat(), packs);
}

/// Nobody can bring in a pack that is condemned already, nor take the verdict back by recording it again.
pub fn records_every_new_pack_as_kept(ports: &dyn Ports) {
    let world = World::new(ports);
    let pack = a_pack(world.organization);
    for standing in PackStanding::ALL {
        let id = a_pack(world.organization).id;
        ports.packs().record(&Pack { id, standing, ..pack }).unwrap();
    }
    let collection = a_collection();
    let condemned = a_pack(world.organization);
    ports.packs().record(&condemned).unwrap();
    ports.packs().condemn(collection, &[condemned.id]).unwrap();

    ports.packs().record(&condemned).unwrap();

    let standings: Vec<_> = standings(ports).into_iter().map(|(_, standing)| standing).collect();
    assert_eq!(
        standings,
        [
            PackStanding::Kept,
            PackStanding::Kept,
            PackStanding::Kept,
            PackStanding::Condemned
        ]
    );
}

/// Condemning again, also by another collection, changes nothing; nor does condemning what is dropped, or not there.
pub fn condemns_only_packs_that_are_kept(ports: &dyn Ports) {
    let (first, second) = (a_collection(), a_collection());
    let [condemned, dropped, new, kept] = record_packs(ports);
    ports.packs().condemn(first, &[condemned, dropped]).unwrap();
    ports.packs().drop_packs(first, &[dropped]).unwrap();
    let nowhere = a_pack(World::new(ports).organization).id;

    ports
        .packs()
        .condemn(second, &[condemned, dropped, new, nowhere])
        .unwrap();

    assert_eq!(
        standings(ports),
        [
            (condemned, PackStanding::Condemned),
            (dropped, PackStanding::Dropped),
            (new, PackStanding::Condemned),
            (kept, PackStanding::Kept)
        ]
    );
    assert_eq!(ports.packs().drop_packs(second, &[condemned, new]).unwrap(), [new]);
}

/// The next collection gets all of them, told with their standing; the one before has none any more.
pub fn makes_condemned_and_dropped_packs_the_next_collections(ports: &dyn Ports) {
    let (first, second) = (a_collection(), a_collection());
    let [condemned, dropped, kept, other] = record_packs(ports);
    ports.packs().condemn(first, &[condemned, dropped]).unwrap();
    ports.packs().drop_packs(first, &[dropped]).unwrap();

    let taken = ports.packs().take_over(second).unwrap();

    let taken: Vec<_> = taken.iter().map(|pack| (pack.id, pack.standing)).collect();
    assert_eq!(
        taken,
        [(condemned, PackStanding::Condemned), (dropped, PackStanding::Dropped)]
    );
    ports.packs().release(first, &[condemned]).unwrap();
    assert_eq!(ports.packs().drop_packs(first, &[condemned]).unwrap(), []);
    assert_eq!(
        standings(ports),
        [
            (condemned, PackStanding::Condemned),
            (dropped, PackStanding::Dropped),
            (kept, PackStanding::Kept),
            (other, PackStanding::Kept)
        ]
    );
    assert_eq!(ports.packs().drop_packs(second, &[condemned]).unwrap(), [condemned]);
}

/// Neither a stranger's packs, nor kept ones, nor dropped ones, however often they are named.
pub fn releases_and_drops_nothing_but_what_the_collection_has_condemned(ports: &dyn Ports) {
    let (mine, strangers) = (a_collection(), a_collection());
    let [condemned, theirs, dropped, kept] = record_packs(ports);
    ports.packs().condemn(mine, &[condemned, dropped]).unwrap();
    ports.packs().condemn(strangers, &[theirs]).unwrap();
    let all = [condemned, theirs, dropped, kept, dropped];

    assert_eq!(ports.packs().drop_packs(mine, &[dropped, dropped]).unwrap(), [dropped]);
    assert_eq!(ports.packs().drop_packs(mine, &[dropped, kept]).unwrap(), []);
    ports.packs().release(mine, &all).unwrap();

    assert_eq!(
        standings(ports),
        [
            (condemned, PackStanding::Kept),
            (theirs, PackStanding::Condemned),
            (dropped, PackStanding::Dropped),
            (kept, PackStanding::Kept)
        ]
    );
    ports.packs().condemn(strangers, &[condemned]).unwrap();
    assert_eq!(ports.packs().drop_packs(mine, &all).unwrap(), []);
    assert_eq!(ports.packs().drop_packs(strangers, &all).unwrap(), [condemned, theirs]);
}

/// One collection drops while the other takes over: a pack is dropped by exactly one of them.
pub fn lets_either_of_two_racing_collections_drop_a_pack_or_the_other_take_it_over(ports: &dyn Ports) {
    for _ in 0..8 {
        let (first, second) = (a_collection(), a_collection());
        let packs = record_packs(ports);
        ports.packs().condemn(first, &packs).unwrap();

        let outcomes = race(2, |n| {
            if n == 0 {
                ports.packs().drop_packs(first, &packs).unwrap()
            } else {
                ports.packs().take_over(second).unwrap();
                ports.packs().drop_packs(second, &packs).unwrap()
            }
        });

        let mut dropped = outcomes.concat();
        dropped.sort_unstable();
        assert_eq!(dropped, packs, "{outcomes:?}");
        ports.packs().forget(&packs).unwrap();
    }
}

/// Only dropped packs go, and of what is set aside only theirs.
pub fn forgets_dropped_packs_and_what_is_set_aside_in_them(ports: &dyn Ports) {
    let collection = a_collection();
    let [dropped, condemned, kept, other] = record_packs(ports);
    let chunks = [dropped, condemned, kept].map(|pack| a_damaged_chunk(pack, 64));
    ports.packs().set_aside(&chunks).unwrap();
    ports.packs().condemn(collection, &[dropped, condemned]).unwrap();
    ports.packs().drop_packs(collection, &[dropped]).unwrap();

    ports.packs().forget(&[dropped, condemned, kept]).unwrap();
    ports.packs().forget(&[dropped]).unwrap();

    let listed: Vec<_> = standings(ports).into_iter().map(|(id, _)| id).collect();
    assert_eq!(listed, [condemned, kept, other]);
    assert_eq!(ports.packs().distrusted().unwrap().chunks, chunks[1..]);
}

/// Noting a chunk again changes nothing, also when many do so at once; every place of a chunk counts by itself.
pub fn sets_a_damaged_chunk_aside_only_once(ports: &dyn Ports) {
    let [pack, other, _, _] = record_packs(ports);
    let chunks = [
        a_damaged_chunk(pack, 64),
        a_damaged_chunk(pack, u32::MAX),
        a_damaged_chunk(other, 64),
    ];

    let outcomes = race(4, |_| ports.packs().set_aside(&chunks));
    ports.packs().set_aside(&chunks[1..]).unwrap();

    assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
    assert_eq!(ports.packs().distrusted().unwrap().chunks, chunks);
}

/// A pack that was forgotten meanwhile leaves nothing behind.
pub fn sets_nothing_aside_in_a_pack_that_is_not_listed(ports: &dyn Ports) {
    let [listed, ..] = record_packs(ports);
    let missing = a_pack(World::new(ports).organization).id;
    let chunks = [a_damaged_chunk(missing, 64), a_damaged_chunk(listed, 64)];

    ports.packs().set_aside(&chunks).unwrap();

    assert_eq!(ports.packs().distrusted().unwrap().chunks, chunks[1..]);
}

/// Nothing at first; what was released, and what was forgotten, no more.
pub fn distrusts_exactly_condemned_and_dropped_packs_and_what_is_set_aside(ports: &dyn Ports) {
    let collection = a_collection();
    let [condemned, dropped, released, forgotten] = record_packs(ports);
    let before = ports.packs().distrusted().unwrap();
    ports
        .packs()
        .condemn(collection, &[forgotten, released, dropped, condemned])
        .unwrap();
    ports.packs().release(collection, &[released]).unwrap();
    ports.packs().drop_packs(collection, &[forgotten, dropped]).unwrap();
    ports.packs().forget(&[forgotten]).unwrap();
    let chunk = a_damaged_chunk(released, 128);
    ports.packs().set_aside(&[chunk]).unwrap();

    let after = ports.packs().distrusted().unwrap();

    assert_eq!(before, Distrusted::default());
    assert_eq!(after.packs, [condemned, dropped]);
    assert_eq!(after.chunks, [chunk]);
}

/// A long list is one transaction, whatever a single statement takes.
pub fn changes_more_packs_at_once_than_a_statement_takes_parameters(ports: &dyn Ports) {
    let collection = a_collection();
    let [first, second, third, _] = record_packs(ports);
    let mut packs: Vec<_> = (0..70_000).map(|n| PackId::new(Uuid::from_u128(n))).collect();
    packs.insert(0, first);
    packs.insert(35_000, second);
    packs.push(third);

    ports.packs().condemn(collection, &packs).unwrap();
    ports.packs().release(collection, &packs[..packs.len() - 1]).unwrap();
    let dropped = ports.packs().drop_packs(collection, &packs).unwrap();
    ports.packs().forget(&packs).unwrap();

    assert_eq!(dropped, [third]);
    assert_eq!(ports.packs().distrusted().unwrap(), Distrusted::default());
}

fn record_packs(ports: &dyn Ports) -> [PackId; 4] {
    let world = World::new(ports);
    let mut packs: [_; 4] = std::array::from_fn(|_| a_pack(world.organization));
    packs.sort_unstable_by_key(|pack| pack.id);
    packs.map(|pack| {
        ports.packs().record(&pack).unwrap();
        pack.id
    })
}

fn standings(ports: &dyn Ports) -> Vec<(PackId, PackStanding)> {
    let listed = ports.packs().list(None, 100).unwrap();
    listed.iter().map(|pack| (pack.id, pack.standing)).collect()
}

fn a_damaged_chunk(pack: PackId, record_offset: u32) -> DamagedChunk {
    DamagedChunk {
        pack,
        record_offset,
        chunk: [0x5a; 32],
    }
}

fn a_collection() -> CollectionId {
    CollectionId::new(an_organization_id().as_uuid())
}
