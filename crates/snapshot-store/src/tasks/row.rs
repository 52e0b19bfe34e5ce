//! A task as a row.

use diesel::{
    prelude::*,
    sql_types::{BigInt, Binary, Bool, Nullable, Text},
};
use snapshot_domain::{
    Error, InstanceId, Losses, OrganizationId, Progress, RequestId, RestoreMode, RestoreSource, SnapshotId, StoredTask,
    Task, TaskId, TaskState, TaskStateName, Timestamp, VolumeId, Work,
};

use crate::{
    columns::{self, Nonsense, id_column, number_column},
    row_insert::insert_into,
    schema::tasks,
};

const WHAT: &str = "task";

#[derive(Queryable, Selectable)]
#[diesel(table_name = tasks)]
pub(crate) struct TaskRow {
    pub(super) id: Vec<u8>,
    pub(super) organization_id: Vec<u8>,
    pub(super) kind: String,
    pub(super) snapshot_id: Option<Vec<u8>>,
    pub(super) volume_id: Option<Vec<u8>>,
    pub(super) domain_id: Option<Vec<u8>>,
    pub(super) request_id: Vec<u8>,
    pub(super) created_at: i64,
    pub(super) ended_at: Option<i64>,
    pub(super) state: String,
    pub(super) instance_id: Option<Vec<u8>>,
    pub(super) lease_expires_at: Option<i64>,
    pub(super) cancel_requested: bool,
    pub(super) done_bytes: i64,
    pub(super) total_bytes: i64,
    pub(super) epoch: i64,
    pub(super) losses: Option<String>,
    pub(super) salvage: bool,
    pub(super) interruptions: i64,
}

insert_into!("tasks", TaskRow {
    id: Binary,
    organization_id: Binary,
    kind: Text,
    snapshot_id: Nullable<Binary>,
    volume_id: Nullable<Binary>,
    domain_id: Nullable<Binary>,
    request_id: Binary,
    created_at: BigInt,
    ended_at: Nullable<BigInt>,
    state: Text,
    instance_id: Nullable<Binary>,
    lease_expires_at: Nullable<BigInt>,
    cancel_requested: Bool,
    done_bytes: BigInt,
    total_bytes: BigInt,
    epoch: BigInt,
    losses: Nullable<Text>,
    salvage: Bool,
    interruptions: BigInt,
});

/// The kinds as [`Work::kind`] calls them.
pub(super) mod kind {
    pub(in super::super) const CAPTURE: &str = "capture";
    pub(in super::super) const RESTORE: &str = "restore";
    pub(in super::super) const ERASE_VOLUME: &str = "erase_volume";
    pub(in super::super) const FORGET_SNAPSHOT: &str = "forget_snapshot";
}

impl TaskRow {
    /// As [`Work::counts_against_quota`].
    pub(super) fn counts_against_quota(&self) -> bool {
        matches!(self.kind.as_str(), kind::CAPTURE | kind::RESTORE)
    }
}

impl TryFrom<&Task> for TaskRow {
    type Error = Error;

    fn try_from(task: &Task) -> Result<Self, Error> {
        let (snapshot, volume, domain) = match *task.work() {
            Work::Capture {
                snapshot,
                volume,
                domain,
            } => (Some(snapshot), Some(volume), Some(domain)),
            Work::Restore { volume, source, .. } => (Some(source.snapshot), Some(volume), Some(source.domain)),
            Work::EraseVolume { volume } => (None, Some(volume), None),
            Work::ForgetSnapshot { snapshot, domain } => (Some(snapshot), None, Some(domain)),
        };
        let (instance, lease_expires_at) = match *task.state() {
            TaskState::Running { instance, expires_at } => (Some(instance), Some(expires_at)),
            TaskState::Pending | TaskState::Succeeded | TaskState::Failed | TaskState::Cancelled => (None, None),
        };
        Ok(Self {
            id: id_column(task.id().as_uuid()),
            organization_id: id_column(task.organization().as_uuid()),
            kind: task.work().kind().to_owned(),
            snapshot_id: snapshot.map(|id| id_column(id.as_uuid())),
            volume_id: volume.map(|id| id_column(id.as_uuid())),
            domain_id: domain.map(|id| id_column(id.as_uuid())),
            request_id: id_column(task.request().as_uuid()),
            created_at: task.created_at().as_micros(),
            ended_at: task.ended_at().map(Timestamp::as_micros),
            state: task.state().name().as_str().to_owned(),
            instance_id: instance.map(|id| id_column(id.as_uuid())),
            lease_expires_at: lease_expires_at.map(Timestamp::as_micros),
            cancel_requested: task.cancel_requested(),
            done_bytes: number_column(WHAT, task.progress().done_bytes)?,
            total_bytes: number_column(WHAT, task.progress().total_bytes)?,
            epoch: number_column(WHAT, task.epoch())?,
            losses: task.losses().map(Losses::to_string),
            salvage: matches!(
                task.work(),
                Work::Restore {
                    mode: RestoreMode::Salvage,
                    ..
                }
            ),
            interruptions: task.interruptions().into(),
        })
    }
}

impl TryFrom<TaskRow> for Task {
    type Error = Error;

    fn try_from(row: TaskRow) -> Result<Self, Error> {
        let ended_at = row.ended_at.map(|at| columns::moment(WHAT, at)).transpose()?;
        Ok(Self::from_stored(StoredTask {
            id: TaskId::new(columns::id(WHAT, &row.id)?),
            organization: OrganizationId::new(columns::id(WHAT, &row.organization_id)?),
            work: work(&row)?,
            request: RequestId::new(columns::id(WHAT, &row.request_id)?),
            created_at: columns::moment(WHAT, row.created_at)?,
            ended_at,
            state: state(&row)?,
            cancel_requested: row.cancel_requested,
            progress: progress(row.done_bytes, row.total_bytes)?,
            losses: columns::losses(WHAT, row.losses.as_deref())?,
            epoch: columns::number(WHAT, row.epoch)?,
            interruptions: columns::number(WHAT, row.interruptions)?,
        }))
    }
}

pub(super) fn progress(done_bytes: i64, total_bytes: i64) -> Result<Progress, Error> {
    Ok(Progress {
        done_bytes: columns::number(WHAT, done_bytes)?,
        total_bytes: columns::number(WHAT, total_bytes)?,
    })
}

fn work(row: &TaskRow) -> Result<Work, Error> {
    let id = |column: &Option<Vec<u8>>| column.as_deref().map(|id| columns::id(WHAT, id)).transpose();
    let snapshot = id(&row.snapshot_id)?.map(SnapshotId::new);
    let volume = id(&row.volume_id)?.map(VolumeId::new);
    let domain = id(&row.domain_id)?.map(OrganizationId::new);
    let mode = if row.salvage {
        RestoreMode::Salvage
    } else {
        RestoreMode::Whole
    };
    match (row.kind.as_str(), snapshot, volume, domain) {
        (kind::CAPTURE, Some(snapshot), Some(volume), Some(domain)) => Ok(Work::Capture {
            snapshot,
            volume,
            domain,
        }),
        (kind::RESTORE, Some(snapshot), Some(volume), Some(domain)) => Ok(Work::Restore {
            volume,
            source: RestoreSource { snapshot, domain },
            mode,
        }),
        (kind::ERASE_VOLUME, None, Some(volume), None) => Ok(Work::EraseVolume { volume }),
        (kind::FORGET_SNAPSHOT, Some(snapshot), None, Some(domain)) => Ok(Work::ForgetSnapshot { snapshot, domain }),
        (kind::CAPTURE | kind::RESTORE | kind::ERASE_VOLUME | kind::FORGET_SNAPSHOT, ..) => {
            Err(Error::corrupt(WHAT, Nonsense::Combination(row.kind.clone())))
        }
        (unknown, ..) => Err(columns::unknown_word(WHAT, unknown, "kind of task")),
    }
}

fn state(row: &TaskRow) -> Result<TaskState, Error> {
    let name =
        TaskStateName::parse(&row.state).ok_or_else(|| columns::unknown_word(WHAT, &row.state, "state of a task"))?;
    match (name, row.instance_id.as_deref(), row.lease_expires_at) {
        (TaskStateName::Running, Some(instance), Some(expires_at)) => Ok(TaskState::Running {
            instance: InstanceId::new(columns::id(WHAT, instance)?),
            expires_at: columns::moment(WHAT, expires_at)?,
        }),
        (TaskStateName::Pending, None, None) => Ok(TaskState::Pending),
        (TaskStateName::Succeeded, None, None) => Ok(TaskState::Succeeded),
        (TaskStateName::Failed, None, None) => Ok(TaskState::Failed),
        (TaskStateName::Cancelled, None, None) => Ok(TaskState::Cancelled),
        _ => Err(Error::corrupt(WHAT, Nonsense::Combination(row.state.clone()))),
    }
}
