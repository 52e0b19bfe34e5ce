//! Time and randomness as the machine has them.

use chrono::Utc;
use snapshot_domain::{
    Timestamp,
    ports::{Clock, IdSource},
};
use uuid::{NoContext, Uuid};

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
        // With a context, as `Uuid::now_v7` has one, the ids of a millisecond are counted on from each other, and whoever is
        // given two of them knows how many others were given between: every answer carries one.
        Uuid::new_v7(uuid::Timestamp::now(NoContext))
    }

    fn secret(&self) -> Uuid {
        Uuid::new_v4()
    }
}

#[cfg(test)]
mod tests {
    // Nothing is imported: a benchmark compiles this file as well, but not its tests.

    #[test]
    fn ids_of_one_millisecond_are_not_counted_on_from_each_other() {
        let ids: Vec<uuid::Uuid> = (0..10_000)
            .map(|_| snapshot_domain::ports::IdSource::id(&super::RandomIds))
            .collect();

        let millisecond = |id: &uuid::Uuid| id.as_u128() >> 80;
        assert!(ids.iter().all(|id| id.get_version_num() == 7));
        let pairs = ids
            .windows(2)
            .filter(|pair| millisecond(&pair[0]) == millisecond(&pair[1]));
        let (ascending, descending): (Vec<_>, Vec<_>) = pairs.partition(|pair| pair[0] < pair[1]);
        assert!(!ascending.is_empty() && !descending.is_empty());
    }
}
