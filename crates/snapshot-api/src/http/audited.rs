//! Noting what callers do.

use actix_web::HttpRequest;
use snapshot_domain::{AuditAction, OrganizationId, RequestId, use_case::Deed};
use uuid::Uuid;

use super::request_id;

/// What a request is about to do to something that is there, whoever owns it.
pub(super) fn deed_on(request: &HttpRequest, action: AuditAction, resource: Uuid) -> Deed {
    Deed {
        action,
        resource: Some(resource),
        owner: None,
        request: request_id::of(request),
    }
}

/// What a request is about to make for an organization.
pub(super) const fn making(request: RequestId, action: AuditAction, owner: OrganizationId) -> Deed {
    Deed {
        action,
        resource: None,
        owner: Some(owner),
        request,
    }
}
