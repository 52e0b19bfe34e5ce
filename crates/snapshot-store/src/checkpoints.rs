//! The thread that moves what was committed from SQLite's log into its file.
//!
//! A commit appends to the log and syncs it, and that is all that durability takes. Sooner or later the pages have to go
//! where they belong, with syncs of their own; who commits at that moment would wait for them.
//!
//! SQLite begins its log anew when all of it was moved and nobody reads in it. While writes never pause, this thread is always
//! some pages behind, and the log grows up to `wal_autocheckpoint` pages: then the commit that finds it so moves the few that
//! are left, and the next one begins the log anew.

use std::{
    sync::mpsc::{Receiver, SyncSender, sync_channel},
    thread::JoinHandle,
};

use crate::{
    StoreOptions,
    address::SqliteAddress,
    connection::{AnyConnection, Role},
};

/// After how many writes the log is worth moving: some thousand pages when each of them stores a snapshot.
const WRITES: usize = 512;

/// The thread, which ends when this and its [`Due`] are dropped.
pub(crate) struct Checkpoints {
    due: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// Counts writes, and wakes the thread when there are enough.
pub(crate) struct Due {
    wake: SyncSender<()>,
    writes: usize,
}

impl Checkpoints {
    /// Starts the thread. The file is opened when there is something to move.
    pub(crate) fn start(address: SqliteAddress, options: StoreOptions) -> std::io::Result<Self> {
        let (due, woken) = sync_channel(1);
        let thread = std::thread::Builder::new()
            .name("sqlite-checkpoints".to_owned())
            .spawn(move || run(&address, options, &woken))?;
        Ok(Self {
            due: Some(due),
            thread: Some(thread),
        })
    }

    /// For the thread that writes.
    pub(crate) fn due(&self) -> Due {
        let wake = self.due.clone().expect("it is there until this is dropped");
        Due { wake, writes: 0 }
    }
}

impl Drop for Checkpoints {
    fn drop(&mut self) {
        drop(self.due.take());
        if let Some(thread) = self.thread.take() {
            // It panics only by a fault of its own, and then there is nothing left to wait for.
            let _ = thread.join();
        }
    }
}

impl Due {
    /// Counts what was committed.
    pub(crate) fn count(&mut self, writes: usize) {
        self.writes += writes;
        if self.writes >= WRITES {
            self.writes = 0;
            // When it is full the thread is about to look anyway; when it is gone, commits move what is too much.
            let _ = self.wake.try_send(());
        }
    }
}

fn run(address: &SqliteAddress, options: StoreOptions, woken: &Receiver<()>) {
    let mut kept = None;
    while woken.recv().is_ok() {
        let connection = match &mut kept {
            Some(connection) => connection,
            closed => match AnyConnection::to_sqlite(address, Role::Writer, options.lock_timeout) {
                Ok(connection) => closed.insert(connection),
                Err(error) => {
                    log::warn!("the database's log is not moved into its file: {error}");
                    continue;
                }
            },
        };
        if let Err(error) = connection.checkpoint() {
            log::warn!("the database's log could not be moved into its file: {error}");
            kept = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use diesel::connection::SimpleConnection as _;

    use super::*;
    use crate::address::Address;

    /// Where the file's own pages end; what is only in the log is not in it.
    fn pages_in_file(address: &SqliteAddress) -> u64 {
        std::fs::metadata(address.path()).unwrap().len() / 4096
    }

    #[test]
    fn enough_writes_move_the_log_into_the_file_and_fewer_do_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notes.sqlite");
        let Ok(Address::Sqlite(address)) = Address::parse(path.to_str().unwrap()) else {
            panic!("{path:?} is a file");
        };
        let options = StoreOptions::default();
        let mut writing = AnyConnection::to_sqlite(&address, Role::Writer, options.lock_timeout).unwrap();
        writing
            .batch_execute("CREATE TABLE notes (text TEXT); INSERT INTO notes VALUES (printf('%.*c', 100000, 'x'))")
            .unwrap();
        let checkpoints = Checkpoints::start(address.clone(), options).unwrap();
        let mut due = checkpoints.due();

        due.count(WRITES - 1);
        let before = pages_in_file(&address);
        due.count(1);
        drop(due);
        // The thread does what it was woken for before it ends.
        drop(checkpoints);

        assert!(before < 20, "{before}");
        assert!(pages_in_file(&address) > 20);
    }
}
