//! Stored rows to measure with, and what writes and reads them without HTTP.

use std::{
    path::Path,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use diesel::{Connection as _, SqliteConnection, connection::SimpleConnection as _};
use snapshot_domain::{
    AccountId, Actor, AuditAction, AuditEntry, AuditId, AuditOutcome, Name, NewSnapshot, OrganizationId, RequestId,
    Scope, Snapshot, SnapshotId, Tags, Task, TaskId, Timestamp, TokenHash, TokenId, Volume, VolumeId, VolumeSize, Work,
    ports::{
        AuditLog as _, Clock as _, IdSource as _, Slice, SnapshotQuery, SnapshotRepository, TokenRepository,
        VolumeRepository,
    },
};
use snapshot_store::{Store, StoreOptions};
use uuid::Uuid;

use crate::{
    environment::{RandomIds, SystemClock},
    load::{Measured, measured},
};

/// Adds available snapshots, a microsecond apart, each with the task that made it and with its size, to a database with its
/// tables. As in the service, ids tell the time.
pub(crate) fn fill(database: &Path, organization: Uuid, rows: u64) -> anyhow::Result<()> {
    let owner = format!("x'{}'", organization.simple());
    let digest = format!("blake3-131072:{}", "5a".repeat(32));
    connect(database)?.batch_execute(&format!(
        "PRAGMA synchronous = OFF; PRAGMA cache_size = -262144;
         BEGIN;
         WITH RECURSIVE number (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM number WHERE n < {rows})
         INSERT INTO snapshots (id, organization_id, domain_id, name, tags, base_volume_id, base_volume_name, size_bytes,
             volume_type, created_at, modified_at, state, digest, stored_bytes, revision, exclusive_bytes)
             SELECT unhex(printf('%012x7%03x8000000000000001', n / 1000, n % 1000)), {owner}, {owner}, 'snapshot-' || n, '',
                 unhex(printf('%016x%016x', n / 100, 3)), 'vol-0-1', 1048576, 'l_ssd', n, n, 'available', '{digest}', 4096, 2, 4096
             FROM number;
         INSERT INTO tasks (id, organization_id, kind, snapshot_id, volume_id, domain_id, request_id, created_at, ended_at, state,
             cancel_requested, done_bytes, total_bytes, epoch)
             SELECT id, organization_id, 'capture', id, base_volume_id, organization_id, id, created_at, created_at,
                 'succeeded', 0, 1048576, 1048576, 1
             FROM snapshots WHERE organization_id = {owner};
         UPDATE domain_sizes SET measured = changes;
         COMMIT;
         PRAGMA wal_checkpoint(TRUNCATE);"
    ))?;
    Ok(())
}

/// The id of the snapshot that [`fill`] made as the one of this number, from 1.
pub(crate) fn snapshot_id(number: u64) -> Uuid {
    let moment = i64::try_from(number)
        .ok()
        .and_then(|micros| Timestamp::from_micros(micros).ok());
    let moment = moment.expect("rows are numbered from 1, and no million years of microseconds");
    SnapshotId::begun_at(moment, Uuid::from_u64_pair(0, 1)).as_uuid()
}

/// Forgets what was asked for and has not been copied yet. What has been counts as measured: the rows have no manifests, which
/// the maintenance would look for again and again.
pub(crate) fn forget_unfinished(database: &Path) -> anyhow::Result<()> {
    connect(database)?.batch_execute(
        "BEGIN IMMEDIATE;
         DELETE FROM tasks WHERE ended_at IS NULL;
         DELETE FROM snapshots WHERE state = 'snapshotting';
         UPDATE volumes SET copies = 0;
         UPDATE domain_sizes SET measured = changes;
         COMMIT;
         PRAGMA wal_checkpoint(TRUNCATE);",
    )?;
    Ok(())
}

fn connect(database: &Path) -> anyhow::Result<SqliteConnection> {
    let path = database.to_str().context("the path is no Unicode text")?;
    let mut connection = SqliteConnection::establish(path)?;
    connection.batch_execute("PRAGMA busy_timeout = 30000; PRAGMA foreign_keys = ON;")?;
    Ok(connection)
}

/// Opens a database as the service does.
pub(crate) fn open(database: &Path) -> anyhow::Result<Store> {
    let path = database.to_str().context("the path is no Unicode text")?;
    Ok(Store::open(path, StoreOptions::default())?)
}

/// A volume to ask for snapshots of, whose bytes lie in this file.
pub(crate) fn add_volume(store: &Store, organization: Uuid, image: &Path) -> anyhow::Result<Volume> {
    let volume = snapshot_domain::use_case::RegisterVolume {
        name: Name::parse("vol-0-1")?,
        organization: OrganizationId::new(organization),
        size: VolumeSize::from_bytes(image.metadata()?.len())?,
        path: image.to_path_buf(),
    }
    .into_volume(VolumeId::new(RandomIds.id()), Timestamp::from_micros(0)?);
    VolumeRepository::insert(store, &volume, None)?;
    Ok(volume)
}

/// What a request does without HTTP.
#[derive(Clone, Copy)]
pub(crate) enum Statements {
    /// Who asks, and one snapshot.
    One,
    /// Who asks, how many there are, and the first page of 50.
    Page,
}

/// Runs statements on so many threads for so long.
pub(crate) fn read(
    store: &Store,
    (token, organization, rows): (&TokenHash, Uuid, u64),
    statements: Statements,
    threads: usize,
    duration: Duration,
) -> Measured {
    let scope = Scope::new(vec![OrganizationId::new(organization)]);
    let query = SnapshotQuery::all(scope.clone());
    let number = AtomicU64::new(0);
    on_threads(threads, duration, || {
        let caller = store.caller(token, SystemClock.now())?;
        drop(caller);
        match statements {
            Statements::One => {
                let number = number.fetch_add(7919, Ordering::Relaxed) % rows + 1;
                SnapshotRepository::find(store, &scope, SnapshotId::new(snapshot_id(number)))?;
            }
            Statements::Page => {
                SnapshotRepository::count(store, &query)?;
                SnapshotRepository::list(store, &query, Slice::first(50))?;
            }
        }
        Ok(())
    })
}

/// Stores snapshots and their tasks from so many threads, which share some stores. With several stores each takes one write
/// at a time, as a connection of a pool does; a single one takes all, as the service's does.
pub(crate) fn write(stores: &[Store], volume: &Volume, threads: usize, duration: Duration) -> Measured {
    let turns: Vec<_> = stores.iter().map(|_| Mutex::new(())).collect();
    let next = AtomicU64::new(0);
    on_threads(threads, duration, || {
        let number = usize::try_from(next.fetch_add(1, Ordering::Relaxed)).unwrap_or(0) % stores.len();
        let turn = &turns[number];
        let _alone = (stores.len() > 1).then(|| turn.lock().unwrap_or_else(PoisonError::into_inner));
        begin(&stores[number], volume)
    })
}

fn begin(store: &Store, volume: &Volume) -> snapshot_domain::Result<()> {
    let now = volume.created_at();
    let new = NewSnapshot {
        id: SnapshotId::new(RandomIds.id()),
        organization: volume.organization(),
        name: volume.name().clone(),
        tags: Tags::default(),
    };
    let snapshot = Snapshot::begin(new, volume, now)?;
    let work = Work::Capture {
        snapshot: snapshot.id(),
        volume: volume.id(),
        domain: snapshot.domain(),
    };
    let request = RequestId::new(RandomIds.id());
    let task = Task::new(
        TaskId::new(RandomIds.id()),
        volume.organization(),
        work,
        volume.size().as_bytes(),
        request,
        now,
    );
    let entry = AuditEntry {
        id: AuditId::new(RandomIds.id()),
        at: now,
        actor: Actor::Token {
            token: TokenId::new(RandomIds.id()),
            account: AccountId::new(RandomIds.id()),
        },
        request,
        organization: volume.organization(),
        action: AuditAction::SnapshotCreate,
        resource: None,
        outcome: AuditOutcome::Done,
    };
    store.during(&entry, &mut || store.begin(&snapshot, &task, volume, None))
}

fn on_threads(threads: usize, duration: Duration, call: impl Fn() -> snapshot_domain::Result<()> + Sync) -> Measured {
    let enough = AtomicBool::new(false);
    let begun = Instant::now();
    let times = thread::scope(|scope| {
        let running: Vec<_> = (0..threads)
            .map(|_| {
                scope.spawn(|| {
                    let mut times = Vec::new();
                    while !enough.load(Ordering::Relaxed) {
                        let begun = Instant::now();
                        match call() {
                            Ok(()) => times.push(begun.elapsed()),
                            Err(error) => eprintln!("a call to the database failed: {error}"),
                        }
                    }
                    times
                })
            })
            .collect();
        while let Some(left) = duration.checked_sub(begun.elapsed()).filter(|left| !left.is_zero()) {
            thread::park_timeout(left);
        }
        enough.store(true, Ordering::Relaxed);
        running
            .into_iter()
            .flat_map(|thread| thread.join().unwrap_or_default())
            .collect()
    });
    measured(times, begun.elapsed().as_secs_f64())
}
