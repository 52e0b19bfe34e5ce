//! Copying what is in use out of condemned packs.

use crate::blob::BlobError;
use crate::catalog::SetAside;
use crate::census::{Census, CountedPack};
use crate::checked::CheckedRecords;
use crate::error::VaultError;
use crate::format::pack::FooterEntry;
use crate::id::DomainId;
use crate::listing::{Listing, read_listing};
use crate::pack::{OpenPack, store};
use crate::vault::Vault;

/// Copies records into new packs, sealed as they are.
pub(super) struct Rescue<'a> {
    vault: &'a Vault,
    census: &'a Census,
    records: CheckedRecords<'a>,
    pack: Option<(DomainId, OpenPack)>,
    /// Bytes of the packs that were written.
    pub(super) written_bytes: u64,
}

/// What became of a condemned pack.
pub(super) enum Rescued {
    /// All that is in use is copied, or in a pack that is still open.
    All,
    /// Something in use can't be read. The pack must be kept.
    Damaged(Vec<SetAside>),
}

impl<'a> Rescue<'a> {
    pub(super) fn new(vault: &'a Vault, census: &'a Census) -> Result<Self, VaultError> {
        Ok(Self {
            vault,
            census,
            records: CheckedRecords::new(vault)?,
            pack: None,
            written_bytes: 0,
        })
    }

    /// Copies what is in use of a pack.
    pub(super) fn pack(&mut self, from: &CountedPack, stop: &dyn Fn() -> bool) -> Result<Rescued, VaultError> {
        let (id, domain) = (from.summary.id, from.summary.domain);
        if self.pack.as_ref().is_some_and(|(open, _)| *open != domain) {
            self.close()?;
        }
        let domain = self.vault.existing_domain(domain)?;
        let footer = match read_listing(&*self.vault.0.blobs, id, from.summary.size_bytes) {
            Ok(Ok(Listing { footer, .. })) => footer,
            Ok(Err(_)) | Err(BlobError::NotFound { .. } | BlobError::Short { .. } | BlobError::Io { .. }) => {
                return Ok(Rescued::Damaged(Vec::new()));
            }
            Err(error) => return Err(error.into()),
        };
        for (ordinal, entry) in footer.entries.iter().enumerate() {
            if !self.census.is_live(from, ordinal) {
                continue;
            }
            if stop() {
                return Err(VaultError::Stopped);
            }
            if let Err(why) = self.records.read(id, entry, &domain.core.keys)? {
                log::error!("pack {id}: the record at {}: {}", entry.offset, why.reason());
                return Ok(Rescued::Damaged(vec![SetAside {
                    chunk: entry.id,
                    pack: id,
                    offset: entry.offset,
                }]));
            }
            self.append(domain.id(), entry)?;
        }
        Ok(Rescued::All)
    }

    /// Makes what was copied durable, known to the catalog, and then to be found.
    pub(super) fn close(&mut self) -> Result<(), VaultError> {
        if let Some((_, pack)) = self.pack.take() {
            let (summary, _) = store(&self.vault.0, pack)?;
            self.written_bytes += summary.size_bytes;
            self.vault.0.index.flush()?;
        }
        Ok(())
    }

    fn append(&mut self, domain: DomainId, entry: &FooterEntry) -> Result<(), VaultError> {
        let limit = self.vault.0.pack_size_bytes;
        let len = self.records.bytes().len();
        let is_full = |pack: &OpenPack| pack.is_full() || pack.size_with(len) > limit;
        if self.pack.as_ref().is_some_and(|(_, pack)| is_full(pack)) {
            self.close()?;
        }
        let (_, pack) = match &mut self.pack {
            Some(pack) => pack,
            none => none.insert((domain, OpenPack::begin(&*self.vault.0.blobs, domain)?)),
        };
        pack.append(entry.kind, entry.id, entry.plain_len as usize, self.records.bytes())
    }
}
