//! How SQLite finds rows: the very statements of the ports are explained, so that nothing reads a whole table to answer a
//! question about a few rows.

#![expect(clippy::unwrap_used, reason = "a test panics when what it builds on fails")]
#![expect(clippy::doc_markdown, reason = "SQLite is a name, not code")]

use std::sync::{Mutex, MutexGuard, PoisonError};

use diesel::{
    Connection, QueryableByName, RunQueryDsl, SqliteConnection,
    connection::{Instrumentation, InstrumentationEvent, set_default_instrumentation},
    sql_types::Text,
};
use snapshot_domain::{
    DueCheck, MaintenanceKind, OrganizationId, Scope, Snapshot, SnapshotId, Task, TaskOutcome, Token, Volume,
    ports::{
        CheckRepository, DueQuery, MaintenanceQueue, OrganizationRepository, PackRepository, ReceiptRepository, Slice,
        SnapshotCursor, SnapshotQuery, SnapshotRepository, SnapshotSizes, TaskQueue, TokenRepository, VolumeQuery,
        VolumeRepository,
    },
    testing::{a_capture, a_receipt, a_snapshot, a_volume, an_instance, an_organization, an_organization_id, moment},
};
use snapshot_store::{Store, StoreOptions};
use tempfile::TempDir;

/// The statements that connections of this process were asked to run.
static STATEMENTS: Mutex<Vec<String>> = Mutex::new(Vec::new());
/// Held while a test records statements, so that it sees its own only.
static RECORDING: Mutex<()> = Mutex::new(());

struct Recorder;

impl Instrumentation for Recorder {
    fn on_connection_event(&mut self, event: InstrumentationEvent<'_>) {
        if let InstrumentationEvent::StartQuery { query, .. } = event {
            let text = query.to_string();
            let statement = text.split(" -- binds").next().unwrap_or_default().to_owned();
            lock(&STATEMENTS).push(statement);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Stored {
    store: Store,
    folder: TempDir,
    organization: OrganizationId,
    volume: Volume,
    snapshot: Snapshot,
    task: Task,
    _recording: MutexGuard<'static, ()>,
}

fn stored() -> Stored {
    let recording = lock(&RECORDING);
    set_default_instrumentation(|| Some(Box::new(Recorder))).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("metadata.sqlite");
    let store = Store::open(path.to_str().unwrap(), StoreOptions::default()).unwrap();
    store.migrate().unwrap();
    let organization = an_organization();
    let volume = a_volume(organization.id).build();
    let snapshot = a_snapshot(organization.id).of(&volume).build();
    let task = a_capture(&snapshot).build();
    OrganizationRepository::insert(&store, &organization).unwrap();
    VolumeRepository::insert(&store, &volume, None).unwrap();
    store.begin(&snapshot, &task, &volume, None).unwrap();
    Stored {
        store,
        folder,
        organization: organization.id,
        volume,
        snapshot,
        task,
        _recording: recording,
    }
}

impl Stored {
    /// What SQLite says about how it runs the statements of a call.
    fn plan<T>(&self, call: impl FnOnce(&Store) -> T) -> Vec<String> {
        #[derive(QueryableByName)]
        struct Step {
            #[diesel(sql_type = Text)]
            detail: String,
        }
        // The first read of all opens a connection, which is no part of the call.
        self.store.ping().unwrap();
        lock(&STATEMENTS).clear();
        call(&self.store);
        let statements = std::mem::take(&mut *lock(&STATEMENTS));

        let path = self.folder.path().join("metadata.sqlite");
        let mut connection = SqliteConnection::establish(path.to_str().unwrap()).unwrap();
        let rows = ["SELECT", "UPDATE", "DELETE"];
        let steps: Vec<String> = statements
            .iter()
            .filter(|statement| rows.iter().any(|verb| statement.starts_with(verb)))
            .flat_map(|statement| {
                diesel::sql_query(format!("EXPLAIN QUERY PLAN {statement}"))
                    .load::<Step>(&mut connection)
                    .unwrap()
            })
            .map(|step| step.detail)
            .collect();
        assert!(!steps.is_empty(), "nothing was run");
        steps
    }

    fn scope(&self) -> Scope {
        Scope::new(vec![self.organization])
    }
}

#[test]
fn a_page_of_snapshots_is_one_run_of_an_index() {
    let stored = stored();
    let query = SnapshotQuery::all(stored.scope());
    let cursor = SnapshotCursor::of(&stored.snapshot);

    let first = stored.plan(|store| SnapshotRepository::list(store, &query, Slice::first(50)).unwrap());
    let next = stored.plan(|store| SnapshotRepository::list(store, &query, Slice::after(cursor, 50)).unwrap());

    assert_eq!(
        first,
        [
            "SEARCH snapshots USING PRIMARY KEY (organization_id=?)",
            "SEARCH domain_sizes USING PRIMARY KEY (domain_id=?)",
        ]
    );
    assert_eq!(
        next,
        ["SEARCH snapshots USING PRIMARY KEY (organization_id=? AND created_at>?)"],
        "nothing is asked of the domains of no snapshots"
    );
}

/// A run of snapshots that match some conditions, and for each whether its size still holds.
fn with_sizes(run: &str) -> Vec<String> {
    [run, "SEARCH domain_sizes USING PRIMARY KEY (domain_id=?) LEFT-JOIN"]
        .map(str::to_owned)
        .into()
}

#[test]
fn a_page_of_several_organizations_is_one_run_of_an_index_each() {
    let stored = stored();
    let scope = Scope::new(vec![stored.organization, an_organization_id()]);
    let slice = Slice {
        after: None,
        skip: 1,
        limit: 50,
    };

    let page = stored.plan(|store| SnapshotRepository::list(store, &SnapshotQuery::all(scope), slice).unwrap());

    let run = "SEARCH snapshots USING PRIMARY KEY (organization_id=?";
    let domain = "SEARCH domain_sizes USING PRIMARY KEY (domain_id=?)";
    let is_short = |step: &String| step.starts_with(run) || step == domain;
    assert!(page.iter().all(is_short), "{page:?}");
}

#[test]
fn a_later_page_reads_on_where_the_one_before_it_ended() {
    let stored = stored();
    let query = SnapshotQuery::all(stored.scope());
    let later = a_snapshot(stored.organization)
        .of(&stored.volume)
        .created_at(moment(9))
        .build();
    let volume = VolumeRepository::get(&stored.store, stored.volume.id()).unwrap();
    stored
        .store
        .begin(&later, &a_capture(&later).build(), &volume, None)
        .unwrap();
    let slice = |skip| Slice {
        after: None,
        skip,
        limit: 1,
    };
    SnapshotRepository::list(&stored.store, &query, slice(1)).unwrap();

    let page = stored.plan(|store| SnapshotRepository::list(store, &query, slice(2)).unwrap());

    assert_eq!(
        page,
        [
            "SEARCH snapshot_totals USING PRIMARY KEY (organization_id=?)",
            "SEARCH snapshots USING PRIMARY KEY (organization_id=? AND created_at>?)",
        ]
    );
}

#[test]
fn a_list_by_name_volume_or_state_reads_only_what_matches() {
    let stored = stored();
    let all = SnapshotQuery::all(stored.scope());
    let by_name = SnapshotQuery {
        name: Some(stored.snapshot.name().clone()),
        ..all.clone()
    };
    let by_volume = SnapshotQuery {
        base_volume: Some(stored.volume.id()),
        ..all.clone()
    };
    let by_state = SnapshotQuery {
        state: Some(stored.snapshot.state().name()),
        ..all
    };
    let volumes = VolumeQuery {
        name: Some(stored.volume.name().clone()),
        ..VolumeQuery::all(stored.scope())
    };

    for (query, index, column) in [
        (by_name, "snapshots_by_name", "name"),
        (by_volume, "snapshots_by_volume", "base_volume_id"),
        (by_state, "snapshots_by_state", "state"),
    ] {
        let page = stored.plan(|store| SnapshotRepository::list(store, &query, Slice::first(50)).unwrap());
        let count = stored.plan(|store| SnapshotRepository::count(store, &query));

        let run = format!("{index} (organization_id=? AND {column}=?)");
        assert_eq!(page, with_sizes(&format!("SEARCH snapshots USING INDEX {run}")));
        assert_eq!(count, [format!("SEARCH snapshots USING COVERING INDEX {run}")]);
    }
    let page = stored.plan(|store| VolumeRepository::list(store, &volumes, Slice::first(50)).unwrap());
    assert_eq!(
        page,
        ["SEARCH volumes USING INDEX volumes_by_name (organization_id=? AND name=?)"]
    );
}

#[test]
fn several_filters_do_not_change_the_order_of_the_run() {
    let stored = stored();
    let query = SnapshotQuery {
        name: Some(stored.snapshot.name().clone()),
        tags: snapshot_domain::testing::tags(&["a", "b"]).as_slice().to_vec(),
        base_volume: Some(stored.volume.id()),
        state: Some(stored.snapshot.state().name()),
        ..SnapshotQuery::all(stored.scope())
    };

    let page = stored.plan(|store| SnapshotRepository::list(store, &query, Slice::first(50)).unwrap());

    // One run: nothing is sorted.
    assert!(page[0].contains("(organization_id=? AND "), "{page:?}");
    assert_eq!(page, with_sizes(&page[0]));
}

#[test]
fn a_page_of_volumes_is_one_run_of_an_index() {
    let stored = stored();
    let query = VolumeQuery::all(stored.scope());

    let first = stored.plan(|store| VolumeRepository::list(store, &query, Slice::first(50)).unwrap());

    assert_eq!(first, ["SEARCH volumes USING PRIMARY KEY (organization_id=?)"]);
}

#[test]
fn everything_an_organization_has_is_counted_by_one_row() {
    let stored = stored();
    let snapshots = SnapshotQuery::all(stored.scope());
    let volumes = VolumeQuery::all(stored.scope());

    let snapshots = stored.plan(|store| SnapshotRepository::count(store, &snapshots));
    let volumes = stored.plan(|store| VolumeRepository::count(store, &volumes));

    assert_eq!(
        snapshots,
        ["SEARCH snapshot_totals USING PRIMARY KEY (organization_id=?)"]
    );
    assert_eq!(volumes, ["SEARCH volume_totals USING PRIMARY KEY (organization_id=?)"]);
}

#[test]
fn single_rows_are_found_by_their_ids() {
    let stored = stored();

    let snapshot = stored.plan(|store| SnapshotRepository::get(store, stored.snapshot.id()));
    let volume = stored.plan(|store| VolumeRepository::get(store, stored.volume.id()));
    let task = stored.plan(|store| TaskQueue::get(store, stored.task.id()));

    assert_eq!(snapshot, ["SEARCH snapshots USING INDEX snapshots_by_id (id=?)"]);
    assert_eq!(volume, ["SEARCH volumes USING INDEX volumes_by_id (id=?)"]);
    assert_eq!(task, ["SEARCH tasks USING PRIMARY KEY (id=?)"]);
}

#[test]
fn a_snapshot_whose_id_tells_when_it_was_begun_is_found_in_its_place() {
    let stored = stored();
    let told = SnapshotId::begun_at(stored.snapshot.created_at(), stored.task.id().as_uuid());
    let snapshot = a_snapshot(stored.organization).of(&stored.volume).id(told).build();
    let volume = VolumeRepository::get(&stored.store, stored.volume.id()).unwrap();
    let task = a_capture(&snapshot).build();
    stored.store.begin(&snapshot, &task, &volume, None).unwrap();
    let plan = |id, scope| stored.plan(|store| store.find_measured(&scope, id).unwrap());

    let in_its_place = plan(told, stored.scope());
    let of_two = plan(told, Scope::new(vec![an_organization_id(), stored.organization]));

    let place = "SEARCH snapshots USING PRIMARY KEY (organization_id=? AND created_at=? AND id=?)";
    assert_eq!(in_its_place, with_sizes(place));
    assert_eq!(
        of_two,
        with_sizes("SEARCH snapshots USING INDEX snapshots_by_id (id=?)")
    );
}

#[test]
fn a_token_is_found_by_its_hash() {
    let stored = stored();
    let hash = Token::from_random(stored.task.id().as_uuid()).hash();

    let caller = stored.plan(|store| store.caller(&hash, moment(0)));

    assert!(caller[0].starts_with("SEARCH tokens USING INDEX"), "{caller:?}");
    assert_eq!(
        caller[1],
        "SEARCH account_organizations USING PRIMARY KEY (account_id=?)"
    );
}

#[test]
fn the_next_task_is_found_among_the_unfinished_ones() {
    let stored = stored();

    let claim = stored.plan(|store| TaskQueue::claim(store, an_instance(), moment(1), moment(2)).unwrap());

    assert_eq!(
        claim,
        [
            "SCAN tasks USING INDEX tasks_unfinished",
            "CORRELATED SCALAR SUBQUERY 1",
            "SEARCH restores USING INDEX tasks_unfinished_of_snapshot (snapshot_id=?)",
            "CORRELATED SCALAR SUBQUERY 2",
            "SEARCH task_totals USING PRIMARY KEY (organization_id=?)",
            "SEARCH tasks USING PRIMARY KEY (id=?)",
            "SEARCH tasks USING PRIMARY KEY (id=?)",
            "SEARCH task_totals USING PRIMARY KEY (organization_id=?)",
        ]
    );
}

#[test]
fn work_is_found_by_what_it_works_on() {
    let stored = stored();

    let captures = stored.plan(|store| store.captures_of(&[stored.snapshot.id()]));
    let work = stored.plan(|store| store.work_on(&[stored.volume.id()]));
    let put_back = stored.plan(|store| TaskQueue::put_back_all(store, an_instance()));
    let running = stored.plan(TaskQueue::running_captures);

    assert_eq!(
        captures,
        ["SEARCH tasks USING INDEX tasks_unfinished_of_snapshot (snapshot_id=?)"]
    );
    assert_eq!(
        work[0],
        "SEARCH tasks USING INDEX tasks_unfinished_of_volume (volume_id=?)"
    );
    assert_eq!(put_back, ["SCAN tasks USING INDEX tasks_unfinished"]);
    assert_eq!(running, ["SCAN tasks USING INDEX tasks_unfinished"]);
}

#[test]
fn the_latest_snapshot_of_a_volume_is_the_last_of_an_index() {
    let stored = stored();

    let latest = stored.plan(|store| store.latest_available(stored.volume.id(), stored.organization));

    assert_eq!(
        latest,
        ["SEARCH snapshots USING INDEX snapshots_of_volume (base_volume_id=? AND domain_id=?)"]
    );
}

#[test]
fn what_is_due_to_be_checked_is_a_run_of_an_index() {
    let stored = stored();
    let after = DueCheck {
        snapshot: stored.snapshot.id(),
        domain: stored.organization,
        checked_at: None,
    };
    let query = |only_damaged, after| DueQuery {
        before: moment(9),
        only_damaged,
        after,
    };

    let all = stored.plan(|store| store.due_checks(&query(false, None), 10));
    let next = stored.plan(|store| store.due_checks(&query(false, Some(after)), 10));
    let damaged = stored.plan(|store| store.due_checks(&query(true, None), 10));
    let forget = stored.plan(|store| store.forget_checks_after(moment(9)));

    assert_eq!(
        all,
        ["SEARCH snapshots USING COVERING INDEX snapshots_by_check (checked_at<?)"]
    );
    assert_eq!(
        next,
        ["SEARCH snapshots USING COVERING INDEX snapshots_by_check (checked_at>? AND checked_at<?)"]
    );
    assert_eq!(
        damaged,
        ["SEARCH snapshots USING COVERING INDEX snapshots_damaged (checked_at<?)"]
    );
    assert_eq!(
        forget,
        ["SEARCH snapshots USING INDEX snapshots_by_check (checked_at>?)"]
    );
}

#[test]
fn interrupted_writes_are_found_without_reading_other_volumes() {
    let stored = stored();

    let saving = stored.plan(VolumeRepository::saving);

    assert_eq!(saving, ["SCAN volumes USING INDEX volumes_saving"]);
}

#[test]
fn changes_find_their_rows_by_id() {
    let stored = stored();
    let task = TaskQueue::claim(&stored.store, an_instance(), moment(1), moment(2))
        .unwrap()
        .unwrap();
    let mut ended = stored.snapshot.clone();
    let event = snapshot_domain::SnapshotEvent::CaptureCommitted(snapshot_domain::testing::a_content());
    ended.apply(event, moment(3)).unwrap();

    let finish = stored.plan(|store| {
        let outcome = TaskOutcome::Succeeded;
        store.finish_capture(&task.lease(), &ended, outcome, moment(3)).unwrap();
    });

    assert!(finish.iter().all(|step| step.starts_with("SEARCH")), "{finish:?}");
}

#[test]
fn sizes_are_found_by_the_ids_of_snapshots_and_domains() {
    let stored = stored();

    let told = stored.plan(|store| store.exclusive_bytes(&[stored.snapshot.id()]));
    let present = stored.plan(|store| store.snapshots_of(stored.organization));

    assert!(told.iter().all(|step| step.starts_with("SEARCH")), "{told:?}");
    assert_eq!(
        present,
        [
            "SEARCH domain_sizes USING PRIMARY KEY (domain_id=?)",
            "SEARCH snapshots USING COVERING INDEX snapshots_of_domain (domain_id=?)",
            "USE TEMP B-TREE FOR ORDER BY"
        ]
    );
}

#[test]
fn distrusted_packs_and_runs_are_found_without_reading_the_others() {
    let stored = stored();

    let distrusted = stored.plan(PackRepository::distrusted);
    let latest = stored.plan(|store| store.latest(MaintenanceKind::Collect, moment(9)));
    let claim = stored.plan(|store| MaintenanceQueue::claim(store, an_instance(), moment(1), moment(2)).unwrap());

    assert_eq!(distrusted[0], "SCAN packs USING INDEX packs_distrusted");
    assert_eq!(
        latest,
        ["SEARCH maintenance_runs USING INDEX maintenance_runs_latest (kind=? AND asked_at<?)"]
    );
    assert_eq!(
        claim[0],
        "SCAN maintenance_runs USING INDEX maintenance_runs_unfinished"
    );
}

#[test]
fn receipts_are_found_and_forgotten_without_reading_the_others() {
    let stored = stored();
    let receipt = a_receipt(1);

    let found = stored.plan(|store| ReceiptRepository::find(store, receipt.id, moment(2)).unwrap());
    let kept = stored.plan(|store| store.keep(&receipt).unwrap());
    let forgotten = stored.plan(|store| store.forget_expired(receipt.expires_at, 10).unwrap());

    assert_eq!(found, ["SEARCH receipts USING PRIMARY KEY (id=?)"]);
    assert_eq!(kept, ["SEARCH receipts USING PRIMARY KEY (id=?)"]);
    assert_eq!(
        forgotten,
        [
            "SEARCH receipts USING COVERING INDEX receipts_by_end (expires_at<?)",
            "SEARCH receipts USING PRIMARY KEY (id=?)"
        ]
    );
}
