//! What a reader does about damage that it meets.

use super::StoredCopy;
use crate::blob::BlobError;
use crate::catalog::SetAside;
use crate::error::VaultError;
use crate::format::{Flaw, names};
use crate::hash::ChunkId;
use crate::index::Location;
use crate::pack::is_given_elsewhere;
use std::ops::Range;

impl StoredCopy {
    /// The error for a record that is not what was stored at its place. The record is set aside.
    pub(super) fn damaged(&self, id: ChunkId, place: &Location, flaw: Flaw, range: Range<u64>) -> VaultError {
        // What a later program wrote is no damage: it reads it.
        if let Flaw::Bytes(_) = flaw {
            self.domain.vault.met_damage(set_aside(id, place));
        }
        flaw.losing(range, &names::pack(place.pack))
    }

    /// The error for a record that the store does not give. A pack that is gone or too short is damage; other failures of
    /// the store may pass. A bad place on the disk is set aside, too.
    pub(super) fn not_given(&self, id: ChunkId, place: &Location, error: BlobError, range: Range<u64>) -> VaultError {
        let is_gone = matches!(error, BlobError::NotFound { .. });
        let flaw = match error {
            BlobError::NotFound { .. } => Flaw::Bytes("the pack is gone"),
            BlobError::Short { .. } => Flaw::Bytes("the pack is cut off"),
            other => {
                // It may never come back, and a copy that counts on it can be made whole only as long as somebody has the data.
                if other.is_of_bad_place() && is_given_elsewhere(&*self.domain.vault.blobs, place.pack) {
                    self.domain.vault.met_damage(set_aside(id, place));
                }
                return other.into();
            }
        };
        // Where even the vault's description is gone, the store as a whole is away, and no pack is lost.
        match self.domain.vault.blobs.size(&names::config()) {
            Ok(_) => {
                if is_gone {
                    self.domain.vault.met_gone(place.pack);
                }
                self.damaged(id, place, flaw, range)
            }
            Err(BlobError::NotFound { .. }) => VaultError::NotAVault,
            Err(error) => error.into(),
        }
    }
}

const fn set_aside(chunk: ChunkId, place: &Location) -> SetAside {
    SetAside {
        chunk,
        pack: place.pack,
        offset: place.offset,
    }
}
