//! A service but for HTTP and SQL, of which every port can be made to fail.

use std::{
    fs,
    num::NonZero,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use snapshot_domain::{
    Caller, InstanceId, Name, RequestId, RestoreMode, Snapshot, SnapshotId, SnapshotState, SnapshotStateName, Tags,
    Task, TaskState, Volume, VolumeId, VolumeSize, VolumeState, VolumeStateName, VolumeType,
    testing::{InMemoryStore, ManualClock, SequentialIds, a_caller_of, an_instance, an_organization_id},
    use_case::{
        CheckService, CreateSnapshot, CreateVolume, RestoreVolume, SnapshotService, TaskService, VolumeService,
    },
};
use snapshot_mover::{Runner, RunnerOptions, VaultCatalog, VaultContent, VolumeFolder};
use snapshot_vault::{
    BlobKey, ChunkSize, MasterKey, Vault, VaultOptions, VerifyOptions,
    testing::{MemoryBlobs, MemoryIndex},
    verify_vault,
};
use uuid::Uuid;

use crate::ports::{Blobs, Index, Plan, Rows};

const LEASE_MS: u32 = 30_000;

/// Everything that outlives a stop, and the services that callers use: those never fail.
pub(crate) struct World {
    pub(crate) store: InMemoryStore,
    pub(crate) blobs: MemoryBlobs,
    pub(crate) snapshots: SnapshotService,
    pub(crate) volumes: VolumeService,
    pub(crate) caller: Caller,
    pub(crate) folder: tempfile::TempDir,
    index: MemoryIndex,
    master: MasterKey,
    images: Arc<VolumeFolder>,
    clock: ManualClock,
    instance: InstanceId,
}

impl World {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let images = Arc::new(VolumeFolder::open(&folder.path().join("volumes")).unwrap());
        let (store, clock, ids) = (
            InMemoryStore::default(),
            ManualClock::default(),
            SequentialIds::default(),
        );
        let (blobs, index) = (MemoryBlobs::default(), MemoryIndex::default());
        let master = MasterKey::generate().unwrap();
        let rows = || Arc::new(store.clone());
        let vault = vault(&blobs, &index, &store, &master, &Plan::default());
        let checks = CheckService::new(rows(), Arc::new(clock.clone()));
        Self {
            snapshots: SnapshotService::new(
                rows(),
                rows(),
                rows(),
                rows(),
                Arc::new(VaultContent::new(vault)),
                checks,
                Arc::new(clock.clone()),
                Arc::new(ids.clone()),
            ),
            volumes: VolumeService::new(
                rows(),
                rows(),
                rows(),
                images.clone(),
                Arc::new(clock.clone()),
                Arc::new(ids),
            ),
            caller: a_caller_of(&[an_organization_id()]),
            folder,
            store,
            blobs,
            index,
            master,
            images,
            clock,
            instance: an_instance(),
        }
    }

    /// A runner of which the ports fail as planned, once its vault is open.
    pub(crate) fn run(&self, plan: &Plan, arm: impl FnOnce(&Plan)) -> Runner {
        let rows = Rows::new(&self.store, plan);
        let vault = vault(&self.blobs, &self.index, &self.store, &self.master, plan);
        let tasks = TaskService::new(
            rows.tasks,
            rows.snapshots,
            rows.volumes,
            CheckService::new(rows.checks, Arc::new(self.clock.clone())),
            Arc::new(self.clock.clone()),
            self.instance,
            LEASE_MS,
        );
        let options = RunnerOptions {
            concurrency: NonZero::<usize>::MIN,
            threads: NonZero::<usize>::MIN,
            lease_ms: LEASE_MS,
        };
        arm(plan);
        Runner::start(tasks, vault, Arc::clone(&self.images), options, Arc::new(|_| ())).unwrap()
    }

    /// A start of the service on which nothing fails: it does all that there is to do.
    pub(crate) fn run_to_the_end(&self) {
        let gave_up = snapshot_domain::ports::TaskQueue::put_back_all(&self.store, self.instance);
        assert!(gave_up.is_ok());
        let runner = self.run(&Plan::default(), |_| {});
        eventually("all tasks end", || self.unfinished().is_empty().then_some(()));
        assert!(runner.shut_down(Duration::from_mins(1)), "the runner stops");
    }

    /// Runs a copy up to the moment when all but its row is done, and puts it back.
    pub(crate) fn run_but_for_the_row(&self) {
        let plan = Plan::default();
        let runner = self.run(&plan, |plan| plan.arm_named("finish a copy"));
        eventually("the copy's row is to be written", || plan.hit());
        assert!(runner.shut_down(Duration::from_mins(1)), "the runner stops");
    }

    /// So much time passes that whoever holds a task has lost it, unless the lease is renewed.
    pub(crate) fn expire_leases(&self) {
        self.clock.advance_millis(LEASE_MS);
    }

    pub(crate) fn unfinished(&self) -> Vec<Task> {
        let mut tasks = self.store.all_tasks();
        tasks.retain(|task| matches!(task.state(), TaskState::Pending | TaskState::Running { .. }));
        tasks
    }

    pub(crate) fn volume_of(&self, bytes: &[u8]) -> VolumeId {
        let command = CreateVolume {
            name: Name::parse("disk").unwrap(),
            organization: self.caller.organizations[0],
            size: VolumeSize::from_bytes(bytes.len() as u64).unwrap(),
            volume_type: VolumeType::LocalSsd,
            tags: Tags::default(),
        };
        let volume = self.volumes.create(&self.caller, command).unwrap().id();
        self.write(volume, bytes);
        volume
    }

    pub(crate) fn write(&self, volume: VolumeId, bytes: &[u8]) {
        let mut write = self.volumes.begin_write(&self.caller, volume).unwrap();
        write.write(bytes).unwrap();
        write.commit().unwrap();
    }

    pub(crate) fn begin_snapshot(&self, volume: VolumeId) -> SnapshotId {
        self.clock.advance_millis(1);
        let command = CreateSnapshot {
            name: Name::parse("before").unwrap(),
            organization: self.caller.organizations[0],
            volume,
            tags: Tags::default(),
        };
        let created = self.snapshots.create(&self.caller, &command, request()).unwrap();
        created.item.id()
    }

    pub(crate) fn begin_restore(&self, snapshot: SnapshotId) -> VolumeId {
        self.clock.advance_millis(1);
        let command = RestoreVolume {
            name: Name::parse("restored").unwrap(),
            organization: self.caller.organizations[0],
            snapshot,
            mode: RestoreMode::Whole,
            volume_type: VolumeType::LocalSsd,
            tags: Tags::default(),
        };
        let restored = self.volumes.restore(&self.caller, command, request()).unwrap();
        restored.item.id()
    }

    pub(crate) fn snapshot(&self, id: SnapshotId) -> Snapshot {
        self.snapshots.get(&self.caller, id).unwrap().item
    }

    pub(crate) fn volume(&self, id: VolumeId) -> Volume {
        self.volumes.get(&self.caller, id).unwrap().item
    }

    pub(crate) fn image_of(&self, volume: VolumeId) -> PathBuf {
        self.folder.path().join(format!("volumes/{volume}.raw"))
    }

    /// A snapshot's row says no more than is true. Whether its copy has ended.
    pub(crate) fn check_snapshot(&self, id: SnapshotId, bytes: &[u8], at: &str) -> SnapshotStateName {
        let snapshot = self.snapshot(id);
        match snapshot.state() {
            SnapshotState::Available(_) => assert!(self.read_snapshot(id) == bytes, "{at}: wrong bytes"),
            SnapshotState::Error { reason } => {
                assert!(reason.contains(&request().to_string()), "{at}: {reason}");
            }
            SnapshotState::Snapshotting => assert_eq!(self.unfinished().len(), 1, "{at}: nobody goes on with the copy"),
        }
        snapshot.state().name()
    }

    /// A volume's row says no more than is true. Whether its restore has ended.
    pub(crate) fn check_volume(&self, id: VolumeId, bytes: &[u8], at: &str) -> VolumeStateName {
        let volume = self.volume(id);
        match volume.state() {
            VolumeState::Available { copies } => {
                assert_eq!(*copies, 0, "{at}");
                assert!(self.read_volume(id) == bytes, "{at}: wrong bytes");
            }
            VolumeState::Error { reason } => {
                assert!(reason.contains(&request().to_string()), "{at}: {reason}");
                assert!(
                    self.volumes.open(&self.caller, id).is_err(),
                    "{at}: nothing half-done can be read"
                );
            }
            VolumeState::Fetching => assert_eq!(self.unfinished().len(), 1, "{at}: nobody goes on with the restore"),
            other @ VolumeState::Saving => panic!("{at}: {other:?}"),
        }
        volume.state().name()
    }

    /// The names of all manifests in the vault.
    pub(crate) fn manifests(&self) -> Vec<BlobKey> {
        let mut keys = self.blobs.keys();
        keys.retain(|key| key.as_str().starts_with("manifests/"));
        keys
    }

    fn read_snapshot(&self, id: SnapshotId) -> Vec<u8> {
        let (snapshot, mut reader) = self.snapshots.open(&self.caller, id).unwrap();
        let mut bytes = vec![0; usize::try_from(snapshot.size().as_bytes()).unwrap()];
        reader.read_at(0, &mut bytes).unwrap();
        bytes
    }

    fn read_volume(&self, id: VolumeId) -> Vec<u8> {
        let (volume, mut open) = self.volumes.open(&self.caller, id).unwrap();
        let mut bytes = vec![0; usize::try_from(volume.size().as_bytes()).unwrap()];
        open.bytes.read_at(0, &mut bytes).unwrap();
        bytes
    }

    /// Nothing is left over, nothing is missing: the vault is whole, and has a manifest for each of so many snapshots.
    pub(crate) fn check_rest(&self, snapshots: usize, at: &str) {
        let found = verify_vault(
            Arc::new(self.blobs.clone()),
            &self.master,
            &VerifyOptions::default(),
            &|_| {},
        );
        let found = found.unwrap();
        assert_eq!((&found.damage[..], found.copies), (&[][..], snapshots as u64), "{at}");
        let staged = fs::read_dir(self.folder.path().join("volumes/staging"))
            .unwrap()
            .count();
        assert_eq!(staged, 0, "{at}: staged images are left");
        let images = fs::read_dir(self.folder.path().join("volumes")).unwrap().count() - 1;
        assert_eq!(
            images,
            self.store.all_volumes().len(),
            "{at}: as many images as volumes"
        );
    }
}

fn vault(blobs: &MemoryBlobs, index: &MemoryIndex, store: &InMemoryStore, master: &MasterKey, plan: &Plan) -> Vault {
    // Small chunks and packs, so that little data makes many steps.
    let options = VaultOptions {
        chunk_size: ChunkSize::new(64 << 10).unwrap(),
        pack_size_bytes: 200 << 10,
        ..VaultOptions::default()
    };
    // Opening is no step of a task: it is done on ports that do not fail.
    Vault::open(
        Arc::new(Blobs(blobs.clone(), plan.clone())),
        master,
        Arc::new(Index(index.clone(), plan.clone())),
        Arc::new(VaultCatalog::new(Rows::new(store, plan).packs)),
        options,
    )
    .unwrap()
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
