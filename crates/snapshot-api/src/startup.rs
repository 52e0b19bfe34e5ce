//! Putting the service together: the only place that names concrete stores.

use std::{num::NonZero, sync::Arc};

use actix_web::web::Data;
use anyhow::Context as _;
use snapshot_api::{Api, ApiSettings, BytesTags, Changes, Health, LongReads, Rates, Reads, Transfers, Turns};
use snapshot_domain::{
    Error, InstanceId, Name, Result as DomainResult, Timestamp, Work,
    ports::{Clock as _, PackRepository},
    use_case::{
        AccessService, AuditService, CheckService, MaintenanceService, ReceiptService, RecoveryService,
        SnapshotService, TaskReader, TaskService, TransferService, VolumeService,
    },
};
use snapshot_mover::{
    Maintenance, Observer, Premises, Runner, RunnerOptions, Scrub, VaultArchive, VaultCatalog, VaultContent,
    VolumeFolder, has_whole_snapshots,
};
use snapshot_store::{Store, StoreOptions};
use snapshot_vault::{BlobStore, LocalBlobs, MasterKey, RedbIndex, Vault, VaultOptions};

use crate::{
    data_folder::DataFolder,
    descriptors,
    environment::{RandomIds, SystemClock},
    first_start,
    retention::Retention,
    server,
    settings::{Bootstrap, Settings},
};

/// What the first organization is called, and the first token.
const FIRST_NAME: &str = "default";

/// Runs the server until it is told to stop.
///
/// # Errors
///
/// Whatever keeps it from starting, as sentences with their causes.
pub(crate) fn serve(settings: &Settings) -> anyhow::Result<()> {
    let folder = DataFolder::open(&settings.data_dir)?;
    let _lock = folder.lock()?;
    let instance = folder.instance(&RandomIds)?;
    log::info!("the data folder is {}", folder.path().display());
    descriptors::take_all(settings.limits.connections);
    let store = open_store(settings, &folder)?;
    let (vault, tags) = {
        let key = master_key(settings, &folder)?;
        let tags = BytesTags::of(key.to_hex().as_bytes());
        (open_vault(settings, &folder, &store, &key)?, tags)
    };
    let images = VolumeFolder::open(&folder.volumes()).context("opening the folder of volumes failed")?;
    let images = Arc::new(images);
    let parts = Parts { store, vault, images };

    let tasks = parts.tasks(instance, settings.tasks.lease_ms);
    let premises = parts.premises(settings, instance);
    recover(&parts, &tasks, &premises)?;
    let options = RunnerOptions {
        concurrency: settings.tasks.concurrency,
        threads: settings.tasks.threads,
        lease_ms: settings.tasks.lease_ms,
    };
    let changes = Changes::at_most(settings.limits.waiting.get());
    let observer = tell_of(changes.clone());
    let runner = Runner::start(tasks, parts.vault.clone(), Arc::clone(&parts.images), options, observer)
        .context("starting the threads for tasks failed")?;

    let _retention = Retention::start(audit(&parts.store), settings.audit.keep)?;
    let maintenance = Maintenance::start(premises).context("starting the thread for maintenance failed")?;
    let scrub = settings
        .scrub
        .map(|options| Scrub::start(parts.vault.clone(), checks(&parts.store), options));
    let scrub = scrub
        .transpose()
        .context("starting the thread that checks snapshots failed")?;

    let api = Data::new(parts.api(settings, &runner, changes, tags));
    let served = server::serve(settings, api, |url| bootstrap(settings, &parts.store, url));

    log::info!("putting running tasks back");
    if !scrub.is_none_or(|scrub| scrub.shut_down(settings.server.shutdown)) {
        log::warn!("the check of snapshots did not stop in time");
    }
    if !maintenance.shut_down(settings.server.shutdown) {
        log::warn!("maintenance did not stop in time: the next start takes it up again");
    }
    if !runner.shut_down(settings.server.shutdown) {
        log::warn!("a task did not stop in time: the next start takes it up again");
    }
    log::info!("stopped");
    served
}

/// Tells requests that wait of what a task has done to its snapshot and its volume.
fn tell_of(changes: Changes) -> Observer {
    Arc::new(move |work| {
        let (snapshot, volume) = match *work {
            Work::Capture { snapshot, volume, .. } => (Some(snapshot.as_uuid()), Some(volume.as_uuid())),
            Work::Restore { volume, .. } => (None, Some(volume.as_uuid())),
            // What they work on is gone already.
            Work::EraseVolume { .. } | Work::ForgetSnapshot { .. } => (None, None),
        };
        for id in snapshot.into_iter().chain(volume) {
            changes.tell(id);
        }
    })
}

/// What is asked for, and done, with the vault as a whole.
pub(crate) fn maintenance(store: &Store) -> MaintenanceService {
    MaintenanceService::new(Arc::new(store.clone()), Arc::new(SystemClock), Arc::new(RandomIds))
}

/// What maintenance works with, for a command that does it without a server. Only for who holds the folder's lock.
///
/// # Errors
///
/// When the vault can't be opened, or what the last process left can't be mended.
pub(crate) fn premises(settings: &Settings, folder: &DataFolder, store: &Store) -> anyhow::Result<Premises> {
    // The index may have been deleted.
    let folder = &DataFolder::open(folder.path())?;
    let instance = folder.instance(&RandomIds)?;
    let vault = open_vault(settings, folder, store, &master_key(settings, folder)?)?;
    let images = VolumeFolder::open(&folder.volumes()).context("opening the folder of volumes failed")?;
    let parts = Parts {
        store: store.clone(),
        vault,
        images: Arc::new(images),
    };
    let premises = parts.premises(settings, instance);
    recover(&parts, &parts.tasks(instance, settings.tasks.lease_ms), &premises)?;
    Ok(premises)
}

/// Sees to it that somebody can call: makes the configured token, or on the first start one that is printed.
fn bootstrap(settings: &Settings, store: &Store, url: &str) -> anyhow::Result<()> {
    let access = access(store);
    if let Some(Bootstrap { token, organization }) = &settings.bootstrap {
        return access
            .ensure(token.clone(), *organization, &first_name())
            .context("making the configured token failed");
    }
    match access
        .bootstrap(first_name())
        .context("making the first token failed")?
    {
        Some(made) => first_start::print(&made, url).context("printing the first token failed"),
        None => Ok(()),
    }
}

/// Opens the database, and makes or updates its tables.
///
/// # Errors
///
/// When it can't be reached, or its tables can't be made.
pub(crate) fn open_store(settings: &Settings, folder: &DataFolder) -> anyhow::Result<Store> {
    let options = StoreOptions {
        connections: settings.database.connections,
        default_quota: settings.quotas,
        ..StoreOptions::default()
    };
    let store = match &settings.database.url {
        Some(url) => Store::open(url.expose(), options),
        None => Store::open(&sqlite_url(folder)?, options),
    };
    let store = store.context("opening the database failed")?;
    let migrations = store
        .migrate()
        .context("bringing the database's tables up to date failed")?;
    if migrations > 0 {
        log::info!("the database's tables were brought up to date by {migrations} migrations");
    }
    Ok(store)
}

/// Who did what, kept in a store.
pub(crate) fn audit(store: &Store) -> AuditService {
    AuditService::new(Arc::new(store.clone()), Arc::new(SystemClock), Arc::new(RandomIds))
}

/// Who may call, kept in a store.
pub(crate) fn access(store: &Store) -> AccessService {
    let store = Arc::new(store.clone());
    AccessService::new(store.clone(), store, Arc::new(SystemClock), Arc::new(RandomIds))
}

/// What is known of snapshots' stored bytes, kept in a store.
pub(crate) fn checks(store: &Store) -> CheckService {
    CheckService::new(Arc::new(store.clone()), Arc::new(SystemClock))
}

/// The present moment.
pub(crate) fn now() -> Timestamp {
    SystemClock.now()
}

fn sqlite_url(folder: &DataFolder) -> anyhow::Result<String> {
    let path = folder.database();
    let text = path
        .to_str()
        .context("the path of the data folder is no Unicode text")?;
    Ok(format!("sqlite:{text}"))
}

fn master_key(settings: &Settings, folder: &DataFolder) -> anyhow::Result<MasterKey> {
    Ok(match &settings.vault.master_key {
        Some(key) => key.clone(),
        None => folder.master_key(settings.vault.master_key_file.as_deref())?,
    })
}

fn open_vault(settings: &Settings, folder: &DataFolder, store: &Store, key: &MasterKey) -> anyhow::Result<Vault> {
    let blobs = LocalBlobs::open(&folder.vault()).context("opening the vault's folder failed")?;
    let index = RedbIndex::open(&folder.index().join("chunks.redb")).context("opening the index failed")?;
    let packs: Arc<dyn PackRepository> = Arc::new(store.clone());
    let options = VaultOptions {
        chunk_size: settings.vault.chunk_size,
        recheck: settings.vault.recheck,
        has_copies: has_whole_snapshots(store).context("reading the database failed")?,
        ..VaultOptions::default()
    };
    let catalog = Arc::new(VaultCatalog::new(packs));
    Vault::open(Arc::new(blobs), key, Arc::new(index), catalog, options).context("opening the vault failed")
}

/// What lies in the vault, to be read beside a server that may be running on it.
///
/// # Errors
///
/// When its folder can't be read.
pub(crate) fn stored_objects(folder: &DataFolder) -> anyhow::Result<Arc<dyn BlobStore>> {
    let blobs = LocalBlobs::open_read_only(&folder.vault()).context("opening the vault's folder failed")?;
    Ok(Arc::new(blobs))
}

/// What fills the database from the vault. Only for who holds the folder's lock.
///
/// # Errors
///
/// When the key is not the vault's, or one of them can't be opened.
pub(crate) fn recovery(settings: &Settings, folder: &DataFolder, key: &MasterKey) -> anyhow::Result<RecoveryService> {
    let vault = Vault::open_manifests(stored_objects(folder)?, key).context("opening the vault failed")?;
    let store = Arc::new(open_store(settings, folder)?);
    let archive = Arc::new(VaultArchive::new(vault));
    Ok(RecoveryService::new(
        store.clone(),
        store.clone(),
        store.clone(),
        store,
        archive,
        Arc::new(SystemClock),
    ))
}

/// Has the database list the packs of the vault, and the index lead to them, so that what a check sets aside stays so. Only for who
/// holds the folder's lock.
///
/// # Errors
///
/// When the vault can't be opened, or the list can't be stored.
pub(crate) fn list_packs(settings: &Settings, key: &MasterKey) -> anyhow::Result<()> {
    let folder = DataFolder::open(&settings.data_dir)?;
    let store = open_store(settings, &folder)?;
    let vault = open_vault(settings, &folder, &store, key)?;
    let found = vault.reconcile().context("listing the packs failed")?;
    log::info!("{} packs are listed", found.packs);
    Ok(())
}

fn first_name() -> Name {
    Name::parse(FIRST_NAME).expect("the first name follows the rules for names")
}

/// Mends what the last process left behind, before anybody works.
fn recover(parts: &Parts, tasks: &TaskService, premises: &Premises) -> anyhow::Result<()> {
    let put_back = tasks.put_back_all().context("putting interrupted tasks back failed")?;
    log::info!("{put_back} interrupted tasks were put back");
    let put_back = premises.runs.put_back_all(premises.instance);
    let put_back = put_back.context("putting interrupted maintenance back failed")?;
    if put_back > 0 {
        log::info!("interrupted maintenance was put back");
    }
    let abandoned = parts
        .volumes()
        .abandon_interrupted_writes()
        .context("ending interrupted writes failed")?;
    log::info!("{abandoned} interrupted writes to volumes were ended");
    let found = parts
        .vault
        .reconcile()
        .context("comparing the vault with its index failed")?;
    log::info!(
        "the vault has {} packs; {} of them were new to the database, {} to the index, which forgot {}",
        found.packs,
        found.adopted,
        found.indexed,
        found.forgotten
    );
    for pack in &found.damaged {
        log::error!("pack {} is damaged: {}", pack.id, pack.reason);
    }
    if !found.torn.is_empty() {
        log::warn!(
            "{} packs were never finished; the next collection removes them",
            found.torn.len()
        );
    }
    Ok(())
}

/// What everything else is made of.
struct Parts {
    store: Store,
    vault: Vault,
    images: Arc<VolumeFolder>,
}

impl Parts {
    fn snapshots(&self) -> SnapshotService {
        let store = Arc::new(self.store.clone());
        SnapshotService::new(
            store.clone(),
            store.clone(),
            store.clone(),
            store,
            Arc::new(VaultContent::new(self.vault.clone())),
            checks(&self.store),
            Arc::new(SystemClock),
            Arc::new(RandomIds),
        )
    }

    fn volumes(&self) -> VolumeService {
        let store = Arc::new(self.store.clone());
        let images = Arc::clone(&self.images);
        let (clock, ids) = (Arc::new(SystemClock), Arc::new(RandomIds));
        VolumeService::new(store.clone(), store.clone(), store, images, clock, ids)
    }

    fn tasks(&self, instance: InstanceId, lease_ms: u32) -> TaskService {
        let store = Arc::new(self.store.clone());
        TaskService::new(
            store.clone(),
            store.clone(),
            store,
            checks(&self.store),
            Arc::new(SystemClock),
            instance,
            lease_ms,
        )
    }

    fn offers(&self) -> TransferService {
        let store = Arc::new(self.store.clone());
        TransferService::new(store.clone(), store, Arc::new(SystemClock), Arc::new(RandomIds))
    }

    fn premises(&self, settings: &Settings, instance: InstanceId) -> Premises {
        let store = Arc::new(self.store.clone());
        Premises {
            vault: self.vault.clone(),
            runs: maintenance(&self.store),
            sizes: store.clone(),
            tasks: store.clone(),
            checks: store.clone(),
            snapshots: store,
            instance,
            options: settings.maintenance,
        }
    }

    fn api(&self, settings: &Settings, runner: &Runner, changes: Changes, bytes_tags: BytesTags) -> Api {
        Api {
            snapshots: self.snapshots(),
            volumes: self.volumes(),
            tasks: TaskReader::new(Arc::new(self.store.clone())),
            receipts: ReceiptService::new(Arc::new(self.store.clone()), Arc::new(SystemClock)),
            turns: Turns::default(),
            offers: self.offers(),
            access: access(&self.store),
            audit: audit(&self.store),
            ids: Arc::new(RandomIds),
            reads: Arc::new(StoreReads(self.store.clone())),
            long_reads: long_reads(settings),
            health: Arc::new(Whole {
                store: self.store.clone(),
                vault: self.vault.clone(),
            }),
            wake_workers: Box::new(runner.waker()),
            bytes_tags,
            transfers: Transfers::at_most(settings.limits.transfers.get()),
            changes,
            rates: Rates::new(settings.limits.by_token, settings.limits.refused_by_peer),
            settings: ApiSettings {
                zone: settings.zone.clone(),
                zones: settings.zones.clone(),
                head_limit_bytes: settings.limits.head_bytes,
                json_limit_bytes: settings.limits.json_body_bytes,
                stalled_body: settings.limits.stalled_body,
                heartbeat: settings.limits.heartbeat,
                reads_are_short: self.store.reads_are_short(),
            },
        }
    }
}

/// Reads of rows share a connection and a transaction.
struct StoreReads(Store);

impl Reads for StoreReads {
    fn together(&self, reads: &mut dyn FnMut()) -> bool {
        let ((), end_is_owed) = self.0.together_and_on(reads);
        end_is_owed
    }

    fn end(&self) {
        self.0.end_together();
    }

    fn at_one_moment(&self, reads: &mut dyn FnMut()) {
        self.0.together(reads);
    }
}

/// Half of the connections: the other half is for whatever must not wait for lists.
fn long_reads(settings: &Settings) -> LongReads {
    let half = usize::try_from(settings.database.connections / 2).unwrap_or(usize::MAX);
    LongReads::at_most(NonZero::new(half).unwrap_or(NonZero::<usize>::MIN))
}

/// The service can do its work when its rows can be read, and the chunk index answers.
struct Whole {
    store: Store,
    vault: Vault,
}

impl Health for Whole {
    fn check(&self) -> DomainResult<()> {
        self.store.ping()?;
        self.vault.check_index().map_err(Error::unavailable)
    }
}
