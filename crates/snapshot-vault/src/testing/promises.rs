//! What must be there, as a test says.

use crate::catalog::{CatalogError, CopyVisitor, PromisedCopies};
use crate::id::{DomainId, ManifestId};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

/// The copies that were promised, and not taken back. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Promises(Arc<Mutex<BTreeSet<(DomainId, ManifestId)>>>);

impl Promises {
    /// Promises a copy, which was committed.
    pub fn add(&self, domain: DomainId, copy: ManifestId) {
        self.with(|promised| promised.insert((domain, copy)));
    }

    /// Takes the promise of a copy back, before it is deleted.
    pub fn remove(&self, domain: DomainId, copy: ManifestId) {
        self.with(|promised| promised.remove(&(domain, copy)));
    }

    fn with<T>(&self, look: impl FnOnce(&mut BTreeSet<(DomainId, ManifestId)>) -> T) -> T {
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl PromisedCopies for Promises {
    fn visit(&self, visit: CopyVisitor<'_>) -> Result<(), CatalogError> {
        let promised: Vec<_> = self.with(|promised| promised.iter().copied().collect());
        // Two at a time, so that tests see what comes and goes in between.
        for part in promised.chunks(2) {
            if visit(part).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn is_promised(&self, domain: DomainId, copy: ManifestId) -> Result<bool, CatalogError> {
        Ok(self.with(|promised| promised.contains(&(domain, copy))))
    }
}
