//! Files that are being given their names.

use super::BlobKey;
use std::collections::HashMap;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Names that are there, and may be gone after a power loss or taken back when a sync fails. Nobody relies on what lies under
/// one: whoever asks for it waits until it is there for good, or is not. Where not even taking it back succeeded, it is in
/// doubt until the folder is opened again, which syncs all of it.
#[derive(Debug, Default)]
pub(super) struct Naming {
    names: Mutex<HashMap<BlobKey, Standing>>,
    ended: Condvar,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    BeingGiven,
    InDoubt,
}

/// A name that is being given. Dropped when that has ended, whichever way.
pub(super) struct Name<'a> {
    naming: &'a Naming,
    key: &'a BlobKey,
    is_in_doubt: bool,
}

impl Naming {
    /// Takes a name, once nobody else is giving it to a file.
    pub(super) fn begin<'a>(&'a self, key: &'a BlobKey) -> Name<'a> {
        let before = self.unused(key).insert(key.clone(), Standing::BeingGiven);
        Name {
            naming: self,
            key,
            is_in_doubt: before.is_some(),
        }
    }

    /// Waits until nobody is giving a file this name. Whether what lies under it, if anything does, can be relied upon.
    pub(super) fn wait(&self, key: &BlobKey) -> bool {
        !self.unused(key).contains_key(key)
    }

    /// The name is gone for good.
    pub(super) fn gone(&self, key: &BlobKey) {
        self.unused(key).remove(key);
    }

    fn unused(&self, key: &BlobKey) -> MutexGuard<'_, HashMap<BlobKey, Standing>> {
        self.ended
            .wait_while(self.lock(), |names| names.get(key) == Some(&Standing::BeingGiven))
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<BlobKey, Standing>> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Name<'_> {
    /// Whether it may be there, and may be gone after a power loss.
    pub(super) fn set_in_doubt(&mut self, is_in_doubt: bool) {
        self.is_in_doubt = is_in_doubt;
    }
}

impl Drop for Name<'_> {
    fn drop(&mut self) {
        let mut names = self.naming.lock();
        if self.is_in_doubt {
            names.insert(self.key.clone(), Standing::InDoubt);
        } else {
            names.remove(self.key);
        }
        drop(names);
        self.naming.ended.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Barrier;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::thread;

    #[test]
    fn who_asks_for_a_name_that_is_being_given_waits_until_that_has_ended() {
        let naming = Naming::default();
        let (taken, other) = (
            BlobKey::parse("manifests/a").unwrap(),
            BlobKey::parse("manifests/b").unwrap(),
        );
        let (waited, about_to_ask) = (AtomicUsize::new(0), Barrier::new(3));
        let name = naming.begin(&taken);
        assert!(naming.wait(&other));

        thread::scope(|scope| {
            scope.spawn(|| {
                about_to_ask.wait();
                assert!(naming.wait(&taken));
                waited.fetch_add(1, Ordering::SeqCst);
            });
            scope.spawn(|| {
                about_to_ask.wait();
                let _name = naming.begin(&taken);
                waited.fetch_add(1, Ordering::SeqCst);
            });
            about_to_ask.wait();
            // Time enough for who does not wait; who does takes no time.
            (0..10_000).for_each(|_| thread::yield_now());
            assert_eq!(waited.load(Ordering::SeqCst), 0);
            drop(name);
        });

        assert_eq!(waited.load(Ordering::SeqCst), 2);
        assert!(naming.lock().is_empty());
    }

    #[test]
    fn a_name_in_doubt_stays_so_until_it_is_gone() {
        let naming = Naming::default();
        let key = BlobKey::parse("manifests/a").unwrap();
        naming.begin(&key).set_in_doubt(true);

        assert!(!naming.wait(&key));
        drop(naming.begin(&key));
        assert!(!naming.wait(&key), "somebody found it taken");
        naming.gone(&key);
        assert!(naming.wait(&key));
    }
}
