//! Giving snapshots away by offer and acceptance.

use snapshot_domain::{
    Caller, Error, OrganizationId, Resource, Result, Role, Snapshot, Transfer, TransferSecret,
    testing::{SequentialIds, a_request},
    use_case::{NewTransfer, OfferSnapshot},
};

use crate::story::{Story, assert_conflict, assert_not_allowed, assert_not_found};

const AN_HOUR_MS: u32 = 3_600_000;

fn offer(story: &Story, snapshot: &Snapshot, receiver: Option<OrganizationId>) -> NewTransfer {
    let command = OfferSnapshot {
        snapshot: snapshot.id(),
        receiver,
        lasts_ms: AN_HOUR_MS,
    };
    story.services.transfers.offer(&story.owner, command).unwrap()
}

fn accept(story: &Story, caller: &Caller, made: &NewTransfer) -> Result<Snapshot> {
    let organization = caller.organizations[0];
    story
        .services
        .transfers
        .accept(caller, made.transfer.id, &made.secret, organization)
}

#[track_caller]
fn assert_gone<T>(result: Result<T>, transfer: &Transfer) {
    assert_not_found(result, Resource::Transfer, transfer.id.as_uuid());
}

#[test]
fn an_accepted_snapshot_is_its_new_owners_and_stays_under_its_key() {
    let story = Story::new();
    let snapshot = story.available(&story.volume());
    let made = offer(&story, &snapshot, None);

    let accepted = accept(&story, &story.stranger, &made).unwrap();

    assert_eq!(accepted, story.stored_snapshot(&snapshot));
    assert_eq!(accepted.organization(), story.stranger.organizations[0]);
    assert_eq!(accepted.domain(), snapshot.organization());
    assert_gone(accept(&story, &story.stranger, &made), &made.transfer);
}

#[test]
fn an_offer_ends_in_time() {
    let story = Story::new();
    let snapshot = story.available(&story.volume());
    let made = offer(&story, &snapshot, None);

    story.services.clock.advance_millis(AN_HOUR_MS);

    assert_gone(accept(&story, &story.stranger, &made), &made.transfer);
    let transfers = &story.services.transfers;
    assert_gone(transfers.get(&story.owner, made.transfer.id), &made.transfer);
    assert_gone(transfers.withdraw(&story.owner, made.transfer.id), &made.transfer);
}

#[test]
fn an_offer_is_seen_by_its_giver_and_whom_it_names() {
    let story = Story::new();
    let snapshot = story.available(&story.volume());
    let transfers = &story.services.transfers;

    let open = offer(&story, &snapshot, None).transfer;
    assert_eq!(transfers.get(&story.owner, open.id).unwrap(), open);
    assert_gone(transfers.get(&story.stranger, open.id), &open);
    let named = offer(&story, &snapshot, Some(story.stranger.organizations[0])).transfer;

    assert_eq!(transfers.get(&story.stranger, named.id).unwrap(), named);
    assert_gone(transfers.get(&story.owner, open.id), &open);
    assert_gone(transfers.withdraw(&story.stranger, named.id), &named);
    transfers.withdraw(&story.owner, named.id).unwrap();
    assert_gone(transfers.get(&story.stranger, named.id), &named);
}

#[test]
fn too_many_wrong_secrets_end_an_offer_but_not_those_of_whom_it_is_not_for() {
    let story = Story::new();
    let snapshot = story.available(&story.volume());
    let receiver = story.stranger.organizations[0];
    let made = offer(&story, &snapshot, Some(receiver));
    let wrong = NewTransfer {
        secret: TransferSecret::from_random(SequentialIds::nth_secret(999)),
        ..made.clone()
    };
    let meddler = Story::new().stranger;

    for _ in 0..20 {
        assert_gone(accept(&story, &meddler, &wrong), &made.transfer);
    }
    story.services.transfers.get(&story.stranger, made.transfer.id).unwrap();
    for _ in 0..Transfer::MOST_WRONG_SECRETS {
        assert_gone(accept(&story, &story.stranger, &wrong), &made.transfer);
    }

    assert_gone(accept(&story, &story.stranger, &made), &made.transfer);
}

#[test]
fn only_whole_snapshots_of_ones_own_are_offered_and_nobody_takes_what_is_theirs() {
    let story = Story::new();
    let volume = story.volume();
    let whole = story.available(&volume);
    let copying = story.copying(&volume);
    let transfers = &story.services.transfers;
    let command = |snapshot: &Snapshot| OfferSnapshot {
        snapshot: snapshot.id(),
        receiver: None,
        lasts_ms: AN_HOUR_MS,
    };

    let early = transfers.offer(&story.owner, command(&copying));
    let theirs = transfers.offer(&story.stranger, command(&whole));
    let own = accept(&story, &story.owner, &offer(&story, &whole, None));

    assert_conflict(early, Resource::Snapshot, copying.id().as_uuid(), "snapshotting");
    assert_not_found(theirs, Resource::Snapshot, whole.id().as_uuid());
    assert_conflict(own, Resource::Snapshot, whole.id().as_uuid(), "available");
}

#[test]
fn an_offer_is_accepted_for_ones_own_organization_and_with_the_right_to_change() {
    let story = Story::new();
    let snapshot = story.available(&story.volume());
    let made = offer(&story, &snapshot, None);
    let backup = Caller {
        role: Role::Backup,
        ..story.stranger.clone()
    };
    let transfers = &story.services.transfers;

    let elsewhere = transfers.accept(
        &story.stranger,
        made.transfer.id,
        &made.secret,
        story.owner.organizations[0],
    );

    assert_not_allowed(elsewhere);
    assert!(matches!(
        accept(&story, &backup, &made),
        Err(Error::RightMissing { .. })
    ));
    story
        .services
        .snapshots
        .delete(&story.owner, snapshot.id(), a_request())
        .unwrap();
    assert_gone(accept(&story, &story.stranger, &made), &made.transfer);
}

#[test]
fn nothing_that_can_be_logged_gives_an_offers_secret_away() {
    let story = Story::new();
    let snapshot = story.available(&story.volume());

    let made = offer(&story, &snapshot, None);

    assert!(!format!("{made:?} {made:#?}").contains(&made.secret.expose()));
}
