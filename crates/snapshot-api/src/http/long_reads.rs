//! Reads of many rows, which take turns: on the database's connections, and among accounts.

use std::{
    collections::HashMap,
    num::NonZero,
    sync::{Arc, Mutex, PoisonError},
};

use actix_web::web::Data;
use snapshot_domain::AccountId;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{Api, blocking::on_pool, error::ApiError, shares};

/// The reads of many rows that may run at once. Clones share them.
#[derive(Clone, Debug)]
pub struct LongReads(Arc<Queues>);

#[derive(Debug)]
struct Queues {
    all: Arc<Semaphore>,
    most_of_one: usize,
    /// Of the accounts that read or wait now: each has a queue of its own, so that long ones keep nobody else waiting.
    by_account: Mutex<HashMap<AccountId, Arc<Semaphore>>>,
}

/// A read that may run, until this is dropped.
struct Turn {
    queues: Arc<Queues>,
    account: AccountId,
    /// Its place among those of its account, and then among all.
    places: Option<(OwnedSemaphorePermit, OwnedSemaphorePermit)>,
}

impl LongReads {
    /// At most so many at once, of which an account that has many leaves a quarter to others. Fewer than there are connections
    /// to the store: whatever else needs one would wait for lists.
    pub fn at_most(count: NonZero<usize>) -> Self {
        let count = count.get().min(Semaphore::MAX_PERMITS);
        Self(Arc::new(Queues {
            all: Arc::new(Semaphore::new(count)),
            most_of_one: shares::most_of_one(count),
            by_account: Mutex::default(),
        }))
    }

    /// Waits until one more may run.
    async fn turn(&self, account: AccountId) -> Turn {
        let queues = Arc::clone(&self.0);
        let own = queues.of(account);
        // Made before the wait, so that one who gives up waiting cleans up too.
        let mut turn = Turn {
            queues,
            account,
            places: None,
        };
        let never_closed = "nobody closes the semaphore";
        let own = own.acquire_owned().await.expect(never_closed);
        let all = Arc::clone(&turn.queues.all).acquire_owned().await;
        turn.places = Some((own, all.expect(never_closed)));
        turn
    }
}

impl Queues {
    fn of(&self, account: AccountId) -> Arc<Semaphore> {
        let mut queues = self.by_account.lock().unwrap_or_else(PoisonError::into_inner);
        let queue = queues.entry(account);
        Arc::clone(queue.or_insert_with(|| Arc::new(Semaphore::new(self.most_of_one))))
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.places = None;
        let mut queues = self.queues.by_account.lock().unwrap_or_else(PoisonError::into_inner);
        if queues
            .get(&self.account)
            .is_some_and(|queue| Arc::strong_count(queue) == 1)
        {
            queues.remove(&self.account);
        }
    }
}

/// Reads what may be many rows: on the pool, because on a thread that serves connections it would hold up everybody else,
/// and in its turn. Who waits for it costs no thread.
pub(super) async fn read_long<T, E, F>(api: &Data<Api>, account: AccountId, read: F) -> Result<T, ApiError>
where
    F: FnOnce(&Api) -> Result<T, E> + Send + 'static,
    T: Send + 'static,
    E: Into<ApiError> + Send + 'static,
{
    let turn = api.long_reads.turn(account).await;
    let api = api.clone();
    on_pool(move || {
        // Kept until the read has ended, also when nobody waits for it any more.
        let _turn = turn;
        read(&api)
    })
    .await
}

#[cfg(test)]
mod tests {
    use futures_util::{FutureExt as _, future::join_all};
    use uuid::Uuid;

    use super::*;

    fn account(n: u128) -> AccountId {
        AccountId::new(Uuid::from_u128(n))
    }

    #[test]
    fn whoever_waits_for_many_keeps_nobody_else_waiting() {
        let reads = LongReads::at_most(NonZero::new(8).unwrap());
        let mut many = join_all((0..100).map(|_| reads.turn(account(1))));
        assert!((&mut many).now_or_never().is_none());

        let other = reads.turn(account(2)).now_or_never();
        let third = reads.turn(account(3)).now_or_never();

        assert!(other.is_some() && third.is_some());
        assert!(reads.turn(account(4)).now_or_never().is_none(), "all are taken");
        drop(other);
        assert!(reads.turn(account(4)).now_or_never().is_some());
        drop((many, third));
        assert!(reads.0.by_account.lock().unwrap().is_empty());
        assert_eq!(reads.0.all.available_permits(), 8);
    }

    #[test]
    fn a_single_one_is_anybodys() {
        let reads = LongReads::at_most(NonZero::<usize>::MIN);

        let turn = reads.turn(account(1)).now_or_never();

        assert!(turn.is_some());
        assert!(reads.turn(account(2)).now_or_never().is_none());
        drop(turn);
        assert!(reads.turn(account(2)).now_or_never().is_some());
    }
}
