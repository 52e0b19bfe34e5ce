//! Every port of a task, behind one plan: the n-th call goes wrong, whichever port it is.

use std::{
    io,
    ops::ControlFlow,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use snapshot_domain::{
    Error,
    ports::{CheckRepository, PackRepository, SnapshotRepository, TaskQueue, VolumeRepository},
    testing::{
        InMemoryStore, MockCheckRepository, MockPackRepository, MockSnapshotRepository, MockTaskQueue,
        MockVolumeRepository,
    },
};
use snapshot_vault::{
    BlobEntry, BlobError, BlobKey, BlobStore, BlobWriter, ChunkId, ChunkIndex, IndexEntry, IndexError, Location,
    PackId,
    testing::{MemoryBlobs, MemoryIndex},
};

/// What happens at the chosen call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It fails, and nothing was done.
    Before,
    /// It is done, and its answer gets lost.
    After,
    /// Its worker is given up on, and another one does the whole task before this call goes on.
    Overtaken,
}

type Overtaker = Box<dyn FnOnce() + Send>;

/// Which call it is.
#[derive(Clone, Copy)]
enum When {
    /// The one after so many others.
    After(u64),
    /// The first one of this name.
    Named(&'static str),
}

/// Which call goes wrong, and how. Clones share the plan.
#[derive(Clone, Default)]
pub(crate) struct Plan(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    /// Which call is chosen, and what happens there.
    next: Option<(When, Fault)>,
    overtaker: Option<Overtaker>,
    /// Where it happened.
    hit: Option<&'static str>,
    /// Whether a worker has found nothing to do since then.
    idle: bool,
    /// Which writes of rows were refused, while none are taken.
    refused: Option<Vec<&'static str>>,
}

/// The calls that change rows, but for those that no task makes while it is worked on.
const WRITES: [&str; 8] = [
    "finish a copy",
    "finish a restore",
    "renew",
    "put back",
    "finish a task",
    "record a pack",
    "set chunks aside",
    "record a check",
];

impl Plan {
    /// Lets the `nth` call from now on (0: the next) go wrong.
    pub(crate) fn arm(&self, nth: u64, fault: Fault, overtaker: Overtaker) {
        let mut state = self.lock();
        *state = State {
            next: Some((When::After(nth), fault)),
            overtaker: Some(overtaker),
            ..State::default()
        };
    }

    /// Lets the first call of this name fail.
    pub(crate) fn arm_named(&self, name: &'static str) {
        self.lock().next = Some((When::Named(name), Fault::Before));
    }

    /// At which call something went wrong.
    pub(crate) fn hit(&self) -> Option<&'static str> {
        self.lock().hit
    }

    /// Lets all writes of rows fail from now on: the way a database does whose disk is full.
    pub(crate) fn refuse_writes(&self) {
        self.lock().refused = Some(Vec::new());
    }

    /// How many writes of this name were refused.
    pub(crate) fn refused(&self, name: &str) -> usize {
        let state = self.lock();
        state.refused.iter().flatten().filter(|it| **it == name).count()
    }

    /// Lets writes succeed again.
    pub(crate) fn take_writes(&self) {
        self.lock().refused = None;
    }

    /// Lets nothing go wrong any more. Returns at which call something had.
    pub(crate) fn disarm(&self) -> Option<&'static str> {
        let mut state = self.lock();
        state.next = None;
        state.hit
    }

    /// Whether something went wrong, and the worker does nothing about it any more.
    pub(crate) fn is_over(&self) -> bool {
        self.lock().idle
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A call of a port.
    fn call<T, E>(
        &self,
        name: &'static str,
        broken: impl FnOnce() -> E,
        call: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, E> {
        let mut state = self.lock();
        if let Some(refused) = state.refused.as_mut().filter(|_| WRITES.contains(&name)) {
            refused.push(name);
            return Err(broken());
        }
        let fault = match &mut state.next {
            Some((When::After(0), fault)) => Some(*fault),
            Some((When::Named(chosen), fault)) if *chosen == name => Some(*fault),
            Some((When::After(left), _)) => {
                *left -= 1;
                None
            }
            Some((When::Named(_), _)) | None => None,
        };
        let Some(fault) = fault else {
            drop(state);
            return call();
        };
        state.next = None;
        state.hit = Some(name);
        let overtaker = state.overtaker.take();
        drop(state);
        match fault {
            Fault::Before => Err(broken()),
            Fault::After => call().and(Err(broken())),
            Fault::Overtaken => {
                if let Some(overtake) = overtaker {
                    overtake();
                }
                call()
            }
        }
    }

    fn rows<T>(
        &self,
        name: &'static str,
        call: impl FnOnce() -> snapshot_domain::Result<T>,
    ) -> snapshot_domain::Result<T> {
        self.call(name, || Error::unavailable("a planned failure"), call)
    }

    fn blobs<T>(
        &self,
        name: &'static str,
        key: &str,
        call: impl FnOnce() -> Result<T, BlobError>,
    ) -> Result<T, BlobError> {
        let broken = || BlobError::Io {
            path: key.to_owned(),
            source: io::Error::other("a planned failure"),
        };
        self.call(name, broken, call)
    }

    fn index<T>(&self, name: &'static str, call: impl FnOnce() -> Result<T, IndexError>) -> Result<T, IndexError> {
        self.call(name, || IndexError::Unavailable("a planned failure".into()), call)
    }

    /// Notes that a worker looked for work.
    fn note_claim(&self, found_any: bool) {
        let mut state = self.lock();
        state.idle |= state.hit.is_some() && !found_any;
    }
}

/// The objects of the vault.
#[derive(Clone)]
pub(crate) struct Blobs(pub(crate) MemoryBlobs, pub(crate) Plan);

struct Writer {
    inner: Box<dyn BlobWriter>,
    key: BlobKey,
    plan: Plan,
}

impl BlobStore for Blobs {
    fn create(&self, key: &BlobKey) -> Result<Box<dyn BlobWriter>, BlobError> {
        let inner = self.1.blobs("create an object", key.as_str(), || self.0.create(key))?;
        Ok(Box::new(Writer {
            inner,
            key: key.clone(),
            plan: self.1.clone(),
        }))
    }

    fn put(&self, key: &BlobKey, bytes: &[u8]) -> Result<(), BlobError> {
        self.1.blobs("put an object", key.as_str(), || self.0.put(key, bytes))
    }

    fn read(&self, key: &BlobKey, offset: u64, buffer: &mut [u8]) -> Result<(), BlobError> {
        let read = || self.0.read(key, offset, buffer);
        self.1.blobs("read an object", key.as_str(), read)
    }

    fn size(&self, key: &BlobKey) -> Result<u64, BlobError> {
        self.1
            .blobs("ask for an object's size", key.as_str(), || self.0.size(key))
    }

    fn list(&self, prefix: &str, visit: &mut dyn FnMut(BlobEntry) -> ControlFlow<()>) -> Result<(), BlobError> {
        self.1.blobs("list objects", prefix, || self.0.list(prefix, visit))
    }

    fn delete(&self, key: &BlobKey) -> Result<(), BlobError> {
        self.1.blobs("delete an object", key.as_str(), || self.0.delete(key))
    }
}

impl BlobWriter for Writer {
    fn write(&mut self, bytes: &[u8]) -> Result<(), BlobError> {
        let inner = &mut self.inner;
        self.plan.blobs("write", self.key.as_str(), || inner.write(bytes))
    }

    fn commit(self: Box<Self>) -> Result<(), BlobError> {
        let Self { inner, key, plan } = *self;
        plan.blobs("commit an object", key.as_str(), || inner.commit())
    }
}

/// The index of chunks.
#[derive(Clone)]
pub(crate) struct Index(pub(crate) MemoryIndex, pub(crate) Plan);

impl ChunkIndex for Index {
    fn contains(&self, id: &ChunkId) -> Result<bool, IndexError> {
        self.1.index("ask the index", || self.0.contains(id))
    }

    fn locate(&self, ids: &[ChunkId]) -> Result<Vec<Option<Location>>, IndexError> {
        self.1.index("locate", || self.0.locate(ids))
    }

    fn add_pack(&self, pack: PackId, entries: &[IndexEntry]) -> Result<(), IndexError> {
        self.1.index("index a pack", || self.0.add_pack(pack, entries))
    }

    fn packs(&self, after: Option<PackId>, limit: usize) -> Result<Vec<PackId>, IndexError> {
        self.1.index("list the index", || self.0.packs(after, limit))
    }

    fn remove_pack(&self, pack: PackId, chunks: &[ChunkId]) -> Result<(), IndexError> {
        self.1.index("forget a pack", || self.0.remove_pack(pack, chunks))
    }

    fn clear(&self) -> Result<(), IndexError> {
        self.1.index("clear the index", || self.0.clear())
    }

    fn flush(&self) -> Result<(), IndexError> {
        self.1.index("flush the index", || self.0.flush())
    }
}

/// The rows, as far as tasks need them.
pub(crate) struct Rows {
    pub(crate) snapshots: Arc<dyn SnapshotRepository>,
    pub(crate) volumes: Arc<dyn VolumeRepository>,
    pub(crate) tasks: Arc<dyn TaskQueue>,
    pub(crate) packs: Arc<dyn PackRepository>,
    pub(crate) checks: Arc<dyn CheckRepository>,
}

impl Rows {
    pub(crate) fn new(store: &InMemoryStore, plan: &Plan) -> Self {
        Self {
            snapshots: Arc::new(snapshots(store.clone(), plan)),
            volumes: Arc::new(volumes(store.clone(), plan)),
            tasks: Arc::new(tasks(store.clone(), plan)),
            packs: Arc::new(packs(store.clone(), plan)),
            checks: Arc::new(checks(store.clone(), plan)),
        }
    }
}

fn snapshots(store: InMemoryStore, plan: &Plan) -> MockSnapshotRepository {
    let mut mock = MockSnapshotRepository::new();
    let (rows, p) = (store.clone(), plan.clone());
    mock.expect_get()
        .returning(move |id| p.rows("get a snapshot", || SnapshotRepository::get(&rows, id)));
    let (rows, p) = (store.clone(), plan.clone());
    mock.expect_latest_available()
        .returning(move |volume, domain| p.rows("find the latest snapshot", || rows.latest_available(volume, domain)));
    let (rows, p) = (store, plan.clone());
    mock.expect_finish_capture()
        .returning(move |lease, snapshot, outcome, now| {
            p.rows("finish a copy", || rows.finish_capture(lease, snapshot, outcome, now))
        });
    mock
}

fn volumes(store: InMemoryStore, plan: &Plan) -> MockVolumeRepository {
    let mut mock = MockVolumeRepository::new();
    let (rows, p) = (store.clone(), plan.clone());
    mock.expect_get()
        .returning(move |id| p.rows("get a volume", || VolumeRepository::get(&rows, id)));
    let (rows, p) = (store, plan.clone());
    mock.expect_finish_restore()
        .returning(move |lease, volume, outcome, now| {
            p.rows("finish a restore", || rows.finish_restore(lease, volume, outcome, now))
        });
    mock
}

fn tasks(store: InMemoryStore, plan: &Plan) -> MockTaskQueue {
    let mut mock = MockTaskQueue::new();
    let (rows, p) = (store.clone(), plan.clone());
    mock.expect_claim().returning(move |instance, now, expires_at| {
        let claimed = p.rows("claim", || rows.claim(instance, now, expires_at));
        p.note_claim(!matches!(claimed, Ok(None)));
        claimed
    });
    let (rows, p) = (store.clone(), plan.clone());
    mock.expect_renew()
        .returning(move |lease, progress, expires_at| p.rows("renew", || rows.renew(lease, progress, expires_at)));
    let (rows, p) = (store.clone(), plan.clone());
    mock.expect_put_back()
        .returning(move |lease| p.rows("put back", || rows.put_back(lease)));
    let (rows, p) = (store, plan.clone());
    mock.expect_finish()
        .returning(move |lease, outcome, now| p.rows("finish a task", || rows.finish(lease, outcome, now)));
    mock
}

fn packs(store: InMemoryStore, plan: &Plan) -> MockPackRepository {
    let mut mock = MockPackRepository::new();
    let (rows, p) = (store.clone(), plan.clone());
    mock.expect_record()
        .returning(move |pack| p.rows("record a pack", || PackRepository::record(&rows, pack)));
    let (rows, p) = (store.clone(), plan.clone());
    mock.expect_list()
        .returning(move |after, limit| p.rows("list packs", || PackRepository::list(&rows, after, limit)));
    let (rows, p) = (store.clone(), plan.clone());
    mock.expect_set_aside()
        .returning(move |chunks| p.rows("set chunks aside", || PackRepository::set_aside(&rows, chunks)));
    let (rows, p) = (store, plan.clone());
    mock.expect_distrusted()
        .returning(move || p.rows("ask what is distrusted", || PackRepository::distrusted(&rows)));
    mock
}

fn checks(store: InMemoryStore, plan: &Plan) -> MockCheckRepository {
    let mut mock = MockCheckRepository::new();
    let p = plan.clone();
    mock.expect_record_check()
        .returning(move |snapshot, check| p.rows("record a check", || store.record_check(snapshot, check)));
    mock
}
