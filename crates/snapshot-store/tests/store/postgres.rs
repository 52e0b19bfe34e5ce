//! What only a server can do to a store: lose its connections, and let two transactions store something at the same moment.

use std::{sync::Barrier, time::Duration};

use diesel::connection::SimpleConnection;
use snapshot_domain::{
    Error, Scope, Snapshot,
    ports::{OrganizationRepository, Slice, SnapshotQuery, SnapshotRepository, VolumeRepository},
    testing::{a_capture, a_snapshot, a_volume, an_organization, moment},
};
use snapshot_store::{Store, StoreOptions};

use crate::place::{in_a_postgres_schema, say_skipped};

#[test]
fn reads_do_not_notice_that_the_server_closed_their_connections() {
    let Some(within) = in_a_postgres_schema() else {
        return say_skipped("reads_do_not_notice_that_the_server_closed_their_connections");
    };
    let organization = an_organization();
    OrganizationRepository::insert(within.store(), &organization).unwrap();

    within.place.end_connections();
    let listed = OrganizationRepository::list(within.store());

    assert_eq!(listed.unwrap(), [organization]);
}

#[test]
fn writes_do_not_notice_that_the_server_closed_their_connections() {
    let Some(within) = in_a_postgres_schema() else {
        return say_skipped("writes_do_not_notice_that_the_server_closed_their_connections");
    };
    let organization = an_organization();
    OrganizationRepository::insert(within.store(), &organization).unwrap();
    let volume = a_volume(organization.id).build();

    within.place.end_connections();
    let inserted = VolumeRepository::insert(within.store(), &volume, None);

    assert!(inserted.is_ok(), "{inserted:?}");
    assert_eq!(VolumeRepository::get(within.store(), volume.id()).unwrap(), volume);
}

#[test]
fn one_lost_connection_replaces_all_that_are_as_old() {
    let Some(within) = in_a_postgres_schema() else {
        return say_skipped("one_lost_connection_replaces_all_that_are_as_old");
    };
    let at_once = 8;
    let together = Barrier::new(at_once);
    let use_all_connections = || {
        std::thread::scope(|scope| {
            let readers: Vec<_> = (0..at_once)
                .map(|_| {
                    scope.spawn(|| {
                        together.wait();
                        (0..20).all(|_| within.store().ping().is_ok())
                    })
                })
                .collect();
            readers.into_iter().all(|reader| reader.join().unwrap())
        })
    };
    assert!(use_all_connections());

    within.place.end_connections();

    assert!(use_all_connections());
}

#[test]
fn a_store_whose_connections_are_all_lent_is_unavailable() {
    let Some(within) = in_a_postgres_schema() else {
        return say_skipped("a_store_whose_connections_are_all_lent_is_unavailable");
    };
    let options = StoreOptions {
        connections: 1,
        connection_timeout: Duration::from_millis(100),
        ..StoreOptions::default()
    };
    let store = Store::open(&within.place.url(), options).unwrap();
    let organization = an_organization();
    let mut rival = within.place.connection();
    // Whoever inserts an organization has to wait for this lock, and holds the only connection meanwhile.
    rival
        .batch_execute("BEGIN; LOCK TABLE organizations IN SHARE MODE")
        .unwrap();

    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| OrganizationRepository::insert(&store, &organization));
        within.place.wait_until_a_lock_is_waited_for();
        let refused = store.ping();
        rival.batch_execute("COMMIT").unwrap();

        assert!(matches!(refused, Err(Error::Unavailable { .. })), "{refused:?}");
        assert!(waiting.join().unwrap().is_ok());
    });
}

#[test]
fn a_page_misses_nothing_also_when_of_two_snapshots_at_once_the_earlier_one_is_stored_later() {
    let Some(within) = in_a_postgres_schema() else {
        return say_skipped("a_page_misses_nothing_also_when_of_two_snapshots_at_once_the_earlier_one_is_stored_later");
    };
    let store = within.store();
    let organization = an_organization();
    OrganizationRepository::insert(store, &organization).unwrap();
    let volume = a_volume(organization.id).build();
    VolumeRepository::insert(store, &volume, None).unwrap();
    let at = |micros| {
        a_snapshot(organization.id)
            .of(&volume)
            .created_at(moment(micros))
            .build()
    };
    let (first, second, third) = (at(1), at(2), at(3));
    let begin = |snapshot: &Snapshot| store.begin(snapshot, &a_capture(snapshot).build(), &volume, None);
    begin(&first).unwrap();
    let everything = SnapshotQuery::all(Scope::new(vec![organization.id]));
    let page = |skip| {
        let slice = Slice {
            after: None,
            skip,
            limit: 1,
        };
        let listed = SnapshotRepository::list(store, &everything, slice).unwrap();
        listed.iter().map(|it| it.snapshot.id()).collect::<Vec<_>>()
    };
    // Stands for a store that is about to store the third one: the same row as the first one's, but for its place.
    let mut rival = within.place.connection();
    let id = third.id().as_uuid().simple();
    rival
        .batch_execute(&format!(
            "BEGIN;
             CREATE TEMPORARY TABLE copied AS SELECT * FROM snapshots;
             UPDATE copied SET id = '\\x{id}', created_at = created_at + 2;
             INSERT INTO snapshots SELECT * FROM copied"
        ))
        .unwrap();
    // Whoever stores a snapshot takes its volume's row last: so the second one is counted, and waits to be committed.
    let mut holder = within.place.connection();
    holder.batch_execute("BEGIN; LOCK TABLE volumes IN SHARE MODE").unwrap();

    std::thread::scope(|scope| {
        let storing = scope.spawn(|| begin(&second));
        within.place.wait_until_a_lock_is_waited_for();
        rival.batch_execute("COMMIT").unwrap();
        assert_eq!(page(1), [third.id()]);
        holder.batch_execute("COMMIT").unwrap();
        storing.join().unwrap().unwrap();
    });

    assert_eq!(page(2), [third.id()]);
    assert_eq!(page(1), [second.id()]);
}
