//! Places of which there are only so many, and of which no account gets all: else a single token could keep everybody else
//! out.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use snapshot_domain::AccountId;

/// The most that one account gets is this part of all, and at least one.
const PART: usize = 4;

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

    /// Takes a place; `None` when all are taken, or as many as the account may have.
    pub(super) fn take(&self, account: AccountId) -> Option<Share> {
        let mut taken = self.lock();
        let own = taken.by_account.get(&account).copied().unwrap_or(0);
        if taken.places >= self.0.most || own >= (self.0.most / PART).max(1) {
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
    fn an_account_gets_a_quarter_of_all_and_others_get_the_rest() {
        let shares = Shares::of(8);

        let taken: Vec<_> = (0..9).flat_map(|n| [(); 3].map(|()| shares.take(account(n)))).collect();

        let got: Vec<_> = taken.iter().map(Option::is_some).collect();
        let in_turn: Vec<_> = (0..9).flat_map(|n| [n < 4, n < 4, false]).collect();
        assert_eq!(got, in_turn);
        drop(taken);
        assert!(shares.take(account(9)).is_some());
    }

    #[test]
    fn of_a_few_an_account_gets_one() {
        let shares = Shares::of(2);
        let first = shares.take(account(1)).unwrap();

        assert!(shares.take(account(1)).is_none());
        assert!(shares.take(account(2)).is_some());
        drop(first);
        drop(shares.take(account(1)).unwrap());

        assert!(shares.lock().by_account.is_empty());
    }
}
