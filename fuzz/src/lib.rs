//! What all fuzz targets do.

use snapshot_vault::testing::Decoder;

/// Feeds a decoder with bytes as they are, and once more behind a checksum that is right.
///
/// # Panics
///
/// When the decoder does, or takes more memory than the bytes justify.
pub fn feed(decoder: Decoder, bytes: &[u8]) {
    feed_measured(decoder, bytes);
    if let Some(mended) = decoder.with_right_checksum(bytes) {
        feed_measured(decoder, &mended);
    }
}

fn feed_measured(decoder: Decoder, bytes: &[u8]) {
    let taken = allocation_counter::measure(|| {
        let _ = decoder.feed(bytes);
    });
    assert!(
        taken.bytes_max <= decoder.memory_bytes(bytes.len()),
        "{decoder:?}: {} bytes made it take {}",
        bytes.len(),
        taken.bytes_max
    );
}
