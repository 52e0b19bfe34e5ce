//! The task that fills a volume from a snapshot.

use snapshot_domain::{Error, RestoreMode, RestoreSource, Volume, VolumeId, VolumeState};
use snapshot_vault::VaultError;

use super::run::{Running, Workshop, chain};
use crate::{content::open_manifest, error::MoveError, restore};

/// Fills a volume. Returns the bytes that went through.
pub(super) fn run(
    workshop: &Workshop,
    running: &Running,
    volume: VolumeId,
    source: RestoreSource,
    mode: RestoreMode,
) -> Result<u64, MoveError> {
    fill(workshop, running, volume, source, mode).inspect_err(|error| {
        // Whoever looks at the snapshot shall see it, not only whoever reads this volume's state.
        if let MoveError::Vault(VaultError::Damaged { .. }) = error {
            note_damage(workshop, source);
        }
    })
}

fn fill(
    workshop: &Workshop,
    running: &Running,
    volume: VolumeId,
    source: RestoreSource,
    mode: RestoreMode,
) -> Result<u64, MoveError> {
    let volume = still_fetching(workshop, volume)?;
    let copy = open_manifest(&workshop.vault, source.domain, source.snapshot)?;
    let image = workshop.volumes.new_image(&volume).map_err(MoveError::Target)?;
    let losses = restore::fill(&image.file, &copy, mode, workshop.threads, &running.watch)?;
    running.watch.check()?;
    still_fetching(workshop, volume.id())?;
    image.put_in_place().map_err(MoveError::Target)?;
    if losses.bytes() > 0 {
        log::warn!(snapshot:% = source.snapshot; "a volume was filled without {} bytes that are lost", losses.bytes());
        // Before anybody can use the volume: a snapshot of it must not count on what this one has lost.
        note_damage(workshop, source);
    }
    let lease = running.task.lease();
    match mode {
        RestoreMode::Whole => workshop.tasks.complete_restore(&lease, volume.id())?,
        RestoreMode::Salvage => workshop.tasks.complete_salvage(&lease, volume.id(), &losses)?,
    };
    Ok(copy.size_bytes())
}

/// The volume, as long as it waits to be filled. The end of the task may be stored although the database's answer was lost:
/// from then on the volume is its owner's, who may have written to it.
fn still_fetching(workshop: &Workshop, volume: VolumeId) -> Result<Volume, MoveError> {
    let volume = workshop.tasks.volume(volume)?;
    match volume.state() {
        VolumeState::Fetching => Ok(volume),
        VolumeState::Available { .. } | VolumeState::Saving | VolumeState::Error { .. } => {
            Err(MoveError::Domain(Error::LeaseLost))
        }
    }
}

fn note_damage(workshop: &Workshop, source: RestoreSource) {
    if let Err(error) = workshop.tasks.note_damage(source.snapshot) {
        log::warn!(snapshot:% = source.snapshot; "its damage could not be noted: {}", chain(&error));
    }
}
