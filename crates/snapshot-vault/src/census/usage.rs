//! What the copies of a domain take, and what each takes alone.

use super::bits::Bits;
use super::records::{Place, Records};
use super::walk::{PagePlace, Walk};
use super::{Unreadable, forget_if_gone, listed};
use crate::domain::Domain;
use crate::error::VaultError;
use crate::format::pack::record_bytes;
use crate::id::ManifestId;
use crate::read::StoredCopy;
use std::collections::HashMap;
use std::ops::AddAssign;

/// What the copies of a domain take.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Each copy that can be read, in the order of their ids.
    pub copies: Vec<CopyUsage>,
    /// What all of them take together.
    pub totals: Totals,
    /// Manifests and index pages that can't be read. While there are any, the numbers are those of what can be read.
    pub unreadable: Vec<Unreadable>,
}

/// What one copy takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CopyUsage {
    /// The copy.
    pub manifest: ManifestId,
    /// The size of its content in bytes.
    pub size_bytes: u64,
    /// Bytes of its content that are not in chunks of zeros.
    pub referenced_bytes: u64,
    /// Bytes that it added to the store when it was made.
    pub stored_bytes: u64,
    /// Stored bytes that no other copy needs: its manifest, and the records that are there for it alone.
    pub exclusive_bytes: u64,
}

/// What copies take together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// How many copies there are that can be read.
    pub copies: u64,
    /// How many packs there are.
    pub packs: u64,
    /// Bytes of all packs and manifests.
    pub stored_bytes: u64,
    /// Of these, bytes of records that some copy needs, and of manifests.
    pub live_bytes: u64,
    /// Of these, bytes of records that no copy needs. What is neither lists the records.
    pub dead_bytes: u64,
    /// Plaintext bytes of all copies together, without chunks of zeros: what storing each by itself would take.
    pub referenced_bytes: u64,
    /// Plaintext bytes of the chunks in use, each counted once.
    pub unique_bytes: u64,
    /// Stored bytes of these chunks.
    pub unique_stored_bytes: u64,
}

impl AddAssign for Totals {
    fn add_assign(&mut self, other: Self) {
        self.copies += other.copies;
        self.packs += other.packs;
        self.stored_bytes += other.stored_bytes;
        self.live_bytes += other.live_bytes;
        self.dead_bytes += other.dead_bytes;
        self.referenced_bytes += other.referenced_bytes;
        self.unique_bytes += other.unique_bytes;
        self.unique_stored_bytes += other.unique_stored_bytes;
    }
}

impl Domain {
    /// Counts what the copies of the domain take, each alone and all together. Exact for what is there when it begins;
    /// what comes and goes meanwhile may or may not be counted. It reads all manifests and index pages, and looks up
    /// every chunk: some ten microseconds per chunk that is in use.
    ///
    /// `stop` is asked often; when it says `true`, the count ends with [`VaultError::Stopped`].
    ///
    /// # Errors
    ///
    /// Failures of store, index and catalog. What can't be read is no error: it is in [`Usage::unreadable`].
    pub fn usage(&self, stop: &dyn Fn() -> bool) -> Result<Usage, VaultError> {
        let manifests = self.manifests()?;
        // After the manifests: so every pack that they need is among them.
        let mut packs = listed(&*self.vault.catalog)?;
        packs.retain(|pack| pack.domain == self.id());
        let records = Records::new(&*self.vault.blobs, packs);
        let mut count = Count::new(records.count());
        let mut walk = Walk::new(&*self.vault.index, records, stop);
        let mut usage = Usage::default();
        for id in &manifests {
            count.first_walk(&mut walk, self, *id, &mut usage)?;
        }
        let mut counted = Vec::new();
        for copy in std::mem::take(&mut usage.copies) {
            counted.extend(count.second_walk(&mut walk, self, copy)?);
        }
        usage.copies = counted;
        for pack in walk.records.packs() {
            usage.totals.packs += 1;
            usage.totals.stored_bytes += pack.summary.size_bytes;
            let records = record_bytes(pack.summary.size_bytes, pack.summary.chunks);
            let live = if pack.flaw.is_some() { records } else { pack.live_bytes };
            usage.totals.live_bytes += live;
            usage.totals.dead_bytes += records.saturating_sub(live);
        }
        usage.totals.copies = usage.copies.len() as u64;
        usage.unreadable = walk.unreadable;
        Ok(usage)
    }
}

/// The bits of a count.
struct Count {
    /// Records that some copy needs.
    seen: Bits,
    /// Records that two copies need, or more.
    shared: Bits,
    /// Records that the copy needs that is walked now.
    mine: Bits,
    /// What an index page stands for, in bytes of content: so that a page that was seen need not be read again.
    page_bytes: HashMap<usize, u64>,
}

impl Count {
    fn new(records: usize) -> Self {
        Self {
            seen: Bits::new(records),
            shared: Bits::new(records),
            mine: Bits::new(records),
            page_bytes: HashMap::new(),
        }
    }

    /// Finds out what is in use, and what is in use by more than one copy.
    fn first_walk(
        &mut self,
        walk: &mut Walk<'_>,
        domain: &Domain,
        id: ManifestId,
        usage: &mut Usage,
    ) -> Result<(), VaultError> {
        let known = walk.unreadable.len();
        let Some(copy) = walk.open(domain, id)? else {
            return Ok(());
        };
        self.mine.clear();
        let mut referenced_bytes = 0;
        walk.pages(&copy, &mut |walk, page| {
            referenced_bytes += self.page(walk, &copy, &page, &mut usage.totals)?;
            Ok(())
        })?;
        let is_whole = walk.unreadable.len() == known;
        forget_if_gone(walk, &copy, known)?;
        if is_whole {
            usage.totals.referenced_bytes += referenced_bytes;
            usage.totals.stored_bytes += copy.manifest_bytes();
            usage.totals.live_bytes += copy.manifest_bytes();
            usage.copies.push(CopyUsage {
                manifest: id,
                size_bytes: copy.size_bytes(),
                referenced_bytes,
                stored_bytes: copy.stored_bytes(),
                exclusive_bytes: copy.manifest_bytes(),
            });
        }
        Ok(())
    }

    /// Counts a page and what it lists. Returns the bytes of content that it stands for.
    fn page(
        &mut self,
        walk: &mut Walk<'_>,
        copy: &StoredCopy,
        page: &PagePlace,
        totals: &mut Totals,
    ) -> Result<u64, VaultError> {
        let Place::Record {
            number,
            pack,
            stored_bytes,
            ..
        } = page.place
        else {
            return self.chunks(walk, copy, page, false, totals);
        };
        let is_first_here = self.mine.insert(number);
        let is_first = self.seen.insert(number);
        let was_shared = self.shared.contains(number);
        if is_first {
            walk.records.add_live(pack, stored_bytes);
        } else if is_first_here {
            self.shared.insert(number);
        }
        // What it lists needs to be counted when it is met first, and to be marked as shared when another copy has it.
        let is_counted = !is_first && (was_shared || !is_first_here);
        if is_counted && let Some(bytes) = self.page_bytes.get(&number) {
            return Ok(*bytes);
        }
        let bytes = self.chunks(walk, copy, page, !is_first && is_first_here, totals)?;
        self.page_bytes.insert(number, bytes);
        Ok(bytes)
    }

    fn chunks(
        &mut self,
        walk: &mut Walk<'_>,
        copy: &StoredCopy,
        page: &PagePlace,
        is_shared: bool,
        totals: &mut Totals,
    ) -> Result<u64, VaultError> {
        let mut bytes = 0;
        for chunk in walk.chunks(copy, page)? {
            let Place::Record {
                number,
                pack,
                stored_bytes,
                plain_bytes,
            } = chunk
            else {
                continue;
            };
            bytes += plain_bytes;
            let is_first_here = self.mine.insert(number);
            if self.seen.insert(number) {
                walk.records.add_live(pack, stored_bytes);
                totals.unique_bytes += plain_bytes;
                totals.unique_stored_bytes += stored_bytes;
            } else if is_shared || is_first_here {
                self.shared.insert(number);
            }
        }
        Ok(bytes)
    }

    /// Adds up what a copy alone needs; `None` when it is gone by now.
    fn second_walk(
        &mut self,
        walk: &mut Walk<'_>,
        domain: &Domain,
        mut usage: CopyUsage,
    ) -> Result<Option<CopyUsage>, VaultError> {
        let known = walk.unreadable.len();
        let Some(copy) = walk.open(domain, usage.manifest)? else {
            return Ok(None);
        };
        self.mine.clear();
        walk.pages(&copy, &mut |walk, page| {
            // What a page lists that another copy has too, that copy needs as well.
            if self.is_alone(page.place).is_some_and(|bytes| {
                usage.exclusive_bytes += bytes;
                bytes == 0
            }) {
                return Ok(());
            }
            for chunk in walk.chunks(&copy, &page)? {
                usage.exclusive_bytes += self.is_alone(chunk).unwrap_or(0);
            }
            Ok(())
        })?;
        forget_if_gone(walk, &copy, known)?;
        Ok(Some(usage))
    }

    /// The bytes of a record, when the copy that is walked alone needs it, and meets it for the first time; 0 when not.
    /// `None` when nobody knows.
    fn is_alone(&mut self, place: Place) -> Option<u64> {
        let Place::Record {
            number, stored_bytes, ..
        } = place
        else {
            return None;
        };
        let counts = !self.shared.contains(number) && self.mine.insert(number);
        Some(if counts { stored_bytes } else { 0 })
    }
}
