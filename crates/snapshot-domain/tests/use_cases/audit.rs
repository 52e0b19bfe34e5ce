//! Noting who does what.

use std::sync::Arc;

use snapshot_domain::{
    Actor, AuditAction, AuditOutcome, Caller, Error, Resource, Result, Scope,
    ports::{AuditLog, AuditQuery, Slice},
    testing::{ManualClock, MockAuditLog, SequentialIds, a_request, an_organization_id},
    use_case::{AuditService, Deed},
};

use crate::story::{Story, new_snapshot, new_volume};

fn deed(action: AuditAction) -> Deed {
    Deed {
        action,
        resource: None,
        owner: None,
        request: a_request(),
    }
}

fn refusal() -> Error {
    Error::Stale {
        resource: Resource::Volume,
    }
}

#[test]
fn an_act_is_noted_with_who_what_and_which_request() {
    let story = Story::new();
    let services = &story.services;
    let deed = deed(AuditAction::VolumeCreate);

    let create = || services.volumes.create(&story.owner, new_volume(&story.owner));
    let volume = services.audit.act(&story.owner, deed, create).unwrap();

    let query = AuditQuery::all(Scope::new(story.owner.organizations.clone()));
    let noted = services.audit.list(&query, Slice::first(10)).unwrap();
    assert_eq!(services.audit.count(&query).unwrap(), 1);
    assert_eq!(
        noted[0].actor,
        Actor::Token {
            token: story.owner.token,
            account: story.owner.account,
        }
    );
    assert_eq!((noted[0].action, noted[0].outcome), (deed.action, AuditOutcome::Done));
    assert_eq!(
        (noted[0].request, noted[0].resource),
        (deed.request, Some(volume.id().as_uuid()))
    );
}

#[test]
fn what_was_refused_is_noted_and_what_was_answered_before_is_not() {
    let story = Story::new();
    let audit = &story.services.audit;

    let refused = audit.act(
        &story.owner,
        deed(AuditAction::VolumeDelete),
        || Err::<(), _>(refusal()),
    );
    let before = audit.act(&story.owner, deed(AuditAction::VolumeDelete), || {
        Err::<(), _>(Error::AnsweredBefore)
    });

    assert!(matches!(refused, Err(Error::Stale { .. })));
    assert!(matches!(before, Err(Error::AnsweredBefore)));
    let query = AuditQuery::all(Scope::new(story.owner.organizations.clone()));
    let noted = AuditLog::list(&story.services.store, &query, Slice::first(10)).unwrap();
    assert_eq!(noted.len(), 1);
    assert_eq!(noted[0].outcome, AuditOutcome::Conflict);
}

#[test]
fn what_was_handed_over_is_noted_once_and_what_was_refused_then_too() {
    let story = Story::new();
    let audit = &story.services.audit;
    let volume = story.volume();
    let query = AuditQuery::all(Scope::new(story.owner.organizations.clone()));
    let outcomes = || {
        let noted = audit.list(&query, Slice::first(10)).unwrap();
        noted.iter().map(|entry| entry.outcome).collect::<Vec<_>>()
    };

    let command = new_snapshot(&story.owner, volume.id());
    let (done, begun) = audit.begin(&story.owner, deed(AuditAction::SnapshotCreate), || {
        let snapshots = &story.services.snapshots;
        snapshots.create_and_tell(&story.owner, &command, a_request(), None, |_| ())
    });
    audit.end(&done, begun).unwrap();
    assert_eq!(outcomes(), [AuditOutcome::Done]);

    let (refused, begun) = audit.begin(&story.owner, deed(AuditAction::SnapshotCreate), || Err(refusal()));
    assert!(audit.end(&refused, begun).is_err());
    assert_eq!(outcomes(), [AuditOutcome::Done, AuditOutcome::Conflict]);
}

#[test]
fn what_changes_nothing_is_told_to_the_owner_among_the_callers_organizations_and_to_nobody_else() {
    let story = Story::new();
    let (first, second) = (an_organization_id(), an_organization_id());
    let caller = Caller {
        organizations: vec![first, second],
        ..story.owner.clone()
    };
    let audit = &story.services.audit;
    let told = |organization| {
        let query = AuditQuery::all(Scope::new(vec![organization]));
        audit.list(&query, Slice::first(10)).unwrap().len()
    };

    let reading = deed(AuditAction::VolumeRead);
    audit.act(&caller, reading.of(Some(second)), || Ok(())).unwrap();
    assert_eq!((told(first), told(second)), (0, 1));

    let refused = audit.act(&caller, reading.of(Some(second)), || Err::<(), _>(refusal()));
    assert!(refused.is_err());
    assert_eq!((told(first), told(second)), (0, 2));

    let theirs = an_organization_id();
    audit.act(&caller, reading.of(Some(theirs)), || Ok(())).unwrap();
    audit.act(&caller, reading, || Ok(())).unwrap();
    assert_eq!((told(first), told(second), told(theirs)), (2, 2, 0));
}

fn over(log: MockAuditLog) -> AuditService {
    AuditService::new(
        Arc::new(log),
        Arc::new(ManualClock::default()),
        Arc::new(SequentialIds::default()),
    )
}

#[test]
fn what_can_not_be_noted_is_not_answered_as_done() {
    let mut log = MockAuditLog::new();
    log.expect_during()
        .returning(|_, _| Err(Error::unavailable("the disk is on fire")));
    log.expect_record()
        .returning(|_| Err(Error::unavailable("the disk is on fire")));

    let done = over(log).act(&Story::new().owner, deed(AuditAction::VolumeRead), || Ok(()));

    assert!(matches!(done, Err(Error::Unavailable { .. })), "{done:?}");
}

#[test]
fn a_refusal_that_can_not_be_noted_is_not_answered() {
    let mut log = MockAuditLog::new();
    log.expect_during().returning(|_, act| act());
    log.expect_record()
        .returning(|_| Err(Error::unavailable("the disk is on fire")));

    let refused: Result<()> = over(log).act(&Story::new().owner, deed(AuditAction::VolumeRead), || Err(refusal()));

    assert!(matches!(refused, Err(Error::Unavailable { .. })), "{refused:?}");
}
