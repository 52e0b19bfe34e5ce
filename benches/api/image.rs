//! Bytes for volumes that a copy has something to do with: new ones everywhere, that compress a little.

use std::{
    fs::File,
    io::{BufWriter, Write as _},
    path::Path,
};

/// Writes so many mebibytes, which differ by the seed.
pub(crate) fn write(path: &Path, mebibytes: u64, seed: u64) -> std::io::Result<()> {
    let mut file = BufWriter::with_capacity(1 << 20, File::create(path)?);
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    for _ in 0..mebibytes << 17 {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        // Six random bits a byte.
        file.write_all(&(state & 0x3f3f_3f3f_3f3f_3f3f).to_le_bytes())?;
    }
    file.into_inner()?.sync_all()
}

/// Makes a volume of so many bytes into which nothing was written yet: its copies are quick, and still whole snapshots.
pub(crate) fn write_empty(path: &Path, bytes: u64) -> std::io::Result<()> {
    let file = File::create(path)?;
    file.set_len(bytes)?;
    file.sync_all()
}
