//! One run, from its claim to its end.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    thread,
    time::{Duration, Instant},
};

use serde::Serialize;
use snapshot_domain::{
    Error, MaintenanceJob, MaintenanceRun, Result, RunId, RunOutcome, RunState, use_case::MaintenanceService,
};

use super::{Premises, collect, job::Job, stat};
use crate::{background::Bell, error::MoveError, task::chain, watch::Stop};

/// How often a lease is renewed.
const TICK: Duration = Duration::from_secs(1);

/// How long a run goes on whose lease can't be renewed: half of what the lease lasts.
const RENEWAL_PATIENCE: Duration = Duration::from_secs(30);

impl Premises {
    /// Does a run that was asked for, and whatever has to be done before it, on the caller's thread. Only for who has the
    /// vault for itself. `waits` is told, about once a second, what the run is waiting for.
    ///
    /// # Errors
    ///
    /// Those of the storage of runs.
    pub fn complete(&self, id: RunId, waits: &dyn Fn(&str)) -> Result<MaintenanceRun> {
        let bell = Bell::default();
        loop {
            let run = self.runs.get(id)?;
            if run.has_ended() {
                return Ok(run);
            }
            if let Some(run) = self.runs.claim(self.instance)? {
                self.perform(&run, &bell, waits);
                continue;
            }
            // Another instance on the same database works on one of the same kind.
            if let RunState::Running { note: Some(note), .. } = &run.state {
                waits(note);
            }
            thread::sleep(TICK);
        }
    }

    /// Works on a claimed run until it has ended, or is given back.
    pub(super) fn perform(&self, run: &MaintenanceRun, bell: &Bell, waits: &dyn Fn(&str)) {
        let (id, kind) = (run.id, run.job.kind().as_str());
        if run.epoch > MaintenanceService::MOST_ATTEMPTS {
            let reason = format!(
                "it was begun {} times, and the service never came to its end",
                MaintenanceService::MOST_ATTEMPTS
            );
            log::error!(run:% = id; "maintenance ({kind}) is given up: {reason}");
            return self.end(run, &RunOutcome::Failed { reason });
        }
        log::info!(run:% = id; "maintenance ({kind}) started");
        let began = Instant::now();
        let outcome = self.work_under_lease(run, bell, waits);
        let seconds = began.elapsed().as_secs_f64();
        match outcome {
            Ok(report) => {
                log::info!(run:% = id, seconds:% = format_args!("{seconds:.3}"); "maintenance ({kind}) finished");
                self.end(run, &RunOutcome::Succeeded { report });
            }
            Err(MoveError::Stopped(Stop::LeaseLost) | MoveError::Domain(Error::LeaseLost)) => {
                log::warn!(run:% = id; "maintenance ({kind}) dropped: its lease is lost");
            }
            Err(MoveError::Stopped(stop)) => {
                log::info!(run:% = id; "maintenance ({kind}) put back: {stop}");
                self.put_back(run);
            }
            Err(error) if error.is_for_want_of_database() => {
                log::warn!(run:% = id; "maintenance ({kind}) waits for the database: {}", chain(&error));
                self.put_back(run);
            }
            Err(error) => {
                let reason = chain(&error);
                log::error!(run:% = id; "maintenance ({kind}) failed: {reason}");
                self.end(run, &RunOutcome::Failed { reason });
            }
        }
    }

    fn work_under_lease(&self, run: &MaintenanceRun, bell: &Bell, waits: &dyn Fn(&str)) -> Result<String, MoveError> {
        let job = Job::default();
        thread::scope(|scope| {
            let worker = scope.spawn(|| {
                let report = catch_unwind(AssertUnwindSafe(|| self.work(run.job, &job)));
                bell.ring();
                report.unwrap_or(Err(MoveError::Panicked))
            });
            let (mut seen, mut renewed) = (0, Instant::now());
            while !worker.is_finished() {
                if !bell.wait(&mut seen, TICK) {
                    job.stop(Stop::ShuttingDown);
                }
                let note = job.note();
                if let Some(note) = &note {
                    waits(note);
                }
                match self.runs.renew(&run.lease(), note) {
                    Ok(()) => renewed = Instant::now(),
                    Err(Error::LeaseLost) => job.stop(Stop::LeaseLost),
                    Err(error) => {
                        log::warn!("the lease of maintenance could not be renewed: {}", chain(&error));
                        if renewed.elapsed() >= RENEWAL_PATIENCE {
                            job.stop(Stop::LeaseLost);
                        }
                    }
                }
            }
            worker.join().unwrap_or(Err(MoveError::Panicked))
        })
    }

    fn work(&self, job: MaintenanceJob, watch: &Job) -> Result<String, MoveError> {
        match job {
            MaintenanceJob::Collect { dry_run } => collect::run(self, watch, dry_run).map(|report| written(&report)),
            MaintenanceJob::Stat => stat::run(self, watch).map(|report| written(&report)),
        }
    }

    /// A run that can't be ended now is taken up again when its lease has expired: each can be done twice.
    fn end(&self, run: &MaintenanceRun, outcome: &RunOutcome) {
        if let Err(error) = self.runs.finish(&run.lease(), outcome) {
            log::warn!(run:% = run.id; "the end of maintenance could not be stored: {}", chain(&error));
        }
    }

    fn put_back(&self, run: &MaintenanceRun) {
        if let Err(error) = self.runs.put_back(&run.lease()) {
            log::warn!(run:% = run.id; "maintenance could not be put back: {}", chain(&error));
        }
    }
}

fn written(report: &impl Serialize) -> String {
    serde_json::to_string(report).expect("numbers, texts and lists of them always have a JSON form")
}
