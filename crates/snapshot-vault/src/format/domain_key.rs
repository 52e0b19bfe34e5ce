//! The objects `keys/…`: a domain's key, wrapped by the master key.

use super::Flaw;
use super::fields::{append_checksum, begin, checked};
use crate::error::VaultError;
use crate::id::{DomainId, VaultId};
use crate::seal::{NONCE_BYTES, SealKey, TAG_BYTES, random_bytes};
use zeroize::Zeroizing;

const MAGIC: [u8; 8] = *b"SNVLT-KE";

/// Where the wrapped key begins: all before the nonce is associated data.
const ASSOCIATED_BYTES: usize = 48;

pub(crate) fn encode(
    vault: VaultId,
    domain: DomainId,
    key: &[u8; 32],
    wrapping: &SealKey,
) -> Result<Vec<u8>, VaultError> {
    let mut bytes = begin(MAGIC);
    bytes.extend_from_slice(&[0; 4]);
    bytes.extend_from_slice(&vault.to_bytes());
    bytes.extend_from_slice(&domain.to_bytes());
    let nonce = random_bytes()?;
    let mut wrapped = Zeroizing::new(*key);
    let tag = wrapping.seal(nonce, &bytes, &mut *wrapped)?;
    bytes.extend_from_slice(&nonce);
    bytes.extend_from_slice(&*wrapped);
    bytes.extend_from_slice(&tag);
    append_checksum(&mut bytes);
    Ok(bytes)
}

pub(crate) fn decode(
    bytes: &[u8],
    vault: VaultId,
    domain: DomainId,
    wrapping: &SealKey,
) -> Result<Zeroizing<[u8; 32]>, Flaw> {
    let mut fields = checked(bytes, MAGIC)?;
    fields.zeros::<4>()?;
    if VaultId::from_bytes(fields.array()?) != vault {
        return Err(Flaw::Bytes("it belongs to another vault"));
    }
    if DomainId::from_bytes(fields.array()?) != domain {
        return Err(Flaw::Bytes("it belongs to another domain"));
    }
    let nonce = fields.array::<NONCE_BYTES>()?;
    let wrapped = fields.bytes(32 + TAG_BYTES)?;
    fields.end()?;
    let mut key = Zeroizing::new([0; 32]);
    wrapping
        .open(nonce, &bytes[..ASSOCIATED_BYTES], wrapped, &mut *key)
        .map_err(|_| Flaw::Bytes("the master key does not open it"))?;
    Ok(key)
}

/// Checks the stored bytes without the key.
pub(crate) fn check_stored(bytes: &[u8], domain: DomainId) -> Result<(), Flaw> {
    let mut fields = checked(bytes, MAGIC)?;
    fields.zeros::<4>()?;
    let _vault: [u8; 16] = fields.array()?;
    if DomainId::from_bytes(fields.array()?) != domain {
        return Err(Flaw::Bytes("it belongs to another domain"));
    }
    fields.bytes(NONCE_BYTES + 32 + TAG_BYTES)?;
    fields.end()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrapped_key_opens_for_its_own_vault_and_domain_only() {
        let wrapping = SealKey::new(&[1; 32]);
        let (vault, domain) = (VaultId::random(), DomainId::random());
        let bytes = encode(vault, domain, &[7; 32], &wrapping).unwrap();

        assert_eq!(*decode(&bytes, vault, domain, &wrapping).unwrap(), [7; 32]);
        assert!(decode(&bytes, vault, DomainId::random(), &wrapping).is_err());
        assert!(decode(&bytes, VaultId::random(), domain, &wrapping).is_err());
        assert!(decode(&bytes, vault, domain, &SealKey::new(&[2; 32])).is_err());
    }

    #[test]
    fn every_flipped_bit_of_a_wrapped_key_is_found() {
        let wrapping = SealKey::new(&[1; 32]);
        let (vault, domain) = (VaultId::random(), DomainId::random());
        let bytes = encode(vault, domain, &[7; 32], &wrapping).unwrap();

        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);

            assert!(decode(&flipped, vault, domain, &wrapping).is_err(), "bit {bit}");
        }
    }
}
