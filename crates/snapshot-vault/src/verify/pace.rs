//! How far a verification is, and how fast it may go.

use std::num::NonZero;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How far a verification is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VerifyProgress {
    /// Bytes that were checked.
    pub done_bytes: u64,
    /// Bytes that are to be checked in all, as far as is known.
    pub total_bytes: u64,
}

/// How many bytes a second may be read.
///
/// Who was slower for a while, as the disk or the machine were, may catch up with what a second allows, and no more:
/// otherwise all the others on the machine would have to do without the limit for as long as it was slow.
pub(super) struct Limit {
    bytes_per_second: NonZero<u64>,
    begin: Instant,
    /// When more may be read, as time since the beginning.
    due: Mutex<Duration>,
}

/// What may be caught up with.
const CATCH_UP: Duration = Duration::from_secs(1);

impl Limit {
    pub(super) fn new(bytes_per_second: NonZero<u64>) -> Self {
        Self {
            bytes_per_second,
            begin: Instant::now(),
            due: Mutex::default(),
        }
    }

    /// Notes that `bytes` were read. Returns when more may be, for [`left`](Self::left).
    pub(super) fn note(&self, bytes: u64) -> Duration {
        self.note_at(self.begin.elapsed(), bytes)
    }

    fn note_at(&self, now: Duration, bytes: u64) -> Duration {
        let mut due = self.due.lock().unwrap_or_else(PoisonError::into_inner);
        *due = (*due)
            .max(now.saturating_sub(CATCH_UP))
            .saturating_add(self.time_for(bytes));
        *due
    }

    /// How long it is until then.
    pub(super) fn left(&self, due: Duration) -> Duration {
        due.saturating_sub(self.begin.elapsed())
    }

    fn time_for(&self, bytes: u64) -> Duration {
        let nanos = u128::from(bytes) * 1_000_000_000 / u128::from(self.bytes_per_second.get());
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

/// Counts what was read, and holds up who reads too fast.
pub(super) struct Pace<'a> {
    limit: Option<Limit>,
    done: AtomicU64,
    total: AtomicU64,
    progress: &'a (dyn Fn(VerifyProgress) + Sync),
}

impl<'a> Pace<'a> {
    pub(super) fn new(bytes_per_second: Option<NonZero<u64>>, progress: &'a (dyn Fn(VerifyProgress) + Sync)) -> Self {
        Self {
            limit: bytes_per_second.map(Limit::new),
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
        if let Some(limit) = &self.limit {
            let due = limit.note(bytes);
            std::thread::sleep(limit.left(due));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn limit(bytes_per_second: u64) -> Limit {
        Limit::new(NonZero::new(bytes_per_second).unwrap())
    }

    #[test]
    fn bytes_are_due_at_the_limits_rate() {
        let slow = limit(100);

        assert_eq!(slow.note_at(Duration::ZERO, 250), Duration::from_millis(2500));
        assert_eq!(slow.note_at(SECOND, 50), 3 * SECOND);
        assert_eq!(
            limit(1).note_at(Duration::ZERO, u64::MAX),
            Duration::from_nanos(u64::MAX)
        );
    }

    #[test]
    fn no_more_is_caught_up_with_than_a_second_allows() {
        let limit = limit(100);
        limit.note_at(Duration::ZERO, 100);
        let later = 100 * SECOND;

        assert_eq!(limit.note_at(later, 100), later);
        assert_eq!(limit.note_at(later, 100), later + SECOND);
        // Who is late by less than that makes good for it.
        assert_eq!(limit.note_at(later + 3 * SECOND / 2, 100), later + 2 * SECOND);
    }
}
