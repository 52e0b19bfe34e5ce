//! Reads that a thread does together.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    time::{Duration, Instant},
};

use snapshot_domain::{
    Scope, TokenHash, TokenRecord,
    ports::{OrganizationRepository, Slice, SnapshotQuery, SnapshotRepository, TokenRepository},
    testing::{a_token_record, an_organization, moment},
};
use snapshot_store::{OLDEST_READ, Store, StoreOptions};

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

#[test]
fn what_this_process_commits_is_seen_in_a_transaction_that_was_left_open() {
    let place = in_a_temporary_file();
    let store = place.store();
    let token = a_token(store);

    let (before, _) = store.together_and_on(|| is_taken(store, &token.hash));
    store.revoke(token.id, moment(0)).unwrap();
    let (after, _) = store.together_and_on(|| is_taken(store, &token.hash));
    let by_itself = is_taken(store, &token.hash);
    store.end_together();

    assert!(before);
    assert!(!after);
    assert!(!by_itself);
}

#[test]
fn what_another_process_commits_is_seen_after_the_oldest_read() {
    let place = in_a_temporary_file();
    let store = place.store();
    let token = a_token(store);
    let elsewhere = Store::open(&place.place.url(), StoreOptions::default()).unwrap();

    let (before, _) = store.together_and_on(|| is_taken(store, &token.hash));
    elsewhere.revoke(token.id, moment(0)).unwrap();
    let revoked = Instant::now();
    while revoked.elapsed() < OLDEST_READ {
        std::hint::spin_loop();
    }
    let (after, _) = store.together_and_on(|| is_taken(store, &token.hash));
    store.end_together();

    assert!(before);
    assert!(!after);
}

#[test]
fn a_token_that_was_looked_up_expires_all_the_same() {
    let place = in_a_temporary_file();
    let store = place.store();
    let organization = an_organization();
    OrganizationRepository::insert(store, &organization).unwrap();
    let token = TokenRecord {
        expires_at: Some(moment(5)),
        ..a_token_record(organization.id)
    };
    TokenRepository::insert(store, &token).unwrap();

    let seen = store.together(|| [4, 5, 4].map(|at| TokenRepository::caller(store, &token.hash, moment(at)).unwrap()));

    assert_eq!(seen.map(|caller| caller.is_some()), [true, false, true]);
}

#[test]
fn tokens_that_are_looked_up_together_are_not_mixed_up() {
    let place = in_a_temporary_file();
    let store = place.store();
    let tokens: Vec<_> = (0..20).map(|_| a_token(store)).collect();
    let caller = |token: &TokenRecord| TokenRepository::caller(store, &token.hash, moment(1)).unwrap();

    let seen: Vec<_> = store.together(|| tokens.iter().chain(&tokens).map(caller).collect());

    for (token, caller) in tokens.iter().chain(&tokens).zip(seen) {
        let caller = caller.unwrap();
        assert_eq!(
            (caller.token, caller.organizations),
            (token.id, token.organizations.clone())
        );
    }
}

#[test]
fn an_end_is_owed_once_for_all_reads_that_share_a_transaction() {
    let place = in_a_temporary_file();
    let store = place.store();
    let token = a_token(store);
    let read = || store.together_and_on(|| is_taken(store, &token.hash));

    let owed = [read().1, read().1];
    store.end_together();
    let owed_again = read().1;
    store.end_together();

    assert_eq!(owed, [true, false]);
    assert!(owed_again);
}

#[test]
fn a_transaction_that_was_left_open_keeps_no_connection_from_its_own_thread() {
    let place = in_a_temporary_file();
    let token = a_token(place.store());
    let options = StoreOptions {
        connections: 1,
        connection_timeout: Duration::from_millis(200),
        ..StoreOptions::default()
    };
    let store = Store::open(&place.place.url(), options).unwrap();
    let read = || store.together_and_on(|| is_taken(&store, &token.hash)).0;

    assert!(read());
    store.revoke(token.id, moment(0)).unwrap();

    assert!(!is_taken(&store, &token.hash));
    assert!(!read());
    assert!(!store.together(|| is_taken(&store, &token.hash)));
    store.end_together();
}

#[test]
fn a_panic_among_reads_leaves_no_transaction_open() {
    let place = in_a_temporary_file();
    let store = place.store();
    let token = a_token(store);

    let panicked = catch_unwind(AssertUnwindSafe(|| {
        store.together_and_on(|| {
            assert!(is_taken(store, &token.hash));
            panic!("a bug");
        })
    }));
    store.revoke(token.id, moment(0)).unwrap();
    let (after, _) = store.together_and_on(|| is_taken(store, &token.hash));
    store.end_together();

    assert!(panicked.is_err());
    assert!(!after);
}

#[test]
fn who_goes_on_reading_waits_for_nobody_who_has_the_last_connection() {
    let place = in_a_temporary_file();
    let token = a_token(place.store());
    let options = StoreOptions {
        connections: 1,
        connection_timeout: Duration::from_millis(1),
        ..StoreOptions::default()
    };
    let store = Store::open(&place.place.url(), options).unwrap();

    let held = store.together(|| {
        // Its reads are done on the pool's only connection, until the other thread has ended.
        let elsewhere = || {
            let (is_taken, _) = store.together_and_on(|| is_taken(&store, &token.hash));
            store.end_together();
            is_taken
        };
        std::thread::scope(|scope| [(); 2].map(|()| scope.spawn(elsewhere).join().unwrap()))
    });

    assert_eq!(held, [true, true]);
}
