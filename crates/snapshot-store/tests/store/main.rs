//! The store from outside: every rule of the ports, and what only a database does.
//!
//! PostgreSQL is used when `SNAPSHOT_TEST_POSTGRES_URL` names a server (`.ci/postgres start` prints one); each test gets a
//! schema of its own there. Without it, tests that need one say on standard error that they were skipped.

#![expect(clippy::unwrap_used, reason = "a test panics when what it builds on fails")]
#![expect(clippy::doc_markdown, reason = "SQLite and PostgreSQL are names, not code")]

mod contract;
mod corruption;
mod crowd;
mod nearby;
mod opening;
mod place;
mod postgres;
mod sizes;
mod together;
mod words;
