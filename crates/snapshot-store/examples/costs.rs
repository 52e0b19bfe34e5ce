//! What the store costs: `cargo run --release -p snapshot-store --example costs [ROWS]`.
//!
//! Fills a new SQLite file with ROWS snapshots (a million, unless told otherwise), all but a hundred of one large
//! organization, and prints the median time of calls for the small one and the large one; then how many durable creates a
//! second 1, 16 and 64 callers reach. Run it with 1,000 and with 1,000,000 rows: what belongs to the small organization
//! should cost the same.

#![expect(clippy::doc_markdown, reason = "SQLite is a name, not code")]
#![expect(clippy::print_stdout, reason = "it is a program that prints what it measured")]

use std::{
    error::Error,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::{Duration, Instant},
};

use diesel::{Connection, SqliteConnection, connection::SimpleConnection};
use snapshot_domain::{
    Name, NewVolume, Organization, OrganizationId, RequestId, Scope, Snapshot, SnapshotId, Tags, Task, TaskId,
    Timestamp, Volume, VolumeId, VolumeSize, VolumeType, Work,
    ports::{
        OrganizationRepository, Slice, SnapshotCursor, SnapshotQuery, SnapshotRepository, TaskQueue, VolumeRepository,
    },
};
use snapshot_store::{Store, StoreOptions};
use uuid::Uuid;

fn main() -> Result<(), Box<dyn Error>> {
    let rows: u64 = std::env::args().nth(1).map_or(Ok(1_000_000), |rows| rows.parse())?;
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("metadata.sqlite").display().to_string();
    let store = Store::open(&path, StoreOptions::default())?;
    store.migrate()?;
    let small = organization(&store, 1)?;
    let large = organization(&store, 2)?;
    let volume = volume(&store, small)?;
    fill(&path, small, 100)?;
    fill(&path, large, rows.saturating_sub(100))?;

    println!("{rows} snapshots and as many tasks that have ended");
    for (owner, organization) in [("small organization", small), ("large organization", large)] {
        measure_reads(&store, owner, organization)?;
    }
    print_median("next task, when there is none", || {
        let instance = snapshot_domain::InstanceId::new(Uuid::from_u128(7));
        store.claim(instance, moment(1)?, moment(2)?)?;
        Ok(())
    })?;
    for callers in [1, 16, 64] {
        measure_creates(&store, &volume, callers);
    }
    Ok(())
}

fn measure_reads(store: &Store, owner: &str, organization: OrganizationId) -> Result<(), Box<dyn Error>> {
    let scope = Scope::new(vec![organization]);
    let query = SnapshotQuery::all(scope.clone());
    let first_page = SnapshotRepository::list(store, &query, Slice::first(50))?;
    let last = first_page.last().ok_or("there are no snapshots")?;
    let slice = Slice::after(SnapshotCursor::of(&last.snapshot), 50);
    print_median(&format!("{owner}: one snapshot"), || {
        SnapshotRepository::find(store, &scope, last.snapshot.id())?;
        Ok(())
    })?;
    print_median(&format!("{owner}: first page of 50"), || {
        SnapshotRepository::list(store, &query, Slice::first(50))?;
        Ok(())
    })?;
    print_median(&format!("{owner}: next page of 50"), || {
        SnapshotRepository::list(store, &query, slice)?;
        Ok(())
    })?;
    print_median(&format!("{owner}: how many"), || {
        SnapshotRepository::count(store, &query)?;
        Ok(())
    })
}

fn print_median(what: &str, call: impl Fn() -> Result<(), Box<dyn Error>>) -> Result<(), Box<dyn Error>> {
    let mut times = Vec::new();
    for _ in 0..2000 {
        let begin = Instant::now();
        call()?;
        times.push(begin.elapsed());
    }
    times.sort_unstable();
    println!("{what:40} {:7.1} µs", times[times.len() / 2].as_secs_f64() * 1e6);
    Ok(())
}

fn measure_creates(store: &Store, volume: &Volume, callers: u32) {
    let created = AtomicU64::new(0);
    let enough = AtomicBool::new(false);
    let begin = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..callers {
            scope.spawn(|| {
                while !enough.load(Ordering::Relaxed) && create(store, volume).is_ok() {
                    created.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        while begin.elapsed() < Duration::from_secs(3) {
            std::thread::park_timeout(Duration::from_secs(3));
        }
        enough.store(true, Ordering::Relaxed);
    });
    let created = created.into_inner();
    let seconds = begin.elapsed();
    println!("{callers:2} callers: {created} durable creates in {seconds:.2?}");
}

fn create(store: &Store, volume: &Volume) -> Result<(), snapshot_domain::Error> {
    let now = volume.created_at();
    let new = snapshot_domain::NewSnapshot {
        id: SnapshotId::new(next_id()),
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
    let request = RequestId::new(next_id());
    let task = Task::new(TaskId::new(next_id()), volume.organization(), work, 0, request, now);
    store.begin(&snapshot, &task, volume, None)
}

/// Later ids are larger, as those of UUID version 7 are.
fn next_id() -> Uuid {
    static LAST: AtomicU64 = AtomicU64::new(1 << 40);
    Uuid::from_u64_pair(LAST.fetch_add(1, Ordering::Relaxed), 0)
}

fn organization(store: &Store, number: u128) -> Result<OrganizationId, Box<dyn Error>> {
    let organization = Organization {
        id: OrganizationId::new(Uuid::from_u128(number)),
        name: Name::parse("Lighthouse")?,
        created_at: moment(0)?,
    };
    OrganizationRepository::insert(store, &organization)?;
    Ok(organization.id)
}

fn volume(store: &Store, organization: OrganizationId) -> Result<Volume, Box<dyn Error>> {
    let new = NewVolume {
        id: VolumeId::new(Uuid::from_u128(3)),
        organization,
        name: Name::parse("vol-0-1")?,
        tags: Tags::default(),
        size: VolumeSize::from_bytes(1 << 20)?,
        volume_type: VolumeType::LocalSsd,
    };
    let volume = Volume::empty(new, moment(0)?);
    VolumeRepository::insert(store, &volume, None)?;
    Ok(volume)
}

/// Available snapshots, a microsecond apart, and their tasks. As in the service, ids grow with time.
fn fill(path: &str, organization: OrganizationId, rows: u64) -> Result<(), Box<dyn Error>> {
    let owner = format!("x'{}'", organization.as_uuid().simple());
    let number = organization.as_uuid().as_u64_pair().1;
    let digest = format!("blake3-131072:{}", "5a".repeat(32));
    SqliteConnection::establish(path)?.batch_execute(&format!(
        "BEGIN;
         WITH RECURSIVE number (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM number WHERE n < {rows})
         INSERT INTO snapshots (id, organization_id, domain_id, name, tags, base_volume_id, base_volume_name, size_bytes,
             volume_type, created_at, modified_at, state, digest, stored_bytes, revision)
             SELECT unhex(printf('%016x%016x', n, {number})), {owner}, {owner}, 'snapshot-' || n, '', randomblob(16), 'vol-0-1',
                 1048576, 'l_ssd', n, n, 'available', '{digest}', 4096, 2
             FROM number;
         INSERT INTO tasks (id, organization_id, kind, snapshot_id, volume_id, domain_id, request_id, created_at, ended_at,
             state, cancel_requested, done_bytes, total_bytes, epoch)
             SELECT id, organization_id, 'capture', id, base_volume_id, organization_id, randomblob(16), created_at,
                 created_at, 'succeeded', 0, 1048576, 1048576, 1
             FROM snapshots WHERE organization_id = {owner};
         COMMIT;
         PRAGMA wal_checkpoint(TRUNCATE);"
    ))?;
    Ok(())
}

fn moment(micros: i64) -> Result<Timestamp, Box<dyn Error>> {
    Ok(Timestamp::from_micros(micros)?)
}
