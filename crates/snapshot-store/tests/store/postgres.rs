//! What only a server can do to a store: lose its connections.

use std::{sync::Barrier, time::Duration};

use diesel::connection::SimpleConnection;
use snapshot_domain::{
    Error,
    ports::{OrganizationRepository, VolumeRepository},
    testing::{a_volume, an_organization},
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
