//! Which images and devices of the host may become volumes, and by what name.

use std::{
    fs,
    os::unix::fs::{FileTypeExt as _, MetadataExt as _},
    path::{Component, Path, PathBuf},
};

use anyhow::{Context as _, bail};
use snapshot_store::Store;

use crate::settings::Settings;

/// The name that a volume keeps: absolute, for the server may run in another folder, and without links, except those that the
/// system makes to devices: what `/dev/mapper/data` means today may be called otherwise after the next start.
///
/// # Errors
///
/// When nothing is there, and for links to devices that lie elsewhere.
pub(crate) fn lasting(path: &Path) -> anyhow::Result<PathBuf> {
    let shown = path.display();
    let target = path.canonicalize().with_context(|| format!("{shown} can't be found"))?;
    let is_device = fs::metadata(&target).is_ok_and(|metadata| metadata.file_type().is_block_device());
    if !is_device {
        return Ok(target);
    }
    let absolute = std::path::absolute(path).with_context(|| format!("{shown} has no absolute path"))?;
    let goes_back = absolute.components().any(|part| part == Component::ParentDir);
    if absolute == target || absolute.starts_with("/dev") && !goes_back {
        Ok(absolute)
    } else {
        bail!(
            "{shown} leads to a device, {}: register the device itself, by a name in /dev that stays the same",
            target.display()
        )
    }
}

/// Refuses the service's own files: their bytes would be read by whoever reads the volume.
///
/// # Errors
///
/// When the path lies in the data folder, or is another name of the database or of the master key.
pub(crate) fn refuse_own(path: &Path, settings: &Settings, store: &Store) -> anyhow::Result<()> {
    let shown = path.display();
    if settings.data_dir.canonicalize().is_ok_and(|own| path.starts_with(own)) {
        bail!("{shown} belongs to the service itself: it lies in the data folder");
    }
    let key = settings.vault.master_key_file.clone();
    let key = key.unwrap_or_else(|| settings.data_dir.join("keys").join("master.key"));
    let inode = |path: &Path| fs::metadata(path).map(|metadata| (metadata.dev(), metadata.ino()));
    let wanted = inode(path).with_context(|| format!("{shown} can't be looked at"))?;
    let mut own = store.files().into_iter().chain([key]);
    if own.any(|own| inode(&own).is_ok_and(|own| own == wanted)) {
        bail!("{shown} belongs to the service itself: it is its database or its master key");
    }
    Ok(())
}
