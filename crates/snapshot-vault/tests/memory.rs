//! What a process keeps of the memory that copies and restores took. Alone in its process, whose memory it looks at.

#![expect(clippy::unwrap_used, reason = "what prepares a test fails like the test itself")]

use snapshot_vault::{BlobKey, BlobStore, LocalBlobs, Piece};
use std::fs;
use std::sync::Barrier;
use std::thread;

const PIECE_BYTES: usize = 4 << 20;
const THREADS: usize = 8;

/// Bytes of memory that belong to no file.
fn own_memory_bytes() -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse::<usize>().unwrap() << 10
}

#[test]
fn buffers_of_threads_that_are_gone_are_given_back_to_the_system() {
    let folder = tempfile::tempdir().unwrap();
    let blobs = LocalBlobs::open(folder.path()).unwrap();
    let key = BlobKey::parse("packs/long").unwrap();
    blobs.put(&key, &vec![7; PIECE_BYTES]).unwrap();
    let before = own_memory_bytes();

    let at_once = Barrier::new(THREADS);
    for round in 0..8 {
        thread::scope(|scope| {
            for thread in 0..THREADS {
                let (blobs, key, at_once) = (&blobs, &key, &at_once);
                scope.spawn(move || {
                    let mut piece = Piece::default();
                    blobs.read_piece(key, 0, PIECE_BYTES, &mut piece).unwrap();
                    let copy = BlobKey::parse(&format!("packs/{round}-{thread}")).unwrap();
                    let mut writer = blobs.create(&copy).unwrap();
                    writer.write(piece.bytes()).unwrap();
                    at_once.wait();
                    writer.commit().unwrap();
                });
            }
        });
    }

    let kept = own_memory_bytes().saturating_sub(before);
    assert!(kept < 2 * PIECE_BYTES, "{kept} bytes are kept");
}
