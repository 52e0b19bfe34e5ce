//! Ports that fail as told, all by one plan.

use super::faulty::{Fault, Schedule};
use super::memory::{MemoryBlobs, MemoryCatalog, MemoryIndex};
use super::tear::Tear;
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
    schedule: Schedule,
    crashed: bool,
    torn: Vec<BlobKey>,
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
        self.state().schedule.plan(nth, fault);
    }

    /// How many calls there were so far.
    pub fn calls(&self) -> u64 {
        self.state().schedule.operations
    }

    /// Of these, how many gave an object its name.
    pub fn names_given(&self) -> u64 {
        self.state().schedule.names_given
    }

    /// Whether a planned crash has happened. Nothing works then.
    pub fn has_crashed(&self) -> bool {
        self.state().crashed
    }

    /// The objects of which a planned failure left a part, since this was asked last.
    pub fn take_torn(&self) -> Vec<BlobKey> {
        std::mem::take(&mut self.state().torn)
    }

    /// Ends a crash, and forgets the plan.
    pub fn restart(&self) {
        let mut state = self.state();
        state.crashed = false;
        state.schedule.forget_plan();
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
        match self.due(false) {
            Due::Nothing => call(),
            Due::Before => Err(failure()),
            Due::After | Due::Torn(_) => call().and(Err(failure())),
        }
    }

    /// A call that gives an object its name.
    fn publish(
        &self,
        blobs: &MemoryBlobs,
        key: &BlobKey,
        call: impl FnOnce() -> Result<(), BlobError>,
    ) -> Result<(), BlobError> {
        match self.due(true) {
            Due::Nothing => call(),
            Due::Before => Err(broken(key.as_str())),
            Due::After => call().and(Err(broken(key.as_str()))),
            Due::Torn(tear) => {
                call()?;
                blobs.tear(key, tear);
                self.state().torn.push(key.clone());
                Err(broken(key.as_str()))
            }
        }
    }

    /// How the call goes wrong that is made now.
    fn due(&self, gives_a_name: bool) -> Due {
        let mut state = self.state();
        if state.crashed {
            return Due::Before;
        }
        let Some(fault) = state.schedule.next(gives_a_name) else {
            return Due::Nothing;
        };
        state.crashed = fault.is_crash();
        match fault {
            Fault::FailBefore | Fault::CrashBefore => Due::Before,
            Fault::FailAfter | Fault::CrashAfter => Due::After,
            Fault::FailTorn(tear) | Fault::CrashTorn(tear) => Due::Torn(tear),
        }
    }
}

/// How a call goes wrong.
enum Due {
    Nothing,
    /// It is not done.
    Before,
    /// It is done, and reported as failed.
    After,
    /// A part of it is done.
    Torn(Tear),
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
            blobs: self.port.clone(),
            mishaps: self.mishaps.clone(),
        }))
    }

    fn put(&self, key: &BlobKey, bytes: &[u8]) -> Result<(), BlobError> {
        self.mishaps.publish(&self.port, key, || self.port.put(key, bytes))
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
    blobs: MemoryBlobs,
    mishaps: Mishaps,
}

impl BlobWriter for ProneWriter {
    fn write(&mut self, bytes: &[u8]) -> Result<(), BlobError> {
        let writer = &mut self.writer;
        self.mishaps.call(|| broken(self.key.as_str()), || writer.write(bytes))
    }

    fn commit(self: Box<Self>) -> Result<(), BlobError> {
        let Self {
            writer,
            key,
            blobs,
            mishaps,
        } = *self;
        mishaps.publish(&blobs, &key, || writer.commit())
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
