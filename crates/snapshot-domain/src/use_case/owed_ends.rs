//! Writes whose end the rows may not tell of.
//!
//! A volume is `saving` from the beginning of a write to its end, and nobody but the writer ends it. When the database does not
//! take the end, or is lost while it takes the beginning, the volume would stay so: what is owed is kept here, until it is
//! stored. A stop forgets it, because the next start ends all writes.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::{VolumeEvent, VolumeId};

/// The writes of this process that have not ended, or whose ends are not stored. Clones share them.
#[derive(Clone, Debug, Default)]
pub(super) struct OwedEnds(Arc<Mutex<Owed>>);

#[derive(Debug, Default)]
struct Owed {
    /// `None` while the write goes on.
    writes: HashMap<VolumeId, Option<VolumeEvent>>,
    /// Whether somebody stores what is owed.
    is_being_paid: bool,
}

impl OwedEnds {
    /// Begins a write; `None` when one goes on, or was not ended. Two would take each other's volume for their own.
    pub(super) fn begin(&self, volume: VolumeId) -> Option<OwedEnd> {
        let mut owed = self.lock();
        if owed.writes.contains_key(&volume) {
            return None;
        }
        owed.writes.insert(volume, None);
        drop(owed);
        Some(OwedEnd {
            ends: self.clone(),
            volume,
            end: VolumeEvent::WriteAbandoned,
        })
    }

    /// Whether anything is owed.
    pub(super) fn are_there(&self) -> bool {
        self.lock().writes.values().any(Option::is_some)
    }

    /// What is owed, for who sees to it; `None` when somebody does already.
    pub(super) fn begin_paying(&self) -> Option<Vec<(VolumeId, VolumeEvent)>> {
        let mut owed = self.lock();
        if owed.is_being_paid {
            return None;
        }
        owed.is_being_paid = true;
        drop(owed);
        self.go_on_paying()
    }

    /// What is owed now; `None` when nothing is: then nobody sees to it any more.
    pub(super) fn go_on_paying(&self) -> Option<Vec<(VolumeId, VolumeEvent)>> {
        let mut owed = self.lock();
        let ends: Vec<_> = owed
            .writes
            .iter()
            .filter_map(|(id, end)| Some((*id, end.clone()?)))
            .collect();
        owed.is_being_paid = !ends.is_empty();
        owed.is_being_paid.then_some(ends)
    }

    /// The rows tell that a write has ended.
    pub(super) fn paid(&self, volume: VolumeId) {
        self.lock().writes.remove(&volume);
    }

    fn lock(&self) -> MutexGuard<'_, Owed> {
        // Nothing panics while it holds the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A write that goes on. Its end is owed from the moment when this is dropped, unless it is [`stored`](Self::stored).
#[derive(Debug)]
pub(super) struct OwedEnd {
    ends: OwedEnds,
    volume: VolumeId,
    end: VolumeEvent,
}

impl OwedEnd {
    /// How the write ended.
    pub(super) fn is(&mut self, end: VolumeEvent) {
        self.end = end;
    }

    /// The rows tell that the write has ended, or never that it began.
    pub(super) fn stored(self) {
        self.ends.paid(self.volume);
    }
}

impl Drop for OwedEnd {
    fn drop(&mut self) {
        if let Some(end) = self.ends.lock().writes.get_mut(&self.volume) {
            *end = Some(self.end.clone());
        }
    }
}
