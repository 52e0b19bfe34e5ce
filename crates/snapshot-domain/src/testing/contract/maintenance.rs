//! Rules of asking for work on the vault as a whole, and of doing it.

use super::{
    Ports,
    world::{assert_exists_already, assert_lease_lost, assert_not_found, race},
};
use crate::{
    AskedBy, InstanceId, MaintenanceJob, MaintenanceKind, MaintenanceRun, Resource, RunId, RunLease, RunOutcome,
    RunState,
    testing::{an_instance, an_organization_id, moment},
};

const COLLECT: MaintenanceJob = MaintenanceJob::Collect { dry_run: false };
const REHEARSAL: MaintenanceJob = MaintenanceJob::Collect { dry_run: true };

/// Every job comes back with its options, whoever asked for it; an id is taken once.
pub fn keeps_every_run_as_it_was_asked_for(ports: &dyn Ports) {
    let runs = [
        MaintenanceRun::new(a_run_id(), COLLECT, AskedBy::Schedule, moment(1)),
        MaintenanceRun::new(a_run_id(), REHEARSAL, AskedBy::Command, moment(2)),
        MaintenanceRun::new(a_run_id(), MaintenanceJob::Stat, AskedBy::Command, moment(3)),
    ];

    for run in &runs {
        ports.maintenance().ask(run).unwrap();
    }

    for run in &runs {
        assert_eq!(&ports.maintenance().get(run.id).unwrap(), run);
        assert_exists_already(ports.maintenance().ask(run));
    }
    let missing = a_run_id();
    assert_not_found(ports.maintenance().get(missing), Resource::Run, missing.as_uuid());
}

/// Oldest first; another one of a kind only when the one before has ended or was put back; other kinds meanwhile.
pub fn gives_out_one_run_of_a_kind_at_a_time(ports: &dyn Ports) {
    let second = ask(ports, REHEARSAL, 2);
    let first = ask(ports, COLLECT, 1);
    let stat = ask(ports, MaintenanceJob::Stat, 3);

    let claimed = claim(ports, 10).unwrap();
    let other_kind = claim(ports, 10);
    let none = claim(ports, 10);

    assert_eq!(claimed.id, first);
    assert_eq!(other_kind.map(|run| run.id), Some(stat));
    assert_eq!(none, None);
    ports.maintenance().put_back(&claimed.lease()).unwrap();
    let again = claim(ports, 10).unwrap();
    assert_eq!((again.id, again.epoch), (first, 2));
    let outcome = RunOutcome::Failed {
        reason: "for a test".to_owned(),
    };
    ports
        .maintenance()
        .finish(&again.lease(), &outcome, moment(11))
        .unwrap();
    assert_eq!(claim(ports, 12).map(|run| run.id), Some(second));
}

/// Two instances find several runs of one kind at the same moment: one of them gets one.
pub fn never_gives_two_runs_of_a_kind_to_racing_claims(ports: &dyn Ports) {
    for round in 0..4 {
        for n in 0..3 {
            ask(ports, COLLECT, round * 10 + n);
        }

        let claimed = race(6, |_| claim(ports, 100));

        let claimed: Vec<_> = claimed.into_iter().flatten().collect();
        assert_eq!(claimed.len(), 1, "{claimed:?}");
        finish(ports, &claimed[0]);
        while let Some(left) = claim(ports, 100) {
            finish(ports, &left);
        }
    }
}

/// What a dead instance left is taken up again when its lease has expired, before another one of the kind.
pub fn gives_out_a_run_again_whose_lease_has_expired(ports: &dyn Ports) {
    let first = ask(ports, COLLECT, 1);
    ask(ports, COLLECT, 2);
    let lost = ports
        .maintenance()
        .claim(an_instance(), moment(10), moment(20))
        .unwrap()
        .unwrap();

    let before = claim(ports, 19);
    let after = claim(ports, 20).unwrap();

    assert_eq!(before, None);
    assert_eq!((after.id, after.epoch), (first, 2));
    assert_lease_lost(ports.maintenance().renew(&lost.lease(), None, moment(99)));
    assert_lease_lost(ports.maintenance().put_back(&lost.lease()));
    let outcome = RunOutcome::Succeeded {
        report: "{}".to_owned(),
    };
    assert_lease_lost(ports.maintenance().finish(&lost.lease(), &outcome, moment(99)));
    assert_eq!(ports.maintenance().get(first).unwrap(), after);
}

/// A renewed lease lasts longer, and what the run waits for is there for everybody; the next renewal may clear it.
pub fn keeps_a_renewed_run_longer_and_notes_what_it_waits_for(ports: &dyn Ports) {
    ask(ports, COLLECT, 1);
    let instance = an_instance();
    let run = ports
        .maintenance()
        .claim(instance, moment(10), moment(20))
        .unwrap()
        .unwrap();
    let note = Some("waits for 2 copies that run".to_owned());

    ports
        .maintenance()
        .renew(&run.lease(), note.clone(), moment(30))
        .unwrap();

    let expires_at = moment(30);
    let running = |note| RunState::Running {
        instance,
        expires_at,
        note,
    };
    assert_eq!(ports.maintenance().get(run.id).unwrap().state, running(note));
    assert_eq!(claim(ports, 29), None);
    ports.maintenance().renew(&run.lease(), None, expires_at).unwrap();
    assert_eq!(ports.maintenance().get(run.id).unwrap().state, running(None));
}

/// However it ended, it stays to be read, and nobody gets it again.
pub fn keeps_how_a_run_ended(ports: &dyn Ports) {
    let report = r#"{"freed_bytes": 7, "name": "ä"}"#.to_owned();
    let reason = "the vault can't be read".to_owned();
    for outcome in [RunOutcome::Succeeded { report }, RunOutcome::Failed { reason }] {
        ask(ports, COLLECT, 1);
        let run = claim(ports, 10).unwrap();
        let note = Some("waits".to_owned());
        ports.maintenance().renew(&run.lease(), note, moment(90)).unwrap();

        ports.maintenance().finish(&run.lease(), &outcome, moment(77)).unwrap();

        let ended = ports.maintenance().get(run.id).unwrap();
        assert_eq!(ended.state, outcome.at(moment(77)));
        assert_eq!(claim(ports, 1_000_000), None);
        assert_lease_lost(ports.maintenance().finish(&run.lease(), &outcome, moment(78)));
        assert_lease_lost(ports.maintenance().put_back(&run.lease()));
    }
}

/// At start, an instance gives back what its last process held; others keep what they hold.
pub fn gives_back_every_run_of_one_instance_only(ports: &dyn Ports) {
    let (restarted, other) = (an_instance(), an_instance());
    let mine = ask(ports, COLLECT, 1);
    let theirs = ask(ports, MaintenanceJob::Stat, 2);
    let claim_for = |instance: InstanceId| ports.maintenance().claim(instance, moment(10), moment(20));
    claim_for(restarted).unwrap().unwrap();
    let held = claim_for(other).unwrap().unwrap();

    let given_back = ports.maintenance().put_back_all(restarted).unwrap();

    assert_eq!(given_back, 1);
    assert_eq!(ports.maintenance().get(mine).unwrap().state, RunState::Pending);
    assert_eq!(ports.maintenance().get(theirs).unwrap(), held);
    assert_eq!(ports.maintenance().put_back_all(restarted).unwrap(), 0);
}

/// By the moment of asking, dry runs left out, in whatever state it is.
pub fn tells_the_latest_run_of_a_kind(ports: &dyn Ports) {
    let before = ports
        .maintenance()
        .latest(MaintenanceKind::Collect, moment(99))
        .unwrap();
    let latest = ask(ports, COLLECT, 5);
    ask(ports, COLLECT, 4);
    ask(ports, REHEARSAL, 6);
    ask(ports, MaintenanceJob::Stat, 7);

    let after = ports
        .maintenance()
        .latest(MaintenanceKind::Collect, moment(99))
        .unwrap();

    assert_eq!(before, None);
    assert_eq!(after.map(|run| run.id), Some(latest));
}

/// What is asked for later may come from a clock that was set back since.
pub fn tells_the_latest_run_up_to_a_moment(ports: &dyn Ports) {
    let first = ask(ports, COLLECT, 4);
    let second = ask(ports, COLLECT, 6);
    let latest = |until| {
        let run = ports
            .maintenance()
            .latest(MaintenanceKind::Collect, moment(until))
            .unwrap();
        run.map(|run| run.id)
    };

    assert_eq!([3, 4, 5, 6].map(latest), [None, Some(first), Some(first), Some(second)]);
}

/// Neither what has not ended, nor what ended later, nor the latest of a kind, by which the schedule tells the time.
pub fn forgets_runs_that_ended_long_ago(ports: &dyn Ports) {
    let ended = |job, asked, at| {
        let id = ask(ports, job, asked);
        let run = claim(ports, 50).unwrap();
        assert_eq!(run.id, id);
        let report = "{}".to_owned();
        let outcome = RunOutcome::Succeeded { report };
        ports.maintenance().finish(&run.lease(), &outcome, moment(at)).unwrap();
        id
    };
    let old = ended(COLLECT, 1, 100);
    let later = ended(COLLECT, 2, 200);
    let rehearsed = ended(REHEARSAL, 9, 100);
    let latest = ended(COLLECT, 3, 100);
    let stat = ended(MaintenanceJob::Stat, 4, 100);
    let pending = ask(ports, REHEARSAL, 0);

    let forgotten = ports.maintenance().forget_ended_before(moment(200)).unwrap();

    assert_eq!(forgotten, 2);
    for kept in [later, latest, stat, pending] {
        assert!(ports.maintenance().get(kept).is_ok());
    }
    for gone in [old, rehearsed] {
        assert_not_found(ports.maintenance().get(gone), Resource::Run, gone.as_uuid());
    }
}

/// A lease of nothing is nobody's.
pub fn refuses_a_lease_of_a_run_that_is_not_there(ports: &dyn Ports) {
    let lease = RunLease {
        run: a_run_id(),
        epoch: 1,
    };

    assert_lease_lost(ports.maintenance().renew(&lease, None, moment(1)));
    assert_lease_lost(ports.maintenance().put_back(&lease));
}

fn a_run_id() -> RunId {
    RunId::new(an_organization_id().as_uuid())
}

fn ask(ports: &dyn Ports, job: MaintenanceJob, micros: i64) -> RunId {
    let run = MaintenanceRun::new(a_run_id(), job, AskedBy::Command, moment(micros));
    ports.maintenance().ask(&run).unwrap();
    run.id
}

fn claim(ports: &dyn Ports, micros: i64) -> Option<MaintenanceRun> {
    let expires_at = moment(micros).plus_millis(3_600_000);
    ports
        .maintenance()
        .claim(an_instance(), moment(micros), expires_at)
        .unwrap()
}

fn finish(ports: &dyn Ports, run: &MaintenanceRun) {
    let report = "{}".to_owned();
    let outcome = RunOutcome::Succeeded { report };
    ports.maintenance().finish(&run.lease(), &outcome, moment(100)).unwrap();
}
