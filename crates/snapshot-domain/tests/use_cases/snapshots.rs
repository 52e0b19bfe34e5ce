//! Taking, listing, changing, deleting and reading snapshots.

use snapshot_domain::{
    OrganizationId, Progress, Resource, Right, Scope, SnapshotChanges, SnapshotId, SnapshotState, TaskStateName,
    VolumeState, Work,
    ports::{Slice, SnapshotQuery, SnapshotSizes, VolumeRepository},
    testing::{
        SequentialIds, Services, a_caller_of, a_content, a_request, a_volume, an_organization_id, moment, name, tags,
    },
    use_case::Begun,
};

use crate::story::{Story, assert_conflict, assert_not_allowed, assert_not_found, new_snapshot};

#[test]
fn a_new_snapshot_is_being_copied_and_one_task_waits_to_do_it() {
    let story = Story::new();
    let volume = story.volume();
    let request = a_request();
    let command = new_snapshot(&story.owner, volume.id());

    let Begun { item: snapshot, task } = story
        .services
        .snapshots
        .create(&story.owner, &command, request)
        .unwrap();

    assert_eq!(task, story.only_task());
    assert_eq!(snapshot, story.stored_snapshot(&snapshot));
    assert_eq!(snapshot.state(), &SnapshotState::Snapshotting);
    assert_eq!((snapshot.name(), snapshot.tags()), (&command.name, &command.tags));
    assert_eq!(snapshot.base_volume().id, volume.id());
    assert_eq!(&snapshot.base_volume().name, volume.name());
    assert_eq!((snapshot.size(), snapshot.created_at()), (volume.size(), moment(0)));
    assert_eq!(snapshot.id().moment(), Some(snapshot.created_at()));
    assert_eq!(snapshot.domain(), command.organization);
    assert_eq!(
        task.work(),
        &Work::Capture {
            snapshot: snapshot.id(),
            volume: volume.id(),
            domain: command.organization,
        }
    );
    assert_eq!((task.request(), task.progress()), (request, Progress::none_of(4_096)));
    assert_eq!(story.stored_volume(&volume).copies(), 1);
}

#[test]
fn what_a_snapshot_takes_for_itself_is_told_of_what_is_sealed_with_the_owners_key_only() {
    let mut story = Story::new();
    story.owner = a_caller_of(&[an_organization_id(), an_organization_id()]);
    let Services { snapshots, store, .. } = &story.services;
    let snapshot = story.available(&story.volume());
    let [home, elsewhere] = story.owner.organizations[..] else {
        panic!("the owner has two organizations");
    };
    assert_eq!(snapshot.domain(), home);
    let change = store.snapshots_of(home).unwrap().change;
    assert!(SnapshotSizes::store(store, home, change, &[(snapshot.id(), 7)]).unwrap());
    let told = || {
        let query = SnapshotQuery::all(Scope::new(vec![home, elsewhere]));
        let listed = snapshots.list(&query, Slice::first(9)).unwrap();
        let found = snapshots.get(&story.owner, snapshot.id()).unwrap();
        [&listed[0], &found].map(|it| it.exclusive_bytes)
    };
    let moved_to = |organization| {
        let changes = SnapshotChanges {
            organization: Some(organization),
            ..SnapshotChanges::default()
        };
        let moved = snapshots.update(&story.owner, snapshot.id(), &changes).unwrap();
        assert!(told().iter().all(|it| *it == moved.exclusive_bytes));
        moved.exclusive_bytes
    };

    assert_eq!(told(), [Some(7); 2]);
    assert_eq!(moved_to(elsewhere), None);
    assert_eq!(moved_to(home), Some(7));
}

#[test]
fn who_does_not_wait_for_a_new_snapshot_is_told_of_it_or_refused_at_once() {
    let story = Story::new();
    let volume = story.volume();
    let (tell, told) = std::sync::mpsc::channel();
    let snapshots = &story.services.snapshots;
    let create = |caller| {
        let tell = tell.clone();
        let command = new_snapshot(&story.owner, volume.id());
        snapshots.create_and_tell(caller, &command, a_request(), None, move |begun| {
            tell.send(begun).unwrap();
        })
    };

    create(&story.owner).unwrap();
    let refused = create(&story.stranger);

    let begun = told.try_recv().unwrap().unwrap();
    assert_eq!(
        (begun.task, begun.item.clone()),
        (story.only_task(), story.stored_snapshot(&begun.item))
    );
    assert_not_allowed(refused);
    assert!(told.try_recv().is_err());
}

#[test]
fn naming_somebody_elses_organization_is_refused_before_anything_is_looked_for() {
    let story = Story::new();
    let nowhere = snapshot_domain::VolumeId::new(SequentialIds::nth_id(999));
    let command = new_snapshot(&story.stranger, nowhere);

    let created = story.services.snapshots.create(&story.owner, &command, a_request());

    assert_not_allowed(created);
}

#[test]
fn somebody_elses_volume_can_be_copied_no_more_than_one_that_does_not_exist() {
    let story = Story::new();
    let theirs = story.volume().id();
    let nowhere = snapshot_domain::VolumeId::new(SequentialIds::nth_id(999));

    for volume in [theirs, nowhere] {
        let command = new_snapshot(&story.stranger, volume);
        let created = story.services.snapshots.create(&story.stranger, &command, a_request());

        assert_not_found(created, Resource::Volume, volume.as_uuid());
    }
    assert_eq!(story.services.store.all_tasks(), []);
}

#[test]
fn a_volume_whose_bytes_are_not_all_there_is_not_copied() {
    let story = Story::new();
    for (state, called) in [
        (VolumeState::Saving, "saving"),
        (VolumeState::Fetching, "fetching"),
        (
            VolumeState::Error {
                reason: "it broke".to_owned(),
            },
            "error",
        ),
    ] {
        let volume = a_volume(story.owner.organizations[0]).in_state(state).build();
        VolumeRepository::insert(&story.services.store, &volume, None).unwrap();
        let command = new_snapshot(&story.owner, volume.id());

        let created = story.services.snapshots.create(&story.owner, &command, a_request());

        assert_conflict(created, Resource::Volume, volume.id().as_uuid(), called);
    }
    assert_eq!(story.services.store.all_tasks(), []);
    assert_eq!(story.services.store.all_snapshots(), []);
}

#[test]
fn a_volume_is_copied_by_several_snapshots_at_once() {
    let story = Story::new();
    let volume = story.volume();

    story.copying(&volume);
    story.copying(&volume);

    assert_eq!(
        story.stored_volume(&volume).state(),
        &VolumeState::Available { copies: 2 }
    );
}

#[test]
fn a_stranger_learns_nothing_of_a_snapshot_by_any_call() {
    let story = Story::new();
    let theirs = story.available(&story.volume()).id();
    let nowhere = SnapshotId::new(SequentialIds::nth_id(999));
    let (snapshots, stranger) = (&story.services.snapshots, &story.stranger);
    let renamed = SnapshotChanges {
        name: Some(name("mine now")),
        ..SnapshotChanges::default()
    };
    let before = story.services.store.all_snapshots();

    for id in [theirs, nowhere] {
        let wanted = id.as_uuid();
        assert_not_found(snapshots.get(stranger, id), Resource::Snapshot, wanted);
        assert_not_found(snapshots.open(stranger, id), Resource::Snapshot, wanted);
        assert_not_found(snapshots.update(stranger, id, &renamed), Resource::Snapshot, wanted);
        assert_not_found(snapshots.delete(stranger, id, a_request()), Resource::Snapshot, wanted);
    }
    let query = SnapshotQuery::all(stranger.may(Right::Read).unwrap().scope());
    assert_eq!(snapshots.list(&query, Slice::first(10)).unwrap(), []);
    assert_eq!(snapshots.count(&query).unwrap(), 0);
    assert_eq!(story.services.store.all_snapshots(), before);
}

#[test]
fn a_filter_by_somebody_elses_organization_finds_nothing() {
    let story = Story::new();
    story.available(&story.volume());
    let theirs = story.owner.organizations[0];

    let query = SnapshotQuery::all(story.stranger.may(Right::Read).unwrap().scope_within(theirs));

    assert_eq!(story.services.snapshots.count(&query).unwrap(), 0);
}

#[test]
fn an_update_changes_what_it_names_and_leaves_the_rest() {
    let story = Story::new();
    let snapshot = story.available(&story.volume());
    story.services.clock.advance_millis(5);
    let changes = SnapshotChanges {
        tags: Some(tags(&["kept"])),
        ..SnapshotChanges::default()
    };

    let updated = story
        .services
        .snapshots
        .update(&story.owner, snapshot.id(), &changes)
        .unwrap()
        .item;

    assert_eq!(updated, story.stored_snapshot(&snapshot));
    assert_eq!(updated.tags(), &tags(&["kept"]));
    assert_eq!((updated.name(), updated.state()), (snapshot.name(), snapshot.state()));
    assert_eq!(updated.organization(), snapshot.organization());
    assert_eq!(updated.modified_at(), moment(5_000));
    assert_eq!(updated.created_at(), snapshot.created_at());
}

#[test]
fn an_update_that_changes_nothing_leaves_date_and_revision() {
    let story = Story::new();
    let snapshot = story.available(&story.volume());
    story.services.clock.advance_millis(5);
    let same = SnapshotChanges {
        name: Some(snapshot.name().clone()),
        organization: Some(snapshot.organization()),
        tags: Some(snapshot.tags().clone()),
    };

    let updated = story
        .services
        .snapshots
        .update(&story.owner, snapshot.id(), &same)
        .unwrap();

    assert_eq!(updated.item, snapshot);
    assert_eq!(story.stored_snapshot(&snapshot), snapshot);
}

#[test]
fn a_clock_that_goes_back_never_dates_a_change_before_the_last_one() {
    let story = Story::new();
    let snapshot = story.available(&story.volume());
    story.services.clock.set(moment(-1_000_000));
    let changes = SnapshotChanges {
        name: Some(name("later, whatever the clock says")),
        ..SnapshotChanges::default()
    };

    let updated = story
        .services
        .snapshots
        .update(&story.owner, snapshot.id(), &changes)
        .unwrap();

    assert_eq!(updated.item.modified_at(), snapshot.modified_at());
}

#[test]
fn a_transfer_to_somebody_elses_organization_is_refused() {
    let story = Story::new();
    let snapshot = story.available(&story.volume());

    let transferred = story.services.snapshots.update(
        &story.owner,
        snapshot.id(),
        &transfer_to(story.stranger.organizations[0]),
    );

    assert_not_allowed(transferred);
    assert_eq!(story.stored_snapshot(&snapshot), snapshot);
}

#[test]
fn whoever_transfers_a_snapshot_that_is_not_theirs_learns_only_that() {
    let story = Story::new();
    let snapshot = story.available(&story.volume());
    let anybody = OrganizationId::new(SequentialIds::nth_id(999));

    let transferred = story
        .services
        .snapshots
        .update(&story.stranger, snapshot.id(), &transfer_to(anybody));

    assert_not_found(transferred, Resource::Snapshot, snapshot.id().as_uuid());
}

#[test]
fn a_transferred_snapshot_changes_its_owner_and_keeps_its_key() {
    let story = Story::new();
    let (giver, receiver) = (story.owner.organizations[0], story.stranger.organizations[0]);
    let both = a_caller_of(&[giver, receiver]);
    let volume = story.volume();
    let snapshot = story.available(&volume);
    story.services.snapshot_bytes.put(snapshot.id(), b"bytes");

    let updated = story
        .services
        .snapshots
        .update(&both, snapshot.id(), &transfer_to(receiver))
        .unwrap()
        .item;

    assert_eq!((updated.organization(), updated.domain()), (receiver, giver));
    let gone = story.services.snapshots.get(&story.owner, snapshot.id());
    assert_not_found(gone, Resource::Snapshot, snapshot.id().as_uuid());
    assert!(story.services.snapshots.open(&story.stranger, snapshot.id()).is_ok());
    let parent = story.services.worker().parent_of(&volume, giver).unwrap();
    assert_eq!(parent.map(|it| it.id()), Some(snapshot.id()));
}

#[test]
fn a_snapshot_that_is_transferred_while_it_is_copied_becomes_available_at_its_new_owner() {
    let story = Story::new();
    let both = a_caller_of(&[story.owner.organizations[0], story.stranger.organizations[0]]);
    let volume = story.volume();
    let snapshot = story.copying(&volume);
    let task = story.claim();
    let changes = transfer_to(story.stranger.organizations[0]);
    story.services.snapshots.update(&both, snapshot.id(), &changes).unwrap();

    story
        .services
        .worker()
        .complete_capture(&task.lease(), snapshot.id(), &a_content())
        .unwrap();

    let theirs = story
        .services
        .snapshots
        .get(&story.stranger, snapshot.id())
        .unwrap()
        .item;
    assert!(theirs.readable().is_ok());
    assert_eq!(theirs.domain(), story.owner.organizations[0]);
    assert_eq!(story.stored_volume(&volume).copies(), 0);
}

#[test]
fn a_deleted_snapshot_leaves_one_task_that_removes_its_manifest() {
    let story = Story::new();
    let snapshot = story.available(&story.volume());
    let request = a_request();

    story
        .services
        .snapshots
        .delete(&story.owner, snapshot.id(), request)
        .unwrap();

    let task = story.only_task();
    let again = story
        .services
        .snapshots
        .delete(&story.owner, snapshot.id(), a_request());
    assert_eq!(
        task.work(),
        &Work::ForgetSnapshot {
            snapshot: snapshot.id(),
            domain: snapshot.domain(),
        }
    );
    assert_eq!(task.request(), request);
    assert_not_found(again, Resource::Snapshot, snapshot.id().as_uuid());
}

#[test]
fn a_failed_snapshot_can_be_deleted() {
    let story = Story::new();
    let snapshot = story.copying(&story.volume());
    let task = story.claim();
    story
        .services
        .worker()
        .fail_capture(&task, snapshot.id(), "it broke")
        .unwrap();

    story
        .services
        .snapshots
        .delete(&story.owner, snapshot.id(), a_request())
        .unwrap();

    assert_eq!(story.services.store.all_snapshots(), []);
}

#[test]
fn deleting_a_snapshot_that_is_being_copied_cancels_the_copy() {
    let story = Story::new();
    let volume = story.volume();
    let snapshot = story.copying(&volume);
    let task = story.claim();

    story
        .services
        .snapshots
        .delete(&story.owner, snapshot.id(), a_request())
        .unwrap();

    let cancelled = story.only_task();
    assert_eq!(cancelled.id(), task.id());
    assert!(cancelled.cancel_requested());
    assert_eq!(story.state_of(&task), TaskStateName::Running);
    assert_eq!(story.stored_volume(&volume), volume);
}

#[test]
fn a_snapshot_carries_its_progress_only_while_it_is_copied() {
    let story = Story::new();
    let snapshot = story.copying(&story.volume());
    let get = || {
        story
            .services
            .snapshots
            .get(&story.owner, snapshot.id())
            .unwrap()
            .progress
    };
    let listed = || {
        let query = SnapshotQuery::all(story.owner.may(Right::Read).unwrap().scope());
        let list = story.services.snapshots.list(&query, Slice::first(10)).unwrap();
        list.into_iter().map(|it| it.progress).collect::<Vec<_>>()
    };
    let half = Progress {
        done_bytes: 2_048,
        total_bytes: 4_096,
    };

    assert_eq!(get(), Some(Progress::none_of(4_096)));
    let task = story.claim();
    story.services.worker().renew(&task.lease(), half).unwrap();
    assert_eq!((get(), listed()), (Some(half), vec![Some(half)]));
    story
        .services
        .worker()
        .complete_capture(&task.lease(), snapshot.id(), &a_content())
        .unwrap();
    assert_eq!((get(), listed()), (None, vec![None]));
}

#[test]
fn only_a_whole_snapshot_can_be_read() {
    let story = Story::new();
    let volume = story.volume();
    let snapshot = story.copying(&volume);
    let id = snapshot.id();

    let too_early = story.services.snapshots.open(&story.owner, id);

    assert_conflict(too_early, Resource::Snapshot, id.as_uuid(), "snapshotting");
    let task = story.claim();
    story
        .services
        .worker()
        .complete_capture(&task.lease(), id, &a_content())
        .unwrap();
    story.services.snapshot_bytes.put(id, b"copied");
    let (_, mut bytes) = story.services.snapshots.open(&story.owner, id).unwrap();
    let mut read = [0xff; 8];
    bytes.read_at(0, &mut read).unwrap();
    assert_eq!(&read, b"copied\0\0");
}

fn transfer_to(organization: OrganizationId) -> SnapshotChanges {
    SnapshotChanges {
        organization: Some(organization),
        ..SnapshotChanges::default()
    }
}
