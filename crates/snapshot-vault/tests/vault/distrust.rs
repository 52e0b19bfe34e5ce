//! What copies do not count on: condemned and dropped packs, damaged chunks, parents that are gone.

use crate::collect::collect;
use crate::support::{CHUNK, TestVault, copies_at_once, copy, copy_with, noise, read_all};
use snapshot_vault::{
    BlobStore, ChunkIndex, CollectionId, ManifestId, PackCatalog, PackId, PackStanding, SetAside, StoredCopy,
};

fn packs(test: &TestVault) -> Vec<PackId> {
    let packs = test.catalog.list(None, 1000).unwrap();
    packs.into_iter().map(|pack| pack.id).collect()
}

fn condemn_all(test: &TestVault) -> CollectionId {
    let collection = CollectionId::random();
    test.catalog.condemn(collection, &packs(test)).unwrap();
    collection
}

/// A vault with one copy of three chunks in one pack.
fn one_copy() -> (TestVault, StoredCopy, Vec<u8>) {
    let test = TestVault::new();
    let content = noise(1, 3 * CHUNK);
    let stored = copy(&test.domain, &content, None);
    assert_eq!(packs(&test).len(), 1);
    (test, stored, content)
}

#[test]
fn a_copy_that_begins_after_a_pack_was_condemned_stores_everything_again() {
    for with_parent in [false, true] {
        let (test, stored, content) = one_copy();
        let old = packs(&test)[0];
        let collection = condemn_all(&test);

        let summary = copy_with(&test.domain, &content, with_parent.then_some(&stored), 1, 0);

        assert_eq!((summary.new_chunks, summary.new_pages), (3, 1));
        assert_eq!(test.catalog.drop_packs(collection, &[old]).unwrap(), [old]);
        test.vault.reconcile().unwrap();
        assert_eq!(
            read_all(&test.domain.open_manifest(summary.manifest).unwrap()).unwrap(),
            content
        );
    }
}

#[test]
fn a_copy_that_began_before_goes_on_as_it_began() {
    let (test, stored, content) = one_copy();
    let session = test
        .domain
        .begin_copy(ManifestId::random(), content.len() as u64, Some(&stored))
        .unwrap();
    condemn_all(&test);

    let mut worker = session.worker().unwrap();
    worker.begin_page(0).unwrap();
    worker.push(&content).unwrap();
    worker.finish_page().unwrap();
    worker.finish().unwrap();

    assert_eq!(session.commit(b"").unwrap().new_packs, 0);
}

#[test]
fn a_pack_that_was_released_counts_again() {
    let (test, _, content) = one_copy();
    let collection = condemn_all(&test);
    test.catalog.release(collection, &packs(&test)).unwrap();

    assert_eq!(copy_with(&test.domain, &content, None, 1, 0).new_packs, 0);
}

#[test]
fn a_parent_that_was_deleted_since_it_was_opened_is_not_counted_on() {
    let (test, stored, content) = one_copy();
    test.domain.delete_manifest(stored.manifest_id()).unwrap();
    let collection = condemn_all(&test);
    test.catalog.drop_packs(collection, &packs(&test)).unwrap();
    test.vault.reconcile().unwrap();
    assert_eq!(test.catalog.distrusted().unwrap().packs, []);

    let summary = copy_with(&test.domain, &content, Some(&stored), 1, 0);

    assert_eq!(
        read_all(&test.domain.open_manifest(summary.manifest).unwrap()).unwrap(),
        content
    );
}

#[test]
fn a_chunk_that_is_set_aside_is_stored_again_by_the_next_copy_and_heals_the_others() {
    let (test, stored, content) = one_copy();
    let pack = packs(&test)[0];
    let key = test.pack_key(pack);
    let damaged = u32::try_from(64 + CHUNK + 88).unwrap();
    let mut bytes = test.blobs.get(&key).unwrap();
    bytes[damaged as usize + 100] ^= 1;
    test.blobs.overwrite(&key, bytes);
    assert!(read_all(&stored).is_err());
    let chunk = test.chunk_at(pack, damaged);
    let set_aside = SetAside {
        chunk,
        pack,
        offset: damaged,
    };
    test.catalog.set_aside(&[set_aside, set_aside]).unwrap();
    assert_eq!(test.catalog.distrusted().unwrap().chunks, [set_aside]);

    for parent in [Some(&stored), None] {
        let summary = copy_with(&test.domain, &content, parent, 1, 0);

        assert_eq!(summary.new_chunks, u64::from(parent.is_some()), "once");
        assert_eq!(summary.new_pages, 0);
    }
    assert_eq!(read_all(&stored).unwrap(), content);
    // The order in which the packs are found again does not matter.
    test.index.clear().unwrap();
    test.vault.reconcile().unwrap();
    assert_eq!(read_all(&stored).unwrap(), content);
}

#[test]
fn reconciling_finishes_dropped_packs_and_reports_none_of_them_lost() {
    for (object_is_gone, index_is_lost) in [(false, false), (false, true), (true, false), (true, true)] {
        let (test, stored, _) = one_copy();
        let dropped = packs(&test)[0];
        let bystander = copy(&test.domain, &noise(2, CHUNK), None);
        let collection = CollectionId::random();
        test.catalog.condemn(collection, &[dropped]).unwrap();
        test.domain.delete_manifest(stored.manifest_id()).unwrap();
        test.catalog.drop_packs(collection, &[dropped]).unwrap();
        if object_is_gone {
            test.blobs.delete(&test.pack_key(dropped)).unwrap();
        }
        if index_is_lost {
            test.index.clear().unwrap();
        }

        let found = test.vault.reconcile().unwrap();

        assert_eq!((found.removed, found.damaged.len(), found.packs), (1, 0, 1));
        assert!(!packs(&test).contains(&dropped));
        assert!(!test.blobs.keys().contains(&test.pack_key(dropped)));
        assert_eq!(test.index.packs(None, 10).unwrap(), packs(&test));
        read_all(&bystander).unwrap();
    }
}

#[test]
fn a_condemned_pack_survives_a_restart_condemned() {
    let (test, stored, content) = one_copy();
    condemn_all(&test);

    let test = test.restarted();
    let found = test.vault.reconcile().unwrap();

    assert_eq!((found.packs, found.indexed, found.removed), (1, 1, 0));
    assert_eq!(
        test.catalog.list(None, 10).unwrap()[0].standing,
        PackStanding::Condemned
    );
    assert_eq!(
        read_all(&test.domain.open_manifest(stored.manifest_id()).unwrap()).unwrap(),
        content
    );
}

#[test]
fn a_pack_that_turns_out_to_be_gone_is_counted_on_by_no_copy_that_begins_later() {
    for by_reader in [true, false] {
        let (test, stored, content) = one_copy();
        let gone = test.pack_key(packs(&test)[0]);
        test.blobs.delete(&gone).unwrap();

        if by_reader {
            assert!(read_all(&stored).is_err());
        } else {
            collect(&test);
        }
        let summary = copy_with(&test.domain, &content, Some(&stored), 1, 0);

        assert_eq!(
            (summary.new_chunks, summary.new_pages),
            (3, 1),
            "by a reader: {by_reader}"
        );
        let new = test.domain.open_manifest(summary.manifest).unwrap();
        assert!(read_all(&new).unwrap() == content);
    }
}

/// A lost pack of which only chunks are in use, no pages: nothing but its row tells that they are lost.
#[test]
fn a_lost_pack_is_not_forgotten_as_long_as_a_copy_lacks_what_it_held() {
    let test = TestVault::new();
    let shared = noise(1, 30 * CHUNK);
    let content = [&shared[..], &noise(2, CHUNK)].concat();
    let first = copy(&test.domain, &shared, None);
    let lost = packs(&test)[0];
    let second = copy(&test.domain, &content, None);
    test.domain.delete_manifest(first.manifest_id()).unwrap();
    test.blobs.delete(&test.pack_key(lost)).unwrap();
    let test = test.restarted();
    assert_eq!(test.vault.reconcile().unwrap().damaged.len(), 1);

    collect(&test);
    let test = test.restarted();
    assert_eq!(test.vault.reconcile().unwrap().damaged.len(), 1);
    let parent = test.domain.open_manifest(second.manifest_id()).unwrap();
    let healing = copy(&test.domain, &content, Some(&parent));

    assert!(read_all(&healing).unwrap() == content);
    assert!(read_all(&parent).unwrap() == content);
    collect(&test);
    assert_eq!(
        test.restarted().vault.reconcile().unwrap().damaged,
        [],
        "nobody lacks anything"
    );
}

/// A vault of which a chunk was damaged, and healed by a second copy. Database and index were lost since, so that the index
/// was made anew by who knows of no damage, and leads to the damaged one of the two.
fn healed_and_recovered() -> (TestVault, StoredCopy, Vec<u8>) {
    loop {
        let (test, stored, content) = one_copy();
        let pack = packs(&test)[0];
        let damaged = 64 + CHUNK + 88;
        let mut bytes = test.blobs.get(&test.pack_key(pack)).unwrap();
        bytes[damaged + 100] ^= 1;
        test.blobs.overwrite(&test.pack_key(pack), bytes);
        assert!(read_all(&stored).is_err());
        assert_eq!(copy_with(&test.domain, &content, None, 1, 0).new_chunks, 1);
        assert_eq!(read_all(&stored).unwrap(), content);

        let test = test.recovered();
        test.vault.reconcile().unwrap();
        let chunk = test.chunk_at(pack, u32::try_from(damaged).unwrap());
        // Packs are found in the order of their random ids, and the last one counts.
        if test.index.locate(&[chunk]).unwrap()[0].unwrap().pack == pack {
            let stored = test.domain.open_manifest(stored.manifest_id()).unwrap();
            return (test, stored, content);
        }
    }
}

#[test]
fn a_damaged_chunk_that_another_pack_holds_whole_is_found_there_after_the_next_start() {
    let (test, stored, content) = healed_and_recovered();
    assert!(read_all(&stored).is_err());

    test.vault.reconcile().unwrap();

    assert_eq!(read_all(&stored).unwrap(), content);
}

#[test]
fn a_collection_keeps_the_whole_one_of_two_chunks_whether_it_is_known_which_is_damaged_or_not() {
    for is_known in [false, true] {
        let (test, stored, content) = healed_and_recovered();
        if is_known {
            assert!(read_all(&stored).is_err());
        }

        collect(&test);
        collect(&test);

        assert_eq!(read_all(&stored).unwrap(), content);
        let test = test.restarted();
        test.vault.reconcile().unwrap();
        let stored = test.domain.open_manifest(stored.manifest_id()).unwrap();
        assert_eq!(read_all(&stored).unwrap(), content);
    }
}

#[test]
fn a_collection_keeps_a_chunk_whose_other_place_a_new_index_would_not_find() {
    let test = TestVault::new();
    let content = noise(1, CHUNK);
    let copies = copies_at_once(&test.domain, &content, 2);
    let chunk = test.chunk_at(packs(&test)[0], 64);
    let found_in = test.index.locate(&[chunk]).unwrap()[0].unwrap().pack;
    let key = test.pack_key(found_in);
    let mut bytes = test.blobs.get(&key).unwrap();
    let in_footer = bytes.len() - 100;
    bytes[in_footer] ^= 1;
    test.blobs.overwrite(&key, bytes);

    collect(&test);
    collect(&test);
    let test = test.restarted();
    test.vault.reconcile().unwrap();

    for copy in copies {
        assert_eq!(read_all(&test.domain.open_manifest(copy).unwrap()).unwrap(), content);
    }
}
