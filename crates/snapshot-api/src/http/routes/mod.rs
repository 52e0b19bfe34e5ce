//! URLs, and the handlers behind them.

pub(super) mod audit;
mod data;
pub(super) mod docs;
mod health;
mod snapshots;
mod tasks;
pub(super) mod transfers;
mod volumes;

use actix_web::{
    FromRequest, Handler, HttpRequest, Resource, Responder, Route,
    guard::{Any, Get, Head},
    middleware::from_fn,
    web::{self, ServiceConfig},
};
use snapshot_domain::{Resource as Kind, SnapshotId, TaskId, TransferId, VolumeId};
use uuid::Uuid;

use super::{error::ApiError, field::parse_uuid, generation, once};

/// Puts the API behind its URLs.
pub(super) fn routes(config: &mut ServiceConfig) {
    config
        .service(
            web::scope(generation::PREFIX)
                .wrap(from_fn(generation::only_zones_that_there_are))
                .service(snapshot("GET, HEAD, PUT, PATCH, DELETE").route(web::patch().to(snapshots::update)))
                .configure(both_generations),
        )
        .service(snapshot("GET, HEAD, PUT, DELETE"))
        .configure(both_generations)
        .service(resource("/healthz", "GET, HEAD").route(read().to(health::check)))
        .service(resource("/openapi.json", "GET, HEAD").route(read().to(docs::description)))
        .service(resource("/docs", "GET, HEAD").route(read().to(docs::page)))
        .service(resource("/docs/", "GET, HEAD").route(read().to(docs::to_page)))
        .service(resource("/docs/{file}", "GET, HEAD").route(read().to(docs::asset)))
        .default_service(web::route().to(no_such_route));
}

/// What is the same in both generations but for its prefix.
fn both_generations(config: &mut ServiceConfig) {
    config
        .service(
            resource("/snapshots", "GET, HEAD, POST")
                .route(read().to(snapshots::list))
                .route(post(snapshots::create)),
        )
        .service(resource("/snapshots/{id}/data", "GET, HEAD").route(read().to(data::of_snapshot)))
        .service(resource("/snapshots/{id}/events", "GET, HEAD").route(read().to(snapshots::events)))
        .service(
            resource("/volumes", "GET, HEAD, POST")
                .route(read().to(volumes::list))
                .route(post(volumes::create)),
        )
        .service(
            resource("/volumes/{id}", "GET, HEAD, PUT, PATCH, DELETE")
                .route(read().to(volumes::get))
                .route(web::put().to(volumes::update))
                .route(web::patch().to(volumes::update))
                .route(web::delete().to(volumes::delete)),
        )
        .service(
            resource("/volumes/{id}/data", "GET, HEAD, PUT")
                .route(read().to(data::of_volume))
                .route(web::put().to(data::write_volume)),
        )
        .service(resource("/snapshots/{id}/transfer", "POST").route(post(transfers::offer)))
        .service(
            resource("/transfers/{id}", "GET, HEAD, DELETE")
                .route(read().to(transfers::get))
                .route(web::delete().to(transfers::withdraw)),
        )
        .service(resource("/transfers/{id}/accept", "POST").route(post(transfers::accept)))
        .service(resource("/audit", "GET, HEAD").route(read().to(audit::list)))
        .service(resource("/tasks/{id}", "GET, HEAD").route(read().to(tasks::get)));
}

/// One snapshot, but for the ways to change it that only one generation has.
fn snapshot(allow: &'static str) -> Resource {
    resource("/snapshots/{id}", allow)
        .route(read().to(snapshots::get))
        .route(web::put().to(snapshots::update))
        .route(web::delete().to(snapshots::delete))
}

/// A URL that answers other methods than `allow` with 405.
fn resource(path: &str, allow: &'static str) -> Resource {
    web::resource(path).default_service(web::route().to(move |request: HttpRequest| async move {
        let method = request.method().to_string();
        Err::<&str, _>(ApiError::MethodNotAllowed { method, allow })
    }))
}

/// A `POST`, which may carry an `Idempotency-Key`. Every route that takes `POST` is made with this.
pub(super) fn post<F, Args>(handler: F) -> Route
where
    F: Handler<Args>,
    Args: FromRequest + 'static,
    F::Output: Responder + 'static,
{
    web::post().to(handler).wrap(from_fn(once::once))
}

/// `HEAD` works wherever `GET` does.
fn read() -> Route {
    web::route().guard(Any(Get()).or(Head()))
}

async fn no_such_route(request: HttpRequest) -> Result<&'static str, ApiError> {
    Err(ApiError::NoSuchRoute {
        path: request.path().to_owned(),
    })
}

/// The id in the path.
fn id(request: &HttpRequest, resource: Kind) -> Result<Uuid, ApiError> {
    let as_sent = request.match_info().query("id");
    parse_uuid(as_sent).ok_or_else(|| ApiError::NoSuchId {
        resource,
        as_sent: as_sent.to_owned(),
    })
}

fn snapshot_id(request: &HttpRequest) -> Result<SnapshotId, ApiError> {
    id(request, Kind::Snapshot).map(SnapshotId::new)
}

fn volume_id(request: &HttpRequest) -> Result<VolumeId, ApiError> {
    id(request, Kind::Volume).map(VolumeId::new)
}

fn task_id(request: &HttpRequest) -> Result<TaskId, ApiError> {
    id(request, Kind::Task).map(TaskId::new)
}

fn transfer_id(request: &HttpRequest) -> Result<TransferId, ApiError> {
    id(request, Kind::Transfer).map(TransferId::new)
}
