//! Places of a disk that give back nothing: neither whole nor damaged, and no reason to leave the rest unchecked.

use crate::collect::Running;
use crate::support::{CHUNK, PAGE, copy, copy_with, master, noise, open, read_all};
use rustix::io::Errno;
use snapshot_vault::testing::{MemoryBlobs, MemoryCatalog, MemoryIndex, Promises};
use snapshot_vault::{
    BlobEntry, BlobError, BlobKey, BlobStore, BlobWriter, CollectOptions, CopyOutcome, Domain, DomainId, PackCatalog,
    Piece, ReadBuffers, StoredCopy, Vault, VaultError, Verification, VerifyOptions, verify_copy, verify_vault,
};
use std::num::NonZero;
use std::ops::{ControlFlow, Range};
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

type Fails = dyn Fn(&BlobKey, Range<u64>) -> bool + Send + Sync;

/// A store on a disk with bad places.
#[derive(Clone)]
pub(crate) struct BadDisk {
    pub(crate) inner: MemoryBlobs,
    /// Whether a read of these bytes of an object fails.
    pub(crate) fails: Arc<Fails>,
}

impl BadDisk {
    fn check(&self, key: &BlobKey, bytes: Range<u64>, errno: Errno) -> Result<(), BlobError> {
        if (self.fails)(key, bytes) {
            return Err(BlobError::Io {
                path: key.to_string(),
                source: errno.into(),
            });
        }
        Ok(())
    }
}

impl BlobStore for BadDisk {
    fn create(&self, key: &BlobKey) -> Result<Box<dyn BlobWriter>, BlobError> {
        self.inner.create(key)
    }

    fn put(&self, key: &BlobKey, bytes: &[u8]) -> Result<(), BlobError> {
        self.inner.put(key, bytes)
    }

    fn read(&self, key: &BlobKey, offset: u64, buffer: &mut [u8]) -> Result<(), BlobError> {
        self.check(key, offset..offset + buffer.len() as u64, Errno::IO)?;
        self.inner.read(key, offset, buffer)
    }

    /// As a disk that is read directly, without the page cache that makes EIO of everything.
    fn read_piece(&self, key: &BlobKey, offset: u64, len: usize, piece: &mut Piece) -> Result<(), BlobError> {
        self.check(key, offset..offset + len as u64, Errno::NODATA)?;
        self.inner.read_piece(key, offset, len, piece)
    }

    fn size(&self, key: &BlobKey) -> Result<u64, BlobError> {
        self.inner.size(key)
    }

    fn list(&self, prefix: &str, visit: &mut dyn FnMut(BlobEntry) -> ControlFlow<()>) -> Result<(), BlobError> {
        self.inner.list(prefix, visit)
    }

    fn delete(&self, key: &BlobKey) -> Result<(), BlobError> {
        self.inner.delete(key)
    }
}

/// Whether these are the bytes of a full index page, which holds the hashes of 256 chunks, and what a record adds.
fn is_of_full_page(bytes: &Range<u64>) -> bool {
    (8 << 10..9 << 10).contains(&(bytes.end - bytes.start))
}

fn a_vault() -> (MemoryBlobs, Domain) {
    let blobs = MemoryBlobs::default();
    let vault = open(
        Arc::new(blobs.clone()),
        &MemoryIndex::default(),
        &MemoryCatalog::default(),
    );
    let domain = vault.unwrap().domain(DomainId::random()).unwrap();
    (blobs, domain)
}

fn one_thread() -> VerifyOptions {
    VerifyOptions {
        threads: NonZero::<usize>::MIN,
        ..VerifyOptions::default()
    }
}

/// What is lost of the only copy, which must not be told more than once.
fn lost(found: &Verification) -> Vec<(u64, u64)> {
    let lost = found.damage.iter().flat_map(|damage| &damage.lost);
    lost.map(|loss| (loss.range.start, loss.range.end)).collect()
}

#[test]
fn a_chunk_that_the_disk_does_not_give_back_leaves_its_copy_undecided_and_the_rest_checked() {
    let (blobs, domain) = a_vault();
    let stored = copy(&domain, &noise(1, 20 * CHUNK), None);
    let pack = blobs.keys().into_iter().find(|key| key.as_str().starts_with("packs/"));
    let pack = pack.unwrap();
    // Right behind the header of the pack, the first chunk's record begins.
    let bad = BadDisk {
        inner: blobs,
        fails: Arc::new({
            let pack = pack.clone();
            move |key, bytes| *key == pack && bytes.contains(&200)
        }),
    };

    let found = verify_copy(Arc::new(bad), &master(), stored.manifest_id(), &one_thread(), &|_| {}).unwrap();

    assert_eq!(found.outcomes[0].2, CopyOutcome::Undecided);
    assert_eq!(found.damage.len(), 1, "{:?}", found.damage);
    assert_eq!(
        (found.damage[0].object.as_str(), found.damage[0].may_pass()),
        (pack.as_str(), true)
    );
    assert_eq!(lost(&found), [(0, CHUNK as u64)]);
    // A second time, in case another pack holds it.
    assert_eq!(found.records, 2 * (1 + 19));
    let set_aside: Vec<_> = found.set_aside.iter().map(|chunk| chunk.offset).collect();
    assert_eq!(set_aside, [64], "only this one, behind the header");
}

#[test]
fn an_index_page_that_the_disk_does_not_give_back_is_read_a_few_times_and_the_others_are_checked() {
    let (blobs, domain) = a_vault();
    let stored = copy(&domain, &noise(1, PAGE + CHUNK), None);
    let reads = Arc::new(AtomicUsize::new(0));
    let bad = BadDisk {
        inner: blobs,
        fails: Arc::new({
            let reads = Arc::clone(&reads);
            move |_, bytes| is_of_full_page(&bytes) && reads.fetch_add(1, Ordering::Relaxed) < usize::MAX
        }),
    };

    let found = verify_copy(Arc::new(bad), &master(), stored.manifest_id(), &one_thread(), &|_| {}).unwrap();

    assert_eq!(found.outcomes[0].2, CopyOutcome::Undecided);
    assert_eq!(lost(&found), [(0, PAGE as u64)]);
    assert!(reads.load(Ordering::Relaxed) < 10, "{reads:?}");
    assert_eq!(found.set_aside.len(), 1);
}

/// The packs are whole when they are checked; then one of the reads of the page fails with which copies are gone through.
#[test]
fn an_index_page_that_fails_later_than_its_pack_leaves_its_copy_undecided() {
    let (blobs, domain) = a_vault();
    copy(&domain, &noise(1, PAGE), None);
    // So little memory that the chunks are looked for in several parts.
    let options = VerifyOptions {
        memory_bytes: 2000,
        ..one_thread()
    };
    let mut undecided = 0;
    for nth in 0.. {
        let reads = Arc::new(AtomicUsize::new(0));
        let bad = BadDisk {
            inner: blobs.clone(),
            fails: Arc::new({
                let reads = Arc::clone(&reads);
                move |_, bytes| is_of_full_page(&bytes) && reads.fetch_add(1, Ordering::Relaxed) >= nth
            }),
        };

        let found = verify_vault(Arc::new(bad), &master(), &options, &|_| {}).unwrap();

        if reads.load(Ordering::Relaxed) <= nth {
            assert_eq!(found.damage, []);
            break;
        }
        assert_eq!(found.outcomes[0].2, CopyOutcome::Undecided, "read {nth}: {found:?}");
        assert_eq!(lost(&found), [(0, PAGE as u64)], "read {nth}");
        undecided += 1;
    }
    assert!(undecided > 2, "{undecided}");
}

/// A vault with a copy in it, on a disk that turns bad when it is told to.
struct TurningBad {
    is_bad: Arc<AtomicBool>,
    disk: BadDisk,
    catalog: MemoryCatalog,
    vault: Vault,
    domain: Domain,
    stored: StoredCopy,
}

impl TurningBad {
    fn new(content: &[u8], fails: impl Fn(&BlobKey, &Range<u64>) -> bool + Send + Sync + 'static) -> Self {
        let is_bad = Arc::new(AtomicBool::new(false));
        let disk = BadDisk {
            inner: MemoryBlobs::default(),
            fails: Arc::new({
                let is_bad = Arc::clone(&is_bad);
                move |key, bytes| is_bad.load(Ordering::Relaxed) && fails(key, &bytes)
            }),
        };
        let catalog = MemoryCatalog::default();
        let vault = open(Arc::new(disk.clone()), &MemoryIndex::default(), &catalog).unwrap();
        let domain = vault.domain(DomainId::random()).unwrap();
        let stored = copy(&domain, content, None);
        Self {
            is_bad,
            disk,
            catalog,
            vault,
            domain,
            stored,
        }
    }

    /// The pack of the first copy has bad places, and packs that are stored later have none.
    fn in_its_only_pack(content: &[u8], fails: impl Fn(&Range<u64>) -> bool + Send + Sync + 'static) -> Self {
        let bad_pack: Arc<OnceLock<BlobKey>> = Arc::default();
        let test = Self::new(content, {
            let bad_pack = Arc::clone(&bad_pack);
            move |key, bytes| bad_pack.get() == Some(key) && fails(bytes)
        });
        let [pack] = test.packs().try_into().unwrap();
        bad_pack.set(pack).unwrap();
        test
    }

    fn turn_bad(&self, is_bad: bool) {
        self.is_bad.store(is_bad, Ordering::Relaxed);
    }

    fn packs(&self) -> Vec<BlobKey> {
        let mut keys = self.disk.inner.keys();
        keys.retain(|key| key.as_str().starts_with("packs/"));
        keys
    }

    fn verified(&self) -> Verification {
        verify_vault(Arc::new(self.disk.clone()), &master(), &one_thread(), &|_| {}).unwrap()
    }

    fn collect(&self) {
        let impatient = &mut |_| ControlFlow::Break(());
        let (running, promised) = (Running::default(), Promises::default());
        let options = CollectOptions::default();
        let collected = self.vault.collect(&running, &promised, &options, impatient, &|| false);
        collected.unwrap();
    }

    fn assert_not_given(&self) {
        let read = read_all(&self.stored);
        assert!(matches!(read, Err(VaultError::Blob(BlobError::Io { .. }))), "{read:?}");
    }
}

#[test]
fn what_a_disk_does_not_give_back_is_stored_again_by_the_next_copy_whether_a_reader_met_it_or_a_check() {
    let content = noise(1, 20 * CHUNK);
    for is_read in [true, false] {
        let test = TurningBad::in_its_only_pack(&content, |bytes| bytes.contains(&200));
        test.turn_bad(true);

        if is_read {
            test.assert_not_given();
        } else {
            let found = test.verified();
            assert_eq!(found.outcomes[0].2, CopyOutcome::Undecided);
            test.catalog.set_aside(&found.set_aside).unwrap();
        }
        let summary = copy_with(&test.domain, &content, Some(&test.stored), 1, 0);

        assert_eq!((summary.new_chunks, summary.new_pages), (1, 0), "read: {is_read}");
        assert!(read_all(&test.stored).unwrap() == content);
        let outcomes = test.verified().outcomes;
        assert!(outcomes.iter().all(|(.., outcome)| *outcome == CopyOutcome::Whole));
    }
}

#[test]
fn a_bad_place_among_many_chunks_costs_the_one_that_lies_there() {
    let content = noise(1, 40 * CHUNK);
    let record = (CHUNK + 88) as u64;
    let bad_chunk = (20 * CHUNK) as u64..(21 * CHUNK) as u64;
    let test = TurningBad::in_its_only_pack(&content, move |bytes| bytes.contains(&(64 + 20 * record)));
    test.turn_bad(true);

    let (mut whole, mut lost) = (0, Vec::new());
    let read = test.stored.salvage_page(
        0,
        &mut ReadBuffers::default(),
        &mut |start, plain| {
            // What was read together with it is given again, one by one.
            whole = whole.max(start + plain.len() as u64);
            assert!(start != bad_chunk.start);
            Ok(())
        },
        &mut |loss| lost.push((loss.range, loss.may_pass)),
    );

    assert!(read.unwrap().is_some());
    assert_eq!(lost, [(bad_chunk, true)]);
    assert_eq!(whole, content.len() as u64);
    assert_eq!(test.catalog.distrusted().unwrap().chunks.len(), 1);
}

/// It may hold what is whole nowhere else.
#[test]
fn a_collection_keeps_a_pack_that_can_not_be_looked_into_and_removes_the_others() {
    let test = TurningBad::in_its_only_pack(&noise(1, CHUNK), |_| true);
    let bad_pack = test.packs();
    let other = copy(&test.domain, &noise(2, CHUNK), None);
    for copy in [&test.stored, &other] {
        test.domain.delete_manifest(copy.manifest_id()).unwrap();
    }

    test.turn_bad(true);
    test.collect();
    assert_eq!(test.packs(), bad_pack);

    test.turn_bad(false);
    test.collect();
    assert_eq!(test.packs(), []);
}

#[test]
fn a_disk_that_gives_back_nothing_of_a_pack_sets_nothing_aside() {
    let test = TurningBad::new(&noise(1, 20 * CHUNK), |key, bytes| {
        key.as_str().starts_with("packs/") && !is_of_full_page(bytes)
    });
    test.turn_bad(true);

    test.assert_not_given();
    let found = test.verified();

    assert_eq!(test.catalog.distrusted().unwrap().chunks, []);
    assert_eq!(found.set_aside, []);
}

#[test]
fn a_copy_whose_parent_has_a_page_that_the_disk_does_not_give_back_stores_the_page_again() {
    let bad_pack: Arc<OnceLock<BlobKey>> = Arc::default();
    let disk = BadDisk {
        inner: MemoryBlobs::default(),
        fails: Arc::new({
            let bad_pack = Arc::clone(&bad_pack);
            move |key, bytes| bad_pack.get() == Some(key) && is_of_full_page(&bytes)
        }),
    };
    let blobs = disk.inner.clone();
    let vault = open(Arc::new(disk), &MemoryIndex::default(), &MemoryCatalog::default());
    let domain = vault.unwrap().domain(DomainId::random()).unwrap();
    let content = noise(1, PAGE);
    let parent = copy(&domain, &content, None);
    // The page is the last record, so that it lies in the pack that was stored last.
    let packs = blobs
        .keys()
        .into_iter()
        .filter(|key| key.as_str().starts_with("packs/"));
    let smallest = packs.min_by_key(|key| blobs.size(key).unwrap());
    bad_pack.set(smallest.unwrap()).unwrap();
    assert!(read_all(&parent).is_err());

    let summary = copy_with(&domain, &content, Some(&parent), 1, 0);

    assert_eq!((summary.new_chunks, summary.new_pages), (0, 1));
    assert!(read_all(&parent).unwrap() == content);
}
