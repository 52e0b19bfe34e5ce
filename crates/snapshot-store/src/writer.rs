//! The one thread that writes to SQLite.
//!
//! SQLite takes one writer at a time, and each commit waits for the disk. So jobs queue while a commit runs, and the next
//! commit takes all of them: the more callers wait, the more share a sync. No timer is involved; a job that comes alone
//! is committed alone, at once.
//!
//! Almost every job succeeds, so jobs are first done one after the other in one transaction. A savepoint around each would
//! keep a copy of every page that the job changes, for the rare one that is refused. When one is, the transaction is rolled
//! back, and its jobs are done once more, now with savepoints, so that the refused one is undone alone.
//!
//! Moving pages from the log into the file takes syncs of its own, for which nobody is to wait: another thread does it.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
    },
    thread::JoinHandle,
};

use snapshot_domain::Error;
use thiserror::Error as ThisError;

use crate::{
    StoreOptions,
    address::SqliteAddress,
    checkpoints::{Checkpoints, Due},
    connection::{AnyConnection, Role},
    failure::{Failure, Outcome, Trouble},
};

/// The most jobs in one commit, so that the first one does not wait for ever.
const MOST_JOBS: usize = 512;

/// After a refusal so many commits have savepoints from the start: where one job was refused, others may be, and whoever
/// sends nothing else shall not have the work of everybody else done twice.
const CAREFUL_COMMITS: u32 = 64;

/// Hands jobs to the thread that writes. Dropping it waits until what is queued is committed.
pub(crate) struct Writer {
    queue: Option<SyncSender<Box<dyn Job>>>,
    thread: Option<JoinHandle<()>>,
    commits: Arc<AtomicU64>,
    _checkpoints: Checkpoints,
}

/// Why a job was not even begun, or has no answer.
#[derive(Debug, ThisError)]
enum NotWritten {
    #[error("too many writes are waiting already")]
    QueueFull,
    #[error("the thread that writes has ended")]
    Gone,
    #[error("the write panicked")]
    Panicked,
}

/// Something to be written, and somebody who waits for it.
trait Job: Send {
    /// Does it: once more when what it did was undone because of another one.
    fn run(&mut self, connection: &mut AnyConnection) -> Verdict;

    /// Tells whoever waits how it went, now that the commit has ended.
    fn answer(self: Box<Self>, commit: &Result<(), Trouble>);
}

/// What is to happen with what a job did.
enum Verdict {
    Keep,
    /// Undo it. What the database said, if that is why.
    Undo(Option<Trouble>),
}

struct Pending<T, W, R> {
    work: W,
    outcome: Outcome<T>,
    tell: R,
}

impl<T, W, R> Job for Pending<T, W, R>
where
    T: Send,
    W: Fn(&mut AnyConnection) -> Outcome<T> + Send,
    R: FnOnce(Outcome<T>) + Send,
{
    fn run(&mut self, connection: &mut AnyConnection) -> Verdict {
        // Whatever a panic leaves half done is rolled back.
        self.outcome = catch_unwind(AssertUnwindSafe(|| (self.work)(connection)))
            .unwrap_or_else(|_| Err(Error::unavailable(NotWritten::Panicked).into()));
        match &self.outcome {
            Ok(_) => Verdict::Keep,
            Err(Failure::Refused(_)) => Verdict::Undo(None),
            Err(Failure::Database(error)) => Verdict::Undo(Some(Trouble(error.to_string()))),
        }
    }

    fn answer(self: Box<Self>, commit: &Result<(), Trouble>) {
        let outcome = match commit {
            Ok(()) => self.outcome,
            // What the job saw in the lost transaction may not be true, so its own refusal is void too.
            Err(trouble) => Err(Error::from(trouble.clone()).into()),
        };
        (self.tell)(outcome);
    }
}

impl Writer {
    /// Starts the thread. The file is opened when the first job comes.
    pub(crate) fn start(address: SqliteAddress, options: StoreOptions) -> std::io::Result<Self> {
        let (queue, jobs) = sync_channel(options.queued_writes);
        let checkpoints = Checkpoints::start(address.clone(), options)?;
        let commits = Arc::new(AtomicU64::new(0));
        let mut batches = Batches {
            address,
            options,
            connection: None,
            commits: commits.clone(),
            due: checkpoints.due(),
            careful_commits: 0,
        };
        let thread = std::thread::Builder::new()
            .name("sqlite-writer".to_owned())
            .spawn(move || {
                while let Ok(first) = jobs.recv() {
                    batches.commit(first, &jobs);
                }
            })?;
        Ok(Self {
            queue: Some(queue),
            thread: Some(thread),
            commits,
            _checkpoints: checkpoints,
        })
    }

    /// How many commits have ended, of which some may have failed. It has counted a commit before anybody is told of it.
    pub(crate) fn commits(&self) -> u64 {
        self.commits.load(Ordering::Acquire)
    }

    /// Runs queries in the next commit, and waits until it is on disk. Queries that fail are undone alone.
    pub(crate) fn write<T: Send + 'static>(
        &self,
        work: impl Fn(&mut AnyConnection) -> Outcome<T> + Send + 'static,
    ) -> Outcome<T> {
        self.queue(work)?.recv().map_err(|_| gone())?
    }

    fn queue<T: Send + 'static>(
        &self,
        work: impl Fn(&mut AnyConnection) -> Outcome<T> + Send + 'static,
    ) -> Outcome<Receiver<Outcome<T>>> {
        let (reply, answer) = sync_channel(1);
        self.hand_over(work, move |outcome| {
            // Nobody waits any more if the caller's thread died.
            let _ = reply.send(outcome);
        })?;
        Ok(answer)
    }

    /// Runs queries in the next commit, and tells how that went once it is on disk, from the thread that writes: so it
    /// must return at once. Who is never told knows that the thread has ended.
    pub(crate) fn hand_over<T: Send + 'static>(
        &self,
        work: impl Fn(&mut AnyConnection) -> Outcome<T> + Send + 'static,
        tell: impl FnOnce(Outcome<T>) + Send + 'static,
    ) -> Outcome<()> {
        let job = Pending {
            work,
            outcome: Err(gone()),
            tell,
        };
        let queue = self.queue.as_ref().ok_or_else(gone)?;
        queue.try_send(Box::new(job)).map_err(|error| match error {
            TrySendError::Full(_) => Error::unavailable(NotWritten::QueueFull),
            TrySendError::Disconnected(_) => Error::unavailable(NotWritten::Gone),
        })?;
        Ok(())
    }
}

fn gone() -> Failure {
    Error::unavailable(NotWritten::Gone).into()
}

impl Drop for Writer {
    fn drop(&mut self) {
        drop(self.queue.take());
        if let Some(thread) = self.thread.take() {
            // It panics only by a fault of its own, and then there is nothing left to wait for.
            let _ = thread.join();
        }
    }
}

/// The thread's side.
struct Batches {
    address: SqliteAddress,
    options: StoreOptions,
    connection: Option<AnyConnection>,
    commits: Arc<AtomicU64>,
    due: Due,
    /// How many of the next commits have savepoints.
    careful_commits: u32,
}

impl Batches {
    /// Commits a job and those that wait behind it, then answers all of them.
    fn commit(&mut self, first: Box<dyn Job>, queue: &Receiver<Box<dyn Job>>) {
        let mut batch = vec![first];
        batch.extend(queue.try_iter().take(MOST_JOBS - 1));
        let committed = self.run(&mut batch);
        if let Err(trouble) = &committed {
            // Whatever state the connection is in, closing it rolls back; the next batch opens a new one.
            self.connection = None;
            log::error!("{} writes were not committed: {trouble}", batch.len());
        }
        self.commits.fetch_add(1, Ordering::Release);
        self.due.count(batch.len());
        for job in batch {
            job.answer(&committed);
        }
    }

    fn run(&mut self, batch: &mut [Box<dyn Job>]) -> Result<(), Trouble> {
        if self.careful_commits == 0 {
            match self.transaction(batch, Care::Hopeful)? {
                Ending::Committed => return Ok(()),
                Ending::RolledBack => self.careful_commits = CAREFUL_COMMITS,
            }
        }
        self.careful_commits -= 1;
        self.transaction(batch, Care::Savepoints).map(drop)
    }

    /// Does the jobs of a batch in one transaction.
    fn transaction(&mut self, batch: &mut [Box<dyn Job>], care: Care) -> Result<Ending, Trouble> {
        let connection = match &mut self.connection {
            Some(connection) => connection,
            closed => closed.insert(
                AnyConnection::to_sqlite(&self.address, Role::Writer, self.options.lock_timeout)
                    .map_err(|error| Trouble(error.to_string()))?,
            ),
        };
        connection.begin_write()?;
        for job in batch {
            match care {
                Care::Hopeful => {
                    if let Verdict::Undo(why) = job.run(connection) {
                        // This fails when SQLite gave up the transaction by itself, as it may when the disk is full.
                        let rolled_back = connection.roll_back();
                        rolled_back.map_err(|error| why.unwrap_or_else(|| error.into()))?;
                        return Ok(Ending::RolledBack);
                    }
                }
                Care::Savepoints => {
                    connection.begin_part()?;
                    match job.run(connection) {
                        Verdict::Keep => connection.keep_part()?,
                        // As above.
                        Verdict::Undo(why) => connection
                            .undo_part()
                            .map_err(|error| why.unwrap_or_else(|| error.into()))?,
                    }
                }
            }
        }
        connection.commit()?;
        Ok(Ending::Committed)
    }
}

/// What is done about jobs that may be refused.
#[derive(Clone, Copy)]
enum Care {
    /// Nothing: a refusal ends the transaction.
    Hopeful,
    /// Each job is undone alone.
    Savepoints,
}

enum Ending {
    Committed,
    /// Nothing was stored, because a job was refused.
    RolledBack,
}

#[cfg(test)]
mod tests;
