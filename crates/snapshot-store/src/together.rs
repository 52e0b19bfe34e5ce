//! Reads that a thread does together: on one connection, and in one transaction.
//!
//! A statement by itself takes and gives back the locks of a read, looks whether the file has changed, and borrows a
//! connection. Reads of single rows cost less than that.

use std::cell::RefCell;

use crate::{Store, connection::AnyConnection, failure::Outcome, pool::Lent};

/// The connection that this thread's reads from one store share.
struct Held {
    place: usize,
    lent: Lent,
}

thread_local! {
    static HELD: RefCell<Option<Held>> = const { RefCell::new(None) };
}

/// Ends the transaction, also when what was done in it panics.
struct End;

impl Store {
    /// Does something on this thread that reads from this store several times, and does not write. It sees the rows as
    /// they are at one moment after this was called.
    ///
    /// A server is asked as it would be without this: a transaction would be two more questions to it.
    pub fn together<T>(&self, reads: impl FnOnce() -> T) -> T {
        let _end = self.begin_together();
        reads()
    }

    /// `None` where there is nothing to end: reads go on by themselves then, and tell what is wrong.
    fn begin_together(&self) -> Option<End> {
        if !self.reads_are_short() || HELD.with_borrow(Option::is_some) {
            return None;
        }
        let mut lent = self.pool().lend().ok()?;
        lent.connection().begin_read().ok()?;
        let place = self.place();
        HELD.set(Some(Held { place, lent }));
        Some(End)
    }

    /// Runs queries on the connection that this thread holds for this store, or on one of the pool.
    pub(crate) fn read_here<T>(&self, queries: impl Fn(&mut AnyConnection) -> Outcome<T>) -> Outcome<T> {
        // Taken out, so that a panic drops it: what a connection was interrupted in is not gone on with.
        match HELD.take() {
            Some(mut held) if held.place == self.place() => {
                let result = queries(held.lent.connection());
                HELD.set(Some(held));
                result
            }
            other => {
                HELD.set(other);
                self.pool().read(queries)
            }
        }
    }
}

impl Drop for End {
    fn drop(&mut self) {
        let Some(mut held) = HELD.take() else {
            return;
        };
        if let Err(error) = held.lent.connection().end_read() {
            // The pool does not take back a connection that is still in a transaction.
            log::warn!("a read could not be ended: {error}");
        }
    }
}
