//! What is known of a copy once it is whole.

use std::fmt;

use thiserror::Error;

/// A whole copy of a volume in the vault: a manifest exists exactly when a snapshot carries this.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Content {
    /// What the bytes are; the same for equal bytes, wherever they are kept.
    pub digest: ContentDigest,
    /// Bytes that this copy added to the vault when it was made.
    pub stored_bytes: u64,
}

/// A checksum of a volume's bytes that depends on nothing else, as `blake3-<chunk bytes>:<64 hex digits>`.
///
/// It is BLAKE3 over the BLAKE3 hashes of all chunks in order, followed by the size in bytes (64 bits, little endian);
/// so whoever restored a volume can check it without this service.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ContentDigest(String);

/// The text is no [`ContentDigest`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a digest reads blake3-<chunk bytes>:<64 hex digits>")]
pub struct InvalidDigest;

impl ContentDigest {
    /// Reads a digest.
    ///
    /// # Errors
    ///
    /// [`InvalidDigest`] unless it is written as described above.
    pub fn parse(raw: &str) -> Result<Self, InvalidDigest> {
        Self::try_from(raw.to_owned())
    }

    /// The digest as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// As [`ContentDigest::parse`], without another copy.
impl TryFrom<String> for ContentDigest {
    type Error = InvalidDigest;

    fn try_from(raw: String) -> Result<Self, InvalidDigest> {
        let (chunk, hash) = raw
            .strip_prefix("blake3-")
            .and_then(|rest| rest.split_once(':'))
            .ok_or(InvalidDigest)?;
        // `parse` alone would take a plus sign too.
        let is_number = chunk.starts_with(|first| matches!(first, '1'..='9')) && chunk.parse::<u32>().is_ok();
        // A fold looks at many bytes at once, which something that may end early does not: lists are full of digests.
        let is_hex = |is_hex, byte| is_hex & matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        let is_hash = hash.len() == 64 && hash.bytes().fold(true, is_hex);
        if is_number && is_hash {
            Ok(Self(raw))
        } else {
            Err(InvalidDigest)
        }
    }
}

impl fmt::Display for ContentDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_well_formed_digests_are_taken() {
        let hash = "ab".repeat(32);
        let check = |raw: &str, is_taken: bool| assert_eq!(ContentDigest::parse(raw).is_ok(), is_taken, "{raw:?}");

        check(&format!("blake3-131072:{hash}"), true);
        check(&format!("blake3-0131072:{hash}"), false);
        check(&format!("blake3-+131072:{hash}"), false);
        check(&format!("blake3-x:{hash}"), false);
        check(&format!("blake3-:{hash}"), false);
        check(&format!("blake3-4294967296:{hash}"), false);
        check(&format!("sha256-131072:{hash}"), false);
        check(&format!("blake3-131072:{}", &hash[1..]), false);
        check(&format!("blake3-131072:{}", hash.to_uppercase()), false);
        check(&format!("blake3-131072:{hash} "), false);
        check("", false);
    }
}
