//! Offers of snapshots: [`TransferRepository`].
//!
//! Whoever changes an offer together with its snapshot takes the snapshot's row first, as those do whose triggers end its
//! offers: so nobody waits for somebody who waits.

use diesel::prelude::*;
use snapshot_domain::{
    Error, OrganizationId, Receipt, Resource, Result, Scope, Snapshot, SnapshotId, Transfer, TransferId,
    TransferSecretHash, ports::TransferRepository,
};

use crate::{
    Store,
    audit::Subject,
    columns::{self, id_column},
    failure::refused,
    receipts::{self, ReceiptRow},
    schema::transfers,
    snapshots::{self, SnapshotRow},
};

const WHAT: &str = "offer";

#[derive(Queryable, Selectable, Insertable)]
#[diesel(table_name = transfers)]
#[diesel(treat_none_as_default_value = false)]
struct TransferRow {
    id: Vec<u8>,
    snapshot_id: Vec<u8>,
    giver_id: Vec<u8>,
    receiver_id: Option<Vec<u8>>,
    secret_hash: Vec<u8>,
    created_at: i64,
    expires_at: i64,
    wrong_secrets: i64,
}

impl TransferRepository for Store {
    fn offer(&self, transfer: &Transfer, receipt: Option<&Receipt>) -> Result<()> {
        let receipt = receipt.map(ReceiptRow::from);
        let row = TransferRow::from(transfer);
        let (snapshot, giver) = (transfer.snapshot, transfer.giver);
        let subject = Subject::new(snapshot.as_uuid(), giver);
        self.write_about(&subject, move |connection| {
            receipts::keep(connection, receipt.as_ref())?;
            snapshots::hold_owned(connection, snapshot, giver)?;
            let earlier = transfers::table.filter(transfers::snapshot_id.eq(&row.snapshot_id));
            diesel::delete(earlier).execute(connection)?;
            diesel::insert_into(transfers::table)
                .values(&row)
                .execute(connection)
                .map_err(|error| refused(error, Resource::Transfer, &row.id, &row.giver_id))?;
            Ok(())
        })
    }

    fn transfer(&self, id: TransferId) -> Result<Transfer> {
        let key = id_column(id.as_uuid());
        let row = self.read(|connection| {
            let row: Option<TransferRow> = transfers::table
                .find(&key)
                .select(TransferRow::as_select())
                .first(connection)
                .optional()?;
            Ok(row)
        })?;
        row.ok_or(not_found(id))?.try_into()
    }

    fn accept(&self, transfer: &Transfer, snapshot: &Snapshot, receipt: Option<&Receipt>) -> Result<()> {
        let receipt = receipt.map(ReceiptRow::from);
        let row = SnapshotRow::try_from(snapshot)?;
        let Transfer {
            id,
            giver,
            snapshot: offered,
            ..
        } = *transfer;
        let quota = self.default_quota();
        let subject = Subject::new(offered.as_uuid(), snapshot.organization()).known_to(giver);
        self.write_about(&subject, move |connection| {
            receipts::keep(connection, receipt.as_ref())?;
            snapshots::hold_owned(connection, offered, giver)
                .map_err(|failure| failure.instead_of_not_found(not_found(id)))?;
            let ended = diesel::delete(transfers::table.find(id_column(id.as_uuid()))).execute(connection)?;
            if ended != 1 {
                return Err(not_found(id).into());
            }
            snapshots::give(connection, &row, quota)
        })
    }

    fn count_wrong_secret(&self, id: TransferId) -> Result<()> {
        let key = id_column(id.as_uuid());
        self.write(move |connection| {
            diesel::update(transfers::table.find(&key))
                .set(transfers::wrong_secrets.eq(transfers::wrong_secrets + 1))
                .execute(connection)?;
            Ok(())
        })
    }

    fn withdraw(&self, scope: &Scope, id: TransferId) -> Result<()> {
        let key = id_column(id.as_uuid());
        let givers: Vec<_> = scope
            .organizations()
            .iter()
            .map(|organization| id_column(organization.as_uuid()))
            .collect();
        self.write_found(move |connection| {
            let theirs = transfers::table
                .filter(transfers::id.eq(&key))
                .filter(transfers::giver_id.eq_any(&givers));
            let giver = theirs
                .clone()
                .select(transfers::giver_id)
                .first(connection)
                .optional()?;
            let giver: Vec<u8> = giver.ok_or(not_found(id))?;
            if diesel::delete(theirs).execute(connection)? == 1 {
                Ok(((), Subject::of_all(key.clone(), vec![giver])))
            } else {
                Err(not_found(id).into())
            }
        })
    }
}

impl From<&Transfer> for TransferRow {
    fn from(transfer: &Transfer) -> Self {
        Self {
            id: id_column(transfer.id.as_uuid()),
            snapshot_id: id_column(transfer.snapshot.as_uuid()),
            giver_id: id_column(transfer.giver.as_uuid()),
            receiver_id: transfer.receiver.map(|id| id_column(id.as_uuid())),
            secret_hash: transfer.secret.as_bytes().to_vec(),
            created_at: transfer.created_at.as_micros(),
            expires_at: transfer.expires_at.as_micros(),
            wrong_secrets: i64::from(transfer.wrong_secrets),
        }
    }
}

impl TryFrom<TransferRow> for Transfer {
    type Error = Error;

    fn try_from(row: TransferRow) -> Result<Self, Error> {
        let receiver = row.receiver_id.as_deref().map(|id| columns::id(WHAT, id));
        Ok(Self {
            id: TransferId::new(columns::id(WHAT, &row.id)?),
            snapshot: SnapshotId::new(columns::id(WHAT, &row.snapshot_id)?),
            giver: OrganizationId::new(columns::id(WHAT, &row.giver_id)?),
            receiver: receiver.transpose()?.map(OrganizationId::new),
            secret: TransferSecretHash::from_bytes(columns::hash(WHAT, &row.secret_hash)?),
            created_at: columns::moment(WHAT, row.created_at)?,
            expires_at: columns::moment(WHAT, row.expires_at)?,
            wrong_secrets: columns::number(WHAT, row.wrong_secrets)?,
        })
    }
}

const fn not_found(id: TransferId) -> Error {
    Error::NotFound {
        resource: Resource::Transfer,
        id: id.as_uuid(),
    }
}
