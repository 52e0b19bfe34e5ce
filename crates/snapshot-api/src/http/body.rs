//! Snapshots, volumes and tasks as clients see them. Structs of their own, so that a change inside never changes the API.

mod text;

use std::fmt;

use serde::{Serialize, Serializer};
use snapshot_domain::{
    Losses, OrganizationId, RestoreMode, Snapshot, SnapshotId, SnapshotState, Tag, Tags, Task, TaskState, Timestamp,
    Volume, VolumeId, VolumeState, Work, use_case::Tracked,
};
use utoipa::ToSchema;

use super::{generation::Generation, openapi::words, shown};

/// Room for the JSON of a snapshot or a volume, so that most are written without being moved.
pub(super) const USUAL_BYTES: usize = 768;

/// A snapshot.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Snapshot)]
pub(super) struct SnapshotBody<'a> {
    /// The volume as it was called at the moment of the snapshot.
    base_volume: BaseVolumeBody<'a>,
    #[schema(value_type = String, format = DateTime, examples("2014-05-22T12:10:05.596769+00:00"))]
    creation_date: Written<Timestamp>,
    #[schema(value_type = String, format = Uuid, examples("6f418e5f-b42d-4423-a0b5-349c74c454a4"))]
    id: Written<SnapshotId>,
    #[schema(min_length = 1, max_length = 128, examples("snapshot-1"))]
    name: &'a str,
    #[schema(value_type = String, format = Uuid, examples("000a115d-2852-4b0a-9ce8-47f1134ba95a"))]
    organization: Written<OrganizationId>,
    /// Bytes.
    #[schema(minimum = 512, maximum = 17_592_186_044_416_u64, multiple_of = 512)]
    size: u64,
    #[schema(schema_with = words::snapshot_state, required)]
    state: &'static str,
    #[schema(schema_with = words::volume_type, required)]
    volume_type: &'static str,
    /// The same as `organization`.
    #[schema(value_type = String, format = Uuid, examples("000a115d-2852-4b0a-9ce8-47f1134ba95a"))]
    project: Written<OrganizationId>,
    #[schema(value_type = String, format = DateTime, examples("2014-05-22T12:10:05.596769+00:00"))]
    modification_date: Written<Timestamp>,
    #[schema(value_type = Vec<String>)]
    tags: TagTexts<'a>,
    zone: &'a str,
    /// Why it ended in `error`.
    error_reason: Option<&'a str>,
    /// Of the content, once it is whole.
    #[schema(examples("blake3-131072:71e0a99173564931c0b8acc52d2685a8e39c64dc52e3d02390fdac2a12b155cb"))]
    digest: Option<&'a str>,
    /// What is known of the stored bytes.
    #[schema(schema_with = words::health, required)]
    health: &'static str,
    #[schema(value_type = Option<String>, format = DateTime)]
    verified_at: Option<Written<Timestamp>>,
    /// Bytes that it added when it was made.
    stored_size: Option<u64>,
    /// Bytes that deleting it now would free, while that is known. Null of a snapshot that was made for another organization.
    exclusive_size: Option<u64>,
    /// Percent, while it is worked on.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(maximum = 100)]
    progress: Option<u8>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = BaseVolume)]
struct BaseVolumeBody<'a> {
    #[schema(value_type = String, format = Uuid, examples("701a8946-ff9d-4579-95e3-1c2c2d1f892d"))]
    id: Written<VolumeId>,
    name: &'a str,
}

/// Written as it reads, without a text in between: lists are full of dates and ids.
#[derive(Debug)]
struct Written<T>(T);

impl<T: fmt::Display> Serialize for Written<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

/// Tags as a list of texts.
#[derive(Debug)]
struct TagTexts<'a>(&'a Tags);

impl Serialize for TagTexts<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.as_slice().iter().map(Tag::as_str))
    }
}

/// A volume.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Volume)]
pub(super) struct VolumeBody {
    #[schema(format = Uuid, examples("701a8946-ff9d-4579-95e3-1c2c2d1f892d"))]
    id: String,
    #[schema(min_length = 1, max_length = 128, examples("snapshot-1"))]
    name: String,
    #[schema(format = Uuid, examples("000a115d-2852-4b0a-9ce8-47f1134ba95a"))]
    organization: String,
    /// The same as `organization`.
    #[schema(format = Uuid, examples("000a115d-2852-4b0a-9ce8-47f1134ba95a"))]
    project: String,
    /// Bytes.
    #[schema(minimum = 512, maximum = 17_592_186_044_416_u64, multiple_of = 512)]
    size: u64,
    #[schema(schema_with = words::volume_type, required)]
    volume_type: &'static str,
    #[schema(schema_with = words::volume_state, required)]
    state: &'static str,
    #[schema(format = DateTime, examples("2014-05-22T12:10:05.596769+00:00"))]
    creation_date: String,
    #[schema(format = DateTime, examples("2014-05-22T12:10:05.596769+00:00"))]
    modification_date: String,
    tags: Vec<String>,
    zone: String,
    /// Clients of the original API expect the key; there is nothing to put there.
    export_uri: Option<String>,
    /// The same: this service knows no servers.
    server: Option<String>,
    /// The snapshot that it was filled from.
    #[schema(format = Uuid)]
    base_snapshot: Option<String>,
    /// What the base snapshot had lost when the volume was filled with what was whole of it.
    salvage: Option<SalvageBody>,
    /// Why it ended in `error`.
    error_reason: Option<String>,
    /// Percent, while it is worked on.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(maximum = 100)]
    progress: Option<u8>,
}

/// A task.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Task)]
pub(super) struct TaskBody {
    #[schema(format = Uuid, examples("b7dd3c91-2ea6-4a73-a2ca-1e3b1d2f7e57"))]
    id: String,
    /// What is done: a sentence without a full stop.
    description: String,
    /// Percent.
    #[schema(maximum = 100)]
    progress: u8,
    #[schema(schema_with = words::task_status, required)]
    status: &'static str,
    /// When it was asked for.
    #[schema(format = DateTime, examples("2014-05-22T12:10:05.596769+00:00"))]
    started_at: String,
    #[schema(format = DateTime)]
    terminated_at: Option<String>,
    /// Where it was asked for.
    href_from: String,
    /// What it works on; nothing where it removes something.
    href_result: Option<String>,
    zone: String,
    /// What a salvage could not bring back, once it has ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    salvage: Option<SalvageBody>,
}

/// What a salvage could not bring back: zeros lie there.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Salvage)]
struct SalvageBody {
    damaged_bytes: u64,
    damaged_ranges: Vec<RangeBody>,
    /// Whether there are more ranges than are listed.
    more_ranges: bool,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DamagedRange)]
struct RangeBody {
    first: u64,
    last: u64,
}

/// `{"snapshot": …}`, with its task where that is told.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct OneSnapshot<'a> {
    snapshot: SnapshotBody<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    task: Option<TaskBody>,
}

/// `{"volume": …}`, with its task where that is told.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct OneVolume {
    volume: VolumeBody,
    #[serde(skip_serializing_if = "Option::is_none")]
    task: Option<TaskBody>,
}

/// `{"task": …}`
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct OneTask {
    task: TaskBody,
}

impl<'a> OneSnapshot<'a> {
    /// Presents a snapshot.
    pub(super) fn new(snapshot: &'a Tracked<Snapshot>, zone: &'a str) -> Self {
        Self {
            snapshot: SnapshotBody::new(snapshot, zone),
            task: None,
        }
    }

    /// Tells of the task that works on it too.
    pub(super) fn with(self, task: &Task, generation: &Generation) -> Self {
        let task = Some(TaskBody::new(task, generation));
        Self { task, ..self }
    }

    /// The JSON.
    pub(super) fn json(&self) -> String {
        let Self { snapshot, task } = self;
        let mut json = Vec::with_capacity(USUAL_BYTES);
        json.extend_from_slice(b"{\"snapshot\":");
        snapshot.write(&mut json);
        if let Some(task) = task {
            json.extend_from_slice(b",\"task\":");
            shown::write(&mut json, task);
        }
        json.push(b'}');
        String::from_utf8(json).expect("texts are written whole, and everything else is ASCII")
    }
}

impl OneVolume {
    /// Presents a volume.
    pub(super) fn new(volume: &Tracked<Volume>, zone: &str) -> Self {
        Self {
            volume: VolumeBody::new(volume, zone),
            task: None,
        }
    }

    /// Tells of the task that works on it too.
    pub(super) fn with(self, task: &Task, generation: &Generation) -> Self {
        let task = Some(TaskBody::new(task, generation));
        Self { task, ..self }
    }
}

impl OneTask {
    /// Presents a task.
    pub(super) fn new(task: &Task, generation: &Generation) -> Self {
        Self {
            task: TaskBody::new(task, generation),
        }
    }
}

impl<'a> SnapshotBody<'a> {
    /// Presents a snapshot.
    pub(super) fn new(snapshot: &'a Tracked<Snapshot>, zone: &'a str) -> Self {
        let Tracked {
            item,
            progress,
            exclusive_bytes,
        } = snapshot;
        let (content, error_reason) = match item.state() {
            SnapshotState::Snapshotting => (None, None),
            SnapshotState::Available(content) => (Some(content), None),
            SnapshotState::Error { reason } => (None, Some(reason.as_str())),
        };
        Self {
            base_volume: BaseVolumeBody {
                id: Written(item.base_volume().id),
                name: item.base_volume().name.as_str(),
            },
            creation_date: Written(item.created_at()),
            id: Written(item.id()),
            name: item.name().as_str(),
            organization: Written(item.organization()),
            size: item.size().as_bytes(),
            state: item.state().name().as_str(),
            volume_type: item.volume_type().as_str(),
            project: Written(item.organization()),
            modification_date: Written(item.modified_at()),
            tags: TagTexts(item.tags()),
            zone,
            error_reason,
            digest: content.map(|content| content.digest.as_str()),
            health: item.health().name().as_str(),
            verified_at: item.health().verified_at().map(Written),
            stored_size: content.map(|content| content.stored_bytes),
            exclusive_size: *exclusive_bytes,
            progress: progress.map(snapshot_domain::Progress::percent),
        }
    }
}

impl VolumeBody {
    /// Presents a volume.
    pub(super) fn new(volume: &Tracked<Volume>, zone: &str) -> Self {
        let Tracked { item, progress, .. } = volume;
        let Owner { organization, project } = Owner::new(item.organization());
        let error_reason = match item.state() {
            VolumeState::Error { reason } => Some(reason.clone()),
            VolumeState::Available { .. } | VolumeState::Saving | VolumeState::Fetching => None,
        };
        Self {
            id: item.id().to_string(),
            name: item.name().to_string(),
            organization,
            project,
            size: item.size().as_bytes(),
            volume_type: item.volume_type().as_str(),
            state: item.state().name().as_str(),
            creation_date: item.created_at().to_string(),
            modification_date: item.modified_at().to_string(),
            tags: texts(item.tags()),
            zone: zone.to_owned(),
            export_uri: None,
            server: None,
            base_snapshot: item.base_snapshot().map(|id| id.to_string()),
            salvage: item.losses().map(SalvageBody::new),
            error_reason,
            progress: progress.map(snapshot_domain::Progress::percent),
        }
    }
}

impl TaskBody {
    fn new(task: &Task, generation: &Generation) -> Self {
        let (description, from, result) = match task.work() {
            Work::Capture { snapshot, volume, .. } => (
                format!("Copy volume {volume} into snapshot {snapshot}"),
                "/snapshots".to_owned(),
                Some(format!("/snapshots/{snapshot}")),
            ),
            Work::Restore { volume, source, mode } => (
                match mode {
                    RestoreMode::Whole => format!("Fill volume {volume} from snapshot {}", source.snapshot),
                    RestoreMode::Salvage => format!(
                        "Fill volume {volume} with what is whole of snapshot {}",
                        source.snapshot
                    ),
                },
                "/volumes".to_owned(),
                Some(format!("/volumes/{volume}")),
            ),
            Work::EraseVolume { volume } => (
                format!("Remove the bytes of volume {volume}"),
                format!("/volumes/{volume}"),
                None,
            ),
            Work::ForgetSnapshot { snapshot, .. } => (
                format!("Remove the bytes of snapshot {snapshot}"),
                format!("/snapshots/{snapshot}"),
                None,
            ),
        };
        let progress = match task.state() {
            // Removing something has no bytes to count.
            TaskState::Succeeded => 100,
            _ => task.progress().percent(),
        };
        Self {
            id: task.id().to_string(),
            description,
            progress,
            status: status(task),
            started_at: task.created_at().to_string(),
            terminated_at: task.ended_at().as_ref().map(Timestamp::to_string),
            href_from: generation.path(&from),
            href_result: result.map(|path| generation.path(&path)),
            zone: generation.zone().to_owned(),
            salvage: task.losses().map(SalvageBody::new),
        }
    }
}

impl SalvageBody {
    fn new(losses: &Losses) -> Self {
        let ranges = losses.ranges().iter().map(|range| RangeBody {
            first: range.start,
            last: range.end - 1,
        });
        Self {
            damaged_bytes: losses.bytes(),
            damaged_ranges: ranges.collect(),
            more_ranges: losses.has_more(),
        }
    }
}

/// The words for where a task is that clients know.
const fn status(task: &Task) -> &'static str {
    match task.state() {
        TaskState::Pending if task.epoch() == 0 => "pending",
        // Somebody had begun, and could not go on.
        TaskState::Pending => "retry",
        TaskState::Running { .. } => "started",
        TaskState::Succeeded => "success",
        TaskState::Failed | TaskState::Cancelled => "failure",
    }
}

/// Who owns something, under the two names that clients know.
struct Owner {
    organization: String,
    project: String,
}

impl Owner {
    fn new(id: OrganizationId) -> Self {
        Self {
            organization: id.to_string(),
            project: id.to_string(),
        }
    }
}

fn texts(tags: &Tags) -> Vec<String> {
    tags.as_slice().iter().map(Tag::as_str).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use snapshot_domain::{
        Lease, Progress, TaskOutcome,
        testing::{a_capture, a_snapshot, a_task, a_volume, an_instance, an_organization_id, moment},
    };

    use super::*;

    fn a_copy() -> Task {
        let organization = an_organization_id();
        let volume = a_volume(organization).sized(1 << 20).build();
        a_capture(&a_snapshot(organization).of(&volume).build()).build()
    }

    fn claim(task: &mut Task) -> Lease {
        task.claim(an_instance(), moment(1), moment(2)).unwrap()
    }

    #[track_caller]
    fn check(task: &Task, status: &str, progress: u8) {
        let zone = "a-1".to_owned();
        let body = serde_json::to_value(TaskBody::new(task, &Generation::Original { zone })).unwrap();
        assert_eq!((&body["status"], &body["progress"]), (&json!(status), &json!(progress)));
    }

    #[test]
    fn a_task_is_told_in_the_words_that_clients_know() {
        let mut task = a_copy();
        check(&task, "pending", 0);
        let lease = claim(&mut task);
        let half = Progress {
            done_bytes: 1 << 19,
            total_bytes: 1 << 20,
        };
        task.renew(&lease, half, moment(3)).unwrap();
        check(&task, "started", 50);
        task.put_back(&lease).unwrap();
        check(&task, "retry", 50);
        let lease = claim(&mut task);
        let ended = |outcome| {
            let mut task = task.clone();
            task.finish(&lease, outcome, moment(4)).unwrap();
            task
        };
        check(&ended(TaskOutcome::Succeeded), "success", 100);
        check(&ended(TaskOutcome::Failed), "failure", 50);
        check(&ended(TaskOutcome::Cancelled), "failure", 50);
    }

    #[test]
    fn a_removal_has_no_result_and_ends_with_all_its_progress() {
        let volume = a_volume(an_organization_id()).build().id();
        let mut task = a_task(an_organization_id(), Work::EraseVolume { volume }).build();
        let lease = claim(&mut task);
        task.finish(&lease, TaskOutcome::Succeeded, moment(4)).unwrap();
        let zone = "a-1".to_owned();

        let body = serde_json::to_value(TaskBody::new(&task, &Generation::Zoned { zone })).unwrap();

        assert_eq!(body["progress"], 100);
        assert_eq!(body["href_result"], Value::Null);
        assert_eq!(body["href_from"], format!("/instance/v1/zones/a-1/volumes/{volume}"));
    }
}
