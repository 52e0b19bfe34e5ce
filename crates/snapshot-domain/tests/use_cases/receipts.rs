//! Requests that carry a key: carried out once, and answered again as they were answered then.

use std::sync::Arc;

use snapshot_domain::{
    Error, IdempotencyKey, KeyedRequest, RevisionCondition, Snapshot, VolumeId,
    testing::{MockReceiptRepository, SequentialIds, a_caller_of, a_request},
    use_case::{Begun, NewTransfer, OfferSnapshot, ReceiptService},
};

use crate::story::{Story, new_restore, new_snapshot, new_volume};

fn receipts(story: &Story) -> ReceiptService {
    ReceiptService::new(
        Arc::new(story.services.store.clone()),
        Arc::new(story.services.clock.clone()),
    )
}

fn key(raw: &str) -> IdempotencyKey {
    IdempotencyKey::parse(raw.as_bytes()).unwrap()
}

fn request(story: &Story, body: &str) -> KeyedRequest {
    ReceiptService::request(&story.owner, &key("k"), &[b"/snapshots", body.as_bytes()])
}

#[test]
fn a_request_that_was_carried_out_is_answered_again_for_24_hours() {
    let story = Story::new();
    let receipts = receipts(&story);
    let request = request(&story, "{}");
    assert_eq!(receipts.recall(&request).unwrap(), None);

    receipts
        .keep(&receipts.receipt(&request, "the answer".to_owned()))
        .unwrap();

    story.services.clock.advance_millis(24 * 3_600_000 - 1);
    assert_eq!(receipts.recall(&request).unwrap().as_deref(), Some("the answer"));
    story.services.clock.advance_millis(1);
    assert_eq!(receipts.recall(&request).unwrap(), None);
}

#[test]
fn a_key_names_one_request_only() {
    let story = Story::new();
    let receipts = receipts(&story);
    let first = request(&story, "{}");
    receipts
        .keep(&receipts.receipt(&first, "the answer".to_owned()))
        .unwrap();

    let other = receipts.recall(&request(&story, "{\"name\": \"x\"}"));

    assert!(matches!(other, Err(Error::KeyReused)), "{other:?}");
}

#[test]
fn a_key_is_the_tokens_own() {
    let story = Story::new();
    let receipts = receipts(&story);
    let mine = request(&story, "{}");
    receipts
        .keep(&receipts.receipt(&mine, "the answer".to_owned()))
        .unwrap();
    let same_organization = a_caller_of(&story.owner.organizations);

    for other in [&story.stranger, &same_organization] {
        let theirs = ReceiptService::request(other, &key("k"), &[b"/snapshots", b"{}"]);
        assert_eq!(receipts.recall(&theirs).unwrap(), None);
        let theirs = ReceiptService::request(other, &key("k"), &[b"/snapshots", b"something else"]);
        assert_eq!(receipts.recall(&theirs).unwrap(), None);
    }
}

#[test]
fn a_snapshot_is_taken_once_under_one_key() {
    let story = Story::new();
    let receipts = receipts(&story);
    let volume = story.volume();
    let command = new_snapshot(&story.owner, volume.id());
    let request = request(&story, "{}");
    let receipt = |begun: &Begun<Snapshot>| receipts.receipt(&request, begun.item.id().to_string());
    let take = || {
        let snapshots = &story.services.snapshots;
        snapshots.create_once(&story.owner, &command, a_request(), Some(&receipt))
    };

    let first = take().unwrap();
    let second = take();

    assert!(matches!(second, Err(Error::AnsweredBefore)), "{second:?}");
    assert_eq!(receipts.recall(&request).unwrap(), Some(first.item.id().to_string()));
    assert_eq!(story.services.store.all_snapshots(), [first.item]);
    assert_eq!(story.services.store.all_tasks(), [first.task]);
}

#[test]
fn a_volume_is_made_once_under_one_key_and_leaves_no_other_bytes() {
    let story = Story::new();
    let receipts = receipts(&story);
    let request = request(&story, "{}");
    let make = || {
        let receipt = |_: &_| receipts.receipt(&request, "the answer".to_owned());
        let volumes = &story.services.volumes;
        volumes.create_once(&story.owner, new_volume(&story.owner), Some(&receipt))
    };

    let first = make().unwrap();
    let second = make();

    assert!(matches!(second, Err(Error::AnsweredBefore)), "{second:?}");
    assert!(story.services.volume_bytes.contains(first.id()));
    assert!(
        !story
            .services
            .volume_bytes
            .contains(VolumeId::new(SequentialIds::nth_id(2)))
    );
    assert_eq!(story.services.store.all_volumes(), [first]);
}

#[test]
fn a_snapshot_is_restored_once_under_one_key() {
    let story = Story::new();
    let receipts = receipts(&story);
    let snapshot = story.available(&story.volume());
    let request = request(&story, "{}");
    let restore = || {
        let receipt = |_: &_| receipts.receipt(&request, "the answer".to_owned());
        let command = new_restore(&story.owner, &snapshot);
        let volumes = &story.services.volumes;
        volumes.restore_once(&story.owner, command, a_request(), Some(&receipt))
    };

    restore().unwrap();
    let second = restore();

    assert!(matches!(second, Err(Error::AnsweredBefore)), "{second:?}");
    assert_eq!(story.unfinished_tasks().len(), 1);
}

#[test]
fn a_snapshot_is_offered_and_accepted_once_under_one_key_each() {
    let story = Story::new();
    let receipts = receipts(&story);
    let snapshot = story.available(&story.volume());
    let transfers = &story.services.transfers;
    let offering = request(&story, "{}");
    let offer = || {
        let receipt = |made: &NewTransfer| receipts.receipt(&offering, made.secret.expose());
        let command = OfferSnapshot {
            snapshot: snapshot.id(),
            receiver: None,
            lasts_ms: 1000,
        };
        transfers.offer_if(&story.owner, command, &RevisionCondition::Any, Some(&receipt))
    };

    let made = offer().unwrap();
    let again = offer();

    assert!(matches!(again, Err(Error::AnsweredBefore)), "{again:?}");
    assert_eq!(receipts.recall(&offering).unwrap(), Some(made.secret.expose()));

    let accepting = ReceiptService::request(&story.stranger, &key("k"), &[b"/transfers"]);
    let receipt = |snapshot: &Snapshot| receipts.receipt(&accepting, snapshot.id().to_string());
    let receiver = story.stranger.organizations[0];
    let accepted = transfers.accept_once(
        &story.stranger,
        made.transfer.id,
        &made.secret,
        receiver,
        Some(&receipt),
    );

    assert_eq!(accepted.unwrap(), story.stored_snapshot(&snapshot));
    assert_eq!(receipts.recall(&accepting).unwrap(), Some(snapshot.id().to_string()));
}

#[test]
fn a_request_that_is_refused_may_be_sent_again_under_its_key() {
    let story = Story::new();
    let receipts = receipts(&story);
    let volume = story.volume();
    let request = request(&story, "{}");
    let receipt = |_: &Begun<Snapshot>| receipts.receipt(&request, "the answer".to_owned());
    let command = new_snapshot(&story.owner, volume.id());
    let writing = story.services.volumes.begin_write(&story.owner, volume.id()).unwrap();
    let take = || {
        let snapshots = &story.services.snapshots;
        snapshots.create_once(&story.owner, &command, a_request(), Some(&receipt))
    };

    let refused = take();
    assert!(matches!(refused, Err(Error::Conflict { .. })), "{refused:?}");
    assert_eq!(receipts.recall(&request).unwrap(), None);

    writing.abandon().unwrap();
    take().unwrap();
    assert_eq!(receipts.recall(&request).unwrap().as_deref(), Some("the answer"));
}

#[test]
fn what_has_expired_is_forgotten_step_by_step() {
    let story = Story::new();
    let mut repository = MockReceiptRepository::new();
    let mut left = u64::from(ReceiptService::STEP) + 1;
    repository.expect_forget_expired().times(2).returning(move |_, limit| {
        let step = left.min(limit.into());
        left -= step;
        Ok(step)
    });
    let receipts = ReceiptService::new(Arc::new(repository), Arc::new(story.services.clock));

    assert!(receipts.forget_expired().unwrap());
    assert!(!receipts.forget_expired().unwrap());
}
