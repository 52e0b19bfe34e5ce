//! What is left of an object that was being stored when the machine, or the way to the store, failed.

use super::memory::{MemoryBlobs, lock};
use crate::blob::BlobKey;

/// What of an object lies under its name after a put that was cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tear {
    /// How many 65,536ths of it are what was written: never all.
    pub kept: u16,
    /// What follows up to its length.
    pub behind: Behind,
}

/// What lies where the rest of a torn object should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Behind {
    /// The object ends there.
    Nothing,
    /// Zeros, from the last whole sector on.
    Zeros,
    /// What another object has at the same place, from the last whole sector on: sectors are not cleared before they are
    /// given to another file.
    Stale,
}

impl Tear {
    /// A tear behind so many 65,536ths of the object.
    pub const fn new(kept: u16, behind: Behind) -> Self {
        Self { kept, behind }
    }
}

/// As small as the objects of tests, of which many would otherwise be one sector.
const SECTOR_BYTES: usize = 64;

impl MemoryBlobs {
    /// Leaves of an object what a put that was cut leaves.
    ///
    /// # Panics
    ///
    /// When there is no such object.
    pub fn tear(&self, key: &BlobKey, tear: Tear) {
        let mut objects = lock(&self.0);
        let mut bytes = objects.remove(key).expect("the object to tear is there");
        let kept = (bytes.len() * usize::from(tear.kept)) >> 16;
        let sectors = kept - kept % SECTOR_BYTES;
        match tear.behind {
            Behind::Nothing => bytes.truncate(kept),
            Behind::Zeros => bytes[sectors..].fill(0),
            Behind::Stale => {
                let others = objects.values().filter(|other| !other.is_empty());
                let other = others.clone().nth(kept % others.count().max(1));
                for (at, byte) in bytes.iter_mut().enumerate().skip(sectors) {
                    *byte = other.map_or(0xa5, |other| other[at % other.len()]);
                }
            }
        }
        objects.insert(key.clone(), bytes);
    }
}
