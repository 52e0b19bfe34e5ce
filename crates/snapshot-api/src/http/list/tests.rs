//! Where lists are read, and their links.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread::{self, ThreadId},
};

use actix_web::{
    body::to_bytes,
    dev::Service,
    rt::System,
    test::{TestRequest, init_service},
};
use futures_util::future::join_all;
use snapshot_domain::{
    TokenRecord,
    ports::{OrganizationRepository, TokenRepository, VolumeRepository},
    testing::{Services, a_token_record, a_volume, an_organization, moment},
};

use super::*;
use crate::http::{
    Reads, app,
    in_memory::{api_of, token},
};

fn check(number: u64, total: u64, expected: &str) {
    let page = Page { number, per_page: 10 };
    assert_eq!(
        links("/snapshots", page, total, "&name=a%20b"),
        expected.replace('+', "&name=a%20b")
    );
}

#[test]
fn links_lead_to_the_neighbours_that_there_are() {
    check(1, 0, r#"</snapshots?page=1&per_page=10+>; rel="last""#);
    check(1, 10, r#"</snapshots?page=1&per_page=10+>; rel="last""#);
    check(
        1,
        11,
        r#"</snapshots?page=2&per_page=10+>; rel="next",</snapshots?page=2&per_page=10+>; rel="last""#,
    );
    check(
        2,
        90,
        concat!(
            r#"</snapshots?page=1&per_page=10+>; rel="first",</snapshots?page=1&per_page=10+>; rel="previous","#,
            r#"</snapshots?page=3&per_page=10+>; rel="next",</snapshots?page=9&per_page=10+>; rel="last""#,
        ),
    );
    check(
        9,
        90,
        concat!(
            r#"</snapshots?page=1&per_page=10+>; rel="first",</snapshots?page=8&per_page=10+>; rel="previous","#,
            r#"</snapshots?page=9&per_page=10+>; rel="last""#,
        ),
    );
}

#[test]
fn past_the_end_the_previous_page_is_the_last_one() {
    check(
        7,
        11,
        concat!(
            r#"</snapshots?page=1&per_page=10+>; rel="first",</snapshots?page=2&per_page=10+>; rel="previous","#,
            r#"</snapshots?page=2&per_page=10+>; rel="last""#,
        ),
    );
}

/// Notes on which threads long reads are done, and how many at once.
#[derive(Default)]
struct Noted {
    threads: Mutex<Vec<ThreadId>>,
    now: AtomicUsize,
    most: AtomicUsize,
}

impl Reads for Noted {
    fn together(&self, reads: &mut dyn FnMut()) -> bool {
        reads();
        false
    }

    fn end(&self) {}

    fn at_one_moment(&self, reads: &mut dyn FnMut()) {
        self.threads.lock().unwrap().push(thread::current().id());
        let now = self.now.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(now, Ordering::SeqCst);
        // The others get every chance to begin meanwhile.
        for _ in 0..100 {
            thread::yield_now();
        }
        reads();
        self.now.fetch_sub(1, Ordering::SeqCst);
    }
}

/// What is noted while somebody with so many organizations asks for these all at once.
fn noted(organizations: usize, paths: &[&str]) -> Arc<Noted> {
    let services = Services::default();
    let owners: Vec<_> = (0..organizations).map(|_| an_organization()).collect();
    for owner in &owners {
        OrganizationRepository::insert(&services.store, owner).unwrap();
    }
    let record = TokenRecord {
        hash: token().hash(),
        organizations: owners.iter().map(|owner| owner.id).collect(),
        ..a_token_record(owners[0].id)
    };
    TokenRepository::insert(&services.store, &record).unwrap();
    let noted = Arc::new(Noted::default());
    let api = Data::new(Api {
        reads: noted.clone(),
        ..api_of(services)
    });
    System::new().block_on(async {
        let app = init_service(app(api)).await;
        let asked = paths.iter().map(|path| {
            let request = TestRequest::get().uri(path);
            app.call(request.insert_header(("X-Auth-Token", token().expose())).to_request())
        });
        for answer in join_all(asked).await {
            assert_eq!(answer.unwrap().status(), 200);
        }
    });
    noted
}

/// How many of these are read as what may take long, each on a thread that serves no connections.
fn long(organizations: usize, paths: &[&str]) -> usize {
    let noted = noted(organizations, paths);
    let threads = noted.threads.lock().unwrap();
    assert!(!threads.contains(&thread::current().id()));
    threads.len()
}

#[test]
fn everything_of_one_organization_is_read_right_where_the_connection_is_served() {
    let paths = [
        "/snapshots",
        "/snapshots?page=1",
        "/volumes",
        "/volumes?page=2",
        "/volumes?per_page=1",
    ];

    assert_eq!(long(1, &paths), 0);
}

#[test]
fn lists_that_may_take_long_hold_up_no_thread_that_serves_connections() {
    let filtered = [
        "/snapshots?tags=x",
        "/snapshots?state=available&page=1",
        "/volumes?name=x",
        "/audit",
        "/audit?page=1",
    ];

    assert_eq!(long(1, &filtered), filtered.len());
    assert_eq!(long(2, &["/snapshots", "/volumes?page=1"]), 2);
}

#[test]
fn a_whole_list_breaks_off_when_its_token_is_revoked() {
    let services = Services::default();
    let store = services.store.clone();
    let owner = an_organization();
    OrganizationRepository::insert(&store, &owner).unwrap();
    let record = TokenRecord {
        hash: token().hash(),
        ..a_token_record(owner.id)
    };
    TokenRepository::insert(&store, &record).unwrap();
    for _ in 0..=BATCH_ITEMS {
        VolumeRepository::insert(&store, &a_volume(owner.id).build(), None).unwrap();
    }
    System::new().block_on(async {
        let app = init_service(app(Data::new(api_of(services)))).await;
        let ask = || {
            let request = TestRequest::get().uri("/volumes");
            app.call(request.insert_header(("X-Auth-Token", token().expose())).to_request())
        };

        let whole = to_bytes(ask().await.unwrap().into_body()).await;
        let begun = ask().await.unwrap();
        TokenRepository::revoke(&store, record.id, moment(0)).unwrap();
        let broken = to_bytes(begun.into_body()).await;

        assert!(whole.is_ok_and(|bytes| bytes.ends_with(b"]}")));
        assert!(broken.is_err());
    });
}

#[test]
fn only_so_many_long_lists_are_read_at_once() {
    let noted = noted(1, &["/audit"; 16]);

    assert_eq!(noted.threads.lock().unwrap().len(), 16);
    assert_eq!(noted.most.load(Ordering::SeqCst), 1);
}
