//! All repositories in memory: for tests of what calls them.

mod access;
mod audit;
mod checks;
mod maintenance;
mod packs;
mod quotas;
mod receipts;
mod sizes;
mod snapshots;
mod tasks;
mod transfers;
mod volumes;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use self::{packs::ListedPack, sizes::Measured};
use super::contract::Ports;
use crate::{
    AccountId, AuditEntry, DamagedChunk, Error, MaintenanceRun, Organization, OrganizationId, OwnQuota, PackId,
    Receipt, ReceiptId, Resource, Result, RunId, Snapshot, SnapshotId, Task, TaskId, Timestamp, TokenId, TokenRecord,
    Transfer, TransferId, Volume, VolumeId,
    ports::{
        AuditLog, CheckRepository, MaintenanceQueue, OrganizationRepository, PackRepository, QuotaRepository,
        ReceiptRepository, Slice, SnapshotRepository, SnapshotSizes, TaskQueue, TokenRepository, TransferRepository,
        VolumeRepository,
    },
};

/// Every repository and the task queue, in memory, behind one lock: each method is one transaction. It passes the
/// [contract](super::contract) that databases have to pass. Clones share what is stored.
///
/// Only one thing is not as in a database: an organization need not be stored before something of its own is.
#[derive(Clone, Debug, Default)]
pub struct InMemoryStore(Arc<Mutex<Tables>>);

#[derive(Debug, Default)]
struct Tables {
    organizations: HashMap<OrganizationId, Organization>,
    accounts: HashMap<AccountId, Vec<OrganizationId>>,
    tokens: HashMap<TokenId, TokenRecord>,
    volumes: HashMap<VolumeId, Volume>,
    snapshots: HashMap<SnapshotId, Snapshot>,
    checked_at: HashMap<SnapshotId, Timestamp>,
    tasks: HashMap<TaskId, Task>,
    packs: BTreeMap<PackId, ListedPack>,
    damaged_chunks: BTreeSet<DamagedChunk>,
    receipts: HashMap<ReceiptId, Receipt>,
    quotas: HashMap<OrganizationId, OwnQuota>,
    maintenance_runs: HashMap<RunId, MaintenanceRun>,
    measured: HashMap<OrganizationId, Measured>,
    audit: Vec<AuditEntry>,
    transfers: HashMap<TransferId, Transfer>,
}

impl InMemoryStore {
    /// Every task that was ever stored, oldest first, ties by id.
    pub fn all_tasks(&self) -> Vec<Task> {
        let mut tasks: Vec<_> = self.lock().tasks.values().cloned().collect();
        tasks.sort_unstable_by_key(|task| (task.created_at(), task.id()));
        tasks
    }

    /// Every snapshot, whoever owns it, in no order.
    pub fn all_snapshots(&self) -> Vec<Snapshot> {
        self.lock().snapshots.values().cloned().collect()
    }

    /// Every volume, whoever owns it, in no order.
    pub fn all_volumes(&self) -> Vec<Volume> {
        self.lock().volumes.values().cloned().collect()
    }

    /// Stores a snapshot as it is, without the task that would have led to it.
    pub fn put_snapshot(&self, snapshot: Snapshot) {
        self.lock().snapshots.insert(snapshot.id(), snapshot);
    }

    /// Stores a task as it is, without what it works on.
    pub fn put_task(&self, task: Task) {
        self.lock().tasks.insert(task.id(), task);
    }

    fn lock(&self) -> MutexGuard<'_, Tables> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ports for InMemoryStore {
    fn organizations(&self) -> &dyn OrganizationRepository {
        self
    }

    fn tokens(&self) -> &dyn TokenRepository {
        self
    }

    fn volumes(&self) -> &dyn VolumeRepository {
        self
    }

    fn snapshots(&self) -> &dyn SnapshotRepository {
        self
    }

    fn tasks(&self) -> &dyn TaskQueue {
        self
    }

    fn packs(&self) -> &dyn PackRepository {
        self
    }

    fn receipts(&self) -> &dyn ReceiptRepository {
        self
    }

    fn checks(&self) -> &dyn CheckRepository {
        self
    }

    fn quotas(&self) -> &dyn QuotaRepository {
        self
    }

    fn maintenance(&self) -> &dyn MaintenanceQueue {
        self
    }

    fn sizes(&self) -> &dyn SnapshotSizes {
        self
    }

    fn audit(&self) -> &dyn AuditLog {
        self
    }

    fn transfers(&self) -> &dyn TransferRepository {
        self
    }
}

impl Tables {
    /// Stores a task that comes with something else. To be called last: it must not fail after that was stored.
    fn add_task(&mut self, task: &Task) {
        self.tasks.insert(task.id(), task.clone());
    }

    fn check_task_is_new(&self, task: &Task) -> Result<()> {
        if self.tasks.contains_key(&task.id()) {
            return Err(Error::AlreadyExists {
                resource: Resource::Task,
                id: task.id().as_uuid(),
            });
        }
        Ok(())
    }
}

/// The part of all matching items that a slice asks for.
fn slice_of<T, C: Ord>(mut items: Vec<T>, cursor: impl Fn(&T) -> C, slice: &Slice<C>) -> Vec<T> {
    items.sort_unstable_by_key(&cursor);
    let skip = usize::try_from(slice.skip).unwrap_or(usize::MAX);
    let limit = usize::try_from(slice.limit).unwrap_or(usize::MAX);
    items
        .into_iter()
        .skip_while(|item| slice.after.as_ref().is_some_and(|after| cursor(item) <= *after))
        .skip(skip)
        .take(limit)
        .collect()
}
