//! Names of things in the vault, and the size of its chunks.

use std::fmt;
use uuid::Uuid;

macro_rules! uuid_newtype {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Uuid);

        impl $name {
            /// The id that is this UUID.
            pub const fn new(id: Uuid) -> Self {
                Self(id)
            }

            /// A new random id.
            pub fn random() -> Self {
                Self(Uuid::new_v4())
            }

            /// The id as a UUID.
            pub const fn as_uuid(self) -> Uuid {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.hyphenated().fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }
    };
}

/// Ids that stand in objects.
macro_rules! in_bytes {
    ($($name:ident),*) => {
        $(impl $name {
            pub(crate) fn to_bytes(self) -> [u8; 16] {
                self.0.into_bytes()
            }

            pub(crate) const fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(Uuid::from_bytes(bytes))
            }
        })*
    };
}

uuid_newtype! {
    /// A vault; made when the vault is.
    VaultId
}
uuid_newtype! {
    /// Whose key seals the data: equal chunks are stored once per domain. To the caller, an organization.
    DomainId
}
uuid_newtype! {
    /// The caller's name of one stored copy.
    ManifestId
}
uuid_newtype! {
    /// One pack. Random, so that packs spread evenly over their folders.
    PackId
}
uuid_newtype! {
    /// One run of a collection: whose condemned packs are.
    CollectionId
}
in_bytes!(VaultId, DomainId, ManifestId, PackId);

/// The size of all chunks of a vault but the last of each content, in bytes: a power of two from 64 KiB to 4 MiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ChunkSize(u32);

impl ChunkSize {
    /// The smallest chunk size, 64 KiB.
    pub const MIN_BYTES: u32 = 64 << 10;
    /// The largest chunk size, 4 MiB.
    pub const MAX_BYTES: u32 = 4 << 20;

    pub(crate) const MIN: Self = Self(Self::MIN_BYTES);

    /// The chunk size of `bytes` bytes.
    ///
    /// # Errors
    ///
    /// When `bytes` is not a power of two from 64 KiB to 4 MiB.
    pub const fn new(bytes: u32) -> Result<Self, InvalidChunkSize> {
        if bytes.is_power_of_two() && bytes >= Self::MIN_BYTES && bytes <= Self::MAX_BYTES {
            Ok(Self(bytes))
        } else {
            Err(InvalidChunkSize { bytes })
        }
    }

    /// The size in bytes.
    pub const fn bytes(self) -> u32 {
        self.0
    }

    pub(crate) const fn as_u64(self) -> u64 {
        self.0 as u64
    }

    pub(crate) const fn as_usize(self) -> usize {
        self.0 as usize
    }
}

/// 128 KiB: small enough that a day's scattered changes store little, large enough that the index stays small.
impl Default for ChunkSize {
    fn default() -> Self {
        Self(128 << 10)
    }
}

/// A number that is no chunk size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a chunk size is a power of two from 65536 to 4194304 bytes, not {bytes}")]
pub struct InvalidChunkSize {
    /// The number that was refused.
    pub bytes: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunk_sizes_are_powers_of_two_from_64_kib_to_4_mib() {
        for shift in 16..=22 {
            assert_eq!(ChunkSize::new(1 << shift).map(ChunkSize::bytes), Ok(1 << shift));
        }
        for bytes in [0, 1, 32 << 10, 100_000, 8 << 20, u32::MAX] {
            assert_eq!(ChunkSize::new(bytes), Err(InvalidChunkSize { bytes }));
        }
    }

    #[test]
    fn ids_print_as_hyphenated_uuids_in_the_order_of_their_bytes() {
        let mut ids: Vec<PackId> = (0..100).map(|_| PackId::random()).collect();
        ids.sort();

        assert!(ids.iter().map(ToString::to_string).is_sorted());
        assert_eq!(ids[0].to_string().len(), 36);
    }
}
