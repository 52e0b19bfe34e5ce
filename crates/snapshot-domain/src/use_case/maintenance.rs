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
        if let Some(latest) = self.queue.latest(job.kind())? {
            let is_due = latest.has_ended() && latest.asked_at.plus_millis(interval_ms) <= self.clock.now();
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
