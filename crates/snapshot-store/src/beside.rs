//! Connections beside those of the pool.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crate::{
    ConnectError,
    address::Address,
    connection::{AnyConnection, Role},
};

/// Connections to SQLite for threads that can't wait until one of the pool's is free, as others depend on them. There are as
/// many as such threads have ever read at once.
#[derive(Clone, Default)]
pub(crate) struct Beside(Arc<Mutex<Vec<AnyConnection>>>);

impl Beside {
    /// A connection that is used by nobody, or else a new one. To be given back, unless something went wrong on it.
    ///
    /// # Errors
    ///
    /// When it can't be opened.
    pub(crate) fn take(&self, address: &Address, lock_timeout: Duration) -> Result<AnyConnection, ConnectError> {
        let unused = self.lock().pop();
        match (unused, address) {
            (Some(connection), _) => Ok(connection),
            (None, Address::Sqlite(address)) => AnyConnection::to_sqlite(address, Role::Reader, lock_timeout),
            (None, Address::Postgres(address)) => AnyConnection::to_postgres(address),
        }
    }

    /// Keeps a connection for whoever needs one next.
    pub(crate) fn give_back(&self, connection: AnyConnection) {
        self.lock().push(connection);
    }

    fn lock(&self) -> MutexGuard<'_, Vec<AnyConnection>> {
        // Nothing panics while it holds the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
