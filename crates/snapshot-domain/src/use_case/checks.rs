//! Checking snapshots' stored bytes: whose turn it is, and what was found.

use std::{collections::HashSet, collections::VecDeque, sync::Arc};

use crate::{
    Check, DueCheck, Finding, Result, SnapshotId, Timestamp,
    ports::{CheckRepository, Clock, DueQuery},
};

/// How many snapshots are asked for at once.
const AT_ONCE: u32 = 64;

/// Keeps what checks of snapshots find, and says which snapshots are to be checked next.
#[derive(Clone)]
pub struct CheckService {
    checks: Arc<dyn CheckRepository>,
    clock: Arc<dyn Clock>,
}

/// A round of checks: each snapshot comes at most once. First those that were never checked; then those that are damaged,
/// because a later copy may have healed them; then the others, those first whose last check is longest ago.
pub struct CheckRound {
    service: CheckService,
    began_at: Timestamp,
    phase: Phase,
    /// All of them.
    line: Line,
    damaged: Line,
    /// Those of [`damaged`](Self::damaged) that have come.
    repeated: HashSet<SnapshotId>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Begun,
    New,
    Damaged,
    Rest,
}

/// Snapshots in the order in which they are due.
#[derive(Default)]
struct Line {
    ahead: VecDeque<DueCheck>,
    after: Option<DueCheck>,
    has_ended: bool,
}

impl CheckService {
    /// A service over these ports.
    pub fn new(checks: Arc<dyn CheckRepository>, clock: Arc<dyn Clock>) -> Self {
        Self { checks, clock }
    }

    /// The present moment: when a check begins.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Begins a round of checks, with all snapshots whose last check began before now, or at a moment that nobody's clock can
    /// have told yet.
    pub fn round(&self) -> CheckRound {
        CheckRound {
            service: self.clone(),
            began_at: self.clock.now(),
            phase: Phase::Begun,
            line: Line::default(),
            damaged: Line::default(),
            repeated: HashSet::new(),
        }
    }

    /// Records what a check found that began at this moment. Whether the snapshot is there, and whole: what is found of one that
    /// was deleted meanwhile tells nothing.
    ///
    /// # Errors
    ///
    /// Only those of the storage itself.
    pub fn record(&self, snapshot: SnapshotId, began_at: Timestamp, finding: Finding) -> Result<bool> {
        let check = Check {
            began_at,
            ended_at: self.clock.now(),
            finding,
        };
        self.checks.record_check(snapshot, &check)
    }

    /// Records that somebody who read a snapshot met damage just now.
    ///
    /// # Errors
    ///
    /// Only those of the storage itself.
    pub fn record_damage(&self, snapshot: SnapshotId) -> Result<()> {
        self.record(snapshot, self.clock.now(), Finding::Damaged).map(drop)
    }
}

impl CheckRound {
    /// When the round began.
    pub const fn began_at(&self) -> Timestamp {
        self.began_at
    }

    /// The next snapshot to be checked, and the moment at which its check begins. With `skip_damaged` the damaged ones come
    /// no sooner than the others.
    ///
    /// # Errors
    ///
    /// Only those of the storage itself.
    pub fn next(&mut self, skip_damaged: bool) -> Result<Option<(DueCheck, Timestamp)>> {
        let due = self.choose(skip_damaged)?;
        // A clock that goes back must not make the same snapshot due again in this round.
        Ok(due.map(|due| (due, self.service.clock.now().max(self.began_at))))
    }

    fn choose(&mut self, skip_damaged: bool) -> Result<Option<DueCheck>> {
        if self.phase == Phase::Begun {
            let checks = &self.service.checks;
            checks.forget_checks_after(self.began_at.latest_elsewhere())?;
            self.phase = Phase::New;
        }
        if self.phase == Phase::New {
            if let Some(due) = self.peek(false)?.filter(|due| due.checked_at.is_none()) {
                self.line.pass();
                return Ok(Some(due));
            }
            self.phase = Phase::Damaged;
        }
        if self.phase == Phase::Damaged {
            if !skip_damaged && let Some(due) = self.peek(true)? {
                self.damaged.pass();
                self.repeated.insert(due.snapshot);
                return Ok(Some(due));
            }
            self.phase = Phase::Rest;
        }
        while let Some(due) = self.peek(false)? {
            self.line.pass();
            if !self.repeated.contains(&due.snapshot) {
                return Ok(Some(due));
            }
        }
        Ok(None)
    }

    fn peek(&mut self, only_damaged: bool) -> Result<Option<DueCheck>> {
        let line = if only_damaged {
            &mut self.damaged
        } else {
            &mut self.line
        };
        if line.ahead.is_empty() && !line.has_ended {
            let query = DueQuery {
                before: self.began_at,
                only_damaged,
                after: line.after,
            };
            line.ahead = self.service.checks.due_checks(&query, AT_ONCE)?.into();
            line.has_ended = line.ahead.is_empty();
            line.after = line.ahead.back().copied();
        }
        Ok(line.ahead.front().copied())
    }
}

impl Line {
    fn pass(&mut self) {
        self.ahead.pop_front();
    }
}
