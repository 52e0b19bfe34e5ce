//! Ports that fail as told, all by one plan.

use super::Fault;
use super::memory::{MemoryBlobs, MemoryCatalog, MemoryIndex};
use crate::blob::{BlobEntry, BlobError, BlobKey, BlobStore, BlobWriter};
use crate::catalog::{CatalogError, Distrusted, PackCatalog, PackSummary, SetAside};
use crate::hash::ChunkId;
use crate::id::{CollectionId, PackId};
use crate::index::{ChunkIndex, IndexEntry, IndexError, Location};
use std::io;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// When the ports fail that share it: at one call of any of them, reads included. Clones share the plan.
#[derive(Clone, Debug, Default)]
pub struct Mishaps(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    calls: u64,
    plan: Option<(u64, Fault)>,
    crashed: bool,
}

/// A port that fails as told.
#[derive(Clone, Debug)]
pub struct Prone<P> {
    port: P,
    mishaps: Mishaps,
}

impl Mishaps {
    /// Lets the `nth` call from now on (0: the next) go wrong.
    pub fn plan(&self, nth: u64, fault: Fault) {
        let mut state = self.state();
        state.plan = Some((state.calls + nth, fault));
    }

    /// How many calls there were so far.
    pub fn calls(&self) -> u64 {
        self.state().calls
    }

    /// Whether a planned crash has happened. Nothing works then.
    pub fn has_crashed(&self) -> bool {
        self.state().crashed
    }

    /// Ends a crash, and forgets the plan.
    pub fn restart(&self) {
        let mut state = self.state();
        (state.crashed, state.plan) = (false, None);
    }

    /// A port that fails by this plan.
    pub fn prone<P>(&self, port: P) -> Prone<P> {
        Prone {
            port,
            mishaps: self.clone(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn call<T, E>(&self, failure: impl Fn() -> E, call: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
        let mut state = self.state();
        if state.crashed {
            return Err(failure());
        }
        let planned = state.plan.filter(|(at, _)| *at == state.calls).map(|(_, fault)| fault);
        state.calls += 1;
        state.crashed = matches!(planned, Some(Fault::CrashBefore | Fault::CrashAfter));
        drop(state);
        match planned {
            None => call(),
            Some(Fault::FailBefore | Fault::CrashBefore) => Err(failure()),
            Some(Fault::FailAfter | Fault::CrashAfter) => call().and(Err(failure())),
        }
    }
}

fn broken(key: &str) -> BlobError {
    BlobError::Io {
        path: key.to_owned(),
        source: io::Error::other("a planned failure"),
    }
}

fn no_catalog() -> CatalogError {
    CatalogError("a planned failure".into())
}

fn no_index() -> IndexError {
    IndexError::Unavailable("a planned failure".into())
}

impl BlobStore for Prone<MemoryBlobs> {
    fn create(&self, key: &BlobKey) -> Result<Box<dyn BlobWriter>, BlobError> {
        let writer = self.mishaps.call(|| broken(key.as_str()), || self.port.create(key))?;
        Ok(Box::new(ProneWriter {
            writer,
            key: key.clone(),
            mishaps: self.mishaps.clone(),
        }))
    }

    fn put(&self, key: &BlobKey, bytes: &[u8]) -> Result<(), BlobError> {
        self.mishaps.call(|| broken(key.as_str()), || self.port.put(key, bytes))
    }

    fn read(&self, key: &BlobKey, offset: u64, buffer: &mut [u8]) -> Result<(), BlobError> {
        self.mishaps
            .call(|| broken(key.as_str()), || self.port.read(key, offset, buffer))
    }

    fn size(&self, key: &BlobKey) -> Result<u64, BlobError> {
        self.mishaps.call(|| broken(key.as_str()), || self.port.size(key))
    }

    fn list(&self, prefix: &str, visit: &mut dyn FnMut(BlobEntry) -> ControlFlow<()>) -> Result<(), BlobError> {
        self.mishaps.call(|| broken(prefix), || self.port.list(prefix, visit))
    }

    fn delete(&self, key: &BlobKey) -> Result<(), BlobError> {
        self.mishaps.call(|| broken(key.as_str()), || self.port.delete(key))
    }
}

struct ProneWriter {
    writer: Box<dyn BlobWriter>,
    key: BlobKey,
    mishaps: Mishaps,
}

impl BlobWriter for ProneWriter {
    fn write(&mut self, bytes: &[u8]) -> Result<(), BlobError> {
        let writer = &mut self.writer;
        self.mishaps.call(|| broken(self.key.as_str()), || writer.write(bytes))
    }

    fn commit(self: Box<Self>) -> Result<(), BlobError> {
        let Self { writer, key, mishaps } = *self;
        mishaps.call(|| broken(key.as_str()), || writer.commit())
    }
}

impl PackCatalog for Prone<MemoryCatalog> {
    fn record(&self, pack: &PackSummary) -> Result<(), CatalogError> {
        self.mishaps.call(no_catalog, || self.port.record(pack))
    }

    fn list(&self, after: Option<PackId>, limit: usize) -> Result<Vec<PackSummary>, CatalogError> {
        self.mishaps.call(no_catalog, || self.port.list(after, limit))
    }

    fn take_over(&self, collection: CollectionId) -> Result<Vec<PackSummary>, CatalogError> {
        self.mishaps.call(no_catalog, || self.port.take_over(collection))
    }

    fn condemn(&self, collection: CollectionId, packs: &[PackId]) -> Result<(), CatalogError> {
        self.mishaps.call(no_catalog, || self.port.condemn(collection, packs))
    }

    fn release(&self, collection: CollectionId, packs: &[PackId]) -> Result<(), CatalogError> {
        self.mishaps.call(no_catalog, || self.port.release(collection, packs))
    }

    fn drop_packs(&self, collection: CollectionId, packs: &[PackId]) -> Result<Vec<PackId>, CatalogError> {
        self.mishaps
            .call(no_catalog, || self.port.drop_packs(collection, packs))
    }

    fn forget(&self, packs: &[PackId]) -> Result<(), CatalogError> {
        self.mishaps.call(no_catalog, || self.port.forget(packs))
    }

    fn set_aside(&self, chunks: &[SetAside]) -> Result<(), CatalogError> {
        self.mishaps.call(no_catalog, || self.port.set_aside(chunks))
    }

    fn distrusted(&self) -> Result<Distrusted, CatalogError> {
        self.mishaps.call(no_catalog, || self.port.distrusted())
    }
}

impl ChunkIndex for Prone<MemoryIndex> {
    fn contains(&self, id: &ChunkId) -> Result<bool, IndexError> {
        self.mishaps.call(no_index, || self.port.contains(id))
    }

    fn locate(&self, ids: &[ChunkId]) -> Result<Vec<Option<Location>>, IndexError> {
        self.mishaps.call(no_index, || self.port.locate(ids))
    }

    fn add_pack(&self, pack: PackId, entries: &[IndexEntry]) -> Result<(), IndexError> {
        self.mishaps.call(no_index, || self.port.add_pack(pack, entries))
    }

    fn packs(&self, after: Option<PackId>, limit: usize) -> Result<Vec<PackId>, IndexError> {
        self.mishaps.call(no_index, || self.port.packs(after, limit))
    }

    fn remove_pack(&self, pack: PackId, chunks: &[ChunkId]) -> Result<(), IndexError> {
        self.mishaps.call(no_index, || self.port.remove_pack(pack, chunks))
    }

    fn clear(&self) -> Result<(), IndexError> {
        self.mishaps.call(no_index, || self.port.clear())
    }

    fn flush(&self) -> Result<(), IndexError> {
        self.mishaps.call(no_index, || self.port.flush())
    }
}
