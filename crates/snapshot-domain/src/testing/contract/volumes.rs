//! Rules of storing, changing and removing volumes.

use super::{
    Ports,
    world::{World, assert_exists_already, assert_not_found, assert_stale, race, volume_after},
};
use crate::{
    Resource, Task, Volume, VolumeChanges, VolumeEvent, VolumeSize, Work,
    testing::{a_snapshot, a_task, a_volume, moment, name, some_losses, tags},
};

/// All that was stored comes back, to the microsecond, the last character and the last byte.
pub fn keeps_a_volume_as_it_was_stored(ports: &dyn Ports) {
    let world = World::new(ports);
    let managed = a_volume(world.organization)
        .named("Größe: 16 TiB – 東京 🗄 \\ ' \" %")
        .tagged(&["b", " a ", "b", "夜, täglich"])
        .sized(VolumeSize::MAX.as_bytes())
        .created_at(moment(-1));
    let registered = a_volume(world.organization)
        .sized(512)
        .registered_at("/srv/Abbilder/東京 disk 'a'.img");

    for volume in [managed, registered] {
        let volume = world.store_volume(volume);

        assert_eq!(world.reread(&volume), volume);
    }
}

/// The one that is there stays.
pub fn refuses_a_volume_whose_id_is_taken(ports: &dyn Ports) {
    let world = World::new(ports);
    let first = world.volume();
    let second = a_volume(world.organization).id(first.id()).named("another").build();

    let inserted = ports.volumes().insert(&second, None);

    assert_exists_already(inserted);
    assert_eq!(world.reread(&first), first);
}

/// An update is the next revision, and replaces all that can change.
pub fn replaces_a_volume_by_its_next_revision(ports: &dyn Ports) {
    let world = World::new(ports);
    let mut volume = world.volume();

    let changes = VolumeChanges {
        name: Some(name("renamed")),
        tags: Some(tags(&["db", "web"])),
    };
    volume.update(changes, moment(123));
    ports.volumes().update(&volume).unwrap();

    assert_eq!(world.reread(&volume), volume);
}

/// Every state comes back with its facts.
pub fn keeps_every_state_of_a_volume(ports: &dyn Ports) {
    let world = World::new(ports);
    let reason = "Der Schnappschuss ist beschädigt (東京)".to_owned();
    let mut written = world.volume();
    let snapshot = world.available(&written, a_snapshot(world.organization));
    let mut whole = world.restore(&snapshot).volume;
    let mut salvaged = world.restore(&snapshot).volume;
    let mut broken = world.restore(&snapshot).volume;
    let step = |volume: &mut Volume, event| {
        volume.apply(event, moment(9)).unwrap();
        ports.volumes().update(volume).unwrap();
        assert_eq!(&world.reread(volume), volume);
    };

    step(&mut written, VolumeEvent::WriteBegun);
    step(&mut written, VolumeEvent::WriteCommitted);
    step(&mut written, VolumeEvent::WriteBegun);
    step(&mut written, VolumeEvent::WriteAbandoned);
    step(&mut whole, VolumeEvent::RestoreCommitted);
    step(&mut salvaged, VolumeEvent::SalvageCommitted(some_losses()));
    step(&mut salvaged, VolumeEvent::WriteBegun);
    step(&mut broken, VolumeEvent::RestoreFailed { reason });
}

/// Two writers start from the same revision; the second one is told so.
pub fn lets_only_one_of_two_racing_changes_of_a_volume_win(ports: &dyn Ports) {
    let world = World::new(ports);
    let volume = world.volume();

    let outcomes = race(8, |n| {
        let next = renamed(&volume, &format!("writer {n}"));
        ports.volumes().update(&next).map(|()| next)
    });

    let (won, lost): (Vec<_>, Vec<_>) = outcomes.into_iter().partition(Result::is_ok);
    let won: Vec<_> = won.into_iter().flatten().collect();
    lost.into_iter().for_each(assert_stale);
    assert_eq!(won, [world.reread(&volume)]);
}

/// The present revision again, and one that left a change out, are refused like an old one.
pub fn refuses_any_revision_of_a_volume_but_the_next(ports: &dyn Ports) {
    let world = World::new(ports);
    let first = world.volume();
    let second = renamed(&first, "second");
    let third = renamed(&second, "third");

    assert_stale(ports.volumes().update(&first));
    assert_stale(ports.volumes().update(&third));
    ports.volumes().update(&second).unwrap();
    assert_stale(ports.volumes().update(&second));
    assert_eq!(world.reread(&first), second);
}

/// A volume can be renamed while it is copied; the copies stay counted.
pub fn renames_a_volume_while_it_is_copied(ports: &dyn Ports) {
    let world = World::new(ports);
    let volume = world.volume();
    world.copy(&volume);
    world.copy(&volume);

    let next = renamed(&world.reread(&volume), "renamed");
    ports.volumes().update(&next).unwrap();

    assert_eq!(world.reread(&volume), next);
    assert_eq!(next.copies(), 2);
}

/// A copy that began or ended since the volume was read keeps nobody from renaming it, and stays counted.
pub fn renames_a_volume_whatever_copies_begin_and_end(ports: &dyn Ports) {
    let world = World::new(ports);
    let volume = world.volume();
    let copying = world.copy(&volume);

    ports
        .volumes()
        .update(&renamed(&volume, "from before the copy"))
        .unwrap();
    let while_copied = world.reread(&volume);
    ports.snapshots().cancel(&copying.snapshot).unwrap();
    ports
        .volumes()
        .update(&renamed(&while_copied, "from during the copy"))
        .unwrap();

    let renamed = world.reread(&volume);
    assert_eq!(while_copied.copies(), 1);
    assert_eq!(renamed.copies(), 0);
    assert_eq!(renamed.name().as_str(), "from during the copy");
}

/// A write can't begin beside a copy that began since the volume was read.
pub fn refuses_a_write_beside_a_copy_that_began_just_before(ports: &dyn Ports) {
    let world = World::new(ports);
    let volume = world.volume();
    world.copy(&volume);
    let while_copied = world.reread(&volume);

    assert_stale(ports.volumes().update(&volume_after(&volume, VolumeEvent::WriteBegun)));

    assert_eq!(world.reread(&volume), while_copied);
}

/// An update does not bring back what is gone.
pub fn does_not_update_a_volume_that_is_gone(ports: &dyn Ports) {
    let world = World::new(ports);
    let volume = world.volume();
    ports.volumes().delete(&volume, None).unwrap();

    let updated = ports.volumes().update(&renamed(&volume, "undead"));

    assert_not_found(updated, Resource::Volume, volume.id().as_uuid());
    assert_gone(ports, &volume);
}

/// A deleted volume is gone, and the task that removes its bytes is there, if it has any.
pub fn deletes_a_volume_and_stores_what_is_left_to_do(ports: &dyn Ports) {
    let world = World::new(ports);
    let managed = world.volume();
    let registered = world.store_volume(a_volume(world.organization).registered_at("/dev/vdb"));
    let task = erase(&managed);

    ports.volumes().delete(&managed, Some(&task)).unwrap();
    ports.volumes().delete(&registered, None).unwrap();

    assert_gone(ports, &managed);
    assert_gone(ports, &registered);
    assert_eq!(ports.tasks().get(task.id()).unwrap(), task);
}

/// A volume's snapshots stay when it is deleted, and still say what they are copies of.
pub fn keeps_the_snapshots_of_a_deleted_volume(ports: &dyn Ports) {
    let world = World::new(ports);
    let volume = world.volume();
    let snapshot = world.available(&volume, a_snapshot(world.organization));

    ports
        .volumes()
        .delete(&world.reread(&volume), Some(&erase(&volume)))
        .unwrap();

    assert_eq!(ports.snapshots().get(snapshot.id()).unwrap(), snapshot);
}

/// A volume that was changed, or that a copy began of, since it was read stays; and nothing is left to do.
pub fn does_not_delete_a_volume_that_was_changed(ports: &dyn Ports) {
    let world = World::new(ports);
    let (changed, copied) = (world.volume(), world.volume());
    ports.volumes().update(&renamed(&changed, "changed")).unwrap();
    world.copy(&copied);

    for volume in [&changed, &copied] {
        let before = world.reread(volume);
        let task = erase(volume);

        let deleted = ports.volumes().delete(volume, Some(&task));

        assert_stale(deleted);
        assert_eq!(world.reread(volume), before);
        assert_not_found(ports.tasks().get(task.id()), Resource::Task, task.id().as_uuid());
    }
}

/// Deleting again finds nothing, and leaves nothing to do.
pub fn does_not_delete_a_volume_that_is_gone(ports: &dyn Ports) {
    let world = World::new(ports);
    let volume = world.volume();
    ports.volumes().delete(&volume, None).unwrap();
    let task = erase(&volume);

    let again = ports.volumes().delete(&volume, Some(&task));

    assert_not_found(again, Resource::Volume, volume.id().as_uuid());
    assert_not_found(ports.tasks().get(task.id()), Resource::Task, task.id().as_uuid());
}

/// A copy begins, and the owner deletes the volume, at the same moment: never both.
pub fn never_lets_a_copy_begin_of_a_volume_that_is_deleted(ports: &dyn Ports) {
    let world = World::new(ports);
    for _ in 0..8 {
        let volume = world.volume();

        let outcomes = race(2, |n| {
            if n == 0 {
                let snapshot = a_snapshot(world.organization).of(&volume).build();
                let task = crate::testing::a_capture(&snapshot).build();
                ports.snapshots().begin(&snapshot, &task, &volume, None)
            } else {
                ports.volumes().delete(&volume, None)
            }
        });

        let is_copied = ports.volumes().get(volume.id()).is_ok_and(|it| it.copies() == 1);
        assert_eq!(outcomes.iter().filter(|it| it.is_ok()).count(), 1, "{outcomes:?}");
        assert_eq!(outcomes[0].is_ok(), is_copied);
        outcomes.into_iter().filter(Result::is_err).for_each(assert_stale);
    }
}

/// One volume's changes leave all others alone.
pub fn leaves_other_volumes_alone(ports: &dyn Ports) {
    let world = World::new(ports);
    let (kept, changed, deleted) = (world.volume(), world.volume(), world.volume());

    ports.volumes().update(&renamed(&changed, "changed")).unwrap();
    ports.volumes().delete(&deleted, None).unwrap();
    world.copy(&changed);

    assert_eq!(world.reread(&kept), kept);
}

fn renamed(volume: &Volume, to: &str) -> Volume {
    let mut next = volume.clone();
    let changes = VolumeChanges {
        name: Some(name(to)),
        tags: None,
    };
    assert!(next.update(changes, moment(30)), "the new name differs");
    next
}

fn erase(volume: &Volume) -> Task {
    let work = Work::EraseVolume { volume: volume.id() };
    a_task(volume.organization(), work).created_at(moment(40)).build()
}

fn assert_gone(ports: &dyn Ports, volume: &Volume) {
    assert_not_found(
        ports.volumes().get(volume.id()),
        Resource::Volume,
        volume.id().as_uuid(),
    );
}
