//! `/audit`

use actix_web::{HttpRequest, HttpResponse, web::Data};
use serde::Serialize;
use snapshot_domain::{
    Actor, AuditEntry, Result as DomainResult, Right, Scope, TokenId,
    ports::{AuditCursor, AuditQuery, Slice},
    use_case::Tracked,
};
use utoipa::ToSchema;

use crate::http::{
    Api,
    error::ApiError,
    field::{self, Fields},
    list::{self, Listed},
    openapi::{parameters, requests, words},
    shown,
};

/// Lists who did what, the oldest first. For admins.
#[utoipa::path(
    get, path = "/audit", operation_id = "list_audit", tag = "audit",
    params(parameters::Cut, parameters::AuditFilters),
    responses((status = 200, description = "The entries", body = requests::Audit,
        headers(
            ("X-Total-Count" = u64, description = "How many match, on all pages"),
            ("Link" = Option<String>, description = "The pages around this one, where pages are asked for"),
        ))),
)]
pub(super) async fn list(api: Data<Api>, request: HttpRequest) -> Result<HttpResponse, ApiError> {
    list::answer::<AuditEntry>(&api, &request).await
}

/// An entry of the audit trail.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AuditEntry)]
pub(in crate::http) struct AuditBody {
    #[schema(format = Uuid)]
    id: String,
    #[schema(format = DateTime)]
    date: String,
    /// Nothing for the command line of the host and for who accepted an offer of this organization, as `account`.
    #[schema(format = Uuid)]
    token: Option<String>,
    #[schema(format = Uuid)]
    account: Option<String>,
    #[schema(format = Uuid)]
    organization: String,
    #[schema(schema_with = words::audit_action, required)]
    action: &'static str,
    #[schema(format = Uuid)]
    resource_id: Option<String>,
    #[schema(schema_with = words::audit_result, required)]
    result: &'static str,
    #[schema(format = Uuid)]
    request_id: String,
}

impl Listed for AuditEntry {
    const NAME: &'static str = "audit";
    const RIGHT: Right = Right::Administer;
    const FILTERS: &'static [&'static str] = &[
        "organization",
        "project",
        "action",
        "resource_id",
        "token",
        "since",
        "until",
    ];
    type Query = AuditQuery;
    type Cursor = AuditCursor;

    fn query(fields: &mut Fields, scope: Option<Scope>) -> Option<AuditQuery> {
        let action = fields.optional("action", field::audit_action);
        let resource = fields.optional("resource_id", field::uuid);
        let token = fields.optional("token", field::uuid);
        let since = fields.optional("since", field::moment);
        let until = fields.optional("until", field::moment);
        Some(AuditQuery {
            scope: scope?,
            action: action?,
            resource: resource?,
            token: token?.map(TokenId::new),
            since: since?,
            until: until?,
        })
    }

    fn is_counted(_query: &AuditQuery) -> bool {
        false
    }

    fn count(api: &Api, query: &AuditQuery) -> DomainResult<u64> {
        api.audit.count(query)
    }

    fn slice(api: &Api, query: &AuditQuery, slice: Slice<AuditCursor>) -> DomainResult<Vec<Tracked<Self>>> {
        let entries = api.audit.list(query, slice)?;
        let track = |item| Tracked {
            item,
            progress: None,
            exclusive_bytes: None,
        };
        Ok(entries.into_iter().map(track).collect())
    }

    fn short_slice(
        _api: &Api,
        _query: &AuditQuery,
        _slice: Slice<AuditCursor>,
    ) -> DomainResult<Option<Vec<Tracked<Self>>>> {
        Ok(None)
    }

    fn cursor(&self) -> AuditCursor {
        AuditCursor::of(self)
    }

    fn write(Tracked { item, .. }: &Tracked<Self>, _zone: &str, json: &mut Vec<u8>) {
        let (token, account) = match item.actor {
            Actor::Token { token, account } => (Some(token.to_string()), Some(account.to_string())),
            Actor::Host => (None, None),
        };
        let body = AuditBody {
            id: item.id.to_string(),
            date: item.at.to_string(),
            token,
            account,
            organization: item.organization.to_string(),
            action: item.action.as_str(),
            resource_id: item.resource.map(|id| id.to_string()),
            result: item.outcome.as_str(),
            request_id: item.request.to_string(),
        };
        shown::write(json, &body);
    }
}
