//! Keys: the master key, a key per domain, and what is derived from them.

use crate::error::VaultError;
use crate::hash::{ChunkHash, ChunkId};
use crate::hex::{Hex, parse_32};
use crate::id::VaultId;
use crate::seal::{SealKey, random_bytes};
use std::fmt::{self, Write as _};
use zeroize::{Zeroize, Zeroizing};

/// The key above all others: 32 random bytes. Who loses it loses the vault. Wiped from memory when dropped; never
/// printed.
#[derive(Clone)]
pub struct MasterKey([u8; 32]);

impl MasterKey {
    /// A new random key.
    ///
    /// # Errors
    ///
    /// When the system gives no random bytes.
    pub fn generate() -> Result<Self, VaultError> {
        random_bytes().map(Self)
    }

    /// The key that 64 hexadecimal digits stand for; white space around them is ignored.
    ///
    /// # Errors
    ///
    /// When it is anything else. The error does not repeat the text.
    pub fn from_hex(digits: &str) -> Result<Self, InvalidMasterKey> {
        parse_32(digits.trim()).map(Self).ok_or(InvalidMasterKey)
    }

    /// The key as 64 hexadecimal digits, to be kept in a safe place.
    pub fn to_hex(&self) -> Zeroizing<String> {
        // As long as it gets from the start: a text that grows leaves its beginning in memory that nobody wipes.
        let mut digits = Zeroizing::new(String::with_capacity(2 * self.0.len()));
        write!(digits, "{}", Hex(&self.0)).expect("a string takes all that is written to it");
        digits
    }

    /// The key that tells whether a vault's description was made with this master key.
    pub(crate) fn check_key(&self) -> Zeroizing<[u8; 32]> {
        derive(
            "snapshot-vault v1 master key: check of the vault description",
            &[&self.0],
        )
    }

    /// The key under which a vault's domain keys are wrapped.
    pub(crate) fn wrapping_key(&self, vault: VaultId) -> SealKey {
        SealKey::new(&derive(
            "snapshot-vault v1 master key: wrapping of domain keys",
            &[&self.0, &vault.to_bytes()],
        ))
    }
}

impl Drop for MasterKey {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MasterKey(..)")
    }
}

/// What a domain's key is used for, each use with a key of its own.
pub(crate) struct DomainKeys {
    chunk_names: Zeroizing<[u8; 32]>,
    page_names: Zeroizing<[u8; 32]>,
    /// Seals records: chunks and index pages.
    pub(crate) records: SealKey,
    /// Seals manifests.
    pub(crate) manifests: SealKey,
}

impl DomainKeys {
    pub(crate) fn new(domain_key: &[u8; 32]) -> Self {
        Self {
            chunk_names: derive("snapshot-vault v1 domain key: names of chunks", &[domain_key]),
            page_names: derive("snapshot-vault v1 domain key: names of index pages", &[domain_key]),
            records: SealKey::new(&derive(
                "snapshot-vault v1 domain key: sealing of records",
                &[domain_key],
            )),
            manifests: SealKey::new(&derive(
                "snapshot-vault v1 domain key: sealing of manifests",
                &[domain_key],
            )),
        }
    }

    pub(crate) fn chunk_id(&self, hash: &ChunkHash) -> ChunkId {
        ChunkId(*blake3::keyed_hash(&self.chunk_names, &hash.0).as_bytes())
    }

    /// Pages have names of their own, so that no chunk can be taken for a page.
    pub(crate) fn page_id(&self, hash: &ChunkHash) -> ChunkId {
        ChunkId(*blake3::keyed_hash(&self.page_names, &hash.0).as_bytes())
    }
}

impl fmt::Debug for DomainKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DomainKeys(..)")
    }
}

fn derive(context: &str, material: &[&[u8]]) -> Zeroizing<[u8; 32]> {
    let mut hasher = blake3::Hasher::new_derive_key(context);
    for part in material {
        hasher.update(part);
    }
    let key = Zeroizing::new(*hasher.finalize().as_bytes());
    hasher.zeroize();
    key
}

/// Text that is no master key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a master key is 64 hexadecimal digits")]
pub struct InvalidMasterKey;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_master_key_survives_being_written_down() {
        let key = MasterKey::generate().unwrap();

        let read = MasterKey::from_hex(&format!(" {}\n", *key.to_hex())).unwrap();

        assert_eq!(read.0, key.0);
    }

    #[test]
    fn what_is_no_master_key_is_refused_and_not_repeated() {
        let error = MasterKey::from_hex("secret but too short").unwrap_err();

        assert!(!error.to_string().contains("secret"));
    }

    #[test]
    fn keys_are_never_printed() {
        let key = MasterKey([0x5a; 32]);

        let printed = format!(
            "{key:?} {:?} {:?}",
            DomainKeys::new(&key.0),
            key.wrapping_key(VaultId::random())
        );

        assert!(!printed.contains("5a") && !printed.contains("90"), "{printed}");
    }

    #[test]
    fn chunks_and_pages_of_equal_content_have_different_names() {
        let (keys, others) = (DomainKeys::new(&[1; 32]), DomainKeys::new(&[2; 32]));
        let hash = ChunkHash::of(b"content");

        assert_ne!(keys.chunk_id(&hash), keys.page_id(&hash));
        assert_ne!(keys.chunk_id(&hash), others.chunk_id(&hash));
    }
}
