//! A vault with all that is around it, and what should be in it.

use crate::content::{CHUNK, Content, PAGE_CHUNKS, fill, read};
use crate::dice::Dice;
use crate::recount;
use crate::torn::Torn;
use snapshot_vault::testing::{Behind, Fault, MemoryBlobs, MemoryCatalog, MemoryIndex, Mishaps, Promises, Tear};
use snapshot_vault::{
    BlobKey, BlobStore, CatalogError, ChunkIndex, ChunkSize, CollectOptions, Collection, CollectionEnd, CopySession,
    Domain, DomainId, ManifestId, MasterKey, PackCatalog, PackId, PackStanding, RunningCopies, Vault, VaultError,
    VaultOptions, VerifyOptions, verify_vault,
};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZero;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex};

/// Contents have three pages, of which most is zero.
const CHUNKS: u64 = 3 * PAGE_CHUNKS;
const MAX_COPIES: usize = 5;

pub(crate) struct House {
    dice: Dice,
    pub(crate) mishaps: Mishaps,
    blobs: MemoryBlobs,
    index: MemoryIndex,
    catalog: MemoryCatalog,
    vault: Vault,
    domain: Domain,
    committed: BTreeMap<ManifestId, Content>,
    torn: Torn,
    /// What was deleted last.
    deleted: Option<Content>,
    open: Vec<OpenCopy>,
    rows: Rows,
    /// The copies that the database believes to be there.
    promised: Promises,
    pub(crate) crashes: u64,
    pub(crate) collected: u64,
    pub(crate) torn_packs: u64,
    pub(crate) torn_manifests: u64,
    pub(crate) refused: u64,
}

/// A copy that was begun and will go on later.
struct OpenCopy {
    id: ManifestId,
    session: CopySession,
    content: Content,
}

/// The copies that the database believes to be running.
#[derive(Clone, Default)]
struct Rows(Arc<Mutex<Vec<ManifestId>>>);

impl Rows {
    fn add(&self, id: ManifestId) {
        self.0.lock().unwrap().push(id);
    }

    fn remove(&self, id: ManifestId) {
        self.0.lock().unwrap().retain(|row| *row != id);
    }
}

impl RunningCopies for Rows {
    fn running(&self) -> Result<Vec<ManifestId>, CatalogError> {
        Ok(self.0.lock().unwrap().clone())
    }
}

impl House {
    pub(crate) fn new(seed: u64) -> Self {
        let (mishaps, blobs) = (Mishaps::default(), MemoryBlobs::default());
        let (index, catalog) = (MemoryIndex::default(), MemoryCatalog::default());
        let vault = open(&mishaps, &blobs, &index, &catalog);
        let domain = vault.domain(DomainId::random()).unwrap();
        Self {
            dice: Dice::new(seed),
            mishaps,
            blobs,
            index,
            catalog,
            vault,
            domain,
            committed: BTreeMap::new(),
            torn: Torn::default(),
            deleted: None,
            open: Vec::new(),
            rows: Rows::default(),
            promised: Promises::default(),
            crashes: 0,
            collected: 0,
            torn_packs: 0,
            torn_manifests: 0,
            refused: 0,
        }
    }

    /// Packs that are dropped, condemned and dead, dead, little used, and used.
    pub(crate) fn with_work_for_a_collection(seed: u64) -> Self {
        let mut house = Self::new(seed);
        let content = |seeds: std::ops::Range<u64>| -> Content { seeds.map(|seed| (seed % 100, seed)).collect() };
        let mut copies = Vec::new();
        for seeds in [0..6, 100..106, 200..206, 300..306] {
            copies.push(house.copy_now(content(seeds)));
        }
        let mut mixed = content(0..6);
        mixed.extend(content(200..201));
        mixed.insert(300, 200);
        house.copy_now(mixed);
        house.delete(copies[2]);
        house.delete(copies[1]);
        let collection = snapshot_vault::CollectionId::random();
        let packs = house.packs_of_nothing();
        assert!(packs.len() >= 3, "{}", packs.len());
        house.catalog.condemn(collection, &packs[..2]).unwrap();
        house.catalog.drop_packs(collection, &packs[..1]).unwrap();
        house
    }

    /// Packs without which every copy reads as with them, each tried.
    fn packs_of_nothing(&self) -> Vec<PackId> {
        let packs = self.catalog.list(None, 10_000).unwrap();
        // With a catalog of its own: what a reader misses is set aside.
        let reader = open(&self.mishaps, &self.blobs, &self.index, &MemoryCatalog::default());
        let domain = reader.domain(self.domain.id()).unwrap();
        let is_unused = |pack: &PackId| {
            let name = format!("/{pack}");
            let key = self.blobs.keys().into_iter().find(|key| key.as_str().ends_with(&name));
            let key = key.unwrap();
            let bytes = self.blobs.get(&key).unwrap();
            self.blobs.delete(&key).unwrap();
            let read_all = self
                .committed
                .keys()
                .all(|id| read(&domain.open_manifest(*id).unwrap()).is_ok());
            self.blobs.overwrite(&key, bytes);
            read_all
        };
        packs.iter().map(|pack| pack.id).filter(is_unused).collect()
    }

    fn copy_now(&mut self, content: Content) -> ManifestId {
        let id = ManifestId::random();
        let session = self.domain.begin_copy(id, CHUNKS * CHUNK as u64, None).unwrap();
        fill(&session, &content).unwrap();
        session.commit(b"").unwrap();
        self.promised.add(self.domain.id(), id);
        self.committed.insert(id, content);
        id
    }

    fn delete(&mut self, id: ManifestId) {
        self.promised.remove(self.domain.id(), id);
        self.domain.delete_manifest(id).unwrap();
        self.committed.remove(&id);
    }

    /// Does something, with or without a mishap, and checks everything.
    pub(crate) fn step(&mut self) {
        if self.dice.one_in(3) {
            let fault = self.fault();
            let calls = match fault {
                Fault::FailTorn(_) | Fault::CrashTorn(_) => 4,
                _ if self.dice.one_in(2) => 30,
                _ => 150,
            };
            let nth = self.dice.below(calls);
            self.mishaps.plan(nth, fault);
        }
        match self.dice.below(12) {
            0..4 => self.copy(),
            4 if self.open.len() < 2 => self.begin(),
            4 | 5 => self.finish(),
            6 | 7 => self.delete_one(),
            8 => {
                let mut dice = Dice::new(self.dice.below(u64::MAX));
                self.mishaps.restart();
                self.restart(&mut dice);
            }
            _ => {
                let _may_fail = self.collect();
            }
        }
        if self.mishaps.has_crashed() {
            let mut dice = Dice::new(self.dice.below(u64::MAX));
            self.restart(&mut dice);
        }
        self.mishaps.restart();
        self.check();
    }

    fn fault(&mut self) -> Fault {
        let kept = u16::try_from(self.dice.below(1 << 16)).unwrap();
        let behind = [Behind::Nothing, Behind::Zeros, Behind::Stale];
        let tear = Tear::new(kept, behind[usize::try_from(self.dice.below(3)).unwrap()]);
        let faults = [
            Fault::FailBefore,
            Fault::FailAfter,
            Fault::CrashBefore,
            Fault::CrashAfter,
            Fault::FailTorn(tear),
            Fault::CrashTorn(tear),
        ];
        faults[usize::try_from(self.dice.below(6)).unwrap()]
    }

    /// Starts again after a crash or an ordinary end; the index may be lost.
    pub(crate) fn restart(&mut self, dice: &mut Dice) {
        self.crashes += u64::from(self.mishaps.has_crashed());
        self.mishaps.restart();
        self.open.clear();
        self.rows = Rows::default();
        self.index.crash();
        if dice.one_in(4) {
            self.index.clear().unwrap();
        }
        self.vault = open(&self.mishaps, &self.blobs, &self.index, &self.catalog);
        self.domain = self.vault.domain(self.domain.id()).unwrap();
        let found = self.vault.reconcile().unwrap();
        assert_eq!(found.damaged, []);
        self.note_torn();
        // Of what is torn behind its records, these tell what it holds.
        let kept = self.catalog.list(None, 10_000).unwrap();
        let kept: BTreeSet<PackId> = kept.iter().map(|pack| pack.id).collect();
        let torn: BTreeSet<PackId> = found.torn.iter().map(|pack| pack.id).collect();
        assert_eq!(torn, self.torn.packs.difference(&kept).copied().collect());
    }

    /// Notes which objects lie torn now.
    fn note_torn(&mut self) {
        for key in self.mishaps.take_torn() {
            let is_manifest = self.torn.note(&key, &self.blobs);
            *(if is_manifest {
                &mut self.torn_manifests
            } else {
                &mut self.torn_packs
            }) += 1;
        }
        self.torn.forget_gone(&self.blobs);
    }

    fn random_copy(&mut self) -> Option<ManifestId> {
        let nth = self.dice.below(self.committed.len().max(1) as u64);
        self.committed.keys().nth(usize::try_from(nth).unwrap()).copied()
    }

    /// A content that shares some with another one, or with one that was deleted, or none.
    fn content(&mut self) -> Content {
        let copy = self.random_copy();
        let mut content = match (self.dice.below(4), copy) {
            (0, _) => Content::new(),
            (1 | 2, _) if self.deleted.is_some() => self.deleted.clone().unwrap(),
            (_, copy) => copy.map_or_else(Content::new, |id| self.committed[&id].clone()),
        };
        for _ in 0..self.dice.below(4) {
            let chunk = [0, 1, 2, 255, 256, 600][usize::try_from(self.dice.below(6)).unwrap()];
            content.insert(chunk, self.dice.below(60));
        }
        if self.dice.one_in(3) {
            content.pop_first();
        }
        content
    }

    fn begin(&mut self) {
        // The task of a copy of which the manifest was torn goes on.
        let torn = self
            .torn
            .copy()
            .filter(|(id, _)| self.open.iter().all(|copy| copy.id != *id));
        let (id, content) = match torn {
            Some(torn) if !self.dice.one_in(3) => torn,
            _ => (ManifestId::random(), self.content()),
        };
        let parent = self.random_copy().filter(|_| !self.dice.one_in(3));
        let parent = parent.and_then(|id| self.domain.open_manifest(id).ok());
        // Sometimes the database has given the copy up.
        if !self.dice.one_in(4) {
            self.rows.add(id);
        }
        match self.domain.begin_copy(id, CHUNKS * CHUNK as u64, parent.as_ref()) {
            Ok(session) => self.open.push(OpenCopy { id, session, content }),
            Err(_) => self.rows.remove(id),
        }
        self.note_torn();
    }

    fn finish(&mut self) {
        if self.open.is_empty() {
            return;
        }
        let nth = self.dice.below(self.open.len() as u64);
        let copy = self.open.remove(usize::try_from(nth).unwrap());
        let done = fill(&copy.session, &copy.content).and_then(|()| copy.session.commit(b"").map(drop));
        // Whether it was committed, only the store knows when it failed.
        self.torn.contents.insert(copy.id, copy.content.clone());
        self.note_torn();
        let name = format!("/{}", copy.id);
        let is_there = self.blobs.keys().iter().any(|key| key.as_str().ends_with(&name));
        let is_torn = self.torn.manifests.contains(&copy.id);
        assert!(is_there && !is_torn || done.is_err());
        if is_there && !is_torn {
            self.promised.add(self.domain.id(), copy.id);
            self.committed.insert(copy.id, copy.content);
        }
        self.rows.remove(copy.id);
    }

    fn copy(&mut self) {
        if self.committed.len() >= MAX_COPIES {
            return self.delete_one();
        }
        self.begin();
        self.finish();
    }

    fn delete_one(&mut self) {
        // Or somebody gives up on a copy of which the manifest was torn.
        if let Some((id, _)) = self.torn.copy()
            && self.dice.one_in(6)
        {
            let _may_fail = self.domain.delete_manifest(id);
            return self.note_torn();
        }
        let Some(id) = self.random_copy() else { return };
        self.promised.remove(self.domain.id(), id);
        let _may_fail = self.domain.delete_manifest(id);
        let name = format!("/{id}");
        if !self.blobs.keys().iter().any(|key| key.as_str().ends_with(&name)) {
            self.deleted = self.committed.remove(&id);
        }
    }

    /// Collects, while copies begin and end and are deleted in between.
    fn collect(&mut self) -> Result<Collection, VaultError> {
        let options = CollectOptions {
            dry_run: self.dice.one_in(8),
            live_share: 0.7,
        };
        let (vault, rows, promised) = (self.vault.clone(), self.rows.clone(), self.promised.clone());
        let (torn_before, tears) = (self.torn.manifests.clone(), self.torn_manifests);
        let house = RefCell::new(self);
        let patience = &mut |_| {
            let mut house = house.borrow_mut();
            house.meanwhile();
            if house.dice.one_in(5) {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        };
        let stop = || {
            let mut house = house.borrow_mut();
            if house.dice.one_in(6) {
                house.meanwhile();
            }
            house.dice.one_in(200)
        };
        let done = vault.collect(&rows, &promised, &options, patience, &stop);
        let house = house.into_inner();
        house.note_torn();
        let done = done?;
        // Reading may have failed, but nothing is ever lost here.
        assert!(done.unreadable.iter().all(|it| !it.reason.contains("gone")), "{done:?}");
        // What lay torn all the while: nobody knew what was in use.
        if house.torn_manifests == tears && torn_before.intersection(&house.torn.manifests).next().is_some() {
            let is_refused = done.end == CollectionEnd::Refused && !done.unreadable.is_empty();
            assert!(is_refused || done.end == CollectionEnd::Stopped, "{done:?}");
            assert_eq!(done.condemned, 0);
            house.refused += u64::from(is_refused);
        }
        if !options.dry_run {
            house.collected += done.deleted;
        }
        Ok(done)
    }

    /// Collects while nothing else happens.
    pub(crate) fn collect_undisturbed(&mut self) -> Result<Collection, VaultError> {
        let options = CollectOptions {
            dry_run: false,
            live_share: 0.7,
        };
        let done = self.vault.collect(
            &self.rows,
            &self.promised,
            &options,
            &mut |_| ControlFlow::Break(()),
            &|| false,
        );
        self.note_torn();
        done
    }

    fn meanwhile(&mut self) {
        match self.dice.below(5) {
            0 | 1 if self.open.len() < 3 => self.begin(),
            0..3 => self.finish(),
            3 => self.delete_one(),
            _ => {}
        }
    }

    /// Every copy reads back, and the census is right.
    pub(crate) fn check(&self) {
        for (id, content) in &self.committed {
            let copy = self.domain.open_manifest(*id).unwrap();
            assert!(read(&copy).unwrap() == *content, "copy {id}");
        }
        let usage = self.domain.usage(&|| false).unwrap();
        let unreadable: BTreeSet<&str> = usage.unreadable.iter().map(|it| it.object.as_str()).collect();
        let torn = self.torn.manifest_keys();
        assert_eq!(unreadable, torn.iter().map(BlobKey::as_str).collect());
        recount::check(&self.blobs, &self.catalog, &self.committed, &usage);
    }

    /// A verification finds what is torn, no other damage, and that no committed copy has lost anything.
    pub(crate) fn verify(&self) {
        let options = VerifyOptions {
            threads: NonZero::<usize>::MIN,
            ..VerifyOptions::default()
        };
        let found = verify_vault(Arc::new(self.blobs.clone()), &master(), &options, &|_| {}).unwrap();
        let damaged: BTreeSet<&str> = found.damage.iter().map(|damage| damage.object.as_str()).collect();
        let torn = self.torn.keys();
        assert_eq!(damaged, torn.iter().map(BlobKey::as_str).collect());
        let lost: BTreeSet<ManifestId> = found
            .damage
            .iter()
            .flat_map(|damage| &damage.lost)
            .map(|loss| loss.copy)
            .collect();
        assert_eq!(lost, self.torn.manifests);
    }

    /// What is left when nothing happens any more: no pack without use, and no object that the catalog does not know.
    pub(crate) fn end(&mut self) {
        self.open.clear();
        let mut dice = Dice::new(1);
        self.restart(&mut dice);
        self.end_torn_copies();
        let running = Rows::default();
        let collect = || {
            let options = CollectOptions::default();
            let impatient = &mut |_| ControlFlow::Break(());
            let done = self
                .vault
                .collect(&running, &self.promised, &options, impatient, &|| false);
            done.unwrap()
        };
        let done = collect();
        assert_eq!(done.end, CollectionEnd::Done, "{done:?}");
        assert_eq!((collect().condemned, collect().deleted), (0, 0));
        self.note_torn();
        assert!(self.torn.keys().is_empty());
        self.check();
        self.verify();
        let packs = self.catalog.list(None, 10_000).unwrap();
        assert!(packs.iter().all(|pack| pack.standing == PackStanding::Kept));
        let stored = self
            .blobs
            .keys()
            .into_iter()
            .filter(|key| key.as_str().starts_with("packs/"));
        assert_eq!(stored.count(), packs.len());
        let indexed = self.index.packs(None, 10_000).unwrap();
        assert_eq!(indexed, packs.iter().map(|pack| pack.id).collect::<Vec<_>>());
        // It takes its time.
        if self.dice.one_in(10) {
            assert_eq!(self.packs_of_nothing(), []);
        }
    }

    /// Nothing is collected while manifests are torn; their copies are made again or given up.
    fn end_torn_copies(&mut self) {
        if let Some((id, content)) = self.torn.copy() {
            self.verify();
            let options = CollectOptions::default();
            let impatient = &mut |_| ControlFlow::Break(());
            let refused = self
                .vault
                .collect(&Rows::default(), &self.promised, &options, impatient, &|| false);
            let refused = refused.unwrap();
            assert_eq!((refused.end, refused.condemned), (CollectionEnd::Refused, 0));
            let session = self.domain.begin_copy(id, CHUNKS * CHUNK as u64, None).unwrap();
            fill(&session, &content).unwrap();
            session.commit(b"").unwrap();
            self.promised.add(self.domain.id(), id);
            self.committed.insert(id, content);
        }
        self.note_torn();
        while let Some((id, _)) = self.torn.copy() {
            self.domain.delete_manifest(id).unwrap();
            self.note_torn();
        }
    }

    /// Copies and deletions by three threads, beside collections, until each has done its share.
    pub(crate) fn rush(mut self) -> Self {
        let rows = Rows::default();
        let committed: Mutex<BTreeMap<ManifestId, Content>> = Mutex::default();
        let copiers = std::sync::atomic::AtomicUsize::new(3);
        std::thread::scope(|scope| {
            for number in 0..3 {
                let (rows, promised, domain) = (&rows, &self.promised, &self.domain);
                let (committed, copiers) = (&committed, &copiers);
                scope.spawn(move || {
                    let mut dice = Dice::new(number + 100);
                    for _ in 0..150 {
                        let id = ManifestId::random();
                        rows.add(id);
                        let parent = committed.lock().unwrap().keys().nth(0).copied();
                        let parent = parent.and_then(|id| domain.open_manifest(id).ok());
                        let content: Content = (0..4).map(|_| (dice.below(600), dice.below(24))).collect();
                        let session = domain.begin_copy(id, CHUNKS * CHUNK as u64, parent.as_ref()).unwrap();
                        fill(&session, &content).unwrap();
                        session.commit(b"").unwrap();
                        promised.add(domain.id(), id);
                        rows.remove(id);
                        let mut committed = committed.lock().unwrap();
                        committed.insert(id, content);
                        let oldest = committed.keys().nth(usize::try_from(dice.below(6)).unwrap()).copied();
                        if let Some(oldest) = oldest {
                            committed.remove(&oldest);
                            drop(committed);
                            promised.remove(domain.id(), oldest);
                            domain.delete_manifest(oldest).unwrap();
                        }
                    }
                    copiers.fetch_sub(1, std::sync::atomic::Ordering::Relaxed);
                });
            }
            while copiers.load(std::sync::atomic::Ordering::Relaxed) > 0 {
                let patience = &mut |_| {
                    std::thread::yield_now();
                    ControlFlow::Continue(())
                };
                let options = CollectOptions::default();
                let done = self
                    .vault
                    .collect(&rows, &self.promised, &options, patience, &|| false)
                    .unwrap();
                assert_eq!((done.end, done.damaged), (CollectionEnd::Done, Vec::new()));
                self.collected += done.deleted;
            }
        });
        assert!(self.collected > 50, "{}", self.collected);
        self.committed = committed.into_inner().unwrap();
        self
    }
}

fn master() -> MasterKey {
    MasterKey::from_hex(&"7a".repeat(32)).unwrap()
}

/// Small packs: some four records each.
fn open(mishaps: &Mishaps, blobs: &MemoryBlobs, index: &MemoryIndex, catalog: &MemoryCatalog) -> Vault {
    let options = VaultOptions {
        chunk_size: ChunkSize::new(64 << 10).unwrap(),
        pack_size_bytes: 900,
        ..VaultOptions::default()
    };
    Vault::open(
        Arc::new(mishaps.prone(blobs.clone())),
        &master(),
        Arc::new(mishaps.prone(index.clone())),
        Arc::new(mishaps.prone(catalog.clone())),
        options,
    )
    .unwrap()
}
