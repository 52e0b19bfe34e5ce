//! The way from copies to the places of all that they need.

use super::Unreadable;
use super::records::{Place, Records};
use crate::blob::BlobError;
use crate::codec::Expected;
use crate::domain::Domain;
use crate::error::VaultError;
use crate::format::names;
use crate::hash::{ChunkHash, ChunkId};
use crate::id::ManifestId;
use crate::index::{ChunkIndex, Location};
use crate::read::{ReadBuffers, StoredCopy};
use std::collections::HashSet;

/// So many pages are looked up at once.
const PAGES_AT_ONCE: usize = 256;
/// So many of the chunks that copies lack are remembered, in a few mebibytes.
const MOST_LACKING: usize = 1 << 16;

/// A walk over copies.
pub(super) struct Walk<'a> {
    index: &'a dyn ChunkIndex,
    pub(super) records: Records<'a>,
    buffers: ReadBuffers,
    pub(super) unreadable: Vec<Unreadable>,
    /// Chunks and index pages that a copy needs and that no pack holds, as far as the index knows; some of them, if there are
    /// very many.
    pub(super) lacking: HashSet<ChunkId>,
    /// Index pages that could not be read.
    unread: HashSet<ChunkHash>,
    stop: &'a dyn Fn() -> bool,
}

/// An index page of a copy that is not all zero.
pub(super) struct PagePlace {
    pub(super) page: u64,
    pub(super) hash: ChunkHash,
    pub(super) place: Place,
}

impl<'a> Walk<'a> {
    pub(super) fn new(index: &'a dyn ChunkIndex, records: Records<'a>, stop: &'a dyn Fn() -> bool) -> Self {
        Self {
            index,
            records,
            buffers: ReadBuffers::default(),
            unreadable: Vec::new(),
            lacking: HashSet::new(),
            unread: HashSet::new(),
            stop,
        }
    }

    /// Refuses to go on when it is time to stop.
    pub(super) fn go_on(&self) -> Result<(), VaultError> {
        if (self.stop)() {
            Err(VaultError::Stopped)
        } else {
            Ok(())
        }
    }

    /// Opens a copy; `None` when it is gone by now, or can't be read, which is noted.
    pub(super) fn open(&mut self, domain: &Domain, id: ManifestId) -> Result<Option<StoredCopy>, VaultError> {
        match domain.open_manifest(id) {
            Ok(copy) => Ok(Some(copy)),
            Err(VaultError::ManifestNotFound(_)) => Ok(None),
            Err(error) => {
                self.note(error, names::manifest(domain.id(), id).as_str())?;
                Ok(None)
            }
        }
    }

    /// Shows the index pages of a copy in their order, a part of them at once. Whether none is lost; that is noted.
    pub(super) fn pages(
        &mut self,
        copy: &StoredCopy,
        visit: &mut dyn FnMut(&mut Self, PagePlace) -> Result<(), VaultError>,
    ) -> Result<(), VaultError> {
        let mut pages = copy.data_pages();
        loop {
            let part: Vec<(u64, ChunkHash)> = pages
                .by_ref()
                .filter_map(|page| Some((page, copy.page_hash(page)?)))
                .take(PAGES_AT_ONCE)
                .collect();
            if part.is_empty() {
                return Ok(());
            }
            let id = |(_, hash): &(u64, ChunkHash)| Expected::page(copy.keys(), *hash).id;
            let ids: Vec<_> = part.iter().map(id).collect();
            let places = self.index.locate(&ids)?;
            for (((page, hash), id), at) in part.into_iter().zip(ids).zip(places) {
                self.go_on()?;
                if let Some(at) = at {
                    let place = self.place(&at)?;
                    visit(self, PagePlace { page, hash, place })?;
                } else {
                    self.lack(id);
                    self.unreadable.push(Unreadable {
                        object: names::manifest(copy.domain_id(), copy.manifest_id()).to_string(),
                        reason: "no pack holds an index page of it",
                    });
                }
            }
        }
    }

    /// Where those chunks of a page lie that are not zero, each as often as the page lists it. What no pack holds is
    /// left out, and noted: it is lost already. Nothing when the page can't be read, which is noted, too.
    pub(super) fn chunks(&mut self, copy: &StoredCopy, page: &PagePlace) -> Result<Vec<Place>, VaultError> {
        let entries = match copy.page_entries(page.page, page.hash, &mut self.buffers) {
            Ok(entries) => entries,
            Err(error) => {
                self.unread.insert(page.hash);
                let id = Expected::page(copy.keys(), page.hash).id;
                self.note(error, &format!("index page {id}"))?;
                return Ok(Vec::new());
            }
        };
        let ids: Vec<_> = entries
            .iter()
            .flatten()
            .map(|hash| copy.keys().chunk_id(hash))
            .collect();
        let places = self.index.locate(&ids)?;
        for (id, _) in ids.into_iter().zip(&places).filter(|(_, place)| place.is_none()) {
            self.lack(id);
        }
        places.iter().flatten().map(|at| self.place(at)).collect()
    }

    fn lack(&mut self, id: ChunkId) {
        if self.lacking.len() < MOST_LACKING {
            self.lacking.insert(id);
        }
    }

    /// Whether the page could not be read when it was met before.
    pub(super) fn could_not_read(&self, page: &PagePlace) -> bool {
        self.unread.contains(&page.hash)
    }

    fn place(&mut self, at: &Location) -> Result<Place, VaultError> {
        self.records.place(at)
    }

    /// Notes what can't be read. Other failures stay failures.
    pub(super) fn note(&mut self, error: VaultError, object: &str) -> Result<(), VaultError> {
        let (object, reason) = match error {
            VaultError::Damaged { object, reason, .. } => (object, reason),
            VaultError::UnsupportedVersion { object, .. } => (object, "a later version of this program wrote it"),
            VaultError::Blob(BlobError::Io { source, .. }) => {
                log::error!("{object}: {source}");
                (object.to_owned(), "it can't be read")
            }
            error => return Err(error),
        };
        self.unreadable.push(Unreadable { object, reason });
        Ok(())
    }
}
