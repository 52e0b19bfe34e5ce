//! Tasks: background work as rows, so that it survives the process that does it.
//!
//! ```text
//!            claim                     finish
//! pending ──────────► running ──────────────────► succeeded | failed | cancelled
//!    ▲   put back, or  │
//!    └── lease expired ┘
//! ```
//!
//! A claim that ended in none of these ways was interrupted. A task that is interrupted again and again is failed: see
//! [`Task::MOST_INTERRUPTIONS`].
//!
//! Whoever runs a task holds a lease on it. Each claim raises the task's epoch, and every write of the worker is taken
//! only with the epoch of its claim, so that a worker that was given up on can't disturb its successor. A cancelled task
//! is still claimed once: whoever holds it cleans up and then ends it.

use std::fmt;

use crate::{Error, InstanceId, Losses, OrganizationId, RequestId, Result, SnapshotId, TaskId, Timestamp, VolumeId};

/// One piece of background work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Task {
    id: TaskId,
    organization: OrganizationId,
    work: Work,
    request: RequestId,
    created_at: Timestamp,
    ended_at: Option<Timestamp>,
    state: TaskState,
    cancel_requested: bool,
    progress: Progress,
    losses: Option<Losses>,
    epoch: u64,
    interruptions: u32,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// Copy a volume into the vault.
    Capture {
        /// The snapshot to fill.
        snapshot: SnapshotId,
        /// The volume to read.
        volume: VolumeId,
        /// Whose key seals the bytes.
        domain: OrganizationId,
    },
    /// Fill a volume from a snapshot.
    Restore {
        /// The volume to fill.
        volume: VolumeId,
        /// Where its bytes come from.
        source: RestoreSource,
        /// What damage means for it.
        mode: RestoreMode,
    },
    /// Remove the bytes of a volume whose row is gone.
    EraseVolume {
        /// The volume.
        volume: VolumeId,
    },
    /// Remove the manifest of a snapshot whose row is gone.
    ForgetSnapshot {
        /// The snapshot.
        snapshot: SnapshotId,
        /// Whose key seals it.
        domain: OrganizationId,
    },
}

/// What a restore has to know of its snapshot, which may be deleted while it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RestoreSource {
    /// The snapshot.
    pub snapshot: SnapshotId,
    /// Whose key seals it.
    pub domain: OrganizationId,
}

/// What a restore does about bytes that are lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RestoreMode {
    /// It fails: the volume is the whole snapshot, or is not filled.
    Whole,
    /// It writes zeros in their place, and tells which they are.
    Salvage,
}

impl Work {
    /// Whether the work counts as one of the tasks that its organization may have running: copies and restores do, removals
    /// are short.
    pub const fn counts_against_quota(&self) -> bool {
        match self {
            Self::Capture { .. } | Self::Restore { .. } => true,
            Self::EraseVolume { .. } | Self::ForgetSnapshot { .. } => false,
        }
    }

    /// The kind of work as the database and the log call it.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Capture { .. } => "capture",
            Self::Restore { .. } => "restore",
            Self::EraseVolume { .. } => "erase_volume",
            Self::ForgetSnapshot { .. } => "forget_snapshot",
        }
    }
}

/// Where a task is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TaskState {
    /// Waits for a worker.
    Pending,
    /// Somebody works on it, unless the lease has expired.
    Running {
        /// Who.
        instance: InstanceId,
        /// Until when, unless the lease is renewed.
        expires_at: Timestamp,
    },
    /// Did what it was to do.
    Succeeded,
    /// Could not do it.
    Failed,
    /// Was called off.
    Cancelled,
}

/// The name of a [`TaskState`], without its facts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TaskStateName {
    /// See [`TaskState::Pending`].
    Pending,
    /// See [`TaskState::Running`].
    Running,
    /// See [`TaskState::Succeeded`].
    Succeeded,
    /// See [`TaskState::Failed`].
    Failed,
    /// See [`TaskState::Cancelled`].
    Cancelled,
}

impl TaskState {
    /// The state without its facts.
    pub const fn name(&self) -> TaskStateName {
        match self {
            Self::Pending => TaskStateName::Pending,
            Self::Running { .. } => TaskStateName::Running,
            Self::Succeeded => TaskStateName::Succeeded,
            Self::Failed => TaskStateName::Failed,
            Self::Cancelled => TaskStateName::Cancelled,
        }
    }
}

impl TaskStateName {
    /// Every state there is.
    pub const ALL: [Self; 5] = [
        Self::Pending,
        Self::Running,
        Self::Succeeded,
        Self::Failed,
        Self::Cancelled,
    ];

    /// The state as the database calls it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// The state of this name, if there is one.
    pub fn parse(raw: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == raw)
    }

    /// Whether the task is over.
    pub const fn has_ended(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Cancelled)
    }
}

impl fmt::Display for TaskStateName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How a task ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TaskOutcome {
    /// It did what it was to do.
    Succeeded,
    /// It could not do it.
    Failed,
    /// It was called off, and has cleaned up.
    Cancelled,
}

/// How far a task has come, in bytes of the volume.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Bytes done.
    pub done_bytes: u64,
    /// Bytes to do in all.
    pub total_bytes: u64,
}

impl Progress {
    /// Nothing done yet of this many bytes.
    pub const fn none_of(total_bytes: u64) -> Self {
        Self {
            done_bytes: 0,
            total_bytes,
        }
    }

    /// Whole percents, 0 to 100, rounded down: 100 only when all is done.
    pub fn percent(self) -> u8 {
        if self.total_bytes == 0 {
            return 0;
        }
        let percent = u128::from(self.done_bytes.min(self.total_bytes)) * 100 / u128::from(self.total_bytes);
        u8::try_from(percent).unwrap_or(100)
    }
}

/// The right to work on a task: given by a claim, compared by every write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    /// The task.
    pub task: TaskId,
    /// The claim that this lease comes from.
    pub epoch: u64,
}

/// All fields of a task, as a repository keeps them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredTask {
    /// See [`Task::id`].
    pub id: TaskId,
    /// See [`Task::organization`].
    pub organization: OrganizationId,
    /// See [`Task::work`].
    pub work: Work,
    /// See [`Task::request`].
    pub request: RequestId,
    /// See [`Task::created_at`].
    pub created_at: Timestamp,
    /// See [`Task::ended_at`].
    pub ended_at: Option<Timestamp>,
    /// See [`Task::state`].
    pub state: TaskState,
    /// See [`Task::cancel_requested`].
    pub cancel_requested: bool,
    /// See [`Task::progress`].
    pub progress: Progress,
    /// See [`Task::losses`].
    pub losses: Option<Losses>,
    /// See [`Task::epoch`].
    pub epoch: u64,
    /// See [`Task::interruptions`].
    pub interruptions: u32,
}

impl Task {
    /// How many interruptions a task survives.
    ///
    /// An orderly stop puts tasks back and does not count, so only crashes, `kill -9`, power failures and leases lost to
    /// a database that is away do: and only those within one and the same task. Not even a task of days meets 32 of these
    /// by chance, nor does one that was unlucky in a test that kills all the time. A supervisor that waits up to a minute
    /// between starts is through with a task that kills the process within half an hour.
    pub const MOST_INTERRUPTIONS: u32 = 32;

    /// A task that waits for a worker.
    pub const fn new(
        id: TaskId,
        organization: OrganizationId,
        work: Work,
        total_bytes: u64,
        request: RequestId,
        now: Timestamp,
    ) -> Self {
        Self {
            id,
            organization,
            work,
            request,
            created_at: now,
            ended_at: None,
            state: TaskState::Pending,
            cancel_requested: false,
            progress: Progress::none_of(total_bytes),
            losses: None,
            epoch: 0,
            interruptions: 0,
        }
    }

    /// Rebuilds a task from its stored fields. For repositories only: everybody else changes tasks by the methods below.
    pub fn from_stored(stored: StoredTask) -> Self {
        let StoredTask {
            id,
            organization,
            work,
            request,
            created_at,
            ended_at,
            state,
            cancel_requested,
            progress,
            losses,
            epoch,
            interruptions,
        } = stored;
        Self {
            id,
            organization,
            work,
            request,
            created_at,
            ended_at,
            state,
            cancel_requested,
            progress,
            losses,
            epoch,
            interruptions,
        }
    }

    /// Takes the task for an instance until `expires_at`.
    ///
    /// # Errors
    ///
    /// [`Error::LeaseLost`] when somebody else holds it at `now`, or it has ended.
    pub fn claim(&mut self, instance: InstanceId, now: Timestamp, expires_at: Timestamp) -> Result<Lease> {
        let free = match self.state {
            TaskState::Pending => true,
            TaskState::Running { expires_at, .. } => expires_at <= now,
            TaskState::Succeeded | TaskState::Failed | TaskState::Cancelled => false,
        };
        if !free {
            return Err(Error::LeaseLost);
        }
        self.note_interruption();
        self.state = TaskState::Running { instance, expires_at };
        self.epoch += 1;
        Ok(Lease {
            task: self.id,
            epoch: self.epoch,
        })
    }

    /// Refuses a worker whose claim is not the last one.
    ///
    /// # Errors
    ///
    /// [`Error::LeaseLost`] unless the task runs under this lease. An expired lease that nobody else took is still held.
    pub fn check_held_by(&self, lease: &Lease) -> Result<()> {
        let running = matches!(self.state, TaskState::Running { .. });
        if running && lease.task == self.id && lease.epoch == self.epoch {
            Ok(())
        } else {
            Err(Error::LeaseLost)
        }
    }

    /// Keeps the task until `expires_at`, and notes how far it is.
    ///
    /// # Errors
    ///
    /// [`Error::LeaseLost`] unless the task runs under this lease.
    pub fn renew(&mut self, lease: &Lease, progress: Progress, expires_at: Timestamp) -> Result<()> {
        self.check_held_by(lease)?;
        if let TaskState::Running { instance, .. } = self.state {
            self.state = TaskState::Running { instance, expires_at };
        }
        self.progress = progress;
        Ok(())
    }

    /// Gives the task back undone, for whoever claims it next.
    ///
    /// # Errors
    ///
    /// [`Error::LeaseLost`] unless the task runs under this lease.
    pub fn put_back(&mut self, lease: &Lease) -> Result<()> {
        self.check_held_by(lease)?;
        self.state = TaskState::Pending;
        Ok(())
    }

    /// Gives the task back for a worker that died with it.
    pub const fn give_back(&mut self) {
        self.note_interruption();
        self.state = TaskState::Pending;
    }

    const fn note_interruption(&mut self) {
        if matches!(self.state, TaskState::Running { .. }) {
            self.interruptions += 1;
        }
    }

    /// Ends the task.
    ///
    /// # Errors
    ///
    /// [`Error::LeaseLost`] unless the task runs under this lease.
    pub fn finish(&mut self, lease: &Lease, outcome: TaskOutcome, now: Timestamp) -> Result<()> {
        self.check_held_by(lease)?;
        self.state = match outcome {
            TaskOutcome::Succeeded => TaskState::Succeeded,
            TaskOutcome::Failed => TaskState::Failed,
            TaskOutcome::Cancelled => TaskState::Cancelled,
        };
        if outcome == TaskOutcome::Succeeded {
            self.progress.done_bytes = self.progress.total_bytes;
        }
        self.ended_at = Some(now);
        Ok(())
    }

    /// Notes what a salvage could not bring back, when it ends.
    pub fn note_losses(&mut self, losses: Option<Losses>) {
        self.losses = losses;
    }

    /// Calls the task off: whoever holds it, or claims it next, cleans up and ends it.
    pub const fn request_cancel(&mut self) {
        self.cancel_requested = true;
    }

    /// The task's id.
    pub const fn id(&self) -> TaskId {
        self.id
    }

    /// For whom it is done.
    pub const fn organization(&self) -> OrganizationId {
        self.organization
    }

    /// What is to be done.
    pub const fn work(&self) -> &Work {
        &self.work
    }

    /// The request that asked for it.
    pub const fn request(&self) -> RequestId {
        self.request
    }

    /// When it was asked for.
    pub const fn created_at(&self) -> Timestamp {
        self.created_at
    }

    /// When it ended, if it has.
    pub const fn ended_at(&self) -> Option<Timestamp> {
        self.ended_at
    }

    /// Where it is in its life.
    pub const fn state(&self) -> &TaskState {
        &self.state
    }

    /// Whether it was called off.
    pub const fn cancel_requested(&self) -> bool {
        self.cancel_requested
    }

    /// How far it has come.
    pub const fn progress(&self) -> Progress {
        self.progress
    }

    /// What a salvage could not bring back; `None` before its end, and for every other work.
    pub const fn losses(&self) -> Option<&Losses> {
        self.losses.as_ref()
    }

    /// How often it was claimed.
    pub const fn epoch(&self) -> u64 {
        self.epoch
    }

    /// How often it was claimed and neither ended nor put back: the process died, or lost the lease.
    pub const fn interruptions(&self) -> u32 {
        self.interruptions
    }

    /// Whether it was interrupted so often that it must be what ends the process. It is failed then: tried again at every
    /// start, it would keep the service from ever running. Never so a removal: it has no owner who could be told, nobody
    /// else would ever do it, and it waits claimed for its next attempt, which counts as an interruption too.
    pub const fn is_given_up(&self) -> bool {
        let has_an_owner = matches!(self.work, Work::Capture { .. } | Work::Restore { .. });
        has_an_owner && self.interruptions >= Self::MOST_INTERRUPTIONS
    }

    /// The lease of the last claim, for the worker that made it.
    pub const fn lease(&self) -> Lease {
        Lease {
            task: self.id,
            epoch: self.epoch,
        }
    }
}
