//! Random operations of several callers and workers, in any order, with workers that stall and die. After each one the
//! rows have to make sense, and whatever is left undone in the end can be finished.

#![expect(clippy::unwrap_used, reason = "what the tests share panics when a test fails")]

mod invariants;
mod operation;
mod world;

use proptest::{collection::vec, prelude::*};

use operation::operation;
use world::World;

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(256) })]

    #[test]
    fn no_sequence_of_operations_leads_to_rows_that_contradict_each_other(operations in vec(operation(), 1..120)) {
        let mut world = World::new();

        for operation in operations {
            world.perform(operation);
            world.check();
        }
        world.finish_everything();

        world.check();
        world.check_nothing_is_left_to_do();
    }
}
