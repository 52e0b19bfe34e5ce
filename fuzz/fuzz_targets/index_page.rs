#![no_main]

use snapshot_vault::testing::Decoder;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| snapshot_fuzz::feed(Decoder::IndexPage, bytes));
