//! Asking for work on the vault as a whole, and doing it.

use std::sync::Arc;

use crate::{
    AskedBy, InstanceId, MaintenanceJob, MaintenanceRun, Result, RunId, RunLease, RunOutcome, Timestamp,
    ports::{Clock, IdSource, MaintenanceQueue},
};

/// How long a run belongs to an instance that shows no sign of life, in milliseconds.
const LEASE_MS: u32 = 60_000;

/// How long the reports of runs are kept, in milliseconds: a week.
const KEPT_MS: u32 = 7 * 24 * 3_600_000;

/// Everything that is done with runs of maintenance.
#[derive(Clone)]
pub struct MaintenanceService {
    queue: Arc<dyn MaintenanceQueue>,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn IdSource>,
}

impl MaintenanceService {
    /// How often a run is begun at most. One that never came to its end in so many attempts never will: it most likely
    /// ends the process. It is not lost by that: the schedule asks for the same again. Attempts that were put back by
    /// an orderly stop count too; so many stops within one run are not what an operator does.
    pub const MOST_ATTEMPTS: u64 = 32;

    /// A service over these ports.
    pub fn new(queue: Arc<dyn MaintenanceQueue>, clock: Arc<dyn Clock>, ids: Arc<dyn IdSource>) -> Self {
        Self { queue, clock, ids }
    }

    /// Asks for a run.
    ///
    /// # Errors
    ///
    /// Only those of the storage itself.
    pub fn ask(&self, job: MaintenanceJob, asked_by: AskedBy) -> Result<RunId> {
        let id = RunId::new(self.ids.id());
        let run = MaintenanceRun::new(id, job, asked_by, self.clock.now());
        self.queue.ask(&run)?;
        Ok(id)
    }

    /// Asks for a run by schedule, unless the latest one of the kind was asked for less than `interval_ms` milliseconds
    /// ago, or has not ended. Whether it asked.
    ///
    /// # Errors
    ///
    /// Only those of the storage itself.
    pub fn ask_when_due(&self, job: MaintenanceJob, interval_ms: u32) -> Result<bool> {
        let now = self.clock.now();
        // A run that was asked for at a moment that is yet to come must not keep the next one waiting until then.
        if let Some(latest) = self.queue.latest(job.kind(), now.latest_elsewhere())? {
            let is_due = latest.has_ended() && latest.asked_at.plus_millis(interval_ms) <= now;
            if !is_due {
                return Ok(false);
            }
        }
        self.queue.forget_ended_before(self.long_ago())?;
        self.ask(job, AskedBy::Schedule)?;
        Ok(true)
    }

    /// Takes the oldest run that nobody holds and that may run now.
    ///
    /// # Errors
    ///
    /// Only those of the storage itself.
    pub fn claim(&self, instance: InstanceId) -> Result<Option<MaintenanceRun>> {
        let now = self.clock.now();
        self.queue.claim(instance, now, now.plus_millis(LEASE_MS))
    }

    /// Keeps a run, and notes what it is waiting for.
    ///
    /// # Errors
    ///
    /// [`LeaseLost`](crate::Error::LeaseLost) when it is somebody else's by now.
    pub fn renew(&self, lease: &RunLease, note: Option<String>) -> Result<()> {
        self.queue.renew(lease, note, self.clock.now().plus_millis(LEASE_MS))
    }

    /// Gives a run back undone.
    ///
    /// # Errors
    ///
    /// [`LeaseLost`](crate::Error::LeaseLost) when it is somebody else's by now.
    pub fn put_back(&self, lease: &RunLease) -> Result<()> {
        self.queue.put_back(lease)
    }

    /// Gives back what the last process of this instance held when it died. Only for the start. Returns how many.
    ///
    /// # Errors
    ///
    /// Only those of the storage itself.
    pub fn put_back_all(&self, instance: InstanceId) -> Result<u64> {
        self.queue.put_back_all(instance)
    }

    /// Ends a run.
    ///
    /// # Errors
    ///
    /// [`LeaseLost`](crate::Error::LeaseLost) when it is somebody else's by now.
    pub fn finish(&self, lease: &RunLease, outcome: &RunOutcome) -> Result<()> {
        self.queue.finish(lease, outcome, self.clock.now())
    }

    /// The run.
    ///
    /// # Errors
    ///
    /// [`NotFound`](crate::Error::NotFound) when there is none.
    pub fn get(&self, id: RunId) -> Result<MaintenanceRun> {
        self.queue.get(id)
    }

    fn long_ago(&self) -> Timestamp {
        self.clock.now().minus_millis(KEPT_MS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{InMemoryStore, ManualClock, SequentialIds, an_instance, moment};

    const COLLECT: MaintenanceJob = MaintenanceJob::Collect { dry_run: false };
    const DAY_MS: u32 = 86_400_000;
    /// In microseconds, as moments are told.
    const DAY: i64 = DAY_MS as i64 * 1000;

    struct Schedule {
        runs: MaintenanceService,
        clock: ManualClock,
    }

    impl Schedule {
        fn new() -> Self {
            let (store, clock) = (InMemoryStore::default(), ManualClock::default());
            let ids = Arc::new(SequentialIds::default());
            Self {
                runs: MaintenanceService::new(Arc::new(store), Arc::new(clock.clone()), ids),
                clock,
            }
        }

        fn asks_at(&self, offset: i64) -> bool {
            self.clock.set(moment(offset));
            self.runs.ask_when_due(COLLECT, DAY_MS).unwrap()
        }

        fn do_it(&self) {
            let run = self.runs.claim(an_instance()).unwrap().unwrap();
            let report = String::new();
            let outcome = RunOutcome::Succeeded { report };
            self.runs.finish(&run.lease(), &outcome).unwrap();
        }
    }

    #[test]
    fn a_run_is_due_an_interval_after_the_last_one_was_asked_for_and_when_that_has_ended() {
        let schedule = Schedule::new();

        assert!(schedule.asks_at(0));
        assert!(!schedule.asks_at(2 * DAY), "it has not ended");
        schedule.do_it();
        assert!(schedule.asks_at(2 * DAY));
        schedule.do_it();
        assert!(!schedule.asks_at(3 * DAY - 1));
        assert!(schedule.asks_at(3 * DAY));
    }

    #[test]
    fn a_run_that_was_asked_for_by_a_clock_that_was_set_back_since_delays_nothing() {
        let schedule = Schedule::new();
        assert!(schedule.asks_at(900 * DAY));
        schedule.do_it();

        assert!(schedule.asks_at(DAY));
        schedule.do_it();
        assert!(!schedule.asks_at(DAY + 1), "once is enough");
        assert!(schedule.asks_at(2 * DAY));
    }
}
