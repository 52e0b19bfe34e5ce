//! A verification finds whatever is not as it was stored, names it, and tells what is lost by it.

use crate::support::{CHUNK, PAGE, TestVault, copies_at_once, copy, copy_with, master, noise, options};
use snapshot_vault::testing::{MemoryBlobs, MemoryCatalog, MemoryIndex, Promises};
use snapshot_vault::{
    BlobKey, BlobStore, CatalogError, CollectOptions, CopyOutcome, LocalBlobs, ManifestId, MasterKey, RunningCopies,
    StoredCopy, Vault, VaultError, Verification, VerifyOptions, VerifyProgress, verify_copy, verify_stored,
    verify_vault,
};
use std::num::NonZero;
use std::ops::{ControlFlow, Range};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

const PACK_HEADER: usize = 64;
const RECORD: usize = CHUNK + 88;

fn one_thread() -> VerifyOptions {
    VerifyOptions {
        threads: NonZero::new(1).unwrap(),
        ..VerifyOptions::default()
    }
}

fn quiet(_: VerifyProgress) {}

fn stored(blobs: &MemoryBlobs) -> Verification {
    verify_stored(Arc::new(blobs.clone()), &one_thread(), &quiet).unwrap()
}

fn opened(blobs: &MemoryBlobs) -> Verification {
    verify_vault(Arc::new(blobs.clone()), &master(), &one_thread(), &quiet).unwrap()
}

fn one(blobs: &MemoryBlobs, copy: &StoredCopy) -> Verification {
    let (blobs, id) = (Arc::new(blobs.clone()), copy.manifest_id());
    verify_copy(blobs, &master(), id, &one_thread(), &quiet).unwrap()
}

fn objects(blobs: &MemoryBlobs, prefix: &str) -> Vec<BlobKey> {
    let mut keys = blobs.keys();
    keys.retain(|key| key.as_str().starts_with(prefix));
    keys
}

fn manifest_of(copy: &StoredCopy) -> BlobKey {
    BlobKey::parse(&format!("manifests/{}/{}", copy.domain_id(), copy.manifest_id())).unwrap()
}

fn flip(blobs: &MemoryBlobs, key: &BlobKey, bit: usize) {
    let mut bytes = blobs.get(key).unwrap();
    bytes[bit / 8] ^= 1 << (bit % 8);
    blobs.overwrite(key, bytes);
}

/// What of which copies is lost, whatever by.
fn lost(found: &Verification) -> Vec<(ManifestId, Range<u64>)> {
    let losses = found.damage.iter().flat_map(|damage| &damage.lost);
    losses.map(|loss| (loss.copy, loss.range.clone())).collect()
}

fn chunks(numbers: Range<usize>) -> Range<u64> {
    (numbers.start * CHUNK) as u64..(numbers.end * CHUNK) as u64
}

/// Two copies of four chunks, of which they share two: the first copy's pack holds them. Which pack is whose is told.
fn two_copies() -> (TestVault, [StoredCopy; 2], [BlobKey; 2]) {
    let test = TestVault::new();
    let shared = noise(1, 2 * CHUNK);
    let first = copy(&test.domain, &[noise(2, 2 * CHUNK), shared.clone()].concat(), None);
    let first_pack = objects(&test.blobs, "packs/").remove(0);
    let second = copy(&test.domain, &[shared, noise(3, 2 * CHUNK)].concat(), None);
    let mut packs = objects(&test.blobs, "packs/");
    packs.retain(|pack| *pack != first_pack);
    (test, [first, second], [first_pack, packs.remove(0)])
}

#[test]
fn a_vault_that_is_whole_is_found_whole() {
    let (test, copies, _) = two_copies();
    copy(&test.domain, b"", None);
    copy(&test.domain, &vec![0; 3 * PAGE + 5], None);
    let tail = copy(&test.domain, &noise(7, PAGE + 5 * CHUNK + 17), None);

    let (by_checksums, by_opening) = (stored(&test.blobs), opened(&test.blobs));

    assert_eq!(by_checksums.damage, []);
    assert_eq!(by_opening.damage, []);
    let whole = |(_, _, outcome): &(_, _, CopyOutcome)| *outcome == CopyOutcome::Whole;
    assert!(by_opening.outcomes.len() == 5 && by_opening.outcomes.iter().all(whole));
    let without_outcomes = Verification {
        outcomes: Vec::new(),
        ..by_opening.clone()
    };
    assert_eq!(
        by_checksums, without_outcomes,
        "without the key nothing is known of copies"
    );
    assert_eq!(by_opening.copies, 5);
    assert_eq!(by_opening.packs, objects(&test.blobs, "packs/").len() as u64);
    assert_eq!(by_opening.records, 6 + 2 + 262 + 2);
    for copy in copies.iter().chain([&tail]) {
        assert_eq!(one(&test.blobs, copy).damage, []);
    }
    assert_eq!(one(&test.blobs, &tail).records, 262 + 2);
}

#[test]
fn objects_that_are_cut_off_or_too_long_are_found() {
    let (test, _, _) = two_copies();

    for key in test.blobs.keys() {
        let whole = test.blobs.get(&key).unwrap();
        for len in [0, 1, whole.len() / 2, whole.len() - 1, whole.len() + 1] {
            let mut changed = whole.clone();
            changed.resize(len, 0);
            test.blobs.overwrite(&key, changed);
            for found in [stored(&test.blobs), opened(&test.blobs)] {
                assert!(
                    found.damage.iter().any(|damage| damage.object == key.as_str()),
                    "{key}: {len}"
                );
            }
        }
        test.blobs.overwrite(&key, whole);
    }
}

#[test]
fn a_damaged_chunk_is_told_with_its_place_and_what_every_copy_loses_by_it() {
    let (test, [first, second], [pack, _]) = two_copies();
    let places: [usize; 2] = std::array::from_fn(|n| PACK_HEADER + (n + 1) * RECORD);
    for place in places {
        flip(&test.blobs, &pack, (place + RECORD / 2) * 8);
    }

    let found = opened(&test.blobs);

    let told: Vec<_> = found
        .damage
        .iter()
        .map(|it| (it.object.as_str(), it.place.clone().unwrap()))
        .collect();
    let place = |start: usize| (pack.as_str(), start as u64..(start + RECORD) as u64);
    assert_eq!(told, [place(places[0]), place(places[1])]);
    let mut by_manifest = lost(&found);
    by_manifest.sort_by_key(|(copy, range)| (*copy != first.manifest_id(), range.start));
    let expected = [
        (first.manifest_id(), chunks(1..2)),
        (first.manifest_id(), chunks(2..3)),
        (second.manifest_id(), chunks(0..1)),
    ];
    assert_eq!(by_manifest, expected);
    assert_eq!(lost(&one(&test.blobs, &first)), [(first.manifest_id(), chunks(1..3))]);
    assert_eq!(lost(&one(&test.blobs, &second)), [(second.manifest_id(), chunks(0..1))]);
}

#[test]
fn a_damaged_page_loses_all_that_it_lists_and_a_damaged_manifest_its_copy() {
    let (test, [first, second], [pack, _]) = two_copies();
    flip(&test.blobs, &pack, (PACK_HEADER + 4 * RECORD + 60) * 8);
    flip(&test.blobs, &manifest_of(&second), 100 * 8);

    let found = opened(&test.blobs);

    let everything = 0..u64::MAX;
    assert_eq!(lost(&found).len(), 2);
    assert!(lost(&found).contains(&(first.manifest_id(), chunks(0..4))));
    assert!(lost(&found).contains(&(second.manifest_id(), everything.clone())));
    assert_eq!(lost(&one(&test.blobs, &first)), [(first.manifest_id(), chunks(0..4))]);
    assert_eq!(lost(&one(&test.blobs, &second)), [(second.manifest_id(), everything)]);
}

#[test]
fn a_missing_pack_is_noticed_by_those_who_need_it() {
    let (test, [first, second], [pack, _]) = two_copies();
    test.blobs.delete(&pack).unwrap();

    let found = opened(&test.blobs);

    assert_eq!(stored(&test.blobs).damage, [], "no checksum tells of what is not there");
    assert_eq!(found.damage.len(), 2);
    assert!(
        found
            .damage
            .iter()
            .all(|damage| damage.object.starts_with("manifests/"))
    );
    assert!(lost(&found).contains(&(first.manifest_id(), chunks(0..4))));
    assert!(lost(&found).contains(&(second.manifest_id(), chunks(0..2))));
    assert_eq!(lost(&one(&test.blobs, &second)), [(second.manifest_id(), chunks(0..2))]);
}

#[test]
fn a_lost_or_damaged_key_loses_the_copies_of_its_domain_only() {
    let (test, [first, second], _) = two_copies();
    let other = test.vault.domain(snapshot_vault::DomainId::random()).unwrap();
    let bystander = copy(&other, &noise(9, CHUNK), None);
    let key = BlobKey::parse(&format!("keys/{}", test.domain.id())).unwrap();
    let whole = test.blobs.get(&key).unwrap();

    flip(&test.blobs, &key, 70 * 8);
    let damaged = opened(&test.blobs);
    test.blobs.delete(&key).unwrap();
    let gone = opened(&test.blobs);

    for found in [damaged, gone] {
        let [damage] = &found.damage[..] else {
            panic!("{found:?}")
        };
        assert_eq!(damage.object, key.as_str());
        let copies: Vec<ManifestId> = damage.lost.iter().map(|loss| loss.copy).collect();
        assert!(copies.len() == 2 && copies.contains(&first.manifest_id()) && copies.contains(&second.manifest_id()));
    }
    assert_eq!(stored(&test.blobs).damage[0].object, key.as_str());
    assert_eq!(one(&test.blobs, &bystander).damage, []);
    test.blobs.overwrite(&key, whole);
    assert_eq!(opened(&test.blobs).damage, []);
}

#[test]
fn bytes_that_were_changed_together_with_their_checksum_are_found_by_opening_them() {
    let (test, [first, _], [pack, _]) = two_copies();
    let mut bytes = test.blobs.get(&pack).unwrap();
    let (start, end) = (PACK_HEADER, PACK_HEADER + RECORD - 16);
    bytes[start + 100] ^= 1;
    let sum = *blake3::hash(&bytes[start..end]).as_bytes();
    bytes[end..end + 16].copy_from_slice(&sum[..16]);
    test.blobs.overwrite(&pack, bytes);

    assert_eq!(stored(&test.blobs).damage, []);
    assert_eq!(lost(&opened(&test.blobs)), [(first.manifest_id(), chunks(0..1))]);
    assert_eq!(lost(&one(&test.blobs, &first)), [(first.manifest_id(), chunks(0..1))]);
}

#[test]
fn what_another_pack_holds_too_is_not_lost() {
    let test = TestVault::new();
    let content = noise(3, CHUNK);
    copies_at_once(&test.domain, &content, 2);
    flip(&test.blobs, &objects(&test.blobs, "packs/")[0], (PACK_HEADER + 100) * 8);

    let found = opened(&test.blobs);

    assert_eq!((found.damage.len(), lost(&found)), (1, vec![]));
}

#[test]
fn little_memory_and_many_threads_find_the_same() {
    let test = TestVault::new();
    for seed in 0..3 {
        copy(&test.domain, &noise(seed, 2 * PAGE + 3 * CHUNK), None);
    }
    for pack in objects(&test.blobs, "packs/").iter().step_by(3) {
        flip(&test.blobs, pack, (PACK_HEADER + 5 * RECORD) * 8);
    }
    let plenty = opened(&test.blobs);

    for (threads, memory_bytes) in [(4, 32 << 20), (1, 1000), (3, 1)] {
        let little = VerifyOptions {
            threads: NonZero::new(threads).unwrap(),
            memory_bytes,
            ..one_thread()
        };
        let found = verify_vault(Arc::new(test.blobs.clone()), &master(), &little, &quiet).unwrap();

        assert_eq!(found, plenty, "{threads} threads, {memory_bytes} bytes");
        for id in test.domain.manifests().unwrap() {
            let of_one = verify_copy(Arc::new(test.blobs.clone()), &master(), id, &little, &quiet).unwrap();
            let mut expected = lost(&plenty);
            expected.retain(|(copy, _)| *copy == id);
            let mut found = lost(&of_one);
            expected.sort_by_key(|(_, range)| range.start);
            found.sort_by_key(|(_, range)| range.start);
            assert_eq!(found, expected, "{threads} threads, {memory_bytes} bytes");
        }
    }
    assert!(plenty.damage.len() > 3);
}

#[test]
fn what_comes_and_goes_meanwhile_is_no_damage() {
    let (test, [first, second], [_, pack]) = two_copies();
    let calls = AtomicU64::new(0);

    let meanwhile = |_: VerifyProgress| {
        if calls.fetch_add(1, Ordering::Relaxed) == 0 {
            test.domain.delete_manifest(second.manifest_id()).unwrap();
            test.blobs.delete(&pack).unwrap();
            copy(&test.domain, &noise(5, 3 * CHUNK), None);
        }
    };
    let found = verify_vault(Arc::new(test.blobs.clone()), &master(), &one_thread(), &meanwhile).unwrap();

    assert_eq!(found.damage, []);
    assert_eq!(one(&test.blobs, &first).damage, []);
    assert_eq!(stored(&test.blobs).copies, 2);
}

#[test]
fn what_a_collection_moves_meanwhile_is_no_damage() {
    for of_one_copy in [false, true] {
        let test = TestVault::new();
        // The packs with the first 60 chunks are rewritten for the sake of two of them, and the next ones removed.
        let first = copy(&test.domain, &noise(1, 60 * CHUNK), None);
        let gone = copy(&test.domain, &noise(2, 200 * CHUNK), None);
        let content = [&noise(1, 2 * CHUNK)[..], &noise(3, 100 * CHUNK)].concat();
        let second = copy(&test.domain, &content, None);
        test.domain.delete_manifest(first.manifest_id()).unwrap();
        test.domain.delete_manifest(gone.manifest_id()).unwrap();
        let calls = AtomicU64::new(0);
        let meanwhile = |_: VerifyProgress| {
            if calls.fetch_add(1, Ordering::Relaxed) == 0 {
                let options = CollectOptions::default();
                let impatient = &mut |_| ControlFlow::Break(());
                let promised = Promises::default();
                let done = test.vault.collect(&NoCopies, &promised, &options, impatient, &|| false);
                let done = done.unwrap();
                assert!(done.rewritten > 0 && done.deleted > done.rewritten, "{done:?}");
            }
        };

        let blobs = Arc::new(test.blobs.clone());
        let found = if of_one_copy {
            verify_copy(blobs, &master(), second.manifest_id(), &one_thread(), &meanwhile)
        } else {
            verify_vault(blobs, &master(), &one_thread(), &meanwhile)
        };

        let found = found.unwrap();
        assert!(calls.into_inner() > 0);
        assert_eq!((found.damage, found.copies), (Vec::new(), 1));
    }
}

struct NoCopies;

impl RunningCopies for NoCopies {
    fn running(&self) -> Result<Vec<ManifestId>, CatalogError> {
        Ok(Vec::new())
    }
}

#[test]
fn nothing_is_written() {
    let (test, _, [pack, _]) = two_copies();
    flip(&test.blobs, &pack, 1000);
    let contents = || {
        test.blobs
            .keys()
            .into_iter()
            .map(|key| (test.blobs.get(&key), key))
            .collect::<Vec<_>>()
    };
    let before = contents();

    stored(&test.blobs);
    opened(&test.blobs);

    assert!(contents() == before);
}

#[test]
fn a_wrong_key_no_vault_and_no_such_copy_are_errors() {
    let (test, _, _) = two_copies();
    let blobs = || Arc::new(test.blobs.clone());
    let empty = || Arc::new(MemoryBlobs::default());
    let other = MasterKey::generate().unwrap();

    let wrong_key = verify_vault(blobs(), &other, &one_thread(), &quiet).unwrap_err();
    let none = verify_vault(empty(), &master(), &one_thread(), &quiet).unwrap_err();
    let nothing_stored = verify_stored(empty(), &one_thread(), &quiet).unwrap_err();
    let no_copy = verify_copy(blobs(), &master(), ManifestId::random(), &one_thread(), &quiet).unwrap_err();

    assert!(matches!(wrong_key, VaultError::WrongMasterKey));
    assert!(matches!(none, VaultError::NotAVault));
    assert!(matches!(nothing_stored, VaultError::NotAVault));
    assert!(matches!(no_copy, VaultError::ManifestNotFound(_)));
}

#[test]
fn progress_ends_where_it_was_said_to_and_a_limit_takes_its_time() {
    let (test, _, packs) = two_copies();
    let bytes: usize = packs.iter().map(|pack| test.blobs.get(pack).unwrap().len()).sum();
    let (done, total) = (AtomicU64::new(0), AtomicU64::new(0));
    let note = |progress: VerifyProgress| {
        done.store(progress.done_bytes, Ordering::Relaxed);
        total.store(progress.total_bytes, Ordering::Relaxed);
    };
    let limited = VerifyOptions {
        bytes_per_second: NonZero::new(4 * bytes as u64),
        ..one_thread()
    };
    let begin = Instant::now();

    verify_vault(Arc::new(test.blobs.clone()), &master(), &limited, &note).unwrap();

    assert!(begin.elapsed() >= Duration::from_millis(250));
    assert_eq!((done.into_inner(), total.into_inner()), (bytes as u64, bytes as u64));
}

#[test]
fn a_vault_in_a_folder_is_read_past_the_cache_and_left_as_it_is() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let writing = Arc::new(LocalBlobs::open(folder.path()).unwrap());
    let (index, catalog) = (Arc::new(MemoryIndex::default()), Arc::new(MemoryCatalog::default()));
    let large = snapshot_vault::VaultOptions {
        pack_size_bytes: 16 << 20,
        ..options()
    };
    let vault = Vault::open(writing.clone(), &master(), index, catalog, large).unwrap();
    let domain = vault.domain(snapshot_vault::DomainId::random()).unwrap();
    copy_with(&domain, &noise(1, 2 * PAGE), None, 2, 0);
    let mut half_written = writing.create(&BlobKey::parse("packs/00/half").unwrap()).unwrap();
    half_written.write(&[1; 100]).unwrap();

    let reading = Arc::new(LocalBlobs::open_read_only(folder.path()).unwrap());
    let found = verify_vault(reading, &master(), &VerifyOptions::default(), &quiet).unwrap();

    assert_eq!((found.damage, found.copies), (vec![], 1));
    half_written.commit().unwrap();
}
