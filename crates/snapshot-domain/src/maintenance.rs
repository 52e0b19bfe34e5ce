//! Work on the vault as a whole, as rows: asked for by schedule or by command, done by one instance at a time.
//!
//! ```text
//!            claim                     finish
//! pending ──────────► running ──────────────────► succeeded | failed
//!    ▲   put back, or  │
//!    └── lease expired ┘
//! ```

use crate::{Error, InstanceId, Result, RunId, Timestamp};

/// One piece of work on the vault as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MaintenanceRun {
    /// Its id.
    pub id: RunId,
    /// What is to be done.
    pub job: MaintenanceJob,
    /// Who asked for it.
    pub asked_by: AskedBy,
    /// When it was asked for.
    pub asked_at: Timestamp,
    /// Where it is in its life.
    pub state: RunState,
    /// How often it was claimed. Every write of whoever works on it is taken only with the epoch of its claim.
    pub epoch: u64,
}

/// What is to be done with the vault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MaintenanceJob {
    /// Give back the space of what no snapshot needs.
    Collect {
        /// Only tell what would be done.
        dry_run: bool,
    },
    /// Count what all snapshots need and share.
    Stat,
}

/// The name of a [`MaintenanceJob`], without its options. Of each kind only one runs at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MaintenanceKind {
    /// See [`MaintenanceJob::Collect`].
    Collect,
    /// See [`MaintenanceJob::Stat`].
    Stat,
}

impl MaintenanceJob {
    /// The job without its options.
    pub const fn kind(self) -> MaintenanceKind {
        match self {
            Self::Collect { .. } => MaintenanceKind::Collect,
            Self::Stat => MaintenanceKind::Stat,
        }
    }

    /// Whether it only tells what would be done.
    pub const fn is_dry_run(self) -> bool {
        matches!(self, Self::Collect { dry_run: true })
    }

    /// Rebuilds a job from its stored parts. `None` for parts that do not go together.
    pub const fn from_stored(kind: MaintenanceKind, dry_run: bool) -> Option<Self> {
        match (kind, dry_run) {
            (MaintenanceKind::Collect, dry_run) => Some(Self::Collect { dry_run }),
            (MaintenanceKind::Stat, false) => Some(Self::Stat),
            (MaintenanceKind::Stat, true) => None,
        }
    }
}

impl MaintenanceKind {
    /// Every kind there is.
    pub const ALL: [Self; 2] = [Self::Collect, Self::Stat];

    /// The kind as the database and the log call it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Collect => "collect",
            Self::Stat => "stat",
        }
    }

    /// The kind of this name, if there is one.
    pub fn parse(raw: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == raw)
    }
}

/// Who asked for a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AskedBy {
    /// It was time.
    Schedule,
    /// Somebody, at the command line, who may wait for the report.
    Command,
}

impl AskedBy {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Schedule, Self::Command];

    /// As the database calls it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Schedule => "schedule",
            Self::Command => "command",
        }
    }

    /// Who is called so, if anybody is.
    pub fn parse(raw: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|asked_by| asked_by.as_str() == raw)
    }
}

/// Where a run is in its life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RunState {
    /// Waits for somebody to do it.
    Pending,
    /// Somebody works on it, unless the lease has expired.
    Running {
        /// Who.
        instance: InstanceId,
        /// Until when, unless the lease is renewed.
        expires_at: Timestamp,
        /// What it is waiting for: a sentence without a full stop.
        note: Option<String>,
    },
    /// Came to its end.
    Succeeded {
        /// When.
        ended_at: Timestamp,
        /// What came of it, as JSON.
        report: String,
    },
    /// Did not come to its end, and is not tried again.
    Failed {
        /// When.
        ended_at: Timestamp,
        /// Why: a sentence without a full stop.
        reason: String,
    },
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RunOutcome {
    /// It came to its end.
    Succeeded {
        /// What came of it, as JSON.
        report: String,
    },
    /// It did not.
    Failed {
        /// Why: a sentence without a full stop.
        reason: String,
    },
}

/// The right to work on a run: what every write of the worker is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunLease {
    /// The run.
    pub run: RunId,
    /// The epoch of the claim.
    pub epoch: u64,
}

impl MaintenanceRun {
    /// A run that waits for somebody to do it.
    pub const fn new(id: RunId, job: MaintenanceJob, asked_by: AskedBy, now: Timestamp) -> Self {
        Self {
            id,
            job,
            asked_by,
            asked_at: now,
            state: RunState::Pending,
            epoch: 0,
        }
    }

    /// The lease of the last claim, for the worker that made it.
    pub const fn lease(&self) -> RunLease {
        RunLease {
            run: self.id,
            epoch: self.epoch,
        }
    }

    /// Whether it is over.
    pub const fn has_ended(&self) -> bool {
        self.ended_at().is_some()
    }

    /// When it ended, if it has.
    pub const fn ended_at(&self) -> Option<Timestamp> {
        match self.state {
            RunState::Pending | RunState::Running { .. } => None,
            RunState::Succeeded { ended_at, .. } | RunState::Failed { ended_at, .. } => Some(ended_at),
        }
    }

    /// Refuses a worker whose claim is not the last one.
    ///
    /// # Errors
    ///
    /// [`Error::LeaseLost`] unless it runs under this lease. An expired lease that nobody else took is still held.
    pub fn check_held_by(&self, lease: &RunLease) -> Result<()> {
        if matches!(self.state, RunState::Running { .. }) && self.lease() == *lease {
            Ok(())
        } else {
            Err(Error::LeaseLost)
        }
    }
}

impl RunOutcome {
    /// The state that it leads to.
    pub fn at(&self, ended_at: Timestamp) -> RunState {
        match self.clone() {
            Self::Succeeded { report } => RunState::Succeeded { ended_at, report },
            Self::Failed { reason } => RunState::Failed { ended_at, reason },
        }
    }
}
