//! Every record of every pack.

use super::Check;
use super::objects::Domains;
use crate::blob::{BlobEntry, BlobError, BlobStore, Piece};
use crate::codec::Opener;
use crate::error::VaultError;
use crate::format::pack::{Footer, FooterEntry, HEADER_BYTES, decode_footer, decode_header};
use crate::format::page::{self, MAX_PAGE_BYTES};
use crate::format::record::{Kind, MAX_RECORD_BYTES, Record};
use crate::format::{Flaw, names};
use crate::id::{ChunkSize, DomainId, PackId};
use crate::key::DomainKeys;
use crate::listing::{Listing, read_listing};
use crate::pack::is_given_elsewhere;
use std::ops::{ControlFlow, Range};
use std::slice;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

/// A pack that was stored when the verification began.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct StoredPack {
    id: PackId,
    size_bytes: u64,
}

/// So much is read at once, and one record at least.
const SECTION_BYTES: u64 = 4 << 20;
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
        let queue = Mutex::new(Queue {
            packs: packs.iter(),
            sections: Vec::new(),
        });
        self.in_parallel(usize::MAX, || {
            let mut worker = Worker {
                check: self,
                domains,
                opener: Opener::new()?,
                piece: Piece::default(),
            };
            while let Some(section) = self.next_section(&queue)? {
                worker.check(&section)?;
            }
            Ok(())
        })
    }

    /// The next section that nobody has taken.
    fn next_section(&self, queue: &Mutex<Queue<'_>>) -> Result<Option<Section>, VaultError> {
        // Held while a footer is read: who found no section then would end too early.
        let mut queue = queue.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(section) = queue.sections.pop() {
                return Ok(Some(section));
            }
            let Some(pack) = queue.packs.next() else {
                return Ok(None);
            };
            self.findings().checked.packs += 1;
            if let Some(Listing { footer, flaw }) = self.listing(pack)? {
                if let Some(flaw) = flaw {
                    self.findings().object(names::pack(pack.id).as_str(), flaw.reason());
                }
                queue.sections = self.sections(*pack, &footer, flaw.is_none());
                queue.sections.reverse();
            } else {
                self.pace.advance(pack.size_bytes);
            }
        }
    }

    /// Cuts a pack into sections, in order.
    fn sections(&self, pack: StoredPack, footer: &Footer, has_whole_ends: bool) -> Vec<Section> {
        let mut entries = &footer.entries[..];
        let mut pack_end = pack.size_bytes;
        if let Some(at) = entries
            .iter()
            .position(|entry| entry.length as usize > MAX_RECORD_BYTES)
        {
            let reason = "a record is longer than one can be";
            self.findings().pack(pack.id, reason);
            pack_end = entries[at].offset.into();
            entries = &entries[..at];
        }
        let mut sections = Vec::new();
        let mut start = 0;
        loop {
            let mut bytes = 0;
            let records = entries.iter().take_while(|entry| {
                bytes += u64::from(entry.length);
                bytes <= SECTION_BYTES
            });
            // One at least; none only in a pack that has none.
            let (now, later) = entries.split_at(records.count().max(1).min(entries.len()));
            entries = later;
            let end = later.first().map_or(pack_end, |next| next.offset.into());
            sections.push(Section {
                pack,
                domain: footer.domain,
                has_whole_ends,
                entries: now.to_vec(),
                range: start..end,
            });
            start = end;
            if entries.is_empty() {
                return sections;
            }
        }
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
                let Some(Listing { mut footer, .. }) = self.listing(pack)? else {
                    continue;
                };
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
    fn listing(&self, pack: &StoredPack) -> Result<Option<Listing>, VaultError> {
        if !self.findings().is_usable(pack.id) {
            return Ok(None);
        }
        let flaw = match read_listing(&*self.blobs, pack.id, pack.size_bytes) {
            Ok(Ok(listing)) => return Ok(Some(listing)),
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

/// What is still to be checked.
struct Queue<'a> {
    packs: slice::Iter<'a, StoredPack>,
    /// Those of one pack, the first one last.
    sections: Vec<Section>,
}

/// Some records of a pack that follow one another, read at once: less than a pack, so that no thread is left with much to
/// do when the others have ended.
struct Section {
    pack: StoredPack,
    domain: DomainId,
    /// Whether the pack's header and footer were whole when they were read before.
    has_whole_ends: bool,
    entries: Vec<FooterEntry>,
    /// Its bytes. The first section begins with the pack's header, the last one ends with its footer.
    range: Range<u64>,
}

/// One thread that checks packs.
struct Worker<'a> {
    check: &'a Check<'a>,
    domains: Option<&'a Domains>,
    opener: Opener,
    piece: Piece,
}

impl Worker<'_> {
    fn check(&mut self, section: &Section) -> Result<(), VaultError> {
        let blobs = &*self.check.blobs;
        let name = names::pack(section.pack.id);
        let keys = self.domains.and_then(|domains| domains.opened(section.domain));
        let len = usize::try_from(section.range.end - section.range.start).expect("a section is a few mebibytes");
        let is_read = match blobs.read_piece(&name, section.range.start, len, &mut self.piece) {
            Ok(()) => true,
            // One place that the disk does not give back is no reason to give up all others.
            Err(BlobError::Short { .. } | BlobError::Io { .. }) => false,
            Err(BlobError::NotFound { .. }) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        let mut left = len as u64;
        let mut record = Vec::new();
        let mut bad_places = Vec::new();
        for entry in &section.entries {
            let outcome = if is_read {
                let at = usize::try_from(u64::from(entry.offset) - section.range.start).expect("within the section");
                let bytes = &self.piece.bytes()[at..at + entry.length as usize];
                check_record(&mut self.opener, bytes, entry, keys)
            } else {
                record.resize(entry.length as usize, 0);
                match blobs.read(&name, entry.offset.into(), &mut record) {
                    Ok(()) => check_record(&mut self.opener, &record, entry, keys),
                    Err(BlobError::NotFound { .. }) => return Ok(()),
                    Err(BlobError::Short { .. }) => Err(CUT_OFF),
                    Err(error @ BlobError::Io { .. }) => {
                        if error.is_of_bad_place() {
                            bad_places.push(*entry);
                        }
                        Err(UNREADABLE)
                    }
                    Err(error) => return Err(error.into()),
                }
            };
            let mut findings = self.check.findings();
            if let Err(flaw) = outcome {
                findings.record(section.pack.id, entry, flaw.reason());
            }
            findings.checked.records += 1;
            findings.checked.stored_bytes += u64::from(entry.length);
            drop(findings);
            left -= u64::from(entry.length);
            self.check.pace.advance(entry.length.into());
        }
        if !bad_places.is_empty() && is_given_elsewhere(blobs, section.pack.id) {
            self.check.findings().bad_places(section.pack.id, &bad_places);
        }
        if is_read
            && section.has_whole_ends
            && let Err(flaw) = check_ends(section, self.piece.bytes())
        {
            self.check.findings().pack(section.pack.id, flaw.reason());
        }
        self.check.pace.advance(left);
        Ok(())
    }
}

/// Checks a record that was read.
fn check_record(
    opener: &mut Opener,
    bytes: &[u8],
    entry: &FooterEntry,
    keys: Option<(&DomainKeys, ChunkSize)>,
) -> Result<(), Flaw> {
    let record = Record::parse(bytes)?;
    if !record.is_listed_as(entry) {
        return Err(Flaw::Bytes("another record lies at its place"));
    }
    let Some((keys, chunk_size)) = keys else {
        return Ok(());
    };
    match record.header.kind {
        Kind::Chunk => {
            opener.open_any(keys, &record, chunk_size.as_usize())?;
        }
        Kind::Page => {
            let plain = opener.open_any(keys, &record, MAX_PAGE_BYTES)?;
            let entries = plain.first_chunk().map_or(0, |count| u32::from_le_bytes(*count));
            page::decode(plain, entries as usize)?;
        }
    }
    Ok(())
}

/// Header and footer once more, as they came with the rest: the footer that was read before may come from a cache.
fn check_ends(section: &Section, bytes: &[u8]) -> Result<(), Flaw> {
    let pack = &section.pack;
    if section.range.start == 0 {
        decode_header(&bytes[..HEADER_BYTES], pack.id)?;
    }
    if section.range.end == pack.size_bytes {
        let records_end = section.entries.last().map_or(HEADER_BYTES as u64, |entry| {
            u64::from(entry.offset) + u64::from(entry.length)
        });
        let footer = usize::try_from(records_end - section.range.start).expect("within the section");
        decode_footer(&bytes[footer..], pack.id, pack.size_bytes)?;
    }
    Ok(())
}
