//! Files that are being given their names.

use super::BlobKey;
use std::collections::HashSet;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Names that are there, and may be gone after a power loss or taken back when a sync fails. Nobody relies on what lies under
/// one: whoever asks for it waits until it is there for good, or is not.
#[derive(Debug, Default)]
pub(super) struct Naming {
    names: Mutex<HashSet<BlobKey>>,
    ended: Condvar,
}

/// A name that is being given. Dropped when that has ended, whichever way.
pub(super) struct Name<'a> {
    naming: &'a Naming,
    key: &'a BlobKey,
}

impl Naming {
    /// Takes a name, once nobody else is giving it to a file.
    pub(super) fn begin<'a>(&'a self, key: &'a BlobKey) -> Name<'a> {
        self.unused(key).insert(key.clone());
        Name { naming: self, key }
    }

    /// Waits until nobody is giving a file this name.
    pub(super) fn wait(&self, key: &BlobKey) {
        drop(self.unused(key));
    }

    fn unused(&self, key: &BlobKey) -> MutexGuard<'_, HashSet<BlobKey>> {
        self.ended
            .wait_while(self.lock(), |names| names.contains(key))
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, HashSet<BlobKey>> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Name<'_> {
    fn drop(&mut self) {
        self.naming.lock().remove(self.key);
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
        naming.wait(&other);

        thread::scope(|scope| {
            scope.spawn(|| {
                about_to_ask.wait();
                naming.wait(&taken);
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
}
