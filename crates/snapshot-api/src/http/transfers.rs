//! How many volumes and snapshots are sent or received at once. Each takes up to a mebibyte of memory for as long as its
//! client wants, so that without a limit slow clients could take all there is.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use super::error::ApiError;

/// The transfers that may still begin. Clones share them.
#[derive(Clone, Debug)]
pub struct Transfers(Arc<AtomicUsize>);

impl Transfers {
    /// At most so many at once.
    pub fn at_most(count: usize) -> Self {
        Self(Arc::new(AtomicUsize::new(count)))
    }

    /// Begins one.
    ///
    /// # Errors
    ///
    /// 503 when there are as many as may be.
    pub(super) fn begin(&self) -> Result<Transfer, ApiError> {
        let one_less = |free: usize| free.checked_sub(1);
        match self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, one_less) {
            Ok(_) => Ok(Transfer(self.clone())),
            Err(_) => Err(ApiError::TooManyTransfers),
        }
    }
}

/// A transfer that runs, until this is dropped.
#[derive(Debug)]
pub(super) struct Transfer(Transfers);

impl Drop for Transfer {
    fn drop(&mut self) {
        self.0.0.fetch_add(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_that_ended_makes_room_for_the_next() {
        let transfers = Transfers::at_most(2);
        let first = transfers.begin().unwrap();
        let _second = transfers.clone().begin().unwrap();

        assert!(transfers.begin().is_err());
        drop(first);
        assert!(transfers.begin().is_ok());
    }
}
