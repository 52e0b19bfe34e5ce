use std::{sync::mpsc::channel, time::Duration};

use diesel::{connection::SimpleConnection, prelude::*, sql_types::BigInt};
use tempfile::TempDir;

use super::*;
use crate::address::Address;

#[derive(QueryableByName)]
struct Count {
    #[diesel(sql_type = BigInt)]
    count: i64,
}

/// A writer over a file with one table of numbers.
struct Notes {
    writer: Writer,
    address: SqliteAddress,
    _folder: TempDir,
}

fn notes(options: StoreOptions) -> Notes {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notes.sqlite");
    let Ok(Address::Sqlite(address)) = Address::parse(path.to_str().unwrap()) else {
        panic!("{path:?} is a file");
    };
    let writer = Writer::start(address.clone(), options).unwrap();
    writer
        .write(|connection| {
            execute(
                connection,
                "CREATE TABLE notes (note INTEGER PRIMARY KEY, text TEXT) STRICT",
            )
        })
        .unwrap();
    Notes {
        writer,
        address,
        _folder: folder,
    }
}

impl Notes {
    /// How many notes everybody else sees.
    fn committed(&self) -> i64 {
        committed(&self.address)
    }

    /// Keeps the writer busy until the returned sender is dropped.
    fn hold_up(&self) -> std::sync::mpsc::Sender<()> {
        let (release, released) = channel::<()>();
        let (begun, has_begun) = channel();
        self.writer
            .queue(move |_| {
                // Nobody listens when it is done again.
                let _ = begun.send(());
                // Fails as soon as the sender is gone, and that is what it waits for.
                let _ = released.recv();
                Ok(())
            })
            .unwrap();
        has_begun.recv().unwrap();
        release
    }
}

fn committed(address: &SqliteAddress) -> i64 {
    count(&mut AnyConnection::to_sqlite(address, Role::Reader, Duration::ZERO).unwrap())
}

fn count(connection: &mut AnyConnection) -> i64 {
    diesel::sql_query("SELECT count(*) AS count FROM notes")
        .get_result::<Count>(connection)
        .unwrap()
        .count
}

fn execute(connection: &mut AnyConnection, sql: &str) -> Outcome<()> {
    Ok(connection.batch_execute(sql)?)
}

fn note(connection: &mut AnyConnection, note: usize) -> Outcome<()> {
    execute(connection, &format!("INSERT INTO notes (note) VALUES ({note})"))
}

#[test]
fn what_queues_behind_a_write_shares_its_commit() {
    let notes = notes(StoreOptions::default());
    let busy = notes.hold_up();

    let answers: Vec<_> = (0..20)
        .map(|number| {
            let address = notes.address.clone();
            let work = move |connection: &mut AnyConnection| {
                note(connection, number)?;
                Ok((count(connection), committed(&address)))
            };
            notes.writer.queue(work).unwrap()
        })
        .collect();
    drop(busy);
    let seen: Vec<_> = answers.iter().map(|answer| answer.recv().unwrap().unwrap()).collect();

    // Each sees those before it, and nobody else sees any: there was no commit in between.
    assert_eq!(seen, (1..=20).map(|inside| (inside, 0)).collect::<Vec<_>>());
    assert_eq!(notes.committed(), 20);
}

#[test]
fn a_commit_takes_no_more_than_512_writes() {
    let notes = notes(StoreOptions::default());
    let busy = notes.hold_up();

    let answers: Vec<_> = (0..=MOST_JOBS)
        .map(|number| {
            let address = notes.address.clone();
            let work = move |connection: &mut AnyConnection| {
                note(connection, number)?;
                Ok(committed(&address))
            };
            notes.writer.queue(work).unwrap()
        })
        .collect();
    drop(busy);
    let seen: Vec<_> = answers.iter().map(|answer| answer.recv().unwrap().unwrap()).collect();

    assert_eq!(seen[MOST_JOBS - 1], 0);
    assert_eq!(seen[MOST_JOBS], 512);
}

#[test]
fn a_refused_write_is_undone_alone() {
    let notes = notes(StoreOptions::default());
    let busy = notes.hold_up();

    let before = notes.writer.queue(|connection| note(connection, 1)).unwrap();
    let refused = notes
        .writer
        .queue(|connection| {
            note(connection, 2)?;
            note(connection, 1)
        })
        .unwrap();
    let after = notes.writer.queue(|connection| note(connection, 3)).unwrap();
    drop(busy);

    assert!(before.recv().unwrap().is_ok());
    assert!(matches!(refused.recv().unwrap(), Err(Failure::Database(_))));
    assert!(after.recv().unwrap().is_ok());
    assert_eq!(notes.committed(), 2);
}

#[test]
fn a_refusal_is_what_the_write_was_refused_at_last_and_what_follows_has_savepoints() {
    let notes = notes(StoreOptions::default());
    let busy = notes.hold_up();
    let tries = Arc::new(AtomicU64::new(0));

    let before = notes.writer.queue(counted(&tries, 1)).unwrap();
    let refused = notes.writer.queue(counted(&tries, 1)).unwrap();
    let after = notes.writer.queue(counted(&tries, 2)).unwrap();
    drop(busy);
    let outcomes = [before, refused, after].map(|answer| answer.recv().unwrap().is_ok());
    let again = notes.writer.write(counted(&tries, 2));

    assert_eq!(outcomes, [true, false, true]);
    assert!(again.is_err());
    // The first two are done twice; the third comes when there are savepoints already, as does the fourth.
    assert_eq!(tries.load(Ordering::Relaxed), 6);
    assert_eq!(notes.committed(), 2);
}

/// Writes a note, and counts how often it does.
fn counted(tries: &Arc<AtomicU64>, number: usize) -> impl Fn(&mut AnyConnection) -> Outcome<()> + Send + use<> {
    let tries = tries.clone();
    move |connection| {
        tries.fetch_add(1, Ordering::Relaxed);
        note(connection, number)
    }
}

#[test]
fn a_write_that_panics_is_undone_and_others_go_on() {
    let notes = notes(StoreOptions::default());

    let panicked = notes.writer.write(|connection| -> Outcome<()> {
        note(connection, 1)?;
        panic!("as a faulty query would");
    });
    let next = notes.writer.write(|connection| note(connection, 2));

    assert!(matches!(panicked, Err(Failure::Refused(Error::Unavailable { .. }))));
    assert!(next.is_ok());
    assert_eq!(notes.committed(), 1);
}

#[test]
fn a_full_queue_refuses_more_at_once() {
    let notes = notes(StoreOptions {
        queued_writes: 1,
        ..StoreOptions::default()
    });
    let busy = notes.hold_up();

    let queued = notes.writer.queue(|connection| note(connection, 1)).unwrap();
    let refused = notes.writer.write(|connection| note(connection, 2));
    drop(busy);

    assert!(matches!(refused, Err(Failure::Refused(Error::Unavailable { .. }))));
    assert!(queued.recv().unwrap().is_ok());
    assert_eq!(notes.committed(), 1);
}

#[test]
fn a_file_that_may_not_grow_refuses_writes_until_there_is_room_again() {
    let notes = notes(StoreOptions::default());
    let large = "INSERT INTO notes (text) VALUES (hex(zeroblob(200000)))";
    notes
        .writer
        .write(|connection| execute(connection, "PRAGMA max_page_count = 10"))
        .unwrap();

    let refused = notes.writer.write(move |connection| execute(connection, large));
    let small = notes.writer.write(|connection| note(connection, 1));
    notes
        .writer
        .write(|connection| execute(connection, "PRAGMA max_page_count = 1000000"))
        .unwrap();
    let with_room = notes.writer.write(move |connection| execute(connection, large));

    assert!(matches!(refused.map_err(Error::from), Err(Error::NoSpace { .. })));
    assert!(small.is_ok());
    assert!(with_room.is_ok());
    assert_eq!(notes.committed(), 2);
}

#[test]
fn a_lost_transaction_answers_all_its_writes_and_the_next_one_works() {
    let notes = notes(StoreOptions::default());
    let busy = notes.hold_up();

    let before = notes.writer.queue(|connection| note(connection, 1)).unwrap();
    // As SQLite itself does after some failures of the disk.
    let fatal = notes
        .writer
        .queue(|connection| execute(connection, "ROLLBACK; INSERT INTO notes (note) VALUES ('no number')"))
        .unwrap();
    drop(busy);
    let next = {
        assert!(matches!(
            before.recv().unwrap(),
            Err(Failure::Refused(Error::Unavailable { .. }))
        ));
        assert!(matches!(
            fatal.recv().unwrap(),
            Err(Failure::Refused(Error::Unavailable { .. }))
        ));
        notes.writer.write(|connection| note(connection, 2))
    };

    assert!(next.is_ok());
    assert_eq!(notes.committed(), 1);
}

#[test]
fn what_is_queued_is_committed_before_the_writer_is_gone() {
    let Notes {
        writer,
        address,
        _folder,
    } = notes(StoreOptions::default());
    for number in 0..100 {
        writer.queue(move |connection| note(connection, number)).unwrap();
    }

    drop(writer);

    assert_eq!(committed(&address), 100);
}

#[test]
fn a_write_waits_for_another_process_that_is_writing() {
    let notes = notes(StoreOptions::default());
    let mut other = AnyConnection::to_sqlite(&notes.address, Role::Writer, Duration::ZERO).unwrap();
    other.begin_write().unwrap();
    note(&mut other, 1).unwrap();

    let waiting = notes.writer.queue(|connection| note(connection, 2)).unwrap();
    let premature = waiting.try_recv();
    other.commit().unwrap();

    assert!(premature.is_err());
    assert!(waiting.recv().unwrap().is_ok());
    assert_eq!(notes.committed(), 2);
}

#[test]
fn a_write_gives_up_when_another_process_never_stops_writing() {
    let notes = notes(StoreOptions {
        lock_timeout: Duration::from_millis(20),
        ..StoreOptions::default()
    });
    let mut other = AnyConnection::to_sqlite(&notes.address, Role::Writer, Duration::ZERO).unwrap();
    other.begin_write().unwrap();

    let refused = notes.writer.write(|connection| note(connection, 1));
    other.roll_back().unwrap();
    let next = notes.writer.write(|connection| note(connection, 2));

    assert!(matches!(refused, Err(Failure::Refused(Error::Unavailable { .. }))));
    assert!(next.is_ok());
    assert_eq!(notes.committed(), 1);
}
