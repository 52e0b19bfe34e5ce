//! A volume as a row.

use std::{
    ffi::OsString,
    os::unix::ffi::{OsStrExt, OsStringExt},
};

use diesel::prelude::*;
use snapshot_domain::{
    Error, Losses, OrganizationId, Revision, SnapshotId, StoredVolume, Volume, VolumeId, VolumeLocation, VolumeState,
};

use crate::{
    columns::{self, Nonsense, id_column, number_column, tags_column},
    schema::volumes,
};

const WHAT: &str = "volume";

#[derive(Queryable, Selectable, Insertable, AsChangeset)]
#[diesel(table_name = volumes, primary_key(id, created_at))]
#[diesel(treat_none_as_null = true, treat_none_as_default_value = false)]
pub(crate) struct VolumeRow {
    pub(super) id: Vec<u8>,
    pub(super) organization_id: Vec<u8>,
    pub(super) name: String,
    pub(super) tags: String,
    pub(super) size_bytes: i64,
    pub(super) volume_type: String,
    pub(super) path: Option<Vec<u8>>,
    pub(super) base_snapshot_id: Option<Vec<u8>>,
    pub(super) created_at: i64,
    pub(super) modified_at: i64,
    pub(super) state: String,
    /// Changed by copies that begin and end alone.
    #[diesel(skip_update)]
    pub(super) copies: i64,
    pub(super) error_reason: Option<String>,
    pub(super) revision: i64,
    pub(super) losses: Option<String>,
}

/// The state's column. A volume that is being copied is `available` there, with `copies` above 0.
pub(super) mod state {
    pub(in super::super) const AVAILABLE: &str = "available";
    pub(in super::super) const SAVING: &str = "saving";
    pub(in super::super) const FETCHING: &str = "fetching";
    pub(in super::super) const ERROR: &str = "error";
}

impl TryFrom<&Volume> for VolumeRow {
    type Error = Error;

    fn try_from(volume: &Volume) -> Result<Self, Error> {
        let path = match volume.location() {
            VolumeLocation::Managed => None,
            VolumeLocation::Registered(path) => Some(path.as_os_str().as_bytes().to_vec()),
        };
        let (state, error_reason) = match volume.state() {
            VolumeState::Available { .. } => (state::AVAILABLE, None),
            VolumeState::Saving => (state::SAVING, None),
            VolumeState::Fetching => (state::FETCHING, None),
            VolumeState::Error { reason } => (state::ERROR, Some(reason.clone())),
        };
        Ok(Self {
            id: id_column(volume.id().as_uuid()),
            organization_id: id_column(volume.organization().as_uuid()),
            name: volume.name().as_str().to_owned(),
            tags: tags_column(volume.tags()),
            size_bytes: number_column(WHAT, volume.size().as_bytes())?,
            volume_type: volume.volume_type().as_str().to_owned(),
            path,
            base_snapshot_id: volume.base_snapshot().map(|id| id_column(id.as_uuid())),
            created_at: volume.created_at().as_micros(),
            modified_at: volume.modified_at().as_micros(),
            state: state.to_owned(),
            copies: i64::from(volume.copies()),
            error_reason,
            revision: number_column(WHAT, volume.revision().as_u64())?,
            losses: volume.losses().map(Losses::to_string),
        })
    }
}

impl TryFrom<VolumeRow> for Volume {
    type Error = Error;

    fn try_from(row: VolumeRow) -> Result<Self, Error> {
        let state = state(&row)?;
        let base_snapshot = row.base_snapshot_id.as_deref().map(|id| columns::id(WHAT, id));
        Ok(Self::from_stored(StoredVolume {
            id: VolumeId::new(columns::id(WHAT, &row.id)?),
            organization: OrganizationId::new(columns::id(WHAT, &row.organization_id)?),
            name: columns::name(WHAT, &row.name)?,
            tags: columns::tags(WHAT, &row.tags)?,
            size: columns::size(WHAT, row.size_bytes)?,
            volume_type: columns::volume_type(WHAT, &row.volume_type)?,
            location: match row.path {
                None => VolumeLocation::Managed,
                Some(path) => VolumeLocation::Registered(OsString::from_vec(path).into()),
            },
            base_snapshot: base_snapshot.transpose()?.map(SnapshotId::new),
            losses: columns::losses(WHAT, row.losses.as_deref())?,
            created_at: columns::moment(WHAT, row.created_at)?,
            modified_at: columns::moment(WHAT, row.modified_at)?,
            state,
            revision: Revision::new(columns::number(WHAT, row.revision)?),
        }))
    }
}

fn state(row: &VolumeRow) -> Result<VolumeState, Error> {
    match (row.state.as_str(), row.copies, &row.error_reason) {
        (state::AVAILABLE, copies, None) => Ok(VolumeState::Available {
            copies: columns::number(WHAT, copies)?,
        }),
        (state::SAVING, 0, None) => Ok(VolumeState::Saving),
        (state::FETCHING, 0, None) => Ok(VolumeState::Fetching),
        (state::ERROR, 0, Some(reason)) => Ok(VolumeState::Error { reason: reason.clone() }),
        (state::AVAILABLE | state::SAVING | state::FETCHING | state::ERROR, _, _) => {
            Err(Error::corrupt(WHAT, Nonsense::Combination(row.state.clone())))
        }
        (unknown, _, _) => Err(columns::unknown_word(WHAT, unknown, "state of a volume")),
    }
}
