//! Opening what somebody registered: since then anything may have come to lie there.

use std::{
    cell::Cell,
    fs::{File, Metadata},
    os::{fd::OwnedFd, unix::fs::FileTypeExt},
    path::Path,
};

use rustix::{
    fs::{CWD, FileType, Mode, OFlags, ResolveFlags, fcntl_setfl, fstat, openat, openat2},
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

/// Opens what lies at a path. Waits for nobody, as opening a pipe does, and follows no link, neither to an image nor to a folder
/// above it: whoever may write to one of these could show the service files of others. Links to devices are followed in `/dev`,
/// where they are the names that last.
///
/// # Errors
///
/// [`SourceError::Missing`], [`SourceError::Link`], and [`SourceError::WrongKind`] for what is neither.
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
    let without_waiting = flags | OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let is_linked = Cell::new(false);
    let file = if names_devices(path) {
        let direct = openat(CWD, path, without_waiting | OFlags::NOFOLLOW, Mode::empty());
        direct.or_else(|error| {
            if error != Errno::LOOP {
                return Err(error);
            }
            is_linked.set(true);
            openat(CWD, path, without_waiting, Mode::empty())
        })
    } else {
        open_without_links(path, without_waiting)
    };
    let file = File::from(file.map_err(failed)?);
    fcntl_setfl(&file, flags & OFlags::DIRECT).map_err(failed)?;
    let opened = checked(file)?;
    match opened.kind {
        Kind::Image if is_linked.get() => Err(SourceError::Link),
        Kind::Image | Kind::Device => Ok(opened),
    }
}

fn failed(error: Errno) -> SourceError {
    match error {
        Errno::LOOP => SourceError::Link,
        error => SourceError::Missing(error.into()),
    }
}

/// Whether only the system makes links here. Anybody may in the folder for shared memory.
pub(super) fn names_devices(path: &Path) -> bool {
    path.starts_with("/dev") && !path.starts_with("/dev/shm")
}

/// Fails with [`Errno::LOOP`] where a link lies on the way.
fn open_without_links(path: &Path, flags: OFlags) -> rustix::io::Result<OwnedFd> {
    match openat2(CWD, path, flags, Mode::empty(), ResolveFlags::NO_SYMLINKS) {
        // Kernels before 5.6 don't know the call, and sandboxes that are older forbid it.
        Err(Errno::NOSYS | Errno::PERM) => open_step_by_step(path, flags),
        result => result,
    }
}

fn open_step_by_step(path: &Path, flags: OFlags) -> rustix::io::Result<OwnedFd> {
    let mut steps = path.components();
    let last = steps.next_back().ok_or(Errno::NOENT)?;
    let start = if path.is_absolute() { "/" } else { "." };
    let step_flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut folder = openat(CWD, start, step_flags, Mode::empty())?;
    for step in steps {
        folder = openat(&folder, step.as_os_str(), step_flags, Mode::empty())?;
        // Opened as a mere place, a link is opened itself.
        if FileType::from_raw_mode(fstat(&folder)?.st_mode).is_symlink() {
            return Err(Errno::LOOP);
        }
    }
    openat(&folder, last.as_os_str(), flags | OFlags::NOFOLLOW, Mode::empty())
}

fn checked(file: File) -> Result<Opened, SourceError> {
    let metadata = file.metadata().map_err(SourceError::Missing)?;
    let kind = Kind::of(&metadata).ok_or(SourceError::WrongKind)?;
    Ok(Opened { file, metadata, kind })
}

#[cfg(test)]
mod tests {
    use std::{os::unix::fs::symlink, path::PathBuf};

    use rustix::fs::mknodat;
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
    fn pipes_folders_and_other_devices_are_refused_at_once() {
        let pipe = |path: &Path| mknodat(CWD, path, FileType::Fifo, Mode::RUSR, 0).unwrap();
        for refused in [
            opened(pipe),
            opened(|path| std::fs::create_dir(path).unwrap()),
            open(Path::new("/dev/null")),
            open(Path::new("/dev/stdin")),
        ] {
            assert!(matches!(refused, Err(SourceError::WrongKind)), "{refused:?}");
        }
    }

    #[test]
    fn links_are_not_followed() {
        for refused in [
            opened(|path| symlink("/etc/hostname", path).unwrap()),
            opened(|path| symlink(path, path).unwrap()),
        ] {
            assert!(matches!(refused, Err(SourceError::Link)), "{refused:?}");
        }
    }

    type Way = fn(&Path, OFlags) -> rustix::io::Result<OwnedFd>;

    #[test]
    fn no_folder_above_an_image_may_be_a_link() {
        let ways: [Way; 2] = [open_without_links, open_step_by_step];
        for way in ways {
            let folder = TempDir::new().unwrap();
            let folder = folder.path().canonicalize().unwrap();
            std::fs::create_dir_all(folder.join("real/below")).unwrap();
            std::fs::write(folder.join("real/below/image"), "x").unwrap();
            symlink("real", folder.join("link")).unwrap();
            symlink("image", folder.join("real/below/other")).unwrap();
            let open = |path: &str| way(&folder.join(path), OFlags::RDONLY).map(|file| fstat(file).unwrap().st_size);

            assert_eq!(open("real/below/image"), Ok(1));
            assert_eq!(open("link/below/image"), Err(Errno::LOOP));
            assert_eq!(open("real/below/other"), Err(Errno::LOOP));
            assert_eq!(open("real/nothing/image"), Err(Errno::NOENT));
            assert_eq!(open("real/below/image/x"), Err(Errno::NOTDIR));
        }
    }
}
