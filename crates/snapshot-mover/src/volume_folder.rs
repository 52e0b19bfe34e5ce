//! The bytes of volumes.
//!
//! ```text
//! volumes/
//!   <volume id>.raw       a managed volume: a sparse raw image, replaced as a whole and never written in place
//!   staging/<volume id>.* new bytes on their way; of no use after a restart
//! ```

use std::{
    fs::{self, DirBuilder, File},
    io,
    os::unix::fs::{DirBuilderExt, FileExt, MetadataExt},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

use snapshot_domain::{
    Error, Result, Volume, VolumeId, VolumeLocation,
    ports::{OpenVolume, ReadAt, StagedWrite, VolumeBytes},
};

use crate::{
    error::io_error,
    source::{self, Opened, SourceError, VolumeSource},
    sparse::{Runs, SparseFile},
};

/// The folder in which managed volumes lie.
#[derive(Debug)]
pub struct VolumeFolder {
    folder: PathBuf,
    staged: AtomicU64,
}

impl VolumeFolder {
    /// Opens the folder, and makes it when it is not there. What an earlier process had staged is removed: only one
    /// process may have the folder open.
    ///
    /// # Errors
    ///
    /// Those of the file system.
    pub fn open(folder: &Path) -> io::Result<Self> {
        let staging = folder.join("staging");
        DirBuilder::new().recursive(true).mode(0o700).create(&staging)?;
        for left_over in fs::read_dir(&staging)? {
            fs::remove_file(left_over?.path())?;
        }
        sync_folder(folder)?;
        Ok(Self {
            // The operator's own links are followed once, here.
            folder: folder.canonicalize()?,
            staged: AtomicU64::new(0),
        })
    }

    /// Where a volume's bytes can be copied from.
    pub(crate) fn source(&self, volume: &Volume) -> std::result::Result<Box<dyn VolumeSource>, SourceError> {
        source::at(&self.path(volume))
    }

    /// Begins a new image beside the volume's present one.
    pub(crate) fn new_image(&self, volume: &Volume) -> io::Result<NewImage> {
        let number = self.staged.fetch_add(1, Ordering::Relaxed);
        let path = self.folder.join("staging").join(format!("{}.{number}", volume.id()));
        let file = SparseFile::create(&path, volume.size().as_bytes())?;
        Ok(NewImage {
            file,
            staged_at: StagedPath(path),
            goes_to: self.managed_path(volume.id()),
        })
    }

    /// Removes the image of a managed volume, durably. One that is not there is fine.
    pub(crate) fn remove_image(&self, id: VolumeId) -> io::Result<()> {
        match fs::remove_file(self.managed_path(id)) {
            // It may have gone just now, with its folder not yet synced.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            removed => removed?,
        }
        sync_folder(&self.folder)
    }

    fn path(&self, volume: &Volume) -> PathBuf {
        match volume.location() {
            VolumeLocation::Managed => self.managed_path(volume.id()),
            VolumeLocation::Registered(path) => path.clone(),
        }
    }

    fn managed_path(&self, id: VolumeId) -> PathBuf {
        self.folder.join(format!("{id}.raw"))
    }
}

fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// An image that is not in its place yet. Dropping it removes it.
pub(crate) struct NewImage {
    pub(crate) file: SparseFile,
    staged_at: StagedPath,
    goes_to: PathBuf,
}

struct StagedPath(PathBuf);

impl Drop for StagedPath {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&self.0)
            && error.kind() != io::ErrorKind::NotFound
        {
            log::warn!("a staged image could not be removed, the next start will try again: {error}");
        }
    }
}

impl NewImage {
    /// Puts the image in the volume's place, durably. Everything in it must be on disk before.
    pub(crate) fn put_in_place(self) -> io::Result<()> {
        fs::rename(&self.staged_at.0, &self.goes_to)?;
        let folder = self.goes_to.parent().expect("an image lies in the folder of volumes");
        sync_folder(folder)
    }
}

/// Opens an image or a device; an image that is too short for its volume can't be read to its end.
fn open_image(path: &Path, size_bytes: u64) -> std::result::Result<Opened, SourceError> {
    let opened = source::open(path)?;
    let actual = opened.metadata.len();
    if opened.metadata.is_file() && actual < size_bytes {
        return Err(SourceError::WrongSize {
            expected: size_bytes,
            actual,
        });
    }
    Ok(opened)
}

/// Which image it was, for whoever reads the log.
#[derive(Debug, thiserror::Error)]
#[error("{} can't be opened", path.display())]
struct Unopened {
    path: PathBuf,
    source: SourceError,
}

impl VolumeBytes for VolumeFolder {
    fn create(&self, volume: &Volume) -> Result<()> {
        let image = self.new_image(volume).map_err(io_error)?;
        image.file.sync().map_err(io_error)?;
        image.put_in_place().map_err(io_error)
    }

    fn open(&self, volume: &Volume) -> Result<OpenVolume> {
        let path = self.path(volume);
        let opened = open_image(&path, volume.size().as_bytes());
        let Opened { file, metadata, .. } = opened.map_err(|source| Error::unavailable(Unopened { path, source }))?;
        let version = metadata.is_file().then(|| {
            format!(
                "{:x}-{:x}-{:x}-{:x}-{:x}",
                metadata.ino(),
                metadata.ctime(),
                metadata.ctime_nsec(),
                metadata.mtime(),
                metadata.mtime_nsec()
            )
        });
        Ok(OpenVolume {
            bytes: Box::new(FileReader(file)),
            version,
        })
    }

    fn stage(&self, volume: &Volume) -> Result<Box<dyn StagedWrite>> {
        let image = self.new_image(volume).map_err(io_error)?;
        Ok(Box::new(StagedImage {
            image,
            runs: Runs::new(),
            written_bytes: 0,
            size_bytes: volume.size().as_bytes(),
        }))
    }

    fn remove(&self, volume: VolumeId) -> Result<()> {
        self.remove_image(volume).map_err(io_error)
    }
}

struct FileReader(File);

impl ReadAt for FileReader {
    fn read_at(&mut self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        self.0.read_exact_at(buffer, offset).map_err(io_error)
    }
}

/// Bytes that arrive in pieces of any size, one after the other.
struct StagedImage {
    image: NewImage,
    runs: Runs,
    written_bytes: u64,
    size_bytes: u64,
}

impl StagedWrite for StagedImage {
    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        if bytes.len() as u64 > self.size_bytes - self.written_bytes {
            return Err(Error::TooManyBytes {
                size_bytes: self.size_bytes,
            });
        }
        self.runs
            .write(&self.image.file, self.written_bytes, bytes)
            .map_err(io_error)?;
        self.written_bytes += bytes.len() as u64;
        Ok(())
    }

    fn commit(mut self: Box<Self>) -> Result<()> {
        self.runs.flush(&self.image.file).map_err(io_error)?;
        self.image.file.sync().map_err(io_error)?;
        self.image.put_in_place().map_err(io_error)
    }
}
