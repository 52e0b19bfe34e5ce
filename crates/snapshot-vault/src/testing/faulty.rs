//! A store that fails as told.

use super::MemoryBlobs;
use super::tear::{Behind, Tear};
use crate::blob::{BlobEntry, BlobError, BlobKey, BlobStore, BlobWriter};
use std::collections::HashSet;
use std::io;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A store in memory that fails as told: at a chosen operation, for want of space, or by a crash after which nothing
/// works until [`restart`](Self::restart). What was not committed at a crash is forgotten. Clones share everything.
#[derive(Clone, Debug, Default)]
pub struct FaultyBlobs {
    /// What survives: the objects that are durable.
    pub durable: MemoryBlobs,
    state: Arc<Mutex<State>>,
}

/// What happens at the chosen operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It fails, and nothing was done.
    FailBefore,
    /// It is done, and reported as failed.
    FailAfter,
    /// The machine stops before it is done.
    CrashBefore,
    /// The machine stops when it is done, and nobody learns of it.
    CrashAfter,
    /// It is reported as failed, and a torn object lies under the name. Only operations count that give an object its name.
    FailTorn(Tear),
    /// The machine stops, and a torn object lies under the name. Only operations count that give an object its name.
    CrashTorn(Tear),
}

impl Fault {
    const WHOLE: [Self; 4] = [Self::FailBefore, Self::FailAfter, Self::CrashBefore, Self::CrashAfter];
    const TORN: [Self; 6] = [
        Self::CrashTorn(Tear::new(0, Behind::Nothing)),
        Self::CrashTorn(Tear::new(u16::MAX, Behind::Nothing)),
        Self::CrashTorn(Tear::new(0, Behind::Zeros)),
        Self::CrashTorn(Tear::new(u16::MAX / 2, Behind::Zeros)),
        Self::CrashTorn(Tear::new(u16::MAX / 2, Behind::Stale)),
        Self::FailTorn(Tear::new(u16::MAX / 2, Behind::Nothing)),
    ];

    /// Every way in which so many operations can go wrong, of which so many give an object its name.
    pub fn everywhere(operations: u64, names_given: u64) -> impl Iterator<Item = (u64, Self)> {
        let whole = (0..operations).flat_map(|nth| Self::WHOLE.map(|fault| (nth, fault)));
        whole.chain((0..names_given).flat_map(|nth| Self::TORN.map(|fault| (nth, fault))))
    }

    /// Whether it stops the machine.
    pub(super) const fn is_crash(self) -> bool {
        matches!(self, Self::CrashBefore | Self::CrashAfter | Self::CrashTorn(_))
    }
}

/// How many operations there were, and which of them goes wrong.
#[derive(Debug, Default)]
pub(super) struct Schedule {
    pub(super) operations: u64,
    /// Of these, those that give an object its name.
    pub(super) names_given: u64,
    plan: Option<(u64, Fault)>,
}

impl Schedule {
    /// Lets the `nth` operation from now on (0: the next) go wrong.
    pub(super) fn plan(&mut self, nth: u64, fault: Fault) {
        let now = match fault {
            Fault::FailTorn(_) | Fault::CrashTorn(_) => self.names_given,
            Fault::FailBefore | Fault::FailAfter | Fault::CrashBefore | Fault::CrashAfter => self.operations,
        };
        self.plan = Some((now + nth, fault));
    }

    pub(super) fn forget_plan(&mut self) {
        self.plan = None;
    }

    /// Counts an operation. How it is to go wrong.
    pub(super) fn next(&mut self, gives_a_name: bool) -> Option<Fault> {
        let (operation, name) = (self.operations, gives_a_name.then_some(self.names_given));
        self.operations += 1;
        self.names_given += u64::from(gives_a_name);
        let is_due = |(at, fault): &(u64, Fault)| match fault {
            Fault::FailTorn(_) | Fault::CrashTorn(_) => name == Some(*at),
            Fault::FailBefore | Fault::FailAfter | Fault::CrashBefore | Fault::CrashAfter => operation == *at,
        };
        self.plan.filter(is_due).map(|(_, fault)| fault)
    }
}

#[derive(Debug, Default)]
struct State {
    schedule: Schedule,
    crashed: bool,
    room_bytes: Option<u64>,
    unreadable: HashSet<BlobKey>,
}

impl FaultyBlobs {
    /// Lets the `nth` operation from now on (0: the next) go wrong.
    pub fn plan(&self, nth: u64, fault: Fault) {
        self.state().schedule.plan(nth, fault);
    }

    /// How many operations that change the store, or fail with it, were asked for so far.
    pub fn operations(&self) -> u64 {
        self.state().schedule.operations
    }

    /// Of these, how many gave an object its name.
    pub fn names_given(&self) -> u64 {
        self.state().schedule.names_given
    }

    /// Whether a planned crash has happened.
    pub fn has_crashed(&self) -> bool {
        self.state().crashed
    }

    /// Ends a crash, and forgets all plans.
    pub fn restart(&self) {
        let mut state = self.state();
        let mut schedule = std::mem::take(&mut state.schedule);
        schedule.forget_plan();
        *state = State {
            schedule,
            ..State::default()
        };
    }

    /// Leaves room for so many bytes more; `None` for no limit.
    pub fn limit_room(&self, bytes: Option<u64>) {
        self.state().room_bytes = bytes;
    }

    /// Makes every read of an object fail, until a restart: the way a disk with a bad sector does.
    pub fn make_unreadable(&self, key: &BlobKey) {
        self.state().unreadable.insert(key.clone());
    }

    /// Inverts the bits of `mask` in one byte of an object.
    ///
    /// # Panics
    ///
    /// When there is no such byte.
    pub fn flip(&self, key: &BlobKey, offset: usize, mask: u8) {
        let mut bytes = self.durable.get(key).expect("the object to damage is there");
        bytes[offset] ^= mask;
        self.durable.overwrite(key, bytes);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does an operation that changes something, unless it is the one to go wrong.
    fn change<T>(&self, key: &BlobKey, operation: impl FnOnce() -> Result<T, BlobError>) -> Result<T, BlobError> {
        self.operation(key, false, operation)
    }

    /// Does an operation that gives an object its name, unless it is the one to go wrong.
    fn publish(&self, key: &BlobKey, operation: impl FnOnce() -> Result<(), BlobError>) -> Result<(), BlobError> {
        self.operation(key, true, operation)
    }

    fn operation<T>(
        &self,
        key: &BlobKey,
        gives_a_name: bool,
        operation: impl FnOnce() -> Result<T, BlobError>,
    ) -> Result<T, BlobError> {
        let mut state = self.state();
        if state.crashed {
            return Err(broken(key));
        }
        let Some(fault) = state.schedule.next(gives_a_name) else {
            drop(state);
            return operation();
        };
        state.crashed = fault.is_crash();
        drop(state);
        match fault {
            Fault::FailBefore | Fault::CrashBefore => Err(broken(key)),
            Fault::FailAfter | Fault::CrashAfter => operation().and(Err(broken(key))),
            Fault::FailTorn(tear) | Fault::CrashTorn(tear) => {
                operation()?;
                self.durable.tear(key, tear);
                Err(broken(key))
            }
        }
    }

    fn take_room(&self, bytes: usize) -> Result<(), BlobError> {
        if let Some(room) = &mut self.state().room_bytes {
            *room = room.checked_sub(bytes as u64).ok_or_else(|| BlobError::NoSpace {
                source: io::ErrorKind::StorageFull.into(),
            })?;
        }
        Ok(())
    }

    fn check_running(&self, key: &str) -> Result<(), BlobError> {
        if self.has_crashed() {
            let source = io::Error::other("the machine has stopped");
            return Err(BlobError::Io {
                path: key.to_owned(),
                source,
            });
        }
        Ok(())
    }
}

fn broken(key: &BlobKey) -> BlobError {
    BlobError::Io {
        path: key.to_string(),
        source: io::Error::other("a planned failure"),
    }
}

impl BlobStore for FaultyBlobs {
    fn create(&self, key: &BlobKey) -> Result<Box<dyn BlobWriter>, BlobError> {
        let inner = self.change(key, || self.durable.create(key))?;
        Ok(Box::new(FaultyWriter {
            store: self.clone(),
            key: key.clone(),
            inner,
        }))
    }

    fn put(&self, key: &BlobKey, bytes: &[u8]) -> Result<(), BlobError> {
        self.take_room(bytes.len())?;
        self.publish(key, || self.durable.put(key, bytes))
    }

    fn read(&self, key: &BlobKey, offset: u64, buffer: &mut [u8]) -> Result<(), BlobError> {
        self.check_running(key.as_str())?;
        if self.state().unreadable.contains(key) {
            return Err(BlobError::Io {
                path: key.to_string(),
                source: rustix::io::Errno::IO.into(),
            });
        }
        self.durable.read(key, offset, buffer)
    }

    fn size(&self, key: &BlobKey) -> Result<u64, BlobError> {
        self.check_running(key.as_str())?;
        self.durable.size(key)
    }

    fn list(&self, prefix: &str, visit: &mut dyn FnMut(BlobEntry) -> ControlFlow<()>) -> Result<(), BlobError> {
        self.check_running(prefix)?;
        self.durable.list(prefix, visit)
    }

    fn delete(&self, key: &BlobKey) -> Result<(), BlobError> {
        self.change(key, || self.durable.delete(key))
    }
}

struct FaultyWriter {
    store: FaultyBlobs,
    key: BlobKey,
    inner: Box<dyn BlobWriter>,
}

impl BlobWriter for FaultyWriter {
    fn write(&mut self, bytes: &[u8]) -> Result<(), BlobError> {
        self.store.take_room(bytes.len())?;
        let inner = &mut self.inner;
        self.store.change(&self.key, || inner.write(bytes))
    }

    fn commit(self: Box<Self>) -> Result<(), BlobError> {
        let Self { store, key, inner } = *self;
        store.publish(&key, || inner.commit())
    }
}
