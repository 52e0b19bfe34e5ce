//! Tasks: [`TaskQueue`].

mod claim;
mod row;

use std::collections::HashMap;

use diesel::prelude::*;
use snapshot_domain::{
    Error, InstanceId, Lease, Progress, Quota, Resource, Result, Scope, SnapshotId, Task, TaskId, TaskOutcome,
    TaskStateName, Timestamp, VolumeId,
    ports::{Renewal, TaskQueue},
};

pub(crate) use self::row::TaskRow;
use self::row::kind;
use crate::{
    Store,
    columns::{IDS_AT_ONCE, id, id_column, number_column},
    connection::AnyConnection,
    failure::{Outcome, refused},
    prepared::{
        Part::{self, Bytes, Number, Several, Sql, Word},
        execute_prepared,
    },
    quotas,
    row_insert::insert_row,
    schema::tasks,
};

/// How often a claim looks again when others take the places that it finds.
const MOST_CLAIMS: usize = 16;

/// The states that queries name.
mod state {
    use super::TaskStateName;

    pub(super) const PENDING: &str = TaskStateName::Pending.as_str();
    pub(super) const RUNNING: &str = TaskStateName::Running.as_str();
}

impl TaskQueue for Store {
    fn claim(&self, instance: InstanceId, now: Timestamp, expires_at: Timestamp) -> Result<Option<Task>> {
        let quota = self.default_quota();
        for _ in 0..MOST_CLAIMS {
            let claimed = self.write(move |connection| claim_next(connection, instance, now, expires_at, quota));
            match claimed {
                // Somebody else took the last place just before: there may be a task of another organization.
                Err(Error::Stale { .. }) => {}
                other => return other?.map(Task::try_from).transpose(),
            }
        }
        // Whoever took the places works; the next call looks again.
        Ok(None)
    }

    fn renew(&self, lease: &Lease, progress: Progress, expires_at: Timestamp) -> Result<Renewal> {
        let lease = *lease;
        let done_bytes = number_column("task", progress.done_bytes)?;
        let total_bytes = number_column("task", progress.total_bytes)?;
        let epoch = number_column("task", lease.epoch)?;
        self.write(move |connection| {
            let renewed = execute_prepared!(
                connection,
                [
                    Sql("UPDATE tasks SET lease_expires_at = "),
                    Number(expires_at.as_micros()),
                    Sql(", done_bytes = "),
                    Number(done_bytes),
                    Sql(", total_bytes = "),
                    Number(total_bytes),
                    Sql(" WHERE "),
                    Several(&held(lease.task.as_uuid().as_bytes(), epoch)),
                ]
            )?;
            only_if_held(renewed)?;
            Ok(if is_cancelled(connection, &lease)? {
                Renewal::Cancelled
            } else {
                Renewal::Continue
            })
        })
    }

    fn put_back(&self, lease: &Lease) -> Result<()> {
        let lease = *lease;
        let epoch = number_column("task", lease.epoch)?;
        self.write(move |connection| {
            let put_back = execute_prepared!(
                connection,
                [
                    Sql("UPDATE tasks SET instance_id = NULL, lease_expires_at = NULL, state = "),
                    Word(state::PENDING),
                    Sql(" WHERE "),
                    Several(&held(lease.task.as_uuid().as_bytes(), epoch)),
                ]
            )?;
            only_if_held(put_back)
        })
    }

    fn put_back_all(&self, instance: InstanceId) -> Result<u64> {
        let put_back = self.write(move |connection| {
            let left = tasks::table
                .filter(tasks::ended_at.is_null())
                .filter(tasks::state.eq(state::RUNNING))
                .filter(tasks::instance_id.eq(id_column(instance.as_uuid())));
            let put_back = diesel::update(left)
                .set((
                    tasks::state.eq(state::PENDING),
                    tasks::instance_id.eq(None::<Vec<u8>>),
                    tasks::lease_expires_at.eq(None::<i64>),
                    tasks::interruptions.eq(tasks::interruptions + 1),
                ))
                .execute(connection)?;
            Ok(put_back)
        })?;
        Ok(put_back as u64)
    }

    fn finish(&self, lease: &Lease, outcome: TaskOutcome, now: Timestamp) -> Result<()> {
        let lease = *lease;
        self.write(move |connection| end(connection, &lease, outcome, now))
    }

    fn find(&self, scope: &Scope, id: TaskId) -> Result<Task> {
        match TaskQueue::get(self, id) {
            Ok(task) if !scope.covers(task.organization()) => Err(not_found(id)),
            result => result,
        }
    }

    fn get(&self, id: TaskId) -> Result<Task> {
        let key = id_column(id.as_uuid());
        let row = self.read(|connection| {
            let row = tasks::table
                .find(&key)
                .select(TaskRow::as_select())
                .first(connection)
                .optional()?;
            Ok(row)
        })?;
        let row: TaskRow = row.ok_or_else(|| not_found(id))?;
        row.try_into()
    }

    fn captures_of(&self, snapshots: &[SnapshotId]) -> Result<Vec<(SnapshotId, Progress)>> {
        let mut captures = Vec::new();
        for ids in snapshots.chunks(IDS_AT_ONCE) {
            let ids: Vec<_> = ids.iter().map(|id| id_column(id.as_uuid())).collect();
            let rows: Vec<(Option<Vec<u8>>, i64, i64)> = self.read(|connection| {
                let rows = tasks::table
                    .filter(tasks::ended_at.is_null())
                    .filter(tasks::kind.eq(kind::CAPTURE))
                    .filter(tasks::snapshot_id.eq_any(&ids))
                    .select((tasks::snapshot_id, tasks::done_bytes, tasks::total_bytes))
                    .load(connection)?;
                Ok(rows)
            })?;
            for (snapshot, done_bytes, total_bytes) in rows {
                let snapshot = SnapshotId::new(id("task", &snapshot.unwrap_or_default())?);
                captures.push((snapshot, row::progress(done_bytes, total_bytes)?));
            }
        }
        Ok(captures)
    }

    fn running_captures(&self) -> Result<Vec<SnapshotId>> {
        let rows: Vec<Option<Vec<u8>>> = self.read(|connection| {
            let rows = tasks::table
                .filter(tasks::ended_at.is_null())
                .filter(tasks::state.eq(state::RUNNING))
                .filter(tasks::kind.eq(kind::CAPTURE))
                .select(tasks::snapshot_id)
                .load(connection)?;
            Ok(rows)
        })?;
        rows.into_iter()
            .map(|snapshot| Ok(SnapshotId::new(id("task", &snapshot.unwrap_or_default())?)))
            .collect()
    }

    fn work_on(&self, volumes: &[VolumeId]) -> Result<Vec<(VolumeId, Progress)>> {
        let mut latest = HashMap::new();
        for ids in volumes.chunks(IDS_AT_ONCE) {
            let ids: Vec<_> = ids.iter().map(|id| id_column(id.as_uuid())).collect();
            let rows: Vec<(Option<Vec<u8>>, i64, i64)> = self.read(|connection| {
                let rows = tasks::table
                    .filter(tasks::ended_at.is_null())
                    .filter(tasks::cancel_requested.eq(false))
                    .filter(tasks::kind.eq(kind::CAPTURE).or(tasks::kind.eq(kind::RESTORE)))
                    .filter(tasks::volume_id.eq_any(&ids))
                    .order((tasks::created_at, tasks::id))
                    .select((tasks::volume_id, tasks::done_bytes, tasks::total_bytes))
                    .load(connection)?;
                Ok(rows)
            })?;
            for (volume, done_bytes, total_bytes) in rows {
                let volume = VolumeId::new(id("task", &volume.unwrap_or_default())?);
                latest.insert(volume, row::progress(done_bytes, total_bytes)?);
            }
        }
        Ok(latest.into_iter().collect())
    }
}

const fn not_found(id: TaskId) -> Error {
    Error::NotFound {
        resource: Resource::Task,
        id: id.as_uuid(),
    }
}

/// Gives the next task to an instance.
///
/// Fails as stale when its organization has too many running by it: several claims may have found the same place free.
fn claim_next(
    connection: &mut AnyConnection,
    instance: InstanceId,
    now: Timestamp,
    expires_at: Timestamp,
    quota: Quota,
) -> Outcome<Option<TaskRow>> {
    let Some((id, before)) = claim::next(connection, now.as_micros(), quotas::column(quota.tasks))? else {
        return Ok(None);
    };
    // Whoever held it until now neither ended it nor put it back.
    let interrupted = i64::from(before == state::RUNNING);
    execute_prepared!(
        connection,
        [
            Sql("UPDATE tasks SET epoch = epoch + 1, state = "),
            Word(state::RUNNING),
            Sql(", instance_id = "),
            Bytes(instance.as_uuid().as_bytes()),
            Sql(", lease_expires_at = "),
            Number(expires_at.as_micros()),
            Sql(", interruptions = interruptions + "),
            Number(interrupted),
            Sql(" WHERE id = "),
            Bytes(&id),
        ]
    )?;
    let row: TaskRow = tasks::table.find(&id).select(TaskRow::as_select()).first(connection)?;
    let takes_a_place = before == state::PENDING && row.counts_against_quota() && !row.cancel_requested;
    if takes_a_place && !quotas::tasks_fit(connection, &row.organization_id, quota)? {
        return Err(Error::Stale {
            resource: Resource::Task,
        }
        .into());
    }
    Ok(Some(row))
}

/// Stores a new task.
pub(crate) fn insert(connection: &mut AnyConnection, row: &TaskRow) -> Outcome<()> {
    insert_row!(connection, row).map_err(|error| refused(error, Resource::Task, &row.id, &row.organization_id))?;
    Ok(())
}

/// Ends a task that runs under this lease and was not called off.
pub(crate) fn end_unless_cancelled(
    connection: &mut AnyConnection,
    lease: &Lease,
    outcome: TaskOutcome,
    now: Timestamp,
) -> Outcome<()> {
    // Ending it first takes the row's lock, so that nobody can call it off between the two.
    end(connection, lease, outcome, now)?;
    if is_cancelled(connection, lease)? {
        return Err(Error::LeaseLost.into());
    }
    Ok(())
}

/// Notes what a salvage that has just ended could not bring back.
pub(crate) fn note_losses(connection: &mut AnyConnection, lease: &Lease, losses: Option<&str>) -> Outcome<()> {
    if losses.is_some() {
        diesel::update(tasks::table.find(id_column(lease.task.as_uuid())))
            .set(tasks::losses.eq(losses))
            .execute(connection)?;
    }
    Ok(())
}

/// Calls the copy into a snapshot off, if it has not ended.
pub(crate) fn call_off_capture_of(connection: &mut AnyConnection, snapshot: &[u8]) -> Outcome<()> {
    let capture = tasks::table
        .filter(tasks::ended_at.is_null())
        .filter(tasks::kind.eq(kind::CAPTURE))
        .filter(tasks::snapshot_id.eq(snapshot));
    diesel::update(capture)
        .set(tasks::cancel_requested.eq(true))
        .execute(connection)?;
    Ok(())
}

fn end(connection: &mut AnyConnection, lease: &Lease, outcome: TaskOutcome, now: Timestamp) -> Outcome<()> {
    let ended = match outcome {
        TaskOutcome::Succeeded => TaskStateName::Succeeded,
        TaskOutcome::Failed => TaskStateName::Failed,
        TaskOutcome::Cancelled => TaskStateName::Cancelled,
    };
    let epoch = number_column("task", lease.epoch)?;
    // What has ended well has done all that there was.
    let succeeded = i64::from(outcome == TaskOutcome::Succeeded);
    let changed = execute_prepared!(
        connection,
        [
            Sql("UPDATE tasks SET instance_id = NULL, lease_expires_at = NULL, state = "),
            Word(ended.as_str()),
            Sql(", ended_at = "),
            Number(now.as_micros()),
            Sql(", done_bytes = CASE "),
            Number(succeeded),
            Sql(" WHEN 1 THEN total_bytes ELSE done_bytes END WHERE "),
            Several(&held(lease.task.as_uuid().as_bytes(), epoch)),
        ]
    )?;
    only_if_held(changed)
}

/// The condition that a task runs under the lease with this epoch.
fn held(id: &[u8], epoch: i64) -> [Part<'_>; 6] {
    [
        Sql("id = "),
        Bytes(id),
        Sql(" AND state = "),
        Word(state::RUNNING),
        Sql(" AND epoch = "),
        Number(epoch),
    ]
}

fn only_if_held(changed: usize) -> Outcome<()> {
    if changed == 1 {
        Ok(())
    } else {
        Err(Error::LeaseLost.into())
    }
}

fn is_cancelled(connection: &mut AnyConnection, lease: &Lease) -> Outcome<bool> {
    let cancelled = tasks::table
        .find(id_column(lease.task.as_uuid()))
        .select(tasks::cancel_requested)
        .first(connection)?;
    Ok(cancelled)
}
