//! What a job tells, and is told, while it is at work.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::watch::{Stop, Watch};

/// Shared by a job and whoever keeps its lease.
#[derive(Debug, Default)]
pub(super) struct Job {
    watch: Watch,
    note: Mutex<Option<String>>,
}

impl Job {
    /// Asked before each piece of work.
    ///
    /// # Errors
    ///
    /// Why the job has to stop.
    pub(super) fn check(&self) -> Result<(), Stop> {
        self.watch.check()
    }

    pub(super) fn stop(&self, reason: Stop) {
        self.watch.stop(reason);
    }

    /// Says what the job is waiting for, in a sentence without a full stop.
    pub(super) fn wait_for(&self, what: Option<String>) {
        *self.lock() = what;
    }

    pub(super) fn note(&self) -> Option<String> {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Option<String>> {
        self.note.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
