//! Damage, losses, an index that loses keys, copies, collections and restarts in any order. Nothing but damage costs a copy anything: as long as some
//! pack holds all that a copy needs, the copy reads after the damage was looked for or met, and no collection takes that from it.
//! What is stored while all damage is known reads at once.

use crate::collect::{Running, collect_with};
use crate::support::{CHUNK, TestVault, copies_at_once, master, noise, read_all};
use proptest::prelude::*;
use proptest::sample::Index;
use snapshot_vault::{
    BlobKey, BlobStore, CollectOptions, CopyOutcome, ManifestId, PackCatalog, VerifyOptions, verify_stored,
    verify_vault,
};
use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZero;
use std::sync::Arc;

#[derive(Clone, Debug)]
enum Step {
    /// So many copies at once of chunks that many contents have.
    Copy {
        chunks: Vec<u64>,
        at_once: usize,
    },
    Delete(Index),
    /// Changes a byte of a pack, or one of its last ones, where its footer is.
    Flip(Index, Index, Option<usize>),
    /// Removes a pack, as nobody should.
    Lose(Index),
    /// The index loses a key.
    Rot(Index),
    /// Looks for damage, and starts again.
    Check {
        is_index_lost: bool,
    },
    /// The same without the catalog, too, which knew of damage.
    Recover,
    Collect {
        live_share: f64,
    },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let chunks = || prop::collection::vec(0..8_u64, 1..5);
    let step = prop_oneof![
        6 => (chunks(), 1..3_usize).prop_map(|(chunks, at_once)| Step::Copy { chunks, at_once }),
        1 => any::<Index>().prop_map(Step::Delete),
        2 => (any::<Index>(), any::<Index>(), prop::option::of(1..200_usize))
            .prop_map(|(pack, at, from_end)| Step::Flip(pack, at, from_end)),
        1 => any::<Index>().prop_map(Step::Lose),
        1 => any::<Index>().prop_map(Step::Rot),
        2 => any::<bool>().prop_map(|is_index_lost| Step::Check { is_index_lost }),
        1 => Just(Step::Recover),
        3 => prop::sample::select(vec![0.0, 0.5, 1.0]).prop_map(|live_share| Step::Collect { live_share }),
    ];
    prop::collection::vec(step, 1..30)
}

struct World {
    test: TestVault,
    copies: BTreeMap<ManifestId, Vec<u8>>,
    is_all_damage_known: bool,
    /// Whether the index has lost something since it was made.
    is_index_rotten: bool,
    /// Packs of which a byte was changed, and whether it may be that neither footer nor records tell what they hold any more.
    flipped: BTreeMap<BlobKey, bool>,
}

impl World {
    fn new() -> Self {
        Self {
            test: TestVault::new(),
            copies: BTreeMap::new(),
            is_all_damage_known: true,
            is_index_rotten: false,
            flipped: BTreeMap::new(),
        }
    }

    fn step(&mut self, step: &Step) {
        let whole_before = self.whole();
        match step {
            Step::Copy { chunks, at_once } => self.copy(chunks, *at_once),
            Step::Delete(which) => {
                if let Some(id) = pick(self.copies.keys().copied().collect(), *which) {
                    self.test.domain.delete_manifest(id).unwrap();
                    self.copies.remove(&id);
                }
            }
            Step::Flip(which, at, from_end) => {
                if let Some(pack) = pick(self.packs(), *which) {
                    let mut bytes = self.test.blobs.get(&pack).unwrap();
                    let at = from_end.map_or_else(|| at.index(bytes.len()), |from_end| bytes.len() - from_end);
                    bytes[at] ^= 4;
                    self.test.blobs.overwrite(&pack, bytes);
                    // A later version, where the version is.
                    let may_be_opaque = self.flipped.contains_key(&pack) || (8..10).contains(&at);
                    self.flipped.insert(pack, may_be_opaque);
                    self.is_all_damage_known = false;
                }
            }
            Step::Lose(which) => {
                if let Some(pack) = pick(self.packs(), *which) {
                    self.test.blobs.delete(&pack).unwrap();
                    self.is_all_damage_known = false;
                }
            }
            Step::Rot(which) => {
                if let Some(id) = pick(self.test.index.ids(), *which) {
                    self.test.index.lose(&id);
                    self.is_index_rotten = true;
                }
            }
            Step::Check { is_index_lost } => {
                if *is_index_lost {
                    self.test = self.test.restarted();
                    self.is_index_rotten = false;
                }
                self.check();
            }
            Step::Recover => {
                self.test = self.test.recovered();
                self.is_index_rotten = false;
                self.test.vault.reconcile().unwrap();
                self.check();
            }
            Step::Collect { live_share } => self.collect(*live_share),
        }
        if !matches!(step, Step::Flip(..) | Step::Lose(_)) {
            let whole = self.whole();
            let lost = |id: &&ManifestId| self.copies.contains_key(id) && !whole.contains(id);
            assert_eq!(whole_before.iter().filter(lost).count(), 0, "{step:?}");
        }
    }

    fn copy(&mut self, chunks: &[u64], at_once: usize) {
        let content: Vec<u8> = chunks.iter().flat_map(|seed| noise(100 + seed, CHUNK)).collect();
        for id in copies_at_once(&self.test.domain, &content, at_once) {
            self.copies.insert(id, content.clone());
            if self.is_all_damage_known {
                self.assert_reads(id);
            }
        }
    }

    fn check(&mut self) {
        let found = verify_stored(Arc::new(self.test.blobs.clone()), &one_thread(), &|_| {}).unwrap();
        self.test.catalog.set_aside(&found.set_aside).unwrap();
        self.test.vault.reconcile().unwrap();
        // Of a pack that tells nothing nobody knows what is damaged in it, until a reader meets it.
        let may_be_opaque = |object: &str| {
            self.flipped
                .iter()
                .any(|(pack, opaque)| *opaque && pack.as_str() == object)
        };
        let mut damage = found.damage.iter();
        self.is_all_damage_known = damage.all(|damage| damage.place.is_some() || !may_be_opaque(&damage.object));
        if self.is_index_rotten {
            // What it has lost, only a new index finds.
            return;
        }
        for id in self.whole() {
            if !self.is_all_damage_known {
                self.read_until_nothing_new_is_met(id);
            }
            self.assert_reads(id);
        }
    }

    fn read_until_nothing_new_is_met(&self, id: ManifestId) {
        let known = || self.test.catalog.distrusted().unwrap().chunks.len();
        let copy = self.test.domain.open_manifest(id).unwrap();
        let mut before = usize::MAX;
        while known() != before {
            before = known();
            let _is_whole = read_all(&copy);
            self.test.vault.reconcile().unwrap();
        }
    }

    /// A collection also finds what the index has lost.
    fn collect(&mut self, live_share: f64) {
        let options = CollectOptions {
            live_share,
            ..CollectOptions::default()
        };
        collect_with(&self.test, &Running::default(), &options);
        if self.is_all_damage_known {
            self.is_index_rotten = false;
            for id in self.whole() {
                self.assert_reads(id);
            }
        }
    }

    fn assert_reads(&self, id: ManifestId) {
        let copy = self.test.domain.open_manifest(id).unwrap();
        assert!(read_all(&copy).unwrap() == self.copies[&id]);
    }

    /// The copies of which the packs hold everything, wherever it is.
    fn whole(&self) -> BTreeSet<ManifestId> {
        let found = verify_vault(Arc::new(self.test.blobs.clone()), &master(), &one_thread(), &|_| {});
        let outcomes = found.unwrap().outcomes.into_iter();
        outcomes
            .filter(|(.., outcome)| *outcome == CopyOutcome::Whole)
            .map(|(_, id, _)| id)
            .collect()
    }

    fn packs(&self) -> Vec<BlobKey> {
        let mut keys = self.test.blobs.keys();
        keys.retain(|key| key.as_str().starts_with("packs/"));
        keys
    }
}

fn pick<T>(mut all: Vec<T>, which: Index) -> Option<T> {
    (!all.is_empty()).then(|| all.swap_remove(which.index(all.len())))
}

fn one_thread() -> VerifyOptions {
    VerifyOptions {
        threads: NonZero::<usize>::MIN,
        ..VerifyOptions::default()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]
    #[test]
    fn nothing_but_damage_costs_a_copy_anything(steps in steps()) {
        let mut world = World::new();
        for step in &steps {
            world.step(step);
        }
    }
}
