//! The real code against a reference: copies, some of them open for a while, deletions, collections and restarts in
//! random order, with ports that fail or stop the machine at random calls. After each step every copy that was committed
//! reads back, and the census equals a recount from scratch; in the end no pack is left that nothing needs.
//!
//! `SNAPSHOT_RANDOM_RUNS` says how many runs there are, `SNAPSHOT_RANDOM_SEED` with which they begin.
#![expect(clippy::unwrap_used, reason = "what prepares a test fails like the test itself")]

mod house;
mod recount;

use house::{Dice, House};
use snapshot_vault::CollectionEnd;
use snapshot_vault::testing::Fault;

const DEFAULT_RUNS: u64 = 1000;
const STEPS: u64 = 14;
const FAULTS: [Fault; 4] = [
    Fault::FailBefore,
    Fault::FailAfter,
    Fault::CrashBefore,
    Fault::CrashAfter,
];

fn from_environment(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |value| value.parse().unwrap())
}

#[test]
fn whatever_happens_in_whatever_order_no_committed_copy_loses_anything() {
    let (first, runs) = (
        from_environment("SNAPSHOT_RANDOM_SEED", 1),
        from_environment("SNAPSHOT_RANDOM_RUNS", DEFAULT_RUNS),
    );
    let (mut crashes, mut collected) = (0, 0);
    for seed in first..first + runs {
        let mut house = House::new(seed);
        for _ in 0..STEPS {
            house.step();
        }
        house.end();
        crashes += house.crashes;
        collected += house.collected;
    }
    println!("{runs} runs of {STEPS} steps, {crashes} crashes, {collected} packs removed");
    assert!(
        runs < DEFAULT_RUNS || (crashes > 100 && collected > 300),
        "the test does too little"
    );
}

/// A collection that deletes, rewrites and keeps packs, and finishes what an earlier one had dropped, fails once at each
/// call of each port.
#[test]
fn a_collection_that_fails_at_any_call_is_finished_by_the_next() {
    let calls = {
        let mut house = House::with_work_for_a_collection(7);
        let before = house.mishaps.calls();
        assert_eq!(house.collect().unwrap().end, CollectionEnd::Done);
        house.mishaps.calls() - before
    };
    assert!(calls > 50, "{calls}");
    println!(
        "a collection of {calls} calls, failed at each of them in {} ways",
        FAULTS.len()
    );

    for (nth, fault) in (0..calls).flat_map(|nth| FAULTS.map(|fault| (nth, fault))) {
        let mut house = House::with_work_for_a_collection(7);
        house.mishaps.plan(nth, fault);

        let _may_have_failed = house.collect();

        if house.mishaps.has_crashed() {
            house.restart(&mut Dice::new(nth));
        }
        house.mishaps.restart();
        house.check();
        house.end();
    }
}

/// Real threads, so that nobody chooses the order.
#[test]
fn copies_and_deletions_beside_collections_lose_nothing() {
    let mut house = House::new(3).rush();

    house.check();
    house.end();
}
