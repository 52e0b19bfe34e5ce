//! Opening what somebody registered: since then anything may have come to lie there.

use std::{
    fs::{File, Metadata},
    io,
    os::unix::fs::{FileTypeExt, OpenOptionsExt},
    path::Path,
};

use rustix::{
    fs::{OFlags, fcntl_setfl},
    io::Errno,
};

use super::SourceError;

/// What can be a volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A regular file.
    Image,
    /// A block device.
    Device,
}

impl Kind {
    fn of(metadata: &Metadata) -> Option<Self> {
        let kind = metadata.file_type();
        if kind.is_file() {
            Some(Self::Image)
        } else {
            kind.is_block_device().then_some(Self::Device)
        }
    }
}

/// An image or a device, opened for reading.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) file: File,
    pub(crate) metadata: Metadata,
    pub(crate) kind: Kind,
}

/// Opens what lies at a path. Waits for nobody, as opening a pipe does, and follows no link: whoever may write to an image's
/// folder could show the service files of others. Links to devices are followed in `/dev`, where they are the names that
/// last.
///
/// # Errors
///
/// [`SourceError::Missing`], and [`SourceError::WrongKind`] for what is neither.
pub(crate) fn open(path: &Path) -> Result<Opened, SourceError> {
    open_with(path, OFlags::empty())
}

/// As [`open`], past the page cache.
///
/// # Errors
///
/// Those of [`open`].
pub(super) fn open_direct(path: &Path) -> Result<Opened, SourceError> {
    open_with(path, OFlags::DIRECT)
}

fn open_with(path: &Path, flags: OFlags) -> Result<Opened, SourceError> {
    match open_as(path, flags | OFlags::NOFOLLOW) {
        Err(error) if error.raw_os_error() == Some(Errno::LOOP.raw_os_error()) => {
            if !names_devices(path) {
                return Err(SourceError::WrongKind);
            }
            let target = open_as(path, flags).map_err(SourceError::Missing)?;
            checked(target).and_then(|opened| match opened.kind {
                Kind::Device => Ok(opened),
                Kind::Image => Err(SourceError::WrongKind),
            })
        }
        opened => checked(opened.map_err(SourceError::Missing)?),
    }
}

/// Whether only the system makes links here. Anybody may in the folder for shared memory.
pub(super) fn names_devices(path: &Path) -> bool {
    path.starts_with("/dev") && !path.starts_with("/dev/shm")
}

fn open_as(path: &Path, flags: OFlags) -> io::Result<File> {
    let without_waiting = (flags | OFlags::NONBLOCK).bits();
    let without_waiting = i32::try_from(without_waiting).expect("open flags fit into an int: open(2) takes one");
    let file = File::options().read(true).custom_flags(without_waiting).open(path)?;
    fcntl_setfl(&file, flags & OFlags::DIRECT)?;
    Ok(file)
}

fn checked(file: File) -> Result<Opened, SourceError> {
    let metadata = file.metadata().map_err(SourceError::Missing)?;
    let kind = Kind::of(&metadata).ok_or(SourceError::WrongKind)?;
    Ok(Opened { file, metadata, kind })
}

#[cfg(test)]
mod tests {
    use std::{os::unix::fs::symlink, path::PathBuf};

    use rustix::fs::{CWD, FileType, Mode, mknodat};
    use tempfile::TempDir;

    use super::*;

    fn opened(make: impl FnOnce(&Path)) -> Result<Opened, SourceError> {
        let folder = TempDir::new().unwrap();
        let path: PathBuf = folder.path().join("image");
        make(&path);
        open(&path)
    }

    #[test]
    fn images_are_opened_and_what_is_not_there_is_told() {
        let image = opened(|path| std::fs::write(path, "x").unwrap()).unwrap();
        let missing = opened(|_| {});

        assert_eq!((image.kind, image.metadata.len()), (Kind::Image, 1));
        assert!(matches!(missing, Err(SourceError::Missing(_))), "{missing:?}");
    }

    #[test]
    fn pipes_links_folders_and_other_devices_are_refused_at_once() {
        let pipe = |path: &Path| mknodat(CWD, path, FileType::Fifo, Mode::RUSR, 0).unwrap();
        for refused in [
            opened(pipe),
            opened(|path| symlink("/etc/hostname", path).unwrap()),
            opened(|path| symlink(path, path).unwrap()),
            opened(|path| std::fs::create_dir(path).unwrap()),
            open(Path::new("/dev/null")),
            open(Path::new("/dev/stdin")),
        ] {
            assert!(matches!(refused, Err(SourceError::WrongKind)), "{refused:?}");
        }
    }
}
