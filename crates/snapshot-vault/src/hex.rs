//! Bytes as lower-case hexadecimal digits, the way keys and digests are printed.

use std::fmt;

/// Displays bytes as lower-case hexadecimal digits.
pub(crate) struct Hex<'a>(pub(crate) &'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// The 32 bytes that 64 hexadecimal digits of either case stand for.
pub(crate) fn parse_32(digits: &str) -> Option<[u8; 32]> {
    let digits = digits.as_bytes();
    if digits.len() != 64 {
        return None;
    }
    let mut bytes = [0; 32];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = nibble(pair[0])? << 4 | nibble(pair[1])?;
    }
    Some(bytes)
}

fn nibble(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_parses_to_the_same_bytes() {
        let bytes: [u8; 32] = std::array::from_fn(|i| u8::try_from(i * 7).unwrap());

        assert_eq!(parse_32(&Hex(&bytes).to_string()), Some(bytes));
    }

    #[test]
    fn other_lengths_and_other_characters_are_refused() {
        assert_eq!(parse_32(&"0".repeat(63)), None);
        assert_eq!(parse_32(&"0".repeat(65)), None);
        assert_eq!(parse_32(&"g".repeat(64)), None);
        assert_eq!(parse_32(&"é".repeat(32)), None);
    }
}
