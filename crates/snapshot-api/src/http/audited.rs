//! Noting what callers do.

use actix_web::HttpRequest;
use snapshot_domain::{AuditAction, RequestId, use_case::Deed};
use uuid::Uuid;

use super::request_id;

/// What a request is about to do to something that is there.
pub(super) fn deed_on(request: &HttpRequest, action: AuditAction, resource: Uuid) -> Deed {
    deed(request_id::of(request), action, Some(resource))
}

/// What a request is about to make.
pub(super) const fn making(request: RequestId, action: AuditAction) -> Deed {
    deed(request, action, None)
}

const fn deed(request: RequestId, action: AuditAction, resource: Option<Uuid>) -> Deed {
    Deed {
        action,
        resource,
        request,
    }
}
