//! The real code against a reference: copies, some of them open for a while, deletions, collections and restarts in
//! random order, with ports that fail or stop the machine at random calls, lose what was not synced, and leave torn objects
//! under their names. After each step every copy that was committed reads back, the census equals a recount from scratch,
//! and what is torn is told as such and nothing else is; in the end no pack is left that nothing needs, and nothing is torn.
//!
//! `SNAPSHOT_RANDOM_RUNS` says how many runs there are, `SNAPSHOT_RANDOM_SEED` with which they begin.
#![expect(clippy::unwrap_used, reason = "what prepares a test fails like the test itself")]

mod content;
mod dice;
mod house;
mod recount;
mod torn;

use dice::Dice;
use house::House;
use snapshot_vault::CollectionEnd;
use snapshot_vault::testing::Fault;

const DEFAULT_RUNS: u64 = 1000;
const STEPS: u64 = 14;
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
    let (mut torn_packs, mut torn_manifests, mut refused) = (0, 0, 0);
    for seed in first..first + runs {
        let mut house = House::new(seed);
        for _ in 0..STEPS {
            house.step();
        }
        house.end();
        crashes += house.crashes;
        collected += house.collected;
        torn_packs += house.torn_packs;
        torn_manifests += house.torn_manifests;
        refused += house.refused;
    }
    println!(
        "{runs} runs of {STEPS} steps, {crashes} crashes, {collected} packs removed, {torn_packs} packs and \
         {torn_manifests} manifests torn, {refused} collections refused for these"
    );
    let is_much = crashes > 100 && collected > 300 && torn_packs > 100 && torn_manifests > 100 && refused > 50;
    assert!(runs < DEFAULT_RUNS || is_much, "the test does too little");
}

/// A collection that deletes, rewrites and keeps packs, and finishes what an earlier one had dropped, fails once at each
/// call of each port.
#[test]
fn a_collection_that_fails_at_any_call_is_finished_by_the_next() {
    let (calls, names_given) = {
        let mut house = House::with_work_for_a_collection(7);
        let mishaps = house.mishaps.clone();
        let before = (mishaps.calls(), mishaps.names_given());
        let done = house.collect_undisturbed().unwrap();
        assert_eq!(done.end, CollectionEnd::Done);
        assert!(done.deleted >= 4 && done.rewritten >= 1, "{done:?}");
        (mishaps.calls() - before.0, mishaps.names_given() - before.1)
    };
    assert!(calls > 50 && names_given > 0, "{calls}, {names_given}");
    let faults: Vec<(u64, Fault)> = Fault::everywhere(calls, names_given).collect();
    println!(
        "a collection of {calls} calls, {names_given} of which give an object its name, failed in {} ways",
        faults.len()
    );

    for (nth, fault) in faults {
        let mut house = House::with_work_for_a_collection(7);
        house.mishaps.plan(nth, fault);

        let _may_have_failed = house.collect_undisturbed();

        if house.mishaps.has_crashed() {
            house.restart(&mut Dice::new(nth));
        }
        house.mishaps.restart();
        house.check();
        house.verify();
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
