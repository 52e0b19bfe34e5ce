//! Who waits for a change of which snapshot or volume, and telling them of it.
//!
//! A waiting request is a future that nobody polls, and costs no thread. Whatever changes something in this process tells
//! of it: the tasks' runner and the handlers. What another process changes is found by looking now and then.

use std::{
    collections::HashMap,
    future::poll_fn,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::Poll,
    time::Duration,
};

use actix_web::rt::time::timeout;
use futures_util::task::AtomicWaker;
use snapshot_domain::AccountId;
use uuid::Uuid;

use super::{
    error::ApiError,
    shares::{Share, Shares},
};

/// How often somebody who waits looks without having been told of a change.
pub(super) const LOOK: Duration = Duration::from_secs(2);

/// Tells those who wait. Clones tell the same ones.
#[derive(Clone, Debug)]
pub struct Changes(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// For who may wait at once.
    places: Shares,
    watched: Mutex<Watched>,
}

#[derive(Debug, Default)]
struct Watched {
    by_id: HashMap<Uuid, Vec<Arc<Signal>>>,
    is_closed: bool,
}

#[derive(Debug, Default)]
struct Signal {
    is_raised: AtomicBool,
    waker: AtomicWaker,
}

impl Signal {
    fn raise(&self) {
        self.is_raised.store(true, Ordering::Release);
        self.waker.wake();
    }
}

impl Changes {
    /// Lets at most so many wait at once, of which who has many leaves a quarter to others.
    pub fn at_most(count: usize) -> Self {
        Self(Arc::new(Shared {
            places: Shares::of(count),
            watched: Mutex::default(),
        }))
    }

    /// Tells whoever waits for the snapshot or volume of this id that it has changed, or may have.
    pub fn tell(&self, id: Uuid) {
        for signal in self.lock().by_id.get(&id).into_iter().flatten() {
            signal.raise();
        }
    }

    /// Lets nobody wait any longer: the service is about to stop.
    pub fn close(&self) {
        let mut watched = self.lock();
        watched.is_closed = true;
        for signal in watched.by_id.values().flatten() {
            signal.raise();
        }
    }

    /// Begins to watch: every change from now on is told.
    ///
    /// # Errors
    ///
    /// 503 when as many watch as may.
    pub(super) fn watch(&self, id: Uuid, account: AccountId) -> Result<Watch, ApiError> {
        let place = self.0.places.take(account).ok_or(ApiError::TooManyWaiting)?;
        let mut watched = self.lock();
        let signal = Arc::new(Signal::default());
        watched.by_id.entry(id).or_default().push(Arc::clone(&signal));
        drop(watched);
        let changes = self.clone();
        Ok(Watch {
            changes,
            id,
            signal,
            _place: place,
        })
    }

    fn lock(&self) -> MutexGuard<'_, Watched> {
        // Nothing panics while it holds the lock.
        self.0.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Somebody who waits for changes of one thing, until this is dropped.
#[derive(Debug)]
pub(super) struct Watch {
    changes: Changes,
    id: Uuid,
    signal: Arc<Signal>,
    _place: Share,
}

impl Watch {
    /// Waits for the next change since the last wait, at most so long. Returns at once when the service is about to stop.
    pub(super) async fn changed(&self, at_most: Duration) {
        if self.is_closed() {
            return;
        }
        let raised = poll_fn(|context| {
            self.signal.waker.register(context.waker());
            if self.signal.is_raised.swap(false, Ordering::AcqRel) {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        });
        // Whether it was told or has waited long enough: it looks either way.
        let _ = timeout(at_most, raised).await;
    }

    /// Whether the service is about to stop.
    pub(super) fn is_closed(&self) -> bool {
        self.changes.lock().is_closed
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let mut watched = self.changes.lock();
        if let Some(signals) = watched.by_id.get_mut(&self.id) {
            signals.retain(|signal| !Arc::ptr_eq(signal, &self.signal));
            if signals.is_empty() {
                watched.by_id.remove(&self.id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use actix_web::rt::System;
    use futures_util::future::join;

    use super::*;

    const ID: Uuid = Uuid::from_u128(1);
    const LONG: Duration = Duration::from_hours(1);

    fn begin(changes: &Changes) -> Result<Watch, ApiError> {
        changes.watch(ID, AccountId::new(Uuid::nil()))
    }

    #[test]
    fn who_watches_is_told_of_changes_before_and_during_the_wait() {
        System::new().block_on(async {
            let changes = Changes::at_most(8);
            let (first, second) = (begin(&changes).unwrap(), begin(&changes).unwrap());

            changes.tell(ID);
            first.changed(LONG).await;
            second.changed(LONG).await;

            join(first.changed(LONG), async { changes.tell(ID) }).await;
        });
    }

    #[test]
    fn who_watches_something_else_is_not_told() {
        System::new().block_on(async {
            let changes = Changes::at_most(1);
            let watch = begin(&changes).unwrap();

            changes.tell(Uuid::from_u128(2));

            assert!(!watch.signal.is_raised.load(Ordering::Acquire));
        });
    }

    #[test]
    fn nobody_waits_when_the_service_is_about_to_stop() {
        System::new().block_on(async {
            let changes = Changes::at_most(8);
            let watch = begin(&changes).unwrap();

            join(watch.changed(LONG), async { changes.close() }).await;
            watch.changed(LONG).await;
            begin(&changes).unwrap().changed(LONG).await;
        });
    }

    #[test]
    fn who_leaves_makes_room_and_leaves_nothing_behind() {
        let changes = Changes::at_most(1);
        let watch = begin(&changes).unwrap();

        assert!(begin(&changes).is_err());
        drop(watch);
        drop(begin(&changes).unwrap());

        assert!(changes.lock().by_id.is_empty());
    }
}
