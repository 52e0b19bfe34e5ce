//! One connection to either database, and what it is told when it is opened.

use std::{path::Path, time::Duration};

use diesel::{
    PgConnection, SqliteConnection,
    backend::Backend,
    connection::{
        AnsiTransactionManager, SimpleConnection, TransactionDepthChange, TransactionManager, TransactionManagerStatus,
    },
    prelude::*,
    query_builder::{AstPass, QueryFragment, QueryId},
    r2d2::R2D2Connection,
    result::{ConnectionError, QueryResult},
    sql_types::Text,
};
use thiserror::Error;

use crate::{
    address::{PostgresAddress, SqliteAddress},
    failure::Outcome,
};

/// Runs a query, which is written once, on the connection that there is: `on_either!(connection, connection => query)`.
///
/// For what requests ask for all the time. Run on [`AnyConnection`] itself, a query is the same, but Diesel writes its SQL
/// twice before it finds the statement that it had prepared for it.
macro_rules! on_either {
    ($any:expr, $connection:ident => $query:expr) => {
        match $any {
            $crate::connection::AnyConnection::Sqlite($connection) => $query,
            $crate::connection::AnyConnection::Postgres($connection) => $query,
        }
    };
}
pub(crate) use on_either;

/// Has a commit wait until it is on disk, on a server or in a database that is set not to. Other settings wait for at least that.
const WAIT_FOR_DISK: &str = "SELECT set_config('synchronous_commit', 'on', false) \
                             WHERE current_setting('synchronous_commit') = 'off'";

/// A connection to one of the databases. Diesel derives what lets one query be written for both.
#[derive(diesel::MultiConnection)]
pub(crate) enum AnyConnection {
    /// A file.
    Sqlite(SqliteConnection),
    /// A server.
    Postgres(PgConnection),
}

/// A connection could not be opened. Holds no secret.
#[derive(Debug, Error)]
pub enum ConnectError {
    /// The SQLite file can't be opened or set up.
    #[error("the SQLite file {path} can't be opened: {reason}")]
    Sqlite {
        /// The file.
        path: String,
        /// What SQLite says.
        reason: String,
    },
    /// The PostgreSQL server can't be reached, or refuses.
    #[error("PostgreSQL at {address} can't be reached: {reason}")]
    Postgres {
        /// The server, without the password.
        address: String,
        /// What the client library or the server says.
        reason: String,
    },
    /// The connection was opened before its server went away.
    #[error("the connection is older than the last loss of the server")]
    Outlived,
}

/// How many pages the log may have, 64 MiB, before a commit moves what nobody has moved into the file yet.
const MOST_PAGES_IN_LOG: u32 = 16_384;

/// What a connection to SQLite is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Only reads.
    Reader,
    /// Reads and writes.
    Writer,
}

/// Commands without parameters, which stay prepared, and are found by their types.
macro_rules! commands {
    ($($command:ident: $text:literal),* $(,)?) => {$(
        struct $command;

        impl<B: Backend> QueryFragment<B> for $command {
            fn walk_ast<'b>(&'b self, mut pass: AstPass<'_, 'b, B>) -> QueryResult<()> {
                pass.push_sql($text);
                Ok(())
            }
        }

        impl QueryId for $command {
            type QueryId = Self;
            const HAS_STATIC_QUERY_ID: bool = true;
        }

        impl<C> RunQueryDsl<C> for $command {}
    )*};
}

commands! {
    BeginRead: "BEGIN",
    EndRead: "ROLLBACK",
    BeginPart: "SAVEPOINT part",
    KeepPart: "RELEASE part",
    UndoPart: "ROLLBACK TO part",
}

#[derive(QueryableByName)]
struct JournalMode {
    #[diesel(sql_type = Text)]
    journal_mode: String,
}

impl AnyConnection {
    /// Opens an SQLite file, and makes it if it is not there.
    pub(crate) fn to_sqlite(address: &SqliteAddress, role: Role, lock_timeout: Duration) -> Result<Self, ConnectError> {
        let failed = |reason: &dyn std::fmt::Display| ConnectError::Sqlite {
            path: address.path().display().to_string(),
            reason: reason.to_string(),
        };
        let mut connection =
            SqliteConnection::establish(&address.file_name()).map_err(|error| failed(&plain(&error)))?;
        set_up_sqlite(&mut connection, role, lock_timeout).map_err(|error| failed(&error))?;
        let mode: JournalMode = diesel::sql_query("PRAGMA journal_mode")
            .get_result(&mut connection)
            .map_err(|error| failed(&error))?;
        if mode.journal_mode != "wal" {
            return Err(failed(&"its file system does not support write-ahead logging"));
        }
        Ok(Self::Sqlite(connection))
    }

    /// Connects to a PostgreSQL server. What it answers is on its disk, also where the server is set to answer sooner.
    pub(crate) fn to_postgres(address: &PostgresAddress) -> Result<Self, ConnectError> {
        let failed = |reason: &str| ConnectError::Postgres {
            address: address.to_string(),
            reason: address.without_secrets(reason),
        };
        let mut connection =
            PgConnection::establish(&address.connection_url()).map_err(|error| failed(&plain(&error)))?;
        // Conditional updates rely on seeing what was committed while they waited for a row.
        connection
            .batch_execute("SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL READ COMMITTED")
            .and_then(|()| connection.batch_execute(WAIT_FOR_DISK))
            .map_err(|error| failed(&error.to_string()))?;
        Ok(Self::Postgres(connection))
    }

    /// Begins a transaction that writes. On SQLite it takes the write lock at once: a transaction that begins by
    /// reading can't take it later when somebody else wrote in between.
    pub(crate) fn begin_write(&mut self) -> QueryResult<()> {
        match self {
            Self::Sqlite(connection) => AnsiTransactionManager::begin_transaction_sql(connection, "BEGIN IMMEDIATE"),
            Self::Postgres(connection) => AnsiTransactionManager::begin_transaction(connection),
        }
    }

    /// Runs queries that only read, and that all see the rows as they were at one moment.
    pub(crate) fn at_one_moment<T>(&mut self, queries: impl FnOnce(&mut Self) -> Outcome<T>) -> Outcome<T> {
        if self.is_in_transaction()? {
            return queries(self);
        }
        self.begin_read()?;
        let result = queries(self);
        self.end_read()?;
        result
    }

    /// Begins a transaction that only reads, and sees the rows as they are at one moment.
    pub(crate) fn begin_read(&mut self) -> QueryResult<()> {
        match self {
            // As Diesel does it, but prepared: this is done for every request that reads.
            Self::Sqlite(connection) => {
                BeginRead.execute(connection)?;
                change_depth(connection, TransactionDepthChange::IncreaseDepth)
            }
            Self::Postgres(connection) => AnsiTransactionManager::begin_transaction_sql(
                connection,
                "BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY",
            ),
        }
    }

    /// Ends a transaction that only reads.
    pub(crate) fn end_read(&mut self) -> QueryResult<()> {
        match self {
            Self::Sqlite(connection) => {
                let ended = EndRead.execute(connection);
                if ended.is_err() {
                    // What state it is in is not known: it is not to be used again.
                    AnsiTransactionManager::transaction_manager_status_mut(connection).set_in_error();
                }
                ended?;
                change_depth(connection, TransactionDepthChange::DecreaseDepth)
            }
            Self::Postgres(connection) => AnsiTransactionManager::rollback_transaction(connection),
        }
    }

    fn is_in_transaction(&mut self) -> QueryResult<bool> {
        let depth = on_either!(self, connection => {
            AnsiTransactionManager::transaction_manager_status_mut(connection).transaction_depth()
        });
        Ok(depth?.is_some())
    }

    /// Begins a part of a transaction that can be undone alone. Such parts follow each other, and do not lie in each other.
    pub(crate) fn begin_part(&mut self) -> QueryResult<()> {
        on_either!(self, connection => BeginPart.execute(connection)).map(drop)
    }

    /// Keeps what was done since the part began, for the transaction to commit.
    pub(crate) fn keep_part(&mut self) -> QueryResult<()> {
        on_either!(self, connection => KeepPart.execute(connection)).map(drop)
    }

    /// Undoes what was done since the part began.
    pub(crate) fn undo_part(&mut self) -> QueryResult<()> {
        on_either!(self, connection => UndoPart.execute(connection))?;
        self.keep_part()
    }

    /// Keeps what was done since the last begin.
    pub(crate) fn commit(&mut self) -> QueryResult<()> {
        <Self as TransactionManager<Self>>::commit_transaction(self)
    }

    /// Undoes what was done since the last begin.
    pub(crate) fn roll_back(&mut self) -> QueryResult<()> {
        <Self as TransactionManager<Self>>::rollback_transaction(self)
    }

    /// Moves what was committed from SQLite's log into its file. Waits for nobody, and makes nobody wait.
    pub(crate) fn checkpoint(&mut self) -> QueryResult<()> {
        self.batch_execute("PRAGMA wal_checkpoint(PASSIVE)")
    }

    /// Whether the connection can't be used any more: its server is gone, or a transaction could not be ended.
    pub(crate) fn is_lost(&mut self) -> bool {
        R2D2Connection::is_broken(self)
    }
}

/// Tells Diesel that a transaction was begun or ended.
fn change_depth(connection: &mut SqliteConnection, change: TransactionDepthChange) -> QueryResult<()> {
    match AnsiTransactionManager::transaction_manager_status_mut(connection) {
        TransactionManagerStatus::Valid(status) => status.change_transaction_depth(change),
        TransactionManagerStatus::InError => Err(diesel::result::Error::BrokenTransactionManager),
    }
}

/// The busy timeout comes first, because switching to WAL takes a lock. `FULL` syncs the log before a commit is answered.
fn set_up_sqlite(connection: &mut SqliteConnection, role: Role, lock_timeout: Duration) -> QueryResult<()> {
    connection.batch_execute(&format!(
        "PRAGMA busy_timeout = {}; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; \
         PRAGMA trusted_schema = OFF; PRAGMA journal_size_limit = 67108864;",
        lock_timeout.as_millis()
    ))?;
    match role {
        Role::Reader => connection.batch_execute("PRAGMA query_only = ON"),
        // A part of a transaction that may be undone alone copies each page before it changes it: into memory, not into a file.
        Role::Writer => connection.batch_execute(&format!(
            "PRAGMA temp_store = MEMORY; PRAGMA wal_autocheckpoint = {MOST_PAGES_IN_LOG}"
        )),
    }
}

fn plain(error: &ConnectionError) -> String {
    match error {
        ConnectionError::BadConnection(reason) => reason.trim_end().to_owned(),
        other => other.to_string(),
    }
}

/// The path of a file that lies beside another one and is named after it.
pub(crate) fn beside(path: &Path, suffix: &str) -> std::path::PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;
    use crate::address::Address;

    #[derive(QueryableByName)]
    struct Setting {
        #[diesel(sql_type = Text)]
        synchronous_commit: String,
    }

    #[test]
    fn commits_wait_for_the_disk_of_a_server_that_is_set_not_to_wait() {
        let Ok(server) = std::env::var("SNAPSHOT_TEST_POSTGRES_URL") else {
            // Not by a print macro: the test runner would hide it.
            let _ = writeln!(std::io::stderr(), "skipped, there is no PostgreSQL server");
            return;
        };
        for (set, expected) in [("off", "on"), ("local", "local"), ("remote_write", "remote_write")] {
            let url = format!("{server}?options=-csynchronous_commit%3D{set}");
            let Address::Postgres(address) = Address::parse(&url).unwrap() else {
                panic!("{url} is an address of PostgreSQL");
            };
            let AnyConnection::Postgres(mut connection) = AnyConnection::to_postgres(&address).unwrap() else {
                panic!("connected to something else");
            };

            let setting: Setting = diesel::sql_query("SHOW synchronous_commit")
                .get_result(&mut connection)
                .unwrap();

            assert_eq!(setting.synchronous_commit, expected);
        }
    }
}
