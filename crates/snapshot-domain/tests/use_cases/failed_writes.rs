//! Writes into volumes whose disk or whose database fails.

use std::sync::Arc;

use mockall::predicate::eq;
use snapshot_domain::{
    Error, Resource, Scope, VolumeState,
    ports::{VolumeBytes, VolumeRepository},
    testing::{ManualClock, MockStagedWrite, MockVolumeBytes, SequentialIds},
    use_case::VolumeService,
};

use crate::{
    failures::{Ports, broken, no_space},
    story::{Story, assert_conflict},
};

#[test]
fn a_write_that_can_not_begin_leaves_the_volume_as_it_was() {
    let story = Story::new();
    let volume = story.volume();
    let mut bytes = MockVolumeBytes::new();
    bytes.expect_stage().returning(|_| Err(no_space()));
    let service = over_the_same_rows(&story, bytes);

    let write = service.begin_write(&story.owner, volume.id());

    assert!(matches!(write.map(drop), Err(Error::NoSpace { .. })));
    assert_eq!(
        story.stored_volume(&volume).state(),
        &VolumeState::Available { copies: 0 }
    );
}

#[test]
fn a_write_that_can_not_be_committed_leaves_the_volume_at_rest() {
    let story = Story::new();
    let volume = story.volume();
    let mut bytes = MockVolumeBytes::new();
    bytes.expect_stage().returning(|_| {
        let mut staged = MockStagedWrite::new();
        staged.expect_write().with(eq(&b"new"[..])).once().returning(|_| Ok(()));
        staged.expect_commit().once().returning(|| Err(no_space()));
        Ok(Box::new(staged))
    });
    let mut write = over_the_same_rows(&story, bytes)
        .begin_write(&story.owner, volume.id())
        .unwrap();

    write.write(b"new").unwrap();
    let committed = write.commit();

    assert!(matches!(committed, Err(Error::NoSpace { .. })), "{committed:?}");
    assert_eq!(
        story.stored_volume(&volume).state(),
        &VolumeState::Available { copies: 0 }
    );
}

/// How the next update of a row ends.
#[derive(Clone, Copy)]
enum Update {
    Stored,
    /// It is stored, and nobody is told.
    AnswerLost,
    Refused,
}

/// A service over the story's rows, of which the updates end like this; further ones are stored.
fn writing_over(story: &Story, updates: &'static [Update]) -> VolumeService {
    let mut ports = Ports::default();
    let rows = story.services.store.clone();
    let find = move |scope: &Scope, id| VolumeRepository::find(&rows, scope, id);
    ports.volumes.expect_find().returning(find);
    let rows = story.services.store.clone();
    let get = move |id| VolumeRepository::get(&rows, id);
    ports.volumes.expect_get().returning(get);
    let rows = story.services.store.clone();
    let mut updates = updates.iter();
    ports.volumes.expect_update().returning(move |volume| {
        let update = || VolumeRepository::update(&rows, volume);
        match updates.next() {
            Some(Update::Refused) => Err(broken()),
            Some(Update::AnswerLost) => update().and(Err(broken())),
            Some(Update::Stored) | None => update(),
        }
    });
    let mut bytes = MockVolumeBytes::new();
    let kept = story.services.volume_bytes.clone();
    bytes.expect_stage().returning(move |volume| kept.stage(volume));
    ports.into_volume_service(bytes)
}

/// How often the end of a write has to be stored until the rows tell of it.
fn rounds_until_stored(service: &VolumeService) -> u32 {
    let mut pauses = 0;
    service.store_owed_ends(|round| {
        assert_eq!(round, pauses);
        pauses += 1;
    });
    assert!(!service.owes_ends());
    pauses
}

#[test]
fn a_write_of_which_nobody_knows_whether_it_began_is_ended_as_soon_as_the_database_answers() {
    use Update::{AnswerLost, Refused};

    let story = Story::new();
    let volume = story.volume();
    let service = writing_over(&story, &[AnswerLost, Refused, Refused]);

    let write = service.begin_write(&story.owner, volume.id());
    assert!(matches!(write.map(drop), Err(Error::Unavailable { .. })));
    assert_eq!(story.stored_volume(&volume).state(), &VolumeState::Saving);
    let beside = service.begin_write(&story.owner, volume.id());
    assert_conflict(beside, Resource::Volume, volume.id().as_uuid(), "saving");
    assert!(service.owes_ends());

    assert_eq!(rounds_until_stored(&service), 3);
    service
        .begin_write(&story.owner, volume.id())
        .unwrap()
        .abandon()
        .unwrap();
}

#[test]
fn a_write_that_did_not_begin_disturbs_no_other_one() {
    let story = Story::new();
    let volume = story.volume();
    let service = writing_over(&story, &[Update::Refused]);

    let write = service.begin_write(&story.owner, volume.id());

    assert!(matches!(write.map(drop), Err(Error::Unavailable { .. })));
    assert_eq!(rounds_until_stored(&service), 1);
    assert_eq!(story.stored_volume(&volume), volume);
}

#[test]
fn an_end_of_a_write_that_the_database_does_not_take_is_stored_later() {
    use Update::{AnswerLost, Refused, Stored};

    let ways: [(&'static [Update], u32); 2] = [(&[Stored, Refused, Refused], 2), (&[Stored, AnswerLost], 1)];
    for (updates, rounds) in ways {
        for commits in [true, false] {
            let story = Story::new();
            let volume = story.volume();
            let service = writing_over(&story, updates);
            let mut write = service.begin_write(&story.owner, volume.id()).unwrap();
            write.write(b"new").unwrap();

            let ended = if commits { write.commit() } else { write.abandon() };

            assert!(matches!(ended, Err(Error::Unavailable { .. })), "{ended:?}");
            assert_eq!(rounds_until_stored(&service), rounds);
            assert_eq!(
                story.stored_volume(&volume).state(),
                &VolumeState::Available { copies: 0 }
            );
            assert_eq!(story.read(&volume, 3), if commits { b"new" } else { b"\0\0\0" });
        }
    }
}

#[test]
fn bytes_beyond_the_volumes_end_are_refused_before_they_reach_the_disk() {
    let story = Story::new();
    let volume = story.volume();
    let mut bytes = MockVolumeBytes::new();
    bytes.expect_stage().returning(|_| {
        let mut staged = MockStagedWrite::new();
        staged.expect_write().once().returning(|_| Ok(()));
        Ok(Box::new(staged))
    });
    let mut write = over_the_same_rows(&story, bytes)
        .begin_write(&story.owner, volume.id())
        .unwrap();

    write.write(&[1; 4_095]).unwrap();
    let beyond = write.write(&[1; 2]);

    assert!(
        matches!(beyond, Err(Error::TooManyBytes { size_bytes: 4_096 })),
        "{beyond:?}"
    );
}

#[test]
fn bytes_that_could_not_be_written_do_not_count() {
    let story = Story::new();
    let volume = story.volume();
    let mut bytes = MockVolumeBytes::new();
    bytes.expect_stage().returning(|_| {
        let mut staged = MockStagedWrite::new();
        let mut calls = 0;
        staged.expect_write().times(2).returning(move |_| {
            calls += 1;
            if calls == 1 { Err(no_space()) } else { Ok(()) }
        });
        Ok(Box::new(staged))
    });
    let mut write = over_the_same_rows(&story, bytes)
        .begin_write(&story.owner, volume.id())
        .unwrap();

    let failed = write.write(&[1; 4_096]);
    let succeeded = write.write(&[1; 4_096]);

    assert!(failed.is_err());
    assert!(succeeded.is_ok());
}

fn over_the_same_rows(story: &Story, bytes: MockVolumeBytes) -> VolumeService {
    let rows = Arc::new(story.services.store.clone());
    VolumeService::new(
        rows.clone(),
        rows.clone(),
        rows,
        Arc::new(bytes),
        Arc::new(ManualClock::default()),
        Arc::new(SequentialIds::default()),
    )
}
