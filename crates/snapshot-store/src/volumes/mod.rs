//! Volumes: [`VolumeRepository`].

mod list;
mod row;

use diesel::{dsl::sql, prelude::*, sql_types::Bool};
use snapshot_domain::{
    Error, Lease, Receipt, Resource, Result, Scope, Task, TaskOutcome, Timestamp, Volume, VolumeId, Work,
    ports::{Slice, VolumeCursor, VolumeQuery, VolumeRepository},
};
use uuid::Uuid;

use self::row::{VolumeRow, state};
use crate::{
    Store,
    audit::Subject,
    columns,
    connection::{AnyConnection, MultiBackend, on_either},
    failure::{Failure, Outcome, refused},
    prepared::{
        Part::{Bytes, Number, Sql, Word},
        execute_prepared,
    },
    quotas,
    receipts::{self, ReceiptRow},
    schema::volumes,
    snapshots,
    tasks::{self, TaskRow},
    told::Told,
};

impl VolumeRepository for Store {
    fn insert(&self, volume: &Volume, receipt: Option<&Receipt>) -> Result<()> {
        let receipt = receipt.map(ReceiptRow::from);
        let row = VolumeRow::try_from(volume)?;
        let quota = self.default_quota();
        let subject = Subject::new(volume.id().as_uuid(), volume.organization());
        self.write_about(&subject, move |connection| {
            receipts::keep(connection, receipt.as_ref())?;
            insert(connection, &row)?;
            quotas::check_volumes(connection, &row.organization_id, quota)
        })
    }

    fn begin_restore(&self, volume: &Volume, task: &Task, receipt: Option<&Receipt>) -> Result<()> {
        let receipt = receipt.map(ReceiptRow::from);
        let row = VolumeRow::try_from(volume)?;
        let source = match task.work() {
            Work::Restore { source, .. } => Some(source.snapshot),
            Work::Capture { .. } | Work::EraseVolume { .. } | Work::ForgetSnapshot { .. } => None,
        };
        let task = TaskRow::try_from(task)?;
        let quota = self.default_quota();
        let subject = Subject::new(volume.id().as_uuid(), volume.organization());
        self.write_about(&subject, move |connection| {
            receipts::keep(connection, receipt.as_ref())?;
            if let Some(snapshot) = source {
                snapshots::hold(connection, snapshot)?;
            }
            insert(connection, &row)?;
            quotas::check_volumes(connection, &row.organization_id, quota)?;
            tasks::insert(connection, &task)
        })
    }

    fn find(&self, scope: &Scope, id: VolumeId) -> Result<Volume> {
        match VolumeRepository::get(self, id) {
            Ok(volume) if !scope.covers(volume.organization()) => Err(not_found(id.as_uuid())),
            result => result,
        }
    }

    fn get(&self, id: VolumeId) -> Result<Volume> {
        let key = id.as_uuid();
        let column = key.as_bytes().as_slice();
        let row: Option<VolumeRow> = self.read(|connection| {
            let row = on_either!(connection, connection => Told::new(&[Bytes(column)], volumes::table
                .filter(volumes::id.eq(column))
                .select(VolumeRow::as_select()))
                .get_result(connection))
            .optional()?;
            Ok(row)
        })?;
        row.ok_or_else(|| not_found(id.as_uuid()))?.try_into()
    }

    fn list(&self, query: &VolumeQuery, slice: Slice<VolumeCursor>) -> Result<Vec<Volume>> {
        let rows = self.read(|connection| list::page(connection, query, slice))?;
        rows.into_iter().map(Volume::try_from).collect()
    }

    fn count(&self, query: &VolumeQuery) -> Result<u64> {
        let count = self.read(|connection| list::count(connection, query))?;
        columns::number("volume total", count)
    }

    fn saving(&self) -> Result<Vec<Volume>> {
        let rows = self.read(|connection| {
            // The literal state is what lets the databases use the index that only has such volumes.
            let rows = volumes::table
                .filter(sql::<Bool>("state = 'saving'"))
                .order(volumes::id)
                .select(VolumeRow::as_select())
                .load(connection)?;
            Ok(rows)
        })?;
        rows.into_iter().map(Volume::try_from).collect()
    }

    fn update(&self, volume: &Volume) -> Result<()> {
        let row = VolumeRow::try_from(volume)?;
        let subject = Subject::new(volume.id().as_uuid(), volume.organization());
        self.write_about(&subject, move |connection| replace(connection, &row))
    }

    fn finish_restore(&self, lease: &Lease, volume: &Volume, outcome: TaskOutcome, now: Timestamp) -> Result<()> {
        let lease = *lease;
        let row = VolumeRow::try_from(volume)?;
        self.write(move |connection| {
            tasks::end_unless_cancelled(connection, &lease, outcome, now)?;
            tasks::note_losses(connection, &lease, row.losses.as_deref())?;
            replace(connection, &row)
        })
    }

    fn delete(&self, volume: &Volume, erase: Option<&Task>) -> Result<()> {
        let row = VolumeRow::try_from(volume)?;
        let erase = erase.map(TaskRow::try_from).transpose()?;
        let subject = Subject::new(volume.id().as_uuid(), volume.organization());
        self.write_about(&subject, move |connection| {
            let present = volumes::table
                .filter(volumes::id.eq(&row.id))
                .filter(volumes::revision.eq(row.revision))
                .filter(volumes::copies.eq(row.copies));
            let removed = diesel::delete(present).execute(connection)?;
            if removed != 1 {
                return Err(stale_or_gone(connection, &row.id)?);
            }
            match &erase {
                Some(task) => tasks::insert(connection, task),
                None => Ok(()),
            }
        })
    }
}

/// Counts one more copy of a volume that is stored at exactly this revision.
pub(crate) fn begin_copy(connection: &mut AnyConnection, id: &[u8], revision: i64) -> Outcome<()> {
    let counted = execute_prepared!(
        connection,
        [
            Sql("UPDATE volumes SET copies = copies + 1 WHERE id = "),
            Bytes(id),
            Sql(" AND revision = "),
            Number(revision),
            Sql(" AND state = "),
            Word(state::AVAILABLE),
        ]
    )?;
    if counted == 1 { Ok(()) } else { Err(stale().into()) }
}

/// Counts one copy of a volume less; a volume that is gone is not counted any more. The table refuses a count below 0.
pub(crate) fn end_copy(connection: &mut AnyConnection, id: &[u8]) -> Outcome<()> {
    execute_prepared!(
        connection,
        [Sql("UPDATE volumes SET copies = copies - 1 WHERE id = "), Bytes(id)]
    )?;
    Ok(())
}

fn insert(connection: &mut AnyConnection, row: &VolumeRow) -> Outcome<()> {
    diesel::insert_into(volumes::table)
        .values(row)
        .execute(connection)
        .map_err(|error| refused(error, Resource::Volume, &row.id, &row.organization_id))?;
    Ok(())
}

/// Replaces a row by its next revision. Copies may begin and end meanwhile as long as it stays `available`: what is renamed is
/// also renamed while requests for snapshots never pause.
fn replace(connection: &mut AnyConnection, row: &VolumeRow) -> Outcome<()> {
    let previous = volumes::table
        .filter(volumes::id.eq(&row.id))
        .filter(volumes::revision.eq(row.revision - 1));
    let mut update = diesel::update(previous).set(row).into_boxed::<MultiBackend>();
    if row.state != state::AVAILABLE {
        update = update.filter(volumes::copies.eq(row.copies));
    }
    let replaced = update
        .execute(connection)
        .map_err(|error| refused(error, Resource::Volume, &row.id, &row.organization_id))?;
    if replaced == 1 {
        Ok(())
    } else {
        Err(stale_or_gone(connection, &row.id)?)
    }
}

fn stale_or_gone(connection: &mut AnyConnection, id: &[u8]) -> Outcome<Failure> {
    let there: i64 = volumes::table
        .filter(volumes::id.eq(id))
        .count()
        .get_result(connection)?;
    let error = if there == 0 {
        not_found(columns::id("volume", id)?)
    } else {
        stale()
    };
    Ok(error.into())
}

const fn stale() -> Error {
    Error::Stale {
        resource: Resource::Volume,
    }
}

fn not_found(id: Uuid) -> Error {
    Error::NotFound {
        resource: Resource::Volume,
        id,
    }
}
