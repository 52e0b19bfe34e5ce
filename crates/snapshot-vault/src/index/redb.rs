//! The index in a redb file.

use super::{ChunkIndex, IndexEntry, IndexError, Location};
use crate::hash::ChunkId;
use crate::id::PackId;
use std::path::Path;

/// The index in one local file. A file that can't be opened is thrown away and begun anew: the packs fill it again.
#[derive(Debug)]
pub struct RedbIndex {}

impl RedbIndex {
    /// Opens the index file, or makes it (its folder must exist).
    ///
    /// # Errors
    ///
    /// When the file can neither be opened nor made anew.
    pub fn open(_path: &Path) -> Result<Self, IndexError> {
        Ok(Self {})
    }
}

impl ChunkIndex for RedbIndex {
    fn contains(&self, _id: &ChunkId) -> Result<bool, IndexError> {
        unimplemented!()
    }
    fn locate(&self, _ids: &[ChunkId]) -> Result<Vec<Option<Location>>, IndexError> {
        unimplemented!()
    }
    fn add_pack(&self, _pack: PackId, _entries: &[IndexEntry]) -> Result<(), IndexError> {
        unimplemented!()
    }
    fn packs(&self, _after: Option<PackId>, _limit: usize) -> Result<Vec<PackId>, IndexError> {
        unimplemented!()
    }
    fn remove_pack(&self, _pack: PackId) -> Result<(), IndexError> {
        unimplemented!()
    }
    fn clear(&self) -> Result<(), IndexError> {
        unimplemented!()
    }
    fn flush(&self) -> Result<(), IndexError> {
        unimplemented!()
    }
}
