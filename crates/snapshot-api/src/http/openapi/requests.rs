//! The bodies that are sent. Handlers read them field by field, so that everything that is wrong is said at once; here they
//! are described.

#![expect(dead_code, reason = "described, and never made")]

use utoipa::ToSchema;

use super::words;

/// A snapshot that is asked for.
#[derive(ToSchema)]
pub(in crate::http) struct NewSnapshot {
    #[schema(schema_with = words::name, required)]
    name: String,
    #[schema(schema_with = words::owner, required)]
    organization: String,
    #[schema(schema_with = words::volume_to_copy, required)]
    volume_id: String,
    #[schema(schema_with = words::optional_tags)]
    tags: Option<Vec<String>>,
}

/// Changes to a snapshot. What is not given stays.
#[derive(ToSchema)]
pub(in crate::http) struct SnapshotChanges {
    #[schema(schema_with = words::optional_name)]
    name: Option<String>,
    #[schema(schema_with = words::new_owner)]
    organization: Option<String>,
    #[schema(schema_with = words::optional_tags)]
    tags: Option<Vec<String>>,
}

/// A volume that is asked for.
#[derive(ToSchema)]
#[serde(untagged)]
pub(in crate::http) enum NewVolume {
    Empty(EmptyVolume),
    Restored(RestoredVolume),
}

/// A volume of zeros.
#[derive(ToSchema)]
pub(in crate::http) struct EmptyVolume {
    #[schema(schema_with = words::name, required)]
    name: String,
    #[schema(schema_with = words::owner, required)]
    organization: String,
    #[schema(schema_with = words::size, required)]
    size: u64,
    #[schema(schema_with = words::nothing)]
    base_snapshot: (),
    #[schema(schema_with = words::optional_volume_type)]
    volume_type: Option<String>,
    #[schema(schema_with = words::optional_tags)]
    tags: Option<Vec<String>>,
}

/// A volume that is filled from a snapshot, and as large as that.
#[derive(ToSchema)]
pub(in crate::http) struct RestoredVolume {
    #[schema(schema_with = words::name, required)]
    name: String,
    #[schema(schema_with = words::owner, required)]
    organization: String,
    #[schema(schema_with = words::snapshot_to_restore, required)]
    base_snapshot: String,
    #[schema(schema_with = words::nothing)]
    size: (),
    #[schema(schema_with = words::optional_volume_type)]
    volume_type: Option<String>,
    #[schema(schema_with = words::optional_tags)]
    tags: Option<Vec<String>>,
}

/// Changes to a volume. What is not given stays.
#[derive(ToSchema)]
pub(in crate::http) struct VolumeChanges {
    #[schema(schema_with = words::optional_name)]
    name: Option<String>,
    #[schema(schema_with = words::optional_tags)]
    tags: Option<Vec<String>>,
}

/// A snapshot that is offered.
#[derive(ToSchema)]
pub(in crate::http) struct NewTransfer {
    #[schema(schema_with = words::receiver)]
    organization: Option<String>,
    #[schema(schema_with = words::expiry)]
    expires_in_seconds: Option<u32>,
}

/// An offer that is accepted.
#[derive(ToSchema)]
pub(in crate::http) struct Acceptance {
    #[schema(schema_with = words::secret, required)]
    secret: String,
    #[schema(schema_with = words::owner, required)]
    organization: String,
}

/// A part of the audit trail.
#[derive(ToSchema)]
pub(in crate::http) struct Audit {
    audit: Vec<crate::http::routes::audit::AuditBody>,
}

/// The bytes of a volume, as they are.
#[derive(ToSchema)]
#[schema(value_type = String, format = Binary)]
pub(in crate::http) struct RawImage(Vec<u8>);

/// What a stream of events tells.
#[derive(ToSchema)]
pub(in crate::http) struct Event {
    #[schema(rename = "event", schema_with = words::event, required)]
    kind: String,
    /// Where the stream goes on from, as `Last-Event-ID`.
    id: Option<String>,
    /// The snapshot as JSON, as `GET` answers it.
    data: String,
}

/// A list of snapshots.
#[derive(ToSchema)]
pub(in crate::http) struct Snapshots {
    snapshots: Vec<crate::http::body::SnapshotBody<'static>>,
}

/// A list of volumes.
#[derive(ToSchema)]
pub(in crate::http) struct Volumes {
    volumes: Vec<crate::http::body::VolumeBody>,
}
