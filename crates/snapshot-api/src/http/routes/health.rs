//! `/healthz`: whether the service can do its work. No token is needed, and nothing is told but yes or no.

use actix_web::{HttpResponse, web::Data};
use serde_json::json;

use crate::http::{Api, blocking::read_rows, error::ApiError};

pub(super) async fn check(api: Data<Api>) -> Result<HttpResponse, ApiError> {
    read_rows(&api, |api| api.health.check()).await?;
    Ok(HttpResponse::Ok().json(json!({"status": "ok"})))
}
