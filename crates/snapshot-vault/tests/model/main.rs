//! The protocol of collection as a small model, explored exhaustively: two copies, one of them with a parent that may be
//! deleted, and a collection; beside it a second one that takes over while the first goes on, or a lease that is lost while
//! its copy runs, or a crash and another collection; all in every order. And the proof that the model can find a
//! violation: without any one of the safeguards it does.
mod collector;
mod copier;
mod world;

use std::collections::HashSet;
use world::{Bounds, Rules, World};

/// Visits all states that can be reached. Returns how many there are, or the steps to one in which an available
/// snapshot misses its chunk.
fn explore(rules: Rules, bounds: Bounds) -> Result<usize, Vec<&'static str>> {
    let start = World::new(bounds);
    let mut seen: HashSet<World> = HashSet::from([start]);
    // Each with the number of the state it came from and the name of the step, to tell the way.
    let mut found: Vec<(World, usize, &'static str)> = vec![(start, 0, "start")];
    let mut next = 0;
    while next < found.len() {
        let world = found[next].0;
        let mut violation = None;
        world.steps(&rules, &mut |name, after| {
            if seen.insert(after) {
                found.push((after, next, name));
                if !after.is_sound() {
                    violation.get_or_insert(found.len() - 1);
                }
            }
        });
        if let Some(mut at) = violation {
            let mut way = Vec::new();
            while at != 0 {
                way.push(found[at].2);
                at = found[at].1;
            }
            way.reverse();
            return Err(way);
        }
        next += 1;
    }
    Ok(found.len())
}

/// What the default test goes through, and how many states that must be at least: fewer, and the model does too little.
const HISTORIES: [(&str, Bounds, usize); 3] = [
    ("two collections at once", bounds(0, 0, 2), 1_000_000),
    ("a lost lease", bounds(1, 0, 1), 25_000),
    ("a crash, and another collection after it", bounds(0, 1, 1), 600_000),
];

const fn bounds(lost_leases: u8, crashes: u8, collections: u8) -> Bounds {
    Bounds {
        lost_leases,
        crashes,
        collections,
    }
}

#[test]
fn no_order_of_steps_takes_a_chunk_from_an_available_snapshot() {
    for (what, bounds, at_least) in HISTORIES {
        match explore(Rules::default(), bounds) {
            Ok(states) => {
                println!("{states} states explored, {what} in each history: none of them wrong");
                assert!(states >= at_least, "only {states} states");
            }
            Err(way) => panic!("an available snapshot misses its chunk after: {way:#?}"),
        }
    }
}

/// Takes a safeguard away.
type Remove = fn(&mut Rules);

/// Each safeguard is there because without it data is lost.
#[test]
fn without_any_one_of_its_safeguards_the_protocol_loses_data() {
    let without: [(&str, Remove); 11] = [
        ("waiting for copies", |rules| {
            rules.waits = false;
        }),
        ("reading which copies run after condemning, not before", |rules| {
            rules.barrier_follows_condemning = false;
        }),
        ("waiting for copies that the database gave up", |rules| {
            rules.waits_for_sessions = false;
        }),
        ("copies that distrust condemned packs", |rules| {
            rules.copies_distrust_packs = false;
        }),
        ("copies that distrust their parent then", |rules| {
            rules.copies_distrust_parents = false;
        }),
        ("looking for the parent again", |rules| {
            rules.parent_is_looked_for_again = false;
        }),
        ("reading the distrust within the session", |rules| {
            rules.session_opens_first = false;
        }),
        ("counting again", |rules| {
            rules.counts_again = false;
        }),
        ("rescuing what is in use", |rules| {
            rules.rescues = false;
        }),
        ("comparing the owner", |rules| {
            rules.compares_owner = false;
        }),
        ("leaving packs alone that the index does not know", |rules| {
            rules.leaves_unindexed = false;
        }),
    ];
    for (safeguard, remove) in without {
        let mut rules = Rules::default();
        remove(&mut rules);

        let way = HISTORIES
            .into_iter()
            .find_map(|(_, bounds, _)| explore(rules, bounds).err());

        let way = way.unwrap_or_else(|| panic!("without {safeguard} nothing goes wrong"));
        println!("without {safeguard}: {}", way.join(", "));
    }
}
