//! The task that copies a volume into the vault.

use snapshot_domain::{Content, ContentDigest, Error, OrganizationId, SnapshotId, VolumeId};
use snapshot_vault::{BlobError, Domain, StoredCopy, VaultError};

use super::run::{Running, Workshop};
use crate::{
    capture,
    content::{domain_of, manifest_of, open_manifest},
    description::describe,
    error::MoveError,
};

/// Fills a snapshot. Returns the bytes that went through.
pub(super) fn run(
    workshop: &Workshop,
    running: &Running,
    snapshot: SnapshotId,
    volume: VolumeId,
    domain: OrganizationId,
) -> Result<u64, MoveError> {
    let keys = workshop.vault.domain(domain_of(domain))?;
    let stored = match keys.open_manifest(manifest_of(snapshot)) {
        // An earlier attempt came as far as the manifest: the copy is whole, only the row does not tell yet.
        Ok(stored) => stored,
        // A damaged one was torn when an earlier attempt stored it. The copy is made again, which replaces it.
        Err(VaultError::ManifestNotFound(_) | VaultError::Damaged { .. }) => {
            match copy(workshop, running, &keys, snapshot, volume, domain) {
                // A worker that was given up on was quicker: its copy is as whole as this one.
                Ok(()) | Err(MoveError::Vault(VaultError::ManifestExists(_))) => {}
                Err(error) => return Err(error),
            }
            keys.open_manifest(manifest_of(snapshot))?
        }
        Err(error) => return Err(error.into()),
    };
    let digest = ContentDigest::parse(&stored.digest().to_string()).map_err(|error| Error::corrupt("digest", error))?;
    let content = Content {
        digest,
        stored_bytes: stored.stored_bytes(),
    };
    workshop
        .tasks
        .complete_capture(&running.task.lease(), snapshot, &content)?;
    Ok(stored.size_bytes())
}

fn copy(
    workshop: &Workshop,
    running: &Running,
    keys: &Domain,
    snapshot: SnapshotId,
    volume: VolumeId,
    domain: OrganizationId,
) -> Result<(), MoveError> {
    let volume = workshop.tasks.volume(volume)?;
    let parent = match workshop.tasks.parent_of(&volume, domain)? {
        Some(parent) => usable_parent(workshop, parent.id(), domain)?,
        None => None,
    };
    let source = workshop.volumes.source(&volume)?;
    let frozen = source.freeze(volume.size())?;
    let session = keys.begin_copy(manifest_of(snapshot), volume.size().as_bytes(), parent.as_ref())?;
    let copied = capture::copy_into(
        &session,
        &*frozen,
        workshop.vault.chunk_size(),
        workshop.threads,
        &running.watch,
    );
    let thawed = frozen.thaw();
    copied?;
    thawed?;
    running.watch.check()?;
    // Read as late as possible: its owner may have renamed it while it was copied.
    let description = describe(&workshop.tasks.snapshot(snapshot)?);
    session.commit(&description)?;
    Ok(())
}

/// A parent only saves work: one that is damaged, or that the disk does not give back, is done without. When it is the store
/// as a whole that fails, what the copy has to store tells.
fn usable_parent(
    workshop: &Workshop,
    parent: SnapshotId,
    domain: OrganizationId,
) -> Result<Option<StoredCopy>, MoveError> {
    match open_manifest(&workshop.vault, domain, parent) {
        Ok(copy) => Ok(Some(copy)),
        Err(
            error @ (VaultError::Damaged { .. }
            | VaultError::UnsupportedVersion { .. }
            | VaultError::Blob(BlobError::Io { .. })),
        ) => {
            log::warn!(snapshot:% = parent; "the volume's latest snapshot can't be compared with: {error}");
            Ok(None)
        }
        // It was deleted a moment ago.
        Err(VaultError::ManifestNotFound(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}
