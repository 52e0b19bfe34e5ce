//! The object `vault`: what the vault is, and which master key it was made with.

use super::Flaw;
use super::fields::{append_checksum, begin, checked};
use crate::error::VaultError;
use crate::id::{ChunkSize, VaultId};
use crate::key::MasterKey;

const MAGIC: [u8; 8] = *b"SNVLT-VA";
/// The bytes that the check under the master key covers.
const COVERED_BYTES: usize = 32;

/// The description of a vault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Config {
    pub(crate) vault: VaultId,
    pub(crate) chunk_size: ChunkSize,
}

impl Config {
    pub(crate) fn encode(&self, master: &MasterKey) -> Vec<u8> {
        let mut bytes = begin(MAGIC);
        bytes.extend_from_slice(&self.chunk_size.bytes().to_le_bytes());
        bytes.extend_from_slice(&self.vault.to_bytes());
        let check = blake3::keyed_hash(&master.check_key(), &bytes);
        bytes.extend_from_slice(check.as_bytes());
        append_checksum(&mut bytes);
        bytes
    }

    /// Reads the description, and proves that `master` is the key it was made with.
    pub(crate) fn decode(bytes: &[u8], object: &str, master: &MasterKey) -> Result<Self, VaultError> {
        let (config, check) = Self::decode_unchecked(bytes).map_err(|flaw| flaw.losing_all(object))?;
        // Comparing `blake3::Hash` takes the same time wherever they differ.
        if blake3::keyed_hash(&master.check_key(), &bytes[..COVERED_BYTES]) == check {
            Ok(config)
        } else {
            Err(VaultError::WrongMasterKey)
        }
    }

    fn decode_unchecked(bytes: &[u8]) -> Result<(Self, blake3::Hash), Flaw> {
        let mut fields = checked(bytes, MAGIC)?;
        let chunk_size = ChunkSize::new(fields.u32()?).map_err(|_| Flaw::Bytes("its chunk size is impossible"))?;
        let vault = VaultId::from_bytes(fields.array()?);
        let check = blake3::Hash::from_bytes(fields.array()?);
        fields.end()?;
        Ok((Self { vault, chunk_size }, check))
    }
}

/// Checks the stored bytes without the key.
pub(crate) fn check_stored(bytes: &[u8]) -> Result<(), Flaw> {
    Config::decode_unchecked(bytes).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(digit: &str) -> MasterKey {
        MasterKey::from_hex(&digit.repeat(64)).unwrap()
    }

    #[test]
    fn only_its_own_master_key_opens_a_description() {
        let config = Config {
            vault: VaultId::random(),
            chunk_size: ChunkSize::default(),
        };
        let bytes = config.encode(&key("a"));

        assert_eq!(Config::decode(&bytes, "vault", &key("a")).unwrap(), config);
        assert!(matches!(
            Config::decode(&bytes, "vault", &key("b")),
            Err(VaultError::WrongMasterKey)
        ));
    }

    #[test]
    fn every_flipped_bit_of_a_description_is_found() {
        let config = Config {
            vault: VaultId::random(),
            chunk_size: ChunkSize::default(),
        };
        let bytes = config.encode(&key("a"));

        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);

            assert!(Config::decode(&flipped, "vault", &key("a")).is_err(), "bit {bit}");
        }
    }
}
