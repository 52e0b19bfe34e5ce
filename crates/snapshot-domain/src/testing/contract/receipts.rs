//! Receipts: what was answered to requests that carry a key.

use std::sync::Barrier;

use super::{Ports, world::World};
use crate::{
    Error, Receipt, Snapshot, Task,
    ports::SnapshotCursor,
    testing::{a_capture, a_receipt, a_restore, a_snapshot, a_volume, moment},
};

/// Everything of a receipt comes back until it expires.
pub fn keeps_a_receipt_as_it_was_stored(ports: &dyn Ports) {
    let receipt = a_receipt(7);

    ports.receipts().keep(&receipt).unwrap();

    let before = moment(1_006);
    assert_eq!(ports.receipts().find(receipt.id, before).unwrap(), Some(receipt));
}

/// Nobody is answered with what somebody else was answered.
pub fn finds_no_receipt_of_another_id(ports: &dyn Ports) {
    ports.receipts().keep(&a_receipt(7)).unwrap();

    let other = a_receipt(8);
    assert_eq!(ports.receipts().find(other.id, other.kept_at).unwrap(), None);
}

/// What has expired counts as if it had never been, also before it is removed.
pub fn finds_no_receipt_that_has_expired(ports: &dyn Ports) {
    let receipt = a_receipt(7);
    ports.receipts().keep(&receipt).unwrap();

    assert_eq!(ports.receipts().find(receipt.id, receipt.expires_at).unwrap(), None);
}

/// The first answer stands.
pub fn refuses_a_second_receipt_of_the_same_id(ports: &dyn Ports) {
    let first = a_receipt(7);
    ports.receipts().keep(&first).unwrap();
    let second = Receipt {
        answer: "another answer".to_owned(),
        ..first.clone()
    };

    let kept = ports.receipts().keep(&second);

    assert!(matches!(kept, Err(Error::AnsweredBefore)), "{kept:?}");
    assert_eq!(ports.receipts().find(first.id, first.kept_at).unwrap(), Some(first));
}

/// A key can be used again once its receipt has expired, even if nobody has removed that yet.
pub fn keeps_a_receipt_in_place_of_one_that_has_expired(ports: &dyn Ports) {
    let first = a_receipt(7);
    ports.receipts().keep(&first).unwrap();
    let second = Receipt {
        answer: "another answer".to_owned(),
        kept_at: first.expires_at,
        expires_at: moment(9_000),
        ..first.clone()
    };

    ports.receipts().keep(&second).unwrap();

    assert_eq!(ports.receipts().find(first.id, second.kept_at).unwrap(), Some(second));
}

/// What has expired goes in steps, the oldest first; what has not stays.
pub fn forgets_receipts_that_have_expired_in_steps(ports: &dyn Ports) {
    let receipts: Vec<_> = (1..=5).map(a_receipt).collect();
    for receipt in receipts.iter().rev() {
        ports.receipts().keep(receipt).unwrap();
    }
    let is_there = |receipt: &Receipt| ports.receipts().find(receipt.id, receipt.kept_at).unwrap().is_some();
    let fourth = receipts[3].expires_at;

    assert_eq!(ports.receipts().forget_expired(fourth, 3).unwrap(), 3);
    let left: Vec<_> = receipts.iter().filter(|it| is_there(it)).cloned().collect();
    assert_eq!(left, receipts[3..]);
    assert_eq!(ports.receipts().forget_expired(fourth, 3).unwrap(), 1);
    assert_eq!(ports.receipts().forget_expired(fourth, 3).unwrap(), 0);
    assert!(is_there(&receipts[4]));
}

/// A crash can't part a snapshot from the answer that tells of it: both are there, or neither.
pub fn keeps_a_receipt_together_with_the_snapshot_it_tells_of(ports: &dyn Ports) {
    let world = World::new(ports);
    let volume = world.volume();
    let (snapshot, task) = a_copy(&world, &volume);
    let receipt = a_receipt(7);

    ports
        .snapshots()
        .begin(&snapshot, &task, &volume, Some(&receipt))
        .unwrap();

    assert_eq!(
        ports.receipts().find(receipt.id, receipt.kept_at).unwrap(),
        Some(receipt.clone())
    );

    let (second, task) = a_copy(&world, &volume);
    let begun = ports.snapshots().begin(&second, &task, &volume, Some(&receipt));

    assert!(matches!(begun, Err(Error::AnsweredBefore)), "{begun:?}");
    assert!(matches!(
        ports.snapshots().get(second.id()),
        Err(Error::NotFound { .. })
    ));
    assert!(matches!(ports.tasks().get(task.id()), Err(Error::NotFound { .. })));
    assert_eq!(world.copies(&volume), 1);
}

/// A request that is refused leaves no receipt: it may be sent again.
pub fn keeps_no_receipt_of_a_snapshot_that_could_not_begin(ports: &dyn Ports) {
    let world = World::new(ports);
    let volume = world.volume();
    let gone = a_volume(world.organization).build();
    let (snapshot, task) = a_copy(&world, &gone);
    let receipt = a_receipt(7);

    let begun = ports.snapshots().begin(&snapshot, &task, &gone, Some(&receipt));

    assert!(matches!(begun, Err(Error::Stale { .. })), "{begun:?}");
    assert_eq!(ports.receipts().find(receipt.id, receipt.kept_at).unwrap(), None);
    let (snapshot, task) = a_copy(&world, &volume);
    ports
        .snapshots()
        .begin(&snapshot, &task, &volume, Some(&receipt))
        .unwrap();
}

/// The same for volumes of zeros.
pub fn keeps_a_receipt_together_with_the_volume_it_tells_of(ports: &dyn Ports) {
    let world = World::new(ports);
    let first = a_volume(world.organization).build();
    let second = a_volume(world.organization).build();
    let receipt = a_receipt(7);

    ports.volumes().insert(&first, Some(&receipt)).unwrap();
    let inserted = ports.volumes().insert(&second, Some(&receipt));

    assert!(matches!(inserted, Err(Error::AnsweredBefore)), "{inserted:?}");
    assert!(matches!(ports.volumes().get(second.id()), Err(Error::NotFound { .. })));
    assert_eq!(
        ports.receipts().find(receipt.id, receipt.kept_at).unwrap(),
        Some(receipt)
    );
}

/// The same for volumes that are filled from a snapshot.
pub fn keeps_a_receipt_together_with_the_restore_it_tells_of(ports: &dyn Ports) {
    let world = World::new(ports);
    let snapshot = world.available(&world.volume(), a_snapshot(world.organization));
    let restore = || {
        let volume = a_volume(world.organization).restoring(snapshot.id()).build();
        let task = a_restore(&volume, &snapshot).build();
        (volume, task)
    };
    let receipt = a_receipt(7);
    let (first, first_task) = restore();
    let (second, second_task) = restore();

    ports
        .volumes()
        .begin_restore(&first, &first_task, Some(&receipt))
        .unwrap();
    let begun = ports.volumes().begin_restore(&second, &second_task, Some(&receipt));

    assert!(matches!(begun, Err(Error::AnsweredBefore)), "{begun:?}");
    assert!(matches!(ports.volumes().get(second.id()), Err(Error::NotFound { .. })));
    assert!(matches!(
        ports.tasks().get(second_task.id()),
        Err(Error::NotFound { .. })
    ));
}

/// Of many requests at once under one key, one makes a snapshot, and all others are told that it did.
pub fn lets_only_one_of_many_racing_requests_under_one_key_make_something(ports: &dyn Ports) {
    const RACERS: usize = 8;
    let world = World::new(ports);
    let volume = world.volume();
    let receipt = a_receipt(7);
    let copies: Vec<_> = (0..RACERS).map(|_| a_copy(&world, &volume)).collect();
    let start = Barrier::new(RACERS);

    let outcomes: Vec<_> = std::thread::scope(|scope| {
        let racers: Vec<_> = copies
            .iter()
            .map(|(snapshot, task)| {
                let (start, volume, receipt) = (&start, &volume, &receipt);
                scope.spawn(move || {
                    start.wait();
                    ports.snapshots().begin(snapshot, task, volume, Some(receipt))
                })
            })
            .collect();
        racers.into_iter().map(|racer| racer.join().unwrap()).collect()
    });

    let made = outcomes.iter().filter(|it| it.is_ok()).count();
    let told = outcomes
        .iter()
        .filter(|it| matches!(it, Err(Error::AnsweredBefore)))
        .count();
    assert_eq!((made, told), (1, RACERS - 1), "{outcomes:?}");
    assert_eq!(world.copies(&volume), 1);
    let mut stored: Vec<SnapshotCursor> = Vec::new();
    for (snapshot, _) in &copies {
        stored.extend(
            ports
                .snapshots()
                .get(snapshot.id())
                .ok()
                .as_ref()
                .map(SnapshotCursor::of),
        );
    }
    assert_eq!(stored.len(), 1);
}

fn a_copy(world: &World<'_>, volume: &crate::Volume) -> (Snapshot, Task) {
    let snapshot = a_snapshot(world.organization).of(volume).build();
    let task = a_capture(&snapshot).build();
    (snapshot, task)
}
