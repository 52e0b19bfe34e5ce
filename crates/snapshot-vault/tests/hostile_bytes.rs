//! Whatever bytes lie in a store: a decoder says what is wrong with them, and takes no more memory than they justify.

use allocation_counter::measure;
use proptest::prelude::*;
use proptest::sample::Index;
use snapshot_vault::testing::Decoder;
use std::io::Write;

/// Feeds a decoder with bytes as they are, and once more behind a checksum that is right.
fn feed(decoder: Decoder, bytes: &[u8]) -> Result<(), &'static str> {
    let with_right_checksum = decoder.with_right_checksum(bytes);
    let feed_measured = |bytes: &[u8]| {
        let mut outcome = Ok(());
        let taken = measure(|| outcome = decoder.feed(bytes)).bytes_max;
        assert!(
            taken <= decoder.memory_bytes(bytes.len()),
            "{decoder:?}: {} bytes made it take {taken}",
            bytes.len()
        );
        outcome
    };
    let as_they_are = feed_measured(bytes);
    with_right_checksum.map_or(as_they_are, |mended| feed_measured(&mended))
}

/// What can happen to stored bytes.
#[derive(Clone, Debug)]
enum Change {
    Byte(Index, u8),
    Bit(Index, u8),
    /// A number somewhere, as a length or a count might be.
    Number(Index, Vec<u8>),
    CutOff(Index),
    Append(Vec<u8>),
    Insert(Index, Vec<u8>),
    /// A range once more, behind itself.
    Double(Index, Index),
    Remove(Index, Index),
}

impl Change {
    fn apply(&self, bytes: &mut Vec<u8>) {
        let at = |index: &Index, bytes: &[u8]| index.index(bytes.len() + 1);
        let range = |a: &Index, b: &Index, bytes: &[u8]| {
            let (a, b) = (at(a, bytes), at(b, bytes));
            a.min(b)..a.max(b)
        };
        match self {
            Self::Byte(place, value) if !bytes.is_empty() => {
                let place = place.index(bytes.len());
                bytes[place] = *value;
            }
            Self::Bit(place, bit) if !bytes.is_empty() => {
                let place = place.index(bytes.len());
                bytes[place] ^= 1 << (bit % 8);
            }
            Self::Byte(..) | Self::Bit(..) => {}
            Self::Number(place, number) => {
                let place = at(place, bytes);
                for (byte, new) in bytes[place..].iter_mut().zip(number) {
                    *byte = *new;
                }
            }
            Self::CutOff(place) => {
                let place = at(place, bytes);
                bytes.truncate(place);
            }
            Self::Append(more) => bytes.extend_from_slice(more),
            Self::Insert(place, more) => {
                let place = at(place, bytes);
                bytes.splice(place..place, more.iter().copied());
            }
            Self::Double(a, b) => {
                let range = range(a, b, bytes);
                let more = bytes[range.clone()].to_vec();
                bytes.splice(range.end..range.end, more);
            }
            Self::Remove(a, b) => {
                let range = range(a, b, bytes);
                bytes.drain(range);
            }
        }
    }
}

fn a_number() -> impl Strategy<Value = Vec<u8>> {
    let telling = prop_oneof![
        Just(0),
        Just(u64::MAX),
        any::<u64>(),
        0_u64..300,
        (0_u32..64).prop_map(|shift| 1_u64 << shift),
        (0_u32..64, 0_u64..40).prop_map(|(shift, less)| (1_u64 << shift).wrapping_sub(less)),
    ];
    (telling, prop_oneof![Just(2_usize), Just(4), Just(8)])
        .prop_map(|(number, width)| number.to_le_bytes()[..width].to_vec())
}

fn a_change() -> impl Strategy<Value = Change> {
    let place = any::<Index>;
    let some_bytes = || prop::collection::vec(any::<u8>(), 0..40);
    prop_oneof![
        (place(), any::<u8>()).prop_map(|(at, value)| Change::Byte(at, value)),
        (place(), any::<u8>()).prop_map(|(at, bit)| Change::Bit(at, bit)),
        (place(), a_number()).prop_map(|(at, number)| Change::Number(at, number)),
        (place(), a_number()).prop_map(|(at, number)| Change::Number(at, number)),
        place().prop_map(Change::CutOff),
        some_bytes().prop_map(Change::Append),
        (place(), some_bytes()).prop_map(|(at, more)| Change::Insert(at, more)),
        (place(), place()).prop_map(|(a, b)| Change::Double(a, b)),
        (place(), place()).prop_map(|(a, b)| Change::Remove(a, b)),
    ]
}

fn a_decoder() -> impl Strategy<Value = Decoder> {
    prop::sample::select(&Decoder::ALL[..])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn any_bytes_are_decoded_or_refused(decoder in a_decoder(), bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
        let _ = feed(decoder, &bytes);
    }

    #[test]
    fn damaged_objects_are_decoded_or_refused(
        decoder in a_decoder(), sample in any::<Index>(), changes in prop::collection::vec(a_change(), 1..6),
    ) {
        let samples = decoder.samples();
        let mut bytes = samples[sample.index(samples.len())].clone();
        for change in &changes {
            change.apply(&mut bytes);
        }

        let _ = feed(decoder, &bytes);
    }
}

#[test]
fn what_was_written_is_accepted() {
    const UNNAMED: &str = "a record's content is not what its name says";
    for decoder in Decoder::ALL {
        for (number, sample) in decoder.samples().iter().enumerate() {
            let outcome = feed(decoder, sample);

            // Its name is that of another content: what it says is looked at all the same.
            let expected = if decoder == Decoder::RecordContent {
                Err(UNNAMED)
            } else {
                Ok(())
            };
            assert_eq!(outcome, expected, "{decoder:?}, sample {number}");
        }
    }
}

#[test]
fn all_lengths_and_all_numbers_in_every_place_are_decoded_or_refused() {
    let numbers = [
        0,
        1,
        255,
        256,
        16_384,
        16_385,
        1 << 31,
        u64::MAX / 32,
        u64::MAX - 1,
        u64::MAX,
    ];
    let mut fed = 0;
    for decoder in Decoder::ALL {
        for sample in decoder.samples() {
            for len in 0..sample.len() {
                let _ = feed(decoder, &sample[..len]);
            }
            for (place, number, width) in (0..sample.len().min(400))
                .flat_map(|place| numbers.map(|number| (place, number)))
                .flat_map(|(place, number)| [4, 8].map(|width| (place, number, width)))
            {
                let mut bytes = sample.clone();
                for (byte, new) in bytes[place..].iter_mut().zip(&number.to_le_bytes()[..width]) {
                    *byte = *new;
                }
                let _ = feed(decoder, &bytes);
                fed += 1;
            }
        }
    }
    assert!(fed > 50_000, "{fed}");
}

#[test]
fn a_chunk_that_unpacks_to_a_gibibyte_is_refused_by_the_chunk_size() {
    const CHUNK: u32 = 64 << 10;
    let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
    for _ in 0..1024 {
        encoder.write_all(&vec![0; 1 << 20]).unwrap();
    }
    let bomb = encoder.finish().unwrap();
    assert!(bomb.len() < 200_000, "{}", bomb.len());

    for claimed in [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 1 << 30, u32::MAX] {
        let content = [&[1, 1], &claimed.to_le_bytes()[..], &bomb].concat();
        let reason = if claimed <= CHUNK {
            "a record does not decompress to what it says"
        } else {
            "a record claims to hold more than it can"
        };
        assert_eq!(feed(Decoder::RecordContent, &content), Err(reason), "{claimed}");
    }
}
