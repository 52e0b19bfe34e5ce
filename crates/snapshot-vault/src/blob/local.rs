//! Objects as files in a folder.

use super::{BlobEntry, BlobError, BlobKey, BlobStore, BlobWriter};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

/// Objects as files in a folder, which one process at a time may use.
#[derive(Debug)]
pub struct LocalBlobs {
    root: PathBuf,
}

impl LocalBlobs {
    /// Opens the folder, makes it if it is not there, and removes what unfinished writes left in it.
    ///
    /// # Errors
    ///
    /// When the folder can't be made, read or written.
    pub fn open(root: &Path) -> Result<Self, BlobError> {
        Ok(Self { root: root.to_owned() })
    }
}

impl BlobStore for LocalBlobs {
    fn create(&self, _key: &BlobKey) -> Result<Box<dyn BlobWriter>, BlobError> {
        unimplemented!("{}", self.root.display())
    }
    fn put(&self, _key: &BlobKey, _bytes: &[u8]) -> Result<(), BlobError> {
        unimplemented!()
    }
    fn read(&self, _key: &BlobKey, _offset: u64, _buffer: &mut [u8]) -> Result<(), BlobError> {
        unimplemented!()
    }
    fn size(&self, _key: &BlobKey) -> Result<u64, BlobError> {
        unimplemented!()
    }
    fn list(&self, _prefix: &str, _visit: &mut dyn FnMut(BlobEntry) -> ControlFlow<()>) -> Result<(), BlobError> {
        unimplemented!()
    }
    fn delete(&self, _key: &BlobKey) -> Result<(), BlobError> {
        unimplemented!()
    }
}
