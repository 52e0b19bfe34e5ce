//! One pack in the store: written by one worker.

use crate::blob::{BlobStore, BlobWriter};
use crate::catalog::{PackStanding, PackSummary};
use crate::error::VaultError;
use crate::format::names;
use crate::format::pack::{ENTRY_BYTES, FooterEntry, MAX_RECORDS, TRAILER_BYTES, encode_footer, encode_header};
use crate::format::record::Kind;
use crate::hash::ChunkId;
use crate::id::{DomainId, PackId};
use crate::vault::VaultCore;
use std::fmt;

/// A pack being written. Dropped before it is closed, it never was.
pub(crate) struct OpenPack {
    id: PackId,
    domain: DomainId,
    writer: Box<dyn BlobWriter>,
    end: u64,
    entries: Vec<FooterEntry>,
}

impl OpenPack {
    pub(crate) fn begin(blobs: &dyn BlobStore, domain: DomainId) -> Result<Self, VaultError> {
        let id = PackId::random();
        let mut writer = blobs.create(&names::pack(id))?;
        let header = encode_header(id, domain);
        writer.write(&header)?;
        Ok(Self {
            id,
            domain,
            writer,
            end: header.len() as u64,
            entries: Vec::new(),
        })
    }

    /// How large the pack would be if it were closed with one more record of `len` bytes.
    pub(crate) fn size_with(&self, len: usize) -> u64 {
        self.end + (len + (self.entries.len() + 1) * ENTRY_BYTES + TRAILER_BYTES) as u64
    }

    pub(crate) fn is_full(&self) -> bool {
        self.entries.len() >= MAX_RECORDS
    }

    pub(crate) fn append(
        &mut self,
        kind: Kind,
        id: ChunkId,
        plain_len: usize,
        record: &[u8],
    ) -> Result<(), VaultError> {
        self.writer.write(record)?;
        let cut = |len: u64| u32::try_from(len).expect("packs are closed before they reach 1 GiB");
        self.entries.push(FooterEntry {
            id,
            kind,
            offset: cut(self.end),
            length: cut(record.len() as u64),
            plain_len: cut(plain_len as u64),
        });
        self.end += record.len() as u64;
        Ok(())
    }

    /// Writes the footer and makes the pack durable.
    fn close(mut self) -> Result<(PackSummary, Vec<FooterEntry>), VaultError> {
        let footer = encode_footer(self.id, self.domain, &self.entries, self.end);
        self.writer.write(&footer)?;
        self.writer.commit()?;
        let summary = summary(self.id, self.domain, self.end + footer.len() as u64, &self.entries);
        Ok((summary, self.entries))
    }
}

impl fmt::Debug for OpenPack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenPack")
            .field("id", &self.id)
            .field("end", &self.end)
            .finish_non_exhaustive()
    }
}

/// Makes a pack durable, then known to the catalog, then to the index: a crash in between leaves a pack that the next
/// start adopts.
pub(crate) fn store(vault: &VaultCore, pack: OpenPack) -> Result<(PackSummary, Vec<FooterEntry>), VaultError> {
    let (summary, entries) = pack.close()?;
    vault.catalog.record(&summary)?;
    let index_entries: Vec<_> = entries.iter().map(FooterEntry::for_index).collect();
    vault.index.add_pack(summary.id, &index_entries)?;
    Ok((summary, entries))
}

pub(crate) fn summary(id: PackId, domain: DomainId, size_bytes: u64, entries: &[FooterEntry]) -> PackSummary {
    let chunks = u32::try_from(entries.len()).expect("a pack holds at most 16384 records");
    PackSummary {
        id,
        domain,
        size_bytes,
        chunks,
        standing: PackStanding::Kept,
    }
}

/// Whether the store gives back what lies at the beginning or at the end of a pack: then it is only a place in between that
/// it does not.
pub(crate) fn is_given_elsewhere(blobs: &dyn BlobStore, pack: PackId) -> bool {
    let key = names::pack(pack);
    let is_given = |offset| blobs.read(&key, offset, &mut [0; TRAILER_BYTES]).is_ok();
    let end = || blobs.size(&key).ok()?.checked_sub(TRAILER_BYTES as u64);
    is_given(0) || end().is_some_and(is_given)
}
