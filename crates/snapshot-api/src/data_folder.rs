//! The data folder: what lies where, who may use it, and the master key.
//!
//! ```text
//! metadata.sqlite   rows, unless they are kept on PostgreSQL
//! vault/            all that a restore needs beside the key
//! keys/master.key   the master key, unless it is kept elsewhere
//! volumes/          managed volumes
//! index/            where chunks lie: a cache, may be deleted
//! instance          the id of this folder's service, which leases of tasks name
//! lock              held by the server that runs on the folder; holds its process id
//! ```

use std::{
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io::{self, Read as _, Seek as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    process,
};

use snapshot_domain::{InstanceId, ports::IdSource};
use snapshot_vault::{BlobKey, InvalidMasterKey, MasterKey, VaultError};
use thiserror::Error;
use uuid::Uuid;
use zeroize::Zeroizing;

/// The folder that everything is kept in.
#[derive(Clone, Debug)]
pub(crate) struct DataFolder(PathBuf);

/// The right to run a server on a folder, until it is dropped or the process ends.
#[derive(Debug)]
pub(crate) struct FolderLock {
    _file: File,
}

/// The data folder can't be used.
#[derive(Debug, Error)]
pub(crate) enum DataFolderError {
    #[error("{action} {path} failed")]
    Io {
        action: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("another server (process {process}) is running on the data folder {folder}")]
    InUse { folder: PathBuf, process: String },
    #[error("there is no vault at {vault}")]
    NoVault { vault: PathBuf },
    #[error("{path} holds no UUID: it names this folder's service, put back what was there")]
    Instance { path: PathBuf },
    #[error(
        "there is a vault at {vault}, but its master key {key} is missing: put the key back, without it nothing in the \
         vault can be read"
    )]
    KeyIsMissing { vault: PathBuf, key: PathBuf },
    #[error("the master key file {path} is of no use")]
    Key {
        path: PathBuf,
        #[source]
        source: InvalidMasterKey,
    },
    #[error("no master key could be made")]
    NoNewKey(#[source] VaultError),
}

type Result<T, E = DataFolderError> = std::result::Result<T, E>;

impl DataFolder {
    /// Opens the folder, and makes it when it is not there, for its owner alone.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let folder = Self(path.to_owned());
        for path in [&folder.0, &folder.vault(), &folder.volumes(), &folder.index()] {
            make_folder(path)?;
        }
        Ok(folder)
    }

    /// A folder that holds a vault, to read from it: nothing in it is made or changed.
    pub(crate) fn with_vault(path: &Path) -> Result<Self> {
        let folder = Self(path.to_owned());
        if folder.vault().is_dir() {
            Ok(folder)
        } else {
            Err(DataFolderError::NoVault { vault: folder.vault() })
        }
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// The database's file.
    pub(crate) fn database(&self) -> PathBuf {
        self.0.join("metadata.sqlite")
    }

    /// Whether a server has run on it: a copy of a folder's vault alone belongs to none.
    pub(crate) fn belongs_to_a_server(&self) -> bool {
        self.0.join("instance").exists()
    }

    /// The vault's folder.
    pub(crate) fn vault(&self) -> PathBuf {
        self.0.join("vault")
    }

    /// The folder of managed volumes.
    pub(crate) fn volumes(&self) -> PathBuf {
        self.0.join("volumes")
    }

    /// The folder of the index of chunks.
    pub(crate) fn index(&self) -> PathBuf {
        self.0.join("index")
    }

    /// Takes the folder for this process.
    ///
    /// # Errors
    ///
    /// [`DataFolderError::InUse`] when another process has it.
    pub(crate) fn lock(&self) -> Result<FolderLock> {
        let path = self.0.join("lock");
        let failed = |source| DataFolderError::Io {
            action: "locking",
            path: path.clone(),
            source,
        };
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut process = String::new();
                file.read_to_string(&mut process).map_err(failed)?;
                let process = process.trim().to_owned();
                return Err(DataFolderError::InUse {
                    folder: self.0.clone(),
                    process,
                });
            }
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        file.set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| writeln!(file, "{}", process::id()))
            .map_err(failed)?;
        Ok(FolderLock { _file: file })
    }

    /// The id of this folder's service; made when there is none yet. Only for who holds the lock.
    pub(crate) fn instance(&self, ids: &dyn IdSource) -> Result<InstanceId> {
        let path = self.0.join("instance");
        if let Some(text) = read_text(&path)? {
            let id = Uuid::try_parse(text.trim()).map_err(|_| DataFolderError::Instance { path })?;
            return Ok(InstanceId::new(id));
        }
        let id = ids.id();
        write_durably(&path, &format!("{id}\n"))?;
        Ok(InstanceId::new(id))
    }

    /// The master key that is there, for a vault that is there: none is made.
    pub(crate) fn present_master_key(&self, file: Option<&Path>) -> Result<MasterKey> {
        let path = self.key_path(file);
        read_key(&path)?.ok_or_else(|| DataFolderError::KeyIsMissing {
            vault: self.vault(),
            key: path,
        })
    }

    fn key_path(&self, file: Option<&Path>) -> PathBuf {
        file.map_or_else(|| self.0.join("keys").join("master.key"), Path::to_owned)
    }

    /// The master key in a file, `keys/master.key` unless another one is given. A key is made only as long as there is no
    /// vault: with another key than its own a vault can't be read. Only for who holds the lock.
    pub(crate) fn master_key(&self, file: Option<&Path>) -> Result<MasterKey> {
        let path = self.key_path(file);
        if let Some(key) = read_key(&path)? {
            return Ok(key);
        }
        if holds_a_file(&self.vault())? {
            return Err(DataFolderError::KeyIsMissing {
                vault: self.vault(),
                key: path,
            });
        }
        if let Some(folder) = path.parent() {
            make_folder(folder)?;
        }
        let key = MasterKey::generate().map_err(DataFolderError::NoNewKey)?;
        let mut line = Zeroizing::new(String::with_capacity(65));
        line.push_str(&key.to_hex());
        line.push('\n');
        write_durably(&path, &line)?;
        log::warn!(
            "a master key was made in {}: keep a copy of it in another place, without it the vault can't be read",
            path.display()
        );
        Ok(key)
    }
}

fn make_folder(path: &Path) -> Result<()> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|source| DataFolderError::Io {
        action: "making",
        path: path.to_owned(),
        source,
    })
}

fn read_key(path: &Path) -> Result<Option<MasterKey>> {
    let Some(text) = read_text(path)?.map(Zeroizing::new) else {
        return Ok(None);
    };
    let key = MasterKey::from_hex(&text).map_err(|source| DataFolderError::Key {
        path: path.to_owned(),
        source,
    })?;
    Ok(Some(key))
}

fn read_text(path: &Path) -> Result<Option<String>> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(DataFolderError::Io {
            action: "reading",
            path: path.to_owned(),
            source,
        }),
    }
}

/// Whether there is any file in a folder or below it that may be a vault's. Others are not looked for: the `lost+found` of a
/// disk is not even for everybody to read.
fn holds_a_file(folder: &Path) -> Result<bool> {
    let failed = |source| DataFolderError::Io {
        action: "listing",
        path: folder.to_owned(),
        source,
    };
    for entry in fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name();
        if name.to_str().is_none_or(|name| BlobKey::parse(name).is_err()) {
            continue;
        }
        if !entry.file_type().map_err(failed)?.is_dir() || holds_a_file(&entry.path())? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Writes a file that is there whole or not at all, for its owner alone.
fn write_durably(path: &Path, text: &str) -> Result<()> {
    let write = || {
        let unfinished = path.with_added_extension("new");
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&unfinished)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&unfinished, path)?;
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
    };
    write().map_err(|source| DataFolderError::Io {
        action: "writing",
        path: path.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use snapshot_domain::testing::SequentialIds;

    use super::*;

    fn mode(path: &Path) -> u32 {
        path.metadata().unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn everything_in_it_is_for_its_owner_alone() {
        let root = tempfile::tempdir().unwrap();
        let folder = DataFolder::open(&root.path().join("new").join("data")).unwrap();

        folder.master_key(None).unwrap();

        assert_eq!(mode(folder.path()), 0o700);
        assert_eq!(mode(&folder.path().join("keys")), 0o700);
        assert_eq!(mode(&folder.path().join("keys/master.key")), 0o600);
        assert_eq!(mode(&folder.vault()), 0o700);
    }

    #[test]
    fn a_second_server_is_told_who_has_the_folder() {
        let root = tempfile::tempdir().unwrap();
        let folder = DataFolder::open(root.path()).unwrap();
        let held = folder.lock().unwrap();

        let refused = folder.lock().unwrap_err().to_string();

        assert!(refused.contains(&process::id().to_string()), "{refused}");
        assert!(refused.contains(root.path().to_str().unwrap()), "{refused}");
        drop(held);
        folder.lock().unwrap();
    }

    #[test]
    fn the_instance_stays_the_same() {
        let root = tempfile::tempdir().unwrap();
        let folder = DataFolder::open(root.path()).unwrap();
        let ids = SequentialIds::default();

        let first = folder.instance(&ids).unwrap();
        let second = folder.instance(&ids).unwrap();

        assert_eq!(first, second);
    }

    #[test]
    fn the_master_key_stays_the_same() {
        let root = tempfile::tempdir().unwrap();
        let folder = DataFolder::open(root.path()).unwrap();

        let made = folder.master_key(None).unwrap();
        let read = folder.master_key(None).unwrap();

        assert_eq!(made.to_hex(), read.to_hex());
    }

    #[test]
    fn a_vault_without_its_key_never_gets_a_new_one() {
        let root = tempfile::tempdir().unwrap();
        let folder = DataFolder::open(root.path()).unwrap();
        fs::create_dir(folder.vault().join("packs")).unwrap();
        fs::write(folder.vault().join("packs").join("0"), "sealed").unwrap();

        let refused = folder.master_key(None).unwrap_err();

        assert!(matches!(refused, DataFolderError::KeyIsMissing { .. }), "{refused}");
        assert!(!folder.path().join("keys/master.key").exists());
    }

    #[test]
    fn a_folder_is_read_from_without_making_anything_in_it() {
        let root = tempfile::tempdir().unwrap();
        let entries = || fs::read_dir(root.path()).unwrap().count();

        let nothing = DataFolder::with_vault(root.path()).unwrap_err();
        fs::create_dir(root.path().join("vault")).unwrap();
        let folder = DataFolder::with_vault(root.path()).unwrap();
        let no_key = folder.present_master_key(None).unwrap_err();

        assert!(matches!(nothing, DataFolderError::NoVault { .. }), "{nothing}");
        assert!(matches!(no_key, DataFolderError::KeyIsMissing { .. }), "{no_key}");
        assert_eq!(entries(), 1);
    }

    #[test]
    fn a_vault_on_a_disk_of_its_own_is_new_though_the_disk_has_a_folder_for_lost_files() {
        let root = tempfile::tempdir().unwrap();
        let folder = DataFolder::open(root.path()).unwrap();
        let lost = folder.vault().join("lost+found");
        fs::create_dir(&lost).unwrap();
        fs::write(lost.join("#12"), b"a file without a name").unwrap();

        folder.master_key(None).unwrap();
    }

    #[test]
    fn a_key_file_of_no_use_is_an_error_that_does_not_repeat_it() {
        let root = tempfile::tempdir().unwrap();
        let folder = DataFolder::open(root.path()).unwrap();
        let file = root.path().join("key");
        fs::write(&file, "half a key").unwrap();

        let refused = folder.master_key(Some(&file)).unwrap_err();

        assert!(matches!(refused, DataFolderError::Key { .. }), "{refused}");
        assert!(!format!("{refused:?}").contains("half"));
    }
}
