//! The one place where failures become answers.

use std::{collections::BTreeMap, fmt::Write as _, time::Duration};

use actix_web::{
    HttpResponse, ResponseError,
    http::{
        StatusCode,
        header::{ALLOW, CONTENT_RANGE, RETRY_AFTER},
    },
};
use serde::Serialize;
use snapshot_domain::{Error, RequestId, Resource};
use thiserror::Error as ThisError;
use utoipa::ToSchema;

/// What is wrong with each field of a request, in sentences.
pub(super) type FieldErrors = BTreeMap<String, Vec<String>>;

/// Why a request was not answered as it wished.
#[derive(Debug, ThisError)]
pub(super) enum ApiError {
    #[error(transparent)]
    Domain(#[from] Error),
    #[error("Validation Error")]
    Fields(FieldErrors),
    #[error("{0}")]
    BadRequest(String),
    #[error("The header 'X-Auth-Token' is missing")]
    TokenMissing,
    #[error("Authentication error")]
    TokenRefused,
    #[error("resource is not found")]
    NoSuchId { resource: Resource, as_sent: String },
    #[error("Route \"{path}\" not found")]
    NoSuchRoute { path: String },
    #[error("The method {method} is not allowed here; allowed: {allow}")]
    MethodNotAllowed { method: String, allow: &'static str },
    #[error("The head of a request must have at most {limit_bytes} bytes")]
    HeadTooLarge { limit_bytes: usize },
    #[error("The body did not arrive in time")]
    Stalled,
    #[error("The body must have at most {limit_bytes} bytes")]
    BodyTooLarge { limit_bytes: usize },
    #[error("{0}")]
    UnsupportedMediaType(&'static str),
    #[error("The body broke off")]
    BodyBrokeOff,
    #[error("The range lies outside of the {size_bytes} bytes")]
    RangeNotSatisfiable { size_bytes: u64 },
    #[error("Too many volumes and snapshots are sent or received at once")]
    TooManyTransfers,
    #[error("Too many requests wait for something")]
    TooManyWaiting,
    #[error("Too many requests")]
    TooManyRequests { wait: Duration },
    #[error("a handler panicked")]
    Panicked,
}

/// What the original API says to every 403 of this kind, word for word.
const NOT_PERMITTED: &str = "The token provided doesn't have the requested permission.";

/// The JSON object that every failure is answered with.
#[derive(Serialize, ToSchema)]
#[schema(as = Error)]
pub(super) struct ErrorBody {
    #[serde(rename = "type")]
    kind: &'static str,
    message: String,
    #[serde(skip_serializing_if = "FieldErrors::is_empty")]
    #[schema(value_type = BTreeMap<String, Vec<String>>)]
    fields: FieldErrors,
    #[serde(skip_serializing_if = "Option::is_none")]
    resource: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resource_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    current_state: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    missing_right: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<String>,
}

/// An error, and what caused it, and so on: for the log, never for a client.
pub(super) fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        // Writing to a text can't fail.
        let _ = write!(text, ": {error}");
        cause = error.source();
    }
    text
}

impl ApiError {
    /// The answer to the request of this name.
    pub(super) fn answer(&self, request: RequestId) -> HttpResponse {
        let mut answer = HttpResponse::build(self.status_code());
        match self {
            Self::MethodNotAllowed { allow, .. } => {
                answer.insert_header((ALLOW, *allow));
            }
            Self::RangeNotSatisfiable { size_bytes } => {
                answer.insert_header((CONTENT_RANGE, format!("bytes */{size_bytes}")));
            }
            Self::TooManyTransfers | Self::TooManyWaiting => {
                answer.insert_header((RETRY_AFTER, "5"));
            }
            Self::TooManyRequests { wait } => {
                answer.insert_header((RETRY_AFTER, wait.as_secs() + 1));
            }
            Self::Domain(error) => {
                if let Some(seconds) = retry_after_seconds(error) {
                    answer.insert_header((RETRY_AFTER, seconds.to_string()));
                }
            }
            _ => {}
        }
        answer.json(self.body(request))
    }

    /// Everything that is known about the failure, cause by cause: for the log, never for a client.
    pub(super) fn with_causes(&self) -> String {
        with_causes(self)
    }

    fn body(&self, request: RequestId) -> ErrorBody {
        let plain = |kind| ErrorBody {
            kind,
            message: self.to_string(),
            fields: FieldErrors::new(),
            resource: None,
            resource_id: None,
            current_state: None,
            role: None,
            missing_right: None,
            request_id: None,
        };
        match self {
            Self::Domain(error) => domain_body(error, request, plain),
            Self::Fields(fields) => ErrorBody {
                fields: fields.clone(),
                ..plain("invalid_request_error")
            },
            Self::BadRequest(_)
            | Self::BodyBrokeOff
            | Self::MethodNotAllowed { .. }
            | Self::HeadTooLarge { .. }
            | Self::Stalled
            | Self::BodyTooLarge { .. }
            | Self::UnsupportedMediaType(_)
            | Self::RangeNotSatisfiable { .. } => plain("invalid_request_error"),
            Self::TokenMissing | Self::TokenRefused => plain("invalid_auth"),
            Self::NoSuchId { resource, as_sent } => ErrorBody {
                resource: Some(resource_name(*resource)),
                resource_id: Some(as_sent.clone()),
                ..plain("not_found")
            },
            Self::NoSuchRoute { .. } => plain("unknown_resource"),
            Self::TooManyTransfers | Self::TooManyWaiting => plain("service_unavailable"),
            Self::TooManyRequests { .. } => plain("rate_limit_exceeded"),
            Self::Panicked => internal(request, plain("api_error")),
        }
    }
}

/// The status line of each failure.
impl ResponseError for ApiError {
    fn status_code(&self) -> StatusCode {
        match self {
            Self::Domain(error) => domain_status(error),
            Self::Fields(_) | Self::BadRequest(_) | Self::BodyBrokeOff => StatusCode::BAD_REQUEST,
            Self::TokenMissing | Self::TokenRefused => StatusCode::UNAUTHORIZED,
            Self::NoSuchId { .. } | Self::NoSuchRoute { .. } => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed { .. } => StatusCode::METHOD_NOT_ALLOWED,
            Self::Stalled => StatusCode::REQUEST_TIMEOUT,
            Self::HeadTooLarge { .. } => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::BodyTooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::UnsupportedMediaType(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::RangeNotSatisfiable { .. } => StatusCode::RANGE_NOT_SATISFIABLE,
            Self::TooManyTransfers | Self::TooManyWaiting => StatusCode::SERVICE_UNAVAILABLE,
            Self::TooManyRequests { .. } => StatusCode::TOO_MANY_REQUESTS,
            Self::Panicked => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// Only the status: the [edge](super::edge) knows the request's name, and calls [`ApiError::answer`].
    fn error_response(&self) -> HttpResponse {
        HttpResponse::new(self.status_code())
    }
}

const fn domain_status(error: &Error) -> StatusCode {
    match error {
        Error::NotFound { .. } => StatusCode::NOT_FOUND,
        Error::NotAllowed | Error::RightMissing { .. } | Error::QuotaExceeded { .. } => StatusCode::FORBIDDEN,
        Error::Conflict { .. }
        | Error::Stale { .. }
        | Error::AlreadyExists { .. }
        | Error::KeyReused
        | Error::AnsweredBefore => StatusCode::CONFLICT,
        Error::ConditionFailed { .. } => StatusCode::PRECONDITION_FAILED,
        Error::VolumeTooLarge => StatusCode::BAD_REQUEST,
        Error::TooManyBytes { .. } => StatusCode::PAYLOAD_TOO_LARGE,
        Error::Unavailable { .. } | Error::NoSpace { .. } => StatusCode::SERVICE_UNAVAILABLE,
        Error::LeaseLost | Error::Damaged { .. } | Error::Corrupt { .. } => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// When it makes sense to ask again.
const fn retry_after_seconds(error: &Error) -> Option<u32> {
    match error {
        Error::Unavailable { .. } => Some(5),
        // Somebody has to make room first.
        Error::NoSpace { .. } => Some(60),
        Error::NotFound { .. }
        | Error::NotAllowed
        | Error::RightMissing { .. }
        | Error::QuotaExceeded { .. }
        | Error::Conflict { .. }
        | Error::Stale { .. }
        | Error::AlreadyExists { .. }
        | Error::ConditionFailed { .. }
        | Error::KeyReused
        | Error::AnsweredBefore
        | Error::TooManyBytes { .. }
        | Error::VolumeTooLarge
        | Error::LeaseLost
        | Error::Damaged { .. }
        | Error::Corrupt { .. } => None,
    }
}

fn domain_body(error: &Error, request: RequestId, plain: impl Fn(&'static str) -> ErrorBody) -> ErrorBody {
    match error {
        Error::NotFound { .. } => plain("unknown_resource"),
        Error::NotAllowed => ErrorBody {
            message: NOT_PERMITTED.to_owned(),
            ..plain("authorization_required")
        },
        Error::RightMissing { role, right } => ErrorBody {
            message: NOT_PERMITTED.to_owned(),
            role: Some(role.as_str()),
            missing_right: Some(right.as_str()),
            ..plain("authorization_required")
        },
        Error::QuotaExceeded { resource } => ErrorBody {
            message: "Quota exceeded for this resource.".to_owned(),
            resource: Some(resource.as_str()),
            ..plain("invalid_request_error")
        },
        Error::Conflict { id, state, .. } => ErrorBody {
            resource_id: Some(id.to_string()),
            current_state: Some(state),
            ..plain("conflict")
        },
        Error::AlreadyExists { id, .. } => ErrorBody {
            resource_id: Some(id.to_string()),
            ..plain("conflict")
        },
        Error::Stale { .. } | Error::AnsweredBefore => plain("conflict"),
        Error::KeyReused => ErrorBody {
            message: "This Idempotency-Key was used before, for another request: use a new one".to_owned(),
            ..plain("conflict")
        },
        Error::ConditionFailed { id, .. } => ErrorBody {
            resource_id: Some(id.to_string()),
            ..plain("precondition_failed")
        },
        Error::TooManyBytes { .. } | Error::VolumeTooLarge => plain("invalid_request_error"),
        Error::Unavailable { .. } | Error::NoSpace { .. } => plain("service_unavailable"),
        Error::Damaged { first, last, .. } => ErrorBody {
            message: format!("The bytes {first} to {last} are damaged"),
            ..internal(request, plain("api_error"))
        },
        Error::LeaseLost | Error::Corrupt { .. } => internal(request, plain("api_error")),
    }
}

fn internal(request: RequestId, plain: ErrorBody) -> ErrorBody {
    ErrorBody {
        message: "Internal error".to_owned(),
        request_id: Some(request.to_string()),
        ..plain
    }
}

/// A kind of thing as the error for malformed ids calls it.
const fn resource_name(resource: Resource) -> &'static str {
    match resource {
        Resource::Snapshot => "instance_snapshot",
        Resource::Volume => "instance_volume",
        Resource::Organization => "organization",
        Resource::Token => "token",
        Resource::Task => "instance_task",
        Resource::Run => "maintenance_run",
        Resource::Transfer => "transfer",
    }
}

#[cfg(test)]
mod tests {
    use actix_web::body::to_bytes;
    use serde_json::{Value, json};
    use snapshot_domain::{QuotaResource, Right, Role};
    use uuid::Uuid;

    use super::*;

    fn check(error: impl Into<ApiError>, status: u16, body: &Value) {
        let answer = error.into().answer(RequestId::new(Uuid::nil()));
        assert_eq!(answer.status().as_u16(), status);
        assert_eq!(answer.headers().get("content-type").unwrap(), "application/json");
        let bytes = actix_web::rt::System::new()
            .block_on(to_bytes(answer.into_body()))
            .unwrap();
        assert_eq!(serde_json::from_slice::<Value>(&bytes).unwrap(), *body);
    }

    #[test]
    fn every_failure_has_its_status_and_body() {
        let id = Uuid::from_u128(1);
        check(
            Error::NotFound {
                resource: Resource::Snapshot,
                id,
            },
            404,
            &json!({"type": "unknown_resource", "message": format!("Snapshot \"{id}\" not found")}),
        );
        check(
            Error::NotAllowed,
            403,
            &json!({
                "type": "authorization_required",
                "message": "The token provided doesn't have the requested permission.",
            }),
        );
        check(
            Error::RightMissing {
                role: Role::Backup,
                right: Right::Delete,
            },
            403,
            &json!({
                "type": "authorization_required",
                "message": "The token provided doesn't have the requested permission.",
                "role": "backup",
                "missing_right": "delete",
            }),
        );
        check(
            Error::QuotaExceeded {
                resource: QuotaResource::Snapshots,
            },
            403,
            &json!({
                "type": "invalid_request_error",
                "message": "Quota exceeded for this resource.",
                "resource": "snapshots",
            }),
        );
        check(
            Error::Conflict {
                resource: Resource::Snapshot,
                id,
                state: "snapshotting",
                reason: "snapshot is not available",
            },
            409,
            &json!({
                "type": "conflict",
                "message": "snapshot is not available",
                "resource_id": id.to_string(),
                "current_state": "snapshotting",
            }),
        );
        check(
            ApiError::NoSuchId {
                resource: Resource::Volume,
                as_sent: "42".to_owned(),
            },
            404,
            &json!({
                "type": "not_found",
                "message": "resource is not found",
                "resource": "instance_volume",
                "resource_id": "42",
            }),
        );
        check(
            Error::Damaged {
                first: 0,
                last: 511,
                reason: "in /srv/pack".to_owned(),
            },
            500,
            &json!({
                "type": "api_error",
                "message": "The bytes 0 to 511 are damaged",
                "request_id": Uuid::nil().to_string(),
            }),
        );
        check(
            Error::VolumeTooLarge,
            400,
            &json!({
                "type": "invalid_request_error",
                "message": "volumes of this size can't be kept here: the host's file system has no files that large",
            }),
        );
        check(
            Error::TooManyBytes { size_bytes: 512 },
            413,
            &json!({"type": "invalid_request_error", "message": "the volume has room for 512 bytes"}),
        );
        check(
            ApiError::TokenMissing,
            401,
            &json!({"type": "invalid_auth", "message": "The header 'X-Auth-Token' is missing"}),
        );
    }

    #[test]
    fn clients_never_see_causes() {
        let error = || Error::corrupt("snapshot", "SELECT secret FROM /var/lib");

        check(
            error(),
            500,
            &json!({
                "type": "api_error",
                "message": "Internal error",
                "request_id": Uuid::nil().to_string(),
            }),
        );
        assert_eq!(
            ApiError::from(error()).with_causes(),
            "the stored snapshot is corrupt: SELECT secret FROM /var/lib"
        );
    }

    #[test]
    fn whoever_may_come_again_is_told_when() {
        let unavailable = ApiError::from(Error::unavailable("locked")).answer(RequestId::new(Uuid::nil()));
        let full = ApiError::from(Error::NoSpace {
            source: "ENOSPC".into(),
        })
        .answer(RequestId::new(Uuid::nil()));

        assert_eq!(unavailable.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(unavailable.headers().get(RETRY_AFTER).unwrap(), "5");
        assert_eq!(full.headers().get(RETRY_AFTER).unwrap(), "60");
    }
}
