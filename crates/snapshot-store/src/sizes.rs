//! What each snapshot takes for itself: [`SnapshotSizes`].

use std::collections::BTreeMap;

use diesel::prelude::*;
use snapshot_domain::{
    Error, OrganizationId, Resource, Result, SnapshotId,
    ports::{DomainSnapshots, SnapshotSizes},
};

use uuid::Uuid;

use crate::{
    Store,
    columns::{self, IDS_AT_ONCE, IdColumn, id_column, number_column},
    connection::{AnyConnection, on_either},
    failure::Outcome,
    prepared::{
        Part::{Bytes, MaybeNumber, Sql},
        execute_prepared,
    },
    schema::{domain_sizes, snapshots},
    snapshots::IsAvailable,
};

const WHAT: &str = "size";

/// How many sizes are stored in one write: whoever else writes waits for some milliseconds at the most.
const ROWS_AT_ONCE: usize = 1000;

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
                let ids = on_either!(connection, connection => snapshots::table
                    .filter(snapshots::domain_id.eq(&key))
                    .filter(IsAvailable)
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
            .map(|(id, bytes)| Ok((id.as_uuid(), number_column(WHAT, *bytes)?)))
            .collect::<Result<BTreeMap<_, _>>>()?;
        // Whoever else stores sizes of the same change stores the same ones: what differs now differs until it is stored.
        let different = self.read(|connection| different(connection, &domain, &sizes))?;
        let last = different.len().saturating_sub(1) / ROWS_AT_ONCE * ROWS_AT_ONCE;
        for piece in different[..last].chunks(ROWS_AT_ONCE) {
            if !self.resize(domain.clone(), change, piece.to_vec(), None)? {
                return Ok(false);
            }
        }
        self.resize(domain, change, different[last..].to_vec(), Some(change))
    }

    fn exclusive_bytes(&self, snapshots: &[SnapshotId]) -> Result<Vec<(SnapshotId, u64)>> {
        let mut known = Vec::new();
        for ids in snapshots.chunks(IDS_AT_ONCE) {
            let ids: Vec<_> = ids.iter().map(|id| id_column(id.as_uuid())).collect();
            let rows: Vec<(Vec<u8>, i64)> = self.read(|connection| {
                let same_domain = domain_sizes::domain_id.eq(snapshots::domain_id);
                let rows = snapshots::table
                    .inner_join(domain_sizes::table.on(same_domain))
                    .filter(snapshots::id.eq_any(&ids))
                    .filter(snapshots::exclusive_bytes.is_not_null())
                    .filter(domain_sizes::measured.eq(domain_sizes::changes.nullable()))
                    .select((snapshots::id, snapshots::exclusive_bytes.assume_not_null()))
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

impl Store {
    /// Stores sizes as long as the domain is at this change, and `false` otherwise. They are told once `measured` is the change.
    fn resize(&self, domain: Vec<u8>, change: i64, sizes: Vec<Resize>, measured: Option<i64>) -> Result<bool> {
        let stored = self.write(move |connection| {
            // Rows of snapshots before the row of their domain, as whoever changes a snapshot takes them: so that nobody waits
            // for somebody who waits.
            for size in &sizes {
                execute_prepared!(
                    connection,
                    [
                        Sql("UPDATE snapshots SET exclusive_bytes = "),
                        MaybeNumber(size.exclusive_bytes),
                        Sql(" WHERE id = "),
                        Bytes(size.id.as_bytes()),
                    ]
                )?;
            }
            let current = domain_sizes::table
                .find(&domain)
                .filter(domain_sizes::changes.eq(change));
            let is_current = diesel::update(current)
                .set(domain_sizes::measured.eq(measured))
                .execute(connection)?;
            if is_current == 1 { Ok(()) } else { Err(stale().into()) }
        });
        match stored {
            Ok(()) => Ok(true),
            Err(Error::Stale { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// Those of a domain's snapshots that have another size, or none: of many snapshots most keep what they had.
fn different(connection: &mut AnyConnection, domain: &[u8], sizes: &BTreeMap<Uuid, i64>) -> Outcome<Vec<Resize>> {
    let present: Vec<(IdColumn, Option<i64>)> = snapshots::table
        .filter(snapshots::domain_id.eq(domain))
        .filter(IsAvailable)
        .order(snapshots::id)
        .select((snapshots::id, snapshots::exclusive_bytes))
        .load(connection)?;
    let different = present.into_iter().filter_map(|(id, stored)| {
        let exclusive_bytes = sizes.get(&id.0).copied();
        (exclusive_bytes != stored).then_some(Resize {
            id: id.0,
            exclusive_bytes,
        })
    });
    Ok(different.collect())
}

/// The size that one snapshot gets, or none.
#[derive(Clone, Copy)]
struct Resize {
    id: Uuid,
    exclusive_bytes: Option<i64>,
}

/// The domain's snapshots became others: nothing is stored.
const fn stale() -> Error {
    Error::Stale {
        resource: Resource::Snapshot,
    }
}

fn snapshot_id(column: &[u8]) -> Result<SnapshotId> {
    columns::id(WHAT, column).map(SnapshotId::new)
}

#[cfg(test)]
mod tests {
    use snapshot_domain::{
        ports::{OrganizationRepository, SnapshotRepository, VolumeRepository},
        testing::{a_capture, a_snapshot, a_volume, an_organization},
    };

    use super::*;
    use crate::StoreOptions;

    #[test]
    fn a_piece_that_comes_late_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metadata.sqlite");
        let store = Store::open(path.to_str().unwrap(), StoreOptions::default()).unwrap();
        store.migrate().unwrap();
        let organization = an_organization();
        let volume = a_volume(organization.id).build();
        let snapshot = a_snapshot(organization.id).of(&volume).build();
        OrganizationRepository::insert(&store, &organization).unwrap();
        VolumeRepository::insert(&store, &volume, None).unwrap();
        store
            .begin(&snapshot, &a_capture(&snapshot).build(), &volume, None)
            .unwrap();
        let id = snapshot.id();
        let piece = |bytes| {
            vec![Resize {
                id: id.as_uuid(),
                exclusive_bytes: Some(bytes),
            }]
        };
        let domain = id_column(organization.id.as_uuid());
        assert!(store.resize(domain.clone(), 0, piece(7), Some(0)).unwrap());

        let late = store.resize(domain, 1, piece(8), None).unwrap();

        assert!(!late);
        assert_eq!(store.exclusive_bytes(&[id]).unwrap(), [(id, 7)]);
    }
}
