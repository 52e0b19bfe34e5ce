//! The task that fills a volume from a snapshot.

use snapshot_domain::{RestoreSource, VolumeId};

use super::run::{Running, Workshop};
use crate::{content::open_manifest, error::MoveError, restore};

/// Fills a volume. Returns the bytes that went through.
pub(super) fn run(
    workshop: &Workshop,
    running: &Running,
    volume: VolumeId,
    source: RestoreSource,
) -> Result<u64, MoveError> {
    let volume = workshop.tasks.volume(volume)?;
    let copy = open_manifest(&workshop.vault, source.domain, source.snapshot)?;
    let image = workshop.volumes.new_image(&volume).map_err(MoveError::Target)?;
    restore::fill(&image.file, &copy, workshop.threads, &running.watch)?;
    running.watch.check()?;
    image.put_in_place().map_err(MoveError::Target)?;
    workshop.tasks.complete_restore(&running.task.lease(), volume.id())?;
    Ok(copy.size_bytes())
}
