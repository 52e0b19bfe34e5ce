//! How much memory counting and collecting take on a large vault. The vault is made up while it is read: its packs' headers,
//! footers and index pages are computed from their numbers, so that a tebibyte of it takes no room.
//!
//! `SNAPSHOT_VAST_TIB` says how large it is, in TiB of stored packs (1 needs a release build and some minutes).

use super::{Census, listed};
use crate::blob::{BlobEntry, BlobError, BlobKey, BlobStore, BlobWriter};
use crate::catalog::{CatalogError, PackCatalog, PackSummary, RunningCopies};
use crate::codec::Sealer;
use crate::collect::{CollectOptions, CollectionEnd};
use crate::domain::{Domain, DomainCore};
use crate::format::pack::{FooterEntry, HEADER_BYTES, encode_footer, encode_header};
use crate::format::record::{Kind, OVERHEAD_BYTES};
use crate::format::{manifest::Manifest, names, page, page_map::PageMap};
use crate::geometry::Geometry;
use crate::hash::{ChunkHash, ChunkId};
use crate::id::{ChunkSize, DomainId, ManifestId, PackId};
use crate::index::{ChunkIndex, IndexEntry, IndexError, Location};
use crate::key::MasterKey;
use crate::pack::summary;
use crate::recheck::RecheckShare;
use crate::testing::{MemoryBlobs, MemoryCatalog, MemoryIndex, Promises};
use crate::vault::{Vault, VaultOptions};
use allocation_counter::measure;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::{Bound, ControlFlow, Range};
use std::sync::{Arc, Mutex};
use uuid::Uuid;

const CHUNK_BYTES: u32 = 128 << 10;
/// Pages in a pack, with their chunks: 64 MiB.
const PACK_PAGES: u32 = 2;
const PAGE_CHUNKS: u32 = 256;
const PAGE_RECORDS: u32 = PAGE_CHUNKS + 1;
const PACK_RECORDS: u32 = PACK_PAGES * PAGE_RECORDS;
const PACKS_PER_TIB: u32 = 16_384;
/// Pages of a copy: 64 GiB.
const COPY_PAGES: u64 = 2048;
const DEFAULT_TIB: f64 = 1.0 / 256.0;

/// A store of which the packs are computed.
struct Vast {
    others: MemoryBlobs,
    domain: Arc<DomainCore>,
    packs: BTreeSet<PackId>,
    deleted: Mutex<BTreeSet<PackId>>,
    sealer: Mutex<Sealer>,
}

/// Where each chunk and page lies: a part of its id, and the number of its record.
struct VastIndex {
    places: Vec<(u64, u32)>,
    packs: BTreeSet<PackId>,
}

struct Nobody;

impl RunningCopies for Nobody {
    fn running(&self) -> Result<Vec<ManifestId>, CatalogError> {
        Ok(Vec::new())
    }
}

fn pack_id(number: u32) -> PackId {
    PackId::new(Uuid::from_u128(u128::from(number) << 96))
}

fn number_of(pack: PackId) -> u32 {
    u32::try_from(pack.as_uuid().as_u128() >> 96).unwrap()
}

fn page_of(number: u64) -> Vec<Option<ChunkHash>> {
    let first = number * u64::from(PAGE_CHUNKS);
    let hash = |chunk: u64| Some(ChunkHash::of(&chunk.to_le_bytes()));
    (first..first + u64::from(PAGE_CHUNKS)).map(hash).collect()
}

/// What a pack holds: the chunks of a page and the page, for each of its pages.
fn entries_of(pack: u32, domain: &DomainCore) -> Vec<FooterEntry> {
    let mut offset = u32::try_from(HEADER_BYTES).unwrap();
    let mut entries = Vec::with_capacity(PACK_RECORDS as usize);
    let mut add = |kind, id, plain_len: u32| {
        let length = plain_len + u32::try_from(OVERHEAD_BYTES).unwrap();
        entries.push(FooterEntry {
            id,
            kind,
            offset,
            length,
            plain_len,
        });
        offset += length;
    };
    for number in pages_of(pack) {
        let page = page_of(number);
        for hash in page.iter().flatten() {
            add(Kind::Chunk, domain.keys.chunk_id(hash), CHUNK_BYTES);
        }
        let bytes = page::encode(&page);
        let id = domain.keys.page_id(&ChunkHash::of(&bytes));
        add(Kind::Page, id, u32::try_from(bytes.len()).unwrap());
    }
    entries
}

fn pages_of(pack: u32) -> Range<u64> {
    u64::from(pack * PACK_PAGES)..u64::from((pack + 1) * PACK_PAGES)
}

fn end_of(entries: &[FooterEntry]) -> u64 {
    let last = entries.last().unwrap();
    u64::from(last.offset + last.length)
}

impl Vast {
    /// The part of a pack that is asked for: a header, a record of a page, or something of the footer.
    fn part(&self, pack: PackId, offset: u64, buffer: &mut [u8]) {
        if offset == 0 {
            return buffer.copy_from_slice(&encode_header(pack, self.domain.id));
        }
        let entries = entries_of(number_of(pack), &self.domain);
        let end = end_of(&entries);
        if let Some(from_footer) = offset.checked_sub(end) {
            let footer = encode_footer(pack, self.domain.id, &entries, end);
            return buffer.copy_from_slice(&footer[usize::try_from(from_footer).unwrap()..][..buffer.len()]);
        }
        let ordinal = entries
            .iter()
            .position(|entry| u64::from(entry.offset) == offset)
            .unwrap();
        assert_eq!(entries[ordinal].kind, Kind::Page, "a census reads no chunks");
        let number = pages_of(number_of(pack)).start + ordinal as u64 / u64::from(PAGE_RECORDS);
        let plain = page::encode(&page_of(number));
        let mut sealer = self.sealer.lock().unwrap();
        let record = sealer.seal(&self.domain.keys, Kind::Page, entries[ordinal].id, &plain);
        buffer.copy_from_slice(record.unwrap());
    }

    fn pack(&self, key: &BlobKey) -> Option<PackId> {
        let pack = names::uuid_of(key)
            .map(PackId::new)
            .filter(|id| names::pack(*id) == *key)?;
        (self.packs.contains(&pack) && !self.deleted.lock().unwrap().contains(&pack)).then_some(pack)
    }
}

impl BlobStore for Vast {
    fn create(&self, key: &BlobKey) -> Result<Box<dyn BlobWriter>, BlobError> {
        self.others.create(key)
    }

    fn put(&self, key: &BlobKey, bytes: &[u8]) -> Result<(), BlobError> {
        self.others.put(key, bytes)
    }

    fn read(&self, key: &BlobKey, offset: u64, buffer: &mut [u8]) -> Result<(), BlobError> {
        match self.pack(key) {
            Some(pack) => {
                self.part(pack, offset, buffer);
                Ok(())
            }
            None => self.others.read(key, offset, buffer),
        }
    }

    fn size(&self, key: &BlobKey) -> Result<u64, BlobError> {
        match self.pack(key) {
            Some(pack) => Ok(summary_of(number_of(pack), &self.domain).size_bytes),
            None => self.others.size(key),
        }
    }

    fn list(&self, prefix: &str, visit: &mut dyn FnMut(BlobEntry) -> ControlFlow<()>) -> Result<(), BlobError> {
        self.others.list(prefix, visit)
    }

    fn delete(&self, key: &BlobKey) -> Result<(), BlobError> {
        match self.pack(key) {
            Some(pack) => {
                self.deleted.lock().unwrap().insert(pack);
                Ok(())
            }
            None => self.others.delete(key),
        }
    }
}

impl ChunkIndex for VastIndex {
    fn contains(&self, id: &ChunkId) -> Result<bool, IndexError> {
        Ok(self.locate(std::slice::from_ref(id))?[0].is_some())
    }

    fn locate(&self, ids: &[ChunkId]) -> Result<Vec<Option<Location>>, IndexError> {
        let place = |id: &ChunkId| {
            let at = self.places.binary_search_by_key(&part_of(id), |place| place.0).ok()?;
            let (pack, ordinal) = (self.places[at].1 / PACK_RECORDS, self.places[at].1 % PACK_RECORDS);
            let (pages, chunks) = (ordinal / PAGE_RECORDS, ordinal % PAGE_RECORDS);
            let chunk_length = CHUNK_BYTES + u32::try_from(OVERHEAD_BYTES).unwrap();
            let page_length = u32::try_from(page::MAX_PAGE_BYTES + OVERHEAD_BYTES).unwrap();
            let before = pages * (PAGE_CHUNKS * chunk_length + page_length) + chunks * chunk_length;
            let is_page = chunks == PAGE_RECORDS - 1;
            Some(Location {
                pack: pack_id(pack),
                offset: u32::try_from(HEADER_BYTES).unwrap() + before,
                length: if is_page { page_length } else { chunk_length },
            })
        };
        Ok(ids.iter().map(place).collect())
    }

    fn add_pack(&self, _pack: PackId, _entries: &[IndexEntry]) -> Result<(), IndexError> {
        Ok(())
    }

    fn packs(&self, after: Option<PackId>, limit: usize) -> Result<Vec<PackId>, IndexError> {
        let first = after.map_or(Bound::Unbounded, Bound::Excluded);
        let packs = self.packs.range((first, Bound::Unbounded));
        Ok(packs.take(limit).copied().collect())
    }

    fn remove_pack(&self, _pack: PackId, _chunks: &[ChunkId]) -> Result<(), IndexError> {
        Ok(())
    }

    fn clear(&self) -> Result<(), IndexError> {
        Ok(())
    }

    fn flush(&self) -> Result<(), IndexError> {
        Ok(())
    }
}

fn part_of(id: &ChunkId) -> u64 {
    u64::from_be_bytes(*id.as_bytes().first_chunk().unwrap())
}

fn summary_of(pack: u32, domain: &DomainCore) -> PackSummary {
    let entries = entries_of(pack, domain);
    let end = end_of(&entries);
    let footer = encode_footer(pack_id(pack), domain.id, &entries, end);
    summary(pack_id(pack), domain.id, end + footer.len() as u64, &entries)
}

/// A vault of so many packs. Two copies of each part of it: one has all pages, the other one every second.
fn vast(packs: u32) -> (Vault, Domain) {
    let options = VaultOptions {
        chunk_size: ChunkSize::new(CHUNK_BYTES).unwrap(),
        ..VaultOptions::default()
    };
    let (blobs, master, catalog) = (
        MemoryBlobs::default(),
        MasterKey::generate().unwrap(),
        Arc::new(MemoryCatalog::default()),
    );
    let small = Vault::open(
        Arc::new(blobs.clone()),
        &master,
        Arc::new(MemoryIndex::default()),
        catalog.clone(),
        options,
    );
    let domain = small.unwrap().domain(DomainId::random()).unwrap().core;
    let mut places = Vec::with_capacity((packs * PACK_RECORDS) as usize);
    let mut pages = Vec::new();
    for pack in 0..packs {
        let entries = entries_of(pack, &domain);
        let first = pack * PACK_RECORDS;
        places.extend(
            (first..)
                .zip(&entries)
                .map(|(record, entry)| (part_of(&entry.id), record)),
        );
        let size = PackSummary {
            id: pack_id(pack),
            ..summary_of(0, &domain)
        };
        catalog.record(&size).unwrap();
        pages.extend(pages_of(pack).map(|number| ChunkHash::of(&page::encode(&page_of(number)))));
    }
    places.sort_unstable();
    for pages in pages.chunks(usize::try_from(COPY_PAGES).unwrap()) {
        for step in [1, 2] {
            let pages: BTreeMap<u64, ChunkHash> = (0..).zip(pages.iter().copied()).step_by(step).collect();
            let geometry = Geometry {
                size_bytes: COPY_PAGES * u64::from(PAGE_CHUNKS) * u64::from(CHUNK_BYTES),
                chunk_size: options.chunk_size,
            };
            let manifest = Manifest {
                geometry,
                pack_bytes: 0,
                digest: [0; 32],
                pages: PageMap::new(&pages, geometry.page_count()),
                metadata: Vec::new(),
            };
            let id = ManifestId::random();
            let bytes = manifest.encode(domain.id, id, &domain.keys.manifests).unwrap();
            blobs.put(&names::manifest(domain.id, id), &bytes).unwrap();
        }
    }
    let packs: BTreeSet<PackId> = (0..packs).map(pack_id).collect();
    let id = domain.id;
    let store = Vast {
        others: blobs,
        domain,
        packs: packs.clone(),
        deleted: Mutex::default(),
        sealer: Mutex::new(Sealer::new(RecheckShare::default()).unwrap()),
    };
    let index = VastIndex { places, packs };
    let vault = Vault::open(Arc::new(store), &master, Arc::new(index), catalog, options).unwrap();
    let domain = vault.domain(id).unwrap();
    (vault, domain)
}

/// The most memory that something holds beside what there was before, in MiB.
fn mib_held(work: impl FnOnce()) -> f64 {
    f64::from(u32::try_from(measure(work).bytes_max >> 10).unwrap()) / 1024.0
}

/// What does not grow with the vault: footers that are kept, the manifest that is walked, what is looked up at once.
const CONSTANT_MIB: f64 = 2.25;
const MIB_PER_TIB: f64 = 8.0;

#[test]
fn counting_and_collecting_take_a_few_mebibytes_of_memory_per_tebibyte() {
    let tib = std::env::var("SNAPSHOT_VAST_TIB").map_or(DEFAULT_TIB, |tib| tib.parse().unwrap());
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a small number")]
    let packs = (tib * f64::from(PACKS_PER_TIB)) as u32;
    let (vault, domain) = vast(packs);
    let collect = |end| {
        let impatient = &mut |_| ControlFlow::Break(());
        let done = vault.collect(
            &Nobody,
            &Promises::default(),
            &CollectOptions::default(),
            impatient,
            &|| false,
        );
        let done = done.unwrap();
        assert_eq!((done.end, &done.unreadable[..]), (CollectionEnd::Done, &[][..]));
        assert_eq!(done.deleted, end);
    };

    let census = mib_held(|| {
        let packs = listed(&*vault.0.catalog).unwrap();
        let census = Census::take(&vault, packs, &Promises::default(), &|| false).unwrap();
        assert!(
            census
                .packs
                .iter()
                .all(|pack| pack.live_bytes == Some(pack.record_bytes()))
        );
    });
    let collection = mib_held(|| collect(0));
    let usage = mib_held(|| {
        let usage = domain.usage(&|| false).unwrap();
        assert_eq!((usage.totals.packs, usage.totals.dead_bytes), (packs.into(), 0));
    });
    for id in domain.manifests().unwrap() {
        domain.delete_manifest(id).unwrap();
    }
    let removal = mib_held(|| collect(packs.into()));

    let records = packs * PACK_RECORDS;
    println!("{tib} TiB in {packs} packs with {records} records: MiB held, and per TiB beyond {CONSTANT_MIB} MiB");
    for (what, held) in [
        ("a census", census),
        ("a collection of nothing", collection),
        ("a measurement of sizes", usage),
        ("a collection of everything", removal),
    ] {
        let per_tib = (held - CONSTANT_MIB).max(0.0) / tib;
        println!("{what}: {held:.2} MiB, {per_tib:.2} MiB per TiB");
        assert!(per_tib < MIB_PER_TIB, "{what} takes too much");
    }
}
