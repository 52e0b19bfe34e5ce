//! `/snapshots/{id}/data` and `/volumes/{id}/data`: the bytes.

use actix_web::{
    HttpRequest, HttpResponse,
    http::Method,
    web::{Data, Payload},
};
use snapshot_domain::{
    AuditAction, Error, Resource,
    ports::OpenVolume,
    use_case::{Deed, Tracked},
};
use uuid::Uuid;

use super::{snapshot_id, volume_id};
use crate::http::{
    Api,
    audited::deed_on,
    blocking::on_pool,
    body::OneVolume,
    caller::identify,
    download::{self, Noted, Source},
    error::ApiError,
    generation::Generation,
    openapi::{parameters, requests},
    shown::Shown,
    upload,
};

/// Reads the bytes of a snapshot, without restoring it.
#[utoipa::path(
    get, path = "/snapshots/{id}/data", operation_id = "read_snapshot", tag = "snapshots",
    params(parameters::ById, parameters::Ranged),
    responses(
        (status = 200, description = "All bytes", content_type = "application/octet-stream", body = requests::RawImage,
            headers(("ETag" = Option<String>, description = "Names these very bytes"), ("Accept-Ranges" = String))),
        (status = 206, description = "A part of them", content_type = "application/octet-stream", body = requests::RawImage,
            headers(("ETag" = Option<String>, description = "Names these very bytes"), ("Accept-Ranges" = String), ("Content-Range" = String))),
        (status = 304, description = "They are as the caller knows them"),
    ),
)]
pub(super) async fn of_snapshot(api: Data<Api>, request: HttpRequest) -> Result<HttpResponse, ApiError> {
    let caller = identify(&api, &request).await?;
    let id = snapshot_id(&request)?;
    let deed = reading(&request, AuditAction::SnapshotRead, id.as_uuid());
    let opening = api.clone();
    let source = on_pool(move || {
        let owner = deed
            .map(|_| opening.snapshots.owner(&caller, id))
            .transpose()?
            .flatten();
        let opened = opening.snapshots.open(&caller, id);
        let noted = deed.map(|deed| Noted {
            caller,
            deed: deed.of(owner),
        });
        let (snapshot, bytes) = told(&opening, noted.as_ref(), opened)?;
        let digest = snapshot.readable()?.content().digest.to_string();
        Ok::<_, Error>(Source {
            of: (Resource::Snapshot, id.as_uuid()),
            bytes,
            size: snapshot.size(),
            version: Some(digest),
            noted,
        })
    });
    download::answer(&api, &request, source.await?).await
}

/// Reads the bytes of a volume.
#[utoipa::path(
    get, path = "/volumes/{id}/data", operation_id = "read_volume", tag = "volumes",
    params(parameters::ById, parameters::Ranged),
    responses(
        (status = 200, description = "All bytes", content_type = "application/octet-stream", body = requests::RawImage,
            headers(("ETag" = Option<String>, description = "Names these very bytes"), ("Accept-Ranges" = String))),
        (status = 206, description = "A part of them", content_type = "application/octet-stream", body = requests::RawImage,
            headers(("ETag" = Option<String>, description = "Names these very bytes"), ("Accept-Ranges" = String), ("Content-Range" = String))),
        (status = 304, description = "They are as the caller knows them"),
    ),
)]
pub(super) async fn of_volume(api: Data<Api>, request: HttpRequest) -> Result<HttpResponse, ApiError> {
    let caller = identify(&api, &request).await?;
    let id = volume_id(&request)?;
    let deed = reading(&request, AuditAction::VolumeRead, id.as_uuid());
    let opening = api.clone();
    let source = on_pool(move || {
        let owner = deed.map(|_| opening.volumes.owner(&caller, id)).transpose()?.flatten();
        let opened = opening.volumes.open(&caller, id);
        let noted = deed.map(|deed| Noted {
            caller,
            deed: deed.of(owner),
        });
        let (volume, OpenVolume { bytes, version }) = told(&opening, noted.as_ref(), opened)?;
        Ok::<_, Error>(Source {
            of: (Resource::Volume, id.as_uuid()),
            bytes,
            size: volume.size(),
            version: version.map(|version| opening.bytes_tags.tag(id, &version)),
            noted,
        })
    });
    download::answer(&api, &request, source.await?).await
}

/// Replaces the bytes of a volume: all of them, or, if the upload breaks off, none. What is not sent reads as zeros.
#[utoipa::path(
    put, path = "/volumes/{id}/data", operation_id = "write_volume", tag = "volumes",
    params(parameters::ById, parameters::Conditions),
    request_body(content = requests::RawImage, content_type = "application/octet-stream"),
    responses((status = 200, description = "The volume with its new bytes", body = OneVolume,
        headers(("ETag" = String, description = "Names this very state of the volume")))),
)]
pub(super) async fn write_volume(
    api: Data<Api>,
    request: HttpRequest,
    payload: Payload,
) -> Result<HttpResponse, ApiError> {
    let caller = identify(&api, &request).await?;
    let id = volume_id(&request)?;
    let received = upload::receive(&api, caller, id, &request, payload).await;
    api.changes.tell(id.as_uuid());
    let item = received?;
    let written = Tracked {
        item,
        progress: None,
        exclusive_bytes: None,
    };
    Ok(Shown::volume(&written, Generation::of(&api, &request).zone()).answer())
}

/// What was opened. When it was refused, that is noted; when not, it is noted as soon as there are bytes to be sent.
fn told<T>(api: &Api, noted: Option<&Noted>, opened: Result<T, Error>) -> Result<T, Error> {
    match (opened, noted) {
        (Err(error), Some(noted)) => noted.refused(&api.audit, error),
        (opened, _) => opened,
    }
}

/// A read that is noted: `HEAD` brings no bytes.
fn reading(request: &HttpRequest, action: AuditAction, resource: Uuid) -> Option<Deed> {
    (*request.method() != Method::HEAD).then(|| deed_on(request, action, resource))
}
