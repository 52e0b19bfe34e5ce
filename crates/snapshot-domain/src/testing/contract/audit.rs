//! Rules of the audit trail.

use uuid::Uuid;

use super::{
    Ports,
    world::{World, assert_stale},
};
use crate::{
    Actor, AuditAction, AuditEntry, AuditOutcome, Error, OrganizationId, Resource, Scope, SnapshotChanges, TokenRecord,
    ports::{AuditCursor, AuditQuery, Slice},
    testing::{a_capture, a_snapshot, a_token_record, a_volume, an_audit_entry, an_organization_id, moment, name},
};

fn all(ports: &dyn Ports, organization: OrganizationId) -> Vec<AuditEntry> {
    let query = AuditQuery::all(Scope::new(vec![organization]));
    let entries = ports.audit().list(&query, Slice::first(1000)).unwrap();
    assert_eq!(ports.audit().count(&query).unwrap(), entries.len() as u64);
    entries
}

/// All that was recorded comes back: every word, and who it was.
pub fn keeps_an_entry_as_it_was_recorded(ports: &dyn Ports) {
    let world = World::new(ports);
    let mut recorded: Vec<_> = AuditAction::ALL
        .iter()
        .map(|action| AuditEntry {
            action: *action,
            ..an_audit_entry(world.organization)
        })
        .collect();
    recorded.extend(AuditOutcome::ALL.iter().map(|outcome| AuditEntry {
        outcome: *outcome,
        actor: Actor::Host,
        resource: Some(an_organization_id().as_uuid()),
        ..an_audit_entry(world.organization)
    }));

    for entry in &recorded {
        ports.audit().record(entry).unwrap();
    }

    assert_eq!(all(ports, world.organization), recorded);
}

/// The change and its entry are one; the entry takes on the new thing's id and owner.
pub fn notes_an_act_together_with_what_it_makes(ports: &dyn Ports) {
    let world = World::new(ports);
    let owner = world.another_organization();
    let volume = a_volume(owner).build();
    let entry = an_audit_entry(world.organization);

    ports
        .audit()
        .during(&entry, &mut || ports.volumes().insert(&volume, None))
        .unwrap();

    let noted = AuditEntry {
        organization: owner,
        resource: Some(volume.id().as_uuid()),
        ..entry
    };
    assert_eq!(all(ports, owner), [noted]);
    assert_eq!(all(ports, world.organization), []);
}

/// What was not stored was not done.
pub fn notes_nothing_of_an_act_that_fails(ports: &dyn Ports) {
    let world = World::new(ports);
    let volume = world.volume();
    let nobodys = a_volume(an_organization_id()).id(volume.id()).build();

    let failed = ports.audit().during(&an_audit_entry(world.organization), &mut || {
        ports.volumes().insert(&nobodys, None)
    });
    world.store_volume(a_volume(world.organization));

    assert!(matches!(
        failed,
        Err(Error::AlreadyExists { .. } | Error::NotFound { .. })
    ));
    assert_eq!(all(ports, world.organization), []);
}

/// Somebody else was quicker, and the act is decided anew: it is one act still.
pub fn notes_an_act_once_that_is_tried_again(ports: &dyn Ports) {
    let world = World::new(ports);
    let volume = world.volume();
    let before = world.available(&volume, a_snapshot(world.organization));
    let mut renamed = before.clone();
    let changes = |to: &str| SnapshotChanges {
        name: Some(name(to)),
        ..SnapshotChanges::default()
    };
    assert!(renamed.update(changes("once"), moment(30)));
    let mut too_late = renamed.clone();
    assert!(too_late.update(changes("twice"), moment(30)));
    let entry = AuditEntry {
        resource: Some(before.id().as_uuid()),
        ..an_audit_entry(world.organization)
    };

    let acted = ports.audit().during(&entry, &mut || {
        assert_stale(ports.snapshots().update(&too_late));
        ports.snapshots().update(&renamed)
    });

    acted.unwrap();
    assert_eq!(all(ports, world.organization), [entry]);
}

/// An act of several changes is one act.
pub fn notes_an_act_once_that_stores_several_things(ports: &dyn Ports) {
    let world = World::new(ports);
    let volume = a_volume(world.organization).build();
    let snapshot = a_snapshot(world.organization).of(&volume).build();
    let entry = an_audit_entry(world.organization);

    let acted = ports.audit().during(&entry, &mut || {
        ports.volumes().insert(&volume, None)?;
        ports
            .snapshots()
            .begin(&snapshot, &a_capture(&snapshot).build(), &volume, None)
    });

    acted.unwrap();
    let resource = Some(volume.id().as_uuid());
    assert_eq!(all(ports, world.organization), [AuditEntry { resource, ..entry }]);
}

/// Reading bytes changes nothing, and is noted all the same.
pub fn notes_an_act_by_itself_that_stores_nothing(ports: &dyn Ports) {
    let world = World::new(ports);
    let entry = an_audit_entry(world.organization);

    ports.audit().during(&entry, &mut || Ok(())).unwrap();
    let refused = ports.audit().during(&an_audit_entry(world.organization), &mut || {
        Err(Error::Stale {
            resource: Resource::Volume,
        })
    });

    assert_stale(refused);
    assert_eq!(all(ports, world.organization), [entry]);
}

/// Each kind of change is noted with what was changed and whose it is.
pub fn notes_every_kind_of_change(ports: &dyn Ports) {
    let world = World::new(ports);
    let owner = world.another_organization();
    let volume = world.store_volume(a_volume(owner));
    let snapshot = world.available(&volume, a_snapshot(owner));
    let copying = world.copy_as(&volume, a_snapshot(owner)).snapshot;
    let mut renamed = snapshot.clone();
    let changes = SnapshotChanges {
        name: Some(name("renamed")),
        ..SnapshotChanges::default()
    };
    assert!(renamed.update(changes, moment(30)));
    let forget = crate::Work::ForgetSnapshot {
        snapshot: snapshot.id(),
        domain: snapshot.domain(),
    };
    let forget = crate::testing::a_task(owner, forget).build();
    let token = crate::testing::a_token_record(owner);
    let ids: [Uuid; 6] = [
        snapshot.id().as_uuid(),
        snapshot.id().as_uuid(),
        copying.id().as_uuid(),
        volume.id().as_uuid(),
        token.id.as_uuid(),
        owner.as_uuid(),
    ];

    let during = |act: &mut dyn FnMut() -> crate::Result<()>| {
        let entry = an_audit_entry(world.organization);
        ports.audit().during(&entry, act).unwrap();
    };
    during(&mut || ports.snapshots().update(&renamed));
    during(&mut || ports.snapshots().delete(&renamed, &forget));
    during(&mut || ports.snapshots().cancel(&copying));
    during(&mut || ports.volumes().delete(&world.reread(&volume), None));
    during(&mut || ports.tokens().insert(&token));
    during(&mut || ports.quotas().change_quota(owner, &crate::QuotaChanges::default()));

    let noted = all(ports, owner);
    assert_eq!(
        noted.iter().map(|entry| entry.resource).collect::<Vec<_>>(),
        ids.map(Some)
    );
    assert_eq!(all(ports, world.organization), []);
}

/// Who owned a snapshot until it was moved finds that it was moved, and by whom: it is the same account.
pub fn tells_both_owners_of_a_move(ports: &dyn Ports) {
    let world = World::new(ports);
    let other = world.another_organization();
    let volume = world.volume();
    let before = world.available(&volume, a_snapshot(world.organization));
    let mut moved = before.clone();
    let changes = SnapshotChanges {
        organization: Some(other),
        ..SnapshotChanges::default()
    };
    assert!(moved.update(changes, moment(30)));
    let entry = an_audit_entry(an_organization_id());

    let acted = ports.audit().during(&entry, &mut || ports.snapshots().update(&moved));

    acted.unwrap();
    for organization in [world.organization, other] {
        let resource = Some(before.id().as_uuid());
        let noted = AuditEntry {
            organization,
            resource,
            ..entry.clone()
        };
        assert_eq!(all(ports, organization), [noted]);
    }
}

/// A token concerns everybody whom its account acts for.
pub fn tells_all_organizations_of_a_token(ports: &dyn Ports) {
    let world = World::new(ports);
    let organizations = vec![world.another_organization(), world.organization];
    let token = TokenRecord {
        organizations: organizations.clone(),
        ..a_token_record(world.organization)
    };
    let (made, revoked) = (an_audit_entry(organizations[0]), an_audit_entry(organizations[0]));

    ports
        .audit()
        .during(&made, &mut || ports.tokens().insert(&token))
        .unwrap();
    ports
        .audit()
        .during(&revoked, &mut || ports.tokens().revoke(token.id, moment(9)))
        .unwrap();

    for organization in organizations {
        let noted = all(ports, organization);
        assert_eq!(
            noted.iter().map(|entry| (entry.id, entry.resource)).collect::<Vec<_>>(),
            [made.id, revoked.id].map(|id| (id, Some(token.id.as_uuid())))
        );
    }
}

/// Also where a page ends between what two organizations are told of one act.
pub fn lists_what_several_are_told_of_once_for_each(ports: &dyn Ports) {
    let world = World::new(ports);
    let mut organizations = vec![
        world.another_organization(),
        world.organization,
        world.another_organization(),
    ];
    let told: Vec<_> = (0..3).map(|_| an_audit_entry(world.organization)).collect();
    for entry in &told {
        let token = TokenRecord {
            organizations: organizations.clone(),
            ..a_token_record(world.organization)
        };
        let insert = &mut || ports.tokens().insert(&token);
        ports.audit().during(entry, insert).unwrap();
    }
    organizations.sort_unstable();
    let query = AuditQuery::all(Scope::new(organizations.clone()));
    let list = |slice| ports.audit().list(&query, slice).unwrap();
    let places = |entries: &[AuditEntry]| {
        let place = |entry: &AuditEntry| (entry.id, entry.organization);
        entries.iter().map(place).collect::<Vec<_>>()
    };

    let whole = list(Slice::first(100));

    let expected = told
        .iter()
        .flat_map(|entry| organizations.iter().map(|organization| (entry.id, *organization)));
    assert_eq!(places(&whole), expected.collect::<Vec<_>>());
    for (passed, last) in whole.iter().enumerate() {
        let rest = &whole[passed + 1..];
        assert_eq!(list(Slice::after(AuditCursor::of(last), 100)), rest);
        let skipping = Slice {
            skip: passed as u64 + 1,
            ..Slice::first(100)
        };
        assert_eq!(list(skipping), rest);
    }
}

/// Oldest first, ties by id, each organization's own.
pub fn lists_entries_oldest_first_and_continues_after_a_cursor(ports: &dyn Ports) {
    let world = World::new(ports);
    let other = world.another_organization();
    let at = |organization, micros| AuditEntry {
        at: moment(micros),
        ..an_audit_entry(organization)
    };
    let (late, early, also_late) = (at(world.organization, 7), at(other, 6), at(world.organization, 7));
    for entry in [&also_late, &late, &early] {
        ports.audit().record(entry).unwrap();
    }
    let both = AuditQuery::all(Scope::new(vec![world.organization, other]));

    let list = |slice| ports.audit().list(&both, slice).unwrap();

    assert_eq!(list(Slice::first(10)), [early.clone(), late.clone(), also_late.clone()]);
    let next = list(Slice::after(AuditCursor::of(&early), 1));
    assert_eq!(next, std::slice::from_ref(&late));
    assert_eq!(list(Slice::after(AuditCursor::of(&late), 10)), [also_late]);
    assert_eq!(all(ports, other), [early]);
    assert_eq!(all(ports, an_organization_id()), []);
}

/// By action, resource, token and time, and by all of them at once.
pub fn filters_entries(ports: &dyn Ports) {
    let world = World::new(ports);
    let resource = Some(an_organization_id().as_uuid());
    let wanted = AuditEntry {
        at: moment(5),
        action: AuditAction::VolumeDelete,
        resource,
        ..an_audit_entry(world.organization)
    };
    let Actor::Token { token, .. } = wanted.actor else {
        panic!("the entry is somebody's");
    };
    let another = AuditEntry {
        at: moment(9),
        action: AuditAction::VolumeCreate,
        ..an_audit_entry(world.organization)
    };
    ports.audit().record(&wanted).unwrap();
    ports.audit().record(&another).unwrap();
    let everything = AuditQuery::all(world.scope());
    let check = |query: AuditQuery, expected: &[&AuditEntry]| {
        let found = ports.audit().list(&query, Slice::first(10)).unwrap();
        assert_eq!(found.iter().collect::<Vec<_>>(), expected, "{query:?}");
        assert_eq!(ports.audit().count(&query).unwrap(), expected.len() as u64);
    };

    let (action, token) = (Some(AuditAction::VolumeDelete), Some(token));
    let (since, until) = (Some(moment(5)), Some(moment(9)));
    check(
        AuditQuery {
            action,
            ..everything.clone()
        },
        &[&wanted],
    );
    check(
        AuditQuery {
            resource,
            ..everything.clone()
        },
        &[&wanted],
    );
    check(
        AuditQuery {
            token,
            ..everything.clone()
        },
        &[&wanted],
    );
    check(
        AuditQuery {
            since,
            ..everything.clone()
        },
        &[&wanted, &another],
    );
    check(
        AuditQuery {
            until,
            ..everything.clone()
        },
        &[&wanted],
    );
    check(
        AuditQuery {
            since: until,
            ..everything.clone()
        },
        &[&another],
    );
    check(
        AuditQuery {
            until: since,
            ..everything.clone()
        },
        &[],
    );
    let scope = world.scope();
    check(
        AuditQuery {
            scope,
            action,
            resource,
            token,
            since,
            until,
        },
        &[&wanted],
    );
}

/// Only what is old goes, and not all of it at once.
pub fn forgets_old_entries_in_steps(ports: &dyn Ports) {
    let world = World::new(ports);
    let other = world.another_organization();
    for micros in 0..5 {
        for organization in [world.organization, other] {
            let entry = AuditEntry {
                at: moment(micros),
                ..an_audit_entry(organization)
            };
            ports.audit().record(&entry).unwrap();
        }
    }

    let forget = || ports.audit().forget_before(moment(3), 2).unwrap();

    assert_eq!([forget(), forget(), forget()], [4, 2, 0]);
    for organization in [world.organization, other] {
        let left: Vec<_> = all(ports, organization).iter().map(|entry| entry.at).collect();
        assert_eq!(left, [moment(3), moment(4)]);
    }
}
