//! Places of which there are only so many, and of which some are kept for who has few: else a single token could keep
//! everybody else out.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use snapshot_domain::AccountId;

/// This part of all places, and at least one, is kept for accounts that have fewer than so many.
const PART: usize = 4;

/// How many places of so many an account has at most, for as long as others may want some.
pub(super) fn most_of_one(most: usize) -> usize {
    (most - kept(most)).max(1)
}

/// How many of so many are kept for accounts that have few.
fn kept(most: usize) -> usize {
    (most / PART).max(1)
}

/// Places that are taken by accounts. Clones share them.
#[derive(Clone, Debug)]
pub(super) struct Shares(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    most: usize,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    places: usize,
    by_account: HashMap<AccountId, usize>,
}

impl Shares {
    /// So many places.
    pub(super) fn of(most: usize) -> Self {
        Self(Arc::new(Shared {
            most,
            taken: Mutex::default(),
        }))
    }

    /// Takes a place; `None` when all are taken, or when the account has many and the rest is kept for others.
    pub(super) fn take(&self, account: AccountId) -> Option<Share> {
        let mut taken = self.lock();
        let own = taken.by_account.get(&account).copied().unwrap_or(0);
        let kept = kept(self.0.most);
        let left = self.0.most.saturating_sub(taken.places);
        if left == 0 || own >= kept && left <= kept {
            return None;
        }
        taken.places += 1;
        taken.by_account.insert(account, own + 1);
        drop(taken);
        Some(Share {
            shares: self.clone(),
            account,
        })
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        // Nothing panics while it holds the lock.
        self.0.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place that is taken, until this is dropped.
#[derive(Debug)]
pub(super) struct Share {
    shares: Shares,
    account: AccountId,
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut taken = self.shares.lock();
        taken.places -= 1;
        if let Some(own) = taken.by_account.get_mut(&self.account) {
            *own -= 1;
            if *own == 0 {
                taken.by_account.remove(&self.account);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn account(n: u128) -> AccountId {
        AccountId::new(Uuid::from_u128(n))
    }

    #[test]
    fn who_has_many_leaves_a_quarter_to_others() {
        let shares = Shares::of(8);
        let take = |n: u128, times: usize| (0..times).map_while(|_| shares.take(account(n))).collect::<Vec<_>>();

        let greedy = take(1, 9);
        let others = [take(2, 9), take(3, 9)];

        assert_eq!(greedy.len(), 6);
        assert_eq!(others.each_ref().map(Vec::len), [2, 0]);
        drop(greedy);
        assert_eq!(take(3, 9).len(), 4, "of six that are free, two are kept");
        drop(others);
    }

    #[test]
    fn of_two_one_is_kept_and_a_single_one_is_anybodys() {
        let shares = Shares::of(2);
        let first = shares.take(account(1)).unwrap();

        assert!(shares.take(account(1)).is_none());
        assert!(shares.take(account(2)).is_some());
        drop(first);
        drop(shares.take(account(1)).unwrap());
        assert!(shares.lock().by_account.is_empty());

        assert!(Shares::of(1).take(account(1)).is_some());
    }
}
