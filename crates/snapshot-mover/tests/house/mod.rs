//! A whole service but for HTTP and SQL: real bytes in a temporary folder, rows in memory.

use std::{
    fs,
    num::NonZero,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use snapshot_domain::{
    Caller, InstanceId, Name, OrganizationId, RequestId, RestoreMode, Snapshot, SnapshotId, SnapshotStateName, Tags,
    Timestamp, Volume, VolumeId, VolumeSize, VolumeStateName, VolumeType,
    ports::{Clock, IdSource, TaskQueue},
    testing::{InMemoryStore, SequentialIds, a_caller_of, an_instance, an_organization_id},
    use_case::{
        CheckService, CreateSnapshot, CreateVolume, RegisterVolume, RestoreVolume, SnapshotService, TaskService,
        VolumeService,
    },
};
use snapshot_mover::{Runner, RunnerOptions, VaultCatalog, VaultContent, VolumeFolder, measure};
use snapshot_vault::{LocalBlobs, MasterKey, RedbIndex, Vault, VaultOptions};
use uuid::Uuid;

const LEASE_MS: u32 = 30_000;

/// Time that passes as everywhere: leases have to be renewed.
struct RealClock;

impl Clock for RealClock {
    fn now(&self) -> Timestamp {
        let micros = std::time::UNIX_EPOCH.elapsed().unwrap().as_micros();
        Timestamp::from_micros(i64::try_from(micros).unwrap()).unwrap()
    }
}

/// Everything that outlives a stop: the folder, the rows, the key.
pub(crate) struct House {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) store: InMemoryStore,
    pub(crate) organization: OrganizationId,
    key: String,
    instance: InstanceId,
    ids: SequentialIds,
}

/// A house with its services open.
pub(crate) struct Open {
    pub(crate) snapshots: SnapshotService,
    pub(crate) volumes: VolumeService,
    pub(crate) caller: Caller,
    pub(crate) vault: Vault,
    folder: Arc<VolumeFolder>,
    tasks: TaskService,
    runner: Option<Runner>,
}

impl House {
    pub(crate) fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            store: InMemoryStore::default(),
            organization: an_organization_id(),
            key: MasterKey::generate().unwrap().to_hex().to_string(),
            instance: an_instance(),
            ids: SequentialIds::default(),
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Every object in the vault whose name begins so.
    pub(crate) fn objects(&self, prefix: &str) -> Vec<PathBuf> {
        files_below(&self.path("vault").join(prefix))
    }

    /// As at the start of the service, but for the runner.
    pub(crate) fn open(&self) -> Open {
        let store = || Arc::new(self.store.clone());
        let clock: Arc<dyn Clock> = Arc::new(RealClock);
        let ids: Arc<dyn IdSource> = Arc::new(self.ids.clone());
        let folder = Arc::new(VolumeFolder::open(&self.path("volumes")).unwrap());
        let vault = Vault::open(
            Arc::new(LocalBlobs::open(&self.path("vault")).unwrap()),
            &MasterKey::from_hex(&self.key).unwrap(),
            Arc::new(RedbIndex::open(&self.path("index")).unwrap()),
            Arc::new(VaultCatalog::new(store())),
            VaultOptions::default(),
        )
        .unwrap();
        vault.reconcile().unwrap();
        let checks = CheckService::new(store(), Arc::clone(&clock));
        let tasks = TaskService::new(
            store(),
            store(),
            store(),
            checks.clone(),
            Arc::clone(&clock),
            self.instance,
            LEASE_MS,
        );
        tasks.put_back_all().unwrap();
        Open {
            snapshots: SnapshotService::new(
                store(),
                store(),
                store(),
                store(),
                Arc::new(VaultContent::new(vault.clone())),
                checks.clone(),
                Arc::clone(&clock),
                Arc::clone(&ids),
            ),
            volumes: VolumeService::new(
                store(),
                store(),
                store(),
                Arc::<VolumeFolder>::clone(&folder),
                clock,
                ids,
            ),
            caller: a_caller_of(&[self.organization]),
            vault,
            folder,
            tasks,
            runner: None,
        }
    }

    /// A process claims the oldest task, and dies; the next one finds what it left.
    pub(crate) fn die_with_a_task(&self) {
        let now = RealClock.now();
        let claimed = self.store.claim(self.instance, now, now.plus_millis(LEASE_MS)).unwrap();
        assert!(claimed.is_some(), "there is no task to die with");
        self.store.put_back_all(self.instance).unwrap();
    }

    /// As at the start of the service.
    pub(crate) fn start(&self) -> Open {
        let mut open = self.open();
        open.run();
        open
    }
}

impl Open {
    pub(crate) fn run(&mut self) {
        let options = RunnerOptions {
            concurrency: NonZero::new(2).unwrap(),
            threads: NonZero::new(2).unwrap(),
            lease_ms: LEASE_MS,
        };
        let runner = Runner::start(
            self.tasks.clone(),
            self.vault.clone(),
            Arc::clone(&self.folder),
            options,
            Arc::new(|_| ()),
        );
        self.runner = Some(runner.unwrap());
    }

    pub(crate) fn stop(mut self) {
        if let Some(runner) = self.runner.take() {
            assert!(runner.shut_down(Duration::from_secs(10)), "the runner does not stop");
        }
    }

    pub(crate) fn volume_of(&self, bytes: &[u8]) -> VolumeId {
        let volume = self.empty_volume(bytes.len() as u64);
        self.write(volume, bytes);
        volume
    }

    pub(crate) fn empty_volume(&self, size_bytes: u64) -> VolumeId {
        let command = CreateVolume {
            name: name("disk"),
            organization: self.caller.organizations[0],
            size: VolumeSize::from_bytes(size_bytes).unwrap(),
            volume_type: VolumeType::LocalSsd,
            tags: Tags::default(),
        };
        self.volumes.create(&self.caller, command).unwrap().id()
    }

    pub(crate) fn write(&self, volume: VolumeId, bytes: &[u8]) {
        let mut write = self.volumes.begin_write(&self.caller, volume).unwrap();
        for piece in bytes.chunks(300_001) {
            write.write(piece).unwrap();
        }
        write.commit().unwrap();
    }

    pub(crate) fn register(&self, path: &Path) -> VolumeId {
        let command = RegisterVolume {
            name: name("image"),
            organization: self.caller.organizations[0],
            size: measure(path).unwrap(),
            path: path.to_owned(),
        };
        self.volumes.register(command).unwrap().id()
    }

    pub(crate) fn begin_snapshot(&self, volume: VolumeId) -> SnapshotId {
        let command = CreateSnapshot {
            name: name("before"),
            organization: self.caller.organizations[0],
            volume,
            tags: Tags::default(),
        };
        let snapshot = self.snapshots.create(&self.caller, &command, request()).unwrap().item;
        self.wake();
        snapshot.id()
    }

    pub(crate) fn snapshot(&self, volume: VolumeId) -> Snapshot {
        let snapshot = self.settled_snapshot(self.begin_snapshot(volume));
        assert_eq!(
            snapshot.state().name(),
            SnapshotStateName::Available,
            "{:?}",
            snapshot.state()
        );
        snapshot
    }

    pub(crate) fn settled_snapshot(&self, id: SnapshotId) -> Snapshot {
        eventually("the snapshot's copy ends", || {
            let snapshot = self.snapshots.get(&self.caller, id).unwrap().item;
            (snapshot.state().name() != SnapshotStateName::Snapshotting).then_some(snapshot)
        })
    }

    pub(crate) fn restore(&self, snapshot: SnapshotId) -> Volume {
        self.restore_as(snapshot, RestoreMode::Whole)
    }

    pub(crate) fn salvage(&self, snapshot: SnapshotId) -> Volume {
        self.restore_as(snapshot, RestoreMode::Salvage)
    }

    fn restore_as(&self, snapshot: SnapshotId, mode: RestoreMode) -> Volume {
        let command = RestoreVolume {
            name: name("restored"),
            organization: self.caller.organizations[0],
            snapshot,
            mode,
            volume_type: VolumeType::LocalSsd,
            tags: Tags::default(),
        };
        let volume = self.volumes.restore(&self.caller, command, request()).unwrap().item;
        self.wake();
        self.settled_volume(volume.id())
    }

    pub(crate) fn settled_volume(&self, id: VolumeId) -> Volume {
        eventually("the volume is filled", || {
            let volume = self.volumes.get(&self.caller, id).unwrap().item;
            (volume.state().name() != VolumeStateName::Fetching).then_some(volume)
        })
    }

    /// All bytes of a volume.
    pub(crate) fn bytes_of(&self, volume: VolumeId) -> Vec<u8> {
        let (volume, mut open) = self.volumes.open(&self.caller, volume).unwrap();
        let mut bytes = vec![0; usize::try_from(volume.size().as_bytes()).unwrap()];
        open.bytes.read_at(0, &mut bytes).unwrap();
        bytes
    }

    pub(crate) fn wake(&self) {
        if let Some(runner) = &self.runner {
            runner.wake();
        }
    }
}

pub(crate) fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

pub(crate) fn request() -> RequestId {
    RequestId::new(Uuid::from_u128(0x0e57))
}

/// Asks until there is an answer, for at most a minute.
pub(crate) fn eventually<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let until = Instant::now() + Duration::from_mins(1);
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < until, "not within a minute: {what}");
        std::thread::park_timeout(Duration::from_millis(2));
    }
}

/// Bytes that neither compress nor repeat, the same for the same seed.
pub(crate) fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}

pub(crate) fn files_below(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    let mut files: Vec<_> = entries
        .flat_map(|entry| {
            let path = entry.unwrap().path();
            if path.is_dir() { files_below(&path) } else { vec![path] }
        })
        .collect();
    files.sort();
    files
}
