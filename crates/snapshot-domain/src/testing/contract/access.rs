//! Rules of organizations and tokens.

use super::{
    Ports,
    world::{World, assert_exists_already, assert_not_found, race},
};
use crate::{
    Organization, OrganizationId, Resource, Role, Token, TokenId, TokenRecord,
    ports::SnapshotQuery,
    testing::{a_token_record, an_organization, an_organization_id, moment, name},
};

/// All that was stored comes back, to the microsecond and the last character.
pub fn keeps_an_organization_as_it_was_stored(ports: &dyn Ports) {
    let organization = Organization {
        name: name("Übergroße Sicherungen 東京 🗄"),
        created_at: moment(-123_457),
        ..an_organization()
    };

    ports.organizations().insert(&organization).unwrap();

    assert_eq!(ports.organizations().list().unwrap(), [organization]);
}

/// Oldest first, ties by id.
pub fn lists_organizations_oldest_first_with_ties_by_id(ports: &dyn Ports) {
    let at = |micros| Organization {
        created_at: moment(micros),
        ..an_organization()
    };
    let (late, early, also_late) = (at(7), at(6), at(7));

    for organization in [&also_late, &late, &early] {
        ports.organizations().insert(organization).unwrap();
    }

    assert_eq!(ports.organizations().list().unwrap(), [early, late, also_late]);
}

/// The one that is there stays.
pub fn refuses_an_organization_whose_id_is_taken(ports: &dyn Ports) {
    let first = an_organization();
    ports.organizations().insert(&first).unwrap();

    let second = ports.organizations().insert(&Organization {
        name: name("somebody else"),
        ..first.clone()
    });

    assert_exists_already(second);
    assert_eq!(ports.organizations().list().unwrap(), [first]);
}

/// All that is kept of a token comes back, and whoever shows it is known.
pub fn keeps_a_token_as_it_was_stored(ports: &dyn Ports) {
    let world = World::new(ports);
    let record = TokenRecord {
        name: name("Sicherung 'nightly' \\ 夜"),
        created_at: moment(1),
        ..a_token_record(world.organization)
    };

    ports.tokens().insert(&record).unwrap();

    let caller = ports.tokens().caller(&record.hash, moment(100)).unwrap().unwrap();
    assert_eq!((caller.token, caller.account), (record.id, record.account));
    assert_eq!(caller.organizations, [world.organization]);
    assert_eq!(ports.tokens().list().unwrap(), [record]);
}

/// Oldest first, ties by id.
pub fn lists_tokens_oldest_first_with_ties_by_id(ports: &dyn Ports) {
    let world = World::new(ports);
    let at = |micros| TokenRecord {
        created_at: moment(micros),
        ..a_token_record(world.organization)
    };
    let (late, early, also_late) = (at(7), at(6), at(7));

    for token in [&also_late, &late, &early] {
        ports.tokens().insert(token).unwrap();
    }

    assert_eq!(ports.tokens().list().unwrap(), [early, late, also_late]);
}

/// A hash that was never stored belongs to nobody.
pub fn knows_nobody_by_an_unknown_token(ports: &dyn Ports) {
    let world = World::new(ports);
    ports.tokens().insert(&a_token_record(world.organization)).unwrap();

    let caller = ports
        .tokens()
        .caller(&Token::from_random(an_organization_id().as_uuid()).hash(), moment(100));

    assert_eq!(caller.unwrap(), None);
}

/// Whichever of its tokens is shown, an account acts for the organizations of all of them.
pub fn lets_an_account_act_for_the_organizations_of_all_its_tokens(ports: &dyn Ports) {
    let world = World::new(ports);
    let both = sorted(vec![world.organization, world.another_organization()]);
    let first = a_token_record(both[0]);
    let second = TokenRecord {
        account: first.account,
        organizations: both.clone(),
        ..a_token_record(both[1])
    };

    ports.tokens().insert(&first).unwrap();
    ports.tokens().insert(&second).unwrap();

    for token in [&first, &second] {
        let caller = ports.tokens().caller(&token.hash, moment(100)).unwrap().unwrap();
        assert_eq!(sorted(caller.organizations), both);
    }
    for listed in ports.tokens().list().unwrap() {
        assert_eq!(sorted(listed.organizations), both);
    }
}

/// The first of them is the one that is meant where nothing says which.
pub fn keeps_the_order_of_a_tokens_organizations(ports: &dyn Ports) {
    let world = World::new(ports);
    let mut descending = sorted(vec![
        world.organization,
        world.another_organization(),
        world.another_organization(),
    ]);
    descending.reverse();
    let token = TokenRecord {
        organizations: descending.clone(),
        ..a_token_record(world.organization)
    };

    ports.tokens().insert(&token).unwrap();

    let caller = ports.tokens().caller(&token.hash, moment(100)).unwrap().unwrap();
    assert_eq!(caller.organizations, descending);
    assert_eq!(ports.tokens().list().unwrap(), [token]);
}

/// Accounts do not share organizations because they are stored side by side.
pub fn keeps_accounts_apart(ports: &dyn Ports) {
    let world = World::new(ports);
    let ours = a_token_record(world.organization);
    let theirs = a_token_record(world.another_organization());

    ports.tokens().insert(&ours).unwrap();
    ports.tokens().insert(&theirs).unwrap();

    let caller = ports.tokens().caller(&ours.hash, moment(100)).unwrap().unwrap();
    assert_eq!(caller.organizations, ours.organizations);
}

/// A taken id or hash is refused, and the account gains nothing by it.
pub fn refuses_a_token_whose_id_or_hash_is_taken(ports: &dyn Ports) {
    let world = World::new(ports);
    let other = world.another_organization();
    let first = a_token_record(world.organization);
    ports.tokens().insert(&first).unwrap();

    let same_id = ports.tokens().insert(&TokenRecord {
        id: first.id,
        account: first.account,
        ..a_token_record(other)
    });
    let same_hash = ports.tokens().insert(&TokenRecord {
        hash: first.hash,
        account: first.account,
        ..a_token_record(other)
    });

    assert_exists_already(same_id);
    assert_exists_already(same_hash);
    assert_eq!(ports.tokens().list().unwrap(), [first]);
}

/// A token for an organization that is not there is not stored, and neither is its account.
pub fn refuses_a_token_for_an_organization_that_is_not_there(ports: &dyn Ports) {
    let world = World::new(ports);
    let missing = an_organization_id();
    let record = TokenRecord {
        organizations: vec![world.organization, missing],
        ..a_token_record(world.organization)
    };

    let refused = ports.tokens().insert(&record);

    assert_not_found(refused, Resource::Organization, missing.as_uuid());
    assert_eq!(ports.tokens().list().unwrap(), []);
    assert_eq!(ports.tokens().caller(&record.hash, moment(100)).unwrap(), None);
    let same_account = TokenRecord {
        account: record.account,
        ..a_token_record(world.organization)
    };
    ports.tokens().insert(&same_account).unwrap();
    assert_eq!(ports.tokens().list().unwrap(), [same_account]);
}

/// A revoked token stays in the list, and opens nothing; others of its account still do.
pub fn takes_a_revoked_token_no_longer(ports: &dyn Ports) {
    let world = World::new(ports);
    let revoked = a_token_record(world.organization);
    let kept = TokenRecord {
        account: revoked.account,
        ..a_token_record(world.organization)
    };
    ports.tokens().insert(&revoked).unwrap();
    ports.tokens().insert(&kept).unwrap();

    ports.tokens().revoke(revoked.id, moment(5)).unwrap();

    assert_eq!(ports.tokens().caller(&revoked.hash, moment(100)).unwrap(), None);
    assert!(ports.tokens().caller(&kept.hash, moment(100)).unwrap().is_some());
    let listed = ports.tokens().list().unwrap();
    assert_eq!(listed[0].revoked_at, Some(moment(5)));
    assert_eq!(listed[1].revoked_at, None);
}

/// Each role comes back, with the token and with whoever shows it.
pub fn keeps_every_role_of_tokens(ports: &dyn Ports) {
    let world = World::new(ports);
    for role in Role::ALL {
        let record = TokenRecord {
            role,
            ..a_token_record(world.organization)
        };

        ports.tokens().insert(&record).unwrap();

        let caller = ports.tokens().caller(&record.hash, moment(100)).unwrap();
        assert_eq!(caller.map(|caller| caller.role), Some(role));
        assert!(ports.tokens().list().unwrap().contains(&record));
    }
}

/// A token opens nothing from the moment on at which it expires, and stays in the list.
pub fn takes_an_expired_token_no_longer(ports: &dyn Ports) {
    let world = World::new(ports);
    let record = TokenRecord {
        expires_at: Some(moment(7)),
        ..a_token_record(world.organization)
    };

    ports.tokens().insert(&record).unwrap();

    let is_known = |micros| ports.tokens().caller(&record.hash, moment(micros)).unwrap().is_some();
    assert!(is_known(6));
    assert!(!is_known(7) && !is_known(8));
    assert_eq!(ports.tokens().list().unwrap(), [record]);
}

/// Revoking again is no error, and changes nothing.
pub fn keeps_the_first_moment_when_a_token_is_revoked_again(ports: &dyn Ports) {
    let world = World::new(ports);
    let record = a_token_record(world.organization);
    ports.tokens().insert(&record).unwrap();

    ports.tokens().revoke(record.id, moment(5)).unwrap();
    ports.tokens().revoke(record.id, moment(9)).unwrap();

    assert_eq!(ports.tokens().list().unwrap()[0].revoked_at, Some(moment(5)));
}

/// What is not there can't be revoked.
pub fn does_not_revoke_a_token_that_is_not_there(ports: &dyn Ports) {
    let missing = TokenId::new(an_organization_id().as_uuid());

    let refused = ports.tokens().revoke(missing, moment(5));

    assert_not_found(refused, Resource::Token, missing.as_uuid());
}

/// Of many that store the same organization, one does.
pub fn lets_only_one_of_many_racing_inserts_of_an_id_win(ports: &dyn Ports) {
    let organization = an_organization();

    let outcomes = race(8, |_| ports.organizations().insert(&organization));

    let (won, lost): (Vec<_>, Vec<_>) = outcomes.into_iter().partition(Result::is_ok);
    assert_eq!(won.len(), 1);
    lost.into_iter().for_each(assert_exists_already);
}

/// Nothing that was never stored is made up.
pub fn is_empty_at_first(ports: &dyn Ports) {
    let world = World::new(ports);

    assert_eq!(ports.tokens().list().unwrap(), []);
    assert_eq!(ports.packs().list(None, 10).unwrap(), []);
    assert_eq!(ports.snapshots().count(&SnapshotQuery::all(world.scope())).unwrap(), 0);
    assert_eq!(ports.volumes().saving().unwrap(), []);
}

fn sorted(mut organizations: Vec<OrganizationId>) -> Vec<OrganizationId> {
    organizations.sort_unstable();
    organizations
}
