//! Every step of every task, failed once and run twice: the rows say the truth at every moment, and whatever was done again
//! is whole.
#![expect(clippy::unwrap_used, reason = "what prepares a test fails like the test itself")]

mod images;
mod ports;
mod world;

use std::{
    num::NonZero,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use ports::{Fault, Plan};
use snapshot_domain::{SnapshotId, SnapshotStateName, VolumeId, VolumeStateName};
use snapshot_vault::testing::{Behind, Tear};
use world::{World, eventually, request};

const CHUNK: usize = 64 << 10;

/// What a volume holds: two pages, in each of them data and zeros, and a short chunk at its end.
fn content(seed: u8) -> Vec<u8> {
    let mut bytes = vec![0; 256 * CHUNK + 3 * CHUNK + 512];
    let data = [0..4 * CHUNK, 256 * CHUNK..257 * CHUNK, 259 * CHUNK..259 * CHUNK + 512];
    let mut state = u64::from(seed) + 1;
    for byte in data.into_iter().flatten() {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        bytes[byte] = state.to_be_bytes()[0];
    }
    bytes
}

/// A task, and what must be true of it.
trait Scenario: Sync {
    /// Makes the rows that name the task, when everything that it needs is there.
    fn begin(world: &World) -> Self;
    /// What is true while nobody works: of a task that failed, has ended, or will be taken up again.
    fn check(&self, world: &World, at: &str);
    /// What is true when everything has ended, and what can be done then.
    fn check_end(&self, world: &World, at: &str);
}

/// Lets every call of every port go wrong once, in every way.
fn fail_every_step<S: Scenario>() {
    let steps: Vec<u64> = [Fault::Before, Fault::After, Fault::Overtaken]
        .into_iter()
        .map(fail_every_step_by::<S>)
        .collect();
    eprintln!("steps that failed before, failed after, were overtaken: {steps:?}");
}

fn fail_every_step_by<S: Scenario>(fault: Fault) -> u64 {
    // What waits for the database mostly sleeps: many can do that at once.
    let threads = 4 * thread::available_parallelism().map_or(1, NonZero::get);
    let (next, steps, done) = (AtomicU64::new(0), AtomicU64::new(0), AtomicBool::new(false));
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    let nth = next.fetch_add(1, Ordering::Relaxed);
                    if fail_step::<S>(nth, fault) {
                        steps.fetch_add(1, Ordering::Relaxed);
                    } else {
                        done.store(true, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    steps.into_inner()
}

/// Whether the task has so many steps.
fn fail_step<S: Scenario>(nth: u64, fault: Fault) -> bool {
    let world = Arc::new(World::new());
    let scenario = S::begin(&world);
    let plan = Plan::default();
    let runner = world.run(&plan, |plan| {
        let world = Arc::clone(&world);
        plan.arm(nth, fault, Box::new(move || world.run_to_the_end()));
    });

    eventually("the worker is done with the task", || {
        (plan.is_over() || world.unfinished().is_empty()).then_some(())
    });
    let hit = plan.disarm();
    assert!(runner.shut_down(Duration::from_mins(1)), "the runner stops");

    let at = format!("step {nth} ({}), {fault:?}", hit.unwrap_or("none"));
    scenario.check(&world, &at);
    world.run_to_the_end();
    scenario.check(&world, &at);
    scenario.check_end(&world, &at);
    hit.is_some()
}

/// A copy of a volume that has changed since its last snapshot.
struct Copying {
    volume: VolumeId,
    parent: SnapshotId,
    snapshot: SnapshotId,
}

impl Scenario for Copying {
    fn begin(world: &World) -> Self {
        let volume = world.volume_of(&content(1));
        let parent = world.begin_snapshot(volume);
        world.run_to_the_end();
        let mut changed = content(1);
        changed[..3 * CHUNK].copy_from_slice(&content(2)[..3 * CHUNK]);
        world.write(volume, &changed);
        Self {
            volume,
            parent,
            snapshot: world.begin_snapshot(volume),
        }
    }

    fn check(&self, world: &World, at: &str) {
        world.check_snapshot(self.parent, &content(1), at);
        world.check_snapshot(self.snapshot, &changed(), at);
    }

    fn check_end(&self, world: &World, at: &str) {
        let mut whole = self.snapshot;
        if world.snapshot(self.snapshot).state().name() == SnapshotStateName::Error {
            whole = world.begin_snapshot(self.volume);
            world.run_to_the_end();
            world.snapshots.delete(&world.caller, self.snapshot, request()).unwrap();
        }
        let restored = [self.parent, whole].map(|snapshot| world.begin_restore(snapshot));
        world.run_to_the_end();

        assert_eq!(
            world.check_snapshot(whole, &changed(), at),
            SnapshotStateName::Available,
            "{at}"
        );
        for (volume, bytes) in restored.into_iter().zip([content(1), changed()]) {
            assert_eq!(
                world.check_volume(volume, &bytes, at),
                VolumeStateName::Available,
                "{at}"
            );
        }
        assert_eq!(
            world.check_volume(self.volume, &changed(), at),
            VolumeStateName::Available,
            "{at}"
        );
        world.check_rest(2, at);
    }
}

fn changed() -> Vec<u8> {
    [&content(2)[..3 * CHUNK], &content(1)[3 * CHUNK..]].concat()
}

/// A restore of a snapshot.
struct Restoring {
    snapshot: SnapshotId,
    volume: VolumeId,
}

impl Scenario for Restoring {
    fn begin(world: &World) -> Self {
        let source = world.volume_of(&content(1));
        let snapshot = world.begin_snapshot(source);
        world.run_to_the_end();
        Self {
            snapshot,
            volume: world.begin_restore(snapshot),
        }
    }

    fn check(&self, world: &World, at: &str) {
        world.check_volume(self.volume, &content(1), at);
    }

    fn check_end(&self, world: &World, at: &str) {
        if world.volume(self.volume).state().name() == VolumeStateName::Error {
            let again = world.begin_restore(self.snapshot);
            world.volumes.delete(&world.caller, self.volume, request()).unwrap();
            world.run_to_the_end();
            assert_eq!(
                world.check_volume(again, &content(1), at),
                VolumeStateName::Available,
                "{at}"
            );
        }
        world.check_rest(1, at);
    }
}

/// The removal of a deleted volume's bytes.
struct Erasing;

impl Scenario for Erasing {
    fn begin(world: &World) -> Self {
        let volume = world.volume_of(&content(1));
        world.volumes.delete(&world.caller, volume, request()).unwrap();
        Self
    }

    fn check(&self, _: &World, _: &str) {}

    fn check_end(&self, world: &World, at: &str) {
        world.check_rest(0, at);
    }
}

/// The removal of a deleted snapshot's manifest, beside a snapshot that shares its chunks.
struct Forgetting {
    kept: SnapshotId,
}

impl Scenario for Forgetting {
    fn begin(world: &World) -> Self {
        let volume = world.volume_of(&content(1));
        let [forgotten, kept] = [(); 2].map(|()| world.begin_snapshot(volume));
        world.run_to_the_end();
        world.snapshots.delete(&world.caller, forgotten, request()).unwrap();
        Self { kept }
    }

    fn check(&self, world: &World, at: &str) {
        world.check_snapshot(self.kept, &content(1), at);
    }

    fn check_end(&self, world: &World, at: &str) {
        world.check_rest(1, at);
    }
}

/// A copy that was called off by the deletion of its snapshot, when its manifest was already there.
struct CalledOff;

impl Scenario for CalledOff {
    fn begin(world: &World) -> Self {
        let volume = world.volume_of(&content(1));
        let snapshot = world.begin_snapshot(volume);
        world.run_but_for_the_row();
        world.snapshots.delete(&world.caller, snapshot, request()).unwrap();
        Self
    }

    fn check(&self, _: &World, _: &str) {}

    fn check_end(&self, world: &World, at: &str) {
        world.check_rest(0, at);
    }
}

#[test]
fn every_step_of_a_copy() {
    fail_every_step::<Copying>();
}

#[test]
fn every_step_of_a_restore() {
    fail_every_step::<Restoring>();
}

/// Whoever writes into a volume once it is filled keeps what they wrote, wherever the worker is that filled it first.
#[test]
fn a_restore_that_was_overtaken_takes_nothing_from_who_wrote_into_the_volume_since() {
    let mut nth = 0;
    while is_written_to_at(nth) {
        nth += 1;
    }
    assert!(nth > 3, "a restore has more steps");
}

/// Lets another worker fill a volume, and its owner write into it, before the `nth` step of a restore goes on. Whether there
/// are so many steps.
fn is_written_to_at(nth: u64) -> bool {
    let world = Arc::new(World::new());
    let snapshot = world.begin_snapshot(world.volume_of(&content(1)));
    world.run_to_the_end();
    let volume = world.begin_restore(snapshot);
    let plan = Plan::default();

    let runner = world.run(&plan, |plan| {
        let world = Arc::clone(&world);
        let overtake = move || {
            world.run_to_the_end();
            world.write(volume, &content(3));
        };
        plan.arm(nth, Fault::Overtaken, Box::new(overtake));
    });
    eventually("the worker is done with the task", || {
        let is_over = match plan.hit() {
            Some(_) => plan.is_over(),
            None => world.unfinished().is_empty(),
        };
        is_over.then_some(())
    });
    let hit = plan.disarm();
    assert!(runner.shut_down(Duration::from_mins(1)), "the runner stops");

    let at = format!("step {nth} ({})", hit.unwrap_or("none"));
    let bytes = content(if hit.is_some() { 3 } else { 1 });
    assert_eq!(
        world.check_volume(volume, &bytes, &at),
        VolumeStateName::Available,
        "{at}"
    );
    hit.is_some()
}

#[test]
fn every_step_of_a_volumes_removal() {
    fail_every_step::<Erasing>();
}

#[test]
fn every_step_of_a_snapshots_removal() {
    fail_every_step::<Forgetting>();
}

#[test]
fn every_step_of_cleaning_up_after_a_copy_that_was_called_off() {
    fail_every_step::<CalledOff>();
}

#[test]
fn a_database_that_takes_no_writes_is_waited_for_before_anything_is_stored_again() {
    let world = World::new();
    let snapshot = world.begin_snapshot(world.volume_of(&content(1)));
    let plan = Plan::default();

    let runner = world.run(&plan, Plan::refuse_writes);
    eventually("several writes were refused", || {
        (plan.refused("renew") >= 8).then_some(())
    });
    let packs = plan.refused("record a pack");
    plan.take_writes();
    eventually("the copy ends", || world.unfinished().is_empty().then_some(()));

    assert_eq!(
        packs, 1,
        "each more is a pack that nobody knows of until the next start"
    );
    let end = world.check_snapshot(snapshot, &content(1), "when writes are taken again");
    assert_eq!(end, SnapshotStateName::Available);
    assert!(runner.shut_down(Duration::from_mins(1)), "the runner stops");
}

/// The machine stopped while a manifest was being stored, and the store kept a part of it.
fn a_torn_copy(world: &World) -> (VolumeId, SnapshotId) {
    let volume = world.volume_of(&content(1));
    let snapshot = world.begin_snapshot(volume);
    world.run_but_for_the_row();
    for key in world.manifests() {
        world.blobs.tear(&key, Tear::new(u16::MAX / 2, Behind::Zeros));
    }
    (volume, snapshot)
}

#[test]
fn a_copy_of_which_the_manifest_was_torn_is_made_again() {
    let world = World::new();
    let (_, snapshot) = a_torn_copy(&world);

    world.run_to_the_end();

    let state = world.check_snapshot(snapshot, &content(1), "the end");
    assert_eq!(state, SnapshotStateName::Available);
    world.check_rest(1, "the end");
}

#[test]
fn a_copy_that_fails_leaves_no_torn_manifest_in_the_way_of_collections() {
    let world = World::new();
    let (volume, snapshot) = a_torn_copy(&world);
    std::fs::remove_file(world.image_of(volume)).unwrap();

    world.run_to_the_end();

    assert_eq!(world.snapshot(snapshot).state().name(), SnapshotStateName::Error);
    assert_eq!(world.manifests(), []);
}
