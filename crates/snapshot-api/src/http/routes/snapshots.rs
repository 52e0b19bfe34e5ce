//! `/snapshots`

use actix_web::{
    HttpRequest, HttpResponse,
    http::header::LOCATION,
    web::{Data, Payload},
};
use snapshot_domain::{
    Error, Result as DomainResult, Scope, Snapshot, SnapshotChanges,
    ports::{Slice, SnapshotCursor, SnapshotQuery},
    use_case::{Begun, CreateSnapshot, Tracked},
};

use super::snapshot_id;
use crate::http::{
    Api,
    blocking::{on_pool, read_rows},
    body::{OneSnapshot, SnapshotBody},
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
    let command = creation(json::object(&api, &request, payload).await?, &generation)?;
    let request_id = request_id::of(&request);
    let created = on_pool(move || {
        let begun = api.snapshots.create(&caller, &command, request_id)?;
        (api.wake_workers)();
        Ok::<_, Error>(begun)
    });
    let Begun { item, task } = created.await?;
    let location = generation.path(&format!("/snapshots/{}", item.id()));
    let progress = Some(task.progress());
    let body = OneSnapshot::new(&Tracked { item, progress }, generation.zone());
    Ok(match generation {
        Generation::Original { .. } => HttpResponse::Ok().json(body),
        Generation::Zoned { .. } => HttpResponse::Created()
            .insert_header((LOCATION, location))
            .json(body.with(&task, &generation)),
    })
}

pub(super) async fn list(api: Data<Api>, request: HttpRequest) -> Result<HttpResponse, ApiError> {
    let caller = identify(&api, &request).await?;
    list::answer::<Snapshot>(&api, &caller, &request).await
}

pub(super) async fn get(api: Data<Api>, request: HttpRequest) -> Result<HttpResponse, ApiError> {
    let caller = identify(&api, &request).await?;
    let id = snapshot_id(&request)?;
    let snapshot = read_rows(&api, move |api| api.snapshots.get(&caller, id)).await?;
    Ok(HttpResponse::Ok().json(OneSnapshot::new(&snapshot, Generation::of(&api, &request).zone())))
}

pub(super) async fn update(api: Data<Api>, request: HttpRequest, payload: Payload) -> Result<HttpResponse, ApiError> {
    let caller = identify(&api, &request).await?;
    let id = snapshot_id(&request)?;
    let generation = Generation::of(&api, &request);
    let changes = changes(json::object(&api, &request, payload).await?, &generation)?;
    let updated = on_pool(move || api.snapshots.update(&caller, id, &changes)).await?;
    Ok(HttpResponse::Ok().json(OneSnapshot::new(&updated, generation.zone())))
}

pub(super) async fn delete(api: Data<Api>, request: HttpRequest) -> Result<HttpResponse, ApiError> {
    let caller = identify(&api, &request).await?;
    let id = snapshot_id(&request)?;
    let request_id = request_id::of(&request);
    let deleted = on_pool(move || {
        api.snapshots.delete(&caller, id, request_id)?;
        (api.wake_workers)();
        Ok::<_, Error>(())
    });
    deleted.await?;
    Ok(HttpResponse::NoContent().finish())
}

fn creation(mut fields: Fields, generation: &Generation) -> Result<CreateSnapshot, ApiError> {
    let name = fields.required("name", field::name);
    let organization = generation.required_owner(&mut fields);
    let volume = fields.required("volume_id", field::volume);
    let tags = fields.optional("tags", field::tags);
    let command = (|| {
        Some(CreateSnapshot {
            name: name?,
            organization: organization?,
            volume: volume?,
            tags: tags?.unwrap_or_default(),
        })
    })();
    fields.finish(command)
}

fn changes(mut fields: Fields, generation: &Generation) -> Result<SnapshotChanges, ApiError> {
    let name = fields.optional("name", field::name);
    let organization = generation.owner(&mut fields);
    let tags = fields.optional("tags", field::tags);
    let changes = (|| {
        Some(SnapshotChanges {
            name: name?,
            organization: organization?,
            tags: tags?,
        })
    })();
    fields.finish(changes)
}

impl Listed for Snapshot {
    const NAME: &'static str = "snapshots";
    const FILTERS: &'static [&'static str] = &["organization", "project", "name", "tags", "base_volume_id", "state"];
    type Query = SnapshotQuery;
    type Cursor = SnapshotCursor;
    type Body = SnapshotBody;

    fn query(fields: &mut Fields, scope: Option<Scope>) -> Option<SnapshotQuery> {
        let name = fields.optional("name", field::name);
        let tags = fields.optional("tags", field::comma_separated_tags);
        let base_volume = fields.optional("base_volume_id", field::volume);
        let state = fields.optional("state", field::snapshot_state);
        Some(SnapshotQuery {
            scope: scope?,
            name: name?,
            tags: tags?.unwrap_or_default(),
            base_volume: base_volume?,
            state: state?,
        })
    }

    fn count(api: &Api, query: &SnapshotQuery) -> DomainResult<u64> {
        api.snapshots.count(query)
    }

    fn slice(api: &Api, query: &SnapshotQuery, slice: Slice<SnapshotCursor>) -> DomainResult<Vec<Tracked<Self>>> {
        api.snapshots.list(query, slice)
    }

    fn cursor(&self) -> SnapshotCursor {
        SnapshotCursor::of(self)
    }

    fn body(item: &Tracked<Self>, zone: &str) -> SnapshotBody {
        SnapshotBody::new(item, zone)
    }
}
