//! `/healthz`: whether the service can do its work. No token is needed, and nothing is told but yes or no.

use actix_web::{HttpResponse, web::Data};
use serde::Serialize;
use utoipa::ToSchema;

use crate::http::{Api, blocking::read_rows, error::ApiError};

/// All is well.
#[derive(Serialize, ToSchema)]
pub(super) struct Healthy {
    #[schema(examples("ok"))]
    status: &'static str,
}

/// Tells whether the service can do its work.
#[utoipa::path(
    get, path = "/healthz", operation_id = "check_health", tag = "service", security(()),
    responses((status = 200, description = "It can", body = Healthy)),
)]
pub(super) async fn check(api: Data<Api>) -> Result<HttpResponse, ApiError> {
    read_rows(&api, |api| api.health.check()).await?;
    Ok(HttpResponse::Ok().json(Healthy { status: "ok" }))
}
