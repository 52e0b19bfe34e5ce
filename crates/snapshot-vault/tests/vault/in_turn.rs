//! Copies checked in turn, what is set aside by whoever meets damage, and what is salvaged.

use crate::support::{CHUNK, PAGE, TestVault, copy, copy_with, master, noise, open, read_all};
use snapshot_vault::testing::{FaultyBlobs, MemoryBlobs, MemoryCatalog, MemoryIndex, Promises};
use snapshot_vault::{
    BlobKey, BlobStore, CatalogError, CheckedCopy, ChunkIndex, CollectOptions, CopyChecks, CopyOutcome, DomainId,
    ManifestId, PackCatalog, ReadBuffers, RunningCopies, StoredCopy, Vault, VaultError, VerifyOptions, verify_copy,
    verify_vault,
};
use std::num::NonZero;
use std::ops::ControlFlow;
use std::sync::Arc;

fn one_thread() -> VerifyOptions {
    VerifyOptions {
        threads: NonZero::<usize>::MIN,
        ..VerifyOptions::default()
    }
}

fn name(copy: &StoredCopy) -> (DomainId, ManifestId) {
    (copy.domain_id(), copy.manifest_id())
}

fn with_index(vault: &Vault, copies: &[&StoredCopy]) -> Vec<CheckedCopy> {
    let names: Vec<_> = copies.iter().map(|copy| name(copy)).collect();
    CopyChecks::of(vault, &one_thread(), &|| false).check(&names).unwrap()
}

fn beside(blobs: &MemoryBlobs, copies: &[&StoredCopy]) -> Vec<CheckedCopy> {
    let names: Vec<_> = copies.iter().map(|copy| name(copy)).collect();
    let (options, never) = (one_thread(), || false);
    let checks = CopyChecks::beside(Arc::new(blobs.clone()), &master(), &options, &never).unwrap();
    checks.check(&names).unwrap()
}

fn outcomes(checked: &[CheckedCopy]) -> Vec<CopyOutcome> {
    checked.iter().map(CheckedCopy::outcome).collect()
}

fn flip(blobs: &MemoryBlobs, key: &BlobKey, offset: usize) {
    let mut bytes = blobs.get(key).unwrap();
    bytes[offset] ^= 1;
    blobs.overwrite(key, bytes);
}

/// Two copies that share their first two chunks, and one that shares nothing; the pack of the shared ones.
fn three_copies() -> (TestVault, [StoredCopy; 3], [Vec<u8>; 3], BlobKey) {
    let test = TestVault::new();
    let shared = noise(1, 2 * CHUNK);
    let contents = [
        [shared.clone(), noise(2, CHUNK)].concat(),
        [shared, noise(3, CHUNK)].concat(),
        noise(4, PAGE + CHUNK),
    ];
    let first = copy(&test.domain, &contents[0], None);
    let pack = test.catalog.list(None, 10).unwrap()[0].id;
    let second = copy(&test.domain, &contents[1], None);
    let third = copy(&test.domain, &contents[2], None);
    let key = test.pack_key(pack);
    (test, [first, second, third], contents, key)
}

#[test]
fn what_copies_share_is_read_once() {
    let (test, [first, second, third], ..) = three_copies();
    let options = one_thread();
    let checks = CopyChecks::of(&test.vault, &options, &|| false);
    let read = |copy: &StoredCopy| {
        let before = checks.read_bytes();
        let checked = checks.check(&[name(copy)]).unwrap();
        assert_eq!(outcomes(&checked), [CopyOutcome::Whole]);
        (checks.read_bytes() - before) / CHUNK as u64
    };

    assert_eq!([read(&first), read(&second), read(&third)], [3, 1, 257]);
    assert_eq!([read(&first), read(&second), read(&third)], [0, 0, 0]);
    assert!(checks.stored_bytes().unwrap() > 261 * CHUNK as u64);
    assert_eq!(
        outcomes(&beside(&test.blobs, &[&first, &second, &third])),
        [CopyOutcome::Whole; 3]
    );
}

#[test]
fn damage_is_told_of_those_who_need_it_and_set_aside_by_whoever_meets_it() {
    let (test, [first, second, third], contents, pack) = three_copies();
    flip(&test.blobs, &pack, 64 + 100);
    let lost = |checked: &CheckedCopy| checked.lost.iter().map(|lost| lost.range.clone()).collect::<Vec<_>>();

    let without_index = beside(&test.blobs, &[&first, &second, &third]);
    assert_eq!(test.catalog.distrusted().unwrap().chunks, [], "it only reads");
    let checked = with_index(&test.vault, &[&first, &second, &third]);

    let first_chunk = 0..CHUNK as u64;
    for found in [&checked, &without_index] {
        let damaged = CopyOutcome::Damaged;
        assert_eq!(outcomes(found), [damaged, damaged, CopyOutcome::Whole]);
        assert_eq!(lost(&found[0]), std::slice::from_ref(&first_chunk));
        assert_eq!(lost(&found[1]), std::slice::from_ref(&first_chunk));
        assert_eq!(found[0].lost[0].object, pack.as_str());
    }
    let [set_aside] = test.catalog.distrusted().unwrap().chunks[..] else {
        panic!("one chunk is set aside")
    };
    assert_eq!((test.pack_key(set_aside.pack), set_aside.offset), (pack, 64));
    assert_eq!(copy_with(&test.domain, &contents[1], Some(&second), 1, 0).new_chunks, 1);
    let healed = [CopyOutcome::Whole; 3];
    assert_eq!(outcomes(&with_index(&test.vault, &[&first, &second, &third])), healed);
    assert_eq!(outcomes(&beside(&test.blobs, &[&first, &second, &third])), healed);
    assert_eq!(read_all(&first).unwrap(), contents[0]);
    let found = verify_copy(
        Arc::new(test.blobs.clone()),
        &master(),
        first.manifest_id(),
        &one_thread(),
        &|_| {},
    );
    assert_eq!(found.unwrap().damage, [], "the whole one counts, not the damaged one");
    let found = verify_vault(Arc::new(test.blobs), &master(), &one_thread(), &|_| {}).unwrap();
    assert!(
        found
            .outcomes
            .iter()
            .all(|(_, _, outcome)| *outcome == CopyOutcome::Whole),
        "{found:?}"
    );
    assert_eq!(found.set_aside, [set_aside]);
}

#[test]
fn a_lost_pack_is_damage_and_a_lost_store_is_not() {
    let (test, [first, second, third], _, pack) = three_copies();
    test.blobs.delete(&pack).unwrap();

    let checked = with_index(&test.vault, &[&first, &third]);
    let set_aside = test.catalog.distrusted().unwrap().chunks.len();
    let config = test.blobs.get(&BlobKey::parse("vault").unwrap()).unwrap();
    for key in test.blobs.keys() {
        test.blobs.delete(&key).unwrap();
    }
    let options = one_thread();
    let away = CopyChecks::of(&test.vault, &options, &|| false).check(&[name(&second)]);

    assert_eq!(outcomes(&checked), [CopyOutcome::Damaged, CopyOutcome::Whole]);
    assert_eq!(set_aside, 1, "without its index page nothing more is known of the copy");
    assert!(matches!(away, Err(VaultError::NotAVault)), "{away:?}");
    assert!(matches!(read_all(&second), Err(VaultError::NotAVault)));
    assert_eq!(test.catalog.distrusted().unwrap().chunks.len(), set_aside);
    test.blobs.put(&BlobKey::parse("vault").unwrap(), &config).unwrap();
    let lost = with_index(&test.vault, &[&second]);
    assert_eq!(
        (lost[0].outcome(), lost[0].lost[0].reason),
        (CopyOutcome::Damaged, "it is gone")
    );
}

#[test]
fn what_the_disk_does_not_give_back_is_neither_damaged_nor_whole_and_stays_where_it_is() {
    let blobs = FaultyBlobs::default();
    let (index, catalog) = (MemoryIndex::default(), MemoryCatalog::default());
    let vault = open(Arc::new(blobs.clone()), &index, &catalog).unwrap();
    let domain = vault.domain(DomainId::random()).unwrap();
    let stored = copy(&domain, &noise(1, 3 * CHUNK), None);
    let pack = blobs
        .durable
        .keys()
        .into_iter()
        .find(|key| key.as_str().starts_with("packs/"))
        .unwrap();
    blobs.make_unreadable(&pack);

    let checked = with_index(&vault, &[&stored]);
    let full = verify_vault(Arc::new(blobs.clone()), &master(), &one_thread(), &|_| {}).unwrap();

    assert_eq!(outcomes(&checked), [CopyOutcome::Undecided]);
    assert_eq!(full.outcomes[0].2, CopyOutcome::Undecided);
    assert_eq!((catalog.distrusted().unwrap().chunks, full.set_aside), (vec![], vec![]));
    blobs.restart();
    assert_eq!(outcomes(&with_index(&vault, &[&stored])), [CopyOutcome::Whole]);
}

#[test]
fn a_check_stops_when_it_is_told_to_however_slow_it_is() {
    let (test, [.., third], ..) = three_copies();
    let slow = VerifyOptions {
        bytes_per_second: NonZero::new(1),
        ..one_thread()
    };
    let asked = std::sync::atomic::AtomicUsize::new(0);
    let stop = || asked.fetch_add(1, std::sync::atomic::Ordering::Relaxed) > 3;

    let checked = CopyChecks::of(&test.vault, &slow, &stop).check(&[name(&third)]);

    assert!(matches!(checked, Err(VaultError::Stopped)), "{checked:?}");
}

#[test]
fn a_salvage_gives_all_that_is_whole_and_names_the_rest() {
    let (test, [.., third], contents, _) = three_copies();
    let chunks = |page| {
        let mut ids = Vec::new();
        let mut lost = Vec::new();
        let read = third.salvage_page(
            page,
            &mut ReadBuffers::default(),
            &mut |offset, bytes| {
                let at = usize::try_from(offset).unwrap();
                assert!(bytes == &contents[2][at..at + bytes.len()]);
                ids.push(at / CHUNK);
                Ok(())
            },
            &mut |it| lost.push(it),
        );
        ids.sort_unstable();
        ids.dedup();
        (ids, lost, read.unwrap().is_some())
    };
    assert_eq!((chunks(0).0.len(), chunks(0).1, chunks(0).2), (256, vec![], true));

    // The third record of each pack that holds many chunks.
    let packs: Vec<_> = test
        .catalog
        .list(None, 100)
        .unwrap()
        .into_iter()
        .map(|pack| pack.id)
        .collect();
    let record = CHUNK + 88;
    let mut damaged = 0;
    for pack in packs {
        let key = test.pack_key(pack);
        if test.blobs.get(&key).unwrap().len() > 60 * record {
            flip(&test.blobs, &key, 64 + 2 * record + 100);
            damaged += 1;
        }
    }

    let (whole, lost, page) = chunks(0);
    assert!(page && damaged > 0);
    assert_eq!((whole.len(), lost.len()), (256 - damaged, damaged));
    assert!(
        lost.iter()
            .all(|it| !it.may_pass && it.range.end - it.range.start == CHUNK as u64)
    );
    assert!(
        lost.iter()
            .all(|it| !whole.contains(&(usize::try_from(it.range.start).unwrap() / CHUNK)))
    );
    assert_eq!(test.catalog.distrusted().unwrap().chunks.len(), damaged);
    test.index.clear().unwrap();
    let (whole, lost, page) = chunks(0);
    assert_eq!((whole.len(), lost.len(), page), (0, 1, false));
    assert_eq!(lost[0].range, 0..PAGE as u64);
}

#[test]
fn a_check_beside_a_server_finds_what_was_stored_or_moved_since_it_began() {
    let test = TestVault::new();
    let shared = noise(1, 5 * CHUNK);
    let first = copy(&test.domain, &[&shared[..], &noise(2, 55 * CHUNK)].concat(), None);
    let second = copy(&test.domain, &shared, None);
    let (options, never) = (one_thread(), || false);
    let checks = CopyChecks::beside(Arc::new(test.blobs.clone()), &master(), &options, &never).unwrap();
    test.domain.delete_manifest(first.manifest_id()).unwrap();
    let impatient = &mut |_| ControlFlow::Break(());
    let (promised, as_usual) = (Promises::default(), CollectOptions::default());
    let done = test
        .vault
        .collect(&NothingRuns, &promised, &as_usual, impatient, &never);
    assert_eq!(done.unwrap().rewritten, 1);
    let third = copy(&test.domain, &noise(3, CHUNK), None);

    let checked = checks.check(&[name(&second), name(&third)]).unwrap();

    assert_eq!(outcomes(&checked), [CopyOutcome::Whole; 2], "{checked:?}");
}

struct NothingRuns;

impl RunningCopies for NothingRuns {
    fn running(&self) -> Result<Vec<ManifestId>, CatalogError> {
        Ok(Vec::new())
    }
}

#[test]
fn a_manifest_that_the_disk_does_not_give_back_hides_nothing_else() {
    let blobs = FaultyBlobs::default();
    let vault = open(
        Arc::new(blobs.clone()),
        &MemoryIndex::default(),
        &MemoryCatalog::default(),
    )
    .unwrap();
    let domain = vault.domain(DomainId::random()).unwrap();
    let (unreadable, other) = (
        copy(&domain, &noise(1, CHUNK), None),
        copy(&domain, &noise(2, CHUNK), None),
    );
    let of_copy = format!("/{}", unreadable.manifest_id());
    let keys = blobs.durable.keys().into_iter();
    let manifest = keys.clone().find(|key| key.as_str().ends_with(&of_copy)).unwrap();
    blobs.make_unreadable(&manifest);

    let found = verify_vault(Arc::new(blobs), &master(), &one_thread(), &|_| {}).unwrap();

    let outcome = |copy: &StoredCopy| found.outcomes.iter().find(|it| it.1 == copy.manifest_id()).unwrap().2;
    assert_eq!(
        (outcome(&unreadable), outcome(&other)),
        (CopyOutcome::Undecided, CopyOutcome::Whole)
    );
    assert_eq!(found.damage.len(), 1);
    assert_eq!(found.damage[0].object, manifest.as_str());
}
