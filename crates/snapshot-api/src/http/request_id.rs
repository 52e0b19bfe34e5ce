//! Naming requests, so that an answer, a failed task and the log lead to each other.

use actix_web::{
    HttpMessage, HttpRequest,
    dev::ServiceRequest,
    http::header::{HeaderName, HeaderValue},
};
use snapshot_domain::{RequestId, ports::IdSource};
use uuid::Uuid;

/// The header that carries the name, both ways.
pub(super) const HEADER: HeaderName = HeaderName::from_static("x-request-id");

/// Names a request: as its client does, when that is a UUID, anew otherwise.
pub(super) fn assign(request: &ServiceRequest, ids: &dyn IdSource) -> RequestId {
    let sent = request.headers().get(HEADER).and_then(|value| value.to_str().ok());
    let id = RequestId::new(
        sent.and_then(|text| Uuid::try_parse(text).ok())
            .unwrap_or_else(|| ids.id()),
    );
    request.extensions_mut().insert(id);
    id
}

/// The name that [`assign`] gave.
pub(super) fn of(request: &HttpRequest) -> RequestId {
    let id = request.extensions().get::<RequestId>().copied();
    id.expect("the edge names every request before a handler sees it")
}

/// The name as a header.
pub(super) fn header_value(id: RequestId) -> HeaderValue {
    HeaderValue::from_str(&id.to_string()).expect("a UUID is made of hexadecimal digits and hyphens")
}
