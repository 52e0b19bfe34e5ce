//! How SQLite checks the words in rows.

use diesel::{
    Connection as _, QueryableByName, RunQueryDsl as _, SqliteConnection,
    connection::SimpleConnection as _,
    result::{DatabaseErrorKind, Error},
    sql_types::Text,
};
use snapshot_domain::{
    ports::{OrganizationRepository, SnapshotRepository as _, VolumeRepository},
    testing::{a_capture, a_snapshot, a_volume, an_organization},
};
use snapshot_store::{Store, StoreOptions};
use tempfile::TempDir;

/// A new file with a row in each of the tables that are written all the time.
fn rows() -> (TempDir, SqliteConnection) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("metadata.sqlite");
    let store = Store::open(path.to_str().unwrap(), StoreOptions::default()).unwrap();
    store.migrate().unwrap();
    let organization = an_organization();
    let volume = a_volume(organization.id).build();
    let snapshot = a_snapshot(organization.id).of(&volume).build();
    OrganizationRepository::insert(&store, &organization).unwrap();
    VolumeRepository::insert(&store, &volume, None).unwrap();
    store
        .begin(&snapshot, &a_capture(&snapshot).build(), &volume, None)
        .unwrap();
    drop(store);
    let mut connection = SqliteConnection::establish(path.to_str().unwrap()).unwrap();
    connection
        .batch_execute(
            "INSERT INTO packs (id, domain_id, size_bytes, chunks) VALUES (zeroblob(16), zeroblob(16), 1, 1)",
        )
        .unwrap();
    (folder, connection)
}

#[derive(QueryableByName)]
struct Step {
    #[diesel(sql_type = Text)]
    opcode: String,
}

#[test]
fn no_row_is_checked_against_a_table_made_for_it() {
    let (_folder, mut connection) = rows();

    for (table, columns) in [
        ("snapshots", 20),
        ("tasks", 19),
        ("volumes", 15),
        ("packs", 6),
        ("audit", 9),
    ] {
        let nothing = vec!["NULL"; columns].join(", ");
        let steps: Vec<Step> = diesel::sql_query(format!("EXPLAIN INSERT INTO {table} VALUES ({nothing})"))
            .load(&mut connection)
            .unwrap();

        assert!(steps.iter().any(|step| step.opcode == "IdxInsert"), "{table}");
        assert!(!steps.iter().any(|step| step.opcode == "OpenEphemeral"), "{table}");
    }
}

#[test]
fn words_that_nobody_knows_are_refused() {
    let (_folder, mut connection) = rows();

    for column in [
        "snapshots SET state",
        "snapshots SET health",
        "tasks SET kind",
        "tasks SET state",
        "volumes SET state",
        "packs SET standing",
    ] {
        let changed = connection.batch_execute(&format!("UPDATE {column} = 'unknown'"));

        let refused = matches!(changed, Err(Error::DatabaseError(DatabaseErrorKind::CheckViolation, _)));
        assert!(refused, "{column}: {changed:?}");
    }
}
