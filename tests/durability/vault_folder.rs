//! The vault's objects as files, to be damaged. Where things lie in them stands in `docs/format.md`.

use std::{
    collections::BTreeSet,
    fs::{self, OpenOptions},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

const PACK_TRAILER_BYTES: usize = 72;
const PACK_ENTRY_BYTES: usize = 48;

/// Every object of this kind (`packs`, `manifests`, …) in a data folder.
pub(crate) fn objects(data: &Path, kind: &str) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    let mut folders = vec![data.join("vault").join(kind)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                found.insert(path);
            }
        }
    }
    found
}

/// Changes one bit.
pub(crate) fn flip(object: &Path, offset: u64) {
    let file = OpenOptions::new().read(true).write(true).open(object).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, offset).unwrap();
    file.write_all_at(&[byte[0] ^ 0b100], offset).unwrap();
}

/// A record in a pack, as its footer lists it.
pub(crate) struct Record {
    pub(crate) is_page: bool,
    pub(crate) offset: u64,
    pub(crate) length: u64,
}

/// What a pack holds.
pub(crate) fn records(pack: &Path) -> Vec<Record> {
    let bytes = fs::read(pack).unwrap();
    let number = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
    let trailer = bytes.len() - PACK_TRAILER_BYTES;
    let count = usize::try_from(number(trailer + 12)).unwrap();
    (0..count)
        .map(|n| {
            let entry = trailer - (count - n) * PACK_ENTRY_BYTES;
            Record {
                is_page: bytes[entry + 32] == 2,
                offset: number(entry + 36).into(),
                length: number(entry + 40).into(),
            }
        })
        .collect()
}
