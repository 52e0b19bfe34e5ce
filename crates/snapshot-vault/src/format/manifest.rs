//! A manifest: what one copy consists of.

use super::Flaw;
use super::fields::{Fields, append_checksum, begin, checked};
use super::page_map::PageMap;
use crate::error::VaultError;
use crate::geometry::Geometry;
use crate::id::{ChunkSize, DomainId, ManifestId};
use crate::seal::{CHECKSUM_BYTES, NONCE_BYTES, SealKey, TAG_BYTES, random_bytes};

const MAGIC: [u8; 8] = *b"SNVLT-MA";
/// Where the sealed body begins; all before is associated data.
const HEADER_BYTES: usize = 64;
/// The fields of the body before metadata and pages.
const FIXED_BODY_BYTES: usize = 64;

/// The largest content, in bytes: 1 PiB.
pub(crate) const MAX_CONTENT_BYTES: u64 = 1 << 50;
/// The largest metadata of a copy, in bytes.
pub(crate) const MAX_METADATA_BYTES: usize = 1 << 20;

/// The longest manifest that there can be in a vault of this chunk size, in bytes: whoever reads one takes no more memory.
pub(crate) const fn max_bytes(chunk_size: ChunkSize) -> u64 {
    let pages = Geometry {
        size_bytes: MAX_CONTENT_BYTES,
        chunk_size,
    }
    .page_count();
    let fixed = HEADER_BYTES + FIXED_BODY_BYTES + MAX_METADATA_BYTES + TAG_BYTES + CHECKSUM_BYTES;
    fixed as u64 + super::page_map::max_bytes(pages)
}

/// What one copy consists of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Manifest {
    pub(crate) geometry: Geometry,
    /// Bytes that the copy's packs added to the store.
    pub(crate) pack_bytes: u64,
    pub(crate) digest: [u8; 32],
    pub(crate) pages: PageMap,
    pub(crate) metadata: Vec<u8>,
}

impl Manifest {
    pub(crate) fn encode(&self, domain: DomainId, id: ManifestId, key: &SealKey) -> Result<Vec<u8>, VaultError> {
        let mut body = self.encode_body()?;
        let nonce = random_bytes::<NONCE_BYTES>()?;
        let mut bytes = begin(MAGIC);
        bytes.extend_from_slice(&nonce);
        bytes.extend_from_slice(&domain.to_bytes());
        bytes.extend_from_slice(&id.to_bytes());
        bytes.extend_from_slice(&((body.len() + TAG_BYTES) as u64).to_le_bytes());
        debug_assert_eq!(bytes.len(), HEADER_BYTES);
        let tag = key.seal(nonce, &bytes, &mut body)?;
        bytes.extend_from_slice(&body);
        bytes.extend_from_slice(&tag);
        append_checksum(&mut bytes);
        Ok(bytes)
    }

    /// What is sealed.
    pub(crate) fn encode_body(&self) -> Result<Vec<u8>, VaultError> {
        let mut body = Vec::with_capacity(FIXED_BODY_BYTES + self.metadata.len());
        body.extend_from_slice(&self.geometry.chunk_size.bytes().to_le_bytes());
        let metadata_len = u32::try_from(self.metadata.len()).map_err(|_| VaultError::Misuse("too much metadata"))?;
        body.extend_from_slice(&metadata_len.to_le_bytes());
        body.extend_from_slice(&self.geometry.size_bytes.to_le_bytes());
        body.extend_from_slice(&self.pack_bytes.to_le_bytes());
        body.extend_from_slice(&[0; 8]);
        body.extend_from_slice(&self.digest);
        body.extend_from_slice(&self.metadata);
        self.pages.encode(&mut body);
        Ok(body)
    }

    pub(crate) fn decode(bytes: &[u8], domain: DomainId, id: ManifestId, key: &SealKey) -> Result<Self, Flaw> {
        let (nonce, sealed) = outside(bytes, domain, id)?;
        let mut body = vec![0; sealed.len().checked_sub(TAG_BYTES).ok_or(Flaw::Bytes("too short"))?];
        key.open(nonce, &bytes[..HEADER_BYTES], sealed, &mut body)
            .map_err(|_| Flaw::Bytes("its domain's key does not open it"))?;
        Self::decode_body(&body)
    }

    /// Reads what was sealed.
    pub(crate) fn decode_body(body: &[u8]) -> Result<Self, Flaw> {
        let mut fields = Fields::new(body);
        let chunk_size = ChunkSize::new(fields.u32()?).map_err(|_| Flaw::Bytes("its chunk size is impossible"))?;
        let metadata_len = fields.u32()? as usize;
        let size_bytes = fields.u64()?;
        if size_bytes > MAX_CONTENT_BYTES || metadata_len > MAX_METADATA_BYTES {
            return Err(Flaw::Bytes("its sizes are impossible"));
        }
        let pack_bytes = fields.u64()?;
        fields.zeros::<8>()?;
        let digest = fields.array()?;
        let metadata = fields.bytes(metadata_len)?.to_vec();
        let geometry = Geometry { size_bytes, chunk_size };
        let pages = PageMap::decode(&mut fields, geometry.page_count())?;
        fields.end()?;
        Ok(Self {
            geometry,
            pack_bytes,
            digest,
            pages,
            metadata,
        })
    }
}

/// Checks the stored bytes without the key.
pub(crate) fn check_stored(bytes: &[u8], domain: DomainId, id: ManifestId) -> Result<(), Flaw> {
    outside(bytes, domain, id).map(drop)
}

/// The nonce and the sealed body of a manifest under its name.
fn outside(bytes: &[u8], domain: DomainId, id: ManifestId) -> Result<([u8; NONCE_BYTES], &[u8]), Flaw> {
    let mut fields = checked(bytes, MAGIC)?;
    let nonce = fields.array()?;
    if DomainId::from_bytes(fields.array()?) != domain || ManifestId::from_bytes(fields.array()?) != id {
        return Err(Flaw::Bytes("it is another copy's manifest"));
    }
    let sealed_len = usize::try_from(fields.u64()?).map_err(|_| Flaw::Bytes("its length is impossible"))?;
    let sealed = fields.bytes(sealed_len)?;
    fields.end()?;
    Ok((nonce, sealed))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::ChunkHash;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn a_manifest(size_bytes: u64, metadata: Vec<u8>) -> Manifest {
        let geometry = Geometry {
            size_bytes,
            chunk_size: ChunkSize::default(),
        };
        let pages: BTreeMap<u64, ChunkHash> = (0..geometry.page_count())
            .step_by(3)
            .map(|page| (page, ChunkHash([9; 32])))
            .collect();
        let pages = PageMap::new(&pages, geometry.page_count());
        Manifest {
            geometry,
            pack_bytes: 77,
            digest: [3; 32],
            pages,
            metadata,
        }
    }

    proptest! {
        #[test]
        fn a_manifest_reads_as_it_was_written(size in 0_u64..1 << 33, metadata in proptest::collection::vec(any::<u8>(), 0..99)) {
            let manifest = a_manifest(size, metadata);
            let (domain, id, key) = (DomainId::random(), ManifestId::random(), SealKey::new(&[1; 32]));

            let bytes = manifest.encode(domain, id, &key).unwrap();

            prop_assert!(bytes.len() as u64 <= max_bytes(manifest.geometry.chunk_size));
            prop_assert_eq!(Manifest::decode(&bytes, domain, id, &key), Ok(manifest));
        }

        #[test]
        fn no_body_makes_the_decoder_panic(numbers in proptest::collection::vec(0_u64..1 << 20, 8..20)) {
            let mut body: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
            body[..8].copy_from_slice(&[0, 0, 2, 0, 0, 0, 0, 0]);
            let _ = Manifest::decode_body(&body);
        }
    }

    #[test]
    fn every_flipped_bit_and_every_other_length_of_a_manifest_is_found() {
        let manifest = a_manifest(1 << 27, b"metadata".to_vec());
        let (domain, id, key) = (DomainId::random(), ManifestId::random(), SealKey::new(&[1; 32]));
        let bytes = manifest.encode(domain, id, &key).unwrap();

        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(Manifest::decode(&flipped, domain, id, &key).is_err(), "bit {bit}");
        }
        for len in 0..bytes.len() {
            assert!(
                Manifest::decode(&bytes[..len], domain, id, &key).is_err(),
                "length {len}"
            );
        }
    }

    #[test]
    fn the_longest_manifest_is_as_long_as_one_can_be() {
        let chunk_size = ChunkSize::new(ChunkSize::MAX_BYTES).unwrap();
        let geometry = Geometry {
            size_bytes: MAX_CONTENT_BYTES,
            chunk_size,
        };
        let all = (0..geometry.page_count()).map(|page| (page, ChunkHash([9; 32])));
        let manifest = Manifest {
            geometry,
            pages: PageMap::new(&all.collect(), geometry.page_count()),
            ..a_manifest(1, vec![1; MAX_METADATA_BYTES])
        };

        let body = manifest.encode_body().unwrap();

        let around = HEADER_BYTES + TAG_BYTES + CHECKSUM_BYTES;
        assert_eq!((body.len() + around) as u64, max_bytes(chunk_size));
    }

    #[test]
    fn a_manifest_under_another_name_is_refused() {
        let manifest = a_manifest(1, Vec::new());
        let (domain, id, key) = (DomainId::random(), ManifestId::random(), SealKey::new(&[1; 32]));
        let bytes = manifest.encode(domain, id, &key).unwrap();

        assert!(Manifest::decode(&bytes, domain, ManifestId::random(), &key).is_err());
        assert!(Manifest::decode(&bytes, DomainId::random(), id, &key).is_err());
        assert!(Manifest::decode(&bytes, domain, id, &SealKey::new(&[2; 32])).is_err());
    }
}
