//! What every [`ChunkIndex`] promises, a function per promise. [`chunk_index_contract!`](crate::chunk_index_contract)
//! makes a test of each.

use crate::hash::ChunkId;
use crate::id::PackId;
use crate::index::{ChunkIndex, IndexEntry, Location};

/// Makes a test of each promise; the expression makes an empty index, and whatever must live as long as it.
#[macro_export]
macro_rules! chunk_index_contract {
    ($make:expr) => {
        $crate::chunk_index_contract!(@each $make,
            tells_where_each_chunk_lies,
            moves_a_chunk_to_the_pack_that_was_added_last,
            lists_its_packs_in_order_and_in_pieces,
            forgets_a_pack_with_all_that_lies_in_it,
            forgets_of_a_pack_only_what_lies_in_it,
            forgets_everything_when_cleared,
            may_be_told_of_a_pack_twice,
        );
    };
    (@each $make:expr, $($promise:ident,)+) => {
        $(#[test]
        fn $promise() {
            let (index, _keep_alive) = $make;
            $crate::testing::index_contract::$promise(&index);
        })+
    };
}

fn id(i: u32) -> ChunkId {
    ChunkId::from_bytes(*blake3::hash(&i.to_le_bytes()).as_bytes())
}

fn entries(ids: std::ops::Range<u32>) -> Vec<IndexEntry> {
    ids.map(|i| IndexEntry {
        id: id(i),
        offset: 64 + i * 100,
        length: i,
    })
    .collect()
}

fn location(index: &impl ChunkIndex, i: u32) -> Option<Location> {
    index.locate(&[id(i)]).expect("the index can be read")[0]
}

/// # Panics
///
/// When the promise is broken; so do all functions here.
pub fn tells_where_each_chunk_lies(index: &impl ChunkIndex) {
    let (one, two) = (PackId::random(), PackId::random());
    index.add_pack(one, &entries(0..1000)).expect("add");
    index.add_pack(two, &entries(1000..1500)).expect("add");
    index.flush().expect("flush");

    let found = index.locate(&[id(3), id(9999), id(1200), id(4)]).expect("locate");

    let at = |pack, i: u32| {
        Some(Location {
            pack,
            offset: 64 + i * 100,
            length: i,
        })
    };
    assert_eq!(found, [at(one, 3), None, at(two, 1200), at(one, 4)]);
    assert!(index.contains(&id(999)).expect("contains"));
    assert!(!index.contains(&id(1500)).expect("contains"));
}

/// # Panics
///
/// When the promise is broken.
pub fn moves_a_chunk_to_the_pack_that_was_added_last(index: &impl ChunkIndex) {
    let (one, two) = (PackId::random(), PackId::random());
    index.add_pack(one, &entries(0..10)).expect("add");
    index.add_pack(two, &entries(5..15)).expect("add");

    assert_eq!(location(index, 4).map(|at| at.pack), Some(one));
    assert_eq!(location(index, 5).map(|at| at.pack), Some(two));
}

/// # Panics
///
/// When the promise is broken.
pub fn lists_its_packs_in_order_and_in_pieces(index: &impl ChunkIndex) {
    let mut packs: Vec<PackId> = (0..25).map(|_| PackId::random()).collect();
    for pack in &packs {
        index.add_pack(*pack, &[]).expect("add");
    }
    packs.sort();

    let mut listed: Vec<PackId> = Vec::new();
    loop {
        let piece = index.packs(listed.last().copied(), 10).expect("packs");
        listed.extend(&piece);
        if piece.len() < 10 {
            break;
        }
    }

    assert_eq!(listed, packs);
}

/// # Panics
///
/// When the promise is broken.
pub fn forgets_a_pack_with_all_that_lies_in_it(index: &impl ChunkIndex) {
    let (one, two, three) = (PackId::random(), PackId::random(), PackId::random());
    index.add_pack(one, &entries(0..10)).expect("add");
    index.add_pack(two, &entries(10..20)).expect("add");

    index.remove_pack(two, &[]).expect("remove");
    index
        .remove_pack(PackId::random(), &[id(0)])
        .expect("remove what never was");
    index.add_pack(three, &entries(30..40)).expect("add");

    assert!(index.contains(&id(0)).expect("contains"));
    assert!(!index.contains(&id(10)).expect("contains"));
    assert_eq!(location(index, 15), None);
    assert!(!index.packs(None, 10).expect("packs").contains(&two));
    index.add_pack(two, &entries(10..20)).expect("add again");
    assert_eq!(location(index, 15).map(|at| at.pack), Some(two));
}

/// # Panics
///
/// When the promise is broken.
pub fn forgets_of_a_pack_only_what_lies_in_it(index: &impl ChunkIndex) {
    let (one, two) = (PackId::random(), PackId::random());
    index.add_pack(one, &entries(0..10)).expect("add");
    index.add_pack(two, &entries(5..10)).expect("add");
    let held: Vec<ChunkId> = (0..12).map(id).collect();

    index.remove_pack(one, &held).expect("remove");
    index.remove_pack(one, &held).expect("remove again");

    assert_eq!(location(index, 4), None);
    assert!((5..10).all(|i| location(index, i).is_some_and(|at| at.pack == two)));
    assert_eq!(index.packs(None, 10).expect("packs"), [two]);
}

/// # Panics
///
/// When the promise is broken.
pub fn forgets_everything_when_cleared(index: &impl ChunkIndex) {
    index.add_pack(PackId::random(), &entries(0..10)).expect("add");

    index.clear().expect("clear");

    assert_eq!(index.packs(None, 10).expect("packs"), []);
    assert!(!index.contains(&id(0)).expect("contains"));
    index.add_pack(PackId::random(), &entries(0..10)).expect("add");
    assert!(index.contains(&id(0)).expect("contains"));
}

/// # Panics
///
/// When the promise is broken.
pub fn may_be_told_of_a_pack_twice(index: &impl ChunkIndex) {
    let pack = PackId::random();
    index.add_pack(pack, &entries(0..10)).expect("add");
    index.add_pack(pack, &entries(0..10)).expect("add again");

    assert_eq!(index.packs(None, 10).expect("packs"), [pack]);
    assert_eq!(location(index, 3).map(|at| at.pack), Some(pack));
}
