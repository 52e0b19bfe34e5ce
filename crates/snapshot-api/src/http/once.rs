//! Requests that may be sent again without harm: `POST` with the header `Idempotency-Key`.
//!
//! What was carried out under a key is answered again for 24 hours, to the same token, as it was answered then. A request
//! that was refused changed nothing and is not remembered: it is looked at anew. A `POST` route gets all this by being made
//! with [`routes::post`](super::routes::post).
//!
//! A handler may hand [`Once::receipt`] to its use case, to be stored in the transaction that makes what is asked for: then
//! not even a crash can part them. For handlers that do not, the receipt is stored after they have ended well.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use actix_web::{
    Error, HttpMessage, HttpRequest, HttpResponse,
    body::{BoxBody, MessageBody, to_bytes},
    dev::{Payload as AnyPayload, ServiceRequest, ServiceResponse},
    http::header::{HeaderName, HeaderValue},
    middleware::Next,
    rt::time::sleep,
    web::{Bytes, Data, Payload},
};
use futures_util::lock::{Mutex as AsyncMutex, OwnedMutexGuard};
use snapshot_domain::{
    Error as DomainError, IdempotencyKey, KeyedRequest, Receipt, ReceiptId, use_case::ReceiptService,
};

use super::{
    Api,
    answer::Answer,
    blocking::on_pool,
    caller::{self, identify},
    error::ApiError,
    json,
    sealed::AnswerKey,
    shown,
};

const HEADER: HeaderName = HeaderName::from_static("idempotency-key");
/// Marks an answer that was given before.
const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

/// How often receipts that have expired are looked for.
const FORGETTING: Duration = Duration::from_mins(1);

/// The requests with a key that are being carried out: a second one of the same key waits for the first.
#[derive(Clone, Debug, Default)]
pub struct Turns(Arc<Mutex<HashMap<ReceiptId, Arc<AsyncMutex<()>>>>>);

/// One request's turn, until this is dropped.
struct Turn {
    turns: Turns,
    id: ReceiptId,
    guard: Option<OwnedMutexGuard<()>>,
}

impl Turns {
    async fn take(&self, id: ReceiptId) -> Turn {
        let lock = {
            let mut turns = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(turns.entry(id).or_default())
        };
        // Made before the wait, so that one who gives up waiting cleans up too.
        let mut turn = Turn {
            turns: self.clone(),
            id,
            guard: None,
        };
        turn.guard = Some(lock.lock_owned().await);
        turn
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.guard = None;
        let mut turns = self.turns.0.lock().unwrap_or_else(PoisonError::into_inner);
        if turns.get(&self.id).is_some_and(|lock| Arc::strong_count(lock) == 1) {
            turns.remove(&self.id);
        }
    }
}

/// What a handler needs to know of a request that carries a key.
#[derive(Clone)]
pub(super) struct Once {
    receipts: ReceiptService,
    request: KeyedRequest,
    key: Arc<AnswerKey>,
    is_kept: Arc<AtomicBool>,
}

impl Once {
    /// The receipt of the request, to be stored together with what it makes.
    pub(super) fn receipt(&self, answer: &Answer) -> Receipt {
        self.is_kept.store(true, Ordering::Release);
        self.receipts
            .receipt(&self.request, self.key.seal(&shown::json(answer)))
    }
}

/// What the request's key means for its handler; `None` when it carries none.
pub(super) fn of(request: &HttpRequest) -> Option<Once> {
    request.extensions().get::<Once>().cloned()
}

/// Sees to it that a request with a key is carried out once.
pub(super) async fn once(
    mut request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    if !request.headers().contains_key(HEADER) {
        return Ok(next.call(request).await?.map_into_boxed_body());
    }
    let api = request.app_data::<Data<Api>>().cloned();
    let api = api.expect("the app is built with an Api");
    let once = match keyed(&api, &mut request).await {
        Ok(once) => once,
        Err(error) => return Ok(refused(request, error)),
    };
    let _turn = api.turns.take(once.request.receipt).await;
    match recall(&once).await {
        Ok(None) => {}
        Ok(Some(answer)) => return Ok(request.into_response(replayed(answer))),
        Err(error) => return Ok(refused(request, error)),
    }

    request.extensions_mut().insert(once.clone());
    let answered = next.call(request).await?.map_into_boxed_body();
    if !answered.status().is_success() {
        // Another process may have been quicker, or this one before its client came back: then what is refused is to do
        // again what is done.
        return Ok(match recall(&once).await {
            Ok(None) => answered,
            Ok(Some(answer)) => answered.into_response(replayed(answer)),
            Err(error) => ServiceResponse::from_err(error, answered.into_parts().0),
        });
    }
    if once.is_kept.load(Ordering::Acquire) {
        return Ok(answered);
    }
    keep(once, answered).await
}

/// Reads the key, finds out whose it is, and reads the body, which is put back.
async fn keyed(api: &Data<Api>, request: &mut ServiceRequest) -> Result<Once, ApiError> {
    let caller = identify(api, request.request()).await?;
    let mut sent = request.headers().get_all(HEADER);
    let key = match (sent.next(), sent.next()) {
        (Some(key), None) => IdempotencyKey::parse(key.as_bytes()).map_err(|error| error.to_string()),
        _ => Err("must not be given more than once".to_owned()),
    };
    let key = key.map_err(|problem| ApiError::BadRequest(format!("The header 'Idempotency-Key' {problem}")))?;
    let payload = request.extract::<Payload>().await.map_err(|_| ApiError::BodyBrokeOff)?;
    let body = json::whole(api, request.headers(), payload).await?;
    let canonical = json::canonical(&body);
    let canonical = canonical.as_ref().map_or(&body[..], String::as_bytes);
    let parts = [
        request.method().as_str().as_bytes(),
        request.path().as_bytes(),
        request.query_string().as_bytes(),
        canonical,
    ];
    let keyed = ReceiptService::request(&caller, &key, &parts);
    let token = caller::shown(request.request())?.token;
    request.set_payload(AnyPayload::from(body));
    Ok(Once {
        receipts: api.receipts.clone(),
        request: keyed,
        key: Arc::new(AnswerKey::of(&token, keyed.receipt)),
        is_kept: Arc::default(),
    })
}

async fn recall(once: &Once) -> Result<Option<Answer>, ApiError> {
    let Once { receipts, request, .. } = once.clone();
    let kept = on_pool(move || receipts.recall(&request)).await?;
    kept.map(|sealed| {
        let text = once.key.open(&sealed);
        let text = text.ok_or_else(|| DomainError::corrupt("receipt", "it was sealed with another key"))?;
        serde_json::from_str(&text).map_err(|error| DomainError::corrupt("receipt", error).into())
    })
    .transpose()
}

/// Keeps the receipt of something that was stored without it.
async fn keep(once: Once, answered: ServiceResponse<BoxBody>) -> Result<ServiceResponse<BoxBody>, Error> {
    let (request, response) = answered.into_parts();
    let (head, body) = response.into_parts();
    let body = to_bytes(body).await.unwrap_or_else(|_| Bytes::new());
    let answer = Answer::read(&head, &body);
    let kept = on_pool(move || once.receipts.keep(&once.receipt(&answer))).await;
    if let Err(error) = kept {
        // It is done, and the client is told so; only a repetition would do it again.
        log::error!(
            "the answer to a request with a key could not be kept: {}",
            error.with_causes()
        );
    }
    Ok(ServiceResponse::new(request, head.set_body(BoxBody::new(body))))
}

fn replayed(answer: Answer) -> HttpResponse {
    let mut response = answer.respond();
    response
        .headers_mut()
        .insert(REPLAYED, HeaderValue::from_static("true"));
    response
}

fn refused(request: ServiceRequest, error: ApiError) -> ServiceResponse<BoxBody> {
    let (request, _) = request.into_parts();
    ServiceResponse::from_err(error, request)
}

/// Forgets answers that have expired, in small steps, for as long as it is polled.
pub async fn forget_old_answers(api: Data<Api>) {
    loop {
        let receipts = api.receipts.clone();
        match on_pool(move || receipts.forget_expired()).await {
            Ok(true) => {}
            Ok(false) => sleep(FORGETTING).await,
            Err(error) => {
                log::warn!("old answers could not be forgotten: {}", error.with_causes());
                sleep(FORGETTING).await;
            }
        }
    }
}

#[cfg(test)]
mod tests;
