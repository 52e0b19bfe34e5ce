//! Bringing the tables up to date.
//!
//! All missing migrations run in one transaction, under a lock: of processes that start at once one does the work, and
//! the others find it done.

use std::{
    fs::{File, OpenOptions},
    path::Path,
};

use diesel::{
    connection::{AnsiTransactionManager, SimpleConnection, TransactionManager},
    migration::{Migration, MigrationConnection, MigrationSource},
};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};
use thiserror::Error;

use crate::{
    ConnectError, StoreOptions,
    address::Address,
    connection::{AnyConnection, Role, beside},
};

const FOR_SQLITE: EmbeddedMigrations = embed_migrations!("migrations/sqlite");
const FOR_POSTGRES: EmbeddedMigrations = embed_migrations!("migrations/postgres");

/// Known to every version of this service and to nobody else.
const POSTGRES_LOCK: &str = "SELECT pg_advisory_xact_lock(7306931642281985)";

/// The tables could not be brought up to date; they are as they were.
#[derive(Debug, Error)]
pub enum MigrateError {
    /// The database can't be opened.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The lock file beside an SQLite file can't be used.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// A newer version of this service was here.
    #[error("the database has migration {version}, which this version of the service does not know: it is too old")]
    TooNew {
        /// The unknown migration.
        version: String,
    },
    /// A migration failed.
    #[error("a migration failed: {reason}")]
    Failed {
        /// What the database says.
        reason: String,
    },
}

/// The file whose lock lets one process at a time set up an SQLite file can't be used.
#[derive(Debug, Error)]
#[error("the lock file {path} can't be locked")]
pub struct LockError {
    path: String,
    source: std::io::Error,
}

/// Runs the migrations that are missing, and returns how many those were.
pub(crate) fn migrate(address: &Address, options: &StoreOptions) -> Result<usize, MigrateError> {
    let _lock = match address {
        Address::Sqlite(address) => Some(lock_beside(address.path())?),
        Address::Postgres(_) => None,
    };
    match open(address, options)? {
        AnyConnection::Sqlite(mut connection) => {
            AnsiTransactionManager::begin_transaction_sql(&mut connection, "BEGIN IMMEDIATE").map_err(failed)?;
            bring_up_to_date(&mut connection, FOR_SQLITE)
        }
        AnyConnection::Postgres(mut connection) => {
            AnsiTransactionManager::begin_transaction(&mut connection).map_err(failed)?;
            connection.batch_execute(POSTGRES_LOCK).map_err(failed)?;
            bring_up_to_date(&mut connection, FOR_POSTGRES)
        }
    }
}

fn open(address: &Address, options: &StoreOptions) -> Result<AnyConnection, ConnectError> {
    match address {
        Address::Sqlite(address) => AnyConnection::to_sqlite(address, Role::Writer, options.lock_timeout),
        Address::Postgres(address) => AnyConnection::to_postgres(address),
    }
}

/// Ends the transaction that was begun on the connection; an early return leaves that to the connection's end.
fn bring_up_to_date<C>(connection: &mut C, source: EmbeddedMigrations) -> Result<usize, MigrateError>
where
    C: MigrationHarness<C::Backend>
        + MigrationConnection
        + diesel::Connection<TransactionManager = AnsiTransactionManager>,
    EmbeddedMigrations: MigrationSource<C::Backend>,
{
    connection.setup().map_err(failed)?;
    let known: Vec<String> = MigrationSource::<C::Backend>::migrations(&source)
        .map_err(failed)?
        .iter()
        .map(|migration| migration.name().version().to_string())
        .collect();
    let applied = connection.applied_migrations().map_err(failed)?;
    if let Some(unknown) = applied.iter().map(ToString::to_string).find(|it| !known.contains(it)) {
        return Err(MigrateError::TooNew { version: unknown });
    }
    let run = connection.run_pending_migrations(source).map_err(failed)?.len();
    AnsiTransactionManager::commit_transaction(connection).map_err(failed)?;
    Ok(run)
}

/// Holds the lock as long as the file is open: a process that dies lets go of it. Not the database's own file: closing
/// that would let go of SQLite's locks in this process.
pub(crate) fn lock_beside(database: &Path) -> Result<File, LockError> {
    let path = beside(database, "-lock");
    let locked = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path)
        .and_then(|file| file.lock().map(|()| file));
    locked.map_err(|source| LockError {
        path: path.display().to_string(),
        source,
    })
}

fn failed(error: impl std::fmt::Display) -> MigrateError {
    MigrateError::Failed {
        reason: error.to_string(),
    }
}
