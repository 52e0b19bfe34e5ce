//! Waiting for a snapshot or a volume: `?wait=available&timeout=…`, and `/events`.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use actix_web::{
    HttpRequest, HttpResponse,
    http::{
        Method,
        header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName},
    },
    web::{Bytes, Data},
};
use futures_util::stream;
use serde_json::{Value, json};
use snapshot_domain::{Caller, Error, Result as DomainResult};
use uuid::Uuid;

use super::{
    Api,
    blocking::read_rows,
    caller,
    changes::{LOOK, Watch},
    error::ApiError,
    field::{Fields, count_up_to},
    shown::Shown,
};

/// How long a request waits that does not say how long, in seconds.
const USUAL_SECONDS: u64 = 30;

/// The longest that a request may wait, in seconds.
pub(super) const MOST_SECONDS: u64 = 300;

/// What the client of a stream has seen, when it comes again.
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
/// Tells nginx not to hold the stream back.
const ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// Looks at the snapshot or volume that a request names.
pub(super) type Look = Arc<dyn Fn(&Api, &Caller) -> DomainResult<Shown> + Send + Sync>;

/// Somebody who looks again and again, for as long as their token is taken.
struct Looker {
    api: Data<Api>,
    request: caller::Shown,
    look: Look,
}

impl Looker {
    /// # Errors
    ///
    /// 401 when the token is taken no longer, and what looking can fail with.
    async fn look(&self) -> Result<Shown, ApiError> {
        let (token, look) = (self.request.token.clone(), Arc::clone(&self.look));
        let shown = read_rows(&self.api, move |api| match api.access.authenticate(&token)? {
            Some(caller) => look(api, &caller).map(Some),
            None => Ok(None),
        });
        shown.await?.ok_or(ApiError::TokenRefused)
    }
}

/// Reads what a request names: at once, or when it is settled, if the request says so.
///
/// # Errors
///
/// What `id` fails with, 401 and 429 as for every request, 400 for a bad `wait` or `timeout`, 503 when too many wait, and
/// what looking can fail with.
pub(super) async fn read(
    api: &Data<Api>,
    request: &HttpRequest,
    id: Result<Uuid, ApiError>,
    look: impl Fn(&Api, &Caller, Uuid) -> DomainResult<Shown> + Send + Sync + 'static,
) -> Result<Shown, ApiError> {
    let asked = id.and_then(|id| Ok((id, patience(request.query_string())?)));
    if let Ok((id, None)) = asked {
        return caller::read_as(api, request, move |api, caller| look(api, caller, id)).await;
    }
    let caller = caller::identify(api, request).await?;
    let (id, patience) = asked?;
    let patience = patience.unwrap_or_default();
    // Before the first look, so that no change is missed.
    let watch = api.changes.watch(id, caller.account)?;
    let looker = Looker {
        api: api.clone(),
        request: caller::shown(request)?,
        look: Arc::new(move |api, caller| look(api, caller, id)),
    };
    let until = Instant::now() + patience;
    loop {
        let shown = looker.look().await?;
        let left = until.saturating_duration_since(Instant::now());
        if shown.is_settled || left.is_zero() || watch.is_closed() {
            return Ok(shown);
        }
        watch.changed(left.min(LOOK)).await;
    }
}

/// How long a request wants to wait; `None` when it does not.
fn patience(query: &str) -> Result<Option<Duration>, ApiError> {
    // What else a query may hold has no meaning here, and is not looked at.
    if !query.contains("wait") && !query.contains("timeout") {
        return Ok(None);
    }
    let mut fields = Fields::of_query(query)?;
    let waits = fields.optional("wait", available);
    let seconds = fields.optional("timeout", count_up_to(MOST_SECONDS));
    if fields.sent("timeout").is_some() && fields.sent("wait").is_none() {
        fields.blame("timeout", "must be given together with wait");
    }
    let (waits, seconds) = fields.finish(waits.zip(seconds))?;
    Ok(waits.map(|()| Duration::from_secs(seconds.unwrap_or(USUAL_SECONDS))))
}

fn available(value: &Value) -> Result<(), String> {
    if value.as_str() == Some("available") {
        Ok(())
    } else {
        Err("must be available".to_owned())
    }
}

/// Answers with a stream of server-sent events: one for how things are, one for each change, and the last one when it is
/// settled or gone.
///
/// # Errors
///
/// 503 when too many wait, and what looking can fail with.
pub(super) async fn events(
    api: &Data<Api>,
    request: &HttpRequest,
    id: Uuid,
    look: Look,
) -> Result<HttpResponse, ApiError> {
    let caller = caller::identify(api, request).await?;
    let watch = api.changes.watch(id, caller.account)?;
    let looker = Looker {
        api: api.clone(),
        request: caller::shown(request)?,
        look,
    };
    let now = looker.look().await?;
    let seen = request
        .headers()
        .get(LAST_EVENT_ID)
        .and_then(|value| value.to_str().ok());
    if now.is_settled && seen == Some(event_id(&now)) {
        // To somebody who comes again by itself this says that there is nothing more to come for.
        return Ok(HttpResponse::NoContent().finish());
    }
    let mut answer = HttpResponse::Ok();
    answer
        .insert_header((CONTENT_TYPE, "text/event-stream"))
        .insert_header((CACHE_CONTROL, "no-store"))
        .insert_header((ACCEL_BUFFERING, "no"));
    if request.method() == Method::HEAD {
        return Ok(answer.finish());
    }
    let events = Events {
        heartbeat: api.settings.heartbeat,
        looker,
        watch,
        first: Some(now),
        told: seen.map(str::to_owned),
        told_at: Instant::now(),
        has_ended: false,
    };
    Ok(answer.streaming(stream::unfold(events, |mut events| async {
        let piece = events.next().await?;
        Some((Ok::<_, ApiError>(piece), events))
    })))
}

/// A stream on its way.
struct Events {
    looker: Looker,
    watch: Watch,
    heartbeat: Duration,
    /// How things were when the stream began.
    first: Option<Shown>,
    /// The last event's id.
    told: Option<String>,
    told_at: Instant,
    has_ended: bool,
}

impl Events {
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if self.has_ended || self.watch.is_closed() {
                return None;
            }
            let shown = match self.first.take() {
                Some(shown) => Ok(shown),
                None => self.looker.look().await,
            };
            match shown {
                Ok(shown) if self.told.as_deref() != Some(event_id(&shown)) => return Some(self.tell(&shown)),
                Ok(_) => {}
                Err(ApiError::Domain(error @ Error::NotFound { .. })) => {
                    self.has_ended = true;
                    let body = json!({"type": "unknown_resource", "message": error.to_string()});
                    return Some(Bytes::from(format!("event: end\ndata: {body}\n\n")));
                }
                // The client comes again by itself, and is told properly then.
                Err(error) => {
                    log::warn!("a stream of events ended early: {}", error.with_causes());
                    return None;
                }
            }
            let left = self.heartbeat.saturating_sub(self.told_at.elapsed());
            if left.is_zero() {
                self.told_at = Instant::now();
                return Some(Bytes::from_static(b": still there\n\n"));
            }
            self.watch.changed(left.min(LOOK)).await;
        }
    }

    fn tell(&mut self, shown: &Shown) -> Bytes {
        self.has_ended = shown.is_settled;
        self.told_at = Instant::now();
        self.told = Some(event_id(shown).to_owned());
        let name = if shown.is_settled { "end" } else { "change" };
        let (id, json) = (event_id(shown), &shown.json);
        Bytes::from(format!("event: {name}\nid: {id}\ndata: {json}\n\n"))
    }
}

/// Names how things are: the entity tag without its quotes.
fn event_id(shown: &Shown) -> &str {
    shown.tag.trim_matches('"')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_says_whether_and_how_long_it_waits() {
        let seconds = |query| patience(query).unwrap().map(|it| it.as_secs());

        assert_eq!(seconds(""), None);
        assert_eq!(seconds("page=1"), None);
        assert_eq!(seconds("wait=available"), Some(30));
        assert_eq!(seconds("wait=available&timeout=1"), Some(1));
        assert_eq!(seconds("wait=available&timeout=300"), Some(300));
        for bad in [
            "wait=error",
            "wait=",
            "wait=available&timeout=0",
            "wait=available&timeout=301",
            "wait=available&timeout=-1",
            "wait=available&timeout=1.5",
            "wait=available&timeout=",
            "wait=available&wait=available",
            "timeout=5",
        ] {
            assert!(matches!(patience(bad), Err(ApiError::Fields(_))), "{bad}");
        }
    }
}
