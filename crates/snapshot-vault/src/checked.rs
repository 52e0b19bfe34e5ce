//! Records that are read to be relied upon.

use crate::blob::BlobError;
use crate::codec::Opener;
use crate::error::VaultError;
use crate::format::pack::FooterEntry;
use crate::format::page::MAX_PAGE_BYTES;
use crate::format::record::{Kind, OVERHEAD_BYTES, Record};
use crate::format::{Flaw, names};
use crate::id::PackId;
use crate::key::DomainKeys;
use crate::vault::Vault;

/// Why nobody can rely on a record.
pub(crate) enum NotWhole {
    /// It is not what was stored.
    Flaw(Flaw),
    /// It could not be read, which may pass.
    Unread(BlobError),
}

impl NotWhole {
    /// Why, in words.
    pub(crate) fn reason(&self) -> &'static str {
        match self {
            Self::Flaw(flaw) => flaw.reason(),
            Self::Unread(_) => "it can't be read",
        }
    }
}

/// Reads records and checks that they are what their names say.
pub(crate) struct CheckedRecords<'a> {
    vault: &'a Vault,
    opener: Opener,
    record: Vec<u8>,
}

impl<'a> CheckedRecords<'a> {
    pub(crate) fn new(vault: &'a Vault) -> Result<Self, VaultError> {
        Ok(Self {
            vault,
            opener: Opener::new()?,
            record: Vec::new(),
        })
    }

    /// Reads a record. The inner error says why nobody can rely on it.
    pub(crate) fn read(
        &mut self,
        pack: PackId,
        entry: &FooterEntry,
        keys: &DomainKeys,
    ) -> Result<Result<(), NotWhole>, VaultError> {
        let damaged = |reason| Ok(Err(NotWhole::Flaw(Flaw::Bytes(reason))));
        let max_len = match entry.kind {
            Kind::Chunk => self.vault.chunk_size().as_usize(),
            Kind::Page => MAX_PAGE_BYTES,
        };
        if entry.length as usize > max_len + OVERHEAD_BYTES {
            return damaged("a record is longer than one can be");
        }
        self.record.resize(entry.length as usize, 0);
        let name = names::pack(pack);
        match self.vault.0.blobs.read(&name, entry.offset.into(), &mut self.record) {
            Ok(()) => {}
            Err(BlobError::NotFound { .. }) => return damaged("its pack is gone"),
            Err(BlobError::Short { .. }) => return damaged("its pack is cut off"),
            Err(error @ BlobError::Io { .. }) => return Ok(Err(NotWhole::Unread(error))),
            Err(error) => return Err(error.into()),
        }
        let check = |record: &Record<'_>, opener: &mut Opener| {
            if !record.is_listed_as(entry) {
                return Err(Flaw::Bytes("another record lies at its place"));
            }
            opener.open_any(keys, record, max_len).map(drop)
        };
        let record = Record::parse(&self.record).and_then(|record| check(&record, &mut self.opener));
        Ok(record.map_err(NotWhole::Flaw))
    }

    /// The bytes of the record that was read last, sealed as they are.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.record
    }
}
