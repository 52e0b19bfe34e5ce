//! Rules of the list of packs.

use uuid::Uuid;

use super::{
    Ports,
    world::{World, race},
};
use crate::{Pack, PackId, testing::a_pack};

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
