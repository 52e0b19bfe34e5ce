//! The list of the vault's packs: [`PackRepository`].

use diesel::{
    connection::SimpleConnection,
    dsl::{delete, insert_into, update},
    prelude::*,
    result::{DatabaseErrorKind, Error as DatabaseError},
};
use snapshot_domain::{
    CollectionId, DamagedChunk, Distrusted, Error, OrganizationId, Pack, PackId, PackStanding, Result,
    ports::PackRepository,
};

use crate::{
    Store,
    columns::{self, IDS_AT_ONCE, id_column, number_column, unknown_word},
    connection::AnyConnection,
    failure::{Failure, Outcome, is_taken},
    schema::{damaged_chunks, packs},
};

const WHAT: &str = "pack";

/// Known to every version of this service and to nobody else.
const POSTGRES_LOCK: &str = "SELECT pg_advisory_xact_lock(7306931642281986)";

const KEPT: &str = PackStanding::Kept.as_str();
const CONDEMNED: &str = PackStanding::Condemned.as_str();
const DROPPED: &str = PackStanding::Dropped.as_str();

#[derive(Queryable, Selectable, Insertable)]
#[diesel(table_name = packs)]
struct PackRow {
    id: Vec<u8>,
    domain_id: Vec<u8>,
    size_bytes: i64,
    chunks: i64,
    standing: String,
}

#[derive(Queryable, Selectable, Insertable)]
#[diesel(table_name = damaged_chunks)]
struct DamagedRow {
    pack_id: Vec<u8>,
    record_offset: i64,
    chunk_id: Vec<u8>,
}

impl PackRepository for Store {
    fn record(&self, pack: &Pack) -> Result<()> {
        let row = PackRow {
            id: id_column(pack.id.as_uuid()),
            domain_id: id_column(pack.domain.as_uuid()),
            size_bytes: number_column(WHAT, pack.size_bytes)?,
            chunks: i64::from(pack.chunks),
            standing: KEPT.to_owned(),
        };
        let noted = self.try_write(move |connection| {
            insert_into(packs::table).values(&row).execute(connection)?;
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

    fn take_over(&self, collection: CollectionId) -> Result<Vec<Pack>> {
        let owner = id_column(collection.as_uuid());
        let rows = self.write(move |connection| {
            decide_alone(connection)?;
            let distrusted = packs::table.filter(packs::collection_id.is_not_null());
            update(distrusted)
                .set(packs::collection_id.eq(&owner))
                .execute(connection)?;
            let rows: Vec<PackRow> = distrusted
                .order(packs::id)
                .select(PackRow::as_select())
                .load(connection)?;
            Ok(rows)
        })?;
        rows.into_iter().map(Pack::try_from).collect()
    }

    fn condemn(&self, collection: CollectionId, packs: &[PackId]) -> Result<()> {
        let owner = id_column(collection.as_uuid());
        let ids = columns_of(packs);
        self.write(move |connection| {
            decide_alone(connection)?;
            for ids in ids.chunks(IDS_AT_ONCE) {
                let kept = packs::table
                    .filter(packs::id.eq_any(ids))
                    .filter(packs::standing.eq(KEPT));
                update(kept)
                    .set((packs::standing.eq(CONDEMNED), packs::collection_id.eq(&owner)))
                    .execute(connection)?;
            }
            Ok(())
        })
    }

    fn release(&self, collection: CollectionId, packs: &[PackId]) -> Result<()> {
        let owner = id_column(collection.as_uuid());
        let ids = columns_of(packs);
        self.write(move |connection| {
            decide_alone(connection)?;
            for ids in ids.chunks(IDS_AT_ONCE) {
                let condemned = packs::table
                    .filter(packs::id.eq_any(ids))
                    .filter(packs::standing.eq(CONDEMNED))
                    .filter(packs::collection_id.eq(&owner));
                update(condemned)
                    .set((packs::standing.eq(KEPT), packs::collection_id.eq(None::<Vec<u8>>)))
                    .execute(connection)?;
            }
            Ok(())
        })
    }

    fn drop_packs(&self, collection: CollectionId, packs: &[PackId]) -> Result<Vec<PackId>> {
        let owner = id_column(collection.as_uuid());
        let ids = columns_of(packs);
        let dropped = self.write(move |connection| {
            decide_alone(connection)?;
            let mut dropped: Vec<Vec<u8>> = Vec::new();
            for ids in ids.chunks(IDS_AT_ONCE) {
                let found: Vec<Vec<u8>> = packs::table
                    .filter(packs::id.eq_any(ids))
                    .filter(packs::standing.eq(CONDEMNED))
                    .filter(packs::collection_id.eq(&owner))
                    .select(packs::id)
                    .load(connection)?;
                update(packs::table.filter(packs::id.eq_any(&found)))
                    .set(packs::standing.eq(DROPPED))
                    .execute(connection)?;
                dropped.extend(found);
            }
            dropped.sort_unstable();
            Ok(dropped)
        })?;
        dropped.iter().map(|id| pack_id(id)).collect()
    }

    fn forget(&self, packs: &[PackId]) -> Result<()> {
        let ids = columns_of(packs);
        self.write(move |connection| {
            decide_alone(connection)?;
            for ids in ids.chunks(IDS_AT_ONCE) {
                let dropped = packs::table
                    .filter(packs::id.eq_any(ids))
                    .filter(packs::standing.eq(DROPPED));
                delete(dropped).execute(connection)?;
            }
            Ok(())
        })
    }

    fn set_aside(&self, chunks: &[DamagedChunk]) -> Result<()> {
        loop {
            let chunks = chunks.to_vec();
            match self.try_write(move |connection| set_aside(connection, &chunks)) {
                // A pack was forgotten between the two looks at it: the next one does not find it.
                Err(Failure::Database(DatabaseError::DatabaseError(DatabaseErrorKind::ForeignKeyViolation, _))) => {}
                other => return other.map_err(Error::from),
            }
        }
    }

    fn distrusted(&self) -> Result<Distrusted> {
        let (packs, chunks) = self.read(|connection| {
            connection.at_one_moment(|connection| {
                let packs: Vec<Vec<u8>> = packs::table
                    .filter(packs::collection_id.is_not_null())
                    .order(packs::id)
                    .select(packs::id)
                    .load(connection)?;
                let chunks: Vec<DamagedRow> = damaged_chunks::table
                    .order((
                        damaged_chunks::pack_id,
                        damaged_chunks::record_offset,
                        damaged_chunks::chunk_id,
                    ))
                    .select(DamagedRow::as_select())
                    .load(connection)?;
                Ok((packs, chunks))
            })
        })?;
        Ok(Distrusted {
            packs: packs.iter().map(|id| pack_id(id)).collect::<Result<_>>()?,
            chunks: chunks.into_iter().map(DamagedChunk::try_from).collect::<Result<_>>()?,
        })
    }
}

/// Lets one transaction at a time decide about packs. SQLite has only one writer anyway.
fn decide_alone(connection: &mut AnyConnection) -> Outcome<()> {
    if let AnyConnection::Postgres(connection) = connection {
        connection.batch_execute(POSTGRES_LOCK)?;
    }
    Ok(())
}

fn set_aside(connection: &mut AnyConnection, chunks: &[DamagedChunk]) -> Outcome<()> {
    for chunks in chunks.chunks(IDS_AT_ONCE) {
        let ids: Vec<_> = chunks.iter().map(|chunk| id_column(chunk.pack.as_uuid())).collect();
        let listed: Vec<Vec<u8>> = packs::table
            .filter(packs::id.eq_any(&ids))
            .select(packs::id)
            .load(connection)?;
        for (chunk, pack_id) in chunks.iter().zip(ids) {
            if !listed.contains(&pack_id) {
                continue;
            }
            let row = DamagedRow {
                pack_id,
                record_offset: chunk.record_offset.into(),
                chunk_id: chunk.chunk.to_vec(),
            };
            let insert = insert_into(damaged_chunks::table).values(&row).on_conflict_do_nothing();
            match connection {
                AnyConnection::Sqlite(connection) => insert.execute(connection),
                AnyConnection::Postgres(connection) => insert.execute(connection),
            }?;
        }
    }
    Ok(())
}

fn columns_of(packs: &[PackId]) -> Vec<Vec<u8>> {
    packs.iter().map(|id| id_column(id.as_uuid())).collect()
}

fn pack_id(column: &[u8]) -> Result<PackId> {
    columns::id(WHAT, column).map(PackId::new)
}

impl TryFrom<PackRow> for Pack {
    type Error = Error;

    fn try_from(row: PackRow) -> Result<Self> {
        Ok(Self {
            id: pack_id(&row.id)?,
            domain: OrganizationId::new(columns::id(WHAT, &row.domain_id)?),
            size_bytes: columns::number(WHAT, row.size_bytes)?,
            chunks: columns::number(WHAT, row.chunks)?,
            standing: PackStanding::parse(&row.standing)
                .ok_or_else(|| unknown_word(WHAT, &row.standing, "standing of a pack"))?,
        })
    }
}

impl TryFrom<DamagedRow> for DamagedChunk {
    type Error = Error;

    fn try_from(row: DamagedRow) -> Result<Self> {
        Ok(Self {
            pack: pack_id(&row.pack_id)?,
            record_offset: columns::number(WHAT, row.record_offset)?,
            chunk: columns::hash(WHAT, &row.chunk_id)?,
        })
    }
}
