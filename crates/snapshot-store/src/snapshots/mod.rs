//! Snapshots: [`SnapshotRepository`].

mod find;
mod is_available;
mod list;
mod places;
mod row;

use diesel::prelude::*;
use snapshot_domain::{
    Error, Lease, OrganizationId, Quota, ReadableSnapshot, Receipt, Resource, Result, Scope, Snapshot, SnapshotId,
    Task, TaskOutcome, Timestamp, Volume, VolumeId,
    ports::{Measured, Slice, SnapshotCursor, SnapshotQuery, SnapshotRepository, Tell},
};
use uuid::Uuid;

pub(crate) use self::is_available::IsAvailable;
pub(crate) use self::places::Places;
pub(crate) use self::row::SnapshotRow;
use self::row::{MeasuredRow, StoredRow};
use crate::{
    Store,
    audit::Subject,
    columns::{self, id_column, number_column},
    connection::{AnyConnection, on_either},
    failure::{Failure, Outcome, refused},
    prepared::{
        Part::{Bytes, MaybeNumber, MaybeWord, Number, Sql, Word},
        execute_prepared,
    },
    quotas,
    receipts::{self, ReceiptRow},
    row_insert::insert_row,
    schema::snapshots,
    tasks::{self, TaskRow},
    volumes,
};

impl SnapshotRepository for Store {
    fn begin(&self, snapshot: &Snapshot, task: &Task, volume: &Volume, receipt: Option<&Receipt>) -> Result<()> {
        let beginning = beginning(snapshot, task, volume, receipt, self.default_quota())?;
        let subject = Subject::new(snapshot.id().as_uuid(), snapshot.organization());
        self.write_about(&subject, beginning)
    }

    fn begin_and_tell(
        &self,
        snapshot: &Snapshot,
        task: &Task,
        volume: &Volume,
        receipt: Option<&Receipt>,
        tell: Tell<()>,
    ) -> Result<()> {
        let beginning = beginning(snapshot, task, volume, receipt, self.default_quota())?;
        let subject = Subject::new(snapshot.id().as_uuid(), snapshot.organization());
        self.write_about_and_tell(&subject, beginning, tell)
    }

    fn adopt(&self, snapshot: ReadableSnapshot<'_>) -> Result<()> {
        let row = SnapshotRow::try_from(snapshot.snapshot())?;
        self.write(move |connection| insert(connection, &row))
    }

    fn find(&self, scope: &Scope, id: SnapshotId) -> Result<Snapshot> {
        match self.get(id) {
            Ok(snapshot) if !scope.covers(snapshot.organization()) => Err(not_found(id.as_uuid())),
            result => result,
        }
    }

    fn find_measured(&self, scope: &Scope, id: SnapshotId) -> Result<Measured> {
        let key = id.as_uuid();
        let row = self.read(|connection| find::with_size(connection, scope, id))?;
        let measured = row::measured_snapshot(row.ok_or_else(|| not_found(key))?)?;
        if scope.covers(measured.snapshot.organization()) {
            Ok(measured)
        } else {
            Err(not_found(key))
        }
    }

    fn get(&self, id: SnapshotId) -> Result<Snapshot> {
        let key = id.as_uuid();
        let row = self.read(|connection| {
            let row = on_either!(connection, connection => snapshots::table
                .filter(snapshots::id.eq(key.as_bytes().as_slice()))
                .select(StoredRow::as_select())
                .first(connection)
                .optional())?;
            Ok(row)
        })?;
        row.ok_or_else(|| not_found(id.as_uuid()))?.try_into()
    }

    fn latest_available(&self, volume: VolumeId, domain: OrganizationId) -> Result<Option<Snapshot>> {
        let volume = id_column(volume.as_uuid());
        let domain = id_column(domain.as_uuid());
        let row = self.read(|connection| {
            let row = on_either!(connection, connection => snapshots::table
                .filter(snapshots::base_volume_id.eq(&volume))
                .filter(snapshots::domain_id.eq(&domain))
                .filter(IsAvailable)
                .order((snapshots::created_at.desc(), snapshots::id.desc()))
                .select(StoredRow::as_select())
                .first(connection)
                .optional())?;
            Ok(row)
        })?;
        row.map(Snapshot::try_from).transpose()
    }

    fn list(&self, query: &SnapshotQuery, slice: Slice<SnapshotCursor>) -> Result<Vec<Measured>> {
        let rows = self.read(|connection| list::page(connection, self.places(), query, slice))?;
        rows.into_iter().map(row::measured_snapshot).collect()
    }

    fn list_nearby(&self, query: &SnapshotQuery, slice: Slice<SnapshotCursor>) -> Result<Option<Vec<Measured>>> {
        let rows = self.read(|connection| list::page_nearby(connection, self.places(), query, slice))?;
        let Some(rows) = rows else {
            return Ok(None);
        };
        rows.into_iter()
            .map(row::measured_snapshot)
            .collect::<Result<_>>()
            .map(Some)
    }

    fn count(&self, query: &SnapshotQuery) -> Result<u64> {
        let count = self.read(|connection| list::count(connection, query))?;
        columns::number("snapshot total", count)
    }

    fn update(&self, snapshot: &Snapshot) -> Result<()> {
        let row = SnapshotRow::try_from(snapshot)?;
        let quota = self.default_quota();
        self.write_found(move |connection| {
            let mut owners = vec![row.organization_id.clone()];
            match owner(connection, &row.id)? {
                Some(giver) if giver != row.organization_id => {
                    give(connection, &row, quota)?;
                    owners.push(giver);
                }
                Some(_) | None => replace(connection, &row)?,
            }
            Ok(((), Subject::of_all(row.id.clone(), owners)))
        })
    }

    fn finish_capture(&self, lease: &Lease, snapshot: &Snapshot, outcome: TaskOutcome, now: Timestamp) -> Result<()> {
        let lease = *lease;
        let row = SnapshotRow::try_from(snapshot)?;
        self.write(move |connection| {
            tasks::end_unless_cancelled(connection, &lease, outcome, now)?;
            end_copy(connection, &row)?;
            volumes::end_copy(connection, &row.base_volume_id)
        })
    }

    fn cancel(&self, snapshot: &Snapshot) -> Result<()> {
        let row = SnapshotRow::try_from(snapshot)?;
        let subject = Subject::new(snapshot.id().as_uuid(), snapshot.organization());
        self.write_about(&subject, move |connection| {
            tasks::call_off_capture_of(connection, &row.id)?;
            remove(connection, &row)?;
            volumes::end_copy(connection, &row.base_volume_id)
        })
    }

    fn delete(&self, snapshot: &Snapshot, forget: &Task) -> Result<()> {
        let row = SnapshotRow::try_from(snapshot)?;
        let forget = TaskRow::try_from(forget)?;
        let subject = Subject::new(snapshot.id().as_uuid(), snapshot.organization());
        self.write_about(&subject, move |connection| {
            remove(connection, &row)?;
            tasks::insert(connection, &forget)
        })
    }
}

/// What stores a new snapshot, its task, the count of the volume's copies, and the receipt.
fn beginning(
    snapshot: &Snapshot,
    task: &Task,
    volume: &Volume,
    receipt: Option<&Receipt>,
    quota: Quota,
) -> Result<impl Fn(&mut AnyConnection) -> Outcome<()> + Send + use<>> {
    let receipt = receipt.map(ReceiptRow::from);
    let row = SnapshotRow::try_from(snapshot)?;
    let task = TaskRow::try_from(task)?;
    let volume_id = id_column(volume.id().as_uuid());
    let volume_revision = number_column("volume", volume.revision().as_u64())?;
    Ok(move |connection: &mut AnyConnection| {
        receipts::keep(connection, receipt.as_ref())?;
        insert(connection, &row)?;
        quotas::check_snapshots(connection, &row.organization_id, quota)?;
        tasks::insert(connection, &task)?;
        volumes::begin_copy(connection, &volume_id, volume_revision)
    })
}

/// Keeps a snapshot from being deleted until the transaction ends.
///
/// The update changes nothing, but takes the row's lock on either database, and tells whether there is a row.
pub(crate) fn hold(connection: &mut AnyConnection, id: SnapshotId) -> Outcome<()> {
    let row = snapshots::table.filter(snapshots::id.eq(id_column(id.as_uuid())));
    let held = diesel::update(row)
        .set(snapshots::revision.eq(snapshots::revision))
        .execute(connection)?;
    if held == 1 {
        Ok(())
    } else {
        Err(not_found(id.as_uuid()).into())
    }
}

/// As [`hold`], of a snapshot that is this organization's.
pub(crate) fn hold_owned(connection: &mut AnyConnection, id: SnapshotId, owner: OrganizationId) -> Outcome<()> {
    let row = snapshots::table
        .filter(snapshots::id.eq(id_column(id.as_uuid())))
        .filter(snapshots::organization_id.eq(id_column(owner.as_uuid())));
    let held = diesel::update(row)
        .set(snapshots::revision.eq(snapshots::revision))
        .execute(connection)?;
    if held == 1 {
        Ok(())
    } else {
        Err(not_found(id.as_uuid()).into())
    }
}

/// Replaces a row by its next revision, which is another organization's.
pub(crate) fn give(connection: &mut AnyConnection, row: &SnapshotRow, quota: Quota) -> Outcome<()> {
    replace(connection, row)?;
    quotas::check_snapshots(connection, &row.organization_id, quota)
}

fn owner(connection: &mut AnyConnection, id: &[u8]) -> Outcome<Option<Vec<u8>>> {
    let owner = snapshots::table
        .filter(snapshots::id.eq(id))
        .select(snapshots::organization_id)
        .first(connection)
        .optional()?;
    Ok(owner)
}

fn insert(connection: &mut AnyConnection, row: &SnapshotRow) -> Outcome<()> {
    insert_row!(connection, row).map_err(|error| refused(error, Resource::Snapshot, &row.id, &row.organization_id))?;
    Ok(())
}

/// Replaces a row by its next revision.
fn replace(connection: &mut AnyConnection, row: &SnapshotRow) -> Outcome<()> {
    let previous = snapshots::table
        .filter(snapshots::id.eq(&row.id))
        .filter(snapshots::revision.eq(row.revision - 1));
    let replaced = diesel::update(previous)
        .set(row)
        .execute(connection)
        .map_err(|error| refused(error, Resource::Snapshot, &row.id, &row.organization_id))?;
    if replaced == 1 {
        Ok(())
    } else {
        Err(stale_or_gone(connection, &row.id)?)
    }
}

/// Replaces a row by its next revision, in which a copy has ended: nothing else of it is another one, and what is not written
/// moves nothing in the indexes.
fn end_copy(connection: &mut AnyConnection, row: &SnapshotRow) -> Outcome<()> {
    let ended = execute_prepared!(
        connection,
        [
            Sql("UPDATE snapshots SET modified_at = "),
            Number(row.modified_at),
            Sql(", state = "),
            Word(&row.state),
            Sql(", digest = "),
            MaybeWord(row.digest.as_deref()),
            Sql(", stored_bytes = "),
            MaybeNumber(row.stored_bytes),
            Sql(", error_reason = "),
            MaybeWord(row.error_reason.as_deref()),
            Sql(", revision = "),
            Number(row.revision),
            Sql(" WHERE id = "),
            Bytes(&row.id),
            Sql(" AND revision = "),
            Number(row.revision - 1),
        ]
    )?;
    if ended == 1 {
        Ok(())
    } else {
        Err(stale_or_gone(connection, &row.id)?)
    }
}

/// Removes a row that is stored at exactly this revision.
fn remove(connection: &mut AnyConnection, row: &SnapshotRow) -> Outcome<()> {
    let present = snapshots::table
        .filter(snapshots::id.eq(&row.id))
        .filter(snapshots::revision.eq(row.revision));
    let removed = diesel::delete(present).execute(connection)?;
    if removed == 1 {
        Ok(())
    } else {
        Err(stale_or_gone(connection, &row.id)?)
    }
}

fn stale_or_gone(connection: &mut AnyConnection, id: &[u8]) -> Outcome<Failure> {
    let there: i64 = snapshots::table
        .filter(snapshots::id.eq(id))
        .count()
        .get_result(connection)?;
    let error = if there == 0 {
        not_found(columns::id("snapshot", id)?)
    } else {
        Error::Stale {
            resource: Resource::Snapshot,
        }
    };
    Ok(error.into())
}

fn not_found(id: Uuid) -> Error {
    Error::NotFound {
        resource: Resource::Snapshot,
        id,
    }
}
