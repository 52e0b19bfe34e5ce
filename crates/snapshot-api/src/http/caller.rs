//! Who calls: the token in `X-Auth-Token`.

use actix_web::{HttpMessage, HttpRequest, web::Data};
use snapshot_domain::{Caller, Token};

use super::{Api, blocking::read_rows, error::ApiError};

const HEADER: &str = "X-Auth-Token";

/// Finds out who sent a request, and notes it for the access log.
///
/// # Errors
///
/// 401 without a token, and with one that is malformed, unknown or revoked: these three read alike.
pub(super) async fn identify(api: &Data<Api>, request: &HttpRequest) -> Result<Caller, ApiError> {
    let sent = request.headers().get(HEADER).ok_or(ApiError::TokenMissing)?;
    let token = sent.to_str().ok().and_then(|text| Token::parse(text.trim()).ok());
    let token = token.ok_or(ApiError::TokenRefused)?;
    let caller = read_rows(api, move |api| api.access.authenticate(&token)).await?;
    let caller = caller.ok_or(ApiError::TokenRefused)?;
    request.extensions_mut().insert(caller.clone());
    Ok(caller)
}
