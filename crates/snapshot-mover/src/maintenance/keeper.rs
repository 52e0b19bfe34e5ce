//! The thread that does maintenance.

use std::{io, sync::Arc, time::Duration};

use snapshot_domain::{MaintenanceJob, Result};

use super::{Premises, sizes::Sizes};
use crate::{
    background::{Background, Bell},
    task::chain,
};

/// How often it is looked for something to do when nobody wakes the thread.
const TICK: Duration = Duration::from_secs(1);

/// Does maintenance in a thread of its own, until it is shut down.
pub struct Maintenance(Background);

impl Maintenance {
    /// Starts the thread.
    ///
    /// # Errors
    ///
    /// When the system gives no thread.
    pub fn start(premises: Premises) -> io::Result<Self> {
        let background = Background::start("maintenance", move |bell| {
            let keeper = Keeper {
                sizes: Sizes::default(),
                premises: premises.clone(),
                bell,
                database_answers: true,
            };
            keeper.work_until_closing();
        });
        background.map(Self)
    }

    /// Puts back what runs, and waits at most `patience` for that. Whether the thread has ended: what it was working on
    /// is taken up again at the next start.
    pub fn shut_down(self, patience: Duration) -> bool {
        self.0.shut_down(patience)
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
