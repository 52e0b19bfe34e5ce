//! What workers do.

use snapshot_domain::{
    Progress, Resource, SnapshotChanges, SnapshotState, TaskId, TaskOutcome, TaskStateName, VolumeChanges, VolumeState,
    Work,
    ports::Renewal,
    testing::{SequentialIds, Services, a_caller_of, a_content, a_request, an_instance, name},
};

use crate::story::{Story, assert_lease_lost, assert_not_found, new_snapshot};

#[test]
fn a_completed_copy_is_available_with_what_is_known_of_it() {
    let story = Story::new();
    let volume = story.volume();
    let snapshot = story.copying(&volume);
    let task = story.claim();

    let completed = story
        .services
        .worker()
        .complete_capture(&task.lease(), snapshot.id(), &a_content())
        .unwrap();

    assert_eq!(completed.state(), &SnapshotState::Available(a_content()));
    assert_eq!(story.stored_snapshot(&snapshot), completed);
    assert_eq!(story.state_of(&task), TaskStateName::Succeeded);
    assert_eq!(story.stored_volume(&volume), volume);
}

#[test]
fn a_failed_copy_says_why_and_which_request_asked_for_it() {
    let story = Story::new();
    let snapshot = story.copying(&story.volume());
    let task = story.claim();
    let expected = format!("The volume changed while it was copied (request {})", task.request());

    let failed = story
        .services
        .worker()
        .fail_capture(&task, snapshot.id(), "The volume changed while it was copied.")
        .unwrap();

    assert_eq!(failed.state(), &SnapshotState::Error { reason: expected });
    assert_eq!(story.state_of(&task), TaskStateName::Failed);
}

#[test]
fn a_failed_restore_says_why_and_which_request_asked_for_it() {
    let story = Story::new();
    let volume = story.restoring(&story.available(&story.volume()));
    let task = story.claim();
    let expected = format!("The bytes 0 to 511 are lost (request {})", task.request());

    let failed = story
        .services
        .worker()
        .fail_restore(&task, volume.id(), "The bytes 0 to 511 are lost")
        .unwrap();

    assert_eq!(failed.state(), &VolumeState::Error { reason: expected });
    assert_eq!(story.stored_volume(&volume), failed);
    assert_eq!(story.state_of(&task), TaskStateName::Failed);
}

#[test]
fn a_rename_during_a_copy_or_a_restore_is_neither_lost_nor_in_the_way() {
    let story = Story::new();
    let worker = story.services.worker();
    let source = story.volume();
    let restored = story.restoring(&story.available(&source));
    let restore = story.claim();
    let snapshot = story.copying(&source);
    let capture = story.claim();
    let snapshot_changes = SnapshotChanges {
        name: Some(name("renamed")),
        ..SnapshotChanges::default()
    };
    let volume_changes = VolumeChanges {
        name: Some(name("renamed")),
        tags: None,
    };

    let (snapshots, volumes) = (&story.services.snapshots, &story.services.volumes);
    snapshots
        .update(&story.owner, snapshot.id(), &snapshot_changes)
        .unwrap();
    volumes.update(&story.owner, restored.id(), &volume_changes).unwrap();
    volumes.update(&story.owner, source.id(), &volume_changes).unwrap();
    let snapshot = worker
        .complete_capture(&capture.lease(), snapshot.id(), &a_content())
        .unwrap();
    let restored = worker.complete_restore(&restore.lease(), restored.id()).unwrap();

    assert_eq!((snapshot.name(), restored.name()), (&name("renamed"), &name("renamed")));
    assert!(snapshot.readable().is_ok());
    assert_eq!(restored.state(), &VolumeState::Available { copies: 0 });
    assert_eq!(story.stored_volume(&source).copies(), 0);
}

#[test]
fn a_copy_that_was_called_off_can_only_be_cleaned_up() {
    let story = Story::new();
    let worker = story.services.worker();
    let snapshot = story.copying(&story.volume());
    let task = worker.claim().unwrap().unwrap();
    story
        .services
        .snapshots
        .delete(&story.owner, snapshot.id(), a_request())
        .unwrap();

    let renewal = worker.renew(&task.lease(), Progress::none_of(4_096)).unwrap();
    let completed = worker.complete_capture(&task.lease(), snapshot.id(), &a_content());
    let failed = worker.fail_capture(&task, snapshot.id(), "it broke");
    worker.finish(&task.lease(), TaskOutcome::Cancelled).unwrap();

    assert_eq!(renewal, Renewal::Cancelled);
    assert_not_found(completed, Resource::Snapshot, snapshot.id().as_uuid());
    assert_not_found(failed, Resource::Snapshot, snapshot.id().as_uuid());
    assert_eq!(story.state_of(&task), TaskStateName::Cancelled);
    assert_eq!(story.services.store.all_snapshots(), []);
}

#[test]
fn a_worker_that_was_given_up_on_is_told_so_whatever_its_successor_did() {
    let story = Story::new();
    let (slow, quick) = (story.services.worker(), story.services.worker());
    let snapshot = story.copying(&story.volume());
    let lost = slow.claim().unwrap().unwrap();
    story.services.clock.advance_millis(Services::LEASE_MS);
    let taken = quick.claim().unwrap().unwrap();

    let while_it_runs = slow.complete_capture(&lost.lease(), snapshot.id(), &a_content());
    let completed = quick
        .complete_capture(&taken.lease(), snapshot.id(), &a_content())
        .unwrap();
    let after_it_ended = slow.complete_capture(&lost.lease(), snapshot.id(), &a_content());
    let failed_after_it_ended = slow.fail_capture(&lost, snapshot.id(), "it broke");

    assert_lease_lost(while_it_runs);
    assert_lease_lost(after_it_ended);
    assert_lease_lost(failed_after_it_ended);
    assert_eq!(story.stored_snapshot(&snapshot), completed);
}

#[test]
fn a_restore_that_somebody_else_ended_is_lost_to_whoever_held_it_before() {
    let story = Story::new();
    let (slow, quick) = (story.services.worker(), story.services.worker());
    let volume = story.restoring(&story.available(&story.volume()));
    let lost = slow.claim().unwrap().unwrap();
    story.services.clock.advance_millis(Services::LEASE_MS);
    let taken = quick.claim().unwrap().unwrap();
    let whole = quick.complete_restore(&taken.lease(), volume.id()).unwrap();

    let completed = slow.complete_restore(&lost.lease(), volume.id());
    let failed = slow.fail_restore(&lost, volume.id(), "it broke");

    assert_lease_lost(completed);
    assert_lease_lost(failed);
    assert_eq!(story.stored_volume(&volume), whole);
}

#[test]
fn a_renewed_lease_lasts_from_now_on() {
    let story = Story::new();
    let (holder, other) = (story.services.worker(), story.services.worker());
    story.copying(&story.volume());
    let task = holder.claim().unwrap().unwrap();

    story.services.clock.advance_millis(Services::LEASE_MS - 1);
    holder.renew(&task.lease(), task.progress()).unwrap();
    story.services.clock.advance_millis(Services::LEASE_MS - 1);
    let too_early = other.claim().unwrap();
    story.services.clock.advance_millis(1);
    let in_time = other.claim().unwrap();

    assert_eq!(too_early, None);
    assert_eq!(in_time.map(|it| it.id()), Some(task.id()));
}

#[test]
fn what_a_dead_process_held_is_given_back_when_its_instance_starts_again() {
    let story = Story::new();
    let instance = an_instance();
    let volume = story.volume();
    story.copying(&volume);
    story.copying(&volume);
    let held = story.services.worker_of(instance).claim().unwrap().unwrap();
    let others = story.claim();

    let given_back = story.services.worker_of(instance).put_back_all().unwrap();

    assert_eq!(given_back, 1);
    assert_eq!(story.state_of(&held), TaskStateName::Pending);
    assert_eq!(story.state_of(&others), TaskStateName::Running);
    assert_eq!(story.stored_volume(&volume).copies(), 2);
}

#[test]
fn a_task_that_was_put_back_is_taken_up_again() {
    let story = Story::new();
    let worker = story.services.worker();
    story.copying(&story.volume());
    let task = worker.claim().unwrap().unwrap();

    worker.put_back(&task.lease()).unwrap();

    let again = worker.claim().unwrap().unwrap();
    assert_eq!((again.id(), again.epoch()), (task.id(), task.epoch() + 1));
    assert_lease_lost(worker.put_back(&task.lease()));
}

#[test]
fn a_copy_is_compared_with_the_volumes_latest_snapshot_before_all_others() {
    let story = Story::new();
    let organization = story.owner.organizations[0];
    let source = story.volume();
    let base = story.available(&source);
    let restored = story.restoring(&base);
    let task = story.claim();
    let restored = story
        .services
        .worker()
        .complete_restore(&task.lease(), restored.id())
        .unwrap();
    let parent_of = || {
        let parent = story.services.worker().parent_of(&restored, organization).unwrap();
        parent.map(|it| it.id())
    };

    let from_its_base = parent_of();
    let own = story.available(&restored);
    let from_its_own = parent_of();

    assert_eq!(from_its_base, Some(base.id()));
    assert_eq!(from_its_own, Some(own.id()));
}

#[test]
fn a_copy_is_compared_only_with_a_whole_snapshot_under_the_same_key() {
    let story = Story::new();
    let (ours, theirs) = (story.owner.organizations[0], story.stranger.organizations[0]);
    let source = story.volume();
    let base = story.available(&source);
    let restored = story.restoring(&base);
    let fresh = story.volume();
    let parent_of = |volume, domain| story.services.worker().parent_of(volume, domain).unwrap();

    let under_another_key = parent_of(&restored, theirs);
    let of_a_new_volume = parent_of(&fresh, ours);
    story.services.worker().note_damage(base.id()).unwrap();
    let damaged = [&source, &restored].map(|volume| parent_of(volume, ours));
    story
        .services
        .snapshots
        .delete(&story.owner, base.id(), a_request())
        .unwrap();
    let of_a_deleted_base = parent_of(&restored, ours);

    assert_eq!(under_another_key, None);
    assert_eq!(of_a_new_volume, None);
    assert_eq!(damaged, [None, None]);
    assert_eq!(of_a_deleted_base, None);
}

#[test]
fn a_copy_for_a_second_organization_is_sealed_with_that_ones_key() {
    let story = Story::new();
    let both = a_caller_of(&[story.owner.organizations[0], story.stranger.organizations[0]]);
    let volume = story.volume();
    story.available(&volume);
    let command = new_snapshot(&story.stranger, volume.id());

    let begun = story.services.snapshots.create(&both, &command, a_request()).unwrap();
    let snapshot = begun.item;

    assert_eq!(snapshot.domain(), story.stranger.organizations[0]);
    let work = *story.only_task().work();
    assert!(matches!(work, Work::Capture { domain, .. } if domain == snapshot.domain()));
    let parent = story.services.worker().parent_of(&volume, snapshot.domain()).unwrap();
    assert_eq!(parent, None);
}

#[test]
fn a_task_is_seen_by_the_organization_that_asked_for_it_and_by_nobody_else() {
    let story = Story::new();
    let snapshot = story.copying(&story.volume());
    let task = story.only_task();
    let missing = TaskId::new(SequentialIds::nth_id(999));
    let transfer = SnapshotChanges {
        organization: Some(story.stranger.organizations[0]),
        ..SnapshotChanges::default()
    };
    let both = a_caller_of(&[story.owner.organizations[0], story.stranger.organizations[0]]);
    story
        .services
        .snapshots
        .update(&both, snapshot.id(), &transfer)
        .unwrap();
    let tasks = &story.services.tasks;

    assert_eq!(tasks.get(&story.owner, task.id()).unwrap(), task);
    assert_not_found(
        tasks.get(&story.stranger, task.id()),
        Resource::Task,
        task.id().as_uuid(),
    );
    assert_not_found(tasks.get(&story.owner, missing), Resource::Task, missing.as_uuid());
}
