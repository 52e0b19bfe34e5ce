//! What has to be true after every operation.

use std::collections::{BTreeMap, BTreeSet};

use snapshot_domain::{
    Error, Right, SnapshotId, SnapshotState, SnapshotStateName, Task, TaskState, VolumeId, VolumeLocation, VolumeState,
    Work,
    ports::{Slice, SnapshotQuery, VolumeQuery},
};

use crate::world::World;

impl World {
    pub(crate) fn check(&mut self) {
        self.check_what_was_answered_is_there_and_nothing_else();
        self.check_snapshots();
        self.check_volumes();
        self.check_tasks();
        self.check_tenancy();
    }

    pub(crate) fn check_nothing_is_left_to_do(&self) {
        assert_eq!(self.unfinished(), []);
        for snapshot in self.services.store.all_snapshots() {
            assert_ne!(snapshot.state(), &SnapshotState::Snapshotting);
        }
        for volume in self.services.store.all_volumes() {
            let rests = matches!(
                volume.state(),
                VolumeState::Available { copies: 0 } | VolumeState::Error { .. }
            );
            assert!(rests, "{volume:?}");
        }
    }

    /// What was made is there, with its owner, until it is deleted; what was deleted never comes back.
    fn check_what_was_answered_is_there_and_nothing_else(&self) {
        let snapshots: BTreeMap<_, _> = self
            .services
            .store
            .all_snapshots()
            .iter()
            .map(|it| (it.id(), it.organization()))
            .collect();
        let volumes: BTreeMap<_, _> = self
            .services
            .store
            .all_volumes()
            .iter()
            .map(|it| (it.id(), it.organization()))
            .collect();

        assert_eq!(snapshots, self.snapshots);
        assert_eq!(volumes, self.volumes);
    }

    /// A snapshot is being copied exactly while one task does it, and is available exactly with what was copied.
    fn check_snapshots(&self) {
        let copying: Vec<_> = self.captures().map(|(snapshot, _)| snapshot).collect();
        for snapshot in self.services.store.all_snapshots() {
            let tasks = copying.iter().filter(|it| **it == snapshot.id()).count();
            let is_copied = snapshot.state().name() == SnapshotStateName::Snapshotting;
            assert_eq!(tasks, usize::from(is_copied), "{snapshot:?}");

            let content = match snapshot.state() {
                SnapshotState::Available(content) => Some(content),
                SnapshotState::Snapshotting | SnapshotState::Error { .. } => None,
            };
            assert_eq!(content, self.contents.get(&snapshot.id()), "{snapshot:?}");
        }
        let of_gone = copying.iter().find(|id| !self.snapshots.contains_key(id));
        assert_eq!(
            of_gone, None,
            "a copy that nobody called off fills a snapshot that is gone"
        );
    }

    /// A volume counts its copies exactly, is never written or filled beside one, and has bytes whenever it rests.
    fn check_volumes(&self) {
        let being_copied: Vec<_> = self.captures().map(|(_, volume)| volume).collect();
        let being_filled: Vec<_> = self.restores().collect();
        let mut written = BTreeSet::new();
        for volume in self.services.store.all_volumes() {
            let copies = being_copied.iter().filter(|it| **it == volume.id()).count();
            assert_eq!(usize::try_from(volume.copies()).unwrap(), copies, "{volume:?}");

            let restores = being_filled.iter().filter(|it| **it == volume.id()).count();
            let is_filled = *volume.state() == VolumeState::Fetching;
            assert_eq!(restores, usize::from(is_filled), "{volume:?}");

            if *volume.state() == VolumeState::Saving {
                written.insert(volume.id());
            }
            let is_readable = volume.check_can_be_read().is_ok() && *volume.location() == VolumeLocation::Managed;
            if is_readable {
                assert!(self.services.volume_bytes.contains(volume.id()), "{volume:?}");
            }
        }
        assert_eq!(written, self.written);
        let all_there = being_copied
            .iter()
            .chain(&being_filled)
            .all(|id| self.volumes.contains_key(id));
        assert!(all_there, "a task works on a volume that is gone");
    }

    /// What has ended stays as it ended; no manifest is removed while a restore reads it; no bytes of a volume that is
    /// there.
    fn check_tasks(&mut self) {
        for task in self.services.store.all_tasks() {
            if task.state().name().has_ended() {
                assert!(task.ended_at().is_some());
                let ended = self.ended_tasks.entry(task.id()).or_insert_with(|| task.clone());
                assert_eq!(*ended, task);
                continue;
            }
            assert_eq!(task.ended_at(), None);
            match *task.work() {
                Work::ForgetSnapshot { snapshot, .. } => {
                    assert!(!self.snapshots.contains_key(&snapshot));
                    let runs = matches!(task.state(), TaskState::Running { .. });
                    assert!(!runs || !self.is_read(snapshot), "{task:?}");
                }
                Work::EraseVolume { volume } => assert!(!self.volumes.contains_key(&volume)),
                Work::Capture { .. } | Work::Restore { .. } => {}
            }
        }
    }

    /// Everybody sees all of their own, and nothing else.
    fn check_tenancy(&self) {
        for caller in &self.callers {
            let (snapshots, volumes) = (&self.services.snapshots, &self.services.volumes);
            let query = SnapshotQuery::all(caller.may(Right::Read).unwrap().scope());
            let seen = snapshots.list(&query, Slice::first(1_000)).unwrap();
            let seen: BTreeSet<_> = seen.iter().map(|it| it.item.id()).collect();
            let own = |owner| caller.organizations.contains(owner);
            let owned: BTreeSet<_> = self.snapshots.iter().filter(|it| own(it.1)).map(|it| *it.0).collect();
            assert_eq!(seen, owned);
            assert_eq!(snapshots.count(&query).unwrap(), owned.len() as u64);
            for id in self.snapshots.keys().filter(|id| !owned.contains(id)) {
                assert!(matches!(snapshots.get(caller, *id), Err(Error::NotFound { .. })));
            }

            let query = VolumeQuery::all(caller.may(Right::Read).unwrap().scope());
            let seen = volumes.list(&query, Slice::first(1_000)).unwrap();
            let seen: BTreeSet<_> = seen.iter().map(|it| it.item.id()).collect();
            let owned: BTreeSet<_> = self.volumes.iter().filter(|it| own(it.1)).map(|it| *it.0).collect();
            assert_eq!(seen, owned);
            for id in self.volumes.keys().filter(|id| !owned.contains(id)) {
                assert!(matches!(volumes.get(caller, *id), Err(Error::NotFound { .. })));
            }
        }
    }

    fn unfinished(&self) -> Vec<Task> {
        let mut tasks = self.services.store.all_tasks();
        tasks.retain(|task| !task.state().name().has_ended());
        tasks
    }

    /// The copies that have neither ended nor been called off.
    fn captures(&self) -> impl Iterator<Item = (SnapshotId, VolumeId)> {
        self.unfinished().into_iter().filter_map(|task| match *task.work() {
            Work::Capture { snapshot, volume, .. } if !task.cancel_requested() => Some((snapshot, volume)),
            _ => None,
        })
    }

    fn restores(&self) -> impl Iterator<Item = VolumeId> {
        self.unfinished().into_iter().filter_map(|task| match *task.work() {
            Work::Restore { volume, .. } => Some(volume),
            _ => None,
        })
    }

    fn is_read(&self, id: SnapshotId) -> bool {
        self.unfinished()
            .iter()
            .any(|task| matches!(task.work(), Work::Restore { source, .. } if source.snapshot == id))
    }
}
