//! Time and randomness as the machine has them.

use chrono::Utc;
use snapshot_domain::{
    Timestamp,
    ports::{Clock, IdSource},
};
use uuid::Uuid;

/// The machine's clock.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SystemClock;

impl Clock for SystemClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the port that everybody else takes the time from"
    )]
    fn now(&self) -> Timestamp {
        Timestamp::new(Utc::now())
    }
}

/// Ids and secrets from the operating system's random source.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RandomIds;

impl IdSource for RandomIds {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the port that everybody else takes ids from"
    )]
    fn id(&self) -> Uuid {
        Uuid::now_v7()
    }

    fn secret(&self) -> Uuid {
        Uuid::new_v4()
    }
}
