//! Damage is found, told exactly, and touches nothing else.

use crate::collect::collect;
use crate::support::{CHUNK, PAGE, TestVault, copies_at_once, copy, copy_with, master, noise, open, options, read_all};
use proptest::prelude::*;
use snapshot_vault::testing::{MemoryBlobs, MemoryCatalog, MemoryIndex};
use snapshot_vault::{
    BlobKey, ChunkIndex, ChunkSize, DomainId, ManifestId, MasterKey, PackCatalog, PackId, ReadBuffers, StoredCopy,
    Vault, VaultError, VaultOptions, VerifyOptions, verify_vault,
};
use std::ops::Range;
use std::sync::Arc;

fn packs(test: &TestVault) -> Vec<BlobKey> {
    test.blobs
        .keys()
        .into_iter()
        .filter(|key| key.as_str().starts_with("packs/"))
        .collect()
}

fn flip(test: &TestVault, key: &BlobKey, offset: usize) {
    let mut bytes = test.blobs.get(key).unwrap();
    bytes[offset] ^= 0x10;
    test.blobs.overwrite(key, bytes);
}

fn damaged_range(result: Result<Vec<u8>, VaultError>) -> Range<u64> {
    match result.unwrap_err() {
        VaultError::Damaged { range, .. } => range,
        other => panic!("{other}"),
    }
}

fn chunk(number: usize) -> Range<u64> {
    (number * CHUNK) as u64..((number + 1) * CHUNK) as u64
}

/// Two copies of different contents in one pack each: three chunks and a page.
fn two_copies() -> (TestVault, StoredCopy, Vec<u8>, BlobKey) {
    let test = TestVault::new();
    let victim = copy(&test.domain, &noise(1, 3 * CHUNK), None);
    let pack = packs(&test).remove(0);
    let content = noise(2, 3 * CHUNK);
    let bystander = copy(&test.domain, &content, None);
    assert_eq!(read_all(&bystander).unwrap(), content);
    (test, victim, content, pack)
}

#[test]
fn a_flipped_byte_anywhere_in_a_record_is_told_with_the_chunk_it_costs() {
    let (test, victim, _, pack) = two_copies();
    let record = CHUNK + 88;
    let page_record = 64 + 3 * record..64 + 3 * record + 88 + 4 + 1 + 3 * 32;

    for number in 0..3 {
        let start = 64 + number * record;
        for at in [
            start,
            start + 1,
            start + 5,
            start + 20,
            start + 40,
            start + 60,
            start + record / 2,
            start + record - 1,
        ] {
            flip(&test, &pack, at);
            assert_eq!(damaged_range(read_all(&victim)), chunk(number), "byte {at}");
            flip(&test, &pack, at);
        }
    }
    for at in page_record {
        flip(&test, &pack, at);
        assert_eq!(damaged_range(read_all(&victim)), 0..3 * CHUNK as u64, "byte {at}");
        flip(&test, &pack, at);
    }
    read_all(&victim).unwrap();
}

#[test]
fn damage_in_one_copy_leaves_others_readable() {
    let (test, victim, content, pack) = two_copies();
    flip(&test, &pack, 1000);
    let bystander = test
        .domain
        .manifests()
        .unwrap()
        .into_iter()
        .find(|id| *id != victim.manifest_id())
        .map(|id| test.domain.open_manifest(id).unwrap())
        .unwrap();

    assert_eq!(read_all(&bystander).unwrap(), content);
    let mut tail = vec![0; CHUNK];
    victim
        .read_at(2 * CHUNK as u64, &mut tail, &mut ReadBuffers::default())
        .unwrap();
    assert_eq!(tail, noise(1, 3 * CHUNK)[2 * CHUNK..]);
}

#[test]
fn a_missing_and_a_cut_off_pack_are_told_with_the_first_chunk_they_cost() {
    let (test, victim, _, pack) = two_copies();
    let whole = test.blobs.get(&pack).unwrap();

    // Cut in the second chunk: the page is gone with the end of the pack, so only the cached one can say more.
    let mut buffers = ReadBuffers::default();
    victim.read_page(0, &mut buffers, &mut |_, _| Ok(())).unwrap();
    test.blobs.overwrite(&pack, whole[..64 + CHUNK + 200].to_vec());
    let mut delivered = Vec::new();
    let cut = victim.read_page(0, &mut buffers, &mut |offset, _| {
        delivered.push(offset);
        Ok(())
    });

    assert!(matches!(cut, Err(VaultError::Damaged { range, .. }) if range == chunk(1)));
    assert_eq!(delivered, [0]);
    snapshot_vault::BlobStore::delete(&test.blobs, &pack).unwrap();
    assert_eq!(damaged_range(read_all(&victim)), 0..3 * CHUNK as u64);
}

#[test]
fn every_flipped_byte_of_a_manifest_is_found_and_costs_everything() {
    let (test, victim, content, _) = two_copies();
    let key = format!("manifests/{}/{}", victim.domain_id(), victim.manifest_id());
    let key = BlobKey::parse(&key).unwrap();

    for at in 0..test.blobs.get(&key).unwrap().len() {
        flip(&test, &key, at);
        match test.domain.open_manifest(victim.manifest_id()) {
            Err(VaultError::Damaged { range, object, .. }) => {
                assert_eq!((range, object.as_str()), (0..u64::MAX, key.as_str()));
            }
            // A flipped version field is an object of another version.
            Err(VaultError::UnsupportedVersion { .. }) => assert!((8..10).contains(&at)),
            other => panic!("byte {at}: {other:?}"),
        }
        flip(&test, &key, at);
    }
    assert_ne!(read_all(&victim).unwrap(), content);
}

#[test]
fn another_master_key_is_refused_at_the_door() {
    let test = TestVault::new();
    let other = MasterKey::generate().unwrap();
    let (blobs, index, catalog) = (test.blobs.clone(), MemoryIndex::default(), MemoryCatalog::default());

    let error = Vault::open(Arc::new(blobs), &other, Arc::new(index), Arc::new(catalog), options()).unwrap_err();

    assert!(matches!(error, VaultError::WrongMasterKey));
}

#[test]
fn a_store_that_lost_its_description_is_not_taken_for_a_new_one() {
    let test = TestVault::new();
    copy(&test.domain, b"content", None);
    snapshot_vault::BlobStore::delete(&test.blobs, &BlobKey::parse("vault").unwrap()).unwrap();

    let error = open(Arc::new(test.blobs.clone()), &test.index, &test.catalog).unwrap_err();

    assert!(matches!(error, VaultError::NotAVault));
}

#[test]
fn a_manifest_that_is_longer_than_one_can_be_is_not_read() {
    let blobs = MemoryBlobs::default();
    // The larger the chunks are, the shorter is the longest manifest.
    let options = VaultOptions {
        chunk_size: ChunkSize::new(ChunkSize::MAX_BYTES).unwrap(),
        ..options()
    };
    let vault = Vault::open(
        Arc::new(blobs.clone()),
        &master(),
        Arc::new(MemoryIndex::default()),
        Arc::new(MemoryCatalog::default()),
        options,
    );
    let domain = vault.unwrap().domain(DomainId::random()).unwrap();
    let id = ManifestId::random();
    let name = BlobKey::parse(&format!("manifests/{}/{id}", domain.id())).unwrap();
    blobs.overwrite(&name, vec![0; 40 << 20]);

    let opened = domain.open_manifest(id);

    let Err(VaultError::Damaged { object, reason, .. }) = opened else {
        panic!("{opened:?}");
    };
    assert_eq!((object.as_str(), reason), (name.as_str(), "it is far too long"));
}

#[test]
fn a_store_that_is_empty_while_the_catalog_lists_packs_is_not_taken_for_a_new_one() {
    let test = TestVault::new();
    copy(&test.domain, &noise(3, CHUNK), None);
    let elsewhere = MemoryBlobs::default();

    let opened = open(Arc::new(elsewhere.clone()), &test.index, &test.catalog);

    assert!(matches!(opened, Err(VaultError::StoreIsEmpty)), "{opened:?}");
    assert_eq!(elsewhere.keys(), []);
}

/// Copies of nothing but zeros need no packs.
#[test]
fn a_store_that_is_empty_while_there_should_be_copies_is_not_taken_for_a_new_one() {
    let elsewhere = MemoryBlobs::default();
    let open = |has_copies| {
        Vault::open(
            Arc::new(elsewhere.clone()),
            &master(),
            Arc::new(MemoryIndex::default()),
            Arc::new(MemoryCatalog::default()),
            VaultOptions {
                has_copies,
                ..options()
            },
        )
    };

    assert!(matches!(open(true), Err(VaultError::StoreIsEmpty)));
    assert_eq!(elsewhere.keys(), []);
    open(false).unwrap();
    open(true).unwrap();
}

#[test]
fn a_lost_domain_key_is_told_and_not_replaced() {
    let test = TestVault::new();
    copy(&test.domain, b"content", None);
    let key = BlobKey::parse(&format!("keys/{}", test.domain.id())).unwrap();
    snapshot_vault::BlobStore::delete(&test.blobs, &key).unwrap();
    let vault = open(Arc::new(test.blobs.clone()), &test.index, &test.catalog).unwrap();

    let error = vault.domain(test.domain.id()).unwrap_err();

    assert!(matches!(error, VaultError::Damaged { object, .. } if object == key.as_str()));
}

/// Nothing would tell before the next start, and then nothing could be read.
#[test]
fn a_key_or_a_description_that_is_removed_from_a_running_vault_is_stored_again_by_the_next_copy() {
    let content = noise(3, CHUNK);
    for which in 0..2 {
        let test = TestVault::new();
        copy(&test.domain, &content, None);
        let essential = essentials(&test)[which].clone();
        snapshot_vault::BlobStore::delete(&test.blobs, &essential).unwrap();

        let stored = copy(&test.domain, &content, None);

        let again = test.restarted();
        again.vault.reconcile().unwrap();
        let stored = again.domain.open_manifest(stored.manifest_id()).unwrap();
        assert!(read_all(&stored).unwrap() == content, "{essential}");
    }
}

#[test]
fn no_copy_ends_well_in_a_vault_whose_key_and_description_are_away_or_others() {
    let refused_after = |test: &TestVault, change: &dyn Fn(&BlobKey)| {
        for essential in essentials(test) {
            change(&essential);
        }
        let session = test.domain.begin_copy(ManifestId::random(), 0, None).unwrap();
        let ended = session.commit(b"");
        assert_eq!(test.domain.manifests().unwrap(), []);
        ended.unwrap_err()
    };

    let test = TestVault::new();
    let remove = |key: &BlobKey| snapshot_vault::BlobStore::delete(&test.blobs, key).unwrap();
    let error = refused_after(&test, &remove);
    assert!(matches!(error, VaultError::NotAVault), "{error:?}");
    assert_eq!(essentials(&test).map(|key| test.blobs.get(&key)), [None, None]);

    let test = TestVault::new();
    let flip = |key: &BlobKey| {
        let mut bytes = test.blobs.get(key).unwrap();
        bytes[40] ^= 1;
        test.blobs.overwrite(key, bytes);
    };
    let error = refused_after(&test, &flip);
    assert!(matches!(error, VaultError::Damaged { .. }), "{error:?}");
}

fn essentials(test: &TestVault) -> [BlobKey; 2] {
    [format!("keys/{}", test.domain.id()), "vault".to_owned()].map(|name| BlobKey::parse(&name).unwrap())
}

#[test]
fn a_lost_index_is_rebuilt_from_the_packs() {
    let test = TestVault::new();
    let content = noise(3, 2 * PAGE + 1);
    let stored = copy(&test.domain, &content, None);

    let restarted = test.restarted();
    let found = restarted.vault.reconcile().unwrap();

    assert_eq!(
        (found.packs, found.indexed, found.adopted),
        (packs(&test).len() as u64, found.packs, 0)
    );
    let stored = restarted.domain.open_manifest(stored.manifest_id()).unwrap();
    assert!(read_all(&stored).unwrap() == content);
    assert_eq!(copy_with(&restarted.domain, &content, None, 1, 0).new_packs, 0);
    assert_eq!(restarted.vault.reconcile().unwrap().indexed, 0);
}

#[test]
fn packs_that_the_catalog_does_not_know_are_adopted() {
    let test = TestVault::new();
    copy(&test.domain, &noise(3, PAGE), None);
    let recorded = test.catalog.list(None, 100).unwrap();
    test.catalog.lose(recorded[1].id);

    let found = test.vault.reconcile().unwrap();

    assert_eq!((found.adopted, found.indexed), (1, 0));
    assert_eq!(test.catalog.list(None, 100).unwrap(), recorded);
}

#[test]
fn packs_that_only_the_index_knows_are_forgotten() {
    let test = TestVault::new();
    let stored = copy(&test.domain, &noise(3, CHUNK), None);
    let pack = test.catalog.list(None, 1).unwrap()[0].id;
    test.catalog.lose(pack);
    snapshot_vault::BlobStore::delete(&test.blobs, &packs(&test)[0]).unwrap();

    let found = test.vault.reconcile().unwrap();

    assert_eq!((found.forgotten, found.damaged.len()), (1, 0));
    assert_eq!(test.index.packs(None, 10).unwrap(), []);
    assert!(read_all(&stored).is_err());
}

/// Vault and database were put back to an older state, and the index was left as it is.
#[test]
fn what_lies_in_a_pack_that_was_forgotten_and_in_another_one_is_found_in_the_other() {
    let test = TestVault::new();
    let content = noise(3, CHUNK);
    let copies = copies_at_once(&test.domain, &content, 2);
    assert_eq!(packs(&test).len(), 2);
    let chunk = test.chunk_at(test.catalog.list(None, 1).unwrap()[0].id, 64);
    let younger = test.index.locate(&[chunk]).unwrap()[0].unwrap().pack;
    test.catalog.lose(younger);
    snapshot_vault::BlobStore::delete(&test.blobs, &test.pack_key(younger)).unwrap();

    let found = test.vault.reconcile().unwrap();

    assert_eq!((found.packs, found.forgotten, found.damaged.len()), (1, 1, 0));
    for id in copies {
        assert_eq!(read_all(&test.domain.open_manifest(id).unwrap()).unwrap(), content);
    }
}

#[test]
fn a_lost_or_damaged_pack_is_reported_and_its_data_stored_again_by_the_next_copy() {
    let content = noise(3, PAGE);
    let break_pack: [fn(&TestVault, &BlobKey); 3] = [
        |test, key| snapshot_vault::BlobStore::delete(&test.blobs, key).unwrap(),
        |test, key| {
            let bytes = test.blobs.get(key).unwrap();
            test.blobs.overwrite(key, bytes[..bytes.len() - 1].to_vec());
        },
        |test, key| {
            // Neither the footer tells what it holds nor the records, which shows when the index is lost.
            let len = test.blobs.get(key).unwrap().len();
            flip(test, key, len - 100);
            flip(test, key, 64 + 9);
            test.index.clear().unwrap();
        },
    ];
    for break_pack in break_pack {
        let test = TestVault::new();
        let parent = copy(&test.domain, &content, None);
        break_pack(&test, &packs(&test)[0]);

        let found = test.vault.reconcile().unwrap();
        assert_eq!(found.damaged.len(), 1);
        assert!(read_all(&parent).is_err());
        let summary = copy_with(&test.domain, &content, Some(&parent), 1, 0);

        assert!(summary.new_chunks > 0);
        assert!(read_all(&test.domain.open_manifest(summary.manifest).unwrap()).unwrap() == content);
        assert!(
            read_all(&parent).unwrap() == content,
            "the old copy is healed by the new one"
        );
        assert_eq!(
            test.vault.reconcile().unwrap().damaged,
            found.damaged,
            "reported until somebody clears it"
        );
    }
}

/// What the header, the footer or the catalog's row told of a pack, its records tell as well.
#[test]
fn a_pack_with_a_damaged_end_is_found_again_when_the_index_is_lost() {
    let content = noise(3, 3 * CHUNK);
    let lose_row: [fn(&TestVault, PackId); 2] = [|_, _| {}, |test, pack| test.catalog.lose(pack)];
    let ends: [fn(usize) -> usize; 4] = [|_| 0, |_| 30, |len| len - 100, |len| len - 60];
    for (lose_row, end) in lose_row.into_iter().flat_map(|lose| ends.map(|end| (lose, end))) {
        let test = TestVault::new();
        let stored = copy(&test.domain, &content, None);
        let (pack, key) = (test.catalog.list(None, 1).unwrap()[0], packs(&test).remove(0));
        flip(&test, &key, end(test.blobs.get(&key).unwrap().len()));
        test.index.clear().unwrap();
        lose_row(&test, pack.id);

        let found = test.vault.reconcile().unwrap();

        assert_eq!(
            (found.packs, found.indexed, &found.damaged[..], &found.torn[..]),
            (1, 1, &[][..], &[][..])
        );
        assert_eq!(test.catalog.list(None, 2).unwrap(), [pack]);
        assert_eq!(read_all(&stored).unwrap(), content);
        assert_eq!(copy_with(&test.domain, &content, None, 1, 0).new_chunks, 0);
        // Reported until a collection has stored the records anew.
        assert_eq!(verified(&test), [key.as_str()]);
        let collected = collect(&test);
        assert_eq!((collected.rewritten, collected.deleted), (1, 1));
        assert_eq!(verified(&test), [""; 0]);
        assert_eq!(read_all(&stored).unwrap(), content);
        assert_eq!(collect(&test).rewritten, 0);
    }
}

/// The names of what a verification finds damaged.
fn verified(test: &TestVault) -> Vec<String> {
    let blobs = Arc::new(test.blobs.clone());
    let found = verify_vault(blobs, &master(), &VerifyOptions::default(), &|_| {}).unwrap();
    found.damage.into_iter().map(|damage| damage.object).collect()
}

/// The index is never led to what a crash has torn.
#[test]
fn of_a_pack_with_a_damaged_end_the_index_finds_what_is_whole() {
    let content = noise(3, 3 * CHUNK);
    let test = TestVault::new();
    let stored = copy(&test.domain, &content, None);
    let key = packs(&test).remove(0);
    flip(&test, &key, test.blobs.get(&key).unwrap().len() - 60);
    flip(&test, &key, 64 + (CHUNK + 88) + 56);
    test.index.clear().unwrap();

    let found = test.vault.reconcile().unwrap();

    assert_eq!((found.packs, found.damaged.len()), (1, 0));
    assert_eq!(damaged_range(read_all(&stored)), chunk(1));
    assert_eq!(copy_with(&test.domain, &content, None, 1, 0).new_chunks, 1);
    assert_eq!(read_all(&stored).unwrap(), content);
}

#[test]
fn a_chunk_that_lies_in_two_packs_survives_the_loss_of_either() {
    for lost in 0..2 {
        let test = TestVault::new();
        let content = noise(3, CHUNK);
        let copies = copies_at_once(&test.domain, &content, 2);
        assert_eq!(packs(&test).len(), 2);

        snapshot_vault::BlobStore::delete(&test.blobs, &packs(&test)[lost]).unwrap();
        test.vault.reconcile().unwrap();

        for id in copies {
            assert_eq!(read_all(&test.domain.open_manifest(id).unwrap()).unwrap(), content);
        }
    }
}

#[test]
fn a_copy_whose_parent_has_a_damaged_page_stores_the_page_again() {
    let (test, parent, _, pack) = two_copies();
    let content = noise(1, 3 * CHUNK);
    flip(&test, &pack, 64 + 3 * (CHUNK + 88) + 70);

    let summary = copy_with(&test.domain, &content, Some(&parent), 1, 0);

    assert_eq!((summary.new_chunks, summary.new_pages), (0, 1));
    assert_eq!(read_all(&parent).unwrap(), content);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn no_damage_anywhere_is_ever_read_as_content(
        object in any::<prop::sample::Index>(), at in any::<prop::sample::Index>(), bit in 0_u32..8, cut: bool,
    ) {
        let test = TestVault::new();
        let content = noise(9, 5 * CHUNK + 7);
        let stored = copy(&test.domain, &content, None);
        let keys = test.blobs.keys();
        let key = &keys[object.index(keys.len())];
        let mut bytes = test.blobs.get(key).unwrap();
        let at = at.index(bytes.len());
        if cut { bytes.truncate(at) } else { bytes[at] ^= 1 << bit }
        test.blobs.overwrite(key, bytes);

        let restarted = open(Arc::new(test.blobs.clone()), &MemoryIndex::default(), &test.catalog)
            .and_then(|vault| { vault.reconcile()?; vault.domain(test.domain.id()) })
            .and_then(|domain| read_all(&domain.open_manifest(stored.manifest_id())?));

        // Header and footer of a pack are not needed to read; everything else is.
        if let Ok(read) = restarted {
            prop_assert!(read == content);
        }
    }
}
