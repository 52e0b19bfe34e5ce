//! Giving snapshots to organizations of other accounts.

use std::sync::Arc;

use super::{ReceiptOf, owner_among, until_not_stale};
use crate::{
    Caller, Error, OrganizationId, Resource, Result, RevisionCondition, Right, Snapshot, SnapshotChanges, SnapshotId,
    Transfer, TransferId, TransferSecret,
    ports::{Clock, IdSource, SnapshotRepository, TransferRepository},
};

/// Everything that callers do with offers of snapshots.
#[derive(Clone)]
pub struct TransferService {
    transfers: Arc<dyn TransferRepository>,
    snapshots: Arc<dyn SnapshotRepository>,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn IdSource>,
}

/// What somebody asks for who wants to give a snapshot away.
#[derive(Clone, Copy, Debug)]
pub struct OfferSnapshot {
    /// The snapshot.
    pub snapshot: SnapshotId,
    /// The only organization that may accept it; `None` for whoever knows the secret.
    pub receiver: Option<OrganizationId>,
    /// How long it may be accepted, in milliseconds.
    pub lasts_ms: u32,
}

/// An offer that was just made: the only moment at which the secret is known.
#[derive(Clone, Debug)]
pub struct NewTransfer {
    /// The offer.
    pub transfer: Transfer,
    /// The secret, to be shown once.
    pub secret: TransferSecret,
}

impl TransferService {
    /// A service over these ports.
    pub fn new(
        transfers: Arc<dyn TransferRepository>,
        snapshots: Arc<dyn SnapshotRepository>,
        clock: Arc<dyn Clock>,
        ids: Arc<dyn IdSource>,
    ) -> Self {
        Self {
            transfers,
            snapshots,
            clock,
            ids,
        }
    }

    /// Offers one of the caller's snapshots, in place of an earlier offer of it.
    ///
    /// # Errors
    ///
    /// [`NotFound`](Error::NotFound) when there is none, or when it is somebody else's; [`Conflict`](Error::Conflict) unless
    /// it is `available`.
    pub fn offer(&self, caller: &Caller, command: OfferSnapshot) -> Result<NewTransfer> {
        self.offer_if(caller, command, &RevisionCondition::Any, None)
    }

    /// As [`offer`](Self::offer), as long as the condition holds for the snapshot's revision; keeps the request's receipt in the
    /// same transaction.
    ///
    /// # Errors
    ///
    /// Also [`ConditionFailed`](Error::ConditionFailed), and [`AnsweredBefore`](Error::AnsweredBefore) when there is such a
    /// receipt already.
    pub fn offer_if(
        &self,
        caller: &Caller,
        command: OfferSnapshot,
        condition: &RevisionCondition,
        receipt: Option<ReceiptOf<'_, NewTransfer>>,
    ) -> Result<NewTransfer> {
        let permit = caller.may(Right::Change)?;
        let snapshot = self.snapshots.find(&permit.scope(), command.snapshot)?;
        condition.check(Resource::Snapshot, snapshot.id().as_uuid(), snapshot.revision())?;
        snapshot.readable()?;
        let secret = TransferSecret::from_random(self.ids.secret());
        let now = self.clock.now();
        let transfer = Transfer {
            id: TransferId::new(self.ids.id()),
            snapshot: snapshot.id(),
            giver: snapshot.organization(),
            receiver: command.receiver,
            secret: secret.hash(),
            created_at: now,
            expires_at: now.plus_millis(command.lasts_ms),
            wrong_secrets: 0,
        };
        let made = NewTransfer { transfer, secret };
        let receipt = receipt.map(|of| of(&made));
        self.transfers.offer(&made.transfer, receipt.as_ref())?;
        Ok(made)
    }

    /// An offer that one of the caller's organizations made, or that names one of them.
    ///
    /// # Errors
    ///
    /// [`NotFound`](Error::NotFound) when there is none (any more), or when it is others'.
    pub fn get(&self, caller: &Caller, id: TransferId) -> Result<Transfer> {
        let scope = caller.may(Right::Read)?.scope();
        let transfer = self.open(id)?;
        let is_theirs = scope.covers(transfer.giver) || transfer.receiver.is_some_and(|it| scope.covers(it));
        if is_theirs { Ok(transfer) } else { Err(not_found(id)) }
    }

    /// Takes an offered snapshot over for one of the caller's organizations. Its bytes stay sealed as they are, and it
    /// restores whatever the giver deletes.
    ///
    /// # Errors
    ///
    /// [`NotAllowed`](Error::NotAllowed) when the organization is not the caller's. [`NotFound`](Error::NotFound) when there
    /// is no such offer (any more), when it is for somebody else, and when the secret is wrong: the four are never told
    /// apart. [`Conflict`](Error::Conflict) when the organization owns the snapshot already;
    /// [`QuotaExceeded`](Error::QuotaExceeded) when it has as many as it may: the offer stays then.
    pub fn accept(
        &self,
        caller: &Caller,
        id: TransferId,
        secret: &TransferSecret,
        organization: OrganizationId,
    ) -> Result<Snapshot> {
        self.accept_once(caller, id, secret, organization, None)
    }

    /// As [`accept`](Self::accept), and keeps the request's receipt in the same transaction.
    ///
    /// # Errors
    ///
    /// Also [`AnsweredBefore`](Error::AnsweredBefore) when there is such a receipt already.
    pub fn accept_once(
        &self,
        caller: &Caller,
        id: TransferId,
        secret: &TransferSecret,
        organization: OrganizationId,
        receipt: Option<ReceiptOf<'_, Snapshot>>,
    ) -> Result<Snapshot> {
        caller.may(Right::Change)?.act_for(organization)?;
        until_not_stale(|| {
            let transfer = self.open(id)?;
            if !transfer.is_for(organization) {
                return Err(not_found(id));
            }
            if transfer.secret != secret.hash() {
                self.transfers.count_wrong_secret(id)?;
                return Err(not_found(id));
            }
            let mut snapshot = self.offered(&transfer)?;
            let changes = SnapshotChanges {
                organization: Some(organization),
                ..SnapshotChanges::default()
            };
            if !snapshot.update(changes, self.clock.now()) {
                return Err(Error::Conflict {
                    resource: Resource::Snapshot,
                    id: snapshot.id().as_uuid(),
                    state: snapshot.state().name().as_str(),
                    reason: "the organization owns the snapshot already",
                });
            }
            let receipt = receipt.map(|of| of(&snapshot));
            self.transfers.accept(&transfer, &snapshot, receipt.as_ref())?;
            Ok(snapshot)
        })
    }

    /// Which of the caller's organizations made an offer; `None` when none of them. Asked for the audit trail, which needs
    /// no right.
    ///
    /// # Errors
    ///
    /// Only those of the storage itself.
    pub fn giver(&self, caller: &Caller, id: TransferId) -> Result<Option<OrganizationId>> {
        owner_among(caller, || Ok(self.open(id)?.giver))
    }

    /// Ends an offer that one of the caller's organizations made.
    ///
    /// # Errors
    ///
    /// [`NotFound`](Error::NotFound) when there is none (any more), or when it is somebody else's.
    pub fn withdraw(&self, caller: &Caller, id: TransferId) -> Result<()> {
        let scope = caller.may(Right::Change)?.scope();
        if !scope.covers(self.open(id)?.giver) {
            return Err(not_found(id));
        }
        self.transfers.withdraw(&scope, id)
    }

    fn open(&self, id: TransferId) -> Result<Transfer> {
        let transfer = self.transfers.transfer(id)?;
        if transfer.is_open(self.clock.now()) {
            Ok(transfer)
        } else {
            Err(not_found(id))
        }
    }

    /// The snapshot of an offer, which may go away at any moment.
    fn offered(&self, transfer: &Transfer) -> Result<Snapshot> {
        match self.snapshots.get(transfer.snapshot) {
            Ok(snapshot) if snapshot.organization() == transfer.giver => Ok(snapshot),
            Ok(_) | Err(Error::NotFound { .. }) => Err(not_found(transfer.id)),
            Err(error) => Err(error),
        }
    }
}

const fn not_found(id: TransferId) -> Error {
    Error::NotFound {
        resource: Resource::Transfer,
        id: id.as_uuid(),
    }
}
