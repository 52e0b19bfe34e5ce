//! `/volumes`

use actix_web::{
    HttpRequest, HttpResponse,
    http::header::LOCATION,
    web::{Data, Payload},
};
use snapshot_domain::{
    Caller, Error, RequestId, RestoreMode, Result as DomainResult, Scope, Task, Volume, VolumeChanges, VolumeType,
    ports::{Slice, VolumeCursor, VolumeQuery},
    use_case::{Begun, CreateVolume, RestoreVolume, Tracked},
};

use super::volume_id;
use crate::http::{
    Api,
    blocking::{on_pool, read_rows},
    body::{OneVolume, VolumeBody},
    caller::identify,
    error::ApiError,
    field::{self, Fields},
    generation::Generation,
    json,
    list::{self, Listed},
    request_id,
};

pub(super) async fn create(api: Data<Api>, request: HttpRequest, payload: Payload) -> Result<HttpResponse, ApiError> {
    let caller = identify(&api, &request).await?;
    let generation = Generation::of(&api, &request);
    let query = Fields::of_query(request.query_string())?;
    let command = creation(query, json::object(&api, &request, payload).await?, &generation)?;
    let request_id = request_id::of(&request);
    let (item, task) = on_pool(move || command.act(&api, &caller, request_id)).await?;
    let location = generation.path(&format!("/volumes/{}", item.id()));
    let progress = task.as_ref().map(Task::progress);
    let mut body = OneVolume::new(&Tracked { item, progress }, generation.zone());
    if let (Generation::Zoned { .. }, Some(task)) = (&generation, task) {
        body = body.with(&task, &generation);
    }
    Ok(HttpResponse::Created().insert_header((LOCATION, location)).json(body))
}

pub(super) async fn list(api: Data<Api>, request: HttpRequest) -> Result<HttpResponse, ApiError> {
    let caller = identify(&api, &request).await?;
    list::answer::<Volume>(&api, &caller, &request).await
}

pub(super) async fn get(api: Data<Api>, request: HttpRequest) -> Result<HttpResponse, ApiError> {
    let caller = identify(&api, &request).await?;
    let id = volume_id(&request)?;
    let volume = read_rows(&api, move |api| api.volumes.get(&caller, id)).await?;
    Ok(HttpResponse::Ok().json(OneVolume::new(&volume, Generation::of(&api, &request).zone())))
}

pub(super) async fn update(api: Data<Api>, request: HttpRequest, payload: Payload) -> Result<HttpResponse, ApiError> {
    let caller = identify(&api, &request).await?;
    let id = volume_id(&request)?;
    let changes = changes(json::object(&api, &request, payload).await?)?;
    let generation = Generation::of(&api, &request);
    let updated = on_pool(move || api.volumes.update(&caller, id, &changes)).await?;
    Ok(HttpResponse::Ok().json(OneVolume::new(&updated, generation.zone())))
}

pub(super) async fn delete(api: Data<Api>, request: HttpRequest) -> Result<HttpResponse, ApiError> {
    let caller = identify(&api, &request).await?;
    let id = volume_id(&request)?;
    let request_id = request_id::of(&request);
    let deleted = on_pool(move || {
        api.volumes.delete(&caller, id, request_id)?;
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
    /// The new volume, and the task that will fill it, if any.
    fn act(self, api: &Api, caller: &Caller, request: RequestId) -> DomainResult<(Volume, Option<Task>)> {
        match self {
            Self::Empty(command) => Ok((api.volumes.create(caller, command)?, None)),
            Self::Restored(command) => {
                let Begun { item, task } = api.volumes.restore(caller, command, request)?;
                (api.wake_workers)();
                Ok((item, Some(task)))
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

impl Listed for Volume {
    const NAME: &'static str = "volumes";
    const FILTERS: &'static [&'static str] = &["organization", "project", "name", "tags", "state"];
    type Query = VolumeQuery;
    type Cursor = VolumeCursor;
    type Body = VolumeBody;

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

    fn count(api: &Api, query: &VolumeQuery) -> DomainResult<u64> {
        api.volumes.count(query)
    }

    fn slice(api: &Api, query: &VolumeQuery, slice: Slice<VolumeCursor>) -> DomainResult<Vec<Tracked<Self>>> {
        api.volumes.list(query, slice)
    }

    fn cursor(&self) -> VolumeCursor {
        VolumeCursor::of(self)
    }

    fn body(item: &Tracked<Self>, zone: &str) -> VolumeBody {
        VolumeBody::new(item, zone)
    }
}
