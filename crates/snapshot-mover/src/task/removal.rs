//! The tasks that remove what no row names any more.

use snapshot_domain::{OrganizationId, SnapshotId, TaskOutcome, VolumeId};
use snapshot_vault::Vault;

use super::run::{Running, Workshop};
use crate::{
    content::{domain_of, manifest_of},
    error::MoveError,
};

/// Removes the bytes of a volume whose row is gone.
pub(super) fn erase_volume(workshop: &Workshop, running: &Running, volume: VolumeId) -> Result<u64, MoveError> {
    workshop.volumes.remove_image(volume).map_err(MoveError::Target)?;
    workshop.tasks.finish(&running.task.lease(), TaskOutcome::Succeeded)?;
    Ok(0)
}

/// Removes the manifest of a snapshot whose row is gone.
pub(super) fn forget_snapshot(
    workshop: &Workshop,
    running: &Running,
    snapshot: SnapshotId,
    domain: OrganizationId,
) -> Result<u64, MoveError> {
    delete_manifest(&workshop.vault, snapshot, domain)?;
    workshop.tasks.finish(&running.task.lease(), TaskOutcome::Succeeded)?;
    Ok(0)
}

/// Removes a manifest. One that is gone already is no error.
pub(super) fn delete_manifest(vault: &Vault, snapshot: SnapshotId, domain: OrganizationId) -> Result<(), MoveError> {
    vault
        .domain(domain_of(domain))?
        .delete_manifest(manifest_of(snapshot))?;
    Ok(())
}
