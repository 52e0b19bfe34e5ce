//! Rules of beginning, changing and removing snapshots, and of finding the latest one.

use std::sync::mpsc::channel;

use super::{
    Ports,
    world::{World, after, assert_exists_already, assert_not_found, assert_stale, committed, race, volume_after},
};
use crate::{
    Content, Resource, Snapshot, SnapshotChanges, SnapshotEvent, SnapshotState, Task, VolumeChanges, VolumeEvent,
    VolumeSize, VolumeState, Work,
    ports::{AuditQuery, Slice},
    testing::{a_capture, a_content, a_snapshot, a_task, a_volume, an_audit_entry, moment, name, tags},
};

/// All that was stored comes back, to the microsecond, the last character and the last byte.
pub fn keeps_a_snapshot_as_it_was_begun(ports: &dyn Ports) {
    let world = World::new(ports);
    let volume = world.store_volume(
        a_volume(world.organization)
            .named("Größe: 16 TiB – 東京 🗄")
            .sized(VolumeSize::MAX.as_bytes()),
    );
    let snapshot = a_snapshot(world.organization)
        .named("vor dem „Upgrade“ \\ ' \" % 🗄")
        .tagged(&["b", " a ", "b", "夜, täglich"])
        .created_at(moment(-1));

    let copying = world.copy_as(&volume, snapshot);

    assert_eq!(ports.snapshots().get(copying.snapshot.id()).unwrap(), copying.snapshot);
    assert_eq!(ports.tasks().get(copying.task.id()).unwrap(), copying.task);
}

/// Who does not wait is told when all is stored, its entry in the audit trail included; what is refused leaves nothing,
/// wherever that is told.
pub fn tells_how_a_snapshot_that_was_handed_over_began(ports: &dyn Ports) {
    let world = World::new(ports);
    let volume = world.volume();
    let gone = a_volume(world.organization).build();
    for of in [&volume, &gone] {
        let snapshot = a_snapshot(world.organization).of(of).build();
        let task = a_capture(&snapshot).build();
        let entry = an_audit_entry(world.organization);
        let (tell, told) = channel();
        let handed_over = ports.audit().during(&entry, &mut || {
            let tell = tell.clone();
            let tell = Box::new(move |result| tell.send(result).unwrap());
            ports.snapshots().begin_and_tell(&snapshot, &task, of, None, tell)
        });
        let began = handed_over.and_then(|()| told.recv().unwrap());

        let query = AuditQuery::all(world.scope());
        let noted = ports.audit().list(&query, Slice::first(10)).unwrap();
        assert_eq!(noted.len(), 1);
        if of.id() == volume.id() {
            began.unwrap();
            assert_eq!(noted[0].resource, Some(snapshot.id().as_uuid()));
            assert_eq!(ports.snapshots().get(snapshot.id()).unwrap(), snapshot);
            assert_eq!(ports.tasks().get(task.id()).unwrap(), task);
        } else {
            assert_stale(began);
            assert_not_found(
                ports.snapshots().get(snapshot.id()),
                Resource::Snapshot,
                snapshot.id().as_uuid(),
            );
        }
    }
    assert_eq!(world.copies(&volume), 1);
}

/// What is known of a whole copy comes back, and so does the reason of one that failed.
pub fn keeps_what_is_known_of_an_ended_copy(ports: &dyn Ports) {
    let world = World::new(ports);
    let volume = world.volume();
    let content = Content {
        stored_bytes: (16 << 40) + 1,
        ..a_content()
    };
    let reason = "Die Datei „disk.img“ wurde verändert\nwährend sie kopiert wurde (東京)".to_owned();

    for event in [
        SnapshotEvent::CaptureCommitted(content),
        SnapshotEvent::CaptureFailed { reason },
    ] {
        let copying = world.copy(&volume);
        let ended = after(&copying.snapshot, event);
        ports.snapshots().update(&ended).unwrap();

        assert_eq!(ports.snapshots().get(ended.id()).unwrap(), ended);
    }
}

/// Beginning a copy changes the count of the volume's copies, and nothing else about the volume.
pub fn counts_a_copy_without_changing_the_volumes_revision(ports: &dyn Ports) {
    let world = World::new(ports);
    let volume = world.volume();

    world.copy(&volume);
    world.copy(&volume);

    let now = world.reread(&volume);
    assert_eq!(now.state(), &VolumeState::Available { copies: 2 });
    assert_eq!(now.revision(), volume.revision());
    assert_eq!(now.modified_at(), volume.modified_at());
}

/// A snapshot may belong to another organization than its volume does: a caller can act for both.
pub fn begins_a_snapshot_for_another_organization_than_the_volumes(ports: &dyn Ports) {
    let world = World::new(ports);
    let other = world.another_organization();
    let volume = world.volume();

    let copying = world.copy_as(&volume, a_snapshot(other));

    let stored = ports.snapshots().get(copying.snapshot.id()).unwrap();
    assert_eq!((stored.organization(), stored.domain()), (other, other));
    assert_eq!(world.copies(&volume), 1);
}

/// Many copies of one volume may begin at once: all of them do, and each is counted.
pub fn lets_any_number_of_copies_of_one_volume_begin_at_once(ports: &dyn Ports) {
    let world = World::new(ports);
    let volume = world.volume();

    let outcomes = race(16, |_| {
        let snapshot = a_snapshot(world.organization).of(&volume).build();
        ports
            .snapshots()
            .begin(&snapshot, &a_capture(&snapshot).build(), &volume, None)
    });

    assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
    assert_eq!(world.copies(&volume), 16);
}

/// A copy of a volume that was changed since it was read is not begun, and leaves no trace.
pub fn does_not_begin_a_copy_of_a_volume_that_was_changed(ports: &dyn Ports) {
    let world = World::new(ports);
    let volume = world.volume();
    ports
        .volumes()
        .update(&volume_after(&volume, VolumeEvent::WriteBegun))
        .unwrap();
    let snapshot = a_snapshot(world.organization).of(&volume).build();
    let task = a_capture(&snapshot).build();

    let begun = ports.snapshots().begin(&snapshot, &task, &volume, None);

    assert_stale(begun);
    assert_nothing_begun(ports, &snapshot, &task);
    assert_eq!(world.reread(&volume).state(), &VolumeState::Saving);
}

/// Any change counts, also one after which the volume could still be copied: the snapshot would remember an old name.
pub fn does_not_begin_a_copy_of_a_volume_that_was_renamed(ports: &dyn Ports) {
    let world = World::new(ports);
    let volume = world.volume();
    let mut renamed = volume.clone();
    let changes = VolumeChanges {
        name: Some(name("renamed")),
        tags: None,
    };
    renamed.update(changes, moment(15));
    ports.volumes().update(&renamed).unwrap();
    let snapshot = a_snapshot(world.organization).of(&volume).build();
    let task = a_capture(&snapshot).build();

    let begun = ports.snapshots().begin(&snapshot, &task, &volume, None);

    assert_stale(begun);
    assert_nothing_begun(ports, &snapshot, &task);
    assert_eq!(world.reread(&volume), renamed);
}

/// Neither is a copy of a volume that was deleted since it was read.
pub fn does_not_begin_a_copy_of_a_volume_that_is_gone(ports: &dyn Ports) {
    let world = World::new(ports);
    let volume = world.volume();
    ports.volumes().delete(&volume, None).unwrap();
    let snapshot = a_snapshot(world.organization).of(&volume).build();
    let task = a_capture(&snapshot).build();

    let begun = ports.snapshots().begin(&snapshot, &task, &volume, None);

    assert_stale(begun);
    assert_nothing_begun(ports, &snapshot, &task);
}

/// A taken id is refused; no copy is counted for it, and no task is stored.
pub fn refuses_a_snapshot_whose_id_is_taken(ports: &dyn Ports) {
    let world = World::new(ports);
    let volume = world.volume();
    let first = world.copy(&volume).snapshot;
    let second = a_snapshot(world.organization)
        .id(first.id())
        .named("another")
        .of(&volume)
        .build();
    let task = a_capture(&second).build();

    let begun = ports.snapshots().begin(&second, &task, &world.reread(&volume), None);

    assert_exists_already(begun);
    assert_eq!(ports.snapshots().get(first.id()).unwrap(), first);
    assert_eq!(world.copies(&volume), 1);
    assert_not_found(ports.tasks().get(task.id()), Resource::Task, task.id().as_uuid());
}

/// An update is the next revision, and replaces all that can change.
pub fn replaces_a_snapshot_by_its_next_revision(ports: &dyn Ports) {
    let world = World::new(ports);
    let receiver = world.another_organization();
    let mut snapshot = world.copy(&world.volume()).snapshot;

    let changes = SnapshotChanges {
        name: Some(name("renamed")),
        organization: Some(receiver),
        tags: Some(tags(&["kept", "for", "years"])),
    };
    snapshot.update(changes, moment(123));
    ports.snapshots().update(&snapshot).unwrap();

    assert_eq!(ports.snapshots().get(snapshot.id()).unwrap(), snapshot);
}

/// Two writers start from the same revision; the second one is told so.
pub fn lets_only_one_of_two_racing_changes_of_a_snapshot_win(ports: &dyn Ports) {
    let world = World::new(ports);
    let snapshot = world.copy(&world.volume()).snapshot;

    let outcomes = race(8, |n| {
        let next = renamed(&snapshot, &format!("writer {n}"));
        ports.snapshots().update(&next).map(|()| next)
    });

    let (won, lost): (Vec<_>, Vec<_>) = outcomes.into_iter().partition(Result::is_ok);
    let won: Vec<_> = won.into_iter().flatten().collect();
    lost.into_iter().for_each(assert_stale);
    assert_eq!(won, [ports.snapshots().get(snapshot.id()).unwrap()]);
}

/// The present revision again, and one that left a change out, are refused like an old one.
pub fn refuses_any_revision_of_a_snapshot_but_the_next(ports: &dyn Ports) {
    let world = World::new(ports);
    let first = world.copy(&world.volume()).snapshot;
    let second = renamed(&first, "second");
    let third = renamed(&second, "third");

    assert_stale(ports.snapshots().update(&first));
    assert_stale(ports.snapshots().update(&third));
    ports.snapshots().update(&second).unwrap();
    assert_stale(ports.snapshots().update(&second));
    assert_eq!(ports.snapshots().get(first.id()).unwrap(), second);
}

/// An update does not bring back what is gone.
pub fn does_not_update_a_snapshot_that_is_gone(ports: &dyn Ports) {
    let world = World::new(ports);
    let snapshot = world.available(&world.volume(), a_snapshot(world.organization));
    ports.snapshots().delete(&snapshot, &forget(&snapshot)).unwrap();

    let updated = ports.snapshots().update(&renamed(&snapshot, "undead"));

    assert_not_found(updated, Resource::Snapshot, snapshot.id().as_uuid());
    assert_gone(ports, &snapshot);
}

/// A deleted snapshot is gone, the task that removes its manifest is there, and its volume is as before.
pub fn deletes_a_snapshot_and_stores_what_is_left_to_do(ports: &dyn Ports) {
    let world = World::new(ports);
    let volume = world.volume();
    let available = world.available(&volume, a_snapshot(world.organization));
    let failed = world.failed(&volume, a_snapshot(world.organization));

    for snapshot in [&available, &failed] {
        let task = forget(snapshot);
        ports.snapshots().delete(snapshot, &task).unwrap();

        assert_gone(ports, snapshot);
        assert_eq!(ports.tasks().get(task.id()).unwrap(), task);
    }
    assert_eq!(world.reread(&volume), volume);
}

/// A snapshot that was changed since it was read stays, and nothing is left to do.
pub fn does_not_delete_a_snapshot_that_was_changed(ports: &dyn Ports) {
    let world = World::new(ports);
    let snapshot = world.available(&world.volume(), a_snapshot(world.organization));
    let next = renamed(&snapshot, "changed");
    ports.snapshots().update(&next).unwrap();
    let task = forget(&snapshot);

    let deleted = ports.snapshots().delete(&snapshot, &task);

    assert_stale(deleted);
    assert_eq!(ports.snapshots().get(snapshot.id()).unwrap(), next);
    assert_not_found(ports.tasks().get(task.id()), Resource::Task, task.id().as_uuid());
}

/// Deleting again finds nothing, and leaves nothing to do.
pub fn does_not_delete_a_snapshot_that_is_gone(ports: &dyn Ports) {
    let world = World::new(ports);
    let snapshot = world.available(&world.volume(), a_snapshot(world.organization));
    ports.snapshots().delete(&snapshot, &forget(&snapshot)).unwrap();
    let task = forget(&snapshot);

    let again = ports.snapshots().delete(&snapshot, &task);

    assert_not_found(again, Resource::Snapshot, snapshot.id().as_uuid());
    assert_not_found(ports.tasks().get(task.id()), Resource::Task, task.id().as_uuid());
}

/// Of many that delete the same snapshot at once, one does.
pub fn lets_only_one_of_many_racing_deletes_win(ports: &dyn Ports) {
    let world = World::new(ports);
    let snapshot = world.available(&world.volume(), a_snapshot(world.organization));

    let outcomes = race(8, |_| ports.snapshots().delete(&snapshot, &forget(&snapshot)));

    let (won, lost): (Vec<_>, Vec<_>) = outcomes.into_iter().partition(Result::is_ok);
    assert_eq!(won.len(), 1);
    for outcome in lost {
        assert_not_found(outcome, Resource::Snapshot, snapshot.id().as_uuid());
    }
}

/// The latest is the one that began last, ties by id; only whole copies of that very volume count.
pub fn finds_the_latest_available_snapshot_of_a_volume(ports: &dyn Ports) {
    let world = World::new(ports);
    let (volume, other_volume) = (world.volume(), world.volume());
    let at = |micros| a_snapshot(world.organization).created_at(moment(micros));
    let latest_of = |id| ports.snapshots().latest_available(id, world.organization).unwrap();

    assert_eq!(latest_of(volume.id()), None);
    world.available(&volume, at(5));
    let tied = [at(6), at(6)];
    let expected = world.available(&volume, tied[1].clone());
    world.available(&volume, tied[0].clone());
    world.available(&volume, at(4));
    world.copy_as(&volume, at(8));
    world.failed(&volume, at(9));
    world.available(&other_volume, at(10));

    assert_eq!(latest_of(volume.id()), Some(expected));
}

/// The key decides, not the owner: a transferred snapshot still counts for the organization that it was made for.
pub fn finds_the_latest_snapshot_by_its_domain_also_after_a_transfer(ports: &dyn Ports) {
    let world = World::new(ports);
    let receiver = world.another_organization();
    let volume = world.volume();
    let mut given = world.available(&volume, a_snapshot(world.organization).created_at(moment(2)));
    world.available(&volume, a_snapshot(world.organization).created_at(moment(1)));
    let changes = SnapshotChanges {
        organization: Some(receiver),
        ..SnapshotChanges::default()
    };
    given.update(changes, moment(30));
    ports.snapshots().update(&given).unwrap();

    let latest = |domain| ports.snapshots().latest_available(volume.id(), domain).unwrap();

    assert_eq!(latest(world.organization), Some(given));
    assert_eq!(latest(receiver), None);
}

/// What was deleted is nobody's parent.
pub fn forgets_a_deleted_snapshot_as_the_latest(ports: &dyn Ports) {
    let world = World::new(ports);
    let volume = world.volume();
    let older = world.available(&volume, a_snapshot(world.organization).created_at(moment(1)));
    let latest = world.available(&volume, a_snapshot(world.organization).created_at(moment(2)));
    ports.snapshots().delete(&latest, &forget(&latest)).unwrap();

    let found = ports.snapshots().latest_available(volume.id(), world.organization);

    assert_eq!(found.unwrap(), Some(older));
}

/// A copy begins, and somebody writes to the volume, at the same moment: never both.
pub fn never_lets_a_copy_and_a_write_begin_together(ports: &dyn Ports) {
    let world = World::new(ports);
    for _ in 0..8 {
        let volume = world.volume();

        let outcomes = race(2, |n| {
            if n == 0 {
                let snapshot = a_snapshot(world.organization).of(&volume).build();
                let task = a_capture(&snapshot).build();
                ports.snapshots().begin(&snapshot, &task, &volume, None)
            } else {
                ports.volumes().update(&volume_after(&volume, VolumeEvent::WriteBegun))
            }
        });

        let [copy, write] = &outcomes[..] else {
            panic!("two threads have two outcomes");
        };
        let expected = match (copy, write) {
            (Ok(()), Err(_)) => VolumeState::Available { copies: 1 },
            (Err(_), Ok(())) => VolumeState::Saving,
            _ => panic!("exactly one of the two begins: {outcomes:?}"),
        };
        assert_eq!(world.reread(&volume).state(), &expected);
        outcomes.into_iter().filter(Result::is_err).for_each(assert_stale);
    }
}

/// A snapshot can be changed and ended only by its own id: one's update leaves all others alone.
pub fn leaves_other_snapshots_alone(ports: &dyn Ports) {
    let world = World::new(ports);
    let volume = world.volume();
    let (changed, ended, deleted, kept) = (
        world.copy(&volume).snapshot,
        world.copy(&volume).snapshot,
        world.available(&volume, a_snapshot(world.organization)),
        world.copy(&volume).snapshot,
    );

    ports.snapshots().update(&renamed(&changed, "changed")).unwrap();
    ports.snapshots().update(&after(&ended, committed())).unwrap();
    ports.snapshots().delete(&deleted, &forget(&deleted)).unwrap();

    assert_eq!(ports.snapshots().get(kept.id()).unwrap(), kept);
    assert_eq!(kept.state(), &SnapshotState::Snapshotting);
    assert_eq!(ports.snapshots().get(changed.id()).unwrap().name(), &name("changed"));
}

fn renamed(snapshot: &Snapshot, to: &str) -> Snapshot {
    let mut next = snapshot.clone();
    let changes = SnapshotChanges {
        name: Some(name(to)),
        ..SnapshotChanges::default()
    };
    assert!(next.update(changes, moment(30)), "the new name differs");
    next
}

fn forget(snapshot: &Snapshot) -> Task {
    let work = Work::ForgetSnapshot {
        snapshot: snapshot.id(),
        domain: snapshot.domain(),
    };
    a_task(snapshot.organization(), work).created_at(moment(40)).build()
}

fn assert_nothing_begun(ports: &dyn Ports, snapshot: &Snapshot, task: &Task) {
    assert_gone(ports, snapshot);
    assert_not_found(ports.tasks().get(task.id()), Resource::Task, task.id().as_uuid());
}

fn assert_gone(ports: &dyn Ports, snapshot: &Snapshot) {
    assert_not_found(
        ports.snapshots().get(snapshot.id()),
        Resource::Snapshot,
        snapshot.id().as_uuid(),
    );
}
