//! `/volumes`

use actix_web::{
    HttpRequest, HttpResponse,
    web::{Data, Payload},
};
use snapshot_domain::{
    AuditAction, Caller, Error, RequestId, RestoreMode, Result as DomainResult, Scope, Task, Volume, VolumeChanges,
    VolumeId, VolumeType,
    ports::{Slice, VolumeCursor, VolumeQuery},
    use_case::{Begun, CreateVolume, RestoreVolume, Tracked},
};

use super::volume_id;
use crate::http::{
    Api,
    answer::Answer,
    audited::{deed_on, making},
    blocking::on_pool,
    body::{OneVolume, VolumeBody},
    caller::identify,
    error::ApiError,
    field::{self, Fields},
    generation::Generation,
    json,
    list::{self, Listed},
    once::{self, Once},
    openapi::{parameters, requests},
    precondition, request_id,
    shown::{self, Shown},
    wait,
};

/// Makes a volume: an empty one, or one that is filled from a snapshot in the background.
#[utoipa::path(
    post, path = "/volumes", operation_id = "create_volume", tag = "volumes",
    params(parameters::Salvaging, parameters::Once),
    request_body = requests::NewVolume,
    responses((status = 201, description = "The volume", body = OneVolume,
        headers(("Location" = String, description = "Its path"), ("ETag" = String, description = "Names this very state")))),
)]
pub(super) async fn create(api: Data<Api>, request: HttpRequest, payload: Payload) -> Result<HttpResponse, ApiError> {
    let caller = identify(&api, &request).await?;
    let generation = Generation::of(&api, &request);
    let query = Fields::of_query(request.query_string())?;
    let command = creation(query, json::object(&api, &request, payload).await?, &generation)?;
    let request_id = request_id::of(&request);
    let once = once::of(&request);
    let created = on_pool(move || command.act(&api, &caller, request_id, &generation, once.as_ref()));
    Ok(created.await?.respond())
}

fn creation_answer(volume: &Volume, task: Option<&Task>, generation: &Generation) -> Answer {
    let tracked = Tracked {
        item: volume.clone(),
        progress: task.map(Task::progress),
        exclusive_bytes: None,
    };
    let shown = Shown::volume(&tracked, generation.zone());
    let body = match (generation, task) {
        (Generation::Zoned { .. }, Some(task)) => {
            shown::json(&OneVolume::new(&tracked, generation.zone()).with(task, generation))
        }
        (Generation::Original { .. }, _) | (Generation::Zoned { .. }, None) => shown.json,
    };
    Answer {
        status: 201,
        location: Some(generation.path(&format!("/volumes/{}", volume.id()))),
        etag: Some(shown.tag),
        body,
    }
}

/// Lists volumes, the oldest first.
#[utoipa::path(
    get, path = "/volumes", operation_id = "list_volumes", tag = "volumes",
    params(parameters::Cut, parameters::VolumeFilters),
    responses((status = 200, description = "The volumes", body = requests::Volumes,
        headers(
            ("X-Total-Count" = u64, description = "How many match, on all pages"),
            ("Link" = Option<String>, description = "The pages around this one, where pages are asked for"),
        ))),
)]
pub(super) async fn list(api: Data<Api>, request: HttpRequest) -> Result<HttpResponse, ApiError> {
    list::answer::<Volume>(&api, &request).await
}

/// Reads a volume.
#[utoipa::path(
    get, path = "/volumes/{id}", operation_id = "get_volume", tag = "volumes",
    params(parameters::ById, parameters::Waiting, parameters::Conditions, parameters::Known),
    responses(
        (status = 200, description = "The volume", body = OneVolume, headers(("ETag" = String, description = "Names this very state"))),
        (status = 304, description = "It is as the caller knows it", headers(("ETag" = String, description = "Names this very state"))),
    ),
)]
pub(super) async fn get(api: Data<Api>, request: HttpRequest) -> Result<HttpResponse, ApiError> {
    let id = volume_id(&request).map(VolumeId::as_uuid);
    let generation = Generation::of(&api, &request);
    let look = move |api: &Api, caller: &Caller, id| {
        let volume = api.volumes.get(caller, VolumeId::new(id))?;
        Ok(Shown::volume(&volume, generation.zone()))
    };
    let shown = wait::read(&api, &request, id, look).await?;
    shown.answer_read(&request)
}

/// Renames or tags a volume.
#[utoipa::path(
    put, path = "/volumes/{id}", operation_id = "update_volume", tag = "volumes",
    params(parameters::ById, parameters::Conditions),
    request_body = requests::VolumeChanges,
    responses((status = 200, description = "The volume as it is now", body = OneVolume, headers(("ETag" = String, description = "Names this very state")))),
)]
pub(super) async fn update(api: Data<Api>, request: HttpRequest, payload: Payload) -> Result<HttpResponse, ApiError> {
    let caller = identify(&api, &request).await?;
    let id = volume_id(&request)?;
    let changes = changes(json::object(&api, &request, payload).await?)?;
    let generation = Generation::of(&api, &request);
    let condition = precondition::of_change(request.headers(), id.as_uuid())?;
    let deed = deed_on(&request, AuditAction::VolumeChange, id.as_uuid());
    let updated = on_pool(move || {
        let update = || api.volumes.update_if(&caller, id, &changes, &condition);
        let deed = deed.of(api.volumes.owner(&caller, id)?);
        let updated = api.audit.act(&caller, deed, update)?;
        api.changes.tell(id.as_uuid());
        Ok::<_, Error>(updated)
    });
    let updated = updated.await?;
    Ok(Shown::volume(&updated, generation.zone()).answer())
}

/// Removes a volume. Its snapshots stay.
#[utoipa::path(
    delete, path = "/volumes/{id}", operation_id = "delete_volume", tag = "volumes",
    params(parameters::ById, parameters::Conditions),
    responses((status = 204, description = "It is gone")),
)]
pub(super) async fn delete(api: Data<Api>, request: HttpRequest) -> Result<HttpResponse, ApiError> {
    let caller = identify(&api, &request).await?;
    let id = volume_id(&request)?;
    let condition = precondition::of_change(request.headers(), id.as_uuid())?;
    let deed = deed_on(&request, AuditAction::VolumeDelete, id.as_uuid());
    let deleted = on_pool(move || {
        let delete = || api.volumes.delete_if(&caller, id, deed.request, &condition);
        let deed = deed.of(api.volumes.owner(&caller, id)?);
        api.audit.act(&caller, deed, delete)?;
        api.changes.tell(id.as_uuid());
        (api.wake_workers)();
        Ok::<_, Error>(())
    });
    deleted.await?;
    Ok(HttpResponse::NoContent().finish())
}

/// The two ways to a new volume.
enum Creation {
    Empty(CreateVolume),
    Restored(RestoreVolume),
}

impl Creation {
    /// Makes the volume, and tells of it.
    fn act(
        self,
        api: &Api,
        caller: &Caller,
        request: RequestId,
        generation: &Generation,
        once: Option<&Once>,
    ) -> DomainResult<Answer> {
        match self {
            Self::Empty(command) => {
                let answer = |volume: &Volume| creation_answer(volume, None, generation);
                let deed = making(request, AuditAction::VolumeCreate, command.organization);
                let create = || match once {
                    None => api.volumes.create(caller, command),
                    Some(once) => {
                        let receipt = |volume: &_| once.receipt(&answer(volume));
                        api.volumes.create_once(caller, command, Some(&receipt))
                    }
                };
                Ok(answer(&api.audit.act(caller, deed, create)?))
            }
            Self::Restored(command) => {
                let answer = |begun: &Begun<Volume>| creation_answer(&begun.item, Some(&begun.task), generation);
                let deed = making(request, AuditAction::VolumeRestore, command.organization);
                let restore = || match once {
                    None => api.volumes.restore(caller, command, request),
                    Some(once) => {
                        let receipt = |begun: &_| once.receipt(&answer(begun));
                        api.volumes.restore_once(caller, command, request, Some(&receipt))
                    }
                };
                let begun = api.audit.act(caller, deed, restore)?;
                (api.wake_workers)();
                Ok(answer(&begun))
            }
        }
    }
}

fn creation(mut query: Fields, mut fields: Fields, generation: &Generation) -> Result<Creation, ApiError> {
    let name = fields.required("name", field::name);
    let organization = generation.required_owner(&mut fields);
    let volume_type = fields.optional("volume_type", field::volume_type);
    let tags = fields.optional("tags", field::tags);
    let size = fields.optional("size", field::size);
    let snapshot = fields.optional("base_snapshot", field::snapshot);
    match (fields.sent("size").is_some(), fields.sent("base_snapshot").is_some()) {
        (false, false) => fields.blame("size", "required key not provided, unless base_snapshot is"),
        (true, true) => {
            fields.blame("size", "must not be given together with base_snapshot");
            fields.blame("base_snapshot", "must not be given together with size");
        }
        (true, false) | (false, true) => {}
    }
    let salvage = query.optional("salvage", field::flag);
    if salvage == Some(Some(true)) && fields.sent("base_snapshot").is_none() {
        query.blame("salvage", "only a volume with a base_snapshot can be salvaged");
    }
    fields.also(query, "salvage");
    let command = (|| {
        let (name, organization) = (name?, organization?);
        let volume_type = volume_type?.unwrap_or(VolumeType::LocalSsd);
        let tags = tags?.unwrap_or_default();
        match (size?, snapshot?) {
            (Some(size), None) => Some(Creation::Empty(CreateVolume {
                name,
                organization,
                size,
                volume_type,
                tags,
            })),
            (None, Some(snapshot)) => Some(Creation::Restored(RestoreVolume {
                name,
                organization,
                snapshot,
                mode: if salvage?.unwrap_or(false) {
                    RestoreMode::Salvage
                } else {
                    RestoreMode::Whole
                },
                volume_type,
                tags,
            })),
            (None, None) | (Some(_), Some(_)) => None,
        }
    })();
    fields.finish(command)
}

fn changes(mut fields: Fields) -> Result<VolumeChanges, ApiError> {
    let name = fields.optional("name", field::name);
    let tags = fields.optional("tags", field::tags);
    let changes = (|| {
        Some(VolumeChanges {
            name: name?,
            tags: tags?,
        })
    })();
    fields.finish(changes)
}

/// How many volumes are passed on the way to a page that is nearby: some tenths of a millisecond.
const FEW_VOLUMES: u64 = 1024;

impl Listed for Volume {
    const NAME: &'static str = "volumes";
    const FILTERS: &'static [&'static str] = &["organization", "project", "name", "tags", "state"];
    type Query = VolumeQuery;
    type Cursor = VolumeCursor;

    fn query(fields: &mut Fields, scope: Option<Scope>) -> Option<VolumeQuery> {
        let name = fields.optional("name", field::name);
        let tags = fields.optional("tags", field::comma_separated_tags);
        let state = fields.optional("state", field::volume_state);
        Some(VolumeQuery {
            scope: scope?,
            name: name?,
            tags: tags?.unwrap_or_default(),
            state: state?,
        })
    }

    fn is_counted(query: &VolumeQuery) -> bool {
        query.is_everything_of_one()
    }

    fn count(api: &Api, query: &VolumeQuery) -> DomainResult<u64> {
        api.volumes.count(query)
    }

    fn slice(api: &Api, query: &VolumeQuery, slice: Slice<VolumeCursor>) -> DomainResult<Vec<Tracked<Self>>> {
        api.volumes.list(query, slice)
    }

    fn short_slice(
        api: &Api,
        query: &VolumeQuery,
        slice: Slice<VolumeCursor>,
    ) -> DomainResult<Option<Vec<Tracked<Self>>>> {
        if slice.skip > FEW_VOLUMES || !query.is_everything_of_one() {
            return Ok(None);
        }
        api.volumes.list(query, slice).map(Some)
    }

    fn cursor(&self) -> VolumeCursor {
        VolumeCursor::of(self)
    }

    fn write(item: &Tracked<Self>, zone: &str, json: &mut Vec<u8>) {
        shown::write(json, &VolumeBody::new(item, zone));
    }
}
