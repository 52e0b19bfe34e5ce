//! How far a verification is, and how fast it may go.

use std::num::NonZero;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How far a verification is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VerifyProgress {
    /// Bytes that were checked.
    pub done_bytes: u64,
    /// Bytes that are to be checked in all, as far as is known.
    pub total_bytes: u64,
}

/// Counts what was read, and holds up who reads too fast.
pub(super) struct Pace<'a> {
    begin: Instant,
    bytes_per_second: Option<NonZero<u64>>,
    done: AtomicU64,
    total: AtomicU64,
    progress: &'a (dyn Fn(VerifyProgress) + Sync),
}

impl<'a> Pace<'a> {
    pub(super) fn new(bytes_per_second: Option<NonZero<u64>>, progress: &'a (dyn Fn(VerifyProgress) + Sync)) -> Self {
        Self {
            begin: Instant::now(),
            bytes_per_second,
            done: AtomicU64::new(0),
            total: AtomicU64::new(0),
            progress,
        }
    }

    pub(super) fn expect(&self, bytes: u64) {
        self.total.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Notes that `bytes` were read, and returns when more may be.
    pub(super) fn advance(&self, bytes: u64) {
        let done = self.done.fetch_add(bytes, Ordering::Relaxed) + bytes;
        (self.progress)(VerifyProgress {
            done_bytes: done,
            total_bytes: self.total.load(Ordering::Relaxed),
        });
        if let Some(limit) = self.bytes_per_second {
            std::thread::sleep(due(done, limit).saturating_sub(self.begin.elapsed()));
        }
    }
}

/// How long `done` bytes take at this limit.
pub(super) fn due(done: u64, bytes_per_second: NonZero<u64>) -> Duration {
    let nanos = u128::from(done) * 1_000_000_000 / u128::from(bytes_per_second.get());
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_due_at_the_limits_rate() {
        let limit = NonZero::new(100).unwrap();

        assert_eq!(due(250, limit), Duration::from_millis(2500));
        assert_eq!(due(u64::MAX, NonZero::<u64>::MIN), Duration::from_nanos(u64::MAX));
    }
}
