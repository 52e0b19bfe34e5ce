use super::{InMemoryStore, Tables};
use crate::{Error, Receipt, ReceiptId, Result, Timestamp, ports::ReceiptRepository};

impl ReceiptRepository for InMemoryStore {
    fn keep(&self, receipt: &Receipt) -> Result<()> {
        let mut tables = self.lock();
        tables.check_receipt_is_new(Some(receipt))?;
        tables.add_receipt(Some(receipt));
        Ok(())
    }

    fn find(&self, id: ReceiptId, now: Timestamp) -> Result<Option<Receipt>> {
        let tables = self.lock();
        let receipt = tables.receipts.get(&id).filter(|receipt| now < receipt.expires_at);
        Ok(receipt.cloned())
    }

    fn forget_expired(&self, now: Timestamp, limit: u32) -> Result<u64> {
        let mut tables = self.lock();
        let mut expired: Vec<_> = tables.receipts.values().filter(|it| it.expires_at <= now).collect();
        expired.sort_unstable_by_key(|receipt| (receipt.expires_at, receipt.id));
        let ids: Vec<_> = expired.into_iter().take(limit as usize).map(|it| it.id).collect();
        for id in &ids {
            tables.receipts.remove(id);
        }
        Ok(ids.len() as u64)
    }
}

impl Tables {
    pub(super) fn check_receipt_is_new(&self, receipt: Option<&Receipt>) -> Result<()> {
        let Some(receipt) = receipt else {
            return Ok(());
        };
        match self.receipts.get(&receipt.id) {
            Some(kept) if receipt.kept_at < kept.expires_at => Err(Error::AnsweredBefore),
            Some(_) | None => Ok(()),
        }
    }

    /// Keeps a receipt that comes with something else. To be called last: it must not fail after that was stored.
    pub(super) fn add_receipt(&mut self, receipt: Option<&Receipt>) {
        if let Some(receipt) = receipt {
            self.receipts.insert(receipt.id, receipt.clone());
        }
    }
}
