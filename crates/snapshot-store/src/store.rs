//! The store as the rest of the service sees it.

use std::{path::PathBuf, sync::Arc, time::Duration};

use diesel::prelude::*;
use snapshot_domain::{Error, Quota, Result, ports::Tell};
use thiserror::Error as ThisError;

use crate::{
    ConnectError, InvalidUrl, LockError, MigrateError,
    address::Address,
    beside::Beside,
    connection::{AnyConnection, Role},
    failure::{Failure, Outcome},
    migrate::{lock_beside, migrate},
    pool::Pool,
    schema::organizations,
    snapshots::Places,
    writer::Writer,
};

/// The rows of the service: every repository of the domain. A clone is another handle to the same connections.
#[derive(Clone)]
pub struct Store(Arc<Database>);

struct Database {
    address: Address,
    options: StoreOptions,
    /// For reads; on PostgreSQL for writes too.
    pool: Pool,
    /// For reads that go on from one to the next.
    beside: Beside,
    /// On SQLite, what writes.
    writer: Option<Writer>,
    places: Places,
}

/// How a store uses its database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreOptions {
    /// The most connections at once. On SQLite the most readers, beside one for each thread that reads
    /// [`together and on`](Store::together_and_on).
    pub connections: u32,
    /// How long a call waits for a free connection before it is refused.
    pub connection_timeout: Duration,
    /// How many writes may wait for the disk before more are refused. Only for SQLite.
    pub queued_writes: usize,
    /// How long to wait while another process writes to the file. Only for SQLite.
    pub lock_timeout: Duration,
    /// What an organization may have for which nothing else is set.
    pub default_quota: Quota,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self {
            connections: 16,
            connection_timeout: Duration::from_secs(3),
            queued_writes: 4096,
            lock_timeout: Duration::from_secs(30),
            default_quota: Quota::default(),
        }
    }
}

/// A store could not be opened. Holds no secret.
#[derive(Debug, ThisError)]
pub enum OpenError {
    /// The URL names no database.
    #[error(transparent)]
    Url(#[from] InvalidUrl),
    /// The database can't be opened.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The lock file beside an SQLite file can't be used.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The thread that writes to SQLite can't be started.
    #[error("the thread that writes to the database can't be started")]
    Thread(#[source] std::io::Error),
}

impl Store {
    /// Opens the database that a URL names: `sqlite:///path`, `sqlite:path`, a plain path, `postgres://…` or
    /// `postgresql://…`. An SQLite file that is not there is made. Tables are made by [`migrate`](Self::migrate).
    ///
    /// # Errors
    ///
    /// [`OpenError`] when the URL names no database, or the database can't be opened or reached now.
    pub fn open(url: &str, options: StoreOptions) -> Result<Self, OpenError> {
        let address = Address::parse(url)?;
        let writer = match &address {
            Address::Sqlite(address) => {
                // Two that switch a new file to write-ahead logging at once would disturb each other.
                let _lock = lock_beside(address.path())?;
                AnyConnection::to_sqlite(address, Role::Writer, options.lock_timeout)?;
                Some(Writer::start(address.clone(), options).map_err(OpenError::Thread)?)
            }
            Address::Postgres(address) => {
                AnyConnection::to_postgres(address)?;
                None
            }
        };
        let pool = Pool::new(address.clone(), options);
        Ok(Self(Arc::new(Database {
            address,
            options,
            pool,
            beside: Beside::default(),
            writer,
            places: Places::default(),
        })))
    }

    /// Makes the tables, or brings them up to date. Returns how many migrations that took. Any number of processes may do
    /// this at once.
    ///
    /// # Errors
    ///
    /// [`MigrateError`]; the tables are as they were then.
    pub fn migrate(&self) -> Result<usize, MigrateError> {
        migrate(&self.0.address, &self.0.options)
    }

    /// Reads a row, to see whether the database answers.
    ///
    /// # Errors
    ///
    /// [`Unavailable`](Error::Unavailable) when it does not, or has no tables yet.
    pub fn ping(&self) -> Result<()> {
        self.read(|connection| {
            let any: Option<Vec<u8>> = organizations::table
                .select(organizations::id)
                .first(connection)
                .optional()?;
            drop(any);
            Ok(())
        })
    }

    /// Whether reads of single rows and pages take microseconds, so that a web server may do them on its own thread. True
    /// for a local file, false for a server that has to be asked.
    pub fn reads_are_short(&self) -> bool {
        self.0.writer.is_some()
    }

    /// The files that the database lies in, of which some may not be there; none on a server.
    pub fn files(&self) -> Vec<PathBuf> {
        let Address::Sqlite(address) = &self.0.address else {
            return Vec::new();
        };
        let of = |suffix| {
            let mut name = address.path().as_os_str().to_owned();
            name.push(suffix);
            name.into()
        };
        ["", "-wal", "-shm"].map(of).into()
    }

    /// Tells this store's database from others in the process.
    pub(crate) fn place(&self) -> usize {
        Arc::as_ptr(&self.0) as usize
    }

    /// How many commits of this process have ended.
    pub(crate) fn commits(&self) -> u64 {
        self.0.writer.as_ref().map_or(0, Writer::commits)
    }

    pub(crate) fn pool(&self) -> &Pool {
        &self.0.pool
    }

    /// A connection that no other thread keeps this one from having, and where to give it back.
    pub(crate) fn connection_beside(&self) -> Result<(AnyConnection, Beside), ConnectError> {
        let Database {
            address,
            options,
            beside,
            ..
        } = &*self.0;
        Ok((beside.take(address, options.lock_timeout)?, beside.clone()))
    }

    pub(crate) fn default_quota(&self) -> Quota {
        self.0.options.default_quota
    }

    /// What is known of places in long lists.
    pub(crate) fn places(&self) -> &Places {
        &self.0.places
    }

    /// Runs queries that only read.
    pub(crate) fn read<T>(&self, queries: impl Fn(&mut AnyConnection) -> Outcome<T>) -> Result<T> {
        self.read_here(queries).map_err(Error::from)
    }

    /// Runs queries in a transaction that is durable when this returns.
    pub(crate) fn write<T: Send + 'static>(
        &self,
        queries: impl Fn(&mut AnyConnection) -> Outcome<T> + Send + 'static,
    ) -> Result<T> {
        self.try_write(queries).map_err(Error::from)
    }

    /// As [`write`](Self::write), but returns as soon as the queries wait for their turn, and tells how they ended when that
    /// is durable. Where there is nothing to wait in, they have run when this returns. What shows at once is told to
    /// nobody but the caller.
    pub(crate) fn write_and_tell(
        &self,
        queries: impl Fn(&mut AnyConnection) -> Outcome<()> + Send + 'static,
        tell: Tell<()>,
    ) -> Result<()> {
        match &self.0.writer {
            Some(writer) => writer.hand_over(queries, |outcome| tell(outcome.map_err(Error::from)))?,
            None => tell(Ok(self.0.pool.transaction(queries)?)),
        }
        Ok(())
    }

    /// As [`write`](Self::write), for callers who look at the database's own errors.
    pub(crate) fn try_write<T: Send + 'static>(
        &self,
        queries: impl Fn(&mut AnyConnection) -> Outcome<T> + Send + 'static,
    ) -> Result<T, Failure> {
        match &self.0.writer {
            Some(writer) => writer.write(queries),
            None => self.0.pool.transaction(queries),
        }
    }
}
