//! The bytes of every object, as `docs/format.md` describes them. Decoders take hostile bytes: they never panic, and
//! allocate no more than the length of their input justifies.

pub(crate) mod config;
pub(crate) mod domain_key;
pub(crate) mod fields;
pub(crate) mod manifest;
pub(crate) mod names;
pub(crate) mod pack;
pub(crate) mod page;
pub(crate) mod page_map;
pub(crate) mod record;

use crate::error::VaultError;
use std::fmt::Display;
use std::ops::Range;

/// The version of every object that this program writes, and the only one it reads.
pub(crate) const VERSION: u16 = 1;

/// What is wrong with an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flaw {
    /// The bytes are not what was written.
    Bytes(&'static str),
    /// A later program wrote it.
    Version(u16),
}

impl Flaw {
    /// The error for a content of which `range` is lost by this flaw of `object`.
    pub(crate) fn losing(self, range: Range<u64>, object: &(impl Display + ?Sized)) -> VaultError {
        match self {
            Self::Bytes(reason) => VaultError::Damaged {
                range,
                object: object.to_string(),
                reason,
            },
            Self::Version(version) => VaultError::UnsupportedVersion {
                object: object.to_string(),
                version,
            },
        }
    }

    /// The error for an object without which nothing can be read.
    pub(crate) fn losing_all(self, object: &(impl Display + ?Sized)) -> VaultError {
        self.losing(0..u64::MAX, object)
    }

    pub(crate) const fn reason(self) -> &'static str {
        match self {
            Self::Bytes(reason) => reason,
            Self::Version(_) => "written by a later version of this program",
        }
    }
}
