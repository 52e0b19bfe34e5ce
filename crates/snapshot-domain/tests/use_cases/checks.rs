//! Whose turn it is to be checked, and what is noted of damage.

use snapshot_domain::{
    Error, Finding, Health, HealthName, Losses, RestoreMode, Snapshot, SnapshotId, VolumeState,
    ports::SnapshotRepository,
    testing::{a_request, a_snapshot, an_organization_id, moment, some_losses},
    use_case::{CheckRound, RestoreVolume},
};

use crate::story::{Story, new_restore};

fn an_available_one(story: &Story) -> SnapshotId {
    let snapshot = a_snapshot(an_organization_id()).available().build();
    story.services.store.put_snapshot(snapshot.clone());
    snapshot.id()
}

fn check(story: &Story, id: SnapshotId, at: i64, finding: Finding) {
    story.services.checks.record(id, moment(at), finding).unwrap();
}

fn next(round: &mut CheckRound, skip_damaged: bool) -> Option<SnapshotId> {
    round.next(skip_damaged).unwrap().map(|(due, _)| due.snapshot)
}

fn health(story: &Story, id: SnapshotId) -> Health {
    SnapshotRepository::get(&story.services.store, id).unwrap().health()
}

#[test]
fn a_round_has_the_new_ones_first_then_the_damaged_then_those_checked_longest_ago() {
    let story = Story::new();
    let [late, damaged, new, early, new_too, damaged_later] = [(); 6].map(|()| an_available_one(&story));
    check(&story, early, 1, Finding::Whole);
    check(&story, late, 5, Finding::Whole);
    check(&story, damaged, 3, Finding::Damaged);
    check(&story, damaged_later, 7, Finding::Damaged);
    story.services.clock.set(moment(100));

    let mut round = story.services.checks.round();
    let order: Vec<_> = std::iter::from_fn(|| next(&mut round, false)).collect();
    let mut without = story.services.checks.round();
    let order_without: Vec<_> = std::iter::from_fn(|| next(&mut without, true)).collect();

    assert_eq!(order, [new, new_too, damaged, damaged_later, early, late]);
    assert_eq!(order_without, [new, new_too, early, damaged, late, damaged_later]);
}

#[test]
fn what_was_checked_by_a_clock_that_was_set_back_since_is_due_first() {
    const DAY: i64 = 86_400_000_000;
    let story = Story::new();
    let [in_the_future, old, a_moment_ahead] = [(); 3].map(|()| an_available_one(&story));
    check(&story, in_the_future, 900 * DAY, Finding::Whole);
    check(&story, old, 1, Finding::Whole);
    check(&story, a_moment_ahead, DAY + 60, Finding::Whole);
    story.services.clock.set(moment(DAY));

    let mut round = story.services.checks.round();
    let order: Vec<_> = std::iter::from_fn(|| next(&mut round, false)).collect();

    assert_eq!(order, [in_the_future, old]);
    story.services.checks.record_damage(in_the_future).unwrap();
    assert_eq!(health(&story, in_the_future).name(), HealthName::Damaged);
}

#[test]
fn each_snapshot_comes_once_in_a_round_also_when_its_check_is_recorded_meanwhile() {
    let story = Story::new();
    let all: Vec<_> = (0..200).map(|_| an_available_one(&story)).collect();
    for id in all.iter().skip(50) {
        check(&story, *id, 1, Finding::Damaged);
    }
    story.services.clock.set(moment(100));

    let mut round = story.services.checks.round();
    let mut seen = Vec::new();
    while let Some((due, began_at)) = round.next(false).unwrap() {
        seen.push(due.snapshot);
        // A clock that goes back changes nothing about it.
        story.services.clock.set(moment(-100));
        assert!(began_at >= round.began_at());
        story
            .services
            .checks
            .record(due.snapshot, began_at, Finding::Whole)
            .unwrap();
    }

    seen.sort_unstable();
    assert_eq!(seen, all);
}

#[test]
fn a_check_that_could_not_decide_comes_again_but_not_before_the_others() {
    let story = Story::new();
    let [unreadable, other] = [(); 2].map(|()| an_available_one(&story));
    check(&story, other, 1, Finding::Whole);
    check(&story, unreadable, 2, Finding::Undecided);
    story.services.clock.set(moment(100));

    let mut round = story.services.checks.round();

    assert_eq!(
        [next(&mut round, false), next(&mut round, false)],
        [Some(other), Some(unreadable)]
    );
    assert_eq!(health(&story, unreadable), Health::Unverified);
}

#[test]
fn a_snapshot_that_has_lost_all_its_bytes_is_noted_as_damaged_when_it_is_opened() {
    let story = Story::new();
    let snapshot = story.available(&story.volume());

    let opened = story.services.snapshots.open(&story.owner, snapshot.id());

    assert!(matches!(opened.map(drop), Err(Error::Damaged { .. })));
    let verified_at = moment(0);
    assert_eq!(health(&story, snapshot.id()), Health::Damaged { verified_at });
}

#[test]
fn a_salvage_tells_for_ever_what_it_could_not_bring_back() {
    let story = Story::new();
    let snapshot = story.available(&story.volume());
    let salvage = |losses: &Losses| {
        let command = RestoreVolume {
            mode: RestoreMode::Salvage,
            ..new_restore(&story.owner, &snapshot)
        };
        let begun = story
            .services
            .volumes
            .restore(&story.owner, command, a_request())
            .unwrap();
        let worker = story.services.worker();
        let task = worker.claim().unwrap().unwrap();
        worker.complete_salvage(&task.lease(), begun.item.id(), losses).unwrap();
        (
            story.stored_volume(&begun.item),
            story.services.tasks.get(&story.owner, task.id()).unwrap(),
        )
    };

    for losses in [some_losses(), Losses::default()] {
        let (volume, task) = salvage(&losses);

        assert_eq!(volume.state(), &VolumeState::Available { copies: 0 });
        assert_eq!((volume.losses(), task.losses()), (Some(&losses), Some(&losses)));
        let mut write = story.services.volumes.begin_write(&story.owner, volume.id()).unwrap();
        write.write(b"other bytes").unwrap();
        write.commit().unwrap();
        assert_eq!(story.stored_volume(&volume).losses(), Some(&losses));
    }
}

#[test]
fn a_health_is_found_again_by_what_the_api_calls_it() {
    for health in HealthName::ALL {
        assert_eq!(HealthName::parse(health.as_str()), Some(health));
    }
    assert_eq!(HealthName::parse("OK"), None);
    let snapshot: Snapshot = a_snapshot(an_organization_id()).build();
    assert_eq!(snapshot.health().verified_at(), None);
}
