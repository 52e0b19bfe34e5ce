//! Everybody at once: many callers and workers on the same few volumes and snapshots.

use std::sync::atomic::{AtomicUsize, Ordering};

use snapshot_domain::{
    Error, InstanceId, OrganizationId, Result, Scope, Snapshot, SnapshotChanges, SnapshotEvent, TaskOutcome, Volume,
    Work,
    ports::{
        OrganizationRepository, Slice, SnapshotQuery, SnapshotRepository, TaskQueue, VolumeQuery, VolumeRepository,
    },
    testing::{a_capture, a_content, a_restore, a_snapshot, a_task, a_volume, an_instance, an_organization, moment},
};
use snapshot_store::Store;

use crate::place::{in_a_postgres_schema, in_a_temporary_file, say_skipped};

const CALLERS: usize = 12;
const STEPS: usize = 60;

#[test]
fn a_crowd_on_a_file_only_meets_refusals() {
    let within = in_a_temporary_file();

    let done = let_a_crowd_in(within.store());

    assert!(done > CALLERS, "nearly everything was refused");
}

#[test]
fn a_crowd_on_a_server_only_meets_refusals() {
    let Some(within) = in_a_postgres_schema() else {
        return say_skipped("a_crowd_on_a_server_only_meets_refusals");
    };

    let done = let_a_crowd_in(within.store());

    assert!(done > CALLERS, "nearly everything was refused");
}

/// Lets callers do everything in different orders, and returns how much was not refused. Whoever waited for somebody who
/// waited, or found nonsense, would see another error than a refusal. What is left is compared with the counts.
fn let_a_crowd_in(store: &Store) -> usize {
    let organizations: Vec<_> = (0..2).map(|_| an_organization()).collect();
    for organization in &organizations {
        OrganizationRepository::insert(store, organization).unwrap();
    }
    let organizations: Vec<_> = organizations.into_iter().map(|it| it.id).collect();
    let scope = Scope::new(organizations.clone());
    for organization in &organizations {
        VolumeRepository::insert(store, &a_volume(*organization).build(), None).unwrap();
    }
    let done = AtomicUsize::new(0);

    std::thread::scope(|threads| {
        for caller in 0..CALLERS {
            let (organizations, scope, done) = (&organizations, &scope, &done);
            threads.spawn(move || {
                let instance = an_instance();
                for step in 0..STEPS {
                    let organization = organizations[(caller + step) % 2];
                    match act(store, scope, organization, instance, caller * 7 + step) {
                        Ok(()) => {
                            done.fetch_add(1, Ordering::Relaxed);
                        }
                        Err(Error::Stale { .. } | Error::NotFound { .. } | Error::LeaseLost) => {}
                        Err(error) => panic!("{error}: {error:?}"),
                    }
                }
            });
        }
    });

    let volumes = list_volumes(store, &scope).unwrap();
    let snapshots = list_snapshots(store, &scope, 9999).unwrap();
    let in_the_making = |volume: &Volume| {
        let of_volume = snapshots.iter().filter(|it| it.base_volume().id == volume.id());
        of_volume.filter(|it| it.readable().is_err()).count()
    };
    for volume in &volumes {
        assert_eq!(volume.copies() as usize, in_the_making(volume), "{volume:?}");
    }
    assert_eq!(
        SnapshotRepository::count(store, &SnapshotQuery::all(scope.clone())).unwrap(),
        snapshots.len() as u64
    );
    assert_eq!(
        VolumeRepository::count(store, &VolumeQuery::all(scope)).unwrap(),
        volumes.len() as u64
    );
    done.into_inner()
}

fn list_snapshots(store: &Store, scope: &Scope, limit: u32) -> Result<Vec<Snapshot>> {
    let listed = SnapshotRepository::list(store, &SnapshotQuery::all(scope.clone()), Slice::first(limit))?;
    Ok(listed.into_iter().map(|it| it.snapshot).collect())
}

/// One thing that a caller or a worker does.
fn act(store: &Store, scope: &Scope, organization: OrganizationId, instance: InstanceId, choice: usize) -> Result<()> {
    let volumes = list_volumes(store, scope)?;
    let some_volume = volumes.get(choice % volumes.len().max(1));
    let snapshots = list_snapshots(store, scope, 20)?;
    let some_snapshot = snapshots.get(choice % snapshots.len().max(1));
    match (choice % 9, some_volume, some_snapshot) {
        (0..=2, Some(volume), _) if volume.check_can_be_copied().is_ok() => {
            let snapshot = a_snapshot(organization).of(volume).build();
            store.begin(&snapshot, &a_capture(&snapshot).build(), volume, None)
        }
        (3, _, Some(snapshot)) if snapshot.readable().is_err() => store.cancel(snapshot),
        (4, _, Some(snapshot)) => {
            let mut transferred = snapshot.clone();
            let changes = SnapshotChanges {
                organization: Some(organization),
                ..SnapshotChanges::default()
            };
            if transferred.update(changes, moment(3)) {
                SnapshotRepository::update(store, &transferred)?;
            }
            Ok(())
        }
        (5, _, Some(snapshot)) if snapshot.readable().is_ok() => {
            let work = Work::ForgetSnapshot {
                snapshot: snapshot.id(),
                domain: snapshot.domain(),
            };
            SnapshotRepository::delete(store, snapshot, &a_task(organization, work).build())
        }
        (6, _, Some(snapshot)) if snapshot.readable().is_ok() => {
            let volume = a_volume(organization)
                .sized(snapshot.size().as_bytes())
                .restoring(snapshot.id())
                .build();
            store.begin_restore(&volume, &a_restore(&volume, snapshot).build(), None)
        }
        (7, Some(volume), _) if volume.check_can_be_deleted().is_ok() && volumes.len() > 2 => {
            VolumeRepository::delete(store, volume, None)
        }
        _ => work(store, instance),
    }
}

/// Claims a task and ends it.
fn work(store: &Store, instance: InstanceId) -> Result<()> {
    let Some(task) = store.claim(instance, moment(5), moment(6))? else {
        return Ok(());
    };
    let now = moment(5);
    match *task.work() {
        Work::Capture { snapshot, .. } if !task.cancel_requested() => {
            let mut snapshot = SnapshotRepository::get(store, snapshot)?;
            snapshot.apply(SnapshotEvent::CaptureCommitted(a_content()), now)?;
            store.finish_capture(&task.lease(), &snapshot, TaskOutcome::Succeeded, now)
        }
        Work::Restore { volume, .. } => {
            let mut volume = VolumeRepository::get(store, volume)?;
            volume.apply(snapshot_domain::VolumeEvent::RestoreCommitted, now)?;
            store.finish_restore(&task.lease(), &volume, TaskOutcome::Succeeded, now)
        }
        Work::Capture { .. } | Work::EraseVolume { .. } | Work::ForgetSnapshot { .. } => {
            store.finish(&task.lease(), TaskOutcome::Succeeded, now)
        }
    }
}

fn list_volumes(store: &Store, scope: &Scope) -> Result<Vec<Volume>> {
    VolumeRepository::list(store, &VolumeQuery::all(scope.clone()), Slice::first(9999))
}
