//! The services that callers use, wired to ports in memory.

use std::sync::Arc;

use super::{InMemorySnapshotBytes, InMemoryStore, InMemoryVolumes, ManualClock, SequentialIds, an_instance};
use crate::{
    InstanceId,
    use_case::{
        AccessService, AuditService, CheckService, QuotaService, SnapshotService, TaskReader, TaskService,
        TransferService, VolumeService,
    },
};

/// Services over the same rows and bytes in memory, with a clock and ids that the test sets.
#[derive(Clone)]
pub struct Services {
    /// The rows.
    pub store: InMemoryStore,
    /// The bytes of volumes.
    pub volume_bytes: InMemoryVolumes,
    /// The bytes of snapshots.
    pub snapshot_bytes: InMemorySnapshotBytes,
    /// The time.
    pub clock: ManualClock,
    /// Where ids come from.
    pub ids: SequentialIds,
    /// What callers do with snapshots.
    pub snapshots: SnapshotService,
    /// What callers do with volumes.
    pub volumes: VolumeService,
    /// What callers see of tasks.
    pub tasks: TaskReader,
    /// Who may call.
    pub access: AccessService,
    /// Who did what.
    pub audit: AuditService,
    /// What callers do with offers of snapshots.
    pub transfers: TransferService,
    /// What is known of snapshots' stored bytes.
    pub checks: CheckService,
    /// How much organizations may have.
    pub quotas: QuotaService,
}

impl Default for Services {
    fn default() -> Self {
        let store = InMemoryStore::default();
        let volume_bytes = InMemoryVolumes::default();
        let snapshot_bytes = InMemorySnapshotBytes::default();
        let clock = ManualClock::default();
        let ids = SequentialIds::default();
        let rows = Arc::new(store.clone());
        let time = Arc::new(clock.clone());
        let names = Arc::new(ids.clone());
        let checks = CheckService::new(rows.clone(), time.clone());
        Self {
            snapshots: SnapshotService::new(
                rows.clone(),
                rows.clone(),
                rows.clone(),
                rows.clone(),
                Arc::new(snapshot_bytes.clone()),
                checks.clone(),
                time.clone(),
                names.clone(),
            ),
            volumes: VolumeService::new(
                rows.clone(),
                rows.clone(),
                rows.clone(),
                Arc::new(volume_bytes.clone()),
                time.clone(),
                names.clone(),
            ),
            tasks: TaskReader::new(rows.clone()),
            quotas: QuotaService::new(rows.clone()),
            transfers: TransferService::new(rows.clone(), rows.clone(), time.clone(), names.clone()),
            audit: AuditService::new(rows.clone(), time.clone(), names.clone()),
            access: AccessService::new(rows.clone(), rows, time, names),
            checks,
            store,
            volume_bytes,
            snapshot_bytes,
            clock,
            ids,
        }
    }
}

impl Services {
    /// How long a worker's lease lasts, in milliseconds.
    pub const LEASE_MS: u32 = 30_000;

    /// The workers of a new instance.
    pub fn worker(&self) -> TaskService {
        self.worker_of(an_instance())
    }

    /// The workers of this instance.
    pub fn worker_of(&self, instance: InstanceId) -> TaskService {
        let rows = Arc::new(self.store.clone());
        let time = Arc::new(self.clock.clone());
        TaskService::new(
            rows.clone(),
            rows.clone(),
            rows,
            self.checks.clone(),
            time,
            instance,
            Self::LEASE_MS,
        )
    }
}
