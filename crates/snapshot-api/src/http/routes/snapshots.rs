//! `/snapshots`

use std::sync::Arc;

use actix_web::{
    HttpRequest, HttpResponse, rt,
    web::{Data, Payload},
};
use snapshot_domain::{
    AuditAction, Caller, Error, Receipt, RequestId, Result as DomainResult, Scope, Snapshot, SnapshotChanges,
    SnapshotId,
    ports::{Slice, SnapshotCursor, SnapshotQuery},
    use_case::{Begun, BegunDeed, CreateSnapshot, Deed, ReceiptOf, Tracked},
};
use tokio::sync::oneshot;
use uuid::Uuid;

use super::snapshot_id;
use crate::http::{
    Api,
    answer::Answer,
    audited::{deed_on, making},
    blocking::on_pool,
    body::{OneSnapshot, SnapshotBody},
    caller::identify,
    error::ApiError,
    field::{self, Fields},
    generation::Generation,
    json,
    list::{self, Listed},
    once::{self, Once},
    openapi::{parameters, requests},
    precondition, request_id,
    shown::Shown,
    wait::{self, Look},
};

/// Copies a volume. The copy is made in the background.
#[utoipa::path(
    post, path = "/snapshots", operation_id = "create_snapshot", tag = "snapshots",
    params(parameters::Once),
    request_body = requests::NewSnapshot,
    responses((status = 200, description = "The snapshot, whose copy is owed from now on", body = OneSnapshot, headers(("ETag" = String, description = "Names this very state")))),
)]
pub(super) async fn create(api: Data<Api>, request: HttpRequest, payload: Payload) -> Result<HttpResponse, ApiError> {
    let caller = identify(&api, &request).await?;
    let generation = Generation::of(&api, &request);
    let command = creation(json::object(&api, &request, payload).await?, &generation)?;
    let request_id = request_id::of(&request);
    let creation = Creation {
        api,
        caller,
        command,
        generation,
        request_id,
        once: once::of(&request),
    };
    // It goes on when the client hangs up in the meantime: who waits is told of what was done.
    let created = rt::spawn(creation.carry_out()).await;
    Ok(created.map_err(|_| ApiError::Panicked)??.respond())
}

/// A snapshot that somebody asks for.
struct Creation {
    api: Data<Api>,
    caller: Caller,
    command: CreateSnapshot,
    generation: Generation,
    request_id: RequestId,
    once: Option<Once>,
}

impl Creation {
    /// Hands it over to be stored, and waits without a thread, where reads are so short that nothing else waits for them.
    async fn carry_out(self) -> Result<Answer, ApiError> {
        if !self.api.settings.reads_are_short {
            return on_pool(move || self.blocking()).await;
        }
        let (tell, told) = oneshot::channel();
        let (deed, begun) = self.begin(move |result| {
            // Nobody waits any more when the server has ended.
            let _ = tell.send(result);
        });
        let result = match begun {
            Ok(()) => told.await.unwrap_or_else(|lost| Err(Error::unavailable(lost))),
            Err(refusal) => Err(refusal),
        };
        match result {
            Ok(begun) => Ok(self.done(&begun)),
            Err(Error::Stale { .. }) => on_pool(move || self.blocking()).await,
            Err(refusal) => on_pool(move || self.api.audit.end(&deed, Err(refusal))).await,
        }
    }

    fn begin(
        &self,
        tell: impl FnOnce(DomainResult<Begun<Snapshot>>) + Send + 'static,
    ) -> (BegunDeed, DomainResult<()>) {
        let Self {
            api, caller, command, ..
        } = self;
        api.audit.begin(caller, self.deed(), || {
            let receipt = self.once.as_ref().map(|once| self.receipt_by(once));
            let receipt = receipt.as_ref().map(|it| it as ReceiptOf<'_, _>);
            let snapshots = &api.snapshots;
            snapshots.create_and_tell(caller, command, self.request_id, receipt, tell)
        })
    }

    fn blocking(&self) -> DomainResult<Answer> {
        let Self {
            api, caller, command, ..
        } = self;
        let create = || {
            let receipt = self.once.as_ref().map(|once| self.receipt_by(once));
            let receipt = receipt.as_ref().map(|it| it as ReceiptOf<'_, _>);
            api.snapshots.create_once(caller, command, self.request_id, receipt)
        };
        let begun = api.audit.act(caller, self.deed(), create)?;
        Ok(self.done(&begun))
    }

    fn deed(&self) -> Deed {
        making(self.request_id, AuditAction::SnapshotCreate, self.command.organization)
    }

    fn receipt_by<'a>(&'a self, once: &'a Once) -> impl Fn(&Begun<Snapshot>) -> Receipt + 'a {
        |begun| once.receipt(&creation_answer(begun, &self.generation))
    }

    /// Tells everybody of what was stored.
    fn done(&self, begun: &Begun<Snapshot>) -> Answer {
        (self.api.wake_workers)();
        self.api.changes.tell(self.command.volume.as_uuid());
        creation_answer(begun, &self.generation)
    }
}

fn creation_answer(begun: &Begun<Snapshot>, generation: &Generation) -> Answer {
    let Begun { item, task } = begun;
    let tracked = Tracked {
        item: item.clone(),
        progress: Some(task.progress()),
        exclusive_bytes: None,
    };
    let shown = Shown::snapshot(&tracked, generation.zone());
    match generation {
        Generation::Original { .. } => Answer {
            status: 200,
            location: None,
            etag: Some(shown.tag),
            body: shown.json,
        },
        Generation::Zoned { .. } => Answer {
            status: 201,
            location: Some(generation.path(&format!("/snapshots/{}", item.id()))),
            etag: Some(shown.tag),
            body: OneSnapshot::new(&tracked, generation.zone())
                .with(task, generation)
                .json(),
        },
    }
}

/// Lists snapshots, the oldest first.
#[utoipa::path(
    get, path = "/snapshots", operation_id = "list_snapshots", tag = "snapshots",
    params(parameters::Cut, parameters::SnapshotFilters),
    responses((status = 200, description = "The snapshots", body = requests::Snapshots,
        headers(
            ("X-Total-Count" = u64, description = "How many match, on all pages"),
            ("Link" = Option<String>, description = "The pages around this one, where pages are asked for"),
        ))),
)]
pub(super) async fn list(api: Data<Api>, request: HttpRequest) -> Result<HttpResponse, ApiError> {
    list::answer::<Snapshot>(&api, &request).await
}

/// Reads a snapshot.
#[utoipa::path(
    get, path = "/snapshots/{id}", operation_id = "get_snapshot", tag = "snapshots",
    params(parameters::ById, parameters::Waiting, parameters::Conditions, parameters::Known),
    responses(
        (status = 200, description = "The snapshot", body = OneSnapshot, headers(("ETag" = String, description = "Names this very state"))),
        (status = 304, description = "It is as the caller knows it", headers(("ETag" = String, description = "Names this very state"))),
    ),
)]
pub(super) async fn get(api: Data<Api>, request: HttpRequest) -> Result<HttpResponse, ApiError> {
    let id = snapshot_id(&request).map(SnapshotId::as_uuid);
    let look = looks_at(Generation::of(&api, &request));
    let shown = wait::read(&api, &request, id, look).await?;
    shown.answer_read(&request)
}

/// Streams how a snapshot changes, until its state is final.
#[utoipa::path(
    get, path = "/snapshots/{id}/events", operation_id = "watch_snapshot", tag = "snapshots",
    params(parameters::ById, parameters::Resumed),
    responses(
        (status = 200, description = "`change` events and at last an `end`, each with the snapshot as JSON",
            content_type = "text/event-stream", body = requests::Event),
        (status = 204, description = "The state is final, and the caller has seen it"),
    ),
)]
pub(super) async fn events(api: Data<Api>, request: HttpRequest) -> Result<HttpResponse, ApiError> {
    identify(&api, &request).await?;
    let id = snapshot_id(&request)?;
    let look = looks_at(Generation::of(&api, &request));
    let look: Look = Arc::new(move |api, caller| look(api, caller, id.as_uuid()));
    wait::events(&api, &request, id.as_uuid(), look).await
}

fn looks_at(generation: Generation) -> impl Fn(&Api, &Caller, Uuid) -> DomainResult<Shown> {
    move |api, caller, id| {
        let snapshot = api.snapshots.get(caller, SnapshotId::new(id))?;
        Ok(Shown::snapshot(&snapshot, generation.zone()))
    }
}

/// Renames, tags or transfers a snapshot.
#[utoipa::path(
    put, path = "/snapshots/{id}", operation_id = "update_snapshot", tag = "snapshots",
    params(parameters::ById, parameters::Conditions),
    request_body = requests::SnapshotChanges,
    responses((status = 200, description = "The snapshot as it is now", body = OneSnapshot, headers(("ETag" = String, description = "Names this very state")))),
)]
pub(super) async fn update(api: Data<Api>, request: HttpRequest, payload: Payload) -> Result<HttpResponse, ApiError> {
    let caller = identify(&api, &request).await?;
    let id = snapshot_id(&request)?;
    let generation = Generation::of(&api, &request);
    let changes = changes(json::object(&api, &request, payload).await?, &generation)?;
    let condition = precondition::of_change(request.headers(), id.as_uuid())?;
    let deed = deed_on(&request, AuditAction::SnapshotChange, id.as_uuid());
    let updated = on_pool(move || {
        let update = || api.snapshots.update_if(&caller, id, &changes, &condition);
        let deed = deed.of(api.snapshots.owner(&caller, id)?);
        let updated = api.audit.act(&caller, deed, update)?;
        api.changes.tell(id.as_uuid());
        Ok::<_, Error>(updated)
    });
    let updated = updated.await?;
    Ok(Shown::snapshot(&updated, generation.zone()).answer())
}

/// Removes a snapshot. A copy that still runs is called off.
#[utoipa::path(
    delete, path = "/snapshots/{id}", operation_id = "delete_snapshot", tag = "snapshots",
    params(parameters::ById, parameters::Conditions),
    responses((status = 204, description = "It is gone")),
)]
pub(super) async fn delete(api: Data<Api>, request: HttpRequest) -> Result<HttpResponse, ApiError> {
    let caller = identify(&api, &request).await?;
    let id = snapshot_id(&request)?;
    let condition = precondition::of_change(request.headers(), id.as_uuid())?;
    let deed = deed_on(&request, AuditAction::SnapshotDelete, id.as_uuid());
    let deleted = on_pool(move || {
        let delete = || api.snapshots.delete_if(&caller, id, deed.request, &condition);
        let deed = deed.of(api.snapshots.owner(&caller, id)?);
        api.audit.act(&caller, deed, delete)?;
        api.changes.tell(id.as_uuid());
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

    fn is_counted(query: &SnapshotQuery) -> bool {
        query.is_everything_of_one()
    }

    fn count(api: &Api, query: &SnapshotQuery) -> DomainResult<u64> {
        api.snapshots.count(query)
    }

    fn slice(api: &Api, query: &SnapshotQuery, slice: Slice<SnapshotCursor>) -> DomainResult<Vec<Tracked<Self>>> {
        api.snapshots.list(query, slice)
    }

    fn short_slice(
        api: &Api,
        query: &SnapshotQuery,
        slice: Slice<SnapshotCursor>,
    ) -> DomainResult<Option<Vec<Tracked<Self>>>> {
        api.snapshots.list_nearby(query, slice)
    }

    fn cursor(&self) -> SnapshotCursor {
        SnapshotCursor::of(self)
    }

    fn write(item: &Tracked<Self>, zone: &str, json: &mut Vec<u8>) {
        SnapshotBody::new(item, zone).write(json);
    }
}
