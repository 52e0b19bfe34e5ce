//! Connections that are kept open and lent out.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use diesel::result::{DatabaseErrorKind, Error as DatabaseError};
use r2d2::{HandleError, ManageConnection, PooledConnection};
use snapshot_domain::Error;

use crate::{
    ConnectError, StoreOptions,
    address::Address,
    connection::{AnyConnection, Role},
    failure::{Failure, Outcome},
};

/// Connections to one database. Those to SQLite only read; writes go through the [`Writer`](crate::writer::Writer).
#[derive(Clone)]
pub(crate) struct Pool {
    connections: r2d2::Pool<Opener>,
    losses: Arc<AtomicU64>,
}

/// A connection, and how often the server had been lost when it was opened.
pub(crate) struct Pooled {
    connection: AnyConnection,
    losses: u64,
}

impl Pooled {
    pub(crate) const fn connection(&mut self) -> &mut AnyConnection {
        &mut self.connection
    }
}

pub(crate) type Lent = PooledConnection<Opener>;

/// Opens connections for a pool.
pub(crate) struct Opener {
    address: Address,
    options: StoreOptions,
    losses: Arc<AtomicU64>,
}

impl Pool {
    /// A pool that opens its connections when they are first needed.
    pub(crate) fn new(address: Address, options: StoreOptions) -> Self {
        let losses = Arc::new(AtomicU64::new(0));
        let opener = Opener {
            address,
            options,
            losses: losses.clone(),
        };
        let connections = r2d2::Pool::builder()
            .max_size(options.connections)
            .min_idle(Some(0))
            .connection_timeout(options.connection_timeout)
            .error_handler(Box::new(LogAsWarning))
            .build_unchecked(opener);
        Self { connections, losses }
    }

    /// Runs queries that only read, on a connection of the pool. When the server turns out to be gone they run once more,
    /// on a new connection: reading twice harms nobody.
    pub(crate) fn read<T>(&self, query: impl Fn(&mut AnyConnection) -> Outcome<T>) -> Outcome<T> {
        let mut lent = self.lend()?;
        match query(&mut lent.connection) {
            Err(Failure::Database(error)) if self.note_loss(&mut lent, &error) => {
                drop(lent);
                query(&mut self.lend()?.connection)
            }
            result => result,
        }
    }

    /// Runs queries in a transaction of their own: all of them happen, or none.
    pub(crate) fn transaction<T>(&self, queries: impl FnOnce(&mut AnyConnection) -> Outcome<T>) -> Outcome<T> {
        let mut lent = self.begin()?;
        let result = queries(&mut lent.connection).and_then(|value| {
            lent.connection.commit()?;
            Ok(value)
        });
        if let Err(failure) = &result {
            let lost = matches!(failure, Failure::Database(error) if self.note_loss(&mut lent, error));
            if !lost && let Err(error) = lent.connection.roll_back() {
                // The commit itself may have rolled back. What is still open ends with the connection, which the pool
                // does not take back in that state.
                log::debug!("nothing was left to roll back: {error}");
            }
        }
        result
    }

    /// Begins a transaction. A connection that died while nobody used it is replaced: nothing was done on it yet.
    fn begin(&self) -> Outcome<Lent> {
        let mut lent = self.lend()?;
        match lent.connection.begin_write() {
            Ok(()) => Ok(lent),
            Err(error) if self.note_loss(&mut lent, &error) => {
                drop(lent);
                let mut lent = self.lend()?;
                lent.connection.begin_write()?;
                Ok(lent)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Lends a connection. The pool takes it back when it is dropped, unless it is still in a transaction then.
    pub(crate) fn lend(&self) -> Outcome<Lent> {
        self.connections.get().map_err(|error| Error::unavailable(error).into())
    }

    /// Whether an error means that the connection is lost. If so, all that are as old are not used again.
    fn note_loss(&self, lent: &mut Lent, error: &DatabaseError) -> bool {
        // Diesel only notes a loss itself when a statement runs into it, not when one is prepared.
        let lost = lent.connection.is_lost()
            || matches!(
                error,
                DatabaseError::DatabaseError(
                    DatabaseErrorKind::ClosedConnection | DatabaseErrorKind::UnableToSendCommand,
                    _
                )
            );
        if lost {
            // Others that were lost together with it may have noted that already.
            let _ = self
                .losses
                .compare_exchange(lent.losses, lent.losses + 1, Ordering::AcqRel, Ordering::Acquire);
        }
        lost
    }
}

impl ManageConnection for Opener {
    type Connection = Pooled;
    type Error = ConnectError;

    fn connect(&self) -> Result<Pooled, ConnectError> {
        let losses = self.losses.load(Ordering::Acquire);
        let connection = match &self.address {
            Address::Sqlite(address) => AnyConnection::to_sqlite(address, Role::Reader, self.options.lock_timeout),
            Address::Postgres(address) => AnyConnection::to_postgres(address),
        }?;
        Ok(Pooled { connection, losses })
    }

    /// Asks the server nothing: that would double the cost of a short read.
    fn is_valid(&self, pooled: &mut Pooled) -> Result<(), ConnectError> {
        if pooled.losses == self.losses.load(Ordering::Acquire) {
            Ok(())
        } else {
            Err(ConnectError::Outlived)
        }
    }

    fn has_broken(&self, pooled: &mut Pooled) -> bool {
        std::thread::panicking() || pooled.connection.is_lost() || self.is_valid(pooled).is_err()
    }
}

#[derive(Debug)]
struct LogAsWarning;

impl<E: fmt::Display> HandleError<E> for LogAsWarning {
    fn handle_error(&self, error: E) {
        log::warn!("a database connection can't be used: {error}");
    }
}
