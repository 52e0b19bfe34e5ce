//! What was answered to requests that carry a key: [`ReceiptRepository`].

use diesel::{
    prelude::*,
    result::{DatabaseErrorKind, Error as DatabaseError},
};
use snapshot_domain::{Error, Fingerprint, Receipt, ReceiptId, Result, Timestamp, ports::ReceiptRepository};

use crate::{
    Store,
    columns::{self, Nonsense},
    connection::AnyConnection,
    failure::Outcome,
    schema::receipts,
};

const WHAT: &str = "receipt";

/// A receipt as it is stored.
#[derive(Queryable, Selectable, Insertable)]
#[diesel(table_name = receipts)]
pub(crate) struct ReceiptRow {
    id: Vec<u8>,
    fingerprint: Vec<u8>,
    answer: String,
    kept_at: i64,
    expires_at: i64,
}

impl ReceiptRepository for Store {
    fn keep(&self, receipt: &Receipt) -> Result<()> {
        let row = ReceiptRow::from(receipt);
        self.write(move |connection| keep(connection, Some(&row)))
    }

    fn find(&self, id: ReceiptId, now: Timestamp) -> Result<Option<Receipt>> {
        let key = id.as_bytes().to_vec();
        let row: Option<ReceiptRow> = self.read(|connection| {
            let row = receipts::table
                .find(&key)
                .filter(receipts::expires_at.gt(now.as_micros()))
                .select(ReceiptRow::as_select())
                .first(connection)
                .optional()?;
            Ok(row)
        })?;
        row.map(Receipt::try_from).transpose()
    }

    fn forget_expired(&self, now: Timestamp, limit: u32) -> Result<u64> {
        let now = now.as_micros();
        let forgotten = self.write(move |connection| {
            let expired: Vec<Vec<u8>> = receipts::table
                .filter(receipts::expires_at.le(now))
                .order((receipts::expires_at, receipts::id))
                .limit(limit.into())
                .select(receipts::id)
                .load(connection)?;
            // Somebody may just have put a new one in place of an expired one.
            let still_expired = receipts::table
                .filter(receipts::id.eq_any(expired))
                .filter(receipts::expires_at.le(now));
            Ok(diesel::delete(still_expired).execute(connection)?)
        })?;
        Ok(forgotten as u64)
    }
}

/// Keeps a receipt, if there is one, in place of one that has expired. Has to come first in its transaction: whoever comes
/// with the same one waits here until it is known which of them was carried out.
pub(crate) fn keep(connection: &mut AnyConnection, receipt: Option<&ReceiptRow>) -> Outcome<()> {
    let Some(row) = receipt else {
        return Ok(());
    };
    let expired = receipts::table
        .find(&row.id)
        .filter(receipts::expires_at.le(row.kept_at));
    diesel::delete(expired).execute(connection)?;
    diesel::insert_into(receipts::table)
        .values(row)
        .execute(connection)
        .map_err(|error| match error {
            DatabaseError::DatabaseError(DatabaseErrorKind::UniqueViolation, _) => Error::AnsweredBefore.into(),
            other => crate::failure::Failure::from(other),
        })?;
    Ok(())
}

impl From<&Receipt> for ReceiptRow {
    fn from(receipt: &Receipt) -> Self {
        Self {
            id: receipt.id.as_bytes().to_vec(),
            fingerprint: receipt.fingerprint.as_bytes().to_vec(),
            answer: receipt.answer.clone(),
            kept_at: receipt.kept_at.as_micros(),
            expires_at: receipt.expires_at.as_micros(),
        }
    }
}

impl TryFrom<ReceiptRow> for Receipt {
    type Error = Error;

    fn try_from(row: ReceiptRow) -> Result<Self> {
        Ok(Self {
            id: ReceiptId::from_bytes(hash(&row.id)?),
            fingerprint: Fingerprint::from_bytes(hash(&row.fingerprint)?),
            answer: row.answer,
            kept_at: columns::moment(WHAT, row.kept_at)?,
            expires_at: columns::moment(WHAT, row.expires_at)?,
        })
    }
}

fn hash(column: &[u8]) -> Result<[u8; 32]> {
    let bytes = column.try_into();
    bytes.map_err(|_| Error::corrupt(WHAT, Nonsense::Hash(column.len())))
}
