//! How many volumes and snapshots are sent or received at once. Each takes up to a mebibyte of memory for as long as its
//! client wants, so that without a limit slow clients could take all there is.

use snapshot_domain::AccountId;

use super::{
    error::ApiError,
    shares::{Share, Shares},
};

/// The transfers that may still begin. Clones share them.
#[derive(Clone, Debug)]
pub struct Transfers(Shares);

impl Transfers {
    /// At most so many at once, of which who has many leaves a quarter to others.
    pub fn at_most(count: usize) -> Self {
        Self(Shares::of(count))
    }

    /// Begins one, which runs until what this returns is dropped.
    ///
    /// # Errors
    ///
    /// 503 when there are as many as may be.
    pub(super) fn begin(&self, account: AccountId) -> Result<Share, ApiError> {
        self.0.take(account).ok_or(ApiError::TooManyTransfers)
    }
}
