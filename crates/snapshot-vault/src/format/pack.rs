//! A pack: a header, records one after another, and a footer that lists them.

use super::fields::{Fields, append_checksum, begin, checked};
use super::record::{Kind, OVERHEAD_BYTES};
use super::{Flaw, VERSION};
use crate::hash::ChunkId;
use crate::id::{DomainId, PackId};
use crate::index::IndexEntry;
use crate::seal::{CHECKSUM_BYTES, checksum};

const HEADER_MAGIC: [u8; 8] = *b"SNVLT-PA";
const TRAILER_MAGIC: [u8; 8] = *b"SNVLT-PE";

pub(crate) const HEADER_BYTES: usize = 64;
pub(crate) const ENTRY_BYTES: usize = 48;
/// The fixed end of the footer, from which its length is known.
pub(crate) const TRAILER_BYTES: usize = 72;
/// So many records at most, so that no footer takes more than 768 KiB of memory.
pub(crate) const MAX_RECORDS: usize = 16_384;

/// A record, as the footer lists it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FooterEntry {
    pub(crate) id: ChunkId,
    pub(crate) kind: Kind,
    /// Where the record begins in the pack.
    pub(crate) offset: u32,
    /// The length of the whole record.
    pub(crate) length: u32,
    /// The length of its plaintext.
    pub(crate) plain_len: u32,
}

impl FooterEntry {
    pub(crate) const fn for_index(&self) -> IndexEntry {
        IndexEntry {
            id: self.id,
            offset: self.offset,
            length: self.length,
        }
    }
}

/// What a pack holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Footer {
    pub(crate) domain: DomainId,
    pub(crate) entries: Vec<FooterEntry>,
}

/// How many bytes of a pack of `pack_bytes` are records, when there are so many of them.
pub(crate) const fn record_bytes(pack_bytes: u64, records: u32) -> u64 {
    let others = HEADER_BYTES as u64 + records as u64 * ENTRY_BYTES as u64 + TRAILER_BYTES as u64;
    pack_bytes.saturating_sub(others)
}

pub(crate) fn encode_header(pack: PackId, domain: DomainId) -> Vec<u8> {
    let mut bytes = begin(HEADER_MAGIC);
    bytes.extend_from_slice(&[0; 4]);
    bytes.extend_from_slice(&pack.to_bytes());
    bytes.extend_from_slice(&domain.to_bytes());
    append_checksum(&mut bytes);
    bytes
}

/// Checks a header and gives the domain.
pub(crate) fn decode_header(bytes: &[u8], pack: PackId) -> Result<DomainId, Flaw> {
    let mut fields = checked(bytes, HEADER_MAGIC).map_err(|flaw| match flaw {
        Flaw::Bytes(_) => Flaw::Bytes("its header is damaged"),
        later @ Flaw::Version(_) => later,
    })?;
    fields.zeros::<4>()?;
    if PackId::from_bytes(fields.array()?) != pack {
        return Err(Flaw::Bytes("it is another pack"));
    }
    let domain = DomainId::from_bytes(fields.array()?);
    fields.end()?;
    Ok(domain)
}

/// The footer of a pack whose records end at `records_end`.
pub(crate) fn encode_footer(pack: PackId, domain: DomainId, entries: &[FooterEntry], records_end: u64) -> Vec<u8> {
    let footer_len = entries.len() * ENTRY_BYTES + TRAILER_BYTES;
    let mut bytes = Vec::with_capacity(footer_len);
    for entry in entries {
        bytes.extend_from_slice(entry.id.as_bytes());
        bytes.extend_from_slice(&[entry.kind.code(), 0, 0, 0]);
        bytes.extend_from_slice(&entry.offset.to_le_bytes());
        bytes.extend_from_slice(&entry.length.to_le_bytes());
        bytes.extend_from_slice(&entry.plain_len.to_le_bytes());
    }
    let count = u32::try_from(entries.len()).expect("a pack holds at most 16384 records");
    bytes.extend_from_slice(&begin(TRAILER_MAGIC));
    bytes.extend_from_slice(&count.to_le_bytes());
    bytes.extend_from_slice(&(records_end + footer_len as u64).to_le_bytes());
    bytes.extend_from_slice(&pack.to_bytes());
    bytes.extend_from_slice(&domain.to_bytes());
    append_checksum(&mut bytes);
    bytes
}

/// The length of the whole footer, from the last bytes of a pack of `pack_bytes`.
pub(crate) fn footer_len(trailer: &[u8; TRAILER_BYTES], pack_bytes: u64) -> Result<usize, Flaw> {
    let mut fields = Fields::new(trailer);
    if fields.array()? != TRAILER_MAGIC {
        return Err(Flaw::Bytes("it does not end like a pack: it may be cut off"));
    }
    match fields.u16()? {
        VERSION => fields.zeros::<2>()?,
        version => return Err(Flaw::Version(version)),
    }
    let records = fields.u32()? as usize;
    let footer_len = records.saturating_mul(ENTRY_BYTES).saturating_add(TRAILER_BYTES);
    if records > MAX_RECORDS || (HEADER_BYTES + footer_len) as u64 > pack_bytes {
        return Err(Flaw::Bytes("its footer lists more than it can hold"));
    }
    if fields.u64()? != pack_bytes {
        return Err(Flaw::Bytes("it is not as long as its footer says"));
    }
    Ok(footer_len)
}

/// Reads a whole footer, as long as [`footer_len`] told, of the pack named `pack`.
pub(crate) fn decode_footer(bytes: &[u8], pack: PackId, pack_bytes: u64) -> Result<Footer, Flaw> {
    let (content, sum) = bytes
        .split_last_chunk::<CHECKSUM_BYTES>()
        .ok_or(Flaw::Bytes("too short"))?;
    let trailer = bytes.last_chunk::<TRAILER_BYTES>().ok_or(Flaw::Bytes("too short"))?;
    if footer_len(trailer, pack_bytes)? != bytes.len() || checksum(content) != *sum {
        return Err(Flaw::Bytes("its footer's checksum is wrong"));
    }
    let mut trailer = Fields::new(&trailer[24..]);
    if PackId::from_bytes(trailer.array()?) != pack {
        return Err(Flaw::Bytes("it is another pack"));
    }
    let domain = DomainId::from_bytes(trailer.array()?);

    let records_end = pack_bytes - bytes.len() as u64;
    let mut expected_offset = HEADER_BYTES as u64;
    let mut entries = Vec::with_capacity(bytes.len() / ENTRY_BYTES);
    for entry in bytes[..bytes.len() - TRAILER_BYTES].chunks_exact(ENTRY_BYTES) {
        let mut fields = Fields::new(entry);
        let id = ChunkId(fields.array()?);
        let kind = Kind::from_code(fields.u8()?)?;
        fields.zeros::<3>()?;
        let entry = FooterEntry {
            id,
            kind,
            offset: fields.u32()?,
            length: fields.u32()?,
            plain_len: fields.u32()?,
        };
        if u64::from(entry.offset) != expected_offset || (entry.length as usize) < OVERHEAD_BYTES {
            return Err(Flaw::Bytes("its records do not follow one another"));
        }
        expected_offset += u64::from(entry.length);
        entries.push(entry);
    }
    if expected_offset != records_end {
        return Err(Flaw::Bytes("its records do not end where its footer begins"));
    }
    Ok(Footer { domain, entries })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn a_footer(lengths: &[u32]) -> (PackId, Footer, Vec<u8>, u64) {
        let (pack, domain) = (PackId::random(), DomainId::random());
        let mut offset = 64;
        let mut entries = Vec::new();
        for (i, length) in lengths.iter().enumerate() {
            let kind = if i % 2 == 0 { Kind::Chunk } else { Kind::Page };
            entries.push(FooterEntry {
                id: ChunkId([7; 32]),
                kind,
                offset,
                length: *length,
                plain_len: 100,
            });
            offset += length;
        }
        let bytes = encode_footer(pack, domain, &entries, u64::from(offset));
        let pack_bytes = u64::from(offset) + bytes.len() as u64;
        (pack, Footer { domain, entries }, bytes, pack_bytes)
    }

    proptest! {
        #[test]
        fn a_footer_lists_what_was_written(lengths in proptest::collection::vec(88_u32..1_000_000, 0..60)) {
            let (pack, footer, bytes, pack_bytes) = a_footer(&lengths);

            prop_assert_eq!(footer_len(bytes.last_chunk().unwrap(), pack_bytes), Ok(bytes.len()));
            prop_assert_eq!(decode_footer(&bytes, pack, pack_bytes), Ok(footer));
        }

        #[test]
        fn no_bytes_make_the_footer_decoder_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300), size: u64) {
            let _ = decode_footer(&bytes, PackId::random(), size);
        }

        #[test]
        fn no_numbers_in_a_footer_make_its_decoder_panic(count: u32, size: u64, end in 0_usize..200) {
            let (pack, _, mut bytes, pack_bytes) = a_footer(&[100, 200]);
            let trailer = bytes.len() - TRAILER_BYTES;
            bytes[trailer + 12..trailer + 16].copy_from_slice(&count.to_le_bytes());
            bytes[trailer + 16..trailer + 24].copy_from_slice(&size.to_le_bytes());

            let _ = footer_len(bytes.last_chunk().unwrap(), size);
            let _ = decode_footer(&bytes[end.min(bytes.len())..], pack, pack_bytes);
        }
    }

    #[test]
    fn every_flipped_bit_of_header_and_footer_is_found() {
        let (pack, _, footer, pack_bytes) = a_footer(&[100, 200]);
        let header = encode_header(pack, DomainId::random());

        for bit in 0..footer.len() * 8 {
            let mut flipped = footer.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(decode_footer(&flipped, pack, pack_bytes).is_err(), "footer bit {bit}");
        }
        for bit in 0..header.len() * 8 {
            let mut flipped = header.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let flaw = decode_header(&flipped, pack).unwrap_err();
            assert!(
                matches!(flaw, Flaw::Bytes("its header is damaged") | Flaw::Version(_)),
                "header bit {bit}: {flaw:?}"
            );
        }
    }

    #[test]
    fn a_pack_under_another_name_or_of_another_length_is_refused() {
        let (pack, _, footer, pack_bytes) = a_footer(&[100, 200]);

        assert!(decode_footer(&footer, PackId::random(), pack_bytes).is_err());
        assert!(decode_footer(&footer, pack, pack_bytes - 1).is_err());
        assert!(decode_header(&encode_header(pack, DomainId::random()), PackId::random()).is_err());
    }
}
