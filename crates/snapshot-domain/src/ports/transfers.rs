//! Where offers of snapshots are kept.

use crate::{Receipt, Result, Scope, Snapshot, Transfer, TransferId};

/// Keeps offers. An offer goes when its snapshot is deleted or gets another owner.
#[cfg_attr(feature = "mocks", mockall::automock)]
pub trait TransferRepository: Send + Sync {
    /// Stores an offer, in place of an earlier one of the same snapshot, and the receipt of the request for it, if that has
    /// one.
    ///
    /// # Errors
    ///
    /// [`NotFound`](crate::Error::NotFound) unless the snapshot is there, and is the giver's;
    /// [`AnsweredBefore`](crate::Error::AnsweredBefore) when there is such a receipt already.
    #[cfg_attr(feature = "mocks", mockall::concretize)]
    fn offer(&self, transfer: &Transfer, receipt: Option<&Receipt>) -> Result<()>;

    /// The offer, whoever asks.
    ///
    /// # Errors
    ///
    /// [`NotFound`](crate::Error::NotFound) when there is none.
    fn transfer(&self, id: TransferId) -> Result<Transfer>;

    /// Ends an offer, and replaces its snapshot by its next revision, which is its new owner's. Of several that accept an
    /// offer at once, one does. Giver and new owner both find it in their audit trails. Keeps the receipt of the request
    /// for it, if that has one.
    ///
    /// # Errors
    ///
    /// [`NotFound`](crate::Error::NotFound) when the offer is gone; [`Stale`](crate::Error::Stale) unless the stored
    /// revision is exactly the one before `snapshot.revision()`; [`QuotaExceeded`](crate::Error::QuotaExceeded) when the
    /// new owner has as many snapshots as it may; [`AnsweredBefore`](crate::Error::AnsweredBefore) when there is such a
    /// receipt already.
    #[cfg_attr(feature = "mocks", mockall::concretize)]
    fn accept(&self, transfer: &Transfer, snapshot: &Snapshot, receipt: Option<&Receipt>) -> Result<()>;

    /// Counts one more wrong secret that was shown for an offer; one that is gone is no error.
    ///
    /// # Errors
    ///
    /// Only those of the storage itself.
    fn count_wrong_secret(&self, id: TransferId) -> Result<()>;

    /// Ends an offer that a giver in the scope made.
    ///
    /// # Errors
    ///
    /// [`NotFound`](crate::Error::NotFound) when there is none, or when it is somebody else's.
    fn withdraw(&self, scope: &Scope, id: TransferId) -> Result<()>;
}
