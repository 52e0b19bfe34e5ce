//! What a copy may count on.

use crate::catalog::SetAside;
use crate::error::VaultError;
use crate::hash::ChunkId;
use crate::id::PackId;
use crate::read::StoredCopy;
use crate::vault::VaultCore;
use std::collections::{BTreeSet, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What a copy may count on: whatever the index knows, but for what was distrusted when the copy began.
#[derive(Debug)]
pub(super) struct Trust {
    packs: HashSet<PackId>,
    /// Places of damaged chunks.
    places: HashSet<(PackId, u32)>,
    /// Whether all that the parent needs is sure to be there without asking the index.
    parent: bool,
    /// A collection that condemned packs after this moment waits for the copy.
    _session: OpenSession,
}

impl Trust {
    /// What a copy with this parent may count on that begins now.
    pub(super) fn now(vault: &VaultCore, parent: Option<&StoredCopy>) -> Result<Self, VaultError> {
        // Before the catalog is read: of packs condemned after that, the collection must know that this copy runs.
        let session = vault.sessions.open();
        let distrusted = vault.catalog.distrusted()?;
        let mut packs = vault.gone().clone();
        packs.extend(distrusted.packs);
        let nothing_is_distrusted = packs.is_empty() && distrusted.chunks.is_empty();
        let places = |chunk: SetAside| (chunk.pack, chunk.offset);
        Ok(Self {
            packs,
            places: distrusted.chunks.into_iter().map(places).collect(),
            parent: nothing_is_distrusted
                && vault.may_rely_on_copies()
                // If it is still there, nothing that it needs was removed before: a collection that began then has
                // counted it.
                && parent.map_or(Ok(false), StoredCopy::is_there)?,
            _session: session,
        })
    }

    /// Whether what the parent needs counts as stored.
    pub(super) const fn includes_parent(&self) -> bool {
        self.parent
    }

    /// Whether the chunk, or index page, is stored at a place that counts.
    pub(super) fn finds(&self, vault: &VaultCore, id: &ChunkId) -> Result<bool, VaultError> {
        if self.packs.is_empty() && self.places.is_empty() {
            return Ok(vault.index.contains(id)?);
        }
        let place = vault.index.locate(std::slice::from_ref(id))?.pop().flatten();
        Ok(place.is_some_and(|at| !self.packs.contains(&at.pack) && !self.places.contains(&(at.pack, at.offset))))
    }
}

/// The copies that this process is making, by number in the order in which they began. The caller's database may have
/// given up one that still runs here.
#[derive(Clone, Debug, Default)]
pub(crate) struct OpenSessions(Arc<Mutex<Numbers>>);

#[derive(Debug, Default)]
struct Numbers {
    next: u64,
    open: BTreeSet<u64>,
}

impl OpenSessions {
    fn open(&self) -> OpenSession {
        let mut numbers = self.numbers();
        let number = numbers.next;
        numbers.next += 1;
        numbers.open.insert(number);
        OpenSession {
            number,
            sessions: self.clone(),
        }
    }

    /// How many have begun so far.
    pub(crate) fn begun(&self) -> u64 {
        self.numbers().next
    }

    /// How many of the first `begun` have not ended.
    pub(crate) fn open_of(&self, begun: u64) -> usize {
        self.numbers().open.range(..begun).count()
    }

    fn numbers(&self) -> MutexGuard<'_, Numbers> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A copy that runs until this is dropped.
#[derive(Debug)]
struct OpenSession {
    number: u64,
    sessions: OpenSessions,
}

impl Drop for OpenSession {
    fn drop(&mut self) {
        self.sessions.numbers().open.remove(&self.number);
    }
}
