//! Changes under the condition that nobody else was there first.

use std::sync::Arc;

use snapshot_domain::{
    Error, Resource, Revision, RevisionCondition, SnapshotChanges, VolumeChanges,
    testing::{
        InMemorySnapshotBytes, InMemoryStore, ManualClock, MockSnapshotRepository, MockTaskQueue, MockVolumeRepository,
        SequentialIds, Services, a_caller_of, a_request, a_snapshot, an_organization, name,
    },
    use_case::SnapshotService,
};
use uuid::Uuid;

use crate::story::{Story, assert_not_found};

fn renamed(to: &str) -> SnapshotChanges {
    SnapshotChanges {
        name: Some(name(to)),
        ..SnapshotChanges::default()
    }
}

fn at(revision: Revision) -> RevisionCondition {
    RevisionCondition::OneOf(vec![revision])
}

#[track_caller]
fn assert_failed<T>(result: snapshot_domain::Result<T>, wanted: Resource, wanted_id: Uuid) {
    match result.map(drop) {
        Err(Error::ConditionFailed { resource, id }) => assert_eq!((resource, id), (wanted, wanted_id)),
        other => panic!("expected the condition to fail, got {other:?}"),
    }
}

#[test]
fn of_two_changes_of_one_revision_the_second_is_refused() {
    let story = Story::new();
    let snapshot = story.available(&story.volume());
    let seen = at(snapshot.revision());
    let snapshots = &story.services.snapshots;

    snapshots
        .update_if(&story.owner, snapshot.id(), &renamed("first"), &seen)
        .unwrap();
    let second = snapshots.update_if(&story.owner, snapshot.id(), &renamed("second"), &seen);

    assert_failed(second, Resource::Snapshot, snapshot.id().as_uuid());
    assert_eq!(story.stored_snapshot(&snapshot).name(), &name("first"));
}

#[test]
fn a_snapshot_is_deleted_only_as_it_was_seen() {
    let story = Story::new();
    let snapshot = story.available(&story.volume());
    let snapshots = &story.services.snapshots;
    let delete = |condition| snapshots.delete_if(&story.owner, snapshot.id(), a_request(), &condition);

    assert_failed(
        delete(at(snapshot.revision().next())),
        Resource::Snapshot,
        snapshot.id().as_uuid(),
    );
    assert_eq!(story.stored_snapshot(&snapshot), snapshot);

    delete(at(snapshot.revision())).unwrap();
    assert!(story.services.store.all_snapshots().is_empty());
}

#[test]
fn a_volume_is_changed_and_deleted_only_as_it_was_seen() {
    let story = Story::new();
    let volume = story.volume();
    let (volumes, id) = (&story.services.volumes, volume.id());
    let changes = VolumeChanges {
        name: Some(name("renamed")),
        tags: None,
    };
    let stale = at(volume.revision().next());

    let updated = volumes.update_if(&story.owner, id, &changes, &stale);
    let deleted = volumes.delete_if(&story.owner, id, a_request(), &stale);

    assert_failed(updated, Resource::Volume, id.as_uuid());
    assert_failed(deleted, Resource::Volume, id.as_uuid());
    assert_eq!(story.stored_volume(&volume), volume);
    let seen = at(volume.revision());
    let renamed = volumes.update_if(&story.owner, id, &changes, &seen).unwrap();
    let seen = at(renamed.item.revision());
    volumes.delete_if(&story.owner, id, a_request(), &seen).unwrap();
}

/// Whether somebody else's snapshot is at some revision is nobody's business.
#[test]
fn a_condition_tells_nothing_of_what_is_somebody_elses() {
    let story = Story::new();
    let snapshot = story.available(&story.volume());
    let (snapshots, id) = (&story.services.snapshots, snapshot.id());

    for condition in [at(snapshot.revision()), RevisionCondition::Never] {
        let updated = snapshots.update_if(&story.stranger, id, &renamed("x"), &condition);
        let deleted = snapshots.delete_if(&story.stranger, id, a_request(), &condition);

        assert_not_found(updated, Resource::Snapshot, id.as_uuid());
        assert_not_found(deleted, Resource::Snapshot, id.as_uuid());
    }
}

/// The check and the change are one: a rival between the two makes the change fail, not overwrite.
#[test]
fn a_rival_between_the_look_and_the_change_is_noticed() {
    let snapshot = a_snapshot(an_organization().id).build();
    let mut rivals = snapshot.clone();
    rivals.update(renamed("the rival's"), snapshot.modified_at());
    let mut stored = vec![rivals, snapshot.clone()];
    let mut repository = MockSnapshotRepository::new();
    repository
        .expect_find()
        .times(2)
        .returning(move |_, _| Ok(stored.pop().unwrap()));
    repository.expect_update().once().returning(|_| {
        Err(Error::Stale {
            resource: Resource::Snapshot,
        })
    });
    let service = SnapshotService::new(
        Arc::new(repository),
        Arc::new(MockVolumeRepository::new()),
        Arc::new(MockTaskQueue::new()),
        Arc::new(InMemoryStore::default()),
        Arc::new(InMemorySnapshotBytes::default()),
        Services::default().checks,
        Arc::new(ManualClock::default()),
        Arc::new(SequentialIds::default()),
    );
    let caller = a_caller_of(&[snapshot.organization()]);

    let updated = service.update_if(&caller, snapshot.id(), &renamed("mine"), &at(snapshot.revision()));

    assert_failed(updated, Resource::Snapshot, snapshot.id().as_uuid());
}
