//! From plaintext to a record and back: compress and seal, open and decompress.

use crate::error::VaultError;
use crate::format::Flaw;
use crate::format::record::{Codec, HEADER_BYTES, Kind, OVERHEAD_BYTES, Record, RecordHeader};
use crate::hash::{ChunkHash, ChunkId};
use crate::key::DomainKeys;
use crate::recheck::{Recheck, RecheckShare};
use crate::seal::{CHECKSUM_BYTES, NONCE_BYTES, TAG_BYTES, checksum, random_bytes};
use std::fmt;
use std::io;
use zstd::bulk::{Compressor, Decompressor};
use zstd::zstd_safe::CParameter;

const ZSTD_LEVEL: i32 = 1;
const HASH_LOG: u32 = 14;

/// Makes records. Its contexts and buffers are reused from one chunk to the next.
pub(crate) struct Sealer {
    compressor: Compressor<'static>,
    /// As long as the longest record was.
    record: Vec<u8>,
    recheck: Recheck,
    opener: Opener,
}

impl Sealer {
    pub(crate) fn new(recheck: RecheckShare) -> Result<Self, VaultError> {
        Ok(Self {
            compressor: compressor().map_err(|error| VaultError::Library(Some(error)))?,
            record: Vec::new(),
            recheck: Recheck::new(recheck),
            opener: Opener::new()?,
        })
    }

    /// The record that holds `plain` under the name `id`. A page, which many chunks depend on, and a share of the chunks
    /// have been opened again and compared, so that what an unreliable machine makes of them does not become a backup.
    pub(crate) fn seal(
        &mut self,
        keys: &DomainKeys,
        kind: Kind,
        id: ChunkId,
        plain: &[u8],
    ) -> Result<&[u8], VaultError> {
        let (codec, payload_len) = self.compress(plain);
        let header = RecordHeader {
            kind,
            codec,
            plain_len: u32::try_from(plain.len()).expect("a chunk is at most 4 MiB"),
            sealed_len: u32::try_from(payload_len + TAG_BYTES).expect("a chunk is at most 4 MiB"),
            nonce: random_bytes::<NONCE_BYTES>()?,
            id,
        };
        let bytes = &mut self.record[..payload_len + OVERHEAD_BYTES];
        let (associated, rest) = bytes.split_at_mut(HEADER_BYTES);
        associated.copy_from_slice(&header.encode());
        let (payload, rest) = rest.split_at_mut(payload_len);
        let tag = keys.records.seal(header.nonce, associated, payload)?;
        rest[..TAG_BYTES].copy_from_slice(&tag);
        let content = bytes.len() - CHECKSUM_BYTES;
        let sum = checksum(&bytes[..content]);
        bytes[content..].copy_from_slice(&sum);

        if kind == Kind::Chunk && !self.recheck.is_next() {
            return Ok(bytes);
        }
        let record = Record::parse_unsummed(bytes).map_err(|_| VaultError::SelfCheckFailed)?;
        let opened = self
            .opener
            .unseal(keys, &record, plain.len())
            .map_err(|_| VaultError::SelfCheckFailed)?;
        if opened == plain {
            Ok(bytes)
        } else {
            Err(VaultError::SelfCheckFailed)
        }
    }

    /// Writes the payload behind the place of the header: compressed where that saves at least a twentieth.
    fn compress(&mut self, plain: &[u8]) -> (Codec, usize) {
        let worthwhile = plain.len() - plain.len() / 20;
        grow(&mut self.record, plain.len() + OVERHEAD_BYTES);
        let room = &mut self.record[HEADER_BYTES..HEADER_BYTES + worthwhile];
        // It fails when the room is too small, which is just when compressing is not worthwhile.
        if let Ok(len) = self.compressor.compress_to_buffer(plain, room) {
            return (Codec::Zstd, len);
        }
        self.record[HEADER_BYTES..HEADER_BYTES + plain.len()].copy_from_slice(plain);
        (Codec::Raw, plain.len())
    }
}

/// Level 1 with a table of twice as many places: 0.8 % smaller.
fn compressor() -> io::Result<Compressor<'static>> {
    let mut compressor = Compressor::new(ZSTD_LEVEL)?;
    compressor.set_parameter(CParameter::HashLog(HASH_LOG))?;
    Ok(compressor)
}

/// Makes a reused buffer at least so long. It never shrinks: to grow it again would fill it with zeros for nothing.
fn grow(buffer: &mut Vec<u8>, len: usize) {
    if buffer.len() < len {
        buffer.resize(len, 0);
    }
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sealer").finish_non_exhaustive()
    }
}

/// Opens records. Its contexts and buffers are reused from one chunk to the next.
pub(crate) struct Opener {
    decompressor: Decompressor<'static>,
    opened: Vec<u8>,
    plain: Vec<u8>,
}

impl Opener {
    pub(crate) fn new() -> Result<Self, VaultError> {
        let decompressor = Decompressor::new().map_err(|error| VaultError::Library(Some(error)))?;
        Ok(Self {
            decompressor,
            opened: Vec::new(),
            plain: Vec::new(),
        })
    }

    /// The plaintext of a record, which is proven to be the one whose hash is `hash`, stored under the name `id`, and of
    /// at most `max_len` bytes.
    pub(crate) fn open(
        &mut self,
        keys: &DomainKeys,
        bytes: &[u8],
        expected: &Expected,
        max_len: usize,
    ) -> Result<&[u8], Flaw> {
        let record = Record::parse(bytes)?;
        if record.header.kind != expected.kind || record.header.id != expected.id {
            return Err(Flaw::Bytes("another record lies at its place"));
        }
        let plain = self.unseal(keys, &record, max_len)?;
        if ChunkHash::of(plain) == expected.hash {
            Ok(plain)
        } else {
            Err(Flaw::Bytes("a record's content is not what its name says"))
        }
    }

    /// The plaintext of a record of which nothing else is known: it opens, has at most `max_len` bytes, and is what its
    /// name says.
    pub(crate) fn open_any(&mut self, keys: &DomainKeys, record: &Record<'_>, max_len: usize) -> Result<&[u8], Flaw> {
        let plain = self.unseal(keys, record, max_len)?;
        let hash = ChunkHash::of(plain);
        let id = match record.header.kind {
            Kind::Chunk => keys.chunk_id(&hash),
            Kind::Page => keys.page_id(&hash),
        };
        if id == record.header.id {
            Ok(plain)
        } else {
            Err(Flaw::Bytes("a record's content is not what its name says"))
        }
    }

    fn unseal(&mut self, keys: &DomainKeys, record: &Record<'_>, max_len: usize) -> Result<&[u8], Flaw> {
        let header = &record.header;
        let plain_len = header.plain_len as usize;
        if plain_len > max_len {
            return Err(Flaw::Bytes("a record claims to hold more than it can"));
        }
        let opened_len = record.sealed.len() - TAG_BYTES;
        grow(&mut self.opened, opened_len);
        let opened = &mut self.opened[..opened_len];
        keys.records
            .open(header.nonce, record.associated, record.sealed, opened)
            .map_err(|_| Flaw::Bytes("its domain's key does not open a record"))?;
        match header.codec {
            Codec::Raw if opened_len == plain_len => Ok(opened),
            Codec::Raw => Err(Flaw::Bytes("a record holds another number of bytes than it says")),
            Codec::Zstd => {
                grow(&mut self.plain, plain_len);
                let plain = &mut self.plain[..plain_len];
                match self.decompressor.decompress_to_buffer(opened, plain) {
                    Ok(len) if len == plain_len => Ok(plain),
                    _ => Err(Flaw::Bytes("a record does not decompress to what it says")),
                }
            }
        }
    }
}

impl fmt::Debug for Opener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opener").finish_non_exhaustive()
    }
}

/// What a record must hold.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Expected {
    pub(crate) kind: Kind,
    pub(crate) id: ChunkId,
    pub(crate) hash: ChunkHash,
}

impl Expected {
    pub(crate) fn chunk(keys: &DomainKeys, hash: ChunkHash) -> Self {
        Self {
            kind: Kind::Chunk,
            id: keys.chunk_id(&hash),
            hash,
        }
    }

    pub(crate) fn page(keys: &DomainKeys, hash: ChunkHash) -> Self {
        Self {
            kind: Kind::Page,
            id: keys.page_id(&hash),
            hash,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn keys() -> DomainKeys {
        DomainKeys::new(&[1; 32])
    }

    fn sealed(plain: &[u8]) -> (Expected, Vec<u8>) {
        let expected = Expected::chunk(&keys(), ChunkHash::of(plain));
        let record = Sealer::new(RecheckShare::default())
            .unwrap()
            .seal(&keys(), Kind::Chunk, expected.id, plain)
            .unwrap()
            .to_vec();
        (expected, record)
    }

    proptest! {
        #[test]
        fn what_is_sealed_opens_to_the_same_bytes(
            noise in proptest::collection::vec(any::<u8>(), 0..3000), repeated in 1_usize..8,
        ) {
            let plain = noise.repeat(repeated);
            let (expected, record) = sealed(&plain);

            prop_assert!(record.len() <= plain.len() + OVERHEAD_BYTES);
            let mut opener = Opener::new().unwrap();
            prop_assert_eq!(opener.open(&keys(), &record, &expected, plain.len()), Ok(&plain[..]));
        }
    }

    #[test]
    fn only_what_gets_smaller_is_compressed() {
        let noise = random_bytes::<4096>().unwrap();

        assert_eq!(Record::parse(&sealed(&noise).1).unwrap().header.codec, Codec::Raw);
        assert_eq!(Record::parse(&sealed(&[7; 4096]).1).unwrap().header.codec, Codec::Zstd);
    }

    #[test]
    fn every_flipped_bit_of_a_sealed_chunk_is_found() {
        let (expected, record) = sealed(&[7; 4096]);

        for bit in 0..record.len() * 8 {
            let mut flipped = record.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);

            assert!(
                Opener::new().unwrap().open(&keys(), &flipped, &expected, 4096).is_err(),
                "bit {bit}"
            );
        }
    }

    /// The checksum needs no key, so whoever can write to the store can make it right again: the seal must find it.
    #[test]
    fn every_flipped_bit_is_found_even_when_the_checksum_is_made_right_again() {
        let (expected, record) = sealed(&[7; 4096]);
        let content = record.len() - crate::seal::CHECKSUM_BYTES;

        for bit in 0..content * 8 {
            let mut forged = record[..content].to_vec();
            forged[bit / 8] ^= 1 << (bit % 8);
            let sum = checksum(&forged);
            forged.extend_from_slice(&sum);

            assert!(
                Opener::new().unwrap().open(&keys(), &forged, &expected, 4096).is_err(),
                "bit {bit}"
            );
        }
    }

    #[test]
    fn a_record_that_unpacks_to_more_than_a_chunk_is_refused() {
        let (expected, record) = sealed(&vec![7; 1 << 20]);

        assert!(record.len() < 1 << 10);
        assert!(
            Opener::new()
                .unwrap()
                .open(&keys(), &record, &expected, 1 << 17)
                .is_err()
        );
    }

    #[test]
    fn a_chunk_is_not_taken_for_a_page_nor_for_another_chunk() {
        let (expected, record) = sealed(b"content");
        let page = Expected::page(&keys(), expected.hash);
        let other = Expected::chunk(&keys(), ChunkHash::of(b"other"));
        let lie = Expected {
            hash: other.hash,
            ..expected
        };

        for wrong in [page, other, lie] {
            assert!(Opener::new().unwrap().open(&keys(), &record, &wrong, 100).is_err());
        }
    }
}
