//! What a job tells, and is told, while it is at work.

use std::{
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

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

/// What wakes the thread that does maintenance, and tells it to end.
#[derive(Debug, Default)]
pub(super) struct Bell {
    state: Mutex<Rung>,
    changed: Condvar,
}

#[derive(Clone, Copy, Debug, Default)]
struct Rung {
    times: u64,
    is_closing: bool,
}

impl Bell {
    pub(super) fn ring(&self) {
        self.lock().times += 1;
        self.changed.notify_all();
    }

    pub(super) fn close(&self) {
        self.lock().is_closing = true;
        self.ring();
    }

    pub(super) fn is_closing(&self) -> bool {
        self.lock().is_closing
    }

    /// Waits until the bell has rung since `seen`, at most so long. Whether it is time to go on, and not to end.
    pub(super) fn wait(&self, seen: &mut u64, at_most: Duration) -> bool {
        let (state, _) = self
            .changed
            .wait_timeout_while(self.lock(), at_most, |state| state.times == *seen)
            .unwrap_or_else(PoisonError::into_inner);
        *seen = state.times;
        !state.is_closing
    }

    fn lock(&self) -> MutexGuard<'_, Rung> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
