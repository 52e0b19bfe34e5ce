//! Every region of every kind of object, flipped bit by bit: each flip is found, named, and never read as content.

use crate::regions::{Part, Region, regions};
use crate::support::{CHUNK, PAGE, TestVault, copy, master, noise, open};
use snapshot_vault::testing::{MemoryBlobs, MemoryIndex};
use snapshot_vault::{
    BlobKey, BlobStore, DomainId, ManifestId, ReadBuffers, StoredCopy, VaultError, Verification, VerifyOptions,
    verify_stored, verify_vault,
};
use std::collections::BTreeMap;
use std::num::NonZero;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A vault, and what is in its copies.
struct Stored {
    test: TestVault,
    contents: BTreeMap<ManifestId, Vec<u8>>,
}

/// A bit to flip.
struct Flip<'a> {
    key: &'a BlobKey,
    region: &'a Region,
    bit: usize,
}

impl Stored {
    fn new(contents: &[Vec<u8>]) -> Self {
        let test = TestVault::new();
        let stored = contents
            .iter()
            .map(|content| (copy(&test.domain, content, None).manifest_id(), content.clone()));
        Self {
            contents: stored.collect(),
            test,
        }
    }

    /// The objects with their fields.
    fn objects(&self) -> Vec<(BlobKey, Vec<Region>)> {
        let with_regions = |key: BlobKey| {
            let regions = regions(&key, &self.test.blobs.get(&key).unwrap());
            (key, regions)
        };
        self.test.blobs.keys().into_iter().map(with_regions).collect()
    }

    /// Tries every flip, on all cores; each thread has objects of its own to damage.
    fn try_all(&self, flips: &[Flip<'_>]) {
        let next = AtomicUsize::new(0);
        let threads = std::thread::available_parallelism().map_or(1, NonZero::get);
        std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| {
                    let blobs = MemoryBlobs::default();
                    for key in self.test.blobs.keys() {
                        blobs.overwrite(&key, self.test.blobs.get(&key).unwrap());
                    }
                    while let Some(flip) = flips.get(next.fetch_add(1, Ordering::Relaxed)) {
                        let whole = blobs.get(flip.key).unwrap();
                        let mut flipped = whole.clone();
                        flipped[flip.bit / 8] ^= 1 << (flip.bit % 8);
                        blobs.overwrite(flip.key, flipped);
                        self.check(&blobs, flip);
                        blobs.overwrite(flip.key, whole);
                    }
                });
            }
        });
    }

    fn check(&self, blobs: &MemoryBlobs, flip: &Flip<'_>) {
        let Flip { key, region, bit } = flip;
        let at = format!("{key}, {}, bit {bit}", region.field);
        // A pack of a later version may hold anything.
        let is_of_later_version = region.field == "header: version";
        check_verifications(blobs, key, is_of_later_version, &at);

        let opened = open(Arc::new(blobs.clone()), &self.test.index, &self.test.catalog);
        if region.part == Part::Description {
            return assert_eq!(named(&opened.unwrap_err()), key.as_str(), "{at}");
        }
        let domain = opened.unwrap().domain(self.test.domain.id());
        if region.part == Part::Key {
            return assert_eq!(named(&domain.unwrap_err()), key.as_str(), "{at}");
        }
        let domain = domain.unwrap();
        let mut lost = 0;
        for (id, content) in &self.contents {
            let error = match domain.open_manifest(*id) {
                Ok(copy) => read(&copy, content, &at).err(),
                Err(error) => {
                    assert_eq!(named(&error), manifest_of(domain.id(), *id), "{at}");
                    Some(error)
                }
            };
            if let Some(error) = error {
                assert_eq!(named(&error), key.as_str(), "{at}");
                lost += 1;
            }
        }
        let (expected_lost, found_by_reconcile) = match region.part {
            Part::PackEnds if is_of_later_version => (0..=0, vec![key.as_str().rsplit('/').next().unwrap().to_owned()]),
            Part::PackEnds => (0..=0, Vec::new()),
            Part::Manifest => (1..=1, Vec::new()),
            _ => (1..=self.contents.len(), Vec::new()),
        };
        assert!(expected_lost.contains(&lost), "{at}: {lost} copies lost");

        // A start that has lost its index reads the ends of all packs.
        let restarted = open(Arc::new(blobs.clone()), &MemoryIndex::default(), &self.test.catalog).unwrap();
        let found: Vec<String> = restarted
            .reconcile()
            .unwrap()
            .damaged
            .iter()
            .map(|pack| pack.id.to_string())
            .collect();
        assert_eq!(found, found_by_reconcile, "{at}");
        let domain = restarted.domain(self.test.domain.id()).unwrap();
        let mut lost_without_index = 0;
        for (id, content) in &self.contents {
            let copy = domain.open_manifest(*id);
            lost_without_index += usize::from(copy.and_then(|copy| read(&copy, content, &at)).is_err());
        }
        assert!(is_of_later_version || lost_without_index == lost, "{at}");
    }
}

/// Both levels of verification name the object, and no other.
fn check_verifications(blobs: &MemoryBlobs, key: &BlobKey, is_of_later_version: bool, at: &str) {
    let options = VerifyOptions {
        threads: NonZero::<usize>::MIN,
        ..VerifyOptions::default()
    };
    let blobs: Arc<dyn BlobStore> = Arc::new(blobs.clone());
    let damaged = |found: Verification| -> Vec<String> { found.damage.into_iter().map(|it| it.object).collect() };
    let by_checksums = damaged(verify_stored(blobs.clone(), &options, &|_| {}).unwrap());
    let mut by_opening = damaged(verify_vault(blobs, &master(), &options, &|_| {}).unwrap());

    assert_eq!(by_checksums, [key.as_str()], "{at}");
    // What such a pack holds can't be known, so those who miss it are named, too.
    by_opening.retain(|object| !is_of_later_version || !object.starts_with("manifests/"));
    assert_eq!(by_opening, [key.as_str()], "{at}");
}

/// Reads a copy. Whatever is given out is right, also when the rest is lost.
fn read(copy: &StoredCopy, content: &[u8], at: &str) -> Result<(), VaultError> {
    let mut buffers = ReadBuffers::default();
    let verifier = copy.verifier();
    for page in copy.data_pages() {
        let read = copy.read_page(page, &mut buffers, &mut |offset, plain| {
            let offset = usize::try_from(offset).unwrap();
            assert!(content[offset..offset + plain.len()] == *plain, "{at}: wrong bytes");
            Ok(())
        })?;
        verifier.page_read(&read);
    }
    verifier.finish()
}

fn named(error: &VaultError) -> &str {
    match error {
        VaultError::Damaged { object, .. } | VaultError::UnsupportedVersion { object, .. } => object,
        other => panic!("{other}"),
    }
}

fn manifest_of(domain: DomainId, id: ManifestId) -> String {
    format!("manifests/{domain}/{id}")
}

/// Chunks of text: they compress to a few bytes, so that all of them can be flipped.
fn text(first_chunk: usize, chunks: usize) -> Vec<u8> {
    (first_chunk..first_chunk + chunks)
        .flat_map(|chunk| format!("{chunk:09}\n").into_bytes().into_iter().cycle().take(CHUNK))
        .collect()
}

#[test]
fn every_bit_of_small_objects() {
    // Zero pages before and behind; a zstd chunk that both copies need, a zero chunk, and a raw one in the short tail.
    let sparse = [vec![0; PAGE], text(0, 1), vec![0; CHUNK], noise(1, 20)].concat();
    let stored = Stored::new(&[sparse, [text(0, 1), vec![0; 2 * PAGE]].concat()]);
    let objects = stored.objects();
    let flips: Vec<Flip<'_>> = objects
        .iter()
        .flat_map(|(key, regions)| regions.iter().map(move |region| (key, region)))
        .flat_map(|(key, region)| {
            let bits = region.bytes.start * 8..region.bytes.end * 8;
            bits.map(move |bit| Flip { key, region, bit })
        })
        .collect();

    stored.try_all(&flips);

    assert_eq!(objects.len(), 6, "a description, a key, two packs and two manifests");
    assert!(flips.len() > 15_000);
    eprintln!("{} flips in {} objects, all found", flips.len(), objects.len());
}

#[test]
fn a_spread_of_bits_of_large_objects() {
    // A full page of zstd chunks with a raw one and a zero one among them, and a short page that ends in a short chunk.
    let full = [text(0, 100), noise(1, CHUNK), vec![0; CHUNK], text(200, 154)].concat();
    let stored = Stored::new(&[[full, noise(2, 2 * CHUNK + 17)].concat()]);
    let objects = stored.objects();
    let mut flips: Vec<Flip<'_>> = Vec::new();
    for (key, regions) in &objects {
        let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
        for region in regions {
            let number = seen.entry(region.field).or_default();
            *number += 1;
            let is_large = region.bytes.len() > 1000;
            // A field that occurs once has all its bytes flipped, one of many records' in every 97th of them; another bit
            // of each byte.
            if *number % 97 == 1 || is_large {
                let step = (region.bytes.len() / 8).max(1);
                for byte in region.bytes.clone().step_by(step).chain([region.bytes.end - 1]) {
                    let bit = byte * 8 + (byte + *number) % 8;
                    flips.push(Flip { key, region, bit });
                }
            }
        }
    }

    stored.try_all(&flips);

    let largest = objects
        .iter()
        .map(|(_, regions)| regions.last().unwrap().bytes.end)
        .max();
    assert!(largest > Some(150_000), "{largest:?}");
    assert!(flips.len() > 400, "{}", flips.len());
    eprintln!("{} flips in {} objects, all found", flips.len(), objects.len());
}
