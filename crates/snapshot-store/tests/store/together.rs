//! Reads that a thread does together.

use std::panic::{AssertUnwindSafe, catch_unwind};

use snapshot_domain::{
    Scope, TokenHash, TokenRecord,
    ports::{OrganizationRepository, Slice, SnapshotQuery, SnapshotRepository, TokenRepository},
    testing::{a_token_record, an_organization, moment},
};
use snapshot_store::{Store, StoreOptions};

use crate::place::in_a_temporary_file;

fn a_token(store: &Store) -> TokenRecord {
    let organization = an_organization();
    OrganizationRepository::insert(store, &organization).unwrap();
    let token = a_token_record(organization.id);
    TokenRepository::insert(store, &token).unwrap();
    token
}

fn is_taken(store: &Store, hash: &TokenHash) -> bool {
    TokenRepository::caller(store, hash, moment(1)).unwrap().is_some()
}

#[test]
fn reads_that_are_done_together_see_one_moment_and_the_next_ones_another() {
    let place = in_a_temporary_file();
    let store = place.store();
    let token = a_token(store);
    let elsewhere = Store::open(&place.place.url(), StoreOptions::default()).unwrap();

    let seen = store.together(|| {
        let before = is_taken(store, &token.hash);
        elsewhere.revoke(token.id, moment(0)).unwrap();
        (before, is_taken(store, &token.hash))
    });

    assert_eq!(seen, (true, true));
    assert!(!is_taken(store, &token.hash));
    assert!(!store.together(|| is_taken(store, &token.hash)));
}

#[test]
fn a_moment_begins_with_the_first_read() {
    let place = in_a_temporary_file();
    let store = place.store();
    let token = a_token(store);

    let is_taken = store.together(|| {
        store.revoke(token.id, moment(0)).unwrap();
        is_taken(store, &token.hash)
    });

    assert!(!is_taken);
}

#[test]
fn a_panic_among_reads_leaves_nothing_behind() {
    let place = in_a_temporary_file();
    let store = place.store();
    let token = a_token(store);

    let panicked = catch_unwind(AssertUnwindSafe(|| {
        store.together(|| {
            assert!(is_taken(store, &token.hash));
            panic!("a bug");
        })
    }));
    store.revoke(token.id, moment(0)).unwrap();

    assert!(panicked.is_err());
    assert!(!is_taken(store, &token.hash));
    assert!(!store.together(|| is_taken(store, &token.hash)));
}

#[test]
fn another_store_is_read_as_ever_meanwhile() {
    let (place, other) = (in_a_temporary_file(), in_a_temporary_file());
    let token = a_token(place.store());

    place.store().together(|| {
        other.store().together(|| {
            assert!(is_taken(place.store(), &token.hash));
            assert!(!is_taken(other.store(), &token.hash));
        });
    });
}

#[test]
fn lists_that_need_a_moment_of_their_own_share_the_one_that_there_is() {
    let place = in_a_temporary_file();
    let store = place.store();
    let organizations: Vec<_> = [a_token(store), a_token(store)]
        .iter()
        .map(|token| token.organizations[0])
        .collect();

    let listed = store.together(|| {
        let later = Slice {
            skip: 1,
            ..Slice::first(10)
        };
        for scope in [organizations.clone(), organizations[..1].to_vec()] {
            let everything = SnapshotQuery::all(Scope::new(scope));
            SnapshotRepository::count(store, &everything)?;
            SnapshotRepository::list(store, &everything, later)?;
        }
        Ok::<_, snapshot_domain::Error>(())
    });

    listed.unwrap();
}
