//! The census once more, by the simplest means: from what the copies should hold.

use crate::content::{CHUNK, Content, PAGE_CHUNKS, fill};
use snapshot_vault::testing::{MemoryBlobs, MemoryCatalog, MemoryIndex};
use snapshot_vault::{
    BlobKey, ChunkSize, DomainId, ManifestId, MasterKey, PackCatalog, Totals, Usage, Vault, VaultOptions,
};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex};

/// What a copy needs: a chunk, or a page with what lies where in it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Record {
    Chunk(u64),
    Page(Vec<(u64, u64)>),
}

fn records(content: &Content) -> BTreeSet<Record> {
    let mut records: BTreeSet<Record> = content.values().map(|seed| Record::Chunk(*seed)).collect();
    let mut pages: BTreeMap<u64, Vec<(u64, u64)>> = BTreeMap::new();
    for (chunk, seed) in content {
        pages
            .entry(chunk / PAGE_CHUNKS)
            .or_default()
            .push((chunk % PAGE_CHUNKS, *seed));
    }
    records.extend(pages.into_values().map(Record::Page));
    records
}

/// Compares what the census says with what must be so.
pub(crate) fn check(
    blobs: &MemoryBlobs,
    catalog: &MemoryCatalog,
    committed: &BTreeMap<ManifestId, Content>,
    usage: &Usage,
) {
    let needs: BTreeMap<ManifestId, BTreeSet<Record>> =
        committed.iter().map(|(id, content)| (*id, records(content))).collect();
    let mut needed_by: BTreeMap<&Record, u64> = BTreeMap::new();
    for record in needs.values().flatten() {
        *needed_by.entry(record).or_default() += 1;
    }
    let counted: Vec<ManifestId> = usage.copies.iter().map(|copy| copy.manifest).collect();
    let expected: Vec<ManifestId> = committed.keys().copied().collect();
    assert_eq!(counted, expected);
    let mut totals = Totals {
        copies: committed.len() as u64,
        ..Totals::default()
    };
    for copy in &usage.copies {
        let alone = needs[&copy.manifest].iter().filter(|record| needed_by[record] == 1);
        let manifest_bytes = manifest_bytes(blobs, copy.manifest);
        assert_eq!(
            copy.exclusive_bytes,
            manifest_bytes + alone.map(stored_bytes).sum::<u64>()
        );
        assert_eq!(copy.referenced_bytes, (committed[&copy.manifest].len() * CHUNK) as u64);
        totals.referenced_bytes += copy.referenced_bytes;
        totals.live_bytes += manifest_bytes;
        totals.stored_bytes += manifest_bytes;
    }
    let mut live_records = 0;
    for record in needed_by.keys() {
        live_records += stored_bytes(record);
        if let Record::Chunk(_) = record {
            totals.unique_bytes += CHUNK as u64;
            totals.unique_stored_bytes += stored_bytes(record);
        }
    }
    totals.live_bytes += live_records;
    for pack in catalog.list(None, 10_000).unwrap() {
        totals.packs += 1;
        totals.stored_bytes += pack.size_bytes;
        totals.dead_bytes += pack.size_bytes - 64 - 72 - 48 * u64::from(pack.chunks);
    }
    totals.dead_bytes -= live_records;
    assert_eq!(usage.totals, totals);
}

fn manifest_bytes(blobs: &MemoryBlobs, id: ManifestId) -> u64 {
    let name = format!("/{id}");
    let key = blobs
        .keys()
        .into_iter()
        .find(|key| key.as_str().ends_with(&name))
        .unwrap();
    blobs.get(&key).unwrap().len() as u64
}

/// How long the record is that holds this, as a vault of its own stores it.
fn stored_bytes(record: &Record) -> u64 {
    static KNOWN: Mutex<Option<HashMap<Record, u64>>> = Mutex::new(None);
    let mut known = KNOWN.lock().unwrap();
    let known = known.get_or_insert_default();
    if let Some(bytes) = known.get(record) {
        return *bytes;
    }
    let content = match record {
        Record::Chunk(seed) => Content::from([(0, *seed)]),
        Record::Page(chunks) => chunks.iter().copied().collect(),
    };
    // Chunks come first in their order, then the page.
    let lengths = lengths(&content);
    let bytes = match record {
        Record::Chunk(_) => lengths[0],
        Record::Page(_) => *lengths.last().unwrap(),
    };
    known.insert(record.clone(), bytes);
    bytes
}

/// The lengths of the records that a content of one page makes, by the footer of the pack.
fn lengths(content: &Content) -> Vec<u64> {
    let blobs = MemoryBlobs::default();
    let options = VaultOptions {
        chunk_size: ChunkSize::new(64 << 10).unwrap(),
        ..VaultOptions::default()
    };
    let (index, catalog) = (Arc::new(MemoryIndex::default()), Arc::new(MemoryCatalog::default()));
    let vault = Vault::open(
        Arc::new(blobs.clone()),
        &MasterKey::generate().unwrap(),
        index,
        catalog,
        options,
    )
    .unwrap();
    let domain = vault.domain(DomainId::random()).unwrap();
    let session = domain
        .begin_copy(ManifestId::random(), PAGE_CHUNKS * CHUNK as u64, None)
        .unwrap();
    fill(&session, content).unwrap();
    let is_pack = |key: &BlobKey| key.as_str().starts_with("packs/");
    let pack = blobs.get(&blobs.keys().into_iter().find(is_pack).unwrap()).unwrap();
    let trailer = &pack[pack.len() - 72..];
    let count = u32::from_le_bytes(*trailer[12..].first_chunk().unwrap()) as usize;
    let entries = pack[pack.len() - 72 - 48 * count..].chunks_exact(48).take(count);
    entries
        .map(|entry| u32::from_le_bytes(*entry[40..].first_chunk().unwrap()).into())
        .collect()
}
