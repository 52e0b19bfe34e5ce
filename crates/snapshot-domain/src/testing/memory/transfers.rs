use super::{InMemoryStore, Tables};
use crate::{
    Error, Receipt, Resource, Result, Scope, Snapshot, SnapshotId, Transfer, TransferId, ports::TransferRepository,
};

impl TransferRepository for InMemoryStore {
    fn offer(&self, transfer: &Transfer, receipt: Option<&Receipt>) -> Result<()> {
        let mut tables = self.lock();
        tables.check_receipt_is_new(receipt)?;
        let offered = tables.snapshots.get(&transfer.snapshot);
        if offered.is_none_or(|snapshot| snapshot.organization() != transfer.giver) {
            return Err(Error::NotFound {
                resource: Resource::Snapshot,
                id: transfer.snapshot.as_uuid(),
            });
        }
        tables.end_offers_of(transfer.snapshot);
        tables.transfers.insert(transfer.id, *transfer);
        tables.note(transfer.snapshot.as_uuid(), transfer.giver);
        tables.add_receipt(receipt);
        Ok(())
    }

    fn transfer(&self, id: TransferId) -> Result<Transfer> {
        self.lock().transfers.get(&id).copied().ok_or(not_found(id))
    }

    fn accept(&self, transfer: &Transfer, snapshot: &Snapshot, receipt: Option<&Receipt>) -> Result<()> {
        let mut tables = self.lock();
        tables.check_receipt_is_new(receipt)?;
        if !tables.transfers.contains_key(&transfer.id) {
            return Err(not_found(transfer.id));
        }
        tables.change_snapshot(snapshot)?;
        tables.note_for_both(snapshot.id().as_uuid(), snapshot.organization(), transfer.giver);
        tables.add_receipt(receipt);
        Ok(())
    }

    fn count_wrong_secret(&self, id: TransferId) -> Result<()> {
        if let Some(transfer) = self.lock().transfers.get_mut(&id) {
            transfer.wrong_secrets += 1;
        }
        Ok(())
    }

    fn withdraw(&self, scope: &Scope, id: TransferId) -> Result<()> {
        let mut tables = self.lock();
        let Some(transfer) = tables.transfers.get(&id).copied().filter(|it| scope.covers(it.giver)) else {
            return Err(not_found(id));
        };
        tables.transfers.remove(&id);
        tables.note(id.as_uuid(), transfer.giver);
        Ok(())
    }
}

impl Tables {
    /// What was deleted or given away is not offered any more.
    pub(super) fn end_offers_of(&mut self, snapshot: SnapshotId) {
        self.transfers.retain(|_, transfer| transfer.snapshot != snapshot);
    }
}

const fn not_found(id: TransferId) -> Error {
    Error::NotFound {
        resource: Resource::Transfer,
        id: id.as_uuid(),
    }
}
