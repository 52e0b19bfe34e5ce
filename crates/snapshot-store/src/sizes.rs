//! What each snapshot takes for itself: [`SnapshotSizes`].

use std::collections::HashMap;

use diesel::{dsl::sql, prelude::*, sql_types::Bool};
use snapshot_domain::{
    Error, OrganizationId, Resource, Result, SnapshotId,
    ports::{DomainSnapshots, SnapshotSizes},
};

use crate::{
    Store,
    columns::{self, IDS_AT_ONCE, IdColumn, id_column, number_column},
    connection::{AnyConnection, on_either},
    failure::Outcome,
    schema::{domain_sizes, snapshot_sizes, snapshots},
};

const WHAT: &str = "size";

impl SnapshotSizes for Store {
    fn unmeasured(&self) -> Result<Vec<OrganizationId>> {
        let domains: Vec<Vec<u8>> = self.read(|connection| {
            let measured = domain_sizes::measured.eq(domain_sizes::changes.nullable());
            let domains = domain_sizes::table
                .filter(
                    domain_sizes::measured
                        .is_null()
                        .or(diesel::dsl::not(measured).assume_not_null()),
                )
                .select(domain_sizes::domain_id)
                .load(connection)?;
            Ok(domains)
        })?;
        domains
            .iter()
            .map(|id| Ok(OrganizationId::new(columns::id(WHAT, id)?)))
            .collect()
    }

    fn snapshots_of(&self, domain: OrganizationId) -> Result<DomainSnapshots> {
        let key = id_column(domain.as_uuid());
        let (change, ids): (Option<i64>, Vec<IdColumn>) = self.read(|connection| {
            connection.at_one_moment(|connection| {
                let change = domain_sizes::table
                    .find(&key)
                    .select(domain_sizes::changes)
                    .first(connection)
                    .optional()?;
                // The literal state is what lets the databases use the index that only has `available` snapshots.
                let ids = on_either!(connection, connection => snapshots::table
                    .filter(snapshots::domain_id.eq(&key))
                    .filter(sql::<Bool>("state = 'available'"))
                    .order(snapshots::id)
                    .select(snapshots::id)
                    .load(connection))?;
                Ok((change, ids))
            })
        })?;
        let change = change.ok_or_else(|| Error::NotFound {
            resource: Resource::Organization,
            id: domain.as_uuid(),
        })?;
        Ok(DomainSnapshots {
            change: columns::number(WHAT, change)?,
            snapshots: ids.into_iter().map(|id| SnapshotId::new(id.0)).collect(),
        })
    }

    fn store(&self, domain: OrganizationId, change: u64, exclusive_bytes: &[(SnapshotId, u64)]) -> Result<bool> {
        let domain = id_column(domain.as_uuid());
        let change = number_column(WHAT, change)?;
        let sizes = exclusive_bytes
            .iter()
            .map(|(id, bytes)| Ok((id_column(id.as_uuid()), number_column(WHAT, *bytes)?)))
            .collect::<Result<HashMap<_, _>>>()?;
        self.write(move |connection| {
            // Whoever changes the domain's snapshots from here on waits for the row, and then changes its count.
            let current = domain_sizes::table
                .find(&domain)
                .filter(domain_sizes::changes.eq(change));
            let is_current = diesel::update(current)
                .set(domain_sizes::measured.eq(change))
                .execute(connection)?;
            if is_current == 0 {
                return Ok(false);
            }
            replace(connection, &domain, sizes)?;
            Ok(true)
        })
    }

    fn exclusive_bytes(&self, snapshots: &[SnapshotId]) -> Result<Vec<(SnapshotId, u64)>> {
        let mut known = Vec::new();
        for ids in snapshots.chunks(IDS_AT_ONCE) {
            let ids: Vec<_> = ids.iter().map(|id| id_column(id.as_uuid())).collect();
            let rows: Vec<(Vec<u8>, i64)> = self.read(|connection| {
                let same_domain = domain_sizes::domain_id.eq(snapshot_sizes::domain_id);
                let rows = snapshot_sizes::table
                    .inner_join(domain_sizes::table.on(same_domain))
                    .filter(snapshot_sizes::snapshot_id.eq_any(&ids))
                    .filter(domain_sizes::measured.eq(domain_sizes::changes.nullable()))
                    .select((snapshot_sizes::snapshot_id, snapshot_sizes::exclusive_bytes))
                    .load(connection)?;
                Ok(rows)
            })?;
            for (id, bytes) in rows {
                known.push((snapshot_id(&id)?, columns::number(WHAT, bytes)?));
            }
        }
        Ok(known)
    }
}

/// Makes the rows of a domain these, and writes only what differs: of many snapshots most keep what they had.
fn replace(connection: &mut AnyConnection, domain: &[u8], mut sizes: HashMap<Vec<u8>, i64>) -> Outcome<()> {
    let present: Vec<(Vec<u8>, i64)> = snapshot_sizes::table
        .filter(snapshot_sizes::domain_id.eq(domain))
        .select((snapshot_sizes::snapshot_id, snapshot_sizes::exclusive_bytes))
        .load(connection)?;
    let mut gone = Vec::new();
    for (id, stored) in present {
        match sizes.remove(&id) {
            Some(bytes) if bytes == stored => {}
            Some(bytes) => {
                diesel::update(snapshot_sizes::table.find(id))
                    .set(snapshot_sizes::exclusive_bytes.eq(bytes))
                    .execute(connection)?;
            }
            None => gone.push(id),
        }
    }
    for ids in gone.chunks(IDS_AT_ONCE) {
        diesel::delete(snapshot_sizes::table.filter(snapshot_sizes::snapshot_id.eq_any(ids))).execute(connection)?;
    }
    for (id, bytes) in sizes {
        diesel::insert_into(snapshot_sizes::table)
            .values((
                snapshot_sizes::snapshot_id.eq(id),
                snapshot_sizes::domain_id.eq(domain),
                snapshot_sizes::exclusive_bytes.eq(bytes),
            ))
            .execute(connection)?;
    }
    Ok(())
}

fn snapshot_id(column: &[u8]) -> Result<SnapshotId> {
    columns::id(WHAT, column).map(SnapshotId::new)
}
