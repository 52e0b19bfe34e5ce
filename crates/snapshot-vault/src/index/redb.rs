//! The index in a redb file.
//!
//! Measured with `benches/index.rs` up to 20 million random keys, a thousand a pack, on two cores and one virtual disk;
//! and the same loop over fjall 3.1 (cache 16 MiB, write buffers 24 MiB), whose machine was busy with other work:
//!
//! | | million keys | inserts/s | miss | hit | disk per key | peak memory | reopen |
//! | --- | --- | --- | --- | --- | --- | --- | --- |
//! | redb | 2 | 45,000 | 6 µs | 8 µs | 142 B | 29 MiB | 1 ms |
//! | redb | 7 | 35,000 | 7 µs | 7 µs | 93 B | 30 MiB | 1 ms |
//! | redb | 12 | 33,000 | 7 µs | 9 µs | 109 B | 30 MiB | 1 ms |
//! | redb | 20 | 28,000 | 9 µs | 9 µs | 131 B | 30 MiB | 1 ms |
//! | fjall | 2 | 167,000 | 12 µs | 34 µs | 112 B | 105 MiB | 5.8 s |
//! | fjall | 7 | 152,000 | 292 µs | 201 µs | 60 B | 187 MiB | 2.4 s |
//! | fjall | 12 | 86,000 | 1,000 µs | 661 µs | 56 B | 187 MiB | 3.7 s |
//!
//! redb, because its memory stays what it is told, a restore (which looks up 256 chunks for each 32 MiB) never waits for
//! it, and it opens at once. Its weakness is inserts: 28,000 a second are 3.4 GiB of new chunks a second at 128 KiB, more
//! than the processors here compress, but on the same machine with other work on both cores they were 11,000 at 7 million
//! keys.

use super::{ChunkIndex, IndexEntry, IndexError, Location};
use crate::hash::ChunkId;
use crate::id::PackId;
use redb::{
    Builder, Database, Durability, ReadableDatabase, ReadableTable, StorageError, TableDefinition, WriteTransaction,
};
use std::error::Error;
use std::fmt;
use std::fs;
use std::io;
use std::mem;
use std::ops::Bound;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Chunk id → number of the pack, offset, length: 32 bits each, little endian. A row whose pack has no number any more
/// counts as absent, so that a pack is forgotten even when nobody knows any more what it held.
const CHUNKS: TableDefinition<'_, [u8; 32], [u8; 12]> = TableDefinition::new("chunks");
/// Pack id → its number in this file.
const NUMBERS: TableDefinition<'_, [u8; 16], u32> = TableDefinition::new("numbers of packs");
/// Number → pack id.
const PACKS: TableDefinition<'_, u32, [u8; 16]> = TableDefinition::new("packs");
/// The number of the next pack. None is given twice: rows of forgotten packs must not come to life again.
const NEXT_NUMBER: TableDefinition<'_, (), u32> = TableDefinition::new("next number");

/// The library's own cache; the server as a whole shall need less than 128 MiB.
const CACHE_BYTES: usize = 24 << 20;
/// A commit that is synced costs milliseconds and more the larger the file is; one that is not keeps the space it freed
/// from being used again.
const UNSYNCED_PACKS: u32 = 16;
const DAMAGED: &str = "the chunk index is damaged, and begun anew by the next start";
const PANIC: &str = "it made redb panic";

/// The index in one local file. A file that can't be opened is thrown away and begun anew: the packs fill it again. One that
/// turns out to be damaged later is removed, and gives nothing until then.
pub struct RedbIndex {
    /// There until it is dropped.
    database: Option<Database>,
    path: PathBuf,
    is_damaged: AtomicBool,
    /// How many changes were committed since the last one that was synced. Held by whoever writes, which one at a time does
    /// anyway: so that it never tells fewer than there are.
    unsynced: Mutex<u32>,
}

impl RedbIndex {
    /// Opens the index file, or makes it (its folder must exist). One process at a time may.
    ///
    /// # Errors
    ///
    /// When another process has it open, or it can neither be opened nor made anew.
    pub fn open(path: &Path) -> Result<Self, IndexError> {
        match Self::try_open(path) {
            Ok(index) => Ok(index),
            Err(Broken::File(reason)) => {
                log::warn!("the chunk index {} is begun anew: {reason}", path.display());
                fs::remove_file(path).map_err(|error| unavailable(StorageError::Io(error)))?;
                Self::try_open(path).map_err(Broken::into_error)
            }
            Err(broken) => Err(broken.into_error()),
        }
    }

    fn try_open(path: &Path) -> Result<Self, Broken> {
        let open = || -> Result<Database, Broken> {
            let database = Builder::new()
                .set_cache_size(CACHE_BYTES)
                .create(path)
                .map_err(Broken::of)?;
            // Makes the tables, so that readers find them, and proves that those of the file are the right ones.
            write(&database, Durability::Immediate, |_| Ok(())).map_err(Broken::of)?;
            first_packs(&database, None, 1).map_err(Broken::of)?;
            Ok(database)
        };
        // The library may panic on a file that was altered.
        let opened = catch_unwind(AssertUnwindSafe(open));
        let database = opened.unwrap_or_else(|_| Err(Broken::File(PANIC.to_owned())))?;
        Ok(Self {
            database: Some(database),
            path: path.to_owned(),
            is_damaged: AtomicBool::new(false),
            unsynced: Mutex::new(0),
        })
    }

    /// Does something with the file, unless it is known to be damaged, on which the library fails or panics. Then it is removed:
    /// the next start makes it anew.
    fn run<T>(&self, work: impl FnOnce(&Database) -> Result<T, redb::Error>) -> Result<T, IndexError> {
        if self.is_damaged.load(Ordering::Relaxed) {
            return Err(IndexError::Unavailable(DAMAGED.into()));
        }
        let database = self.database.as_ref().expect("it is there until it is dropped");
        let reason = match catch_unwind(AssertUnwindSafe(|| work(database))) {
            Ok(Err(error)) if is_of_damage(&error) => chain(&error),
            Ok(result) => return result.map_err(unavailable),
            Err(_) => PANIC.to_owned(),
        };
        if !self.is_damaged.swap(true, Ordering::Relaxed) {
            log::error!("{}: {DAMAGED}: {reason}", self.path.display());
            if let Err(error) = fs::remove_file(&self.path) {
                log::error!("{} could not be removed: {error}", self.path.display());
            }
        }
        Err(IndexError::Unavailable(DAMAGED.into()))
    }
}

impl Drop for RedbIndex {
    fn drop(&mut self) {
        if self.is_damaged.load(Ordering::Relaxed) {
            // The library would write to it once more, and panic.
            mem::forget(self.database.take());
        }
    }
}

fn write(
    database: &Database,
    durability: Durability,
    change: impl FnOnce(&WriteTransaction) -> Result<(), redb::Error>,
) -> Result<(), redb::Error> {
    let mut transaction = database.begin_write()?;
    transaction.set_durability(durability)?;
    // So that opening after a crash takes milliseconds, not a walk through the whole file.
    transaction.set_quick_repair(matches!(durability, Durability::Immediate));
    transaction.open_table(CHUNKS)?;
    transaction.open_table(NUMBERS)?;
    transaction.open_table(PACKS)?;
    transaction.open_table(NEXT_NUMBER)?;
    change(&transaction)?;
    Ok(transaction.commit()?)
}

impl RedbIndex {
    /// A change that a crash may undo, unless it is the one in [`UNSYNCED_PACKS`] that is synced with those before it.
    fn write_some_synced(
        &self,
        change: impl FnOnce(&WriteTransaction) -> Result<(), redb::Error>,
    ) -> Result<(), IndexError> {
        let mut unsynced = self.unsynced();
        let sync = *unsynced + 1 >= UNSYNCED_PACKS;
        let durability = if sync { Durability::Immediate } else { Durability::None };
        self.run(|database| write(database, durability, change))?;
        *unsynced = if sync { 0 } else { *unsynced + 1 };
        Ok(())
    }

    fn unsynced(&self) -> MutexGuard<'_, u32> {
        // Where a write panicked, it tells of all those before it.
        self.unsynced.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ChunkIndex for RedbIndex {
    fn contains(&self, id: &ChunkId) -> Result<bool, IndexError> {
        Ok(self.locate(std::slice::from_ref(id))?.iter().any(Option::is_some))
    }

    fn locate(&self, ids: &[ChunkId]) -> Result<Vec<Option<Location>>, IndexError> {
        self.run(|database| {
            let transaction = database.begin_read()?;
            let (chunks, packs) = (transaction.open_table(CHUNKS)?, transaction.open_table(PACKS)?);
            // Neighbours mostly lie in the same pack.
            let mut last: Option<(u32, Option<PackId>)> = None;
            let mut locations = Vec::with_capacity(ids.len());
            for id in ids {
                let Some(row) = chunks.get(id.as_bytes())? else {
                    locations.push(None);
                    continue;
                };
                let [number, offset, length] = decode(row.value());
                let pack = match last {
                    Some((known, pack)) if known == number => pack,
                    _ => packs.get(number)?.map(|pack| PackId::from_bytes(pack.value())),
                };
                last = Some((number, pack));
                locations.push(pack.map(|pack| Location { pack, offset, length }));
            }
            Ok(locations)
        })
    }

    fn add_pack(&self, pack: PackId, entries: &[IndexEntry]) -> Result<(), IndexError> {
        // In the order of the keys, so that each page of the tree is changed once.
        let mut entries = entries.to_vec();
        entries.sort_unstable_by_key(|entry| entry.id);
        self.write_some_synced(|transaction| {
            let number = number_of(transaction, pack)?;
            let mut chunks = transaction.open_table(CHUNKS)?;
            for entry in &entries {
                chunks.insert(entry.id.as_bytes(), encode([number, entry.offset, entry.length]))?;
            }
            Ok(())
        })
    }

    fn packs(&self, after: Option<PackId>, limit: usize) -> Result<Vec<PackId>, IndexError> {
        self.run(|database| first_packs(database, after, limit))
    }

    fn remove_pack(&self, pack: PackId, chunks: &[ChunkId]) -> Result<(), IndexError> {
        let mut ids = chunks.to_vec();
        ids.sort_unstable();
        self.write_some_synced(|transaction| {
            let number = transaction
                .open_table(NUMBERS)?
                .remove(pack.to_bytes())?
                .map(|number| number.value());
            let Some(number) = number else {
                return Ok(());
            };
            transaction.open_table(PACKS)?.remove(number)?;
            let mut chunks = transaction.open_table(CHUNKS)?;
            for id in &ids {
                let place = chunks.get(id.as_bytes())?.map(|row| decode(row.value()));
                if place.is_some_and(|[pack, ..]| pack == number) {
                    chunks.remove(id.as_bytes())?;
                }
            }
            Ok(())
        })
    }

    fn clear(&self) -> Result<(), IndexError> {
        let clear = |transaction: &WriteTransaction| {
            transaction.delete_table(CHUNKS)?;
            transaction.delete_table(NUMBERS)?;
            transaction.delete_table(PACKS)?;
            transaction.open_table(CHUNKS)?;
            transaction.open_table(NUMBERS)?;
            transaction.open_table(PACKS)?;
            Ok(())
        };
        self.run(|database| write(database, Durability::Immediate, clear))
    }

    fn flush(&self) -> Result<(), IndexError> {
        let mut unsynced = self.unsynced();
        if *unsynced > 0 {
            self.run(|database| write(database, Durability::Immediate, |_| Ok(())))?;
            *unsynced = 0;
        }
        Ok(())
    }
}

impl fmt::Debug for RedbIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedbIndex").finish_non_exhaustive()
    }
}

fn first_packs(database: &Database, after: Option<PackId>, limit: usize) -> Result<Vec<PackId>, redb::Error> {
    let numbers = database.begin_read()?.open_table(NUMBERS)?;
    let start = after.map_or(Bound::Unbounded, |pack| Bound::Excluded(pack.to_bytes()));
    let range = numbers.range::<[u8; 16]>((start, Bound::Unbounded))?;
    range
        .take(limit)
        .map(|row| Ok(PackId::from_bytes(row?.0.value())))
        .collect()
}

/// The pack's number: the one it has, or the next.
fn number_of(transaction: &WriteTransaction, pack: PackId) -> Result<u32, redb::Error> {
    let mut numbers = transaction.open_table(NUMBERS)?;
    if let Some(number) = numbers.get(pack.to_bytes())? {
        return Ok(number.value());
    }
    let mut next = transaction.open_table(NEXT_NUMBER)?;
    let number = next.get(())?.map_or(0, |number| number.value());
    next.insert(
        (),
        number
            .checked_add(1)
            .ok_or(StorageError::Corrupted("no numbers left".to_owned()))?,
    )?;
    numbers.insert(pack.to_bytes(), number)?;
    transaction.open_table(PACKS)?.insert(number, pack.to_bytes())?;
    Ok(number)
}

fn encode(numbers: [u32; 3]) -> [u8; 12] {
    let mut row = [0; 12];
    row.as_chunks_mut()
        .0
        .iter_mut()
        .zip(numbers)
        .for_each(|(field, number)| *field = number.to_le_bytes());
    row
}

fn decode(row: [u8; 12]) -> [u32; 3] {
    let fields = row.as_chunks().0;
    std::array::from_fn(|i| u32::from_le_bytes(fields[i]))
}

/// Why the file could not be opened.
enum Broken {
    /// The file is not what was written: nothing is lost by making it anew.
    File(String),
    /// Something else: the file may be all right.
    Else(IndexError),
}

impl Broken {
    /// A disk that is full, or does not answer, says nothing of the file.
    fn of(error: impl Into<redb::Error>) -> Self {
        match error.into() {
            error @ (redb::Error::DatabaseAlreadyOpen | redb::Error::LockProtocolMismatch) => {
                Self::Else(unavailable(error))
            }
            redb::Error::Io(error) if !is_of_content(&error) => Self::Else(unavailable(StorageError::Io(error))),
            error => Self::File(chain(&error)),
        }
    }

    fn into_error(self) -> IndexError {
        match self {
            Self::File(reason) => IndexError::Unavailable(reason.into()),
            Self::Else(error) => error,
        }
    }
}

/// Whether a failure to read tells of what was read.
fn is_of_content(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof)
}

/// Whether the file is not what was written.
fn is_of_damage(error: &redb::Error) -> bool {
    match error {
        redb::Error::Corrupted(_) => true,
        redb::Error::Io(error) => is_of_content(error),
        _ => false,
    }
}

fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

fn unavailable(error: impl Into<redb::Error>) -> IndexError {
    match error.into() {
        redb::Error::Io(error) if matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) => {
            IndexError::NoSpace(error.into())
        }
        error => IndexError::Unavailable(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use redb::backends::InMemoryBackend;
    use redb::{DatabaseError, StorageBackend};
    use std::sync::Arc;

    fn entries(first: u8, count: usize) -> Vec<IndexEntry> {
        let id = |i: usize| ChunkId(*blake3::hash(&[&[first][..], &i.to_le_bytes()].concat()).as_bytes());
        (0..count)
            .map(|i| IndexEntry {
                id: id(i),
                offset: 64,
                length: 100,
            })
            .collect()
    }

    #[test]
    fn what_was_flushed_is_there_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("index");
        let (pack, entries) = (PackId::random(), entries(1, 1000));
        let index = RedbIndex::open(&path).unwrap();
        index.add_pack(pack, &entries).unwrap();
        index.flush().unwrap();
        drop(index);

        let index = RedbIndex::open(&path).unwrap();

        assert_eq!(index.packs(None, 10).unwrap(), [pack]);
        assert!(entries.iter().all(|entry| index.contains(&entry.id).unwrap()));
    }

    /// A file in memory that can't be synced any more from some moment on.
    #[derive(Debug, Default)]
    struct BadDisk {
        memory: InMemoryBackend,
        is_broken: Arc<AtomicBool>,
    }

    impl StorageBackend for BadDisk {
        fn len(&self) -> Result<u64, io::Error> {
            self.memory.len()
        }

        fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), io::Error> {
            self.memory.read(offset, out)
        }

        fn set_len(&self, len: u64) -> Result<(), io::Error> {
            self.memory.set_len(len)
        }

        fn sync_data(&self) -> Result<(), io::Error> {
            if self.is_broken.load(Ordering::Relaxed) {
                return Err(io::Error::other("a bad disk"));
            }
            self.memory.sync_data()
        }

        fn write(&self, offset: u64, data: &[u8]) -> Result<(), io::Error> {
            self.memory.write(offset, data)
        }
    }

    #[test]
    fn a_flush_after_one_that_failed_does_not_say_that_all_is_synced() {
        let disk = BadDisk::default();
        let is_broken = Arc::clone(&disk.is_broken);
        let index = RedbIndex {
            database: Some(Builder::new().create_with_backend(disk).unwrap()),
            path: PathBuf::new(),
            is_damaged: AtomicBool::new(false),
            unsynced: Mutex::new(0),
        };
        index.add_pack(PackId::random(), &entries(1, 10)).unwrap();
        is_broken.store(true, Ordering::Relaxed);

        assert!(index.flush().is_err());
        assert!(index.flush().is_err());
    }

    #[test]
    fn what_is_committed_is_counted_until_it_is_synced() {
        let folder = tempfile::tempdir().unwrap();
        let index = RedbIndex::open(&folder.path().join("index")).unwrap();
        let counted = || *index.unsynced();
        let (pack, others) = (PackId::random(), UNSYNCED_PACKS - 1);

        let refused = index.write_some_synced(|_| Err(StorageError::ValueTooLarge(0).into()));
        assert!(refused.is_err());
        assert_eq!(counted(), 0);
        index.add_pack(pack, &entries(1, 10)).unwrap();
        index.remove_pack(pack, &[]).unwrap();
        assert_eq!(counted(), 2);
        index.flush().unwrap();
        assert_eq!(counted(), 0);
        for n in 0..others {
            assert_eq!(counted(), n);
            index.add_pack(PackId::random(), &entries(1, 1)).unwrap();
        }
        index.add_pack(PackId::random(), &entries(1, 1)).unwrap();
        assert_eq!(counted(), 0);
    }

    #[test]
    fn a_file_that_is_no_index_is_begun_anew() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("index");
        let index = RedbIndex::open(&path).unwrap();
        index.add_pack(PackId::random(), &entries(1, 3000)).unwrap();
        index.flush().unwrap();
        drop(index);
        let good = fs::read(&path).unwrap();
        let mut scrambled = good.clone();
        scrambled[4096..].reverse();

        for broken in [
            &b"not an index"[..],
            &vec![0; 100_000],
            &good[..good.len() / 2],
            &good[..100],
            &scrambled,
        ] {
            fs::write(&path, broken).unwrap();

            let index = RedbIndex::open(&path).unwrap();

            index.add_pack(PackId::random(), &entries(2, 10)).unwrap();
            assert!(index.contains(&entries(2, 1)[0].id).unwrap());
        }
    }

    #[test]
    fn an_index_that_turns_out_to_be_damaged_is_begun_anew_by_the_next_start() {
        type Broken = fn(&WriteTransaction) -> Result<(), redb::Error>;
        let ways: [Broken; 2] = [
            |_| panic!("as the library does on a page that makes no sense"),
            |_| Err(StorageError::Corrupted(String::new()).into()),
        ];
        for broken in ways {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("index");
            let index = RedbIndex::open(&path).unwrap();
            index.add_pack(PackId::random(), &entries(1, 10)).unwrap();
            index.flush().unwrap();

            assert!(index.write_some_synced(broken).is_err());

            assert!(index.contains(&entries(1, 1)[0].id).is_err());
            assert!(index.add_pack(PackId::random(), &entries(1, 10)).is_err());
            drop(index);
            let index = RedbIndex::open(&path).unwrap();
            assert_eq!(index.packs(None, 1).unwrap(), []);
            assert!(!index.contains(&entries(1, 1)[0].id).unwrap());
        }
    }

    #[test]
    fn an_index_that_can_not_be_opened_for_want_of_space_is_not_thrown_away() {
        let full = || io::Error::from(io::ErrorKind::StorageFull);

        for broken in [
            Broken::of(DatabaseError::Storage(StorageError::Io(full()))),
            Broken::of(redb::Error::Io(full())),
        ] {
            assert!(matches!(broken, Broken::Else(IndexError::NoSpace(_))));
        }
        assert!(matches!(
            Broken::of(redb::Error::Corrupted(String::new())),
            Broken::File(_)
        ));
    }

    #[test]
    fn an_index_that_is_in_use_is_not_thrown_away() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("index");
        let index = RedbIndex::open(&path).unwrap();
        index.add_pack(PackId::random(), &entries(1, 10)).unwrap();

        assert!(RedbIndex::open(&path).is_err());
        assert!(index.contains(&entries(1, 1)[0].id).unwrap());
    }
}
