//! The parameters that several handlers share.

#![expect(dead_code, reason = "described, and never made")]

use utoipa::IntoParams;

use super::words;

/// What is meant.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
pub(in crate::http) struct ById {
    /// The id.
    #[param(format = Uuid)]
    id: String,
}

/// Which part of a list is wanted.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(in crate::http) struct Cut {
    #[param(schema_with = words::page)]
    page: Option<u64>,
    #[param(schema_with = words::per_page)]
    per_page: Option<u64>,
}

/// What narrows a list of snapshots.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(in crate::http) struct SnapshotFilters {
    /// Owned by this one of the caller's organizations.
    #[param(format = Uuid)]
    organization: Option<String>,
    /// The same as `organization`.
    #[param(format = Uuid)]
    project: Option<String>,
    /// Called exactly this.
    #[param(schema_with = words::name)]
    name: Option<String>,
    /// With all of these tags, which are separated by commas.
    #[param(schema_with = words::comma_separated_tags)]
    tags: Option<String>,
    /// Taken of this volume.
    #[param(format = Uuid)]
    base_volume_id: Option<String>,
    /// In this state.
    #[param(schema_with = words::snapshot_state)]
    state: Option<String>,
}

/// What narrows a list of volumes.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(in crate::http) struct VolumeFilters {
    /// Owned by this one of the caller's organizations.
    #[param(format = Uuid)]
    organization: Option<String>,
    /// The same as `organization`.
    #[param(format = Uuid)]
    project: Option<String>,
    /// Called exactly this.
    #[param(schema_with = words::name)]
    name: Option<String>,
    /// With all of these tags, which are separated by commas.
    #[param(schema_with = words::comma_separated_tags)]
    tags: Option<String>,
    /// In this state.
    #[param(schema_with = words::volume_state)]
    state: Option<String>,
}

/// What narrows the audit trail.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(in crate::http) struct AuditFilters {
    /// Of this one of the caller's organizations.
    #[param(format = Uuid)]
    organization: Option<String>,
    /// The same as `organization`.
    #[param(format = Uuid)]
    project: Option<String>,
    /// Only this was done.
    #[param(schema_with = words::audit_action)]
    action: Option<String>,
    /// To this.
    #[param(format = Uuid)]
    resource_id: Option<String>,
    /// With this token, by its id.
    #[param(format = Uuid)]
    token: Option<String>,
    /// Not before.
    #[param(format = DateTime)]
    since: Option<String>,
    /// Before.
    #[param(format = DateTime)]
    until: Option<String>,
}

/// Waiting until something is settled.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(in crate::http) struct Waiting {
    /// Answer only when the state is final.
    #[param(schema_with = words::wait)]
    wait: Option<String>,
    #[param(schema_with = words::timeout)]
    timeout: Option<u64>,
}

/// Filling a volume with what is whole.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(in crate::http) struct Salvaging {
    /// Write everything of a damaged snapshot that is whole, and zeros elsewhere. Only together with `base_snapshot`.
    salvage: Option<bool>,
}

/// Which state of something a request is about.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
pub(in crate::http) struct Conditions {
    /// Only if its `ETag` is one of these; otherwise 412.
    #[param(rename = "If-Match", schema_with = words::entity_tags)]
    if_match: Option<String>,
}

/// What the caller knows already.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
pub(in crate::http) struct Known {
    /// Only if its `ETag` is none of these; otherwise 304.
    #[param(rename = "If-None-Match", schema_with = words::entity_tags)]
    if_none_match: Option<String>,
}

/// Once, however often it is sent.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
pub(in crate::http) struct Once {
    /// The same key and body are carried out once within 24 hours, and answered the same again; the same key with another
    /// body is a 409.
    #[param(rename = "Idempotency-Key", schema_with = words::idempotency_key)]
    idempotency_key: Option<String>,
}

/// A part of the bytes.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
pub(in crate::http) struct Ranged {
    /// One range of bytes. Anything else counts as if it were not there.
    #[param(rename = "Range", example = "bytes=0-511")]
    range: Option<String>,
    /// Answer a part only if the `ETag` is this, otherwise everything.
    #[param(rename = "If-Range")]
    if_range: Option<String>,
    /// Only if the `ETag` is one of these; otherwise 412.
    #[param(rename = "If-Match", schema_with = words::entity_tags)]
    if_match: Option<String>,
    /// Answer nothing if the `ETag` is one of these.
    #[param(rename = "If-None-Match")]
    if_none_match: Option<String>,
}

/// Where a stream of events went on to.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
pub(in crate::http) struct Resumed {
    /// The id of the last event that the client has seen.
    #[param(rename = "Last-Event-ID")]
    last_event_id: Option<String>,
}
