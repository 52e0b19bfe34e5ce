//! Who calls: the token in `X-Auth-Token`.

use actix_web::{HttpMessage, HttpRequest, web::Data};
use snapshot_domain::{Caller, Token};

use super::{Api, blocking::read_rows, error::ApiError};

const HEADER: &str = "X-Auth-Token";

/// The token that a request shows, for who has to look later whether it is still taken.
pub(super) struct Shown {
    pub(super) token: Token,
}

/// The token of a request that was let in.
///
/// # Errors
///
/// 401 when there is none.
pub(super) fn shown(request: &HttpRequest) -> Result<Shown, ApiError> {
    let token = token(request)?.ok_or(ApiError::TokenRefused)?;
    Ok(Shown { token })
}

/// The token that was sent; `None` when it is malformed.
fn token(request: &HttpRequest) -> Result<Option<Token>, ApiError> {
    let sent = request.headers().get(HEADER).ok_or(ApiError::TokenMissing)?;
    Ok(sent.to_str().ok().and_then(|text| Token::parse(text.trim()).ok()))
}

/// Finds out who sent a request, and notes it for the access log and for who asks again.
///
/// # Errors
///
/// 401 without a token, and with one that is malformed, unknown, revoked or expired: these read alike. 429 when a token's
/// requests come too fast, or those that one address sends with tokens that are not taken.
pub(super) async fn identify(api: &Data<Api>, request: &HttpRequest) -> Result<Caller, ApiError> {
    if let Some(known) = request.extensions().get::<Caller>() {
        return Ok(known.clone());
    }
    let token = token(request)?;
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
