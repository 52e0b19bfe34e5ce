//! How many requests may come in a time, from each of many sources.
//!
//! Every source has a bucket that fills at a steady rate, and each request takes one from it. Of a bucket nothing is kept but
//! the moment at which it will be full again; full ones are forgotten, so that memory follows from what came lately.

use std::{
    collections::HashMap,
    hash::Hash,
    net::{IpAddr, Ipv6Addr},
    num::NonZero,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use snapshot_domain::TokenId;

use super::error::ApiError;

/// Fewer buckets than this are not looked through for full ones.
const FEW: usize = 1024;

/// How fast requests may come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// How many a second in the long run.
    pub per_second: NonZero<u32>,
    /// How many at once after a pause.
    pub burst: NonZero<u32>,
}

/// The rates that requests are held to.
pub struct Rates {
    by_token: Option<Buckets<TokenId>>,
    refused_by_peer: Option<Buckets<IpAddr>>,
}

impl Rates {
    /// Holds every token to the first rate, and what comes from one address with tokens that are not taken to the second.
    /// `None` is no limit.
    pub fn new(by_token: Option<Rate>, refused_by_peer: Option<Rate>) -> Self {
        Self {
            by_token: by_token.map(Buckets::new),
            refused_by_peer: refused_by_peer.map(Buckets::new),
        }
    }

    /// Counts a request with a token that is known.
    ///
    /// # Errors
    ///
    /// 429 when the token's requests come too fast.
    pub(super) fn count(&self, token: TokenId) -> Result<(), ApiError> {
        take(self.by_token.as_ref(), token)
    }

    /// Counts a request with a token that is not taken.
    ///
    /// # Errors
    ///
    /// 429 when those from this address come too fast.
    pub(super) fn count_refused(&self, peer: Option<IpAddr>) -> Result<(), ApiError> {
        peer.map_or(Ok(()), |peer| take(self.refused_by_peer.as_ref(), network(peer)))
    }
}

fn take<K: Eq + Hash>(buckets: Option<&Buckets<K>>, key: K) -> Result<(), ApiError> {
    let Some(buckets) = buckets else {
        return Ok(());
    };
    let now = buckets.begun.elapsed();
    buckets
        .take(key, now)
        .map_err(|Empty { wait }| ApiError::TooManyRequests { wait })
}

/// Whoever has one address of version 6 has the 64 bits of addresses around it.
fn network(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into(),
        address @ IpAddr::V4(_) => address,
    }
}

/// A bucket per key. Times count from when the first one was made.
struct Buckets<K> {
    begun: Instant,
    /// How long it takes for one more.
    interval: Duration,
    /// How long it takes to fill an empty bucket.
    capacity: Duration,
    filling: Mutex<Filling<K>>,
}

struct Filling<K> {
    full_at: HashMap<K, Duration>,
    /// How many there may be before full ones are looked for.
    many: usize,
}

/// There is nothing in the bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Empty {
    /// Until there is something.
    wait: Duration,
}

impl<K: Eq + Hash> Buckets<K> {
    fn new(rate: Rate) -> Self {
        let interval = Duration::from_secs(1) / rate.per_second.get();
        Self {
            begun: Instant::now(),
            interval,
            capacity: interval.saturating_mul(rate.burst.get()),
            filling: Mutex::new(Filling {
                full_at: HashMap::new(),
                many: FEW,
            }),
        }
    }

    fn take(&self, key: K, now: Duration) -> Result<(), Empty> {
        // Every change is one insertion: a panic elsewhere leaves nothing half done.
        let mut filling = self.filling.lock().unwrap_or_else(PoisonError::into_inner);
        if filling.full_at.len() >= filling.many {
            filling.full_at.retain(|_, full_at| *full_at > now);
            filling.many = (2 * filling.full_at.len()).max(FEW);
        }
        let full_at = filling.full_at.entry(key).or_insert(now);
        let later = (*full_at).max(now) + self.interval;
        let wait = later.saturating_sub(now + self.capacity);
        if wait.is_zero() {
            *full_at = later;
            Ok(())
        } else {
            Err(Empty { wait })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_secs(100);

    fn buckets(per_second: u32, burst: u32) -> Buckets<u32> {
        Buckets::new(Rate {
            per_second: NonZero::new(per_second).unwrap(),
            burst: NonZero::new(burst).unwrap(),
        })
    }

    fn taken_at(buckets: &Buckets<u32>, now: Duration) -> usize {
        (0..1000).take_while(|_| buckets.take(1, now).is_ok()).count()
    }

    #[test]
    fn after_a_burst_one_fits_per_interval() {
        let buckets = buckets(10, 5);

        assert_eq!(taken_at(&buckets, NOW), 5);
        let tenth = Duration::from_millis(100);
        assert_eq!(buckets.take(1, NOW), Err(Empty { wait: tenth }));
        assert_eq!(taken_at(&buckets, NOW + tenth), 1);
        assert_eq!(taken_at(&buckets, NOW + 4 * tenth), 3);
    }

    #[test]
    fn a_pause_gives_no_more_than_the_burst() {
        let buckets = buckets(10, 5);
        taken_at(&buckets, NOW);

        assert_eq!(taken_at(&buckets, NOW + Duration::from_hours(1)), 5);
    }

    #[test]
    fn one_that_is_too_fast_does_not_disturb_others() {
        let buckets = buckets(10, 5);
        taken_at(&buckets, NOW);

        assert!(buckets.take(1, NOW).is_err());
        assert!(buckets.take(2, NOW).is_ok());
    }

    #[test]
    fn what_was_refused_does_not_make_the_wait_longer() {
        let buckets = buckets(10, 5);
        taken_at(&buckets, NOW);
        for _ in 0..100 {
            assert!(buckets.take(1, NOW).is_err());
        }

        assert!(buckets.take(1, NOW + Duration::from_millis(100)).is_ok());
    }

    #[test]
    fn buckets_that_are_full_again_are_forgotten() {
        let buckets = buckets(10, 5);
        for key in 0..100_000 {
            buckets.take(key, NOW + Duration::from_millis(key.into())).unwrap();
        }

        let kept = buckets.filling.lock().unwrap().full_at.len();
        assert!(kept <= 2 * FEW, "{kept}");
    }

    #[test]
    fn neighbours_of_version_6_are_one_peer() {
        let network = |text: &str| network(text.parse().unwrap());

        assert_eq!(network("2001:db8::1"), network("2001:db8::ffff:0:0:2"));
        assert_ne!(network("2001:db8::1"), network("2001:db8:0:1::1"));
        assert_ne!(network("10.0.0.1"), network("10.0.0.2"));
        assert_eq!(network("::ffff:10.0.0.1"), network("10.0.0.1"));
    }
}
