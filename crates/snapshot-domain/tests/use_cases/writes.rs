//! Writing new bytes into a volume.

use snapshot_domain::{
    Error, Resource, RevisionCondition, VolumeChanges, VolumeState,
    testing::{a_request, name},
};

use crate::story::{Story, assert_conflict, new_snapshot};

#[test]
fn a_write_is_seen_when_it_is_committed_and_not_before() {
    let story = Story::new();
    let volume = story.volume();
    story.services.volume_bytes.put(volume.id(), b"from before");

    let mut write = story.services.volumes.begin_write(&story.owner, volume.id()).unwrap();
    write.write(b"new ").unwrap();
    write.write(b"bytes").unwrap();
    let state_meanwhile = story.stored_volume(&volume).state().clone();
    let bytes_meanwhile = story.read(&volume, 11);
    let committed = write.commit().unwrap();

    assert_eq!(state_meanwhile, VolumeState::Saving);
    assert_eq!(bytes_meanwhile, b"from before");
    assert_eq!(story.read(&volume, 11), b"new bytes\0\0");
    assert_eq!(committed.state(), &VolumeState::Available { copies: 0 });
    assert_eq!(story.stored_volume(&volume), committed);
}

#[test]
fn an_abandoned_write_leaves_the_bytes_from_before() {
    let story = Story::new();
    let volume = story.volume();
    story.services.volume_bytes.put(volume.id(), b"from before");

    let mut write = story.services.volumes.begin_write(&story.owner, volume.id()).unwrap();
    write.write(b"half of the ").unwrap();
    let abandoned = write.abandon().unwrap();

    assert_eq!(story.read(&volume, 11), b"from before");
    assert_eq!(abandoned.state(), &VolumeState::Available { copies: 0 });
    assert_eq!(story.stored_volume(&volume), abandoned);
}

#[test]
fn a_write_takes_as_many_bytes_as_the_volume_has_and_not_one_more() {
    let story = Story::new();
    let volume = story.volume();
    let mut write = story.services.volumes.begin_write(&story.owner, volume.id()).unwrap();

    let fits = write.write(&[1; 4_095]).and_then(|()| write.write(&[1]));
    let too_many = write.write(&[1]);

    assert!(fits.is_ok());
    assert!(
        matches!(too_many, Err(Error::TooManyBytes { size_bytes: 4_096 })),
        "{too_many:?}"
    );
    write.commit().unwrap();
    assert_eq!(story.read(&volume, 4_096), vec![1; 4_096]);
}

#[test]
fn a_volume_is_never_written_while_it_is_copied() {
    let story = Story::new();
    let volume = story.volume();
    let snapshot = story.copying(&volume);

    let early = story.services.volumes.begin_write(&story.owner, volume.id());
    story
        .services
        .snapshots
        .delete(&story.owner, snapshot.id(), a_request())
        .unwrap();
    let later = story.services.volumes.begin_write(&story.owner, volume.id());

    assert_conflict(early, Resource::Volume, volume.id().as_uuid(), "snapshotting");
    assert!(later.is_ok());
}

#[test]
fn a_volume_is_never_copied_or_written_again_while_it_is_written() {
    let story = Story::new();
    let volume = story.volume();
    let _write = story.services.volumes.begin_write(&story.owner, volume.id()).unwrap();
    let command = new_snapshot(&story.owner, volume.id());

    let copied = story.services.snapshots.create(&story.owner, &command, a_request());
    let written = story.services.volumes.begin_write(&story.owner, volume.id());

    assert_conflict(copied, Resource::Volume, volume.id().as_uuid(), "saving");
    assert_conflict(written, Resource::Volume, volume.id().as_uuid(), "saving");
}

#[test]
fn a_write_that_says_it_is_too_large_is_refused_before_it_begins() {
    let story = Story::new();
    let volume = story.volume();
    let size_bytes = volume.size().as_bytes();
    let begin = |announced_bytes| {
        let volumes = &story.services.volumes;
        volumes.begin_write_if(&story.owner, volume.id(), &RevisionCondition::Any, announced_bytes)
    };

    let refused = begin(size_bytes + 1);

    assert!(matches!(refused, Err(Error::TooManyBytes { size_bytes: told }) if told == size_bytes));
    assert_eq!(story.stored_volume(&volume), volume);
    begin(size_bytes).unwrap().abandon().unwrap();
}

#[test]
fn a_volume_that_is_renamed_while_it_is_written_keeps_both_its_name_and_its_bytes() {
    let story = Story::new();
    let volume = story.volume();
    let mut write = story.services.volumes.begin_write(&story.owner, volume.id()).unwrap();
    let renamed = VolumeChanges {
        name: Some(name("renamed")),
        tags: None,
    };

    write.write(b"new").unwrap();
    story
        .services
        .volumes
        .update(&story.owner, volume.id(), &renamed)
        .unwrap();
    let committed = write.commit().unwrap();

    assert_eq!(committed.name(), &name("renamed"));
    assert_eq!(story.read(&volume, 3), b"new");
}

#[test]
fn writes_that_a_dead_process_left_are_abandoned_at_the_start() {
    let story = Story::new();
    let (written, resting) = (story.volume(), story.volume());
    story.services.volume_bytes.put(written.id(), b"from before");
    drop(story.services.volumes.begin_write(&story.owner, written.id()).unwrap());

    let first = story.services.volumes.abandon_interrupted_writes().unwrap();
    let second = story.services.volumes.abandon_interrupted_writes().unwrap();

    assert_eq!((first, second), (1, 0));
    assert_eq!(
        story.stored_volume(&written).state(),
        &VolumeState::Available { copies: 0 }
    );
    assert_eq!(story.read(&written, 11), b"from before");
    assert_eq!(story.stored_volume(&resting), resting);
}
