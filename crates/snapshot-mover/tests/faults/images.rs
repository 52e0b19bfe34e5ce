//! What tasks do when a volume's file, or the folder of such files, is not as it should be.

use std::{
    fs::{self, File},
    time::Duration,
};

use snapshot_domain::{SnapshotStateName, VolumeState, VolumeStateName};

use crate::{
    CHUNK, content,
    ports::Plan,
    world::{World, eventually, request},
};

#[test]
fn a_copy_of_an_image_that_is_gone_or_too_short_or_no_file_says_so_and_the_next_one_is_whole() {
    type Break = fn(&std::path::Path);
    let breaks: [Break; 3] = [
        |image| fs::remove_file(image).unwrap(),
        |image| {
            File::options()
                .write(true)
                .open(image)
                .unwrap()
                .set_len(CHUNK as u64)
                .unwrap();
        },
        |image| {
            fs::remove_file(image).unwrap();
            fs::create_dir(image).unwrap();
        },
    ];
    for (number, break_image) in breaks.into_iter().enumerate() {
        let at = format!("way {number}");
        let world = World::new();
        let volume = world.volume_of(&content(1));
        let image = world.image_of(volume);
        let aside = image.with_extension("aside");
        fs::copy(&image, &aside).unwrap();
        break_image(&image);

        let failed = world.begin_snapshot(volume);
        world.run_to_the_end();
        let _ = fs::remove_dir(&image);
        fs::rename(&aside, &image).unwrap();
        let again = world.begin_snapshot(volume);
        world.run_to_the_end();

        assert_eq!(world.check_snapshot(failed, &[], &at), SnapshotStateName::Error, "{at}");
        assert_eq!(
            world.check_snapshot(again, &content(1), &at),
            SnapshotStateName::Available,
            "{at}"
        );
        world.check_rest(1, &at);
    }
}

#[test]
fn a_restore_that_can_write_no_image_or_not_put_it_in_its_place_says_so_and_the_next_one_is_whole() {
    for place_is_taken in [false, true] {
        let at = format!("the place is taken: {place_is_taken}");
        let world = World::new();
        let source = world.volume_of(&content(1));
        let snapshot = world.begin_snapshot(source);
        world.run_to_the_end();
        let failed = world.begin_restore(snapshot);
        let in_the_way = world.image_of(failed);
        let staging = world.folder.path().join("volumes/staging");
        if place_is_taken {
            fs::create_dir_all(in_the_way.join("not empty")).unwrap();
        } else {
            fs::remove_dir(&staging).unwrap();
        }

        world.run_to_the_end();
        if place_is_taken {
            fs::remove_dir_all(&in_the_way).unwrap();
        } else {
            fs::create_dir(&staging).unwrap();
        }
        let VolumeState::Error { reason } = world.volume(failed).state().clone() else {
            panic!("{at}")
        };
        let again = world.begin_restore(snapshot);
        world.volumes.delete(&world.caller, failed, request()).unwrap();
        world.run_to_the_end();

        assert!(
            reason.starts_with("The volume's bytes could not be written"),
            "{at}: {reason}"
        );
        assert_eq!(
            world.check_volume(again, &content(1), &at),
            VolumeStateName::Available,
            "{at}"
        );
        world.check_rest(1, &at);
    }
}

#[test]
fn an_image_that_can_not_be_removed_is_tried_again_later_and_keeps_no_other_work_waiting() {
    let world = World::new();
    let volume = world.volume_of(&content(1));
    let removed = world.volume_of(&content(2));
    let image = world.image_of(removed);
    fs::remove_file(&image).unwrap();
    fs::create_dir(&image).unwrap();
    world.volumes.delete(&world.caller, removed, request()).unwrap();
    let runner = world.run(&Plan::default(), |_| {});

    let snapshot = world.begin_snapshot(volume);
    runner.wake();
    eventually("the copy ends", || {
        (world.snapshot(snapshot).state().name() == SnapshotStateName::Available).then_some(())
    });
    assert_eq!(world.unfinished().len(), 1, "the removal is still to be done");
    fs::remove_dir(&image).unwrap();
    File::create(&image).unwrap();
    eventually("the removal is tried again", || {
        world.expire_leases();
        runner.wake();
        world.unfinished().is_empty().then_some(())
    });

    assert!(runner.shut_down(Duration::from_mins(1)), "the runner stops");
    world.check_rest(1, "at the end");
}
