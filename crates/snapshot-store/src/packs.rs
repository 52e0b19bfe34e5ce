//! The list of the vault's packs: [`PackRepository`].

use diesel::prelude::*;
use snapshot_domain::{Error, OrganizationId, Pack, PackId, Result, ports::PackRepository};

use crate::{
    Store,
    columns::{self, id_column, number_column},
    failure::is_taken,
    schema::packs,
};

const WHAT: &str = "pack";

#[derive(Queryable, Selectable, Insertable)]
#[diesel(table_name = packs)]
struct PackRow {
    id: Vec<u8>,
    domain_id: Vec<u8>,
    size_bytes: i64,
    chunks: i64,
}

impl PackRepository for Store {
    fn record(&self, pack: &Pack) -> Result<()> {
        let row = PackRow {
            id: id_column(pack.id.as_uuid()),
            domain_id: id_column(pack.domain.as_uuid()),
            size_bytes: number_column(WHAT, pack.size_bytes)?,
            chunks: i64::from(pack.chunks),
        };
        let noted = self.try_write(move |connection| {
            diesel::insert_into(packs::table).values(&row).execute(connection)?;
            Ok(())
        });
        match noted {
            Err(failure) if is_taken(&failure) => Ok(()),
            other => other.map_err(Error::from),
        }
    }

    fn list(&self, after: Option<PackId>, limit: u32) -> Result<Vec<Pack>> {
        // Every id comes after no bytes at all.
        let after = after.map(|id| id_column(id.as_uuid())).unwrap_or_default();
        let rows = self.read(|connection| {
            let rows: Vec<PackRow> = packs::table
                .filter(packs::id.gt(&after))
                .order(packs::id)
                .limit(limit.into())
                .select(PackRow::as_select())
                .load(connection)?;
            Ok(rows)
        })?;
        rows.into_iter().map(Pack::try_from).collect()
    }
}

impl TryFrom<PackRow> for Pack {
    type Error = Error;

    fn try_from(row: PackRow) -> Result<Self> {
        Ok(Self {
            id: PackId::new(columns::id(WHAT, &row.id)?),
            domain: OrganizationId::new(columns::id(WHAT, &row.domain_id)?),
            size_bytes: columns::number(WHAT, row.size_bytes)?,
            chunks: columns::number(WHAT, row.chunks)?,
        })
    }
}
