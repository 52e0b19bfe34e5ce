//! How near a first copy comes to what this machine can do:
//! `cargo run --release -p snapshot-vault --example limit -- FOLDER IMAGE [THREADS] [ROUNDS]`.
//!
//! In each round, in the same process and with the same threads, the image is copied into a new vault in FOLDER/copy, then
//! the bare work is done with the same data: read, skip zeros, hash, compress, seal, write and sync packs, and nothing else
//! (no index, no catalog, no parent, no manifest, no digest, no checksums). The copy is made a second time with every chunk
//! opened again and compared before it is stored, as the setting `vault.recheck_percent` allows.
//!
//! Prints one line of JSON: medians of seconds and CPU seconds. CPU seconds hold on a busy machine, wall seconds do not.
#![allow(clippy::print_stdout, reason = "printing is what it is for")]

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use snapshot_vault::testing::MemoryCatalog;
use snapshot_vault::{
    BlobKey, BlobStore, BlobWriter, DomainId, LocalBlobs, ManifestId, MasterKey, PageWriter, RecheckShare, RedbIndex,
    Vault, VaultOptions,
};
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;
use zstd::bulk::Compressor;
use zstd::zstd_safe::CParameter;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

const CHUNK_BYTES: usize = 128 << 10;
const READ_BYTES: u64 = 1 << 20;
const PAGE_BYTES: u64 = 32 << 20;
const PACK_BYTES: usize = 64 << 20;

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let usage = "usage: limit FOLDER IMAGE [THREADS] [ROUNDS]";
    let folder = Path::new(&arguments.next().ok_or(usage)?).join("copy");
    let image = File::open(arguments.next().ok_or(usage)?)?;
    let threads = arguments.next().map_or(Ok(2), |threads| threads.parse())?;
    let rounds = arguments.next().map_or(Ok(3), |rounds| rounds.parse())?;
    fs::create_dir_all(folder.parent().ok_or(usage)?)?;
    let work = Work {
        folder: &folder,
        size_bytes: image.metadata()?.len(),
        image,
        threads,
    };
    let all = RecheckShare::new(100).ok_or("a share is at most 100")?;
    let mut measured: [Vec<(f64, f64)>; 3] = Default::default();
    for _ in 0..rounds {
        measured[0].push(work.measured(|work| work.vault(RecheckShare::default()))?);
        measured[1].push(work.measured(|work| work.vault(all))?);
        measured[2].push(work.measured(Work::bare)?);
    }
    let names = ["vault", "vault_opening_all", "bare"];
    let parts = names.iter().zip(&measured).map(|(name, rounds)| {
        let (seconds, cpu) = (median(rounds, |round| round.0), median(rounds, |round| round.1));
        format!("\"{name}\": {{\"seconds\": {seconds:.3}, \"cpu\": {cpu:.2}}}")
    });
    println!("{{{}}}", parts.collect::<Vec<_>>().join(", "));
    Ok(())
}

fn median(rounds: &[(f64, f64)], which: impl Fn(&(f64, f64)) -> f64) -> f64 {
    let mut values: Vec<f64> = rounds.iter().map(which).collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// User and system seconds of this process. Linux counts them in hundredths.
fn cpu_seconds() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    let ticks = after_name.split_whitespace().skip(11).take(2);
    ticks.filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() / 100.0
}

/// The copy that is made in different ways.
struct Work<'a> {
    folder: &'a Path,
    image: File,
    size_bytes: u64,
    threads: usize,
}

impl Work<'_> {
    fn measured(&self, way: impl Fn(&Self) -> Result<()>) -> Result<(f64, f64)> {
        // A folder that is there already is somebody's, and not to be removed afterwards.
        fs::create_dir(self.folder)?;
        let (cpu, start) = (cpu_seconds(), Instant::now());
        way(self)?;
        let measured = (start.elapsed().as_secs_f64(), cpu_seconds() - cpu);
        fs::remove_dir_all(self.folder)?;
        Ok(measured)
    }

    /// As the service does it.
    fn vault(&self, recheck: RecheckShare) -> Result<()> {
        let vault = Vault::open(
            Arc::new(LocalBlobs::open(&self.folder.join("vault"))?),
            &MasterKey::generate()?,
            Arc::new(RedbIndex::open(&self.folder.join("chunks.redb"))?),
            Arc::new(MemoryCatalog::default()),
            VaultOptions {
                recheck,
                ..VaultOptions::default()
            },
        )?;
        let domain = vault.domain(DomainId::random())?;
        let session = domain.begin_copy(ManifestId::random(), self.size_bytes, None)?;
        self.in_parallel(|| Ok(session.worker()?))?;
        session.commit(b"")?;
        Ok(())
    }

    /// Nothing but the work that no copy can do without.
    fn bare(&self) -> Result<()> {
        let blobs = LocalBlobs::open(&self.folder.join("packs"))?;
        let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &[7; 32])?);
        let numbers = AtomicU64::new(0);
        self.in_parallel(|| {
            Ok(Bare {
                blobs: &blobs,
                numbers: &numbers,
                key: &key,
                compressor: compressor()?,
                pack: None,
                sealed: vec![0; CHUNK_BYTES],
                hashes: 0,
            })
        })
    }

    /// Reads the image page by page, and gives what is no hole to one sink for each thread.
    fn in_parallel<S: Sink>(&self, sink: impl Fn() -> Result<S> + Sync) -> Result<()> {
        let next = AtomicU64::new(0);
        let pages = self.size_bytes.div_ceil(PAGE_BYTES);
        let work = || -> Result<()> {
            let mut sink = sink()?;
            let mut buffer = vec![0; usize::try_from(READ_BYTES)?];
            loop {
                let page = next.fetch_add(1, Ordering::Relaxed);
                if page >= pages {
                    return sink.end();
                }
                let end = ((page + 1) * PAGE_BYTES).min(self.size_bytes);
                sink.begin(page)?;
                for offset in (page * PAGE_BYTES..end).step_by(usize::try_from(READ_BYTES)?) {
                    let len = READ_BYTES.min(end - offset);
                    if self.is_hole(offset, len) {
                        sink.zeros(len)?;
                    } else {
                        let piece = &mut buffer[..usize::try_from(len)?];
                        self.image.read_exact_at(piece, offset)?;
                        sink.data(piece)?;
                    }
                }
                sink.page_end()?;
            }
        };
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..self.threads).map(|_| scope.spawn(work)).collect();
            threads
                .into_iter()
                .try_for_each(|thread| thread.join().expect("a worker does not panic"))
        })
    }

    fn is_hole(&self, offset: u64, len: u64) -> bool {
        match rustix::fs::seek(&self.image, rustix::fs::SeekFrom::Data(offset)) {
            Ok(data) => data >= offset + len,
            Err(error) => error == rustix::io::Errno::NXIO,
        }
    }
}

/// What becomes of the bytes that one thread reads.
trait Sink {
    fn begin(&mut self, page: u64) -> Result<()>;
    fn data(&mut self, bytes: &[u8]) -> Result<()>;
    fn zeros(&mut self, bytes: u64) -> Result<()>;
    fn page_end(&mut self) -> Result<()>;
    fn end(self) -> Result<()>;
}

impl Sink for PageWriter<'_> {
    fn begin(&mut self, page: u64) -> Result<()> {
        Ok(self.begin_page(page)?)
    }

    fn data(&mut self, bytes: &[u8]) -> Result<()> {
        Ok(self.push(bytes)?)
    }

    fn zeros(&mut self, bytes: u64) -> Result<()> {
        Ok(self.push_zeros(bytes)?)
    }

    fn page_end(&mut self) -> Result<()> {
        Ok(self.finish_page()?)
    }

    fn end(self) -> Result<()> {
        Ok(self.finish()?)
    }
}

/// As the vault's.
fn compressor() -> Result<Compressor<'static>> {
    let mut compressor = Compressor::new(1)?;
    compressor.set_parameter(CParameter::HashLog(14))?;
    Ok(compressor)
}

struct Bare<'a> {
    blobs: &'a LocalBlobs,
    numbers: &'a AtomicU64,
    key: &'a LessSafeKey,
    compressor: Compressor<'static>,
    pack: Option<(Box<dyn BlobWriter>, usize)>,
    sealed: Vec<u8>,
    /// Something that depends on every hash, so that none is left out.
    hashes: u8,
}

impl Bare<'_> {
    fn chunk(&mut self, chunk: &[u8]) -> Result<()> {
        if chunk.iter().fold(0, |bits, byte| bits | byte) == 0 {
            return Ok(());
        }
        self.hashes ^= blake3::hash(chunk).as_bytes()[0];
        let room = &mut self.sealed[..chunk.len() - chunk.len() / 20];
        let compressed = self.compressor.compress_to_buffer(chunk, room);
        let len = compressed.as_ref().copied().unwrap_or(chunk.len());
        if compressed.is_err() {
            self.sealed[..len].copy_from_slice(chunk);
        }
        let mut nonce = [0; 12];
        aws_lc_rs::rand::fill(&mut nonce)?;
        let sealed = &mut self.sealed[..len];
        let tag = self
            .key
            .seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), Aad::empty(), sealed)?;
        if self.pack.as_ref().is_some_and(|(_, filled)| *filled >= PACK_BYTES) {
            self.close()?;
        }
        if self.pack.is_none() {
            let number = self.numbers.fetch_add(1, Ordering::Relaxed);
            self.pack = Some((self.blobs.create(&BlobKey::parse(&format!("packs/{number}"))?)?, 0));
        }
        let (writer, filled) = self.pack.as_mut().ok_or("a pack was opened")?;
        writer.write(&self.sealed[..len])?;
        writer.write(tag.as_ref())?;
        *filled += len;
        Ok(())
    }

    fn close(&mut self) -> Result<()> {
        match self.pack.take() {
            Some((writer, _)) => Ok(writer.commit()?),
            None => Ok(()),
        }
    }
}

impl Sink for Bare<'_> {
    fn begin(&mut self, _page: u64) -> Result<()> {
        Ok(())
    }

    fn data(&mut self, bytes: &[u8]) -> Result<()> {
        bytes.chunks(CHUNK_BYTES).try_for_each(|chunk| self.chunk(chunk))
    }

    fn zeros(&mut self, _bytes: u64) -> Result<()> {
        Ok(())
    }

    fn page_end(&mut self) -> Result<()> {
        Ok(())
    }

    fn end(mut self) -> Result<()> {
        std::hint::black_box(self.hashes);
        self.close()
    }
}
