//! The audit trail: [`AuditLog`].

mod doing;
mod list;
mod row;

use diesel::prelude::*;
use snapshot_domain::{
    AuditEntry, Result, Timestamp,
    ports::{Act, AuditCursor, AuditLog, AuditQuery, Slice},
};

pub(crate) use self::doing::Subject;
use self::row::AuditRow;
use crate::{
    Store, columns,
    connection::AnyConnection,
    failure::Outcome,
    row_insert::insert_row,
    schema::{audit, organizations},
};

impl AuditLog for Store {
    fn during(&self, entry: &AuditEntry, act: Act<'_>) -> Result<()> {
        let (result, unnoted) = doing::during(self, AuditRow::from(entry), act);
        result?;
        match unnoted {
            Some(row) => self.write(move |connection| insert(connection, &row)),
            None => Ok(()),
        }
    }

    fn record(&self, entry: &AuditEntry) -> Result<()> {
        let row = AuditRow::from(entry);
        self.write(move |connection| insert(connection, &row))
    }

    fn list(&self, query: &AuditQuery, slice: Slice<AuditCursor>) -> Result<Vec<AuditEntry>> {
        let rows = self.read(|connection| list::page(connection, query, slice))?;
        rows.into_iter().map(AuditEntry::try_from).collect()
    }

    fn count(&self, query: &AuditQuery) -> Result<u64> {
        let count = self.read(|connection| list::count(connection, query))?;
        columns::number("audit total", count)
    }

    fn forget_before(&self, moment: Timestamp, limit: u32) -> Result<u64> {
        let all: Vec<Vec<u8>> = self.read(|connection| {
            let all = organizations::table.select(organizations::id).load(connection)?;
            Ok(all)
        })?;
        let mut forgotten = 0;
        for organization in all {
            forgotten += self.write(move |connection| forget(connection, &organization, moment, limit))?;
        }
        Ok(forgotten)
    }
}

fn insert(connection: &mut AnyConnection, row: &AuditRow) -> Outcome<()> {
    insert_row!(connection, row)?;
    Ok(())
}

fn forget(connection: &mut AnyConnection, organization: &[u8], before: Timestamp, limit: u32) -> Outcome<u64> {
    let old = audit::table
        .filter(audit::organization_id.eq(organization))
        .filter(audit::at.lt(before.as_micros()));
    let oldest: Vec<i64> = old
        .order((audit::at, audit::id))
        .limit(i64::from(limit))
        .select(audit::at)
        .load(connection)?;
    let Some(last) = oldest.last() else {
        return Ok(0);
    };
    let forgotten = diesel::delete(
        audit::table
            .filter(audit::organization_id.eq(organization))
            .filter(audit::at.le(last)),
    )
    .execute(connection)?;
    Ok(forgotten as u64)
}
