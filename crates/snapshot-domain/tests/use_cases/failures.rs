//! Ports that fail, or that somebody else is quicker at.

use std::sync::Arc;

use snapshot_domain::{
    Error, Finding, Resource, Right, Snapshot, SnapshotChanges, Volume, VolumeId, VolumeState,
    ports::{Measured, Slice, SnapshotQuery},
    testing::{
        InMemorySnapshotBytes, InMemoryStore, InMemoryVolumes, ManualClock, MockCheckRepository,
        MockOrganizationRepository, MockReadAt, MockSnapshotBytes, MockSnapshotRepository, MockTaskQueue,
        MockTokenRepository, MockVolumeBytes, MockVolumeRepository, SequentialIds, Services, a_caller_of, a_request,
        a_snapshot, a_volume, an_organization, name,
    },
    use_case::{AccessService, CheckService, SnapshotService, TaskService, VolumeService},
};

use crate::story::{Story, assert_conflict, assert_not_found, new_restore, new_snapshot, new_volume};

/// The ports of a service; each one that is not set up panics when it is called.
#[derive(Default)]
pub(crate) struct Ports {
    snapshots: MockSnapshotRepository,
    pub(crate) volumes: MockVolumeRepository,
    tasks: MockTaskQueue,
}

impl Ports {
    fn into_snapshot_service(self) -> SnapshotService {
        SnapshotService::new(
            Arc::new(self.snapshots),
            Arc::new(self.volumes),
            Arc::new(self.tasks),
            Arc::new(InMemoryStore::default()),
            Arc::new(InMemorySnapshotBytes::default()),
            no_checks(),
            Arc::new(ManualClock::default()),
            Arc::new(SequentialIds::default()),
        )
    }

    pub(crate) fn into_volume_service(self, bytes: MockVolumeBytes) -> VolumeService {
        VolumeService::new(
            Arc::new(self.volumes),
            Arc::new(self.snapshots),
            Arc::new(self.tasks),
            Arc::new(bytes),
            Arc::new(ManualClock::default()),
            Arc::new(SequentialIds::default()),
        )
    }
}

fn damaged() -> Error {
    Error::Damaged {
        first: 512,
        last: 1_023,
        reason: "the checksum differs".to_owned(),
    }
}

/// Nobody may ask for a check.
fn no_checks() -> CheckService {
    CheckService::new(Arc::new(MockCheckRepository::new()), Arc::new(ManualClock::default()))
}

#[test]
fn a_change_is_decided_anew_until_nobody_else_was_quicker() {
    let snapshot = a_snapshot(an_organization().id).build();
    let mut ports = Ports::default();
    find_always(&mut ports, &snapshot);
    let mut lost = 0;
    ports.snapshots.expect_update().times(64).returning(move |_| {
        lost += 1;
        if lost < 64 { Err(stale()) } else { Ok(()) }
    });
    no_progress(&mut ports);

    let updated =
        ports
            .into_snapshot_service()
            .update(&a_caller_of(&[snapshot.organization()]), snapshot.id(), &renamed());

    assert_eq!(updated.unwrap().item.name(), &name("renamed"));
}

#[test]
fn a_change_is_given_up_after_64_rounds_and_says_why() {
    let snapshot = a_snapshot(an_organization().id).build();
    let mut ports = Ports::default();
    find_always(&mut ports, &snapshot);
    ports.snapshots.expect_update().times(64).returning(|_| Err(stale()));

    let updated =
        ports
            .into_snapshot_service()
            .update(&a_caller_of(&[snapshot.organization()]), snapshot.id(), &renamed());

    assert!(matches!(updated, Err(Error::Stale { .. })), "{updated:?}");
}

#[test]
fn only_losing_a_race_is_a_reason_to_try_again() {
    let snapshot = a_snapshot(an_organization().id).build();
    let mut ports = Ports::default();
    find_always(&mut ports, &snapshot);
    ports.snapshots.expect_update().once().returning(|_| Err(broken()));

    let updated =
        ports
            .into_snapshot_service()
            .update(&a_caller_of(&[snapshot.organization()]), snapshot.id(), &renamed());

    assert_broken(updated);
}

#[test]
fn a_snapshot_that_is_begun_anew_is_the_same_one() {
    let volume = a_volume(an_organization().id).build();
    let mut ports = Ports::default();
    let found = volume.clone();
    ports
        .volumes
        .expect_find()
        .times(2)
        .returning(move |_, _| Ok(found.clone()));
    let mut begun = Vec::new();
    ports
        .snapshots
        .expect_begin()
        .times(2)
        .returning(move |snapshot, task, _, _| {
            begun.push((snapshot.id(), task.id()));
            if begun.len() == 1 {
                return Err(stale());
            }
            assert_eq!(begun[0], begun[1]);
            Ok(())
        });
    let caller = a_caller_of(&[volume.organization()]);
    let command = new_snapshot(&caller, volume.id());

    let created = ports.into_snapshot_service().create(&caller, &command, a_request());

    assert_eq!(created.unwrap().item.base_volume().id, volume.id());
}

#[test]
fn a_volume_that_is_written_just_before_its_copy_begins_is_not_copied() {
    let resting = a_volume(an_organization().id);
    let written = resting.clone().in_state(VolumeState::Saving).build();
    let resting = resting.build();
    let mut ports = Ports::default();
    let mut seen = vec![written.clone(), resting.clone()];
    ports
        .volumes
        .expect_find()
        .times(2)
        .returning(move |_, _| Ok(seen.pop().unwrap()));
    ports
        .snapshots
        .expect_begin()
        .once()
        .returning(|_, _, _, _| Err(stale()));
    let caller = a_caller_of(&[resting.organization()]);
    let command = new_snapshot(&caller, resting.id());

    let created = ports.into_snapshot_service().create(&caller, &command, a_request());

    assert_conflict(created, Resource::Volume, resting.id().as_uuid(), "saving");
}

#[test]
fn what_the_database_fails_with_comes_out_of_every_call_about_snapshots() {
    let organization = an_organization().id;
    let caller = a_caller_of(&[organization]);
    let snapshot = a_snapshot(organization).build();
    let command = new_snapshot(&caller, snapshot.base_volume().id);
    let mut ports = Ports::default();
    ports.snapshots.expect_find().returning(|_, _| Err(broken()));
    ports.snapshots.expect_find_measured().returning(|_, _| Err(broken()));
    ports.snapshots.expect_list().returning(|_, _| Err(broken()));
    ports.snapshots.expect_count().returning(|_| Err(broken()));
    ports.volumes.expect_find().returning(|_, _| Err(broken()));
    let service = ports.into_snapshot_service();
    let query = SnapshotQuery::all(caller.may(Right::Read).unwrap().scope());

    assert_broken(service.create(&caller, &command, a_request()));
    assert_broken(service.get(&caller, snapshot.id()));
    assert_broken(service.list(&query, Slice::first(10)));
    assert_broken(service.count(&query));
    assert_broken(service.update(&caller, snapshot.id(), &renamed()));
    assert_broken(service.delete(&caller, snapshot.id(), a_request()));
    assert_broken(service.open(&caller, snapshot.id()).map(|(snapshot, _)| snapshot));
}

#[test]
fn progress_that_can_not_be_read_is_no_progress_but_a_failure() {
    let snapshot = a_snapshot(an_organization().id).build();
    let mut ports = Ports::default();
    find_always(&mut ports, &snapshot);
    ports.tasks.expect_captures_of().returning(|_| Err(broken()));

    let got = ports
        .into_snapshot_service()
        .get(&a_caller_of(&[snapshot.organization()]), snapshot.id());

    assert_broken(got);
}

#[test]
fn nobody_asks_for_the_progress_of_snapshots_that_are_not_copied() {
    let snapshot = a_snapshot(an_organization().id).available().build();
    let mut ports = Ports::default();
    find_always(&mut ports, &snapshot);
    let listed = not_measured(&snapshot);
    ports
        .snapshots
        .expect_list()
        .returning(move |_, _| Ok(vec![listed.clone()]));
    ports.tasks.expect_captures_of().never();
    let service = ports.into_snapshot_service();
    let caller = a_caller_of(&[snapshot.organization()]);

    let got = service.get(&caller, snapshot.id()).unwrap();
    let listed = service
        .list(
            &SnapshotQuery::all(caller.may(Right::Read).unwrap().scope()),
            Slice::first(10),
        )
        .unwrap();

    assert_eq!(listed, [got]);
}

#[test]
fn a_damaged_snapshot_says_so_when_it_is_opened() {
    let snapshot = a_snapshot(an_organization().id).available().build();
    let mut ports = Ports::default();
    find_always(&mut ports, &snapshot);
    let mut bytes = MockSnapshotBytes::new();
    bytes.expect_open().returning(|_| Err(damaged()));
    let mut checks = MockCheckRepository::new();
    checks.expect_record_check().times(1).returning(|_, _| Err(broken()));
    let service = SnapshotService::new(
        Arc::new(ports.snapshots),
        Arc::new(ports.volumes),
        Arc::new(ports.tasks),
        Arc::new(InMemoryStore::default()),
        Arc::new(bytes),
        CheckService::new(Arc::new(checks), Arc::new(ManualClock::default())),
        Arc::new(ManualClock::default()),
        Arc::new(SequentialIds::default()),
    );

    let opened = service.open(&a_caller_of(&[snapshot.organization()]), snapshot.id());

    let error = opened.map(|(snapshot, _)| snapshot).unwrap_err();
    assert!(
        matches!(
            error,
            Error::Damaged {
                first: 512,
                last: 1_023,
                ..
            }
        ),
        "{error:?}"
    );
}

#[test]
fn a_reader_that_meets_damage_is_told_each_time_and_it_is_noted_once() {
    let snapshot = a_snapshot(an_organization().id).available().build();
    let mut ports = Ports::default();
    find_always(&mut ports, &snapshot);
    let mut bytes = MockSnapshotBytes::new();
    bytes.expect_open().returning(|_| {
        let mut reader = MockReadAt::new();
        reader
            .expect_read_at()
            .returning(|offset, _| if offset == 512 { Err(damaged()) } else { Ok(()) });
        Ok(Box::new(reader))
    });
    let mut checks = MockCheckRepository::new();
    let id = snapshot.id();
    checks
        .expect_record_check()
        .withf(move |noted, check| *noted == id && check.finding == Finding::Damaged)
        .times(1)
        .returning(|_, _| Ok(true));
    let service = SnapshotService::new(
        Arc::new(ports.snapshots),
        Arc::new(ports.volumes),
        Arc::new(ports.tasks),
        Arc::new(InMemoryStore::default()),
        Arc::new(bytes),
        CheckService::new(Arc::new(checks), Arc::new(ManualClock::default())),
        Arc::new(ManualClock::default()),
        Arc::new(SequentialIds::default()),
    );

    let (_, mut bytes) = service.open(&a_caller_of(&[snapshot.organization()]), id).unwrap();
    let read = [0, 512, 1024, 512].map(|offset| bytes.read_at(offset, &mut [0; 512]).is_ok());

    assert_eq!(read, [true, false, true, false]);
}

#[test]
fn a_volume_without_room_for_its_bytes_gets_no_row() {
    let mut ports = Ports::default();
    ports.volumes.expect_insert().never();
    let mut bytes = MockVolumeBytes::new();
    bytes.expect_create().returning(|_| Err(no_space()));
    let story = Story::new();

    let created = ports
        .into_volume_service(bytes)
        .create(&story.owner, new_volume(&story.owner));

    assert!(matches!(created, Err(Error::NoSpace { .. })), "{created:?}");
}

/// Whether the bytes of a volume are kept that could not be stored, when the rows say this of it afterwards.
fn keeps_bytes_when(row: impl Fn(VolumeId) -> snapshot_domain::Result<Volume> + Send + 'static) -> bool {
    let mut ports = Ports::default();
    ports.volumes.expect_insert().returning(|_, _| Err(broken()));
    ports.volumes.expect_get().returning(row);
    let kept = InMemoryVolumes::default();
    let service = VolumeService::new(
        Arc::new(ports.volumes),
        Arc::new(ports.snapshots),
        Arc::new(ports.tasks),
        Arc::new(kept.clone()),
        Arc::new(ManualClock::default()),
        Arc::new(SequentialIds::default()),
    );
    let story = Story::new();

    let created = service.create(&story.owner, new_volume(&story.owner));

    assert_broken(created);
    kept.contains(VolumeId::new(SequentialIds::nth_id(1)))
}

#[test]
fn a_volume_whose_row_can_not_be_stored_leaves_no_bytes() {
    assert!(!keeps_bytes_when(|id| Err(Error::NotFound {
        resource: Resource::Volume,
        id: id.as_uuid(),
    })));
}

#[test]
fn a_volume_whose_row_is_or_may_be_stored_though_that_was_not_told_keeps_its_bytes() {
    assert!(keeps_bytes_when(|id| Ok(a_volume(an_organization().id).id(id).build())));
    assert!(keeps_bytes_when(|_| Err(broken())));
}

#[test]
fn a_snapshot_that_is_deleted_just_before_its_restore_begins_is_not_found() {
    let snapshot = a_snapshot(an_organization().id).available().build();
    let id = snapshot.id().as_uuid();
    let mut ports = Ports::default();
    find_always(&mut ports, &snapshot);
    ports.volumes.expect_begin_restore().once().returning(move |_, _, _| {
        Err(Error::NotFound {
            resource: Resource::Snapshot,
            id,
        })
    });
    let caller = a_caller_of(&[snapshot.organization()]);
    let command = new_restore(&caller, &snapshot);

    let restored = ports
        .into_volume_service(MockVolumeBytes::new())
        .restore(&caller, command, a_request());

    assert_not_found(restored, Resource::Snapshot, id);
}

#[test]
fn what_the_database_fails_with_comes_out_of_every_call_of_a_worker() {
    let snapshot = a_snapshot(an_organization().id).build();
    let volume = a_volume(snapshot.organization()).restoring(snapshot.id()).build();
    let mut ports = Ports::default();
    ports.tasks.expect_claim().returning(|_, _, _| Err(broken()));
    ports.tasks.expect_put_back_all().returning(|_| Err(broken()));
    ports.snapshots.expect_get().returning(|_| Err(broken()));
    ports.snapshots.expect_latest_available().returning(|_, _| Ok(None));
    let service = TaskService::new(
        Arc::new(ports.tasks),
        Arc::new(ports.snapshots),
        Arc::new(ports.volumes),
        no_checks(),
        Arc::new(ManualClock::default()),
        snapshot_domain::testing::an_instance(),
        Services::LEASE_MS,
    );

    assert_broken(service.claim());
    assert_broken(service.put_back_all());
    assert_broken(service.snapshot(snapshot.id()));
    assert_broken(service.parent_of(&volume, snapshot.domain()));
}

#[test]
fn a_database_that_can_not_tell_who_calls_lets_nobody_in_and_says_why() {
    let mut tokens = MockTokenRepository::new();
    tokens.expect_caller().returning(|_, _| Err(broken()));
    let mut organizations = MockOrganizationRepository::new();
    organizations.expect_insert().never();
    organizations.expect_list().returning(|| Err(broken()));
    tokens.expect_list().returning(|| Err(broken()));
    let access = AccessService::new(
        Arc::new(organizations),
        Arc::new(tokens),
        Arc::new(ManualClock::default()),
        Arc::new(SequentialIds::default()),
    );
    let token = snapshot_domain::Token::from_random(SequentialIds::nth_secret(1));

    assert_broken(access.authenticate(&token));
    assert_broken(access.bootstrap(name("default")));
    assert_broken(access.ensure(token, an_organization().id, &name("configured")));
}

#[test]
fn what_people_read_of_a_failure_never_tells_its_cause() {
    let causes = "disk /srv/data at db.internal:5432, password hunter2";

    for error in [
        Error::unavailable(causes),
        Error::corrupt("snapshot", causes),
        Error::NoSpace { source: causes.into() },
    ] {
        let cause = std::error::Error::source(&error).map(ToString::to_string);

        assert!(!error.to_string().contains("hunter2"), "{error}");
        assert_eq!(cause.as_deref(), Some(causes));
    }
}

fn find_always(ports: &mut Ports, snapshot: &Snapshot) {
    let found = snapshot.clone();
    ports.snapshots.expect_find().returning(move |_, _| Ok(found.clone()));
    let measured = not_measured(snapshot);
    ports
        .snapshots
        .expect_find_measured()
        .returning(move |_, _| Ok(measured.clone()));
}

fn not_measured(snapshot: &Snapshot) -> Measured {
    Measured {
        snapshot: snapshot.clone(),
        exclusive_bytes: None,
    }
}

fn no_progress(ports: &mut Ports) {
    ports.tasks.expect_captures_of().returning(|_| Ok(Vec::new()));
}

fn renamed() -> SnapshotChanges {
    SnapshotChanges {
        name: Some(name("renamed")),
        ..SnapshotChanges::default()
    }
}

fn stale() -> Error {
    Error::Stale {
        resource: Resource::Snapshot,
    }
}

pub(crate) fn broken() -> Error {
    Error::unavailable("the disk is on fire")
}

pub(crate) fn no_space() -> Error {
    Error::NoSpace {
        source: "no space left on device".into(),
    }
}

#[track_caller]
fn assert_broken<T: std::fmt::Debug>(result: snapshot_domain::Result<T>) {
    assert!(matches!(result, Err(Error::Unavailable { .. })), "{result:?}");
}
