//! Who calls: the token in `X-Auth-Token`.

use actix_web::{HttpMessage, HttpRequest, web::Data};
use snapshot_domain::{Caller, Token};

use super::{Api, blocking::read_rows, error::ApiError};

const HEADER: &str = "X-Auth-Token";

/// Finds out who sent a request, and notes it for the access log.
///
/// # Errors
///
/// 401 without a token, and with one that is malformed, unknown, revoked or expired: these read alike. 429 when a token's
/// requests come too fast, or those that one address sends with tokens that are not taken.
pub(super) async fn identify(api: &Data<Api>, request: &HttpRequest) -> Result<Caller, ApiError> {
    let sent = request.headers().get(HEADER).ok_or(ApiError::TokenMissing)?;
    let token = sent.to_str().ok().and_then(|text| Token::parse(text.trim()).ok());
    let caller = match token {
        Some(token) => read_rows(api, move |api| api.access.authenticate(&token)).await?,
        None => None,
    };
    let Some(caller) = caller else {
        api.rates.count_refused(request.peer_addr().map(|peer| peer.ip()))?;
        return Err(ApiError::TokenRefused);
    };
    request.extensions_mut().insert(caller.clone());
    api.rates.count(caller.token)?;
    Ok(caller)
}
