//! What a stored pack holds.

use crate::blob::{BlobError, BlobStore};
use crate::format::pack::{
    ENTRY_BYTES, Footer, FooterEntry, HEADER_BYTES, MAX_RECORDS, TRAILER_BYTES, decode_footer, decode_header,
    footer_len,
};
use crate::format::record::{self, MAX_RECORD_BYTES, Record, RecordHeader};
use crate::format::{Flaw, names};
use crate::id::{DomainId, PackId};

/// What a pack holds, and whether both of its ends say so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Listing {
    pub(crate) footer: Footer,
    /// What is wrong with the pack's header or its footer. For a header the footer tells the same, for a footer the records do.
    pub(crate) flaw: Option<Flaw>,
}

const CONTRADICTION: Flaw = Flaw::Bytes("header and footer contradict each other");
const HEADER_UNREAD: Flaw = Flaw::Bytes("its header can't be read");
const FOOTER_UNREAD: Flaw = Flaw::Bytes("its footer can't be read");

/// Reads what a stored pack of `size_bytes` holds. The inner error says why nobody can tell.
pub(crate) fn read_listing(
    blobs: &dyn BlobStore,
    pack: PackId,
    size_bytes: u64,
) -> Result<Result<Listing, Flaw>, BlobError> {
    if size_bytes < (HEADER_BYTES + TRAILER_BYTES) as u64 {
        return Ok(Err(Flaw::Bytes("it is too short for a pack")));
    }
    let mut bad_place = None;
    let header = read_header(blobs, pack).or_else(|error| note(error, &mut bad_place, HEADER_UNREAD))?;
    let footer = read_footer(blobs, pack, size_bytes).or_else(|error| note(error, &mut bad_place, FOOTER_UNREAD))?;
    let listing = match (header, footer) {
        // A pack of a later version says so where it begins.
        (Err(Flaw::Version(version)), _) => Err(Flaw::Version(version)),
        (Ok(domain), Ok(footer)) if footer.domain == domain => Ok(Listing { footer, flaw: None }),
        (Ok(_), Ok(_)) => Err(CONTRADICTION),
        (Err(flaw), Ok(footer)) => Ok(Listing {
            footer,
            flaw: Some(flaw),
        }),
        (Ok(domain), Err(flaw)) => {
            let flaw = if matches!(flaw, Flaw::Version(_)) {
                CONTRADICTION
            } else {
                flaw
            };
            let as_found = |footer| Listing {
                footer,
                flaw: Some(flaw),
            };
            by_records(blobs, pack, domain, size_bytes).map(as_found).ok_or(flaw)
        }
        (Err(flaw), Err(_)) => Err(flaw),
    };
    match (listing, bad_place) {
        (Err(_), Some(error)) => Err(error),
        (listing, _) => Ok(listing),
    }
}

/// A place that a disk does not give back is a flaw like another, as long as something else tells what was there.
fn note<T>(error: BlobError, bad_place: &mut Option<BlobError>, flaw: Flaw) -> Result<Result<T, Flaw>, BlobError> {
    if !error.is_of_bad_place() {
        return Err(error);
    }
    *bad_place = Some(error);
    Ok(Err(flaw))
}

fn read_header(blobs: &dyn BlobStore, pack: PackId) -> Result<Result<DomainId, Flaw>, BlobError> {
    let mut header = [0; HEADER_BYTES];
    blobs.read(&names::pack(pack), 0, &mut header)?;
    Ok(decode_header(&header, pack))
}

fn read_footer(blobs: &dyn BlobStore, pack: PackId, size_bytes: u64) -> Result<Result<Footer, Flaw>, BlobError> {
    let key = names::pack(pack);
    let mut trailer = [0; TRAILER_BYTES];
    blobs.read(&key, size_bytes - TRAILER_BYTES as u64, &mut trailer)?;
    let footer_len = match footer_len(&trailer, size_bytes) {
        Ok(footer_len) => footer_len,
        Err(flaw) => return Ok(Err(flaw)),
    };
    let mut footer = vec![0; footer_len];
    blobs.read(&key, size_bytes - footer_len as u64, &mut footer)?;
    Ok(decode_footer(&footer, pack, size_bytes))
}

/// The footer that a pack would have, from the headers of its records. Only where these lead from one to the next up to the
/// very place where a footer of so many entries begins: then none is missing, and none is too many.
fn by_records(blobs: &dyn BlobStore, pack: PackId, domain: DomainId, size_bytes: u64) -> Option<Footer> {
    let key = names::pack(pack);
    let mut entries = Vec::new();
    let mut offset = HEADER_BYTES as u64;
    loop {
        let left = size_bytes.checked_sub(offset)?;
        let footer_len = (entries.len() * ENTRY_BYTES + TRAILER_BYTES) as u64;
        if left == footer_len {
            return Some(Footer { domain, entries });
        }
        if left < footer_len || entries.len() >= MAX_RECORDS {
            return None;
        }
        let mut header = [0; record::HEADER_BYTES];
        blobs.read(&key, offset, &mut header).ok()?;
        let header = RecordHeader::decode(&header).ok()?;
        let length = header.record_len().filter(|length| *length <= MAX_RECORD_BYTES)?;
        entries.push(FooterEntry {
            id: header.id,
            kind: header.kind,
            offset: u32::try_from(offset).ok()?,
            length: u32::try_from(length).ok()?,
            plain_len: header.plain_len,
        });
        offset += length as u64;
    }
}

/// Those of a pack's records that are as they were stored, by their checksums.
pub(crate) fn whole_records(
    blobs: &dyn BlobStore,
    pack: PackId,
    footer: &Footer,
) -> Result<Vec<FooterEntry>, BlobError> {
    let key = names::pack(pack);
    let mut bytes = Vec::new();
    let mut whole = Vec::new();
    for entry in &footer.entries {
        if entry.length as usize > MAX_RECORD_BYTES {
            continue;
        }
        bytes.resize(entry.length as usize, 0);
        match blobs.read(&key, entry.offset.into(), &mut bytes) {
            Ok(()) if Record::parse(&bytes).is_ok_and(|record| record.is_listed_as(entry)) => whole.push(*entry),
            Ok(()) => {}
            Err(error) if error.is_of_bad_place() => {}
            Err(error) => return Err(error),
        }
    }
    Ok(whole)
}
