//! Work on the vault as a whole: [`MaintenanceQueue`].

use diesel::{
    dsl::{exists, not},
    prelude::*,
};
use snapshot_domain::{
    AskedBy, Error, InstanceId, MaintenanceJob, MaintenanceKind, MaintenanceRun, Resource, Result, RunId, RunLease,
    RunOutcome, RunState, Timestamp, ports::MaintenanceQueue,
};

use crate::{
    Store,
    columns::{self, Nonsense, id_column, number_column, unknown_word},
    connection::AnyConnection,
    failure::{Outcome, is_taken},
    schema::maintenance_runs::{self as runs, table},
};

const WHAT: &str = "run of maintenance";

mod state {
    pub(super) const PENDING: &str = "pending";
    pub(super) const RUNNING: &str = "running";
    pub(super) const SUCCEEDED: &str = "succeeded";
    pub(super) const FAILED: &str = "failed";
}

diesel::alias!(runs as others: Others);

#[derive(Queryable, Selectable, Insertable)]
#[diesel(table_name = runs)]
#[diesel(treat_none_as_default_value = false)]
struct RunRow {
    id: Vec<u8>,
    kind: String,
    dry_run: bool,
    asked_by: String,
    asked_at: i64,
    state: String,
    instance_id: Option<Vec<u8>>,
    lease_expires_at: Option<i64>,
    epoch: i64,
    note: Option<String>,
    ended_at: Option<i64>,
    report: Option<String>,
}

impl MaintenanceQueue for Store {
    fn ask(&self, run: &MaintenanceRun) -> Result<()> {
        let id = run.id;
        let row = RunRow::try_from(run)?;
        let stored = self.try_write(move |connection| {
            diesel::insert_into(table).values(&row).execute(connection)?;
            Ok(())
        });
        match stored {
            Err(failure) if is_taken(&failure) => Err(Error::AlreadyExists {
                resource: Resource::Run,
                id: id.as_uuid(),
            }),
            other => other.map_err(Error::from),
        }
    }

    fn claim(&self, instance: InstanceId, now: Timestamp, expires_at: Timestamp) -> Result<Option<MaintenanceRun>> {
        let claimed = self.try_write(move |connection| claim(connection, instance, now, expires_at));
        match claimed {
            // Somebody else claimed one of the same kind at the same moment.
            Err(failure) if is_taken(&failure) => Ok(None),
            Err(failure) => Err(failure.into()),
            Ok(row) => row.map(MaintenanceRun::try_from).transpose(),
        }
    }

    fn renew(&self, lease: &RunLease, note: Option<String>, expires_at: Timestamp) -> Result<()> {
        let (id, epoch) = key(lease)?;
        self.write(move |connection| {
            let renewed = diesel::update(table.filter(held(id.clone(), epoch)))
                .set((
                    runs::lease_expires_at.eq(expires_at.as_micros()),
                    runs::note.eq(note.as_deref()),
                ))
                .execute(connection)?;
            only_if_held(renewed)
        })
    }

    fn put_back(&self, lease: &RunLease) -> Result<()> {
        let (id, epoch) = key(lease)?;
        self.write(move |connection| {
            let put_back = diesel::update(table.filter(held(id.clone(), epoch)))
                .set(pending())
                .execute(connection)?;
            only_if_held(put_back)
        })
    }

    fn put_back_all(&self, instance: InstanceId) -> Result<u64> {
        let put_back = self.write(move |connection| {
            let left = table
                .filter(runs::ended_at.is_null())
                .filter(runs::state.eq(state::RUNNING))
                .filter(runs::instance_id.eq(id_column(instance.as_uuid())));
            Ok(diesel::update(left).set(pending()).execute(connection)?)
        })?;
        Ok(put_back as u64)
    }

    fn finish(&self, lease: &RunLease, outcome: &RunOutcome, now: Timestamp) -> Result<()> {
        let (id, epoch) = key(lease)?;
        let (state, report) = match outcome.clone() {
            RunOutcome::Succeeded { report } => (state::SUCCEEDED, report),
            RunOutcome::Failed { reason } => (state::FAILED, reason),
        };
        self.write(move |connection| {
            let finished = diesel::update(table.filter(held(id.clone(), epoch)))
                .set((
                    runs::state.eq(state),
                    runs::instance_id.eq(None::<Vec<u8>>),
                    runs::lease_expires_at.eq(None::<i64>),
                    runs::note.eq(None::<String>),
                    runs::ended_at.eq(now.as_micros()),
                    runs::report.eq(report.as_str()),
                ))
                .execute(connection)?;
            only_if_held(finished)
        })
    }

    fn get(&self, id: RunId) -> Result<MaintenanceRun> {
        let key = id_column(id.as_uuid());
        let row: Option<RunRow> = self.read(|connection| {
            let row = table.find(&key).select(RunRow::as_select()).first(connection);
            Ok(row.optional()?)
        })?;
        let not_found = Error::NotFound {
            resource: Resource::Run,
            id: id.as_uuid(),
        };
        row.ok_or(not_found)?.try_into()
    }

    fn latest(&self, kind: MaintenanceKind, until: Timestamp) -> Result<Option<MaintenanceRun>> {
        let row: Option<RunRow> = self.read(|connection| {
            let until = runs::asked_at.le(until.as_micros());
            let row = latest(kind).filter(until).select(RunRow::as_select()).first(connection);
            Ok(row.optional()?)
        })?;
        row.map(MaintenanceRun::try_from).transpose()
    }

    fn forget_ended_before(&self, moment: Timestamp) -> Result<u64> {
        let forgotten = self.write(move |connection| {
            let mut kept: Vec<Vec<u8>> = Vec::new();
            for kind in MaintenanceKind::ALL {
                kept.extend(latest(kind).select(runs::id).first(connection).optional()?);
            }
            let old = table
                .filter(runs::ended_at.lt(moment.as_micros()))
                .filter(runs::id.ne_all(kept));
            Ok(diesel::delete(old).execute(connection)?)
        })?;
        Ok(forgotten as u64)
    }
}

/// SQLite has one writer. On PostgreSQL two may choose the same run, or two of one kind: the index that has the running
/// ones refuses the second one, or the condition of its update finds the run taken.
fn claim(
    connection: &mut AnyConnection,
    instance: InstanceId,
    now: Timestamp,
    expires_at: Timestamp,
) -> Outcome<Option<RunRow>> {
    let one_runs = exists(
        others
            .filter(others.field(runs::state).eq(state::RUNNING))
            .filter(others.field(runs::kind).eq(runs::kind)),
    );
    let waits = runs::state.eq(state::PENDING).and(not(one_runs));
    let expired = runs::lease_expires_at.le(now.as_micros()).assume_not_null();
    let next: Option<(Vec<u8>, i64)> = table
        .filter(runs::ended_at.is_null())
        .filter(waits.or(expired))
        .order((runs::asked_at, runs::id))
        .select((runs::id, runs::epoch))
        .first(connection)
        .optional()?;
    let Some((id, epoch)) = next else { return Ok(None) };
    let claimed = diesel::update(table.find(&id).filter(runs::epoch.eq(epoch)))
        .set((
            runs::state.eq(state::RUNNING),
            runs::instance_id.eq(id_column(instance.as_uuid())),
            runs::lease_expires_at.eq(expires_at.as_micros()),
            runs::note.eq(None::<String>),
            runs::epoch.eq(epoch + 1),
        ))
        .execute(connection)?;
    if claimed == 0 {
        return Ok(None);
    }
    let row = table.find(&id).select(RunRow::as_select()).first(connection)?;
    Ok(Some(row))
}

#[diesel::dsl::auto_type(no_type_alias)]
fn latest(kind: MaintenanceKind) -> _ {
    let name: &'static str = kind.as_str();
    table
        .filter(runs::kind.eq(name))
        .filter(runs::dry_run.eq(false))
        .order((runs::asked_at.desc(), runs::id.desc()))
}

#[diesel::dsl::auto_type(no_type_alias)]
fn held(id: Vec<u8>, epoch: i64) -> _ {
    let running: &'static str = state::RUNNING;
    runs::id.eq(id).and(runs::epoch.eq(epoch)).and(runs::state.eq(running))
}

#[diesel::dsl::auto_type(no_type_alias)]
fn pending() -> _ {
    let pending: &'static str = state::PENDING;
    let nobody: Option<Vec<u8>> = None;
    let never: Option<i64> = None;
    let nothing: Option<String> = None;
    (
        runs::state.eq(pending),
        runs::instance_id.eq(nobody),
        runs::lease_expires_at.eq(never),
        runs::note.eq(nothing),
    )
}

fn key(lease: &RunLease) -> Result<(Vec<u8>, i64)> {
    Ok((id_column(lease.run.as_uuid()), number_column(WHAT, lease.epoch)?))
}

fn only_if_held(changed: usize) -> Outcome<()> {
    if changed == 1 {
        Ok(())
    } else {
        Err(Error::LeaseLost.into())
    }
}

impl TryFrom<&MaintenanceRun> for RunRow {
    type Error = Error;

    fn try_from(run: &MaintenanceRun) -> Result<Self> {
        let mut row = Self {
            id: id_column(run.id.as_uuid()),
            kind: run.job.kind().as_str().to_owned(),
            dry_run: run.job.is_dry_run(),
            asked_by: run.asked_by.as_str().to_owned(),
            asked_at: run.asked_at.as_micros(),
            state: state::PENDING.to_owned(),
            instance_id: None,
            lease_expires_at: None,
            epoch: number_column(WHAT, run.epoch)?,
            note: None,
            ended_at: run.ended_at().map(Timestamp::as_micros),
            report: None,
        };
        match run.state.clone() {
            RunState::Pending => {}
            RunState::Running {
                instance,
                expires_at,
                note,
            } => {
                state::RUNNING.clone_into(&mut row.state);
                row.instance_id = Some(id_column(instance.as_uuid()));
                row.lease_expires_at = Some(expires_at.as_micros());
                row.note = note;
            }
            RunState::Succeeded { report, .. } => {
                state::SUCCEEDED.clone_into(&mut row.state);
                row.report = Some(report);
            }
            RunState::Failed { reason, .. } => {
                state::FAILED.clone_into(&mut row.state);
                row.report = Some(reason);
            }
        }
        Ok(row)
    }
}

impl TryFrom<RunRow> for MaintenanceRun {
    type Error = Error;

    fn try_from(row: RunRow) -> Result<Self> {
        let kind =
            MaintenanceKind::parse(&row.kind).ok_or_else(|| unknown_word(WHAT, &row.kind, "kind of maintenance"))?;
        Ok(Self {
            id: RunId::new(columns::id(WHAT, &row.id)?),
            job: MaintenanceJob::from_stored(kind, row.dry_run)
                .ok_or_else(|| Error::corrupt(WHAT, Nonsense::Combination(row.kind.clone())))?,
            asked_by: AskedBy::parse(&row.asked_by)
                .ok_or_else(|| unknown_word(WHAT, &row.asked_by, "asker of maintenance"))?,
            asked_at: columns::moment(WHAT, row.asked_at)?,
            epoch: columns::number(WHAT, row.epoch)?,
            state: run_state(row)?,
        })
    }
}

fn run_state(row: RunRow) -> Result<RunState> {
    let moment = |at| columns::moment(WHAT, at);
    match (
        row.state.as_str(),
        row.instance_id,
        row.lease_expires_at,
        row.ended_at,
        row.report,
    ) {
        (state::PENDING, None, None, None, None) => Ok(RunState::Pending),
        (state::RUNNING, Some(instance), Some(expires_at), None, None) => Ok(RunState::Running {
            instance: InstanceId::new(columns::id(WHAT, &instance)?),
            expires_at: moment(expires_at)?,
            note: row.note,
        }),
        (state::SUCCEEDED, None, None, Some(ended_at), Some(report)) => Ok(RunState::Succeeded {
            ended_at: moment(ended_at)?,
            report,
        }),
        (state::FAILED, None, None, Some(ended_at), Some(reason)) => Ok(RunState::Failed {
            ended_at: moment(ended_at)?,
            reason,
        }),
        (state::PENDING | state::RUNNING | state::SUCCEEDED | state::FAILED, ..) => {
            Err(Error::corrupt(WHAT, Nonsense::Combination(row.state)))
        }
        _ => Err(unknown_word(WHAT, &row.state, "state of a run")),
    }
}
