//! Answering a repeated request as it was answered before.

use std::sync::Arc;

use crate::{
    Caller, Error, Fingerprint, IdempotencyKey, KeyedRequest, Receipt, ReceiptId, Result,
    ports::{Clock, ReceiptRepository},
};

/// Makes the receipt of a request out of what it made, to be stored together with it.
pub type ReceiptOf<'a, T> = &'a dyn Fn(&T) -> Receipt;

/// Remembers how requests that carry a key were answered.
///
/// Only what was carried out is remembered: a request that was refused changed nothing, and may be sent again.
#[derive(Clone)]
pub struct ReceiptService {
    receipts: Arc<dyn ReceiptRepository>,
    clock: Arc<dyn Clock>,
}

impl ReceiptService {
    /// How long an answer is remembered, in milliseconds: 24 hours.
    pub const KEPT_MS: u32 = 24 * 60 * 60 * 1000;

    /// How many receipts one call of [`forget_expired`](Self::forget_expired) removes at most.
    pub const STEP: u32 = 256;

    /// A service over these ports.
    pub fn new(receipts: Arc<dyn ReceiptRepository>, clock: Arc<dyn Clock>) -> Self {
        Self { receipts, clock }
    }

    /// A caller's request under a key. `parts` are all that makes it another request: where it goes, what it brings.
    pub fn request(caller: &Caller, key: &IdempotencyKey, parts: &[&[u8]]) -> KeyedRequest {
        KeyedRequest {
            receipt: ReceiptId::of(caller.token, key),
            fingerprint: Fingerprint::of(parts),
        }
    }

    /// How the request was answered, if it was carried out within the last 24 hours.
    ///
    /// # Errors
    ///
    /// [`KeyReused`](Error::KeyReused) when its key was used for another request.
    pub fn recall(&self, request: &KeyedRequest) -> Result<Option<String>> {
        match self.receipts.find(request.receipt, self.clock.now())? {
            None => Ok(None),
            Some(receipt) if receipt.fingerprint == request.fingerprint => Ok(Some(receipt.answer)),
            Some(_) => Err(Error::KeyReused),
        }
    }

    /// The receipt of a request that is being carried out, and answered like this.
    pub fn receipt(&self, request: &KeyedRequest, answer: String) -> Receipt {
        let now = self.clock.now();
        Receipt {
            id: request.receipt,
            fingerprint: request.fingerprint,
            answer,
            kept_at: now,
            expires_at: now.plus_millis(Self::KEPT_MS),
        }
    }

    /// Keeps the receipt of a request whose effect is stored already: where it can't be stored together with it.
    ///
    /// # Errors
    ///
    /// [`AnsweredBefore`](Error::AnsweredBefore) when there is one already.
    pub fn keep(&self, receipt: &Receipt) -> Result<()> {
        self.receipts.keep(receipt)
    }

    /// Removes some of what has expired: at most [`STEP`](Self::STEP) receipts, so that nobody waits for it long. Returns
    /// whether there may be more.
    ///
    /// # Errors
    ///
    /// Only those of the storage itself.
    pub fn forget_expired(&self) -> Result<bool> {
        let forgotten = self.receipts.forget_expired(self.clock.now(), Self::STEP)?;
        Ok(forgotten == u64::from(Self::STEP))
    }
}
