//! A snapshot as a row.

use diesel::{
    prelude::*,
    sql_types::{BigInt, Binary, Nullable, Text},
};
use snapshot_domain::{
    BaseVolume, Content, ContentDigest, Error, Health, HealthName, OrganizationId, Revision, Snapshot, SnapshotId,
    SnapshotState, SnapshotStateName, StoredSnapshot, VolumeId, VolumeType, ports::Measured,
};

use crate::{
    columns::{self, IdColumn, Nonsense, WordColumn, id_column, number_column, tags_column},
    row_insert::insert_into,
    schema::{domain_sizes, snapshots},
};

const WHAT: &str = "snapshot";

#[derive(AsChangeset)]
#[diesel(table_name = snapshots, primary_key(id, created_at))]
#[diesel(treat_none_as_null = true)]
pub(crate) struct SnapshotRow {
    pub(super) id: Vec<u8>,
    pub(super) organization_id: Vec<u8>,
    pub(super) domain_id: Vec<u8>,
    pub(super) name: String,
    pub(super) tags: String,
    pub(super) base_volume_id: Vec<u8>,
    pub(super) base_volume_name: String,
    pub(super) size_bytes: i64,
    pub(super) volume_type: String,
    pub(super) created_at: i64,
    pub(super) modified_at: i64,
    pub(super) state: String,
    pub(super) digest: Option<String>,
    pub(super) stored_bytes: Option<i64>,
    pub(super) error_reason: Option<String>,
    pub(super) revision: i64,
}

insert_into!("snapshots", SnapshotRow {
    id: Binary,
    organization_id: Binary,
    domain_id: Binary,
    name: Text,
    tags: Text,
    base_volume_id: Binary,
    base_volume_name: Text,
    size_bytes: BigInt,
    volume_type: Text,
    created_at: BigInt,
    modified_at: BigInt,
    state: Text,
    digest: Nullable<Text>,
    stored_bytes: Nullable<BigInt>,
    error_reason: Nullable<Text>,
    revision: BigInt,
});

/// A snapshot as it is read: with what no change of a snapshot writes.
#[derive(Queryable, Selectable)]
#[diesel(table_name = snapshots)]
pub(crate) struct StoredRow {
    pub(super) id: IdColumn,
    organization_id: IdColumn,
    pub(super) domain_id: IdColumn,
    name: String,
    tags: String,
    base_volume_id: IdColumn,
    base_volume_name: String,
    size_bytes: i64,
    volume_type: WordColumn<VolumeType>,
    pub(super) created_at: i64,
    modified_at: i64,
    state: WordColumn<SnapshotStateName>,
    digest: Option<String>,
    stored_bytes: Option<i64>,
    error_reason: Option<String>,
    revision: i64,
    health: WordColumn<HealthName>,
    verified_at: Option<i64>,
}

/// A snapshot, what was measured of it, and what tells whether that still holds.
pub(crate) type MeasuredRow = (StoredRow, Option<i64>, Option<i64>);

/// The columns of a [`MeasuredRow`].
macro_rules! measured {
    () => {
        (
            StoredRow::as_select(),
            snapshots::exclusive_bytes,
            domain_sizes::changes.nullable(),
        )
    };
}
pub(super) use measured;

/// Snapshots with what was measured of them, for as long as it holds.
#[diesel::dsl::auto_type]
pub(super) fn with_sizes() -> _ {
    snapshots::table.left_join(
        domain_sizes::table.on(domain_sizes::domain_id
            .eq(snapshots::domain_id)
            .and(domain_sizes::measured.eq(domain_sizes::changes.nullable()))),
    )
}

impl TryFrom<&Snapshot> for SnapshotRow {
    type Error = Error;

    fn try_from(snapshot: &Snapshot) -> Result<Self, Error> {
        let (digest, stored_bytes, error_reason) = match snapshot.state() {
            SnapshotState::Snapshotting => (None, None, None),
            SnapshotState::Available(content) => (
                Some(content.digest.as_str().to_owned()),
                Some(number_column(WHAT, content.stored_bytes)?),
                None,
            ),
            SnapshotState::Error { reason } => (None, None, Some(reason.clone())),
        };
        Ok(Self {
            id: id_column(snapshot.id().as_uuid()),
            organization_id: id_column(snapshot.organization().as_uuid()),
            domain_id: id_column(snapshot.domain().as_uuid()),
            name: snapshot.name().as_str().to_owned(),
            tags: tags_column(snapshot.tags()),
            base_volume_id: id_column(snapshot.base_volume().id.as_uuid()),
            base_volume_name: snapshot.base_volume().name.as_str().to_owned(),
            size_bytes: number_column(WHAT, snapshot.size().as_bytes())?,
            volume_type: snapshot.volume_type().as_str().to_owned(),
            created_at: snapshot.created_at().as_micros(),
            modified_at: snapshot.modified_at().as_micros(),
            state: snapshot.state().name().as_str().to_owned(),
            digest,
            stored_bytes,
            error_reason,
            revision: number_column(WHAT, snapshot.revision().as_u64())?,
        })
    }
}

impl TryFrom<StoredRow> for Snapshot {
    type Error = Error;

    fn try_from(row: StoredRow) -> Result<Self, Error> {
        let health = health(&row)?;
        let state = state(row.state.0, row.digest, row.stored_bytes, row.error_reason)?;
        Ok(Self::from_stored(StoredSnapshot {
            id: SnapshotId::new(row.id.0),
            organization: OrganizationId::new(row.organization_id.0),
            domain: OrganizationId::new(row.domain_id.0),
            name: columns::owned_name(WHAT, row.name)?,
            tags: columns::tags(WHAT, &row.tags)?,
            base_volume: BaseVolume {
                id: VolumeId::new(row.base_volume_id.0),
                name: columns::owned_name(WHAT, row.base_volume_name)?,
            },
            size: columns::size(WHAT, row.size_bytes)?,
            volume_type: row.volume_type.0,
            created_at: columns::moment(WHAT, row.created_at)?,
            modified_at: columns::moment(WHAT, row.modified_at)?,
            state,
            health,
            revision: Revision::new(columns::number(WHAT, row.revision)?),
        }))
    }
}

/// A snapshot with its size, where the domain's row says that it is the present one.
pub(super) fn measured_snapshot((row, exclusive_bytes, holds): MeasuredRow) -> Result<Measured, Error> {
    let exclusive_bytes = holds.and(exclusive_bytes);
    Ok(Measured {
        snapshot: row.try_into()?,
        exclusive_bytes: exclusive_bytes
            .map(|bytes| columns::number("size", bytes))
            .transpose()?,
    })
}

fn health(row: &StoredRow) -> Result<Health, Error> {
    let name = row.health.0;
    let verified_at = row.verified_at.map(|at| columns::moment(WHAT, at)).transpose()?;
    match (name, verified_at) {
        (HealthName::Unverified, None) => Ok(Health::Unverified),
        (HealthName::Ok, Some(verified_at)) => Ok(Health::Ok { verified_at }),
        (HealthName::Damaged, Some(verified_at)) => Ok(Health::Damaged { verified_at }),
        _ => Err(Error::corrupt(WHAT, Nonsense::Combination(name.to_string()))),
    }
}

fn state(
    name: SnapshotStateName,
    digest: Option<String>,
    stored_bytes: Option<i64>,
    error_reason: Option<String>,
) -> Result<SnapshotState, Error> {
    match (name, digest, stored_bytes, error_reason) {
        (SnapshotStateName::Snapshotting, None, None, None) => Ok(SnapshotState::Snapshotting),
        (SnapshotStateName::Available, Some(digest), Some(stored_bytes), None) => {
            Ok(SnapshotState::Available(Content {
                digest: ContentDigest::try_from(digest).map_err(|cause| Error::corrupt(WHAT, cause))?,
                stored_bytes: columns::number(WHAT, stored_bytes)?,
            }))
        }
        (SnapshotStateName::Error, None, None, Some(reason)) => Ok(SnapshotState::Error { reason }),
        _ => Err(Error::corrupt(WHAT, Nonsense::Combination(name.to_string()))),
    }
}
