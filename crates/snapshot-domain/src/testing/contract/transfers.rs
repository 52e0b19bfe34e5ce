//! Rules of offers of snapshots.

use super::{
    Ports,
    world::{World, assert_not_found, assert_stale, race},
};
use crate::{
    Actor, AuditEntry, Error, Limit, OrganizationId, OwnLimit, QuotaChanges, Resource, Scope, Snapshot,
    SnapshotChanges, Task, Transfer, Work,
    ports::{AuditQuery, Slice},
    testing::{a_receipt, a_snapshot, a_task, a_transfer, an_audit_entry, an_organization_id, moment, name},
};

/// A snapshot of the first organization, and an offer of it.
fn offered(ports: &dyn Ports, world: &World<'_>) -> (Snapshot, Transfer) {
    let snapshot = world.available(&world.volume(), a_snapshot(world.organization));
    let transfer = a_transfer(&snapshot);
    ports.transfers().offer(&transfer, None).unwrap();
    (snapshot, transfer)
}

/// The snapshot as it is once this organization has it.
fn given(snapshot: &Snapshot, organization: OrganizationId) -> Snapshot {
    let mut given = snapshot.clone();
    let changes = SnapshotChanges {
        organization: Some(organization),
        ..SnapshotChanges::default()
    };
    assert!(given.update(changes, moment(30)));
    given
}

fn removal(snapshot: &Snapshot) -> Task {
    let work = Work::ForgetSnapshot {
        snapshot: snapshot.id(),
        domain: snapshot.domain(),
    };
    a_task(snapshot.organization(), work).build()
}

#[track_caller]
fn assert_gone(ports: &dyn Ports, transfer: &Transfer) {
    let found = ports.transfers().transfer(transfer.id);
    assert_not_found(found, Resource::Transfer, transfer.id.as_uuid());
}

/// All of it comes back, with and without a receiver.
pub fn keeps_an_offer_as_it_was_made(ports: &dyn Ports) {
    let world = World::new(ports);
    for receiver in [None, Some(an_organization_id())] {
        let snapshot = world.available(&world.volume(), a_snapshot(world.organization));
        let transfer = Transfer {
            receiver,
            created_at: moment(-3),
            wrong_secrets: 2,
            ..a_transfer(&snapshot)
        };

        ports.transfers().offer(&transfer, None).unwrap();

        assert_eq!(ports.transfers().transfer(transfer.id).unwrap(), transfer);
    }
}

/// Nobody offers what is gone or somebody else's.
pub fn refuses_an_offer_of_what_is_not_the_givers(ports: &dyn Ports) {
    let world = World::new(ports);
    let snapshot = world.available(&world.volume(), a_snapshot(world.organization));
    let not_theirs = Transfer {
        giver: world.another_organization(),
        ..a_transfer(&snapshot)
    };
    let never_there = a_transfer(&a_snapshot(world.organization).available().build());

    for transfer in [not_theirs, never_there] {
        let refused = ports.transfers().offer(&transfer, None);

        assert_not_found(refused, Resource::Snapshot, transfer.snapshot.as_uuid());
        assert_gone(ports, &transfer);
    }
}

/// A snapshot has one offer at a time: the last.
pub fn puts_an_offer_in_place_of_an_earlier_one(ports: &dyn Ports) {
    let world = World::new(ports);
    let (snapshot, first) = offered(ports, &world);
    let (_, others) = offered(ports, &world);
    let second = a_transfer(&snapshot);

    ports.transfers().offer(&second, None).unwrap();

    assert_gone(ports, &first);
    assert_eq!(ports.transfers().transfer(second.id).unwrap(), second);
    assert_eq!(ports.transfers().transfer(others.id).unwrap(), others);
}

/// The snapshot and its place in the quotas move, its key stays, and the offer is gone.
pub fn gives_an_accepted_snapshot_to_its_new_owner(ports: &dyn Ports) {
    let world = World::new(ports);
    let receiver = world.another_organization();
    let (snapshot, transfer) = offered(ports, &world);
    let given = given(&snapshot, receiver);

    ports.transfers().accept(&transfer, &given, None).unwrap();

    assert_eq!(ports.snapshots().get(snapshot.id()).unwrap(), given);
    assert_eq!(given.domain(), world.organization);
    assert_gone(ports, &transfer);
    let used = |organization| ports.quotas().quota(organization).unwrap().used.snapshots;
    assert_eq!((used(world.organization), used(receiver)), (0, 1));
    let again = ports.transfers().accept(&transfer, &given, None);
    assert_not_found(again, Resource::Transfer, transfer.id.as_uuid());
}

/// A crash can't part an offer from the answer that tells its secret: both are there, or neither.
pub fn keeps_a_receipt_together_with_the_offer_it_tells_of(ports: &dyn Ports) {
    let world = World::new(ports);
    let snapshot = world.available(&world.volume(), a_snapshot(world.organization));
    let (first, second) = (a_transfer(&snapshot), a_transfer(&snapshot));
    let receipt = a_receipt(7);
    let kept = || ports.receipts().find(receipt.id, receipt.kept_at).unwrap();
    let never_there = a_transfer(&a_snapshot(world.organization).available().build());
    let refused = ports.transfers().offer(&never_there, Some(&receipt));
    assert_not_found(refused, Resource::Snapshot, never_there.snapshot.as_uuid());
    assert_eq!(kept(), None);

    ports.transfers().offer(&first, Some(&receipt)).unwrap();
    let again = ports.transfers().offer(&second, Some(&receipt));

    assert!(matches!(again, Err(Error::AnsweredBefore)), "{again:?}");
    assert_eq!(kept(), Some(receipt.clone()));
    assert_eq!(ports.transfers().transfer(first.id).unwrap(), first);
    assert_gone(ports, &second);
}

/// The same for an acceptance. One that is refused leaves no receipt: it may be sent again.
pub fn keeps_a_receipt_together_with_the_acceptance_it_tells_of(ports: &dyn Ports) {
    let world = World::new(ports);
    let receiver = world.another_organization();
    let (snapshot, transfer) = offered(ports, &world);
    let given = given(&snapshot, receiver);
    let receipt = a_receipt(7);
    let kept = || ports.receipts().find(receipt.id, receipt.kept_at).unwrap();
    let never_there = a_transfer(&snapshot);
    let refused = ports.transfers().accept(&never_there, &given, Some(&receipt));
    assert_not_found(refused, Resource::Transfer, never_there.id.as_uuid());
    assert_eq!(kept(), None);

    ports.transfers().accept(&transfer, &given, Some(&receipt)).unwrap();
    let again = ports.transfers().accept(&transfer, &given, Some(&receipt));

    assert!(matches!(again, Err(Error::AnsweredBefore)), "{again:?}");
    assert_eq!(kept(), Some(receipt.clone()));
    assert_eq!(ports.snapshots().get(snapshot.id()).unwrap(), given);
}

/// All of them know the secret, and one gets the snapshot.
pub fn lets_only_one_of_many_racing_acceptances_win(ports: &dyn Ports) {
    let world = World::new(ports);
    let (snapshot, transfer) = offered(ports, &world);
    let receivers: Vec<_> = (0..8).map(|_| world.another_organization()).collect();

    let outcomes = race(8, |n| {
        ports
            .transfers()
            .accept(&transfer, &given(&snapshot, receivers[n]), None)
    });

    let won: Vec<_> = (0..8).filter(|n| outcomes[*n].is_ok()).collect();
    assert_eq!(won.len(), 1, "{outcomes:?}");
    let owner = ports.snapshots().get(snapshot.id()).unwrap().organization();
    assert_eq!(owner, receivers[won[0]]);
    for (n, receiver) in receivers.iter().enumerate() {
        let used = ports.quotas().quota(*receiver).unwrap().used.snapshots;
        assert_eq!(used, u64::from(n == won[0]));
    }
}

/// Whoever has enough may make room, and accept again.
pub fn keeps_an_offer_that_is_accepted_beyond_the_quota(ports: &dyn Ports) {
    let world = World::new(ports);
    let receiver = world.another_organization();
    world.available(&world.volume(), a_snapshot(receiver));
    let (snapshot, transfer) = offered(ports, &world);
    let quota = QuotaChanges {
        snapshots: Some(OwnLimit::Set(Limit::from_number(1))),
        ..QuotaChanges::default()
    };
    ports.quotas().change_quota(receiver, &quota).unwrap();

    let refused = ports.transfers().accept(&transfer, &given(&snapshot, receiver), None);

    assert!(matches!(refused, Err(Error::QuotaExceeded { .. })), "{refused:?}");
    assert_eq!(ports.snapshots().get(snapshot.id()).unwrap(), snapshot);
    assert_eq!(ports.transfers().transfer(transfer.id).unwrap(), transfer);
}

/// A change of the snapshot in the meantime is not lost, and the offer stays.
pub fn does_not_accept_over_a_rename(ports: &dyn Ports) {
    let world = World::new(ports);
    let receiver = world.another_organization();
    let (snapshot, transfer) = offered(ports, &world);
    let mut renamed = snapshot.clone();
    let changes = SnapshotChanges {
        name: Some(name("renamed")),
        ..SnapshotChanges::default()
    };
    assert!(renamed.update(changes, moment(25)));
    ports.snapshots().update(&renamed).unwrap();

    let refused = ports.transfers().accept(&transfer, &given(&snapshot, receiver), None);

    assert_stale(refused);
    assert_eq!(ports.transfers().transfer(transfer.id).unwrap(), transfer);
    ports
        .transfers()
        .accept(&transfer, &given(&renamed, receiver), None)
        .unwrap();
}

/// Each one, also of several at once.
pub fn counts_wrong_secrets(ports: &dyn Ports) {
    let world = World::new(ports);
    let (_, transfer) = offered(ports, &world);

    for counted in race(8, |_| ports.transfers().count_wrong_secret(transfer.id)) {
        counted.unwrap();
    }

    assert_eq!(ports.transfers().transfer(transfer.id).unwrap().wrong_secrets, 8);
    ports.transfers().withdraw(&world.scope(), transfer.id).unwrap();
    ports.transfers().count_wrong_secret(transfer.id).unwrap();
}

/// Nobody else finds it, the receiver included.
pub fn lets_only_the_giver_withdraw_an_offer(ports: &dyn Ports) {
    let world = World::new(ports);
    let receiver = world.another_organization();
    let (snapshot, _) = offered(ports, &world);
    let transfer = Transfer {
        receiver: Some(receiver),
        ..a_transfer(&snapshot)
    };
    ports.transfers().offer(&transfer, None).unwrap();

    let refused = ports.transfers().withdraw(&Scope::new(vec![receiver]), transfer.id);

    assert_not_found(refused, Resource::Transfer, transfer.id.as_uuid());
    ports.transfers().withdraw(&world.scope(), transfer.id).unwrap();
    assert_gone(ports, &transfer);
    let again = ports.transfers().withdraw(&world.scope(), transfer.id);
    assert_not_found(again, Resource::Transfer, transfer.id.as_uuid());
}

/// There is nothing left to give.
pub fn ends_the_offer_of_a_snapshot_that_is_deleted(ports: &dyn Ports) {
    let world = World::new(ports);
    let (snapshot, transfer) = offered(ports, &world);
    let (_, others) = offered(ports, &world);

    ports.snapshots().delete(&snapshot, &removal(&snapshot)).unwrap();

    assert_gone(ports, &transfer);
    assert_eq!(ports.transfers().transfer(others.id).unwrap(), others);
}

/// What the giver does not own any more is not theirs to give.
pub fn ends_the_offer_of_a_snapshot_that_is_given_away(ports: &dyn Ports) {
    let world = World::new(ports);
    let (snapshot, transfer) = offered(ports, &world);

    let given = given(&snapshot, world.another_organization());
    ports.snapshots().update(&given).unwrap();

    assert_gone(ports, &transfer);
}

/// Never both.
pub fn lets_either_the_acceptance_or_the_deletion_win(ports: &dyn Ports) {
    let world = World::new(ports);
    let receiver = world.another_organization();
    for _ in 0..10 {
        let (snapshot, transfer) = offered(ports, &world);

        let outcomes = race(2, |n| {
            if n == 0 {
                ports.transfers().accept(&transfer, &given(&snapshot, receiver), None)
            } else {
                ports.snapshots().delete(&snapshot, &removal(&snapshot))
            }
        });

        assert_eq!(outcomes.iter().filter(|it| it.is_ok()).count(), 1, "{outcomes:?}");
        let left = ports.snapshots().get(snapshot.id());
        assert_eq!(left.is_ok(), outcomes[0].is_ok());
        assert_gone(ports, &transfer);
    }
}

/// Whoever may withdraw it: the organization that made the offer finds that it ended.
pub fn tells_the_giver_of_a_withdrawal(ports: &dyn Ports) {
    let world = World::new(ports);
    let first = world.another_organization();
    let (_, transfer) = offered(ports, &world);
    let entry = an_audit_entry(first);
    let both = Scope::new(vec![first, world.organization]);

    let withdrawn = ports
        .audit()
        .during(&entry, &mut || ports.transfers().withdraw(&both, transfer.id));

    withdrawn.unwrap();
    let noted = ports.audit().list(&AuditQuery::all(both), Slice::first(10)).unwrap();
    let expected = AuditEntry {
        organization: world.organization,
        resource: Some(transfer.id.as_uuid()),
        ..entry
    };
    assert_eq!(noted, [expected]);
}

/// Both find an entry. The giver's does not tell who on the other side acted, nor in which request.
pub fn tells_both_sides_of_an_acceptance(ports: &dyn Ports) {
    let world = World::new(ports);
    let receiver = world.another_organization();
    let (snapshot, transfer) = offered(ports, &world);
    let entry = an_audit_entry(receiver);

    let accepted = ports.audit().during(&entry, &mut || {
        ports.transfers().accept(&transfer, &given(&snapshot, receiver), None)
    });

    accepted.unwrap();
    for organization in [world.organization, receiver] {
        let query = AuditQuery::all(Scope::new(vec![organization]));
        let noted = ports.audit().list(&query, Slice::first(10)).unwrap();
        assert_eq!(noted.len(), 1);
        assert_eq!((noted[0].id, noted[0].organization), (entry.id, organization));
        assert_eq!(noted[0].resource, Some(snapshot.id().as_uuid()));
        let by_receiver = (noted[0].actor, noted[0].request) == (entry.actor, entry.request);
        let by_nobody = noted[0].actor == Actor::Host && noted[0].request != entry.request;
        let is_receivers = organization == receiver;
        assert_eq!((by_receiver, by_nobody), (is_receivers, !is_receivers));
    }
}
