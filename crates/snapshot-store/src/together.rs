//! Reads that a thread does together: on one connection, and in one transaction.
//!
//! A statement by itself takes and gives back the locks of a read, looks whether the file has changed, and borrows a
//! connection. Reads of single rows cost less than that. So a thread that serves many requests in a row keeps what the
//! reads of one began for those that follow at once: a transaction is shared for as long as nothing was committed.

use std::{
    cell::{Cell, RefCell},
    time::{Duration, Instant},
};

use snapshot_domain::TokenHash;

use crate::{Store, beside::Beside, connection::AnyConnection, failure::Outcome, pool::Lent, tokens::KnownCaller};

/// How old what a thread goes on reading in may become. What this process commits is seen at once; this is how long a
/// commit of another process may be missed.
pub const OLDEST_READ: Duration = Duration::from_millis(1);

/// The most tokens that are known at once in one transaction: few clients send at the same moment.
const MOST_CALLERS: usize = 8;

/// The connection that this thread's reads from one store share.
struct Held {
    place: usize,
    link: Link,
    /// Whether reads are being done together right now. Otherwise the transaction is left open for others.
    in_use: bool,
    /// Before the transaction began.
    begun: Instant,
    /// What had been committed then.
    commits: u64,
    /// What the transaction showed of tokens.
    callers: Vec<(TokenHash, KnownCaller)>,
}

/// Where reads that are done together are done.
enum Link {
    /// One of the pool's, for a thread that can wait until it is free.
    Lent(Lent),
    /// One beside them: long reads may have all of the pool's, and who goes on reading serves others, who would wait too.
    Beside(AnyConnection, Beside),
}

impl Link {
    fn open(store: &Store, goes_on: bool) -> Option<Self> {
        if !goes_on {
            return store.pool().lend().ok().map(Self::Lent);
        }
        match store.connection_beside() {
            Ok((connection, beside)) => Some(Self::Beside(connection, beside)),
            Err(error) => {
                log::warn!("a thread that serves requests gets no connection of its own: {error}");
                None
            }
        }
    }

    fn connection(&mut self) -> &mut AnyConnection {
        match self {
            Self::Lent(lent) => lent.connection(),
            Self::Beside(connection, _) => connection,
        }
    }
}

thread_local! {
    static HELD: RefCell<Option<Held>> = const { RefCell::new(None) };
    /// Whether somebody was told to call [`Store::end_together`] and has not done it yet.
    static END_IS_OWED: Cell<bool> = const { Cell::new(false) };
}

/// Ends the use of the transaction, also when what was done in it panics.
struct End {
    stays_open: bool,
}

impl Store {
    /// Does something on this thread that reads from this store several times, and does not write. It sees the rows as
    /// they are at one moment after this was called.
    ///
    /// A server is asked as it would be without this: a transaction would be two more questions to it.
    ///
    /// Waits while all connections are in use.
    pub fn together<T>(&self, reads: impl FnOnce() -> T) -> T {
        let _end = self.begin_together(false);
        reads()
    }

    /// As [`together`](Self::together), but goes on in the transaction that this thread left open, and leaves it open. Whatever
    /// this process committed before this was called is seen; what others committed in the last
    /// [`OLDEST_READ`] may not be. Waits for no connection that others use.
    ///
    /// True when [`end_together`](Self::end_together) is owed from now on: to be called on this thread as soon as it has done
    /// what it has to do now.
    pub fn together_and_on<T>(&self, reads: impl FnOnce() -> T) -> (T, bool) {
        let end = self.begin_together(true);
        let result = reads();
        drop(end);
        let is_open = HELD.with_borrow(Option::is_some);
        (result, is_open && !END_IS_OWED.replace(true))
    }

    /// Ends the transaction that this thread left open.
    pub fn end_together(&self) {
        END_IS_OWED.set(false);
        if let Some(held) = HELD.with_borrow_mut(|held| held.take_if(|held| !held.in_use)) {
            held.end();
        }
    }

    /// `None` where there is nothing to end: reads go on by themselves then, and tell what is wrong.
    fn begin_together(&self, stays_open: bool) -> Option<End> {
        if !self.reads_are_short() || HELD.with_borrow(|held| held.as_ref().is_some_and(|held| held.in_use)) {
            return None;
        }
        let left_open = HELD.take();
        let held = match left_open {
            Some(held) if stays_open && held.serves(self) => held,
            left_open => {
                if let Some(held) = left_open {
                    held.end();
                }
                Held::begin(self, stays_open)?
            }
        };
        HELD.set(Some(Held { in_use: true, ..held }));
        Some(End { stays_open })
    }

    /// Runs queries on the connection that this thread holds for this store, or on one of the pool.
    pub(crate) fn read_here<T>(&self, queries: impl Fn(&mut AnyConnection) -> Outcome<T>) -> Outcome<T> {
        // Taken out, so that a panic drops it: what a connection was interrupted in is not gone on with.
        match HELD.take() {
            Some(mut held) if held.serves(self) => {
                let result = queries(held.link.connection());
                HELD.set(Some(held));
                result
            }
            Some(held) if !held.in_use => {
                // First: it may be one of the pool, and its only one.
                held.end();
                self.pool().read(queries)
            }
            other => {
                HELD.set(other);
                self.pool().read(queries)
            }
        }
    }

    /// What the transaction that this thread reads in has shown of a token.
    pub(crate) fn known_caller(&self, hash: &TokenHash) -> Option<KnownCaller> {
        HELD.with_borrow(|held| {
            let held = held.as_ref().filter(|held| held.serves(self))?;
            let known = held.callers.iter().find(|(known, _)| known == hash);
            known.map(|(_, caller)| caller.clone())
        })
    }

    /// Keeps what was read of a token for as long as the transaction that showed it.
    pub(crate) fn remember_caller(&self, hash: &TokenHash, caller: &KnownCaller) {
        HELD.with_borrow_mut(|held| {
            if let Some(held) = held
                && held.place == self.place()
                && held.callers.len() < MOST_CALLERS
            {
                held.callers.push((*hash, caller.clone()));
            }
        });
    }
}

impl Held {
    fn begin(store: &Store, goes_on: bool) -> Option<Self> {
        // Both before the transaction: it then sees all that they tell of.
        let (begun, commits) = (Instant::now(), store.commits());
        let mut link = Link::open(store, goes_on)?;
        link.connection().begin_read().ok()?;
        Some(Self {
            place: store.place(),
            link,
            in_use: false,
            begun,
            commits,
            callers: Vec::new(),
        })
    }

    /// Whether a read from a store that begins now may be done in this transaction.
    fn serves(&self, store: &Store) -> bool {
        self.place == store.place()
            && (self.in_use || (self.commits == store.commits() && self.begun.elapsed() < OLDEST_READ))
    }

    fn end(mut self) {
        if let Err(error) = self.link.connection().end_read() {
            // A connection that is still in a transaction is used by nobody again. The pool sees to its own.
            log::warn!("a read could not be ended: {error}");
            return;
        }
        if let Link::Beside(mut connection, beside) = self.link
            && !connection.is_lost()
            && !std::thread::panicking()
        {
            beside.give_back(connection);
        }
    }
}

impl Drop for End {
    fn drop(&mut self) {
        let Some(mut held) = HELD.take() else {
            return;
        };
        held.in_use = false;
        if self.stays_open && !std::thread::panicking() {
            HELD.set(Some(held));
        } else {
            held.end();
        }
    }
}
