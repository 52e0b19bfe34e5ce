//! A snapshot as a row.

use diesel::prelude::*;
use snapshot_domain::{
    BaseVolume, Content, ContentDigest, Error, Health, HealthName, OrganizationId, Revision, Snapshot, SnapshotId,
    SnapshotState, SnapshotStateName, StoredSnapshot, VolumeId,
};

use crate::{
    columns::{self, Nonsense, id_column, number_column, tags_column},
    schema::snapshots,
};

const WHAT: &str = "snapshot";

#[derive(Queryable, Selectable, Insertable, AsChangeset)]
#[diesel(table_name = snapshots, primary_key(id, created_at))]
#[diesel(treat_none_as_null = true, treat_none_as_default_value = false)]
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

/// A snapshot as it is read: with what no change of a snapshot writes.
#[derive(Queryable, Selectable)]
#[diesel(table_name = snapshots)]
pub(crate) struct StoredRow {
    #[diesel(embed)]
    pub(super) row: SnapshotRow,
    health: String,
    verified_at: Option<i64>,
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

    fn try_from(stored: StoredRow) -> Result<Self, Error> {
        let health = health(&stored)?;
        let row = stored.row;
        let state = state(&row)?;
        Ok(Self::from_stored(StoredSnapshot {
            id: SnapshotId::new(columns::id(WHAT, &row.id)?),
            organization: OrganizationId::new(columns::id(WHAT, &row.organization_id)?),
            domain: OrganizationId::new(columns::id(WHAT, &row.domain_id)?),
            name: columns::name(WHAT, &row.name)?,
            tags: columns::tags(WHAT, &row.tags)?,
            base_volume: BaseVolume {
                id: VolumeId::new(columns::id(WHAT, &row.base_volume_id)?),
                name: columns::name(WHAT, &row.base_volume_name)?,
            },
            size: columns::size(WHAT, row.size_bytes)?,
            volume_type: columns::volume_type(WHAT, &row.volume_type)?,
            created_at: columns::moment(WHAT, row.created_at)?,
            modified_at: columns::moment(WHAT, row.modified_at)?,
            state,
            health,
            revision: Revision::new(columns::number(WHAT, row.revision)?),
        }))
    }
}

fn health(row: &StoredRow) -> Result<Health, Error> {
    let name = HealthName::parse(&row.health)
        .ok_or_else(|| columns::unknown_word(WHAT, &row.health, "health of a snapshot"))?;
    let verified_at = row.verified_at.map(|at| columns::moment(WHAT, at)).transpose()?;
    match (name, verified_at) {
        (HealthName::Unverified, None) => Ok(Health::Unverified),
        (HealthName::Ok, Some(verified_at)) => Ok(Health::Ok { verified_at }),
        (HealthName::Damaged, Some(verified_at)) => Ok(Health::Damaged { verified_at }),
        _ => Err(Error::corrupt(WHAT, Nonsense::Combination(row.health.clone()))),
    }
}

fn state(row: &SnapshotRow) -> Result<SnapshotState, Error> {
    let name = SnapshotStateName::parse(&row.state)
        .ok_or_else(|| columns::unknown_word(WHAT, &row.state, "state of a snapshot"))?;
    match (name, &row.digest, row.stored_bytes, &row.error_reason) {
        (SnapshotStateName::Snapshotting, None, None, None) => Ok(SnapshotState::Snapshotting),
        (SnapshotStateName::Available, Some(digest), Some(stored_bytes), None) => {
            Ok(SnapshotState::Available(Content {
                digest: ContentDigest::parse(digest).map_err(|cause| Error::corrupt(WHAT, cause))?,
                stored_bytes: columns::number(WHAT, stored_bytes)?,
            }))
        }
        (SnapshotStateName::Error, None, None, Some(reason)) => Ok(SnapshotState::Error { reason: reason.clone() }),
        _ => Err(Error::corrupt(WHAT, Nonsense::Combination(row.state.clone()))),
    }
}
