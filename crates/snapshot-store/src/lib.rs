//! The rows of the snapshot service: the domain's repositories on SQLite and PostgreSQL.
//!
//! [`Store`] implements every repository port of `snapshot-domain`. Which database it uses is said by a URL alone:
//!
//! ```
//! use snapshot_domain::ports::OrganizationRepository;
//! use snapshot_store::{Store, StoreOptions};
//!
//! # let folder = tempfile::tempdir()?;
//! # let path = folder.path().join("metadata.sqlite");
//! # let path = path.display();
//! let store = Store::open(&format!("sqlite://{path}"), StoreOptions::default())?;
//! store.migrate()?;
//! assert!(OrganizationRepository::list(&store)?.is_empty());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Two databases, one set of queries
//!
//! Queries are written once, against Diesel's `MultiConnection`: an enum of both connections that is a connection itself.
//! The alternative, one file of queries compiled twice as two modules, has all of Diesel but is harder to find one's way
//! in. What `MultiConnection` lacks is not needed: no upserts (an insert fails on a taken id, an update compares the
//! revision; the one that ignores what is there already is run on either connection itself), no batch inserts, no `FOR UPDATE`
//! (conditional updates lock their rows). One statement has two dialects: the one that claims a task, with `SKIP LOCKED` on
//! PostgreSQL.
//!
//! # How SQLite is used
//!
//! Reads have a pool of connections and never wait for a writer (write-ahead logging). All writes of a process go through
//! one thread, which commits together what queued during its last sync: a pool of writing connections spends its time
//! waiting for each other's locks, and syncs once per row. A commit is synced before it is answered (`synchronous=FULL`).
//! What was committed is moved from the log into the file by another thread, so that who commits need not wait for that.
//! Other processes may use the same file: a batch takes the write lock at once and waits for theirs, and a read may miss
//! what they committed less than [`OLDEST_READ`] ago. An empty file beside the database, named like it with `-lock` at its
//! end, lets one process at a time set a new database up.
//!
//! # How PostgreSQL is used
//!
//! Each write is a transaction on a connection of the pool, at `READ COMMITTED`. What two of them could decide differently
//! is decided by conditional updates: the second one waits for the row, looks again, and finds the revision or the lease
//! changed. Rows are locked in this order, so that no two transactions wait for each other: receipt, task, task total, snapshot,
//! snapshot total, domain size, volume, volume total.
//!
//! # What is not here
//!
//! Rules about the states of snapshots and volumes: the entities have them, the tables' `CHECK`s repeat them, and no query decides
//! one. Whose a task or a run is, and which comes next, is decided by queries, for two may ask at once: the ports say how, and
//! the contract's tests see to it.

#![expect(clippy::doc_markdown, reason = "SQLite and PostgreSQL are names, not code")]

mod address;
mod audit;
mod beside;
mod checkpoints;
mod checks;
mod columns;
mod connection;
mod failure;
mod list;
mod maintenance;
mod migrate;
mod organizations;
mod packs;
mod pool;
mod prepared;
mod quotas;
mod receipts;
mod row_insert;
mod schema;
mod sizes;
mod snapshots;
mod store;
mod tasks;
mod together;
mod tokens;
mod told;
mod transfers;
mod volumes;
mod writer;

pub use address::InvalidUrl;
pub use connection::ConnectError;
pub use migrate::{LockError, MigrateError};
pub use store::{OpenError, Store, StoreOptions};
pub use together::OLDEST_READ;
