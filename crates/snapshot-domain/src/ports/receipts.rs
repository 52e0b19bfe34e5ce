//! Where receipts are kept.

use crate::{Receipt, ReceiptId, Result, Timestamp};

/// Keeps what was answered to requests that carry a key. A receipt is best kept together with what the request made, by
/// the methods of the other repositories that take one; all of them keep it as [`keep`](Self::keep) does.
#[cfg_attr(feature = "mocks", mockall::automock)]
pub trait ReceiptRepository: Send + Sync {
    /// Keeps a receipt by itself, in place of one that has expired.
    ///
    /// # Errors
    ///
    /// [`AnsweredBefore`](crate::Error::AnsweredBefore) when there is one of this id that has not expired at
    /// `receipt.kept_at`; that one stays.
    fn keep(&self, receipt: &Receipt) -> Result<()>;

    /// The receipt of this id, unless there is none or it has expired at `now`.
    ///
    /// # Errors
    ///
    /// Only those of the storage itself.
    fn find(&self, id: ReceiptId, now: Timestamp) -> Result<Option<Receipt>>;

    /// Removes at most `limit` receipts that have expired at `now`, those that expired first. Returns how many.
    ///
    /// # Errors
    ///
    /// Only those of the storage itself.
    fn forget_expired(&self, now: Timestamp, limit: u32) -> Result<u64>;
}
