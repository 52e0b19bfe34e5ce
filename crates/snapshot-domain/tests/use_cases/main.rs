//! What the services promise, one file per service; over rows and bytes in memory, or over mocks where a port has to
//! fail.

#![expect(
    clippy::unwrap_used,
    clippy::needless_pass_by_value,
    reason = "what the tests share panics when a test fails"
)]

mod access;
mod audit;
mod checks;
mod conditions;
mod failed_writes;
mod failures;
mod receipts;
mod recovery;
mod rights;
mod snapshots;
mod story;
mod tasks;
mod transfers;
mod volumes;
mod writes;
