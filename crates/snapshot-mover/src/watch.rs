//! What a running task tells, and is told.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use thiserror::Error;

/// Why a task has to stop before it is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(crate) enum Stop {
    /// Whoever asked for it called it off.
    #[error("the task was called off")]
    Cancelled,
    /// The service is shutting down: somebody goes on later.
    #[error("the service is shutting down")]
    ShuttingDown,
    /// Somebody else has the task by now.
    #[error("the task's lease is lost")]
    LeaseLost,
}

/// Shared by those who work on a task and those who watch it.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    done_bytes: AtomicU64,
    stop: AtomicU8,
}

impl Watch {
    const GO_ON: u8 = 0;

    /// Counts bytes of the volume as done.
    pub(crate) fn advance(&self, bytes: u64) {
        self.done_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// How many bytes are done.
    pub(crate) fn done_bytes(&self) -> u64 {
        self.done_bytes.load(Ordering::Relaxed)
    }

    /// Begins to count anew: the work starts over.
    pub(crate) fn restart(&self) {
        self.done_bytes.store(0, Ordering::Relaxed);
    }

    /// Tells the workers to stop. The first reason stays, except that a lost lease overrides every other: who has lost it
    /// may not even clean up.
    pub(crate) fn stop(&self, reason: Stop) {
        let code = match reason {
            Stop::Cancelled => 1,
            Stop::ShuttingDown => 2,
            Stop::LeaseLost => 3,
        };
        if reason == Stop::LeaseLost {
            self.stop.store(code, Ordering::Release);
        } else {
            let _ = self
                .stop
                .compare_exchange(Self::GO_ON, code, Ordering::AcqRel, Ordering::Acquire);
        }
    }

    /// Asked by workers before each piece of work.
    ///
    /// # Errors
    ///
    /// Why they have to stop.
    pub(crate) fn check(&self) -> Result<(), Stop> {
        match self.stop.load(Ordering::Acquire) {
            Self::GO_ON => Ok(()),
            1 => Err(Stop::Cancelled),
            2 => Err(Stop::ShuttingDown),
            _ => Err(Stop::LeaseLost),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_reason_to_stop_stays_but_a_lost_lease_overrides() {
        let watch = Watch::default();
        assert_eq!(watch.check(), Ok(()));

        watch.stop(Stop::Cancelled);
        watch.stop(Stop::ShuttingDown);
        assert_eq!(watch.check(), Err(Stop::Cancelled));

        watch.stop(Stop::LeaseLost);
        assert_eq!(watch.check(), Err(Stop::LeaseLost));
    }
}
