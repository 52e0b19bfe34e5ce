//! Answers that can be given again.

use actix_web::{
    HttpResponse,
    http::{
        StatusCode,
        header::{CACHE_CONTROL, ContentType, ETAG, HeaderMap, HeaderName, LOCATION},
    },
};
use serde::{Deserialize, Serialize};

/// A JSON answer with everything that makes it the same when it is given again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Answer {
    /// The status line's number.
    pub(super) status: u16,
    /// Where the new thing is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) location: Option<String>,
    /// The tag of the new thing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) etag: Option<String>,
    /// The JSON.
    pub(super) body: String,
}

impl Answer {
    /// An answer that was made in another way.
    pub(super) fn read(head: &HttpResponse<()>, body: &[u8]) -> Self {
        Self {
            status: head.status().as_u16(),
            location: text(head.headers(), &LOCATION),
            etag: text(head.headers(), &ETAG),
            body: String::from_utf8_lossy(body).into_owned(),
        }
    }

    /// Gives it.
    pub(super) fn respond(self) -> HttpResponse {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::OK);
        let mut response = HttpResponse::build(status);
        // An offer's answer holds a secret.
        response.insert_header((CACHE_CONTROL, "no-store"));
        if let Some(location) = self.location {
            response.insert_header((LOCATION, location));
        }
        if let Some(etag) = self.etag {
            response.insert_header((ETAG, etag));
        }
        if self.body.is_empty() {
            response.finish()
        } else {
            response.content_type(ContentType::json()).body(self.body)
        }
    }
}

fn text(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    headers.get(name)?.to_str().ok().map(str::to_owned)
}
