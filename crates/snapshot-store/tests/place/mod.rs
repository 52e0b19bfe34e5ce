//! Databases that go away after the test.

use std::sync::atomic::{AtomicU32, Ordering};

use diesel::{Connection, PgConnection, connection::SimpleConnection};
use snapshot_domain::{
    ports::{OrganizationRepository, PackRepository, SnapshotRepository, TaskQueue, TokenRepository, VolumeRepository},
    testing::contract::Ports,
};
use snapshot_store::{Store, StoreOptions};
use tempfile::TempDir;

/// A migrated store of its own, in a place that is removed with it.
pub struct StoreInPlace {
    store: Store,
    place: Place,
}

enum Place {
    Folder(TempDir),
    Schema(Schema),
}

/// A schema on a server.
pub struct Schema {
    server: String,
    name: String,
}

impl StoreInPlace {
    /// The store.
    pub const fn store(&self) -> &Store {
        &self.store
    }

    /// What another process would open it by.
    pub fn url(&self) -> String {
        match &self.place {
            Place::Folder(folder) => folder.path().join("metadata.sqlite").display().to_string(),
            Place::Schema(schema) => schema.url(),
        }
    }
}

/// A store in a new SQLite file.
pub fn in_a_temporary_file() -> StoreInPlace {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}", folder.path().join("metadata.sqlite").display());
    opened(&url, Place::Folder(folder))
}

/// A store in a new schema, if a server is known.
pub fn in_a_postgres_schema() -> Option<StoreInPlace> {
    let schema = Schema::make()?;
    let url = schema.url();
    Some(opened(&url, Place::Schema(schema)))
}

fn opened(url: &str, place: Place) -> StoreInPlace {
    let store = Store::open(url, StoreOptions::default()).unwrap();
    store.migrate().unwrap();
    StoreInPlace { store, place }
}

impl Schema {
    /// A new schema on the server that the environment names.
    pub fn make() -> Option<Self> {
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

    /// A URL that ends in the schema.
    pub fn url(&self) -> String {
        let separator = if self.server.contains('?') { '&' } else { '?' };
        format!("{}{separator}options=-csearch_path%3D{}", self.server, self.name)
    }

    /// Runs SQL on the server, outside the schema.
    pub fn tell_server(&self, sql: &str) {
        let mut connection = PgConnection::establish(&self.server).unwrap();
        connection.batch_execute(sql).unwrap();
    }
}

impl Drop for Schema {
    fn drop(&mut self) {
        self.tell_server(&format!("DROP SCHEMA {} CASCADE", self.name));
    }
}

impl Ports for StoreInPlace {
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
}
