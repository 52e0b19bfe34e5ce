//! The ports in memory.

use crate::blob::{BlobEntry, BlobError, BlobKey, BlobStore, BlobWriter};
use crate::catalog::{CatalogError, Distrusted, PackCatalog, PackStanding, PackSummary, SetAside};
use crate::hash::ChunkId;
use crate::id::{CollectionId, PackId};
use crate::index::{ChunkIndex, IndexEntry, IndexError, Location};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A test that panics elsewhere shall be reported by its own panic, not by this lock.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Objects in memory. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct MemoryBlobs(pub(super) Arc<Mutex<BTreeMap<BlobKey, Vec<u8>>>>);

impl MemoryBlobs {
    /// The names of all objects.
    pub fn keys(&self) -> Vec<BlobKey> {
        lock(&self.0).keys().cloned().collect()
    }

    /// An object's bytes.
    pub fn get(&self, key: &BlobKey) -> Option<Vec<u8>> {
        lock(&self.0).get(key).cloned()
    }

    /// Puts bytes under a name, whatever lies there: the way a broken disk does.
    pub fn overwrite(&self, key: &BlobKey, bytes: Vec<u8>) {
        lock(&self.0).insert(key.clone(), bytes);
    }

    fn insert(&self, key: &BlobKey, bytes: Vec<u8>) -> Result<(), BlobError> {
        let mut objects = lock(&self.0);
        if objects.contains_key(key) {
            return Err(BlobError::AlreadyExists { key: key.clone() });
        }
        objects.insert(key.clone(), bytes);
        Ok(())
    }
}

impl BlobStore for MemoryBlobs {
    fn create(&self, key: &BlobKey) -> Result<Box<dyn BlobWriter>, BlobError> {
        Ok(Box::new(MemoryWriter {
            blobs: self.clone(),
            key: key.clone(),
            bytes: Vec::new(),
        }))
    }

    fn put(&self, key: &BlobKey, bytes: &[u8]) -> Result<(), BlobError> {
        self.insert(key, bytes.to_vec())
    }

    fn read(&self, key: &BlobKey, offset: u64, buffer: &mut [u8]) -> Result<(), BlobError> {
        let objects = lock(&self.0);
        let object = objects
            .get(key)
            .ok_or_else(|| BlobError::NotFound { key: key.clone() })?;
        let bytes = usize::try_from(offset)
            .ok()
            .and_then(|start| object.get(start..start.checked_add(buffer.len())?))
            .ok_or_else(|| BlobError::Short { key: key.clone() })?;
        buffer.copy_from_slice(bytes);
        Ok(())
    }

    fn size(&self, key: &BlobKey) -> Result<u64, BlobError> {
        let objects = lock(&self.0);
        let object = objects
            .get(key)
            .ok_or_else(|| BlobError::NotFound { key: key.clone() })?;
        Ok(object.len() as u64)
    }

    fn list(&self, prefix: &str, visit: &mut dyn FnMut(BlobEntry) -> ControlFlow<()>) -> Result<(), BlobError> {
        // Copied first, so that `visit` may use the store.
        let entries: Vec<BlobEntry> = lock(&self.0)
            .iter()
            .filter(|(key, _)| key.as_str().starts_with(prefix))
            .map(|(key, bytes)| BlobEntry {
                key: key.clone(),
                size_bytes: bytes.len() as u64,
            })
            .collect();
        let _stopped_early = entries.into_iter().try_for_each(visit);
        Ok(())
    }

    fn delete(&self, key: &BlobKey) -> Result<(), BlobError> {
        lock(&self.0).remove(key);
        Ok(())
    }
}

struct MemoryWriter {
    blobs: MemoryBlobs,
    key: BlobKey,
    bytes: Vec<u8>,
}

impl BlobWriter for MemoryWriter {
    fn write(&mut self, bytes: &[u8]) -> Result<(), BlobError> {
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    fn commit(self: Box<Self>) -> Result<(), BlobError> {
        self.blobs.insert(&self.key, self.bytes)
    }
}

/// The list of packs in memory. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct MemoryCatalog(Arc<Mutex<CatalogState>>);

#[derive(Debug, Default)]
struct CatalogState {
    /// Packs, and whose they are when they are condemned or dropped.
    packs: BTreeMap<PackId, (PackSummary, Option<CollectionId>)>,
    damaged: BTreeSet<SetAside>,
}

impl MemoryCatalog {
    /// Loses a pack's row, as a database does that was restored from an older backup.
    pub fn lose(&self, pack: PackId) {
        lock(&self.0).packs.remove(&pack);
    }
}

impl CatalogState {
    /// Gives those of the packs another standing that are condemned and the collection's.
    fn settle(&mut self, collection: CollectionId, packs: &[PackId], standing: PackStanding) -> Vec<PackId> {
        let mut settled = Vec::new();
        for id in packs {
            if let Some((pack, owner)) = self.packs.get_mut(id)
                && pack.standing == PackStanding::Condemned
                && *owner == Some(collection)
            {
                pack.standing = standing;
                *owner = (standing != PackStanding::Kept).then_some(collection);
                settled.push(*id);
            }
        }
        settled
    }
}

impl PackCatalog for MemoryCatalog {
    fn record(&self, pack: &PackSummary) -> Result<(), CatalogError> {
        let pack = PackSummary {
            standing: PackStanding::Kept,
            ..*pack
        };
        lock(&self.0).packs.entry(pack.id).or_insert((pack, None));
        Ok(())
    }

    fn list(&self, after: Option<PackId>, limit: usize) -> Result<Vec<PackSummary>, CatalogError> {
        let state = lock(&self.0);
        let packs = state.packs.values().map(|(pack, _)| *pack);
        Ok(packs
            .filter(|pack| after.is_none_or(|after| pack.id > after))
            .take(limit)
            .collect())
    }

    fn take_over(&self, collection: CollectionId) -> Result<Vec<PackSummary>, CatalogError> {
        let mut state = lock(&self.0);
        let going = state
            .packs
            .values_mut()
            .filter(|(pack, _)| pack.standing != PackStanding::Kept);
        Ok(going
            .map(|(pack, owner)| {
                *owner = Some(collection);
                *pack
            })
            .collect())
    }

    fn condemn(&self, collection: CollectionId, packs: &[PackId]) -> Result<(), CatalogError> {
        let mut state = lock(&self.0);
        for id in packs {
            if let Some((pack, owner)) = state.packs.get_mut(id)
                && pack.standing == PackStanding::Kept
            {
                pack.standing = PackStanding::Condemned;
                *owner = Some(collection);
            }
        }
        Ok(())
    }

    fn release(&self, collection: CollectionId, packs: &[PackId]) -> Result<(), CatalogError> {
        lock(&self.0).settle(collection, packs, PackStanding::Kept);
        Ok(())
    }

    fn drop_packs(&self, collection: CollectionId, packs: &[PackId]) -> Result<Vec<PackId>, CatalogError> {
        Ok(lock(&self.0).settle(collection, packs, PackStanding::Dropped))
    }

    fn forget(&self, packs: &[PackId]) -> Result<(), CatalogError> {
        let mut state = lock(&self.0);
        for id in packs {
            if state
                .packs
                .get(id)
                .is_some_and(|(pack, _)| pack.standing == PackStanding::Dropped)
            {
                state.packs.remove(id);
                state.damaged.retain(|chunk| chunk.pack != *id);
            }
        }
        Ok(())
    }

    fn set_aside(&self, chunks: &[SetAside]) -> Result<(), CatalogError> {
        let mut state = lock(&self.0);
        for chunk in chunks {
            if state.packs.contains_key(&chunk.pack) {
                state.damaged.insert(*chunk);
            }
        }
        Ok(())
    }

    fn distrusted(&self) -> Result<Distrusted, CatalogError> {
        let state = lock(&self.0);
        let packs = state.packs.values().map(|(pack, _)| pack);
        Ok(Distrusted {
            packs: packs
                .filter(|pack| pack.standing != PackStanding::Kept)
                .map(|pack| pack.id)
                .collect(),
            chunks: state.damaged.iter().copied().collect(),
        })
    }
}

/// The chunk index in memory. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct MemoryIndex {
    state: Arc<Mutex<IndexState>>,
    flushed: Arc<Mutex<IndexState>>,
}

impl MemoryIndex {
    /// All chunks and index pages that it finds, in the order of their ids.
    pub fn ids(&self) -> Vec<ChunkId> {
        let mut ids: Vec<ChunkId> = lock(&self.state).chunks.keys().copied().collect();
        ids.sort_unstable();
        ids
    }

    /// Loses a chunk, or an index page, as a flipped bit in its key does.
    pub fn lose(&self, id: &ChunkId) {
        lock(&self.state).chunks.remove(id);
    }

    /// Forgets what was not flushed, as a crash does.
    pub fn crash(&self) {
        let flushed = lock(&self.flushed).clone();
        *lock(&self.state) = flushed;
    }
}

#[derive(Clone, Debug, Default)]
struct IndexState {
    chunks: HashMap<ChunkId, Location>,
    packs: BTreeSet<PackId>,
}

impl ChunkIndex for MemoryIndex {
    fn contains(&self, id: &ChunkId) -> Result<bool, IndexError> {
        Ok(lock(&self.state).chunks.contains_key(id))
    }

    fn locate(&self, ids: &[ChunkId]) -> Result<Vec<Option<Location>>, IndexError> {
        let state = lock(&self.state);
        Ok(ids.iter().map(|id| state.chunks.get(id).copied()).collect())
    }

    fn add_pack(&self, pack: PackId, entries: &[IndexEntry]) -> Result<(), IndexError> {
        let mut state = lock(&self.state);
        state.packs.insert(pack);
        for entry in entries {
            state.chunks.insert(
                entry.id,
                Location {
                    pack,
                    offset: entry.offset,
                    length: entry.length,
                },
            );
        }
        Ok(())
    }

    fn packs(&self, after: Option<PackId>, limit: usize) -> Result<Vec<PackId>, IndexError> {
        let state = lock(&self.state);
        Ok(state
            .packs
            .iter()
            .filter(|pack| after.is_none_or(|after| **pack > after))
            .take(limit)
            .copied()
            .collect())
    }

    fn remove_pack(&self, pack: PackId, _chunks: &[ChunkId]) -> Result<(), IndexError> {
        let mut state = lock(&self.state);
        state.packs.remove(&pack);
        state.chunks.retain(|_, location| location.pack != pack);
        Ok(())
    }

    fn clear(&self) -> Result<(), IndexError> {
        *lock(&self.state) = IndexState::default();
        self.flush()
    }

    fn flush(&self) -> Result<(), IndexError> {
        let state = lock(&self.state).clone();
        *lock(&self.flushed) = state;
        Ok(())
    }
}
