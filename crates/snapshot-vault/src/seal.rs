//! Sealing: AES-256-GCM with random nonces, and the checksum that needs no key.

use crate::error::VaultError;
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};

pub(crate) const NONCE_BYTES: usize = 12;
pub(crate) const TAG_BYTES: usize = 16;
pub(crate) const CHECKSUM_BYTES: usize = 16;

/// A key that seals. Debug prints nothing of it.
pub(crate) struct SealKey(LessSafeKey);

/// The sealed bytes, their associated data or the key are not those of the sealing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NotAuthentic;

impl SealKey {
    pub(crate) fn new(key: &[u8; 32]) -> Self {
        let key = UnboundKey::new(&AES_256_GCM, key).expect("an AES-256 key is 32 bytes");
        Self(LessSafeKey::new(key))
    }

    /// Encrypts `in_out` in place and gives the tag.
    pub(crate) fn seal(
        &self,
        nonce: [u8; NONCE_BYTES],
        associated: &[u8],
        in_out: &mut [u8],
    ) -> Result<[u8; TAG_BYTES], VaultError> {
        let nonce = Nonce::assume_unique_for_key(nonce);
        let tag = self
            .0
            .seal_in_place_separate_tag(nonce, Aad::from(associated), in_out)
            .map_err(|_| VaultError::Library(None))?;
        Ok(tag.as_ref().try_into().expect("a tag of AES-GCM is 16 bytes"))
    }

    /// Decrypts `sealed`, a ciphertext and its tag, to `plain`, which is as long as the ciphertext.
    pub(crate) fn open(
        &self,
        nonce: [u8; NONCE_BYTES],
        associated: &[u8],
        sealed: &[u8],
        plain: &mut [u8],
    ) -> Result<(), NotAuthentic> {
        let (ciphertext, tag) = sealed.split_last_chunk::<TAG_BYTES>().ok_or(NotAuthentic)?;
        let nonce = Nonce::assume_unique_for_key(nonce);
        self.0
            .open_separate_gather(nonce, Aad::from(associated), ciphertext, tag, plain)
            .map_err(|_| NotAuthentic)
    }
}

impl std::fmt::Debug for SealKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SealKey(..)")
    }
}

pub(crate) fn random_bytes<const N: usize>() -> Result<[u8; N], VaultError> {
    let mut bytes = [0; N];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| VaultError::Library(None))?;
    Ok(bytes)
}

/// BLAKE3 cut to 16 bytes: tells whether stored bytes are still those that were written, without any key.
pub(crate) fn checksum(bytes: &[u8]) -> [u8; CHECKSUM_BYTES] {
    *blake3::hash(bytes)
        .as_bytes()
        .first_chunk()
        .expect("a BLAKE3 hash is 32 bytes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_key_nonce_and_associated_data_open_what_was_sealed() {
        let key = SealKey::new(&[1; 32]);
        let mut sealed = b"plain".to_vec();
        let tag = key.seal([2; 12], b"header", &mut sealed).unwrap();
        sealed.extend_from_slice(&tag);
        let mut plain = [0; 5];

        assert_eq!(key.open([2; 12], b"header", &sealed, &mut plain), Ok(()));
        assert_eq!(&plain, b"plain");
        assert_eq!(key.open([3; 12], b"header", &sealed, &mut plain), Err(NotAuthentic));
        assert_eq!(key.open([2; 12], b"other", &sealed, &mut plain), Err(NotAuthentic));
        assert_eq!(
            SealKey::new(&[4; 32]).open([2; 12], b"header", &sealed, &mut plain),
            Err(NotAuthentic)
        );
        assert_eq!(key.open([2; 12], b"header", b"short", &mut []), Err(NotAuthentic));
    }
}
