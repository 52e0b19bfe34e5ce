//! What a collection removes, what it leaves, and when it does nothing.

use crate::support::{CHUNK, PAGE, TestVault, copy, copy_with, noise, open, read_all};
use snapshot_vault::testing::{MemoryBlobs, MemoryCatalog, MemoryIndex, Promises};
use snapshot_vault::{
    BlobEntry, BlobError, BlobKey, BlobStore, BlobWriter, CatalogError, CollectOptions, Collection, CollectionEnd,
    DomainId, ManifestId, PackCatalog, PackStanding, ReadBuffers, RunningCopies, StoredCopy, Totals,
};
use std::cell::Cell;
use std::collections::{BTreeMap, VecDeque};
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex};

/// The copies that the database says are running.
#[derive(Default)]
pub(crate) struct Running(pub(crate) Mutex<Vec<ManifestId>>);

impl RunningCopies for Running {
    fn running(&self) -> Result<Vec<ManifestId>, CatalogError> {
        Ok(self.0.lock().unwrap().clone())
    }
}

pub(crate) fn collect_with(test: &TestVault, running: &Running, options: &CollectOptions) -> Collection {
    let impatient = &mut |_| ControlFlow::Break(());
    test.vault
        .collect(running, &Promises::default(), options, impatient, &|| false)
        .unwrap()
}

pub(crate) fn collect(test: &TestVault) -> Collection {
    collect_with(test, &Running::default(), &CollectOptions::default())
}

pub(crate) fn objects(test: &TestVault) -> BTreeMap<BlobKey, Vec<u8>> {
    let keys = test.blobs.keys();
    keys.into_iter()
        .map(|key| (key.clone(), test.blobs.get(&key).unwrap()))
        .collect()
}

fn totals(test: &TestVault) -> Totals {
    let usage = test.domain.usage(&|| false).unwrap();
    assert_eq!(usage.unreadable, []);
    usage.totals
}

pub(crate) fn delete(test: &TestVault, copy: &StoredCopy) {
    test.domain.delete_manifest(copy.manifest_id()).unwrap();
}

/// Two copies, of which the second has the first `shared` of 60 chunks of the first and 60 of its own.
pub(crate) fn two_copies(shared: usize) -> (TestVault, [StoredCopy; 2], Vec<u8>) {
    let test = TestVault::new();
    let first = noise(1, 60 * CHUNK);
    let second = [&first[..shared * CHUNK], &noise(2, 60 * CHUNK)].concat();
    let copies = [copy(&test.domain, &first, None), copy(&test.domain, &second, None)];
    (test, copies, second)
}

#[test]
fn what_only_a_deleted_copy_used_is_given_back() {
    let (test, [first, second], content) = two_copies(0);
    let before = totals(&test);
    let alone = test.domain.usage(&|| false).unwrap().copies;
    let alone = alone.iter().find(|copy| copy.manifest == first.manifest_id()).unwrap();
    assert_eq!((before.dead_bytes, before.packs), (0, 2));
    delete(&test, &first);

    let done = collect(&test);

    assert_eq!((done.end, done.condemned, done.deleted), (CollectionEnd::Done, 1, 1));
    assert_eq!((done.released, done.rewritten), (0, 0));
    let after = totals(&test);
    assert_eq!((after.packs, after.dead_bytes), (1, 0));
    assert_eq!(after.live_bytes, before.live_bytes - alone.exclusive_bytes);
    assert_eq!(read_all(&second).unwrap(), content);
    assert_eq!(test.catalog.list(None, 10).unwrap().len(), 1);
    assert_eq!(
        collect(&test),
        Collection {
            packs: 1,
            ..Collection::default()
        }
    );
}

#[test]
fn a_pack_of_which_little_is_needed_is_rewritten_and_one_of_which_much_is_stays() {
    for (shared, is_rewritten) in [(5, true), (40, false)] {
        let (test, [first, second], content) = two_copies(shared);
        delete(&test, &first);

        let done = collect(&test);

        assert_eq!((done.deleted == 1, done.rewritten == 1), (is_rewritten, is_rewritten));
        assert_eq!(totals(&test).dead_bytes == 0, is_rewritten);
        assert_eq!(done.written_bytes > (5 * CHUNK) as u64, is_rewritten);
        assert_eq!(read_all(&second).unwrap(), content);
        let restarted = test.restarted();
        assert_eq!(restarted.vault.reconcile().unwrap().damaged, []);
        let again = restarted.domain.open_manifest(second.manifest_id()).unwrap();
        assert_eq!(read_all(&again).unwrap(), content);
        assert_eq!(collect(&restarted).deleted, 0);
    }
}

#[test]
fn a_small_pack_that_is_all_in_use_is_never_rewritten() {
    let test = TestVault::new();
    let _one_byte = copy(&test.domain, b"1", None);

    assert_eq!(collect(&test).condemned, 0);
}

#[test]
fn a_reader_that_knows_where_a_chunk_lay_finds_it_again() {
    let (test, [first, second], content) = two_copies(5);
    let mut buffers = ReadBuffers::default();
    let mut one = vec![0; CHUNK];
    second.read_at(0, &mut one, &mut buffers).unwrap();
    delete(&test, &first);
    let mut seen = 0;

    // The places of a page's chunks are looked up before the first of them is given out.
    second
        .read_page(0, &mut buffers, &mut |offset, plain| {
            if offset == 0 {
                assert_eq!(collect(&test).rewritten, 1);
            }
            let offset = usize::try_from(offset).unwrap();
            assert!(content[offset..offset + plain.len()] == *plain);
            seen += 1;
            Ok(())
        })
        .unwrap();

    assert_eq!(seen, 65);
}

#[test]
fn a_copy_that_the_database_says_is_running_is_waited_for() {
    let (test, [first, _], _) = two_copies(0);
    delete(&test, &first);
    let running = Running(Mutex::new(vec![ManifestId::random()]));

    let waiting = collect_with(&test, &running, &CollectOptions::default());

    assert_eq!(waiting.end, CollectionEnd::Waiting { copies: 1 });
    assert_eq!((waiting.condemned, waiting.deleted), (1, 0));
    let standing = |test: &TestVault| -> Vec<_> {
        let packs = test.catalog.list(None, 10).unwrap();
        packs
            .iter()
            .map(|pack| pack.standing)
            .filter(|it| *it != PackStanding::Kept)
            .collect()
    };
    assert_eq!(standing(&test), [PackStanding::Condemned]);
    let asked = Cell::new(0);
    let end_of_copy = &mut |_| {
        asked.set(asked.get() + 1);
        running.0.lock().unwrap().clear();
        ControlFlow::Continue(())
    };
    let (promised, options) = (Promises::default(), CollectOptions::default());
    let done = test
        .vault
        .collect(&running, &promised, &options, end_of_copy, &|| false)
        .unwrap();
    assert_eq!(
        (done.end, done.condemned, done.deleted, asked.get()),
        (CollectionEnd::Done, 0, 1, 1)
    );
    assert_eq!(standing(&test), []);
}

#[test]
fn a_copy_that_the_database_gave_up_and_that_still_runs_here_is_waited_for() {
    let (test, [first, second], _) = two_copies(0);
    let content = noise(1, 60 * CHUNK);
    let session = test
        .domain
        .begin_copy(ManifestId::random(), content.len() as u64, None)
        .unwrap();
    delete(&test, &first);
    delete(&test, &second);
    assert_eq!(collect(&test).end, CollectionEnd::Waiting { copies: 1 });
    let mut worker = session.worker().unwrap();
    worker.begin_page(0).unwrap();
    worker.push(&content).unwrap();
    worker.finish_page().unwrap();
    worker.finish().unwrap();
    let late = session.commit(b"").unwrap();

    let done = collect(&test);

    assert_eq!((late.new_packs, done.released, done.deleted), (0, 1, 1));
    assert_eq!(
        read_all(&test.domain.open_manifest(late.manifest).unwrap()).unwrap(),
        content
    );
}

#[test]
fn a_dry_run_tells_what_would_be_done_and_writes_nothing() {
    for shared in [0, 5, 40] {
        let (test, [first, _], _) = two_copies(shared);
        delete(&test, &first);
        let (before, packs) = (objects(&test), test.catalog.list(None, 10).unwrap());
        let options = CollectOptions {
            dry_run: true,
            ..CollectOptions::default()
        };
        let busy = Running(Mutex::new(vec![ManifestId::random()]));

        let dry = collect_with(&test, &busy, &options);

        assert!(objects(&test) == before);
        assert_eq!(test.catalog.list(None, 10).unwrap(), packs);
        let done = collect(&test);
        assert_eq!(
            (
                dry.end,
                dry.packs,
                dry.condemned,
                dry.deleted,
                dry.rewritten,
                dry.deleted_bytes
            ),
            (
                done.end,
                done.packs,
                done.condemned,
                done.deleted,
                done.rewritten,
                done.deleted_bytes
            )
        );
    }
}

#[test]
fn nothing_is_removed_while_something_that_copies_need_cannot_be_read() {
    let pack = |test: &TestVault, copy: &StoredCopy| {
        let packs: Vec<BlobKey> = test
            .blobs
            .keys()
            .into_iter()
            .filter(|key| key.as_str().starts_with("packs/"))
            .collect();
        let mut needed = packs.into_iter().filter(|key| {
            let bytes = test.blobs.get(key).unwrap();
            test.blobs.delete(key).unwrap();
            let is_needed = read_all(copy).is_err();
            test.blobs.overwrite(key, bytes);
            is_needed
        });
        needed.next().unwrap()
    };
    let break_it: [fn(&TestVault, &BlobKey); 2] = [
        |test, key| {
            let mut bytes = test.blobs.get(key).unwrap();
            // Of a pack, the index page: the last record, right before the footer of 61 entries.
            let at = if key.as_str().starts_with("packs/") {
                bytes.len() - 72 - 61 * 48 - 30
            } else {
                70
            };
            bytes[at] ^= 1;
            test.blobs.overwrite(key, bytes);
        },
        |test, key| test.blobs.delete(key).unwrap(),
    ];
    for (is_pack, break_it) in [(false, break_it[0]), (true, break_it[0]), (true, break_it[1])] {
        let (test, [first, second], _) = two_copies(0);
        let key = if is_pack {
            pack(&test, &second)
        } else {
            manifest_key(&test.blobs, &second)
        };
        delete(&test, &first);
        break_it(&test, &key);
        let before = objects(&test);

        for dry_run in [true, false] {
            let options = CollectOptions {
                dry_run,
                ..CollectOptions::default()
            };
            let refused = collect_with(&test, &Running::default(), &options);

            assert_eq!(refused.end, CollectionEnd::Refused);
            assert_eq!((refused.condemned, refused.deleted), (0, 0));
            assert_eq!(refused.unreadable.first().unwrap().object, key.as_str());
        }
        assert!(objects(&test) == before);
        assert_eq!(test.catalog.distrusted().unwrap().packs, []);
    }
}

#[test]
fn what_was_condemned_is_kept_again_when_something_cannot_be_read_any_more() {
    let (test, [first, second], _) = two_copies(0);
    delete(&test, &first);
    let running = Running(Mutex::new(vec![ManifestId::random()]));
    collect_with(&test, &running, &CollectOptions::default());
    assert_eq!(test.catalog.distrusted().unwrap().packs.len(), 1);
    let name = format!("/{}", second.manifest_id());
    let key = test
        .blobs
        .keys()
        .into_iter()
        .find(|key| key.as_str().ends_with(&name))
        .unwrap();
    test.blobs.overwrite(&key, b"no manifest".to_vec());

    let refused = collect(&test);

    assert_eq!((refused.end, refused.released), (CollectionEnd::Refused, 1));
    assert_eq!(test.catalog.distrusted().unwrap().packs, []);
}

#[test]
fn a_chunk_that_cannot_be_copied_keeps_its_pack_and_is_set_aside() {
    let (test, [first, second], content) = two_copies(5);
    let packs = test.catalog.list(None, 10).unwrap();
    let record = u32::try_from(64 + 2 * (CHUNK + 88)).unwrap();
    let chunk_of = |pack| test.chunk_at(pack, record);
    delete(&test, &first);
    // The third chunk is in use in one of the packs only; in the other the third is another one.
    // Looked for with another catalog, so that the collection is the first to meet it.
    let other = open(Arc::new(test.blobs.clone()), &test.index, &MemoryCatalog::default()).unwrap();
    let looker = other.domain(second.domain_id()).unwrap();
    let looker = looker.open_manifest(second.manifest_id()).unwrap();
    let of_first = packs.iter().find(|pack| {
        let key = test.pack_key(pack.id);
        let whole = test.blobs.get(&key).unwrap();
        let mut bytes = whole.clone();
        bytes[record as usize + 200] ^= 1;
        test.blobs.overwrite(&key, bytes);
        let mut third = vec![0; CHUNK];
        let is_it = looker
            .read_at(2 * CHUNK as u64, &mut third, &mut ReadBuffers::default())
            .is_err();
        if !is_it {
            test.blobs.overwrite(&key, whole);
        }
        is_it
    });
    let of_first = of_first.unwrap().id;

    let done = collect(&test);

    assert_eq!((done.end, done.released, done.deleted), (CollectionEnd::Done, 1, 0));
    assert_eq!((done.damaged.len(), done.damaged[0].chunk), (1, chunk_of(of_first)));
    assert_eq!(test.catalog.distrusted().unwrap().chunks, done.damaged);
    let again = collect(&test);
    assert_eq!(
        (again.condemned, again.damaged.len()),
        (0, 0),
        "it is not tried again and again"
    );
    let healed = copy_with(&test.domain, &content, Some(&second), 1, 0);
    assert_eq!(healed.new_chunks, 1);
    assert_eq!(read_all(&second).unwrap(), content);
    assert_eq!(collect(&test).deleted, 1);
    assert_eq!(read_all(&second).unwrap(), content);
    assert_eq!(test.catalog.distrusted().unwrap().chunks, []);
}

#[test]
fn a_stopped_run_is_finished_by_the_next() {
    for answers in 0.. {
        let (test, [first, second], content) = two_copies(5);
        let third = copy(&test.domain, &noise(3, 60 * CHUNK), None);
        delete(&test, &first);
        delete(&test, &third);
        let asked = Cell::new(0);
        let stop = || {
            asked.set(asked.get() + 1);
            asked.get() > answers
        };

        let first_run = test
            .vault
            .collect(
                &Running::default(),
                &Promises::default(),
                &CollectOptions::default(),
                &mut |_| ControlFlow::Break(()),
                &stop,
            )
            .unwrap();

        if first_run.end == CollectionEnd::Done {
            assert!(answers > 5, "{answers}");
            break;
        }
        assert_eq!(first_run.end, CollectionEnd::Stopped);
        assert_eq!(read_all(&second).unwrap(), content);
        let next = collect(&test);
        assert_eq!((next.end, first_run.deleted + next.deleted), (CollectionEnd::Done, 2));
        assert_eq!(totals(&test).dead_bytes, 0);
        assert_eq!(read_all(&second).unwrap(), content);
    }
}

#[test]
fn usage_tells_what_each_copy_takes_alone_and_all_take_together() {
    let test = TestVault::new();
    let record = (CHUNK + 88) as u64;
    let page = |chunks: usize| (88 + 4 + chunks.div_ceil(8) + 32 * chunks) as u64;
    // Five chunks of its own, five shared, zeros between, and a chunk that it has twice.
    let mut first = noise(1, 10 * CHUNK);
    first.extend(vec![0; PAGE]);
    first.extend(noise(7, CHUNK).repeat(2));
    let second = noise(1, 5 * CHUNK);
    let first = copy(&test.domain, &first, None);
    let second = copy(&test.domain, &second, None);
    let manifest = |copy: &StoredCopy| {
        let name = format!("/{}", copy.manifest_id());
        let key = test
            .blobs
            .keys()
            .into_iter()
            .find(|key| key.as_str().ends_with(&name))
            .unwrap();
        test.blobs.get(&key).unwrap().len() as u64
    };

    let usage = test.domain.usage(&|| false).unwrap();

    let of = |copy: &StoredCopy| {
        *usage
            .copies
            .iter()
            .find(|it| it.manifest == copy.manifest_id())
            .unwrap()
    };
    // Page 1 has its data after the first ten chunks of zeros: 244 of them are zero, and the two hashes are one.
    let second_page = of(&first).exclusive_bytes - manifest(&first) - 6 * record - (88 + 4 + 32 + 32 * 10);
    assert!((88..88 + 4 + 32 + 64).contains(&second_page), "{second_page}");
    assert_eq!(of(&second).exclusive_bytes, manifest(&second) + page(5));
    assert_eq!(of(&first).referenced_bytes, 12 * CHUNK as u64);
    assert_eq!(usage.totals.copies, 2);
    assert_eq!(usage.totals.referenced_bytes, 17 * CHUNK as u64);
    assert_eq!(usage.totals.unique_bytes, 11 * CHUNK as u64);
    assert_eq!(usage.totals.unique_stored_bytes, 11 * record);
    assert_eq!(usage.totals.dead_bytes, 0);
    let objects = test
        .blobs
        .keys()
        .into_iter()
        .filter(|key| key.as_str().starts_with("packs/") || key.as_str().starts_with("manifests/"));
    let stored: u64 = objects.map(|key| test.blobs.get(&key).unwrap().len() as u64).sum();
    assert_eq!(usage.totals.stored_bytes, stored);
}

/// Where a copy is deleted while it is counted, what can't be read of it is no matter. But a page of it that could not be
/// read may be another copy's, too.
#[test]
fn a_page_that_could_not_be_read_for_a_copy_that_is_gone_is_read_again_for_the_next() {
    let blobs = LosesCopies::default();
    let (index, catalog) = (MemoryIndex::default(), MemoryCatalog::default());
    let vault = open(Arc::new(blobs.clone()), &index, &catalog).unwrap();
    let domain = vault.domain(DomainId::random()).unwrap();
    let content = noise(1, PAGE);
    let mut copies = [(); 3].map(|()| copy(&domain, &content, None));
    copies.sort_by_key(StoredCopy::manifest_id);
    let [.., last] = &copies;
    // One copy goes during each of the two counts of a collection.
    *blobs.going.lock().unwrap() = copies[..2]
        .iter()
        .map(|copy| manifest_key(&blobs.inner, copy))
        .collect();

    let impatient = &mut |_| ControlFlow::Break(());
    let options = CollectOptions::default();
    vault
        .collect(&Running::default(), &Promises::default(), &options, impatient, &|| {
            false
        })
        .unwrap();

    assert!(read_all(last).unwrap() == content);
}

/// A store that fails to read a full index page as often as there are copies to go, each time as one of them is deleted.
#[derive(Clone, Default)]
struct LosesCopies {
    inner: MemoryBlobs,
    going: Arc<Mutex<VecDeque<BlobKey>>>,
}

impl BlobStore for LosesCopies {
    fn create(&self, key: &BlobKey) -> Result<Box<dyn BlobWriter>, BlobError> {
        self.inner.create(key)
    }

    fn put(&self, key: &BlobKey, bytes: &[u8]) -> Result<(), BlobError> {
        self.inner.put(key, bytes)
    }

    fn read(&self, key: &BlobKey, offset: u64, buffer: &mut [u8]) -> Result<(), BlobError> {
        // The hashes of 256 chunks, and what a record adds.
        if (8 << 10..9 << 10).contains(&buffer.len())
            && let Some(copy) = self.going.lock().unwrap().pop_front()
        {
            self.inner.delete(&copy)?;
            return Err(BlobError::Io {
                path: key.to_string(),
                source: std::io::Error::other("too many open files"),
            });
        }
        self.inner.read(key, offset, buffer)
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

pub(crate) fn manifest_key(blobs: &MemoryBlobs, copy: &StoredCopy) -> BlobKey {
    let name = format!("/{}", copy.manifest_id());
    let mut keys = blobs.keys().into_iter();
    keys.find(|key| key.as_str().ends_with(&name)).unwrap()
}
