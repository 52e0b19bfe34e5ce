//! Running tasks: claiming them, keeping their leases, and ending them.
//!
//! [`Runner`] has a few threads that claim tasks, and one that renews the leases of what runs. What a kind of task does
//! stands in a file of its own; how it ends, in [`run`].

mod capture;
mod removal;
mod restore;
mod run;
mod runner;

pub(crate) use run::chain;
pub use runner::{Observer, Runner, RunnerOptions};
