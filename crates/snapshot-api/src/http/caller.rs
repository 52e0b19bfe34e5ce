//! Who calls: the token in `X-Auth-Token`.

use actix_web::{HttpMessage, HttpRequest, web::Data};
use snapshot_domain::{AccountId, Caller, Result as DomainResult, Token};

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

/// The account of a request that was let in.
///
/// # Errors
///
/// 401 when it was not.
pub(super) fn account(request: &HttpRequest) -> Result<AccountId, ApiError> {
    let extensions = request.extensions();
    let caller = extensions.get::<Caller>().ok_or(ApiError::TokenRefused)?;
    Ok(caller.account)
}

/// Looks again whether the token of a request that was let in is taken.
///
/// # Errors
///
/// 401 when it is no longer.
pub(super) async fn check_still_taken(api: &Data<Api>, request: &HttpRequest) -> Result<(), ApiError> {
    let Shown { token } = shown(request)?;
    let caller = read_rows(api, move |api| api.access.authenticate(&token)).await?;
    caller.map(|_| ()).ok_or(ApiError::TokenRefused)
}

/// The token that was sent; `None` when it is malformed.
fn token(request: &HttpRequest) -> Result<Option<Token>, ApiError> {
    let sent = request.headers().get(HEADER).ok_or(ApiError::TokenMissing)?;
    Ok(sent.to_str().ok().and_then(|text| Token::parse(text.trim()).ok()))
}

/// Finds out who sent a request, and reads something for them: at one moment where reads are short.
///
/// # Errors
///
/// Those of [`identify`], and those of `read`.
pub(super) async fn read_as<T, E, F>(api: &Data<Api>, request: &HttpRequest, read: F) -> Result<T, ApiError>
where
    F: FnOnce(&Api, &Caller) -> Result<T, E> + Send + 'static,
    T: Send + 'static,
    E: Into<ApiError> + Send + 'static,
{
    let Some(token) = token(request)? else {
        return Err(refused(api, request));
    };
    let read = read_rows(api, move |api| authenticated(api, &token, read));
    let Some((caller, read)) = read.await? else {
        return Err(refused(api, request));
    };
    request.extensions_mut().insert(caller);
    read
}

/// What is read for whoever shows a token; `None` when it is not taken.
fn authenticated<T, E: Into<ApiError>>(
    api: &Api,
    token: &Token,
    read: impl FnOnce(&Api, &Caller) -> Result<T, E>,
) -> DomainResult<Option<(Caller, Result<T, ApiError>)>> {
    let Some(caller) = api.access.authenticate(token)? else {
        return Ok(None);
    };
    let read = match api.rates.count(caller.token) {
        Ok(()) => read(api, &caller).map_err(Into::into),
        Err(too_fast) => Err(too_fast),
    };
    Ok(Some((caller, read)))
}

/// Notes that a token was not taken.
fn refused(api: &Api, request: &HttpRequest) -> ApiError {
    let counted = api.rates.count_refused(request.peer_addr().map(|peer| peer.ip()));
    counted.err().unwrap_or(ApiError::TokenRefused)
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
        return Err(refused(api, request));
    };
    request.extensions_mut().insert(caller.clone());
    api.rates.count(caller.token)?;
    Ok(caller)
}
