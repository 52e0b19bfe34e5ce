//! Databases that go away after the test.

use std::{
    io::Write,
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

use diesel::{Connection, PgConnection, QueryableByName, RunQueryDsl, connection::SimpleConnection, sql_types::BigInt};
use snapshot_domain::{
    ports::{
        AuditLog, CheckRepository, MaintenanceQueue, OrganizationRepository, PackRepository, QuotaRepository,
        ReceiptRepository, SnapshotRepository, SnapshotSizes, TaskQueue, TokenRepository, TransferRepository,
        VolumeRepository,
    },
    testing::contract::Ports,
};
use snapshot_store::{Store, StoreOptions};
use tempfile::TempDir;

/// A migrated store of its own, and the place it is in.
pub(crate) struct StoreIn<P> {
    // Before the place, so that it is closed before that goes away.
    store: Store,
    pub(crate) place: P,
}

/// A folder with an SQLite file in it.
pub(crate) struct Folder(TempDir);

/// A schema on a PostgreSQL server.
pub(crate) struct Schema {
    server: String,
    pub(crate) name: String,
}

impl<P> StoreIn<P> {
    /// The store.
    pub(crate) const fn store(&self) -> &Store {
        &self.store
    }

    /// Closes the store, and leaves its place.
    pub(crate) fn close(self) -> P {
        drop(self.store);
        self.place
    }
}

/// A store in a new SQLite file.
pub(crate) fn in_a_temporary_file() -> StoreIn<Folder> {
    let place = Folder(tempfile::tempdir().unwrap());
    let store = migrated(&place.url());
    StoreIn { store, place }
}

/// A store in a new schema, if a server is known.
pub(crate) fn in_a_postgres_schema() -> Option<StoreIn<Schema>> {
    let place = Schema::make()?;
    let store = migrated(&place.url());
    Some(StoreIn { store, place })
}

/// Says that a test has no server. Not by a print macro: the test runner would hide it.
pub(crate) fn say_skipped(test: &str) {
    let _ = writeln!(
        std::io::stderr(),
        "skipped, there is no PostgreSQL server to run it on: {test}"
    );
}

fn migrated(url: &str) -> Store {
    let store = Store::open(url, StoreOptions::default()).unwrap();
    store.migrate().unwrap();
    store
}

impl Folder {
    /// The file.
    pub(crate) fn url(&self) -> String {
        format!("sqlite://{}", self.file())
    }

    /// The file's path.
    pub(crate) fn file(&self) -> String {
        self.0.path().join("metadata.sqlite").display().to_string()
    }
}

impl Schema {
    /// A new schema on the server that the environment names.
    pub(crate) fn make() -> Option<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let server = std::env::var("SNAPSHOT_TEST_POSTGRES_URL").ok()?;
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("test_{}_{number}", std::process::id());
        let schema = Self { server, name };
        // A process of the same number may have been killed before it cleaned up.
        schema.tell_server(&format!(
            "DROP SCHEMA IF EXISTS {0} CASCADE; CREATE SCHEMA {0}",
            schema.name
        ));
        Some(schema)
    }

    /// A URL that ends in the schema. Connections carry its name.
    pub(crate) fn url(&self) -> String {
        let separator = if self.server.contains('?') { '&' } else { '?' };
        format!(
            "{0}{separator}options=-csearch_path%3D{1}&application_name={1}",
            self.server, self.name
        )
    }

    /// A connection to the schema for something that a store does not do.
    pub(crate) fn connection(&self) -> PgConnection {
        let mut connection = PgConnection::establish(&self.server).unwrap();
        connection
            .batch_execute(&format!("SET search_path = {}", self.name))
            .unwrap();
        connection
    }

    /// Ends every connection of stores in this schema; returns when they are gone.
    pub(crate) fn end_connections(&self) {
        self.tell_server(&format!(
            "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE application_name = '{}'",
            self.name
        ));
    }

    /// Returns when a store in this schema waits for somebody else's lock.
    pub(crate) fn wait_until_a_lock_is_waited_for(&self) {
        #[derive(QueryableByName)]
        struct Waiting {
            #[diesel(sql_type = BigInt)]
            count: i64,
        }
        let mut connection = self.connection();
        let deadline = Instant::now() + Duration::from_secs(30);
        let query = format!(
            "SELECT count(*) AS count FROM pg_stat_activity WHERE application_name = '{}' AND wait_event_type = 'Lock'",
            self.name
        );
        while diesel::sql_query(&query)
            .get_result::<Waiting>(&mut connection)
            .unwrap()
            .count
            == 0
        {
            assert!(Instant::now() < deadline, "nobody waits for a lock");
        }
    }

    fn tell_server(&self, sql: &str) {
        let mut connection = PgConnection::establish(&self.server).unwrap();
        connection.batch_execute(sql).unwrap();
    }
}

/// A test that fails leaves its schema to be looked at.
impl Drop for Schema {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        self.tell_server(&format!("DROP SCHEMA {} CASCADE", self.name));
    }
}

impl<P: Sync> Ports for StoreIn<P> {
    fn organizations(&self) -> &dyn OrganizationRepository {
        &self.store
    }

    fn tokens(&self) -> &dyn TokenRepository {
        &self.store
    }

    fn volumes(&self) -> &dyn VolumeRepository {
        &self.store
    }

    fn snapshots(&self) -> &dyn SnapshotRepository {
        &self.store
    }

    fn tasks(&self) -> &dyn TaskQueue {
        &self.store
    }

    fn packs(&self) -> &dyn PackRepository {
        &self.store
    }

    fn receipts(&self) -> &dyn ReceiptRepository {
        &self.store
    }

    fn checks(&self) -> &dyn CheckRepository {
        &self.store
    }

    fn quotas(&self) -> &dyn QuotaRepository {
        &self.store
    }

    fn maintenance(&self) -> &dyn MaintenanceQueue {
        &self.store
    }

    fn sizes(&self) -> &dyn SnapshotSizes {
        &self.store
    }

    fn audit(&self) -> &dyn AuditLog {
        &self.store
    }

    fn transfers(&self) -> &dyn TransferRepository {
        &self.store
    }
}
