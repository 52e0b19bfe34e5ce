//! Every state meets every event, and what comes out is compared with the diagrams in the documentation.

use snapshot_domain::{
    Error, Lease, Progress, Snapshot, SnapshotEvent, SnapshotState, SnapshotStateName, Task, TaskOutcome, TaskState,
    TaskStateName, Timestamp, Volume, VolumeEvent, VolumeState, VolumeStateName, Work,
    testing::{
        SequentialIds, a_content, a_snapshot, a_task, a_volume, an_instance, an_organization_id, moment, some_losses,
    },
};

const REASON: &str = "it broke";

/// The arrows of the diagram in `snapshot.rs`.
#[test]
fn a_snapshot_knows_the_arrows_of_its_diagram_and_no_others() {
    let reason = || REASON.to_owned();
    let states = [
        SnapshotState::Snapshotting,
        SnapshotState::Available(a_content()),
        SnapshotState::Error { reason: reason() },
    ];
    let events = [
        ("CaptureCommitted", SnapshotEvent::CaptureCommitted(a_content())),
        ("CaptureFailed", SnapshotEvent::CaptureFailed { reason: reason() }),
    ];

    let mut arrows = Vec::new();
    for state in &states {
        for (called, event) in &events {
            let before = a_snapshot(an_organization_id()).in_state(state.clone()).build();
            if let Some(after) = snapshot_after(&before, event) {
                arrows.push(format!("{} --{called}-> {}", state.name(), after.state().name()));
            }
        }
    }

    assert_eq!(states.map(|it| it.name()), SnapshotStateName::ALL);
    assert_eq!(
        arrows,
        [
            "snapshotting --CaptureCommitted-> available",
            "snapshotting --CaptureFailed-> error",
        ]
    );
}

/// The arrows of the diagram in `volume.rs`.
#[test]
fn a_volume_knows_the_arrows_of_its_diagram_and_no_others() {
    let events = [
        ("WriteBegun", VolumeEvent::WriteBegun),
        ("WriteCommitted", VolumeEvent::WriteCommitted),
        ("WriteAbandoned", VolumeEvent::WriteAbandoned),
        ("RestoreCommitted", VolumeEvent::RestoreCommitted),
        ("SalvageCommitted", VolumeEvent::SalvageCommitted(some_losses())),
        (
            "RestoreFailed",
            VolumeEvent::RestoreFailed {
                reason: REASON.to_owned(),
            },
        ),
    ];

    let mut arrows = Vec::new();
    for state in every_volume_state() {
        for (called, event) in &events {
            let before = a_volume(an_organization_id()).in_state(state.clone()).build();
            if let Some(after) = volume_after(&before, event) {
                arrows.push(format!("{} --{called}-> {}", state.name(), after.state().name()));
            }
        }
    }

    assert_eq!(
        arrows,
        [
            "available --WriteBegun-> saving",
            "saving --WriteCommitted-> available",
            "saving --WriteAbandoned-> available",
            "fetching --RestoreCommitted-> available",
            "fetching --SalvageCommitted-> available",
            "fetching --RestoreFailed-> error",
        ]
    );
}

/// The table in `volume.rs`: copy, write, read, rename, delete.
#[test]
fn each_state_of_a_volume_refuses_what_the_table_says() {
    let table: Vec<_> = every_volume_state()
        .into_iter()
        .map(|state| {
            let volume = a_volume(an_organization_id()).in_state(state).build();
            let takes = [
                volume.check_can_be_copied().is_ok(),
                volume.clone().apply(VolumeEvent::WriteBegun, moment(1)).is_ok(),
                volume.check_can_be_read().is_ok(),
                volume.check_can_be_deleted().is_ok(),
            ];
            let begun = Snapshot::begin(new_snapshot(), &volume, moment(1));
            assert_eq!(begun.is_ok(), takes[0], "what can be copied can be snapshotted");
            (volume.state().name(), takes)
        })
        .collect();

    assert_eq!(
        table,
        [
            (VolumeStateName::Available, [true, true, true, true]),
            (VolumeStateName::Snapshotting, [true, false, true, false]),
            (VolumeStateName::Saving, [false, false, true, false]),
            (VolumeStateName::Fetching, [false, false, false, false]),
            (VolumeStateName::Error, [false, false, false, true]),
        ]
    );
}

#[test]
fn a_registered_volume_is_never_written_whatever_its_state() {
    for state in every_volume_state() {
        let mut volume = a_volume(an_organization_id())
            .registered_at("/dev/vdb")
            .in_state(state)
            .build();
        let before = volume.clone();

        let written = volume.apply(VolumeEvent::WriteBegun, moment(1));

        assert!(matches!(written, Err(Error::Conflict { .. })), "{written:?}");
        assert_eq!(volume, before);
    }
}

/// The arrows of the diagram in `task.rs`, for whoever holds the right lease.
#[test]
fn a_task_knows_the_arrows_of_its_diagram_and_no_others() {
    let mut arrows = Vec::new();
    for (state, expires_at) in every_task_state() {
        for (called, event) in task_events() {
            let mut task = a_task_in(state);
            let before = task.clone();
            let lease = task.lease();

            match event(&mut task, &lease, expires_at) {
                Ok(()) => arrows.push(format!(
                    "{} --{called}-> {}",
                    before.state().name(),
                    task.state().name()
                )),
                Err(Error::LeaseLost) => assert_eq!(task, before, "{called}"),
                Err(other) => panic!("a task is refused only for want of a lease: {other}"),
            }
        }
    }

    assert_eq!(
        arrows,
        [
            "pending --claim-> running",
            "pending --claim when expired-> running",
            "running --claim when expired-> running",
            "running --renew-> running",
            "running --put back-> pending",
            "running --succeed-> succeeded",
            "running --fail-> failed",
            "running --cancel-> cancelled",
        ]
    );
}

#[test]
fn a_task_is_changed_only_under_the_lease_of_its_last_claim() {
    let mut task = a_task_in(TaskState::Pending);
    let first = task.claim(an_instance(), moment(0), moment(10)).unwrap();
    let last = task.claim(an_instance(), moment(10), moment(20)).unwrap();
    let other_task = Lease {
        task: snapshot_domain::TaskId::new(SequentialIds::nth_id(999)),
        ..last
    };
    let before = task.clone();

    for lease in [first, other_task] {
        for (called, event) in task_events().into_iter().skip(2) {
            let changed = event(&mut task, &lease, moment(20));

            assert!(matches!(changed, Err(Error::LeaseLost)), "{called}: {changed:?}");
            assert_eq!(task, before, "{called}");
        }
    }
    assert!(task.check_held_by(&last).is_ok());
}

#[test]
fn calling_a_task_off_changes_nothing_but_the_flag() {
    for (state, _) in every_task_state() {
        let mut task = a_task_in(state);
        let before = task.clone();

        task.request_cancel();

        assert!(task.cancel_requested());
        assert_eq!((task.state(), task.epoch()), (before.state(), before.epoch()));
    }
}

#[test]
fn a_refused_event_changes_nothing_and_a_taken_one_counts() {
    let mut available = a_snapshot(an_organization_id()).available().build();
    let mut copying = a_snapshot(an_organization_id()).build();
    let (was_available, was_copying) = (available.clone(), copying.clone());

    let refused = available.apply(SnapshotEvent::CaptureCommitted(a_content()), moment(5));
    let taken = copying.apply(SnapshotEvent::CaptureCommitted(a_content()), moment(5));

    assert!(refused.is_err() && taken.is_ok());
    assert_eq!(available, was_available);
    assert_eq!(copying.revision(), was_copying.revision().next());
    assert_eq!(copying.revision().previous(), was_copying.revision());
    assert_eq!(copying.modified_at(), moment(5));
}

#[test]
fn a_clock_that_goes_back_never_dates_a_change_before_the_last_one() {
    let mut snapshot = a_snapshot(an_organization_id()).created_at(moment(5)).build();
    let mut volume = a_volume(an_organization_id()).created_at(moment(5)).build();

    snapshot
        .apply(SnapshotEvent::CaptureCommitted(a_content()), moment(-5))
        .unwrap();
    volume.apply(VolumeEvent::WriteBegun, moment(-5)).unwrap();

    assert_eq!(snapshot.modified_at(), moment(5));
    assert_eq!(volume.modified_at(), moment(5));
}

#[test]
fn every_state_is_found_again_by_what_the_api_calls_it() {
    for state in SnapshotStateName::ALL {
        assert_eq!(SnapshotStateName::parse(state.as_str()), Some(state));
    }
    for state in VolumeStateName::ALL {
        assert_eq!(VolumeStateName::parse(state.as_str()), Some(state));
    }
    for state in TaskStateName::ALL {
        assert_eq!(TaskStateName::parse(state.as_str()), Some(state));
    }
    assert_eq!(SnapshotStateName::parse("Available"), None);
    assert_eq!(VolumeStateName::parse(""), None);
    assert_eq!(TaskStateName::parse("done"), None);
}

#[test]
fn progress_is_whole_percents_and_100_only_when_all_is_done() {
    let percent = |done_bytes, total_bytes| {
        Progress {
            done_bytes,
            total_bytes,
        }
        .percent()
    };

    assert_eq!(percent(0, 0), 0);
    assert_eq!(percent(0, 1 << 44), 0);
    assert_eq!(percent((1 << 44) - 1, 1 << 44), 99);
    assert_eq!(percent(1 << 44, 1 << 44), 100);
    assert_eq!(percent(u64::MAX, u64::MAX), 100);
    assert_eq!(percent(7, 3), 100);
}

fn snapshot_after(before: &Snapshot, event: &SnapshotEvent) -> Option<Snapshot> {
    let mut after = before.clone();
    let applied = after.apply(event.clone(), moment(1));
    match applied {
        Ok(()) => Some(after),
        Err(error) => {
            assert!(matches!(error, Error::Conflict { .. }), "{error:?}");
            assert_eq!(&after, before);
            None
        }
    }
}

fn volume_after(before: &Volume, event: &VolumeEvent) -> Option<Volume> {
    let mut after = before.clone();
    let applied = after.apply(event.clone(), moment(1));
    match applied {
        Ok(()) => Some(after),
        Err(error) => {
            assert!(matches!(error, Error::Conflict { .. }), "{error:?}");
            assert_eq!(&after, before);
            None
        }
    }
}

fn every_volume_state() -> [VolumeState; 5] {
    let states = [
        VolumeState::Available { copies: 0 },
        VolumeState::Available { copies: 3 },
        VolumeState::Saving,
        VolumeState::Fetching,
        VolumeState::Error {
            reason: REASON.to_owned(),
        },
    ];
    assert_eq!(states.clone().map(|it| it.name()), VolumeStateName::ALL);
    states
}

/// Every state of a task, with the moment at which its lease, if there is one, has expired.
fn every_task_state() -> [(TaskState, Timestamp); 5] {
    let expires_at = moment(10);
    let running = TaskState::Running {
        instance: an_instance(),
        expires_at,
    };
    let states = [
        TaskState::Pending,
        running,
        TaskState::Succeeded,
        TaskState::Failed,
        TaskState::Cancelled,
    ];
    assert_eq!(states.map(|it| it.name()), TaskStateName::ALL);
    states.map(|state| (state, expires_at))
}

type TaskEvent = fn(&mut Task, &Lease, Timestamp) -> snapshot_domain::Result<()>;

fn task_events() -> [(&'static str, TaskEvent); 7] {
    [
        ("claim", |task, _, _| {
            task.claim(an_instance(), moment(0), moment(99)).map(drop)
        }),
        ("claim when expired", |task, _, expires_at| {
            task.claim(an_instance(), expires_at, moment(99)).map(drop)
        }),
        ("renew", |task, lease, _| {
            task.renew(lease, Progress::none_of(1), moment(99))
        }),
        ("put back", |task, lease, _| task.put_back(lease)),
        ("succeed", |task, lease, _| {
            task.finish(lease, TaskOutcome::Succeeded, moment(5))
        }),
        ("fail", |task, lease, _| {
            task.finish(lease, TaskOutcome::Failed, moment(5))
        }),
        ("cancel", |task, lease, _| {
            task.finish(lease, TaskOutcome::Cancelled, moment(5))
        }),
    ]
}

fn a_task_in(state: TaskState) -> Task {
    let volume = snapshot_domain::VolumeId::new(SequentialIds::nth_id(1));
    a_task(an_organization_id(), Work::EraseVolume { volume })
        .in_state(state)
        .build()
}

fn new_snapshot() -> snapshot_domain::NewSnapshot {
    snapshot_domain::NewSnapshot {
        id: snapshot_domain::SnapshotId::new(SequentialIds::nth_id(2)),
        organization: an_organization_id(),
        name: snapshot_domain::testing::name("snapshot-0-1"),
        tags: snapshot_domain::Tags::default(),
    }
}
