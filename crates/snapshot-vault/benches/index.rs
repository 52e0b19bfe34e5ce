//! What the chunk index costs: `cargo bench -p snapshot-vault --bench index -- [MILLION KEYS] [FOLDER]`.
//!
//! Adds random keys pack by pack, a thousand keys each, and prints a line per step: inserts per second, the time of a
//! look-up that misses and of one that hits, bytes on disk per key, peak memory of the process, and the time to open
//! the file again.
#![allow(clippy::print_stdout, reason = "printing is what it is for")]

use snapshot_vault::{ChunkId, ChunkIndex, IndexEntry, PackId, RedbIndex};
use std::error::Error;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const KEYS_PER_PACK: u64 = 1000;
const LOOK_UPS: u64 = 20_000;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1).filter(|argument| !argument.starts_with("--"));
    let millions: u64 = arguments.next().map_or(Ok(1), |millions| millions.parse())?;
    let folder = arguments.next().map_or_else(std::env::temp_dir, PathBuf::from);
    let path = folder.join(format!("chunk-index-{}", std::process::id()));

    println!("   keys  inserts/s      miss       hit  disk/key  peak MiB    reopen");
    let result = run(&path, millions);
    std::fs::remove_file(&path)?;
    result
}

fn run(path: &Path, millions: u64) -> Result<(), Box<dyn Error>> {
    let mut index = RedbIndex::open(path)?;
    for million in 0..millions {
        let start = Instant::now();
        for pack in 0..1_000_000 / KEYS_PER_PACK {
            let first = million * 1_000_000 + pack * KEYS_PER_PACK;
            let entry = |key| IndexEntry {
                id: id(key),
                offset: 64,
                length: 50_000,
            };
            let entries: Vec<IndexEntry> = (first..first + KEYS_PER_PACK).map(entry).collect();
            index.add_pack(PackId::random(), &entries)?;
        }
        index.flush()?;
        let inserts = 1_000_000.0 / start.elapsed().as_secs_f64();
        let keys = (million + 1) * 1_000_000;
        let miss = look_ups(&index, |i| u64::MAX - i, false)?;
        let hit = look_ups(&index, |i| i.wrapping_mul(0x9e37_79b9_7f4a_7c15) % keys, true)?;
        drop(index);
        let disk = std::fs::metadata(path)?.len() / keys;
        let start = Instant::now();
        index = RedbIndex::open(path)?;
        let reopen = start.elapsed();
        println!(
            "{keys:8} {inserts:9.0} {miss:9.1?} {hit:9.1?} {disk:9} {:9} {reopen:9.1?}",
            peak_mib()
        );
    }
    Ok(())
}

/// The time of one look-up.
fn look_ups(index: &dyn ChunkIndex, key: impl Fn(u64) -> u64, expected: bool) -> Result<Duration, Box<dyn Error>> {
    let start = Instant::now();
    for i in 0..LOOK_UPS {
        assert_eq!(index.contains(&id(key(i)))?, expected, "look-up {i}");
    }
    Ok(start.elapsed() / u32::try_from(LOOK_UPS)?)
}

fn id(key: u64) -> ChunkId {
    ChunkId::from_bytes(*blake3::hash(&key.to_le_bytes()).as_bytes())
}

/// The largest resident memory of this process so far.
fn peak_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
    kib.unwrap_or_default() / 1024
}
