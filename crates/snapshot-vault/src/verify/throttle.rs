//! Reading no faster than is allowed, and stopping when it is time.

use super::pace::Limit;
use crate::error::VaultError;
use std::num::NonZero;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// So long nobody looks whether it is time to stop.
const LOOK: Duration = Duration::from_millis(50);

/// Counts what is read, and holds up who reads too fast.
pub(super) struct Throttle<'a> {
    limit: Option<Limit>,
    done: AtomicU64,
    stop: &'a (dyn Fn() -> bool + Sync),
}

impl<'a> Throttle<'a> {
    pub(super) fn new(bytes_per_second: Option<NonZero<u64>>, stop: &'a (dyn Fn() -> bool + Sync)) -> Self {
        Self {
            limit: bytes_per_second.map(Limit::new),
            done: AtomicU64::new(0),
            stop,
        }
    }

    pub(super) fn done_bytes(&self) -> u64 {
        self.done.load(Ordering::Relaxed)
    }

    /// Refuses to go on when it is time to stop.
    pub(super) fn go_on(&self) -> Result<(), VaultError> {
        if (self.stop)() {
            Err(VaultError::Stopped)
        } else {
            Ok(())
        }
    }

    /// Notes that `bytes` were read, and returns when more may be.
    pub(super) fn advance(&self, bytes: u64) -> Result<(), VaultError> {
        self.done.fetch_add(bytes, Ordering::Relaxed);
        let Some(limit) = &self.limit else {
            return self.go_on();
        };
        let due = limit.note(bytes);
        loop {
            self.go_on()?;
            let left = limit.left(due);
            if left.is_zero() {
                return Ok(());
            }
            std::thread::sleep(left.min(LOOK));
        }
    }
}
