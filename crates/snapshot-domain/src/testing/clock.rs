//! A clock and an id source that tests set.

use std::sync::{
    Arc,
    atomic::{AtomicI64, AtomicU64, Ordering},
};

use uuid::Uuid;

use crate::{
    Timestamp,
    ports::{Clock, IdSource},
};

/// The moment a number of microseconds after 2014-05-22T12:10:05.596769Z, where the tests' time begins.
///
/// # Panics
///
/// When the calendar does not reach that far.
pub fn moment(offset_micros: i64) -> Timestamp {
    const BEGINNING_MICROS: i64 = 1_400_760_605_596_769;
    Timestamp::from_micros(BEGINNING_MICROS + offset_micros).expect("a test names a moment of the calendar")
}

/// A clock that stands still until it is moved. Clones show the same time.
#[derive(Clone, Debug)]
pub struct ManualClock(Arc<AtomicI64>);

impl Default for ManualClock {
    fn default() -> Self {
        Self::at(moment(0))
    }
}

impl ManualClock {
    /// A clock that shows this moment.
    pub fn at(now: Timestamp) -> Self {
        Self(Arc::new(AtomicI64::new(now.as_micros())))
    }

    /// Moves the clock to a moment, also a past one.
    pub fn set(&self, now: Timestamp) {
        self.0.store(now.as_micros(), Ordering::SeqCst);
    }

    /// Moves the clock on.
    pub fn advance_millis(&self, millis: u32) {
        self.0.fetch_add(i64::from(millis) * 1_000, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.0.load(Ordering::SeqCst)).expect("the clock was set by a timestamp")
    }
}

/// Ids that count up, so that a test knows them beforehand. Clones count together.
#[derive(Clone, Debug, Default)]
pub struct SequentialIds {
    ids: Arc<AtomicU64>,
    secrets: Arc<AtomicU64>,
}

impl SequentialIds {
    /// The `n`th id that is given, from 1.
    pub const fn nth_id(n: u64) -> Uuid {
        version_7(0, n)
    }

    /// The `n`th secret that is given, from 1.
    pub const fn nth_secret(n: u64) -> Uuid {
        Uuid::from_u64_pair(0x5ec2_e700_0000_4000, 0x8000_0000_0000_0000 | n)
    }
}

impl IdSource for SequentialIds {
    fn id(&self) -> Uuid {
        Self::nth_id(self.ids.fetch_add(1, Ordering::SeqCst) + 1)
    }

    fn secret(&self) -> Uuid {
        Self::nth_secret(self.secrets.fetch_add(1, Ordering::SeqCst) + 1)
    }
}

/// An id that nothing else in this process has, later in order than those before it: what builders use.
pub(super) fn fresh_id() -> Uuid {
    static GIVEN: AtomicU64 = AtomicU64::new(0);
    version_7(1, GIVEN.fetch_add(1, Ordering::SeqCst) + 1)
}

const fn version_7(series: u64, n: u64) -> Uuid {
    Uuid::from_u64_pair(0x0146_0000_0000_7000 | (series << 16), 0x8000_0000_0000_0000 | n)
}
