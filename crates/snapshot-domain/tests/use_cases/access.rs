//! Organizations and tokens.

use snapshot_domain::{
    Error, OrganizationId, Resource, Right, Role, Token, TokenId,
    ports::TokenRepository,
    testing::{SequentialIds, Services, an_organization_id, moment, name},
    use_case::CreateToken,
};

use crate::story::assert_not_found;

#[test]
fn whoever_shows_a_token_acts_for_its_organizations() {
    let services = Services::default();
    let organization = services.access.create_organization(name("Lighthouse")).unwrap();
    let other = services.access.create_organization(name("Harbour")).unwrap();

    let token = services
        .access
        .create_token(CreateToken::of_admin(name("backups"), organization.id))
        .unwrap();

    let caller = services.access.authenticate(&token.token).unwrap().unwrap();
    assert_eq!(caller.organizations, [organization.id]);
    assert_eq!(caller.token, token.record.id);
    assert!(caller.may(Right::Create).unwrap().act_for(other.id).is_err());
    assert_eq!(services.access.organizations().unwrap(), [organization, other]);
}

#[test]
fn each_token_has_a_secret_and_an_account_of_its_own() {
    let services = Services::default();
    let organization = services.access.create_organization(name("Lighthouse")).unwrap();

    let [first, second] = ["first", "second"].map(|it| {
        services
            .access
            .create_token(CreateToken::of_admin(name(it), organization.id))
            .unwrap()
    });

    assert_ne!(first.token, second.token);
    assert_ne!(first.record.account, second.record.account);
    assert_eq!(first.token.expose(), SequentialIds::nth_secret(1).to_string());
}

#[test]
fn an_unknown_and_a_revoked_token_are_nobodys() {
    let services = Services::default();
    let organization = services.access.create_organization(name("Lighthouse")).unwrap();
    let token = services
        .access
        .create_token(CreateToken::of_admin(name("old"), organization.id))
        .unwrap();

    services.access.revoke_token(token.record.id).unwrap();

    let unknown = Token::from_random(SequentialIds::nth_secret(999));
    assert_eq!(services.access.authenticate(&token.token).unwrap(), None);
    assert_eq!(services.access.authenticate(&unknown).unwrap(), None);
    assert_eq!(services.access.tokens().unwrap()[0].revoked_at, Some(moment(0)));
}

#[test]
fn an_expired_token_is_nobodys() {
    let services = Services::default();
    let organization = services.access.create_organization(name("Lighthouse")).unwrap();
    let command = CreateToken {
        role: Role::Backup,
        expires_at: Some(moment(5_000)),
        ..CreateToken::of_admin(name("for today"), organization.id)
    };
    let token = services.access.create_token(command).unwrap();

    let before = services.access.authenticate(&token.token).unwrap();
    services.clock.advance_millis(5);
    let after = services.access.authenticate(&token.token).unwrap();

    assert_eq!(before.map(|caller| caller.role), Some(Role::Backup));
    assert_eq!(after, None);
}

#[test]
fn what_does_not_exist_is_not_found() {
    let services = Services::default();
    let organization = an_organization_id();
    let token = TokenId::new(SequentialIds::nth_id(999));

    let looked_up = services.access.organization(organization);
    let created = services
        .access
        .create_token(CreateToken::of_admin(name("a token"), organization));
    let revoked = services.access.revoke_token(token);

    assert_not_found(looked_up, Resource::Organization, organization.as_uuid());
    assert_not_found(created, Resource::Organization, organization.as_uuid());
    assert_not_found(revoked, Resource::Token, token.as_uuid());
}

#[test]
fn the_first_start_makes_one_organization_and_one_token_and_later_starts_nothing() {
    let services = Services::default();

    let first = services.access.bootstrap(name("default")).unwrap().unwrap();
    let second = services.access.bootstrap(name("default")).unwrap();

    let caller = services.access.authenticate(&first.token.token).unwrap().unwrap();
    assert_eq!(caller.organizations, [first.organization.id]);
    assert!(second.is_none());
    assert_eq!(services.access.organizations().unwrap(), [first.organization]);
    assert_eq!(services.access.tokens().unwrap().len(), 1);
}

#[test]
fn a_start_after_one_that_died_between_organization_and_token_makes_the_token() {
    let services = Services::default();
    let organization = services.access.create_organization(name("default")).unwrap();

    let bootstrap = services.access.bootstrap(name("default")).unwrap().unwrap();

    let caller = services.access.authenticate(&bootstrap.token.token).unwrap().unwrap();
    assert_eq!(caller.organizations, [organization.id]);
    assert_eq!(services.access.organizations().unwrap(), [organization]);
}

#[test]
fn a_service_whose_tokens_were_all_revoked_makes_no_new_one_by_itself() {
    let services = Services::default();
    let first = services.access.bootstrap(name("default")).unwrap().unwrap();
    services.access.revoke_token(first.token.record.id).unwrap();

    let again = services.access.bootstrap(name("default")).unwrap();

    assert!(again.is_none());
}

#[test]
fn a_configured_token_is_made_once() {
    let services = Services::default();
    let (token, organization) = configured();

    for _ in 0..3 {
        services
            .access
            .ensure(token.clone(), organization, &name("configured"))
            .unwrap();
    }

    let caller = services.access.authenticate(&token).unwrap().unwrap();
    assert_eq!(caller.organizations, [organization]);
    assert_eq!(services.access.tokens().unwrap().len(), 1);
    assert_eq!(services.access.organizations().unwrap().len(), 1);
    assert!(services.access.bootstrap(name("default")).unwrap().is_none());
}

#[test]
fn a_configured_token_that_acts_for_others_is_refused_and_nothing_is_made() {
    let services = Services::default();
    let (token, organization) = configured();
    services
        .access
        .ensure(token.clone(), organization, &name("configured"))
        .unwrap();

    let refused = services
        .access
        .ensure(token.clone(), an_organization_id(), &name("configured"));

    assert!(matches!(
        refused,
        Err(Error::AlreadyExists {
            resource: Resource::Token,
            ..
        })
    ));
    assert_eq!(services.access.organizations().unwrap().len(), 1);
}

#[test]
fn a_configured_token_joins_an_organization_that_is_there() {
    let services = Services::default();
    let organization = services.access.create_organization(name("Lighthouse")).unwrap();
    let (token, _) = configured();

    services
        .access
        .ensure(token.clone(), organization.id, &name("configured"))
        .unwrap();

    let caller = services.access.authenticate(&token).unwrap().unwrap();
    assert_eq!(caller.organizations, [organization.id]);
    assert_eq!(services.access.organizations().unwrap(), [organization]);
}

#[test]
fn a_configured_token_that_was_revoked_stays_revoked() {
    let services = Services::default();
    let (token, organization) = configured();
    services
        .access
        .ensure(token.clone(), organization, &name("configured"))
        .unwrap();
    services
        .access
        .revoke_token(services.access.tokens().unwrap()[0].id)
        .unwrap();

    services
        .access
        .ensure(token.clone(), organization, &name("configured"))
        .unwrap();

    assert_eq!(services.access.authenticate(&token).unwrap(), None);
    assert_eq!(services.access.tokens().unwrap().len(), 1);
}

#[test]
fn nothing_that_can_be_logged_gives_a_secret_away() {
    let services = Services::default();
    let bootstrap = services.access.bootstrap(name("default")).unwrap().unwrap();
    let secret = bootstrap.token.token.expose();
    let caller = services.access.authenticate(&bootstrap.token.token).unwrap();
    let refused = Token::parse(&secret[1..]).unwrap_err();

    let logged = format!(
        "{bootstrap:?} {bootstrap:#?} {caller:?} {:?} {refused} {refused:?}",
        services.access.tokens().unwrap()
    );

    assert!(!logged.contains(&secret), "{logged}");
    assert!(!logged.contains(&secret.replace('-', "")), "{logged}");
    assert!(!logged.contains(&secret[1..]), "{logged}");
}

#[test]
fn a_token_is_stored_only_as_its_hash() {
    let services = Services::default();
    let organization = services.access.create_organization(name("Lighthouse")).unwrap();

    let token = services
        .access
        .create_token(CreateToken::of_admin(name("backups"), organization.id))
        .unwrap();

    let stored = TokenRepository::list(&services.store).unwrap().remove(0);
    let secret = SequentialIds::nth_secret(1);
    assert_eq!(stored.hash, token.token.hash());
    assert_ne!(&stored.hash.as_bytes()[..16], secret.as_bytes());
    assert_ne!(&stored.hash.as_bytes()[16..], secret.as_bytes());
}

fn configured() -> (Token, OrganizationId) {
    let token = Token::parse("6f418e5f-b42d-4423-a0b5-349c74c454a4").unwrap();
    (token, OrganizationId::new(SequentialIds::nth_id(500)))
}
