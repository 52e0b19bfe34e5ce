//! One line in the log per request.

use std::time::Duration;

use actix_web::http::{Method, StatusCode};
use snapshot_domain::{Caller, RequestId};

/// The log target of these lines, so that they can be filtered.
const TARGET: &str = "access";

/// What a line tells. Neither tokens nor query strings are among it.
pub(super) struct Line<'a> {
    /// The request's method.
    pub(super) method: &'a Method,
    /// The request's path as it was sent, without the query.
    pub(super) path: &'a str,
    /// The answer's status.
    pub(super) status: StatusCode,
    /// How long it took until the answer began.
    pub(super) took: Duration,
    /// The request's name.
    pub(super) request: RequestId,
    /// Who asked, when that was found out.
    pub(super) caller: Option<&'a Caller>,
}

/// Writes the line.
pub(super) fn write(line: &Line<'_>) {
    let Line {
        method,
        path,
        status,
        took,
        request,
        caller,
    } = line;
    let organizations = caller.map_or_else(
        || "-".to_owned(),
        |caller| {
            let ids: Vec<_> = caller.organizations.iter().map(ToString::to_string).collect();
            ids.join(",")
        },
    );
    log::info!(
        target: TARGET,
        method = method.as_str(),
        path = *path,
        status = status.as_u16(),
        ms = (took.as_secs_f64() * 10_000.0).round() / 10.0,
        request = request.to_string(),
        organization = organizations;
        "request"
    );
}
