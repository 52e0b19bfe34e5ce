//! The numbers of all records of many packs, so that a bit tells of each.

use crate::blob::{BlobError, BlobStore};
use crate::catalog::PackSummary;
use crate::error::VaultError;
use crate::format::Flaw;
use crate::index::Location;
use crate::listing::{Listing, read_listing};
use std::collections::{HashMap, VecDeque};

/// Footers are kept until they list so many records together: 3 MiB.
const CACHED_RECORDS: usize = 256 << 10;

/// What is wrong with a pack that is not in the store.
const GONE: &str = "it is gone";

/// The records of some packs, numbered pack by pack. What lies where is read from the packs' footers when it is asked
/// for, and a part of it kept.
pub(crate) struct Records<'a> {
    blobs: &'a dyn BlobStore,
    /// In the order of ids.
    packs: Vec<NumberedPack>,
    count: usize,
    footers: HashMap<usize, Vec<Record>>,
    /// Packs of which the footers are kept, in the order in which they were read.
    kept: VecDeque<usize>,
    kept_count: usize,
}

pub(crate) struct NumberedPack {
    pub(crate) summary: PackSummary,
    /// The number of its first record.
    pub(crate) first: usize,
    /// Why nobody can tell what it holds, if that was tried.
    pub(crate) flaw: Option<&'static str>,
    /// Whether its header or its footer was found to be damaged, though what it holds is known.
    pub(crate) has_damaged_ends: bool,
    /// Bytes of those of its records that were found to be in use.
    pub(crate) live_bytes: u64,
}

impl NumberedPack {
    /// Whether it was looked for, and is not there.
    pub(crate) fn is_gone(&self) -> bool {
        self.flaw == Some(GONE)
    }
}

/// A record, as the footer tells.
#[derive(Clone, Copy, Debug)]
struct Record {
    offset: u32,
    plain_len: u32,
}

/// What lies at a place that the index tells.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Place {
    Record {
        number: usize,
        /// The pack, by its position in the list.
        pack: usize,
        stored_bytes: u64,
        plain_bytes: u64,
    },
    /// Something in a pack that can't be looked into.
    Opaque,
    /// Something in a pack that is not listed: it is younger than the list.
    Unlisted,
}

impl<'a> Records<'a> {
    pub(crate) fn new(blobs: &'a dyn BlobStore, mut packs: Vec<PackSummary>) -> Self {
        packs.sort_unstable_by_key(|pack| pack.id);
        let mut count = 0;
        let numbered = packs.into_iter().map(|summary| {
            let first = count;
            count += summary.chunks as usize;
            NumberedPack {
                summary,
                first,
                flaw: None,
                has_damaged_ends: false,
                live_bytes: 0,
            }
        });
        let packs = numbered.collect();
        Self {
            blobs,
            packs,
            count,
            footers: HashMap::new(),
            kept: VecDeque::new(),
            kept_count: 0,
        }
    }

    /// How many records there are.
    pub(crate) fn count(&self) -> usize {
        self.count
    }

    pub(crate) fn packs(&self) -> &[NumberedPack] {
        &self.packs
    }

    /// Counts a record as in use.
    pub(crate) fn add_live(&mut self, pack: usize, bytes: u64) {
        self.packs[pack].live_bytes += bytes;
    }

    pub(crate) fn place(&mut self, at: &Location) -> Result<Place, VaultError> {
        let Ok(pack) = self.packs.binary_search_by_key(&at.pack, |pack| pack.summary.id) else {
            return Ok(Place::Unlisted);
        };
        let first = self.packs[pack].first;
        let Some(records) = self.records(pack)? else {
            return Ok(Place::Opaque);
        };
        if let Ok(ordinal) = records.binary_search_by_key(&at.offset, |record| record.offset) {
            return Ok(Place::Record {
                number: first + ordinal,
                pack,
                stored_bytes: at.length.into(),
                plain_bytes: records[ordinal].plain_len.into(),
            });
        }
        self.packs[pack].flaw = Some("no record begins where the index says");
        Ok(Place::Opaque)
    }

    /// What a pack holds; `None` when that can't be known.
    fn records(&mut self, pack: usize) -> Result<Option<&[Record]>, VaultError> {
        if self.packs[pack].flaw.is_some() {
            return Ok(None);
        }
        if !self.footers.contains_key(&pack) {
            match self.read(pack)? {
                Ok((records, has_damaged_ends)) => {
                    self.packs[pack].has_damaged_ends = has_damaged_ends;
                    self.keep(pack, records);
                }
                Err(flaw) => {
                    self.packs[pack].flaw = Some(flaw.reason());
                    return Ok(None);
                }
            }
        }
        Ok(self.footers.get(&pack).map(Vec::as_slice))
    }

    /// Its records, and whether header or footer is damaged.
    fn read(&self, pack: usize) -> Result<Result<(Vec<Record>, bool), Flaw>, VaultError> {
        let summary = &self.packs[pack].summary;
        let Listing { footer, flaw } = match read_listing(self.blobs, summary.id, summary.size_bytes) {
            Ok(Ok(listing)) => listing,
            Ok(Err(flaw)) => return Ok(Err(flaw)),
            Err(BlobError::NotFound { .. }) => return Ok(Err(Flaw::Bytes(GONE))),
            Err(BlobError::Short { .. }) => return Ok(Err(Flaw::Bytes("it is cut off"))),
            Err(BlobError::Io { .. }) => return Ok(Err(Flaw::Bytes("it can't be read"))),
            Err(error) => return Err(error.into()),
        };
        if footer.entries.len() != summary.chunks as usize || footer.domain != summary.domain {
            return Ok(Err(Flaw::Bytes("its footer is not what the catalog tells")));
        }
        let records = footer.entries.iter().map(|entry| Record {
            offset: entry.offset,
            plain_len: entry.plain_len,
        });
        Ok(Ok((records.collect(), flaw.is_some())))
    }

    fn keep(&mut self, pack: usize, records: Vec<Record>) {
        self.kept_count += records.len();
        while self.kept_count > CACHED_RECORDS
            && let Some(oldest) = self.kept.pop_front()
        {
            self.kept_count -= self.footers.remove(&oldest).map_or(0, |records| records.len());
        }
        self.kept.push_back(pack);
        self.footers.insert(pack, records);
    }
}
