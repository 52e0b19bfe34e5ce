//! Sizes of more snapshots than one write stores, while the snapshots become others: never a mixture.

use std::{
    sync::{
        Barrier,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use diesel::{Connection, SqliteConnection, connection::SimpleConnection};
use snapshot_domain::{
    Organization, OrganizationId, SnapshotId,
    ports::{OrganizationRepository, SnapshotSizes},
    testing::an_organization,
};
use snapshot_store::Store;
use uuid::Uuid;

use crate::place::{in_a_postgres_schema, in_a_temporary_file, say_skipped};

/// More than two writes' worth.
const SNAPSHOTS: u128 = 2_500;
/// How often the snapshots become others.
const CHANGES: u128 = 20;

#[test]
fn sizes_of_thousands_are_those_of_one_change_in_sqlite() {
    let place = in_a_temporary_file();
    let mut connection = SqliteConnection::establish(&place.place.file()).unwrap();
    connection.batch_execute("PRAGMA busy_timeout = 60000").unwrap();
    sizes_are_those_of_one_change(
        place.store(),
        |statement| connection.batch_execute(statement).unwrap(),
        |id| format!("X'{}'", id.simple()),
    );
}

#[test]
fn sizes_of_thousands_are_those_of_one_change_in_postgres() {
    let Some(place) = in_a_postgres_schema() else {
        return say_skipped("sizes_of_thousands_are_those_of_one_change_in_postgres");
    };
    let mut connection = place.place.connection();
    sizes_are_those_of_one_change(
        place.store(),
        |statement| connection.batch_execute(statement).unwrap(),
        |id| format!("'\\x{}'::bytea", id.simple()),
    );
}

/// Two measure one after the other's change and at once, somebody adds snapshots, and somebody reads.
fn sizes_are_those_of_one_change(store: &Store, mut execute: impl FnMut(&str), literal: fn(Uuid) -> String) {
    let organization = an_organization();
    OrganizationRepository::insert(store, &organization).unwrap();
    let mut add = |numbers: std::ops::Range<u128>| execute(&insert(&organization, numbers, literal));
    add(1..SNAPSHOTS + 1);
    // Some of each write, few enough to be read at one moment.
    let some: Vec<_> = (1..SNAPSHOTS)
        .step_by(10)
        .map(|n| SnapshotId::new(Uuid::from_u128(n)))
        .collect();
    let told = || {
        let told = store.exclusive_bytes(&some).unwrap();
        assert!(
            told.is_empty() || told.len() == some.len(),
            "{} of {}",
            told.len(),
            some.len()
        );
        assert!(told.iter().all(|it| it.1 == told[0].1), "{told:?}");
    };
    let is_over = AtomicBool::new(false);
    let begin = Barrier::new(4);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                begin.wait();
                while !is_over.load(Ordering::Relaxed) {
                    measure(store, organization.id);
                }
            });
        }
        scope.spawn(|| {
            begin.wait();
            while !is_over.load(Ordering::Relaxed) {
                told();
            }
        });
        begin.wait();
        for number in SNAPSHOTS + 1..=SNAPSHOTS + CHANGES {
            // Half of the changes come while sizes are being stored, the others after.
            if number % 2 == 0 {
                while !store.unmeasured().unwrap().is_empty() {
                    thread::yield_now();
                }
            }
            add(number..number + 1);
        }
        is_over.store(true, Ordering::Relaxed);
    });

    assert!(measure(store, organization.id));
    told();
    assert_eq!(store.exclusive_bytes(&some).unwrap().len(), some.len());
}

/// As if each snapshot took as many bytes as there were changes.
fn measure(store: &Store, domain: OrganizationId) -> bool {
    let present = store.snapshots_of(domain).unwrap();
    let sizes: Vec<_> = present.snapshots.iter().map(|id| (*id, present.change)).collect();
    store.store(domain, present.change, &sizes).unwrap()
}

/// One statement that inserts whole snapshots with these numbers as ids.
fn insert(organization: &Organization, numbers: std::ops::Range<u128>, literal: fn(Uuid) -> String) -> String {
    let owner = literal(organization.id.as_uuid());
    let rows: Vec<_> = numbers
        .map(|number| {
            let id = literal(Uuid::from_u128(number));
            format!("({id}, {owner}, {owner}, 'nightly', '', {owner}, 'root', 512, 'l_ssd', {number}, 0, 'available', 'none', 4096, 1)")
        })
        .collect();
    format!(
        "INSERT INTO snapshots (id, organization_id, domain_id, name, tags, base_volume_id, base_volume_name, size_bytes,
            volume_type, created_at, modified_at, state, digest, stored_bytes, revision)
         VALUES {}",
        rows.join(", ")
    )
}
