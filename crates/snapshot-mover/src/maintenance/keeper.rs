//! The thread that does maintenance.

use std::{
    io,
    sync::Arc,
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use snapshot_domain::{MaintenanceJob, Result};

use super::{Premises, job::Bell, sizes::Sizes};
use crate::task::chain;

/// How often it is looked for something to do when nobody wakes the thread.
const TICK: Duration = Duration::from_secs(1);

/// Does maintenance in a thread of its own, until it is shut down.
pub struct Maintenance {
    bell: Arc<Bell>,
    thread: Option<JoinHandle<()>>,
}

impl Maintenance {
    /// Starts the thread.
    ///
    /// # Errors
    ///
    /// When the system gives no thread.
    pub fn start(premises: Premises) -> io::Result<Self> {
        let bell = Arc::new(Bell::default());
        let keeper = Keeper {
            sizes: Sizes::default(),
            premises,
            bell: Arc::clone(&bell),
            database_answers: true,
        };
        let thread = thread::Builder::new().name("maintenance".to_owned());
        let thread = Some(thread.spawn(move || keeper.work_until_closing())?);
        Ok(Self { bell, thread })
    }

    /// Puts back what runs, and waits at most `patience` for that. Whether the thread has ended: what it was working on
    /// is taken up again at the next start.
    pub fn shut_down(mut self, patience: Duration) -> bool {
        self.bell.close();
        let Some(thread) = self.thread.take() else { return true };
        let until = Instant::now() + patience;
        while Instant::now() < until {
            if thread.is_finished() {
                if thread.join().is_err() {
                    log::error!("the thread for maintenance panicked");
                }
                return true;
            }
            thread::sleep(Duration::from_millis(5));
        }
        false
    }
}

impl Drop for Maintenance {
    fn drop(&mut self) {
        self.bell.close();
    }
}

struct Keeper {
    premises: Premises,
    sizes: Sizes,
    bell: Arc<Bell>,
    database_answers: bool,
}

impl Keeper {
    fn work_until_closing(mut self) {
        let mut seen = 0;
        while !self.bell.is_closing() {
            match self.work() {
                Ok(true) => self.database_answers = true,
                Ok(false) => {
                    self.database_answers = true;
                    self.bell.wait(&mut seen, TICK);
                }
                Err(error) => {
                    if self.database_answers {
                        log::error!("no maintenance can be done: {}", chain(&error));
                    }
                    self.database_answers = false;
                    self.bell.wait(&mut seen, TICK);
                }
            }
        }
    }

    /// Does one thing. Whether there was any.
    fn work(&mut self) -> Result<bool> {
        self.ask_for_what_is_due()?;
        if let Some(run) = self.premises.runs.claim(self.premises.instance)? {
            self.premises.perform(&run, &self.bell, &|_| {});
            return Ok(true);
        }
        let bell = &self.bell;
        self.sizes.measure(&self.premises, &|| bell.is_closing())?;
        Ok(false)
    }

    fn ask_for_what_is_due(&self) -> Result<()> {
        let Premises { runs, options, .. } = &self.premises;
        if let Some(interval_ms) = options.collect_interval_ms {
            runs.ask_when_due(MaintenanceJob::Collect { dry_run: false }, interval_ms.get())?;
        }
        Ok(())
    }
}
