//! Work on the vault as a whole: giving space back, and counting what takes it.
//!
//! [`Maintenance`] has one thread that does runs one after another, and in between measures what each snapshot takes for
//! itself. A run is a row that somebody asked for, by schedule or at the command line; whoever has no server to ask does
//! the run itself with [`Premises::complete`]. A run is held under a lease: two instances never do the same kind at once,
//! and what a dead process left is taken up again by the next one.
//!
//! # Adding a job
//!
//! 1. `snapshot_domain::MaintenanceJob` and `MaintenanceKind` get a variant. The columns `kind` and `dry_run` hold it;
//!    options of another sort need a column of their own.
//! 2. A file here gets a function that takes the [`Premises`] and a `Job`, asks `Job::check` often, and returns a report
//!    that can be written as JSON. `perform.rs` calls it in one more arm of `Premises::work`.
//! 3. What is done by itself gets an interval in [`MaintenanceOptions`], and a line in `Keeper::ask_for_what_is_due`.
//! 4. The command that asks for it is a few lines in `snapshot-api/src/maintenance_commands.rs`.

mod collect;
mod job;
mod keeper;
mod perform;
mod promised;
mod sizes;
mod stat;

pub use collect::CollectReport;
pub use keeper::Maintenance;
pub use promised::has_whole_snapshots;
pub use stat::{SnapshotStat, StatReport, StatTotals};

use std::{num::NonZero, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};
use snapshot_domain::{
    InstanceId,
    ports::{CheckRepository, SnapshotRepository, SnapshotSizes, TaskQueue},
    use_case::MaintenanceService,
};
use snapshot_vault::Vault;

/// What maintenance works with.
#[derive(Clone)]
pub struct Premises {
    /// The vault.
    pub vault: Vault,
    /// What is asked for.
    pub runs: MaintenanceService,
    /// Where it is kept what snapshots take for themselves.
    pub sizes: Arc<dyn SnapshotSizes>,
    /// Which copies run.
    pub tasks: Arc<dyn TaskQueue>,
    /// Which snapshots are whole, and so must be in the vault: all that are ever due to be checked.
    pub checks: Arc<dyn CheckRepository>,
    /// Whether a snapshot is whole still.
    pub snapshots: Arc<dyn SnapshotRepository>,
    /// Who works.
    pub instance: InstanceId,
    /// How.
    pub options: MaintenanceOptions,
}

/// How maintenance is done.
#[derive(Clone, Copy, Debug)]
pub struct MaintenanceOptions {
    /// How long after a collection was asked for the schedule asks for the next one, in milliseconds; `None`: never.
    pub collect_interval_ms: Option<NonZero<u32>>,
    /// Packs of whose bytes less than this share is in use are rewritten, in percent.
    pub collect_live_percent: u8,
    /// How long a collection waits for copies that began before it; then the next one goes on.
    pub collect_patience: Duration,
}

/// Something that can't be read, or is gone, and hides what is in use.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct UnreadableObject {
    /// The object in the vault.
    pub object: String,
    /// What is wrong with it.
    pub reason: String,
}

impl From<snapshot_vault::Unreadable> for UnreadableObject {
    fn from(unreadable: snapshot_vault::Unreadable) -> Self {
        Self {
            object: unreadable.object,
            reason: unreadable.reason.to_owned(),
        }
    }
}
