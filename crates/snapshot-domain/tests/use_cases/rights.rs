//! What each role may do, use case by use case.

use snapshot_domain::{
    Caller, Error, Result, Right, Role, SnapshotChanges, VolumeChanges,
    ports::{Slice, SnapshotQuery},
    testing::{a_request, an_organization_id, name},
};

use crate::story::{Story, new_restore, new_snapshot, new_volume};

/// Every use case that somebody calls, with the right that it needs, on things of the caller's own.
fn all_calls(story: &Story, caller: &Caller) -> Vec<(&'static str, Right, Result<()>)> {
    let services = &story.services;
    let volume = story.volume();
    let snapshot = story.available(&volume);
    services.snapshot_bytes.put(snapshot.id(), b"whole");
    let (fading, done_with) = (story.volume(), story.available(&volume));
    let task = services.store.all_tasks().remove(0);
    let renamed = SnapshotChanges {
        name: Some(name("renamed")),
        ..SnapshotChanges::default()
    };
    let given_away = SnapshotChanges {
        organization: Some(an_organization_id()),
        ..SnapshotChanges::default()
    };
    let snapshots = &services.snapshots;
    let volumes = &services.volumes;
    vec![
        (
            "get a snapshot",
            Right::Read,
            snapshots.get(caller, snapshot.id()).map(drop),
        ),
        (
            "read a snapshot",
            Right::Read,
            snapshots.open(caller, snapshot.id()).map(drop),
        ),
        ("get a volume", Right::Read, volumes.get(caller, volume.id()).map(drop)),
        (
            "read a volume",
            Right::Read,
            volumes.open(caller, volume.id()).map(drop),
        ),
        (
            "get a task",
            Right::Read,
            services.tasks.get(caller, task.id()).map(drop),
        ),
        (
            "make a snapshot",
            Right::Create,
            snapshots
                .create(caller, &new_snapshot(caller, volume.id()), a_request())
                .map(drop),
        ),
        (
            "make a volume",
            Right::Create,
            volumes.create(caller, new_volume(caller)).map(drop),
        ),
        (
            "restore",
            Right::Create,
            volumes
                .restore(caller, new_restore(caller, &snapshot), a_request())
                .map(drop),
        ),
        (
            "rename a snapshot",
            Right::Change,
            snapshots.update(caller, snapshot.id(), &renamed).map(drop),
        ),
        (
            "give a snapshot away",
            Right::Change,
            match snapshots.update(caller, snapshot.id(), &given_away) {
                // The right is there; the other organization is not the caller's.
                Err(Error::NotAllowed) => Ok(()),
                other => other.map(drop),
            },
        ),
        (
            "rename a volume",
            Right::Change,
            volumes.update(caller, fading.id(), &VolumeChanges::default()).map(drop),
        ),
        (
            "write a volume",
            Right::Change,
            volumes
                .begin_write(caller, fading.id())
                .and_then(|write| write.abandon().map(drop)),
        ),
        (
            "delete a snapshot",
            Right::Delete,
            snapshots.delete(caller, done_with.id(), a_request()),
        ),
        (
            "delete a volume",
            Right::Delete,
            volumes.delete(caller, fading.id(), a_request()),
        ),
    ]
}

#[test]
fn each_role_may_do_what_it_is_for_and_nothing_else() {
    for role in Role::ALL {
        let story = Story::new();
        let caller = Caller {
            role,
            ..story.owner.clone()
        };

        for (call, needed, result) in all_calls(&story, &caller) {
            match result {
                Ok(()) => assert!(role.has(needed), "{role}: {call}"),
                Err(Error::RightMissing { role: told, right }) => {
                    assert_eq!((told, right), (role, needed), "{call}");
                    assert!(!role.has(needed), "{role}: {call}");
                }
                Err(other) => panic!("{role}: {call}: {other:?}"),
            }
        }
    }
}

#[test]
fn a_refused_call_changes_nothing() {
    let story = Story::new();
    let volume = story.volume();
    let snapshot = story.available(&volume);
    let thief = Caller {
        role: Role::Backup,
        ..story.owner.clone()
    };
    let before = (story.stored_volume(&volume), story.stored_snapshot(&snapshot));
    let tasks = story.services.store.all_tasks();

    let refused = [
        story.services.snapshots.delete(&thief, snapshot.id(), a_request()),
        story.services.volumes.delete(&thief, volume.id(), a_request()),
        story.services.volumes.begin_write(&thief, volume.id()).map(drop),
    ];

    assert!(refused.iter().all(Result::is_err));
    assert_eq!((story.stored_volume(&volume), story.stored_snapshot(&snapshot)), before);
    assert_eq!(story.services.store.all_tasks(), tasks);
}

#[test]
fn what_is_somebody_elses_is_refused_like_what_is_ones_own() {
    let story = Story::new();
    let theirs = story.volume();
    let thief = Caller {
        role: Role::Read,
        ..story.stranger.clone()
    };

    let refused = story.services.volumes.delete(&thief, theirs.id(), a_request());

    assert!(matches!(refused, Err(Error::RightMissing { .. })), "{refused:?}");
    let query = SnapshotQuery::all(thief.may(Right::Read).unwrap().scope());
    assert_eq!(story.services.snapshots.list(&query, Slice::first(10)).unwrap(), []);
}
