//! The vault's packs, as the database lists them.

use crate::{OrganizationId, PackId};

/// One immutable object of many sealed chunks. The database has a row per pack, never one per chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pack {
    /// Its name in the vault.
    pub id: PackId,
    /// The organization whose key seals what is in it.
    pub domain: OrganizationId,
    /// Its length in bytes.
    pub size_bytes: u64,
    /// How many chunks and pages are in it.
    pub chunks: u32,
}
