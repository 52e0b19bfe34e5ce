//! Rows that make no sense are told as such: never a default, never a panic.

use diesel::{Connection, SqliteConnection, connection::SimpleConnection};
use snapshot_domain::{
    Error, Scope, SnapshotId, TaskId, VolumeId,
    ports::{
        OrganizationRepository, Slice, SnapshotQuery, SnapshotRepository, TaskQueue, TokenRepository, VolumeRepository,
    },
    testing::{a_capture, a_snapshot, a_volume, an_instance, an_organization, moment},
};
use snapshot_store::{Store, StoreOptions};

use crate::place::{Folder, StoreIn, in_a_temporary_file};

/// A store with one volume, one snapshot of it in the making, and the task for that.
struct Stored {
    place: StoreIn<Folder>,
    scope: Scope,
    volume: VolumeId,
    snapshot: SnapshotId,
    task: TaskId,
}

fn stored() -> Stored {
    let place = in_a_temporary_file();
    let organization = an_organization();
    let volume = a_volume(organization.id).build();
    let snapshot = a_snapshot(organization.id).of(&volume).build();
    let task = a_capture(&snapshot).build();
    OrganizationRepository::insert(place.store(), &organization).unwrap();
    VolumeRepository::insert(place.store(), &volume, None).unwrap();
    place.store().begin(&snapshot, &task, &volume, None).unwrap();
    Stored {
        place,
        scope: Scope::new(vec![organization.id]),
        volume: volume.id(),
        snapshot: snapshot.id(),
        task: task.id(),
    }
}

impl Stored {
    fn store(&self) -> &Store {
        self.place.store()
    }

    /// Changes rows in a way that the tables would refuse.
    fn damage(&self, sql: &str) {
        let mut connection = SqliteConnection::establish(&self.place.place.file()).unwrap();
        connection
            .batch_execute(&format!(
                "PRAGMA busy_timeout = 10000; PRAGMA ignore_check_constraints = ON; {sql}"
            ))
            .unwrap();
    }
}

fn is_corrupt<T>(result: &Result<T, Error>) -> bool {
    matches!(result, Err(Error::Corrupt { .. }))
}

#[test]
fn a_snapshot_in_an_unknown_state_is_corrupt() {
    let stored = stored();

    stored.damage("UPDATE snapshots SET state = 'melting'");

    let all = SnapshotQuery::all(stored.scope.clone());
    assert!(is_corrupt(&SnapshotRepository::get(stored.store(), stored.snapshot)));
    assert!(is_corrupt(&SnapshotRepository::find(
        stored.store(),
        &stored.scope,
        stored.snapshot
    )));
    assert!(is_corrupt(&SnapshotRepository::list(
        stored.store(),
        &all,
        Slice::first(10)
    )));
}

#[test]
fn a_snapshot_without_the_facts_of_its_state_is_corrupt() {
    for damage in [
        "UPDATE snapshots SET state = 'available'",
        "UPDATE snapshots SET state = 'available', digest = 'x', stored_bytes = 1",
        "UPDATE snapshots SET state = 'error'",
        "UPDATE snapshots SET error_reason = 'but why'",
        "UPDATE snapshots SET size_bytes = 513",
        "UPDATE snapshots SET revision = -1",
        "UPDATE snapshots SET name = ''",
        "UPDATE snapshots SET tags = 'a'",
        "UPDATE snapshots SET volume_type = 'tape'",
        "UPDATE snapshots SET base_volume_id = x'00'",
        "UPDATE snapshots SET modified_at = 9223372036854775807",
        "UPDATE snapshots SET health = 'melting'",
        "UPDATE snapshots SET health = 'ok'",
        "UPDATE snapshots SET verified_at = 0",
    ] {
        let stored = stored();

        stored.damage(damage);

        let read = SnapshotRepository::get(stored.store(), stored.snapshot);
        assert!(is_corrupt(&read), "{damage}: {read:?}");
    }
}

#[test]
fn a_volume_without_the_facts_of_its_state_is_corrupt() {
    for damage in [
        "UPDATE volumes SET state = 'melting'",
        "UPDATE volumes SET state = 'saving'",
        "UPDATE volumes SET state = 'error', copies = 0",
        "UPDATE volumes SET error_reason = 'but why'",
        "UPDATE volumes SET copies = -1",
        "UPDATE volumes SET size_bytes = 0",
        "UPDATE volumes SET base_snapshot_id = x'00'",
        "UPDATE volumes SET losses = 'many'",
    ] {
        let stored = stored();

        stored.damage(damage);

        let read = VolumeRepository::get(stored.store(), stored.volume);
        assert!(is_corrupt(&read), "{damage}: {read:?}");
    }
}

#[test]
fn a_task_without_the_facts_of_its_kind_and_state_is_corrupt() {
    for damage in [
        "UPDATE tasks SET kind = 'dance'",
        "UPDATE tasks SET kind = 'erase_volume'",
        "UPDATE tasks SET snapshot_id = NULL",
        "UPDATE tasks SET state = 'running'",
        "UPDATE tasks SET state = 'melting'",
        "UPDATE tasks SET lease_expires_at = 0",
        "UPDATE tasks SET epoch = -1",
        "UPDATE tasks SET losses = '1:'",
        "UPDATE tasks SET done_bytes = -1",
        "UPDATE tasks SET request_id = x'00'",
    ] {
        let stored = stored();

        stored.damage(damage);

        let read = TaskQueue::get(stored.store(), stored.task);
        assert!(is_corrupt(&read), "{damage}: {read:?}");
    }
}

#[test]
fn a_count_of_copies_that_would_fall_below_none_is_corrupt() {
    let stored = stored();
    let snapshot = SnapshotRepository::get(stored.store(), stored.snapshot).unwrap();

    stored.damage("UPDATE volumes SET copies = 0");

    assert!(is_corrupt(&stored.store().cancel(&snapshot)));
    assert!(SnapshotRepository::get(stored.store(), stored.snapshot).is_ok());
}

#[test]
fn a_token_with_half_a_hash_is_corrupt() {
    let stored = stored();

    stored.damage(
        "INSERT INTO tokens (id, account_id, name, hash, created_at) VALUES (x'00112233445566778899aabbccddeeff', \
         x'00112233445566778899aabbccddeeff', 'half', x'00', 0)",
    );

    assert!(is_corrupt(&TokenRepository::list(stored.store())));
}

#[test]
fn a_file_whose_pages_were_overwritten_is_corrupt() {
    let stored = stored();
    let folder = stored.place.close();
    let mut file = std::fs::read(folder.file()).unwrap();
    let id = stored.snapshot.as_uuid();
    for page in file.chunks_mut(4096) {
        if page.windows(16).any(|bytes| bytes == id.as_bytes()) {
            page.fill(0xAB);
        }
    }
    std::fs::write(folder.file(), file).unwrap();

    let store = Store::open(&folder.url(), StoreOptions::default()).unwrap();
    let read = SnapshotRepository::get(&store, stored.snapshot);
    let claimed = store.claim(an_instance(), moment(1), moment(2));

    assert!(is_corrupt(&read), "{read:?}");
    assert!(is_corrupt(&claimed), "{claimed:?}");
}
