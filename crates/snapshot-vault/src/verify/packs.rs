//! Every record of every pack.

use super::Check;
use super::objects::Domains;
use crate::blob::{BlobEntry, BlobError, BlobStore};
use crate::codec::Opener;
use crate::error::VaultError;
use crate::format::pack::{Footer, FooterEntry, HEADER_BYTES, decode_footer, decode_header};
use crate::format::page::{self, MAX_PAGE_BYTES};
use crate::format::record::{Kind, OVERHEAD_BYTES, Record};
use crate::format::{Flaw, names};
use crate::id::{ChunkSize, PackId};
use crate::key::DomainKeys;
use crate::pack::read_footer;
use std::io::{self, Read};
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A pack that was stored when the verification began.
#[derive(Clone, Copy, Debug)]
pub(super) struct StoredPack {
    id: PackId,
    size_bytes: u64,
}

const MAX_RECORD_BYTES: usize = ChunkSize::MAX_BYTES as usize + OVERHEAD_BYTES;
const CUT_OFF: Flaw = Flaw::Bytes("it is cut off");
const UNREADABLE: Flaw = Flaw::Bytes(super::report::UNREADABLE);

impl StoredPack {
    pub(super) const fn size_bytes(&self) -> u64 {
        self.size_bytes
    }
}

pub(super) fn list(blobs: &dyn BlobStore) -> Result<Vec<StoredPack>, VaultError> {
    let mut packs = Vec::new();
    blobs.list(names::PACKS, &mut |entry: BlobEntry| {
        let id = names::uuid_of(&entry.key).map(PackId::new);
        if let Some(id) = id.filter(|id| names::pack(*id) == entry.key) {
            packs.push(StoredPack {
                id,
                size_bytes: entry.size_bytes,
            });
        } else {
            log::warn!("{} is no pack", entry.key);
        }
        ControlFlow::Continue(())
    })?;
    Ok(packs)
}

impl Check<'_> {
    /// Checks packs from their beginnings to their ends, and opens what is in them where there is a key.
    pub(super) fn packs(&self, packs: &[StoredPack], domains: Option<&Domains>) -> Result<(), VaultError> {
        self.pace.expect(packs.iter().map(|pack| pack.size_bytes).sum());
        let next = AtomicUsize::new(0);
        self.in_parallel(packs.len(), || {
            let mut worker = Worker {
                check: self,
                domains,
                opener: Opener::new()?,
                record: Vec::new(),
            };
            while let Some(pack) = packs.get(next.fetch_add(1, Ordering::Relaxed)) {
                worker.check(pack)?;
            }
            Ok(())
        })
    }

    /// Shows what each pack holds that is whole, as far as it is known. Packs are shown in any order, by any thread.
    pub(super) fn scan(
        &self,
        packs: &[StoredPack],
        visit: impl Fn(PackId, &[FooterEntry]) + Sync,
    ) -> Result<(), VaultError> {
        let next = AtomicUsize::new(0);
        self.in_parallel(packs.len(), || {
            while let Some(pack) = packs.get(next.fetch_add(1, Ordering::Relaxed)) {
                let Some(mut footer) = self.footer(pack)? else { continue };
                {
                    let findings = self.findings();
                    footer.entries.retain(|entry| findings.is_whole(pack.id, entry));
                }
                visit(pack.id, &footer.entries);
            }
            Ok(())
        })
    }

    /// What a pack holds; `None` when it tells nothing, or is gone by now.
    fn footer(&self, pack: &StoredPack) -> Result<Option<Footer>, VaultError> {
        if !self.findings().is_usable(pack.id) {
            return Ok(None);
        }
        let flaw = match read_footer(&*self.blobs, pack.id, pack.size_bytes) {
            Ok(Ok(footer)) => return Ok(Some(footer)),
            Ok(Err(flaw)) => flaw,
            Err(BlobError::NotFound { .. }) => return Ok(None),
            Err(BlobError::Short { .. }) => CUT_OFF,
            Err(error @ BlobError::Io { .. }) => {
                log::error!("pack {}: {error}", pack.id);
                UNREADABLE
            }
            Err(error) => return Err(error.into()),
        };
        self.findings().pack(pack.id, flaw.reason());
        Ok(None)
    }
}

/// One thread that checks packs.
struct Worker<'a> {
    check: &'a Check<'a>,
    domains: Option<&'a Domains>,
    opener: Opener,
    record: Vec<u8>,
}

impl Worker<'_> {
    fn check(&mut self, pack: &StoredPack) -> Result<(), VaultError> {
        self.check.findings().checked.packs += 1;
        let Some(footer) = self.check.footer(pack)? else {
            self.check.pace.advance(pack.size_bytes);
            return Ok(());
        };
        let blobs = &*self.check.blobs;
        let mut stream = match blobs.stream(&names::pack(pack.id)) {
            Ok(stream) => stream,
            Err(BlobError::NotFound { .. }) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        let keys = self.domains.and_then(|domains| domains.opened(footer.domain));
        let mut header = [0; HEADER_BYTES];
        let mut is_streaming = stream.read_exact(&mut header).is_ok();
        let mut left = pack.size_bytes;
        for entry in &footer.entries {
            if entry.length as usize > MAX_RECORD_BYTES {
                let reason = "a record is longer than one can be";
                self.check.findings().pack(pack.id, reason);
                break;
            }
            self.record.resize(entry.length as usize, 0);
            is_streaming = is_streaming && stream.read_exact(&mut self.record).is_ok();
            // One place that the disk does not give back is no reason to give up the whole pack.
            let read = if is_streaming {
                Ok(())
            } else {
                blobs.read(&names::pack(pack.id), entry.offset.into(), &mut self.record)
            };
            let outcome = match read {
                Ok(()) => self.check_record(entry, keys),
                Err(BlobError::NotFound { .. }) => return Ok(()),
                Err(BlobError::Short { .. }) => Err(CUT_OFF),
                Err(BlobError::Io { .. }) => Err(UNREADABLE),
                Err(error) => return Err(error.into()),
            };
            let mut findings = self.check.findings();
            if let Err(flaw) = outcome {
                findings.record(pack.id, entry, flaw.reason());
            }
            findings.checked.records += 1;
            findings.checked.stored_bytes += u64::from(entry.length);
            drop(findings);
            left -= u64::from(entry.length);
            self.check.pace.advance(entry.length.into());
        }
        if is_streaming && let Err(flaw) = check_ends(pack, &header, &mut *stream) {
            self.check.findings().pack(pack.id, flaw.reason());
        }
        self.check.pace.advance(left);
        Ok(())
    }

    /// Checks the record that was read.
    fn check_record(&mut self, entry: &FooterEntry, keys: Option<(&DomainKeys, ChunkSize)>) -> Result<(), Flaw> {
        let record = Record::parse(&self.record)?;
        let header = &record.header;
        if (header.id, header.kind, header.plain_len) != (entry.id, entry.kind, entry.plain_len) {
            return Err(Flaw::Bytes("another record lies at its place"));
        }
        let Some((keys, chunk_size)) = keys else {
            return Ok(());
        };
        match header.kind {
            Kind::Chunk => {
                self.opener.open_any(keys, &record, chunk_size.as_usize())?;
            }
            Kind::Page => {
                let plain = self.opener.open_any(keys, &record, MAX_PAGE_BYTES)?;
                let entries = plain.first_chunk().map_or(0, |count| u32::from_le_bytes(*count));
                page::decode(plain, entries as usize)?;
            }
        }
        Ok(())
    }
}

/// Header and footer once more, as they came with the rest: the footer that was read before may come from a cache.
fn check_ends(pack: &StoredPack, header: &[u8], stream: &mut dyn Read) -> Result<(), Flaw> {
    decode_header(header, pack.id)?;
    let mut footer = Vec::new();
    let unreadable = |_: io::Error| UNREADABLE;
    stream.read_to_end(&mut footer).map_err(unreadable)?;
    decode_footer(&footer, pack.id, pack.size_bytes)?;
    Ok(())
}
