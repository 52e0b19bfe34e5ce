//! A record of a pack: one sealed chunk or index page.

use super::Flaw;
use super::fields::Fields;
use super::pack::FooterEntry;
use crate::hash::ChunkId;
use crate::id::ChunkSize;
use crate::seal::{CHECKSUM_BYTES, NONCE_BYTES, TAG_BYTES, checksum};

pub(crate) const HEADER_BYTES: usize = 56;
/// What a record adds to its payload.
pub(crate) const OVERHEAD_BYTES: usize = HEADER_BYTES + TAG_BYTES + CHECKSUM_BYTES;
/// No record is longer.
pub(crate) const MAX_RECORD_BYTES: usize = ChunkSize::MAX_BYTES as usize + OVERHEAD_BYTES;

/// What a record holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Chunk,
    Page,
}

impl Kind {
    pub(crate) const fn code(self) -> u8 {
        match self {
            Self::Chunk => 1,
            Self::Page => 2,
        }
    }

    pub(crate) const fn from_code(code: u8) -> Result<Self, Flaw> {
        match code {
            1 => Ok(Self::Chunk),
            2 => Ok(Self::Page),
            _ => Err(Flaw::Bytes("a record is of an unknown kind")),
        }
    }
}

/// How the plaintext was compressed before it was sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Codec {
    Raw,
    Zstd,
}

/// The clear part of a record, which the seal covers as associated data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RecordHeader {
    pub(crate) kind: Kind,
    pub(crate) codec: Codec,
    /// The length of the plaintext.
    pub(crate) plain_len: u32,
    /// The length of the sealed bytes: what was compressed, and the tag.
    pub(crate) sealed_len: u32,
    pub(crate) nonce: [u8; NONCE_BYTES],
    pub(crate) id: ChunkId,
}

impl RecordHeader {
    pub(crate) fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[0] = self.kind.code();
        bytes[1] = match self.codec {
            Codec::Raw => 0,
            Codec::Zstd => 1,
        };
        bytes[4..8].copy_from_slice(&self.plain_len.to_le_bytes());
        bytes[8..12].copy_from_slice(&self.sealed_len.to_le_bytes());
        bytes[12..24].copy_from_slice(&self.nonce);
        bytes[24..56].copy_from_slice(self.id.as_bytes());
        bytes
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Flaw> {
        let mut fields = Fields::new(bytes);
        let kind = Kind::from_code(fields.u8()?)?;
        let codec = match fields.u8()? {
            0 => Codec::Raw,
            1 => Codec::Zstd,
            _ => return Err(Flaw::Bytes("a record is compressed in an unknown way")),
        };
        fields.zeros::<2>()?;
        Ok(Self {
            kind,
            codec,
            plain_len: fields.u32()?,
            sealed_len: fields.u32()?,
            nonce: fields.array()?,
            id: ChunkId(fields.array()?),
        })
    }

    /// How long the whole record is, if it can be one.
    pub(crate) fn record_len(&self) -> Option<usize> {
        let payload = (self.sealed_len as usize).checked_sub(TAG_BYTES)?;
        payload.checked_add(OVERHEAD_BYTES)
    }
}

/// A record taken apart. Its checksum was right.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Record<'a> {
    pub(crate) header: RecordHeader,
    /// The bytes of the header, the associated data of the seal.
    pub(crate) associated: &'a [u8],
    pub(crate) sealed: &'a [u8],
}

impl<'a> Record<'a> {
    /// Takes apart the bytes of exactly one record. This needs no key.
    pub(crate) fn parse(bytes: &'a [u8]) -> Result<Self, Flaw> {
        let record = Self::parse_unsummed(bytes)?;
        let (content, sum) = bytes
            .split_last_chunk::<CHECKSUM_BYTES>()
            .ok_or(Flaw::Bytes("too short"))?;
        if checksum(content) == *sum {
            Ok(record)
        } else {
            Err(Flaw::Bytes("a record's checksum is wrong"))
        }
    }

    /// Whether it is the record that a pack's footer lists there.
    pub(crate) fn is_listed_as(&self, entry: &FooterEntry) -> bool {
        let header = &self.header;
        (header.id, header.kind, header.plain_len) == (entry.id, entry.kind, entry.plain_len)
    }

    pub(crate) fn parse_unsummed(bytes: &'a [u8]) -> Result<Self, Flaw> {
        let (associated, rest) = bytes
            .split_at_checked(HEADER_BYTES)
            .ok_or(Flaw::Bytes("a record is too short"))?;
        let header = RecordHeader::decode(associated)?;
        let sealed_len = header.sealed_len as usize;
        if sealed_len < TAG_BYTES || rest.len() != sealed_len + CHECKSUM_BYTES {
            return Err(Flaw::Bytes("a record's lengths contradict each other"));
        }
        Ok(Self {
            header,
            associated,
            sealed: &rest[..sealed_len],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn a_record(payload: &[u8]) -> (RecordHeader, Vec<u8>) {
        let header = RecordHeader {
            kind: Kind::Page,
            codec: Codec::Zstd,
            plain_len: 77,
            sealed_len: u32::try_from(payload.len() + TAG_BYTES).unwrap(),
            nonce: [3; 12],
            id: ChunkId([9; 32]),
        };
        let mut bytes = header.encode().to_vec();
        bytes.extend_from_slice(payload);
        bytes.extend_from_slice(&[5; TAG_BYTES]);
        let sum = checksum(&bytes);
        bytes.extend_from_slice(&sum);
        (header, bytes)
    }

    #[test]
    fn a_record_parses_to_what_was_written() {
        let (header, bytes) = a_record(b"payload");

        let record = Record::parse(&bytes).unwrap();

        assert_eq!(record.header, header);
        assert!(record.sealed.starts_with(b"payload"));
        assert_eq!(bytes.len(), b"payload".len() + OVERHEAD_BYTES);
    }

    #[test]
    fn every_flipped_bit_and_every_other_length_of_a_record_is_found() {
        let (_, bytes) = a_record(b"payload");

        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(Record::parse(&flipped).is_err(), "bit {bit}");
        }
        for len in 0..bytes.len() {
            assert!(Record::parse(&bytes[..len]).is_err(), "length {len}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_parser_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = Record::parse(&bytes);
            let _ = Record::parse_unsummed(&bytes);
        }
    }
}
