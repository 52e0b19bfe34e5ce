//! Objects as files in a folder.

use super::direct::{self, DirectFile};
use super::naming::Naming;
use super::{BlobEntry, BlobError, BlobKey, BlobStore, BlobWriter, Piece};
use rustix::fs::{CWD, RenameFlags, renameat_with, syncfs};
use std::collections::HashSet;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::ops::ControlFlow;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use uuid::Uuid;

/// Unfinished files lie here. The dot keeps it apart from objects, whose names have none.
const TEMPORARY: &str = ".tmp";

/// Objects as files in a folder, which one process at a time may use. Files have mode 0600, folders 0700.
///
/// A file is written under a temporary name, synced, then renamed without replacing anything, then its folder is
/// synced: the order in which a crash at any moment leaves the object whole or absent. Who reads it in between waits for the
/// last step.
#[derive(Debug)]
pub struct LocalBlobs(Arc<Folder>);

#[derive(Debug)]
struct Folder {
    root: PathBuf,
    /// Whether somebody else may be writing to the folder, so that nothing in it is touched.
    read_only: bool,
    /// Folders that this process made sure are durable.
    durable: Mutex<HashSet<PathBuf>>,
    naming: Naming,
}

impl LocalBlobs {
    /// Opens the folder, makes it if it is not there, and removes what unfinished writes left in it.
    ///
    /// # Errors
    ///
    /// When the folder can't be made, read or written.
    pub fn open(root: &Path) -> Result<Self, BlobError> {
        let folder = Folder {
            root: root.to_owned(),
            read_only: false,
            durable: Mutex::default(),
            naming: Naming::default(),
        };
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(root)
            .map_err(|error| failed(root, error))?;
        let temporary = root.join(TEMPORARY);
        match fs::remove_dir_all(&temporary) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(&temporary, error)),
            _ => folder.make_durable(&temporary)?,
        }
        // A process that was killed may have left objects with their names not yet synced. Whoever sees them from now on
        // relies on them, so they must survive a power loss.
        let sync = File::open(root).and_then(|folder| Ok(syncfs(folder)?));
        sync.map_err(|error| failed(root, error))?;
        Ok(Self(Arc::new(folder)))
    }

    /// Opens a folder that is there to read from it, beside a process that may be writing to it: nothing in it is made,
    /// changed or removed, and what would do so fails.
    ///
    /// # Errors
    ///
    /// When the folder can't be read.
    pub fn open_read_only(root: &Path) -> Result<Self, BlobError> {
        let folder = Folder {
            root: root.to_owned(),
            read_only: true,
            durable: Mutex::default(),
            naming: Naming::default(),
        };
        folder.entries("")?;
        Ok(Self(Arc::new(folder)))
    }
}

impl BlobStore for LocalBlobs {
    fn create(&self, key: &BlobKey) -> Result<Box<dyn BlobWriter>, BlobError> {
        let (path, file) = self.0.temporary_file()?;
        let temporary = Temporary {
            folder: self.0.clone(),
            path,
        };
        let file = DirectFile::new(file);
        Ok(Box::new(LocalWriter {
            temporary,
            file,
            key: key.clone(),
        }))
    }

    fn put(&self, key: &BlobKey, bytes: &[u8]) -> Result<(), BlobError> {
        let (path, file) = self.0.temporary_file()?;
        let temporary = Temporary {
            folder: self.0.clone(),
            path,
        };
        file.write_all_at(bytes, 0)
            .and_then(|()| file.sync_all())
            .map_err(|error| failed(&temporary.path, error))?;
        temporary.publish(key)
    }

    fn read(&self, key: &BlobKey, offset: u64, buffer: &mut [u8]) -> Result<(), BlobError> {
        self.0.check_sure(key)?;
        let result = File::open(self.0.path(key)).and_then(|file| file.read_exact_at(buffer, offset));
        result.map_err(|error| of_read(key, error))
    }

    fn read_piece(&self, key: &BlobKey, offset: u64, len: usize, piece: &mut Piece) -> Result<(), BlobError> {
        self.0.check_sure(key)?;
        let result = File::open(self.0.path(key)).and_then(|file| direct::read_piece(&file, offset, len, piece));
        result.map_err(|error| of_read(key, error))
    }

    fn size(&self, key: &BlobKey) -> Result<u64, BlobError> {
        self.0.check_sure(key)?;
        fs::metadata(self.0.path(key))
            .map(|metadata| metadata.len())
            .map_err(|error| of_object(key, error))
    }

    fn list(&self, prefix: &str, visit: &mut dyn FnMut(BlobEntry) -> ControlFlow<()>) -> Result<(), BlobError> {
        let _stopped_early = self.0.list("", prefix, visit)?;
        Ok(())
    }

    fn delete(&self, key: &BlobKey) -> Result<(), BlobError> {
        let path = self.0.path(key);
        self.0.check_writable(&path)?;
        let synced = match fs::remove_file(&path) {
            Ok(()) => sync_folder(folder_of(&path)),
            // It may have gone just now, with its folder not yet synced.
            Err(error) if error.kind() == io::ErrorKind::NotFound => match sync_folder(folder_of(&path)) {
                Err(BlobError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(()),
                result => result,
            },
            Err(error) => return Err(of_object(key, error)),
        };
        synced.inspect(|()| self.0.naming.gone(key))
    }
}

impl Folder {
    fn path(&self, key: &BlobKey) -> PathBuf {
        self.root.join(key.as_str())
    }

    fn check_writable(&self, path: &Path) -> Result<(), BlobError> {
        if self.read_only {
            return Err(failed(path, io::ErrorKind::ReadOnlyFilesystem.into()));
        }
        Ok(())
    }

    /// Waits until an object that is being given its name has it for good, and refuses one that may not.
    fn check_sure(&self, key: &BlobKey) -> Result<(), BlobError> {
        if self.naming.wait(key) {
            return Ok(());
        }
        let reason = "its folder could not be synced; a restart tries again";
        Err(failed(Path::new(key.as_str()), io::Error::other(reason)))
    }

    fn temporary_file(&self) -> Result<(PathBuf, File), BlobError> {
        self.check_writable(&self.root)?;
        let path = self.root.join(TEMPORARY).join(Uuid::new_v4().simple().to_string());
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
        file.map_err(|error| failed(&path, error)).map(|file| (path, file))
    }

    /// Makes a folder and those above it, up to the root, and syncs each one's entry in its parent.
    fn make_durable(&self, folder: &Path) -> Result<(), BlobError> {
        // Held all the while: who finds a folder made by another thread must not return before it is synced.
        let mut durable = self.durable.lock().unwrap_or_else(PoisonError::into_inner);
        let missing: Vec<&Path> = folder
            .ancestors()
            .take_while(|path| *path != self.root && !durable.contains(*path))
            .collect();
        for path in missing.into_iter().rev() {
            match DirBuilder::new().mode(0o700).create(path) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(failed(path, error)),
                _ => sync_folder(folder_of(path))?,
            }
            durable.insert(path.to_owned());
        }
        Ok(())
    }

    /// Lists the folder whose objects' names begin with `above`: empty, or ending in a slash.
    fn list(
        &self,
        above: &str,
        prefix: &str,
        visit: &mut dyn FnMut(BlobEntry) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, BlobError> {
        for name in self.entries(above)? {
            let name = format!("{above}{name}");
            let flow = if name.ends_with('/') {
                if !name.starts_with(prefix) && !prefix.starts_with(&name) {
                    continue;
                }
                self.list(&name, prefix, visit)?
            } else {
                let Ok(key) = BlobKey::parse(&name) else { continue };
                if !name.starts_with(prefix) {
                    continue;
                }
                match fs::metadata(self.path(&key)) {
                    Ok(metadata) => visit(BlobEntry {
                        key,
                        size_bytes: metadata.len(),
                    }),
                    Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                    Err(error) => return Err(of_object(&key, error)),
                }
            };
            if flow.is_break() {
                return Ok(flow);
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// What lies in a folder, folders with a slash at their end, in the order in which whole names sort.
    fn entries(&self, above: &str) -> Result<Vec<String>, BlobError> {
        let path = self.root.join(above);
        let read = || -> io::Result<Vec<String>> {
            let mut names = Vec::new();
            for entry in fs::read_dir(&path)? {
                let entry = entry?;
                // What else lies here, as the folder of unfinished files and the `lost+found` of a disk, which only root may
                // look into, is passed over.
                let name = entry.file_name().into_string().ok();
                let Some(mut name) = name.filter(|name| BlobKey::parse(name).is_ok()) else {
                    continue;
                };
                if entry.file_type()?.is_dir() {
                    name.push('/');
                }
                names.push(name);
            }
            names.sort_unstable();
            Ok(names)
        };
        read().map_err(|error| failed(&path, error))
    }
}

/// A file that is removed unless it is published.
#[derive(Debug)]
struct Temporary {
    folder: Arc<Folder>,
    path: PathBuf,
}

impl Temporary {
    /// Gives the synced file its name, durably.
    fn publish(self, key: &BlobKey) -> Result<(), BlobError> {
        let target = self.folder.path(key);
        self.folder.make_durable(folder_of(&target))?;
        let mut name = self.folder.naming.begin(key);
        match rename_to_free_name(&self.path, &target) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                Err(BlobError::AlreadyExists { key: key.clone() })
            }
            Err(error) => Err(failed(&target, error)),
            Ok(()) => {
                let synced = sync_folder(folder_of(&target));
                // It must not be relied upon, so it had better not be seen.
                name.set_in_doubt(synced.is_err() && fs::remove_file(&target).is_err());
                synced
            }
        }
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        match fs::remove_file(&self.path) {
            // After a rename it is gone.
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                log::warn!("{} stays until the next start: {error}", self.path.display());
            }
            _ => {}
        }
    }
}

/// Linking serves file systems that can't rename without replacing.
fn rename_to_free_name(from: &Path, to: &Path) -> io::Result<()> {
    use rustix::io::Errno;
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => fs::hard_link(from, to),
        result => Ok(result?),
    }
}

struct LocalWriter {
    // Dropped in this order: the file is closed before it is removed.
    file: DirectFile,
    temporary: Temporary,
    key: BlobKey,
}

impl BlobWriter for LocalWriter {
    fn write(&mut self, bytes: &[u8]) -> Result<(), BlobError> {
        self.file
            .append(bytes)
            .map_err(|error| failed(&self.temporary.path, error))
    }

    fn commit(self: Box<Self>) -> Result<(), BlobError> {
        let Self { file, temporary, key } = *self;
        file.finish().map_err(|error| failed(&temporary.path, error))?;
        temporary.publish(&key)
    }
}

fn folder_of(path: &Path) -> &Path {
    path.parent().expect("objects lie below the root")
}

fn sync_folder(path: &Path) -> Result<(), BlobError> {
    File::open(path)
        .and_then(|folder| folder.sync_all())
        .map_err(|error| failed(path, error))
}

fn of_read(key: &BlobKey, error: io::Error) -> BlobError {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => BlobError::Short { key: key.clone() },
        _ => of_object(key, error),
    }
}

fn of_object(key: &BlobKey, error: io::Error) -> BlobError {
    match error.kind() {
        io::ErrorKind::NotFound => BlobError::NotFound { key: key.clone() },
        _ => failed(Path::new(key.as_str()), error),
    }
}

fn failed(path: &Path, source: io::Error) -> BlobError {
    match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => BlobError::NoSpace { source },
        _ => BlobError::Io {
            path: path.display().to_string(),
            source,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn key(name: &str) -> BlobKey {
        BlobKey::parse(name).unwrap()
    }

    #[test]
    fn leftovers_of_unfinished_writes_are_removed_when_the_folder_is_opened() {
        let folder = tempfile::tempdir().unwrap();
        let blobs = LocalBlobs::open(folder.path()).unwrap();
        let mut writer = blobs.create(&key("packs/x")).unwrap();
        writer.write(&[1; 100]).unwrap();
        std::mem::forget(writer);
        let leftovers = || fs::read_dir(folder.path().join(TEMPORARY)).unwrap().count();
        assert_eq!(leftovers(), 1);

        LocalBlobs::open(folder.path()).unwrap();

        assert_eq!(leftovers(), 0);
    }

    #[test]
    fn a_torn_file_of_an_unfinished_write_is_no_object_and_in_nobodys_way() {
        let folder = tempfile::tempdir().unwrap();
        LocalBlobs::open(folder.path()).unwrap();
        let torn = folder.path().join(TEMPORARY).join(Uuid::new_v4().simple().to_string());
        fs::write(&torn, [&[1; 100][..], &[0; 5000]].concat()).unwrap();
        let names = |blobs: &LocalBlobs| {
            let mut names = Vec::new();
            let listing = blobs.list("", &mut |entry| {
                names.push(entry.key.to_string());
                ControlFlow::Continue(())
            });
            listing.map(|()| names).unwrap()
        };

        let reading = LocalBlobs::open_read_only(folder.path()).unwrap();
        assert_eq!(names(&reading), [""; 0]);
        assert!(torn.exists());
        let blobs = LocalBlobs::open(folder.path()).unwrap();

        assert!(!torn.exists());
        blobs.put(&key("packs/x"), b"whole").unwrap();
        assert_eq!(names(&blobs), ["packs/x"]);
        assert_eq!(blobs.size(&key("packs/x")).unwrap(), 5);
    }

    #[test]
    fn a_folder_opened_to_read_from_is_left_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let writing = LocalBlobs::open(folder.path()).unwrap();
        writing.put(&key("keys/a"), b"x").unwrap();
        let mut writer = writing.create(&key("packs/x")).unwrap();

        let reading = LocalBlobs::open_read_only(folder.path()).unwrap();
        let refused = [
            reading.put(&key("keys/b"), b"x"),
            reading.create(&key("packs/y")).map(drop),
            reading.delete(&key("keys/a")),
        ];
        writer.write(b"whole").unwrap();
        writer.commit().unwrap();

        assert!(refused.iter().all(Result::is_err), "{refused:?}");
        assert_eq!(reading.size(&key("packs/x")).unwrap(), 5);
        assert_eq!(reading.size(&key("keys/a")).unwrap(), 1);
        assert!(LocalBlobs::open_read_only(&folder.path().join("gone")).is_err());
    }

    #[test]
    fn what_can_be_no_object_is_not_looked_into() {
        let folder = tempfile::tempdir().unwrap();
        let blobs = LocalBlobs::open(folder.path()).unwrap();
        blobs.put(&key("packs/x"), b"x").unwrap();
        for other in ["lost+found", "Packs", "a b"] {
            fs::create_dir(folder.path().join(other)).unwrap();
            fs::write(folder.path().join(other).join("x"), b"x").unwrap();
        }

        assert_eq!(blobs.0.entries("").unwrap(), ["packs/"]);
    }

    #[test]
    fn a_discarded_writer_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let blobs = LocalBlobs::open(folder.path()).unwrap();

        drop(blobs.create(&key("packs/x")).unwrap());

        assert_eq!(fs::read_dir(folder.path().join(TEMPORARY)).unwrap().count(), 0);
    }

    #[test]
    fn files_and_folders_are_for_the_owner_only() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("vault");
        let blobs = LocalBlobs::open(&root).unwrap();

        blobs.put(&key("keys/a"), b"x").unwrap();

        let mode = |path: &str| fs::metadata(root.join(path)).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(""), mode("keys"), mode("keys/a")), (0o700, 0o700, 0o600));
    }

    #[test]
    fn an_object_whose_name_is_in_doubt_is_given_to_nobody_until_it_is_deleted_or_the_folder_opened_again() {
        let folder = tempfile::tempdir().unwrap();
        let blobs = LocalBlobs::open(folder.path()).unwrap();
        let key = key("packs/x");
        blobs.put(&key, b"x").unwrap();
        blobs.0.naming.begin(&key).set_in_doubt(true);

        assert!(matches!(blobs.size(&key), Err(BlobError::Io { .. })));
        assert!(matches!(blobs.read(&key, 0, &mut [0]), Err(BlobError::Io { .. })));
        assert!(matches!(blobs.put(&key, b"y"), Err(BlobError::AlreadyExists { .. })));
        assert!(matches!(blobs.size(&key), Err(BlobError::Io { .. })));
        assert_eq!(LocalBlobs::open(folder.path()).unwrap().size(&key).unwrap(), 1);
        blobs.delete(&key).unwrap();
        blobs.put(&key, b"yy").unwrap();
        assert_eq!(blobs.size(&key).unwrap(), 2);
    }

    #[test]
    fn a_full_disk_is_told_from_other_failures() {
        assert!(failed(Path::new("x"), io::Error::from(rustix::io::Errno::NOSPC)).is_no_space());
        assert!(failed(Path::new("x"), io::Error::from(rustix::io::Errno::DQUOT)).is_no_space());
        assert!(!failed(Path::new("x"), io::Error::from(rustix::io::Errno::IO)).is_no_space());
    }
}
