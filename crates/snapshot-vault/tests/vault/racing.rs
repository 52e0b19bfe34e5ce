//! Two workers of a copy that come to the same thing at the same moment.

use crate::support::{PAGE, copy, master, noise, options, read_all};
use snapshot_vault::testing::{MemoryBlobs, MemoryCatalog, MemoryIndex};
use snapshot_vault::{ChunkId, ChunkIndex, DomainId, IndexEntry, IndexError, Location, ManifestId, PackId, Vault};
use std::sync::{Arc, Barrier, Mutex, OnceLock};

/// An index that answers the first question for one chunk only when it is told to.
#[derive(Clone, Default)]
struct Slow {
    inner: MemoryIndex,
    added_last: Arc<Mutex<Option<ChunkId>>>,
    held: Arc<OnceLock<ChunkId>>,
    was_held: Arc<Mutex<bool>>,
    asked: Arc<OnceLock<Barrier>>,
    go_on: Arc<OnceLock<Barrier>>,
}

impl Slow {
    fn barrier(of: &OnceLock<Barrier>) -> &Barrier {
        of.get_or_init(|| Barrier::new(2))
    }
}

impl ChunkIndex for Slow {
    fn contains(&self, id: &ChunkId) -> Result<bool, IndexError> {
        let is_first = |was_held: &mut bool| !std::mem::replace(was_held, true);
        if self.held.get() == Some(id) && is_first(&mut self.was_held.lock().unwrap()) {
            Self::barrier(&self.asked).wait();
            Self::barrier(&self.go_on).wait();
        }
        self.inner.contains(id)
    }

    fn locate(&self, ids: &[ChunkId]) -> Result<Vec<Option<Location>>, IndexError> {
        self.inner.locate(ids)
    }

    fn add_pack(&self, pack: PackId, entries: &[IndexEntry]) -> Result<(), IndexError> {
        let last = entries.iter().max_by_key(|entry| entry.offset);
        *self.added_last.lock().unwrap() = last.map(|entry| entry.id);
        self.inner.add_pack(pack, entries)
    }

    fn packs(&self, after: Option<PackId>, limit: usize) -> Result<Vec<PackId>, IndexError> {
        self.inner.packs(after, limit)
    }

    fn remove_pack(&self, pack: PackId, chunks: &[ChunkId]) -> Result<(), IndexError> {
        self.inner.remove_pack(pack, chunks)
    }

    fn clear(&self) -> Result<(), IndexError> {
        self.inner.clear()
    }

    fn flush(&self) -> Result<(), IndexError> {
        self.inner.flush()
    }
}

/// One worker comes to a page that the index knows; the other one knows from its parent that the page is damaged there.
#[test]
fn a_damaged_page_is_stored_again_also_when_another_worker_relies_on_it_just_then() {
    let (blobs, index, catalog) = (MemoryBlobs::default(), Slow::default(), MemoryCatalog::default());
    let vault = Vault::open(
        Arc::new(blobs.clone()),
        &master(),
        Arc::new(index.clone()),
        Arc::new(catalog),
        options(),
    );
    let domain = vault.unwrap().domain(DomainId::random()).unwrap();
    let page = noise(1, PAGE);
    let parent = copy(&domain, &[&page[..], &vec![0; PAGE]].concat(), None);
    // The page is stored behind its chunks.
    let id = index.added_last.lock().unwrap().unwrap();
    let place = index.locate(&[id]).unwrap()[0].unwrap();
    let name = place.pack.to_string();
    let pack = blobs.keys().into_iter().find(|key| key.as_str().ends_with(&name));
    let pack = pack.unwrap();
    let mut bytes = blobs.get(&pack).unwrap();
    bytes[usize::try_from(place.offset).unwrap() + 70] ^= 1;
    blobs.overwrite(&pack, bytes);
    index.held.set(id).unwrap();

    let twice = [&page[..], &page].concat();
    let session = domain
        .begin_copy(ManifestId::random(), twice.len() as u64, Some(&parent))
        .unwrap();
    let (mut trusting, mut knowing) = (session.worker().unwrap(), session.worker().unwrap());
    std::thread::scope(|scope| {
        scope.spawn(|| {
            trusting.begin_page(1).unwrap();
            trusting.push(&page).unwrap();
            trusting.finish_page().unwrap();
        });
        Slow::barrier(&index.asked).wait();
        knowing.begin_page(0).unwrap();
        knowing.push(&page).unwrap();
        knowing.finish_page().unwrap();
        Slow::barrier(&index.go_on).wait();
    });
    trusting.finish().unwrap();
    knowing.finish().unwrap();
    let summary = session.commit(b"").unwrap();

    assert_eq!((summary.new_chunks, summary.new_pages), (0, 1));
    let stored = domain.open_manifest(summary.manifest).unwrap();
    assert!(read_all(&stored).unwrap() == twice);
}
