//! Opening, migrating and reopening, alone and together.

use std::{
    process::{Child, Command, Stdio},
    sync::Barrier,
};

use diesel::{Connection, SqliteConnection, connection::SimpleConnection};
use snapshot_domain::{
    Error, Organization, OrganizationId, Role, Scope, SnapshotId, TokenHash, VolumeId,
    ports::{OrganizationRepository, Slice, SnapshotSizes, TokenRepository, VolumeQuery, VolumeRepository},
    testing::{a_volume, an_organization, moment},
};
use snapshot_store::{MigrateError, OpenError, Store, StoreOptions};
use uuid::Uuid;

use crate::place::{Schema, in_a_temporary_file, say_skipped};

/// Everybody opens and migrates at the same moment; returns how many migrations each of them ran.
fn open_together(openers: usize, url: &str) -> Vec<usize> {
    let together = Barrier::new(openers);
    std::thread::scope(|scope| {
        let openers: Vec<_> = (0..openers)
            .map(|_| {
                scope.spawn(|| {
                    together.wait();
                    let store = Store::open(url, StoreOptions::default()).unwrap();
                    let run = store.migrate().unwrap();
                    store.ping().unwrap();
                    run
                })
            })
            .collect();
        openers.into_iter().map(|opener| opener.join().unwrap()).collect()
    })
}

#[test]
fn of_32_that_open_a_new_file_at_once_one_makes_the_tables() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("metadata.sqlite");

    let mut run = open_together(32, path.to_str().unwrap());

    run.sort_unstable();
    assert!(run[31] > 0);
    assert_eq!(run[..31], [0; 31]);
}

#[test]
fn of_32_that_open_a_new_schema_at_once_one_makes_the_tables() {
    let Some(schema) = Schema::make() else {
        return say_skipped("of_32_that_open_a_new_schema_at_once_one_makes_the_tables");
    };

    let mut run = open_together(32, &schema.url());

    run.sort_unstable();
    assert!(run[31] > 0);
    assert_eq!(run[..31], [0; 31]);
}

/// What the other processes of the next test do: each runs this test alone, and knows by its environment that it is one.
#[test]
fn a_process_of_its_own_can_use_the_store() {
    let url = std::env::var("URL_FOR_ANOTHER_PROCESS");
    let place = in_a_temporary_file();

    let store = Store::open(&url.unwrap_or(place.place.url()), StoreOptions::default()).unwrap();
    store.migrate().unwrap();

    write_a_hundred_volumes(&store);
}

fn another_process(url: &str) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "opening::a_process_of_its_own_can_use_the_store"])
        .env("URL_FOR_ANOTHER_PROCESS", url)
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

/// Under ids that no other process has: those of the builders are counted from the same start in each of them.
fn write_a_hundred_volumes(store: &Store) {
    let organization = Organization {
        id: OrganizationId::new(Uuid::new_v4()),
        ..an_organization()
    };
    OrganizationRepository::insert(store, &organization).unwrap();
    for _ in 0..100 {
        let id = VolumeId::new(Uuid::new_v4());
        VolumeRepository::insert(store, &a_volume(organization.id).id(id).build(), None).unwrap();
    }
}

#[test]
fn several_processes_write_to_one_new_file_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("metadata.sqlite");
    let url = path.to_str().unwrap();

    let others: Vec<_> = (0..6).map(|_| another_process(url)).collect();
    let store = Store::open(url, StoreOptions::default()).unwrap();
    store.migrate().unwrap();
    write_a_hundred_volumes(&store);
    let went_well = others.into_iter().map(|mut other| other.wait().unwrap().success());
    assert!(went_well.collect::<Vec<_>>().iter().all(|well| *well));

    let organizations: Vec<_> = OrganizationRepository::list(&store)
        .unwrap()
        .into_iter()
        .map(|it| it.id)
        .collect();
    let everything = VolumeQuery::all(Scope::new(organizations));
    assert_eq!(VolumeRepository::count(&store, &everything).unwrap(), 700);
    let listed = VolumeRepository::list(&store, &everything, Slice::first(1000)).unwrap();
    assert_eq!(listed.len(), 700);
}

#[test]
fn what_was_acknowledged_is_there_after_reopening() {
    let before = in_a_temporary_file();
    let url = before.place.url();
    let organization = an_organization();
    OrganizationRepository::insert(before.store(), &organization).unwrap();
    let volumes: Vec<_> = (0..200).map(|_| a_volume(organization.id).build()).collect();
    std::thread::scope(|scope| {
        for volumes in volumes.chunks(10) {
            let store = before.store();
            scope.spawn(move || {
                for volume in volumes {
                    VolumeRepository::insert(store, volume, None).unwrap();
                }
            });
        }
    });

    let folder = before.close();
    let after = Store::open(&url, StoreOptions::default()).unwrap();

    let everything = VolumeQuery::all(Scope::new(vec![organization.id]));
    let listed = VolumeRepository::list(&after, &everything, Slice::first(1000)).unwrap();
    assert_eq!(after.migrate().unwrap(), 0);
    assert_eq!(listed, volumes);
    drop(folder);
}

#[test]
fn a_database_of_a_newer_version_is_left_alone() {
    let place = in_a_temporary_file();
    let mut connection = SqliteConnection::establish(&place.place.file()).unwrap();
    connection
        .batch_execute("INSERT INTO __diesel_schema_migrations (version) VALUES ('99999999999999')")
        .unwrap();

    let refused = place.store().migrate();

    assert!(matches!(refused, Err(MigrateError::TooNew { version }) if version == "99999999999999"));
}

#[test]
fn a_store_without_tables_is_unavailable() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("metadata.sqlite");
    let store = Store::open(path.to_str().unwrap(), StoreOptions::default()).unwrap();

    assert!(matches!(store.ping(), Err(Error::Unavailable { .. })));
}

#[test]
fn a_file_that_is_no_database_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("metadata.sqlite");
    std::fs::write(&path, "not a database, but quite a long text about one".repeat(100)).unwrap();

    let refused = Store::open(path.to_str().unwrap(), StoreOptions::default())
        .err()
        .unwrap();

    assert!(matches!(refused, OpenError::Connect(_)));
    assert!(refused.to_string().contains("metadata.sqlite"), "{refused}");
}

#[test]
fn a_folder_that_is_not_there_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("missing/metadata.sqlite");

    let refused = Store::open(path.to_str().unwrap(), StoreOptions::default())
        .err()
        .unwrap();

    assert!(refused.to_string().contains("missing/metadata.sqlite"), "{refused}");
}

#[test]
fn a_server_that_is_not_there_is_refused_without_its_password() {
    // Nobody can listen on port 1 but the superuser, and nobody does.
    let url = "postgres://me:hunter2@127.0.0.1:1/snapshots";

    let refused = Store::open(url, StoreOptions::default()).err().unwrap();

    assert!(refused.to_string().contains("me@127.0.0.1:1"), "{refused}");
    assert!(!format!("{refused:?} {refused}").contains("hunter2"), "{refused:?}");
}

#[test]
fn a_token_from_before_there_were_roles_goes_on_doing_all_that_it_did() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("metadata.sqlite");
    let hash = [7; 32];
    SqliteConnection::establish(path.to_str().unwrap())
        .unwrap()
        .batch_execute(&format!(
            "{}
            CREATE TABLE __diesel_schema_migrations (version VARCHAR(50) PRIMARY KEY NOT NULL,
                run_on TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP);
            INSERT INTO __diesel_schema_migrations (version) VALUES ('00000000000001');
            INSERT INTO organizations VALUES (zeroblob(16), 'Lighthouse', 0);
            INSERT INTO account_organizations VALUES (zeroblob(16), zeroblob(16), 1);
            INSERT INTO tokens VALUES (zeroblob(16), zeroblob(16), 'old', X'{}', 0, NULL);",
            include_str!("../../migrations/sqlite/00000000000001_first_tables/up.sql"),
            "07".repeat(32),
        ))
        .unwrap();

    let store = Store::open(path.to_str().unwrap(), StoreOptions::default()).unwrap();
    store.migrate().unwrap();

    let caller = store.caller(&TokenHash::from_bytes(hash), moment(0)).unwrap().unwrap();
    assert_eq!(caller.role, Role::Admin);
    assert_eq!(TokenRepository::list(&store).unwrap()[0].expires_at, None);
}

#[test]
fn what_a_snapshot_takes_for_itself_is_known_after_it_moved_into_its_row() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("metadata.sqlite");
    let before =
        (1..=10).map(|number| format!("INSERT INTO __diesel_schema_migrations (version) VALUES ('{number:014}');"));
    let mut connection = SqliteConnection::establish(path.to_str().unwrap()).unwrap();
    for tables in [
        include_str!("../../migrations/sqlite/00000000000001_first_tables/up.sql"),
        include_str!("../../migrations/sqlite/00000000000002_maintenance/up.sql"),
        include_str!("../../migrations/sqlite/00000000000003_health_and_salvage/up.sql"),
        include_str!("../../migrations/sqlite/00000000000004_token_roles/up.sql"),
        include_str!("../../migrations/sqlite/00000000000005_quotas/up.sql"),
        include_str!("../../migrations/sqlite/00000000000006_audit/up.sql"),
        include_str!("../../migrations/sqlite/00000000000007_transfers/up.sql"),
        include_str!("../../migrations/sqlite/00000000000008_receipts/up.sql"),
        include_str!("../../migrations/sqlite/00000000000009_lists/up.sql"),
        include_str!("../../migrations/sqlite/00000000000010_one_count/up.sql"),
    ] {
        connection.batch_execute(tables).unwrap();
    }
    connection
        .batch_execute(&format!(
            "CREATE TABLE __diesel_schema_migrations (version VARCHAR(50) PRIMARY KEY NOT NULL,
                run_on TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP);
            {}
            INSERT INTO organizations VALUES (zeroblob(16), 'Lighthouse', 0);
            WITH numbered (id) AS (VALUES (X'{}'), (X'{}'))
            INSERT INTO snapshots (id, organization_id, domain_id, name, tags, base_volume_id, base_volume_name, size_bytes,
                volume_type, created_at, modified_at, state, digest, stored_bytes, revision)
                SELECT id, zeroblob(16), zeroblob(16), 'nightly', '', zeroblob(16), 'root', 512, 'l_ssd', 0, 0, 'available',
                    'none', 4096, 1
                FROM numbered;
            INSERT INTO snapshot_sizes VALUES (X'{}', zeroblob(16), 4096);
            UPDATE domain_sizes SET measured = changes;",
            before.collect::<String>(),
            "01".repeat(16),
            "02".repeat(16),
            "01".repeat(16),
        ))
        .unwrap();
    drop(connection);

    let store = Store::open(path.to_str().unwrap(), StoreOptions::default()).unwrap();
    assert!(store.migrate().unwrap() > 0);

    let [measured, other] = [1, 2].map(|byte| SnapshotId::new(Uuid::from_bytes([byte; 16])));
    assert_eq!(store.exclusive_bytes(&[measured, other]).unwrap(), [(measured, 4096)]);
}
