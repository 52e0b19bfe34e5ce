//! Forgetting entries of the audit trail that are too old.

use std::{
    sync::{Arc, Condvar, Mutex, PoisonError},
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::Context as _;
use chrono::TimeDelta;
use snapshot_domain::{Timestamp, ports::Clock as _, use_case::AuditService};

use crate::environment::SystemClock;

/// How often it is looked for old entries.
const INTERVAL: Duration = Duration::from_hours(1);

/// A thread that forgets old entries, in small steps between which others write. Ends when it is dropped.
pub(crate) struct Retention {
    stop: Arc<Stop>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Stop {
    wanted: Mutex<bool>,
    changed: Condvar,
}

impl Retention {
    /// Starts the thread, unless entries are kept for ever.
    ///
    /// # Errors
    ///
    /// When no thread can be started.
    pub(crate) fn start(audit: AuditService, keep: Option<TimeDelta>) -> anyhow::Result<Self> {
        let stop = Arc::new(Stop::default());
        let Some(keep) = keep else {
            return Ok(Self { stop, thread: None });
        };
        let told = Arc::clone(&stop);
        let thread = thread::Builder::new()
            .name("audit-retention".to_owned())
            .spawn(move || {
                loop {
                    forget(&audit, keep, &told);
                    if told.wait(INTERVAL) {
                        return;
                    }
                }
            })
            .context("starting the thread that forgets old audit entries failed")?;
        let thread = Some(thread);
        Ok(Self { stop, thread })
    }
}

impl Drop for Retention {
    fn drop(&mut self) {
        *self.stop.wanted.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.stop.changed.notify_all();
        if let Some(thread) = self.thread.take() {
            // It panics only by a fault of its own, and then there is nothing left to wait for.
            let _ = thread.join();
        }
    }
}

impl Stop {
    /// Waits, and tells whether it was woken to stop.
    fn wait(&self, time: Duration) -> bool {
        let wanted = self.wanted.lock().unwrap_or_else(PoisonError::into_inner);
        let woken = self.changed.wait_timeout_while(wanted, time, |wanted| !*wanted);
        *woken.unwrap_or_else(PoisonError::into_inner).0
    }
}

fn forget(audit: &AuditService, keep: TimeDelta, stop: &Stop) {
    let Some(before) = SystemClock.now().as_datetime().checked_sub_signed(keep) else {
        return;
    };
    loop {
        match audit.forget_before(Timestamp::new(before)) {
            Ok(true) if !stop.wait(Duration::ZERO) => {}
            Ok(_) => return,
            Err(error) => {
                log::warn!(
                    "old entries of the audit trail can't be forgotten now: {:#}",
                    anyhow::Error::from(error)
                );
                return;
            }
        }
    }
}
