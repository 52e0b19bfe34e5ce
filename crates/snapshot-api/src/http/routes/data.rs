//! `/snapshots/{id}/data` and `/volumes/{id}/data`: the bytes.

use actix_web::{
    HttpRequest, HttpResponse,
    http::Method,
    web::{Data, Payload},
};
use snapshot_domain::{
    AuditAction, Error,
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
    download::{self, Source},
    error::ApiError,
    generation::Generation,
    upload,
};

pub(super) async fn of_snapshot(api: Data<Api>, request: HttpRequest) -> Result<HttpResponse, ApiError> {
    let caller = identify(&api, &request).await?;
    let id = snapshot_id(&request)?;
    let deed = reading(&request, AuditAction::SnapshotRead, id.as_uuid());
    let opening = api.clone();
    let source = on_pool(move || {
        let open = || opening.snapshots.open(&caller, id);
        let (snapshot, bytes) = match deed {
            Some(deed) => opening.audit.act(&caller, deed, open)?,
            None => open()?,
        };
        let digest = snapshot.readable()?.content().digest.to_string();
        Ok::<_, Error>(Source {
            bytes,
            size: snapshot.size(),
            version: Some(digest),
        })
    });
    download::answer(&api, &request, source.await?).await
}

pub(super) async fn of_volume(api: Data<Api>, request: HttpRequest) -> Result<HttpResponse, ApiError> {
    let caller = identify(&api, &request).await?;
    let id = volume_id(&request)?;
    let deed = reading(&request, AuditAction::VolumeRead, id.as_uuid());
    let opening = api.clone();
    let source = on_pool(move || {
        let open = || opening.volumes.open(&caller, id);
        let (volume, OpenVolume { bytes, version }) = match deed {
            Some(deed) => opening.audit.act(&caller, deed, open)?,
            None => open()?,
        };
        Ok::<_, Error>(Source {
            bytes,
            size: volume.size(),
            version,
        })
    });
    download::answer(&api, &request, source.await?).await
}

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
    Ok(HttpResponse::Ok().json(OneVolume::new(&written, Generation::of(&api, &request).zone())))
}

/// A read that is noted: `HEAD` brings no bytes.
fn reading(request: &HttpRequest, action: AuditAction, resource: Uuid) -> Option<Deed> {
    (*request.method() != Method::HEAD).then(|| deed_on(request, action, resource))
}
