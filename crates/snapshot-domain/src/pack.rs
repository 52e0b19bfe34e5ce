//! The vault's packs, as the database lists them, and which of them copies may rely on.

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
    /// Whether copies may rely on it.
    pub standing: PackStanding,
}

/// Whether copies may rely on a pack.
///
/// ```text
///        condemn             drop               forget
/// kept ──────────► condemned ──────► dropped ──────────► no row
///   ▲   release        │
///   └──────────────────┘
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PackStanding {
    /// They may.
    Kept,
    /// Chosen for removal: copies that begin from now on count its chunks as absent.
    Condemned,
    /// Its object is being deleted; its row follows.
    Dropped,
}

impl PackStanding {
    /// Every standing there is.
    pub const ALL: [Self; 3] = [Self::Kept, Self::Condemned, Self::Dropped];

    /// The standing as the database calls it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Kept => "kept",
            Self::Condemned => "condemned",
            Self::Dropped => "dropped",
        }
    }

    /// The standing of this name, if there is one.
    pub fn parse(raw: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|standing| standing.as_str() == raw)
    }
}

/// A damaged chunk at one place, which no copy counts as present any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DamagedChunk {
    /// The pack it lies in.
    pub pack: PackId,
    /// Where its record begins in the pack, in bytes.
    pub record_offset: u32,
    /// The chunk's id in the vault.
    pub chunk: [u8; 32],
}

/// What copies that begin now must not rely on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Distrusted {
    /// Condemned and dropped packs, in the order of their ids.
    pub packs: Vec<PackId>,
    /// Chunks that are set aside, in the order of packs and places.
    pub chunks: Vec<DamagedChunk>,
}
