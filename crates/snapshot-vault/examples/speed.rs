//! How fast this machine copies and reads:
//! `cargo run --release -p snapshot-vault --example speed -- FOLDER [MIB or FILE] [WORKERS]`.
//!
//! Takes a file (a disk image, an archive) or makes a content that compresses to some 70 %, copies it from memory into a
//! new vault under FOLDER (which must be empty or absent), copies it again unchanged with and without its parent, changes
//! 2 % of its 4 KiB blocks and copies it once more, reads both back, counts what they take, verifies the
//! vault, collects what one of them took alone, and prints a line for each. CPU seconds hold on a
//! busy machine, wall seconds do not.
#![allow(clippy::print_stdout, reason = "printing is what it is for")]
#![allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "the numbers are small"
)]

use snapshot_vault::testing::{MemoryCatalog, Promises};
use snapshot_vault::{
    CatalogError, CollectOptions, CopySummary, Domain, DomainId, LocalBlobs, ManifestId, MasterKey, ReadBuffers,
    RedbIndex, RunningCopies, StoredCopy, Vault, VaultError, VaultOptions, VerifyOptions, verify_stored, verify_vault,
};
use std::error::Error;
use std::num::NonZero;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

struct NoOtherCopies;

impl RunningCopies for NoOtherCopies {
    fn running(&self) -> Result<Vec<ManifestId>, CatalogError> {
        Ok(Vec::new())
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let folder = arguments.next().ok_or("usage: speed FOLDER [MIB or FILE] [WORKERS]")?;
    let source = arguments.next().unwrap_or_else(|| "1024".to_owned());
    let mut content = match source.parse::<usize>() {
        Ok(mib) => made_up_content(mib << 20),
        Err(_) => std::fs::read(source)?,
    };
    let mib = content.len() >> 20;
    let workers: usize = arguments.next().map_or(Ok(1), |workers| workers.parse())?;

    let key = MasterKey::generate()?;
    let folder = Path::new(&folder);
    std::fs::create_dir_all(folder)?;
    let vault = Vault::open(
        Arc::new(LocalBlobs::open(&folder.join("vault"))?),
        &key,
        Arc::new(RedbIndex::open(&folder.join("chunks.redb"))?),
        Arc::new(MemoryCatalog::default()),
        VaultOptions::default(),
    )?;
    let domain = vault.domain(DomainId::random())?;
    println!("{mib} MiB, {workers} workers");
    let first = measure("first copy", mib, || copy(&domain, &content, None, workers))?;
    println!(
        "{:24}{:8.2} of the content",
        "  stored",
        first.stored_bytes as f64 / content.len() as f64
    );
    let parent = domain.open_manifest(first.manifest)?;
    measure("unchanged, with parent", mib, || {
        copy(&domain, &content, Some(&parent), workers)
    })?;
    measure("unchanged, by the index", mib, || {
        copy(&domain, &content, None, workers)
    })?;
    change(&mut content);
    let changed = measure("2 % changed", mib, || copy(&domain, &content, Some(&parent), workers))?;
    let changed = domain.open_manifest(changed.manifest)?;
    measure("read the first", mib, || read(&parent, workers))?;
    measure("read the changed", mib, || read(&changed, workers))?;
    let usage = measure("count what copies take", mib, || domain.usage(&|| false))?;
    println!(
        "{:24}{:8} packs, {} MiB in use",
        "",
        usage.totals.packs,
        usage.totals.live_bytes >> 20
    );
    let options = VerifyOptions {
        threads: NonZero::new(workers).ok_or("at least one worker")?,
        ..VerifyOptions::default()
    };
    let blobs = Arc::new(LocalBlobs::open_read_only(&folder.join("vault"))?);
    for (what, level) in [("verify by checksums", 1), ("verify by opening", 2)] {
        let found = measure(what, mib, || match level {
            1 => verify_stored(blobs.clone(), &options, &|_| {}),
            _ => verify_vault(blobs.clone(), &key, &options, &|_| {}),
        })?;
        assert_eq!(found.damage, [], "the copies were read and found whole");
    }
    domain.delete_manifest(changed.manifest_id())?;
    let collected = measure("collect one deleted", mib, || {
        let impatient = &mut |_| ControlFlow::Break(());
        let (promised, options) = (Promises::default(), CollectOptions::default());
        vault.collect(&NoOtherCopies, &promised, &options, impatient, &|| false)
    })?;
    println!("{:24}{:8} MiB freed", "", collected.freed_bytes() >> 20);
    Ok(())
}

fn measure<T>(what: &str, mib: usize, work: impl FnOnce() -> Result<T, VaultError>) -> Result<T, VaultError> {
    let (cpu, start) = (cpu_seconds(), Instant::now());
    let result = work()?;
    let (wall, cpu) = (start.elapsed().as_secs_f64(), cpu_seconds() - cpu);
    let mib = mib as f64;
    println!(
        "{what:24}{wall:8.2} s {cpu:8.2} CPU s {:8.0} MiB/s {:8.0} MiB/CPU s",
        mib / wall,
        mib / cpu
    );
    Ok(result)
}

/// User and system time of this process. Linux counts them in hundredths.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    after_name
        .split_whitespace()
        .skip(11)
        .take(2)
        .filter_map(|ticks| ticks.parse::<f64>().ok())
        .sum::<f64>()
        / 100.0
}

fn copy(
    domain: &Domain,
    content: &[u8],
    parent: Option<&StoredCopy>,
    workers: usize,
) -> Result<CopySummary, VaultError> {
    let session = domain.begin_copy(ManifestId::random(), content.len() as u64, parent)?;
    let next = AtomicUsize::new(0);
    let work = || -> Result<(), VaultError> {
        let mut worker = session.worker()?;
        loop {
            let page = next.fetch_add(1, Ordering::Relaxed) as u64;
            if page >= session.page_count() {
                return worker.finish();
            }
            let span = session.page_span(page);
            worker.begin_page(page)?;
            for piece in content[span.start as usize..span.end as usize].chunks(1 << 20) {
                worker.push(piece)?;
            }
            worker.finish_page()?;
        }
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
        threads
            .into_iter()
            .try_for_each(|thread| thread.join().expect("a worker does not panic"))
    })?;
    session.commit(b"")
}

fn read(copy: &StoredCopy, workers: usize) -> Result<(), VaultError> {
    let pages: Vec<u64> = copy.data_pages().collect();
    let next = AtomicUsize::new(0);
    let verifier = copy.verifier();
    let work = || -> Result<(), VaultError> {
        let mut buffers = ReadBuffers::default();
        while let Some(page) = pages.get(next.fetch_add(1, Ordering::Relaxed)) {
            verifier.page_read(&copy.read_page(*page, &mut buffers, &mut |_, _| Ok(()))?);
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
        threads
            .into_iter()
            .try_for_each(|thread| thread.join().expect("a worker does not panic"))
    })?;
    verifier.finish()
}

/// Words from a small vocabulary, numbers, and now and then a run that does not compress.
fn made_up_content(len: usize) -> Vec<u8> {
    let mut random = Random(0x2545_f491_4f6c_dd1d);
    let words: Vec<String> = (0..4000)
        .map(|_| format!("{:x}", random.next() >> (8 + random.next() % 40)))
        .collect();
    let mut content = Vec::with_capacity(len + 1024);
    while content.len() < len {
        match random.next() % 64 {
            0 => (0..64).for_each(|_| content.extend_from_slice(&random.next().to_le_bytes())),
            1 => content.extend_from_slice(&[0; 128]),
            _ => {
                let word = &words[(random.next() % 4000).min(random.next() % 4000) as usize];
                content.extend_from_slice(word.as_bytes());
                content.push(b' ');
            }
        }
    }
    content.truncate(len);
    content
}

fn change(content: &mut [u8]) {
    let mut random = Random(7);
    let blocks = content.len() as u64 / 4096;
    for _ in 0..blocks / 50 {
        // Changes come in clusters, as on a real file system.
        let block = (random.next() % (blocks / 8)) / 16 * 128 + random.next() % 16;
        content[(block.min(blocks - 1) * 4096) as usize] ^= 0xff;
    }
}

/// Xorshift: quick, and the same in every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}
