//! Chunks that are stored, and that the index does not find: it is damaged, or it was made anew by a start that could not
//! rely on them.

use crate::bad_places::BadDisk;
use crate::collect::Running;
use crate::support::{CHUNK, TestVault, copies_at_once, copy, copy_with, noise, open, read_all};
use snapshot_vault::testing::{MemoryBlobs, MemoryCatalog, MemoryIndex, Promises};
use snapshot_vault::{
    BlobKey, ChunkId, ChunkIndex, CollectOptions, Collection, CollectionEnd, DomainId, PackCatalog, PackId, StoredCopy,
    Vault,
};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// How long the record of a chunk of noise is.
const RECORD: usize = CHUNK + 88;
/// Where the first one begins.
const FIRST: usize = 64;

fn packs(catalog: &MemoryCatalog) -> Vec<PackId> {
    let packs = catalog.list(None, 1000).unwrap();
    packs.into_iter().map(|pack| pack.id).collect()
}

fn collected(vault: &Vault) -> Collection {
    let (running, promised, options) = (Running::default(), Promises::default(), CollectOptions::default());
    let impatient = &mut |_| ControlFlow::Break(());
    vault
        .collect(&running, &promised, &options, impatient, &|| false)
        .unwrap()
}

/// A copy as a process reads it that begins with nothing but the store and the catalog.
fn read_anew(blobs: &MemoryBlobs, catalog: &MemoryCatalog, copy: &StoredCopy) -> Option<Vec<u8>> {
    let vault = open(Arc::new(blobs.clone()), &MemoryIndex::default(), catalog).unwrap();
    vault.reconcile().unwrap();
    let domain = vault.domain(copy.domain_id()).unwrap();
    read_all(&domain.open_manifest(copy.manifest_id()).unwrap()).ok()
}

/// A store of which a place can't be read until it is told otherwise.
fn with_a_bad_place(blobs: &MemoryBlobs, object: BlobKey, place: usize) -> (BadDisk, Arc<AtomicBool>) {
    let is_bad = Arc::new(AtomicBool::new(true));
    let disk = BadDisk {
        inner: blobs.clone(),
        fails: Arc::new({
            let is_bad = Arc::clone(&is_bad);
            move |key, bytes| *key == object && is_bad.load(Ordering::Relaxed) && bytes.contains(&(place as u64))
        }),
    };
    (disk, is_bad)
}

fn flip(test: &TestVault, pack: PackId, at: usize) {
    let key = test.pack_key(pack);
    let mut bytes = test.blobs.get(&key).unwrap();
    bytes[at] ^= 1;
    test.blobs.overwrite(&key, bytes);
}

/// Two copies of 40 chunks have the first one in common; the first copy is deleted, and the index loses what it had.
struct OneLost {
    blobs: MemoryBlobs,
    catalog: MemoryCatalog,
    index: MemoryIndex,
    vault: Vault,
    /// The second copy.
    copy: StoredCopy,
    content: Vec<u8>,
    /// The packs of the copies.
    first: PackId,
    second: PackId,
}

impl OneLost {
    fn new() -> Self {
        let blobs = MemoryBlobs::default();
        let (index, catalog) = (MemoryIndex::default(), MemoryCatalog::default());
        let vault = open(Arc::new(blobs.clone()), &index, &catalog).unwrap();
        let domain = vault.domain(DomainId::random()).unwrap();
        let mut content = noise(1, 40 * CHUNK);
        let deleted = copy(&domain, &content, None);
        let [first] = packs(&catalog).try_into().unwrap();
        content[CHUNK..].copy_from_slice(&noise(2, 39 * CHUNK));
        let kept = copy(&domain, &content, Some(&deleted));
        let second = packs(&catalog).into_iter().find(|pack| *pack != first).unwrap();
        domain.delete_manifest(deleted.manifest_id()).unwrap();
        let test = Self {
            blobs,
            catalog,
            index,
            vault,
            copy: kept,
            content,
            first,
            second,
        };
        test.index.lose(&test.record_at(first, FIRST));
        assert!(read_all(&test.copy).is_err());
        test
    }

    fn record_at(&self, pack: PackId, place: usize) -> ChunkId {
        let bytes = self.blobs.get(&key_of(pack)).unwrap();
        ChunkId::from_bytes(*bytes[place + 24..].first_chunk().unwrap())
    }
}

fn key_of(pack: PackId) -> BlobKey {
    let first_byte = pack.as_uuid().as_bytes()[0];
    BlobKey::parse(&format!("packs/{first_byte:02x}/{pack}")).unwrap()
}

#[test]
fn a_collection_finds_again_what_the_index_has_lost() {
    let test = OneLost::new();

    let done = collected(&test.vault);

    assert_eq!(
        (done.rewritten, done.deleted),
        (1, 1),
        "the chunk, without the deleted ones"
    );
    assert!(read_all(&test.copy).unwrap() == test.content);
    assert!(read_anew(&test.blobs, &test.catalog, &test.copy).unwrap() == test.content);
}

/// Nobody knows then what the copy needs.
#[test]
fn a_collection_finds_again_an_index_page_that_the_index_has_lost() {
    let test = OneLost::new();
    // Behind the chunks that only the second copy has.
    let page = test.record_at(test.second, FIRST + 39 * RECORD);
    test.index.lose(&page);

    let done = collected(&test.vault);

    assert_eq!((done.end, done.unreadable), (CollectionEnd::Done, vec![]));
    assert!(read_all(&test.copy).unwrap() == test.content);
}

#[test]
fn a_collection_keeps_what_the_index_has_lost_and_the_disk_does_not_give_back_just_then() {
    let test = OneLost::new();
    let (disk, is_bad) = with_a_bad_place(&test.blobs, key_of(test.first), FIRST + 100);
    let vault = open(Arc::new(disk), &test.index, &test.catalog).unwrap();

    let kept = collected(&vault);

    assert_eq!((kept.released, kept.deleted), (1, 0));
    is_bad.store(false, Ordering::Relaxed);
    collected(&vault);
    assert!(read_all(&test.copy).unwrap() == test.content);
}

/// The deleted chunks of the same pack are missed by nobody, as far as anybody can tell.
#[test]
fn what_the_index_has_lost_keeps_no_pack_when_no_copy_lacks_it() {
    let test = OneLost::new();
    let domain = test.vault.domain(test.copy.domain_id()).unwrap();
    domain.delete_manifest(test.copy.manifest_id()).unwrap();

    let done = collected(&test.vault);

    assert_eq!((done.deleted, done.released), (2, 0));
    assert_eq!(packs(&test.catalog), []);
}

#[test]
fn what_the_index_has_lost_is_stored_again_by_the_next_copy_once_somebody_missed_it() {
    let test = OneLost::new();
    let domain = test.vault.domain(test.copy.domain_id()).unwrap();

    let summary = copy_with(&domain, &test.content, Some(&test.copy), 1, 0);

    assert_eq!((summary.new_chunks, summary.new_pages), (1, 0));
    assert!(read_all(&test.copy).unwrap() == test.content);
}

/// A start makes the index anew, a pack's footer is damaged, and one of its records can't be read just then.
#[test]
fn a_collection_keeps_what_could_not_be_read_while_the_index_was_made() {
    let test = TestVault::new();
    let content = noise(1, 40 * CHUNK);
    let stored = copy(&test.domain, &content, None);
    let [pack] = packs(&test.catalog).try_into().unwrap();
    let len = test.blobs.get(&test.pack_key(pack)).unwrap().len();
    flip(&test, pack, len - 1);
    let (disk, is_bad) = with_a_bad_place(&test.blobs, test.pack_key(pack), FIRST + RECORD + 100);
    let vault = open(Arc::new(disk), &MemoryIndex::default(), &test.catalog).unwrap();
    vault.reconcile().unwrap();
    is_bad.store(false, Ordering::Relaxed);

    for _ in 0..3 {
        collected(&vault);

        assert!(read_anew(&test.blobs, &test.catalog, &stored).unwrap() == content);
    }
}

/// As above, and the record is damaged for good: who has the bytes stores them.
#[test]
fn a_copy_stores_what_its_parent_lacks_since_the_index_was_made() {
    for end in [20, usize::MAX] {
        let test = TestVault::new();
        let content = noise(1, 40 * CHUNK);
        let stored = copy(&test.domain, &content, None);
        let [pack] = packs(&test.catalog).try_into().unwrap();
        let len = test.blobs.get(&test.pack_key(pack)).unwrap().len();
        flip(&test, pack, end.min(len - 1));
        flip(&test, pack, FIRST + RECORD + 100);
        let restarted = test.restarted();
        restarted.vault.reconcile().unwrap();
        let parent = restarted.domain.open_manifest(stored.manifest_id()).unwrap();

        let summary = copy_with(&restarted.domain, &content, Some(&parent), 1, 0);

        assert_eq!(summary.new_chunks, 1);
        let new = restarted.domain.open_manifest(summary.manifest).unwrap();
        assert!(read_all(&new).unwrap() == content);
        assert!(read_all(&parent).unwrap() == content);
    }
}

/// Of two records of a chunk one is damaged, where the index leads; the other one is not needed there, as it seems, and can't
/// be read just then.
#[test]
fn a_collection_keeps_the_only_whole_record_also_when_it_can_not_be_read_just_then() {
    let test = TestVault::new();
    let content = noise(1, 5 * CHUNK);
    let copies = copies_at_once(&test.domain, &content, 2);
    let stored = test.domain.open_manifest(copies[0]).unwrap();
    let both = packs(&test.catalog);
    let chunk = test.chunk_at(both[0], FIRST.try_into().unwrap());
    let led_to = test.index.locate(&[chunk]).unwrap()[0].unwrap().pack;
    let other = *both.iter().find(|pack| **pack != led_to).unwrap();
    flip(&test, led_to, FIRST + 100);
    let (disk, is_bad) = with_a_bad_place(&test.blobs, test.pack_key(other), FIRST + 100);
    let vault = open(Arc::new(disk), &test.index, &test.catalog).unwrap();

    let kept = collected(&vault);

    assert_eq!((kept.deleted, kept.released), (0, 1));
    is_bad.store(false, Ordering::Relaxed);
    collected(&vault);
    assert!(read_anew(&test.blobs, &test.catalog, &stored).unwrap() == content);
}
