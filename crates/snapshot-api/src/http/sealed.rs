//! Sealing answers that are kept: with a key that comes from the caller's token, of which the database has but a hash. So
//! whoever reads the rows learns nothing of what was answered, secrets included.

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use snapshot_domain::{ReceiptId, Token};

/// Seals and opens the answers to one token's requests under one key.
pub(super) struct AnswerKey(RandomizedNonceKey);

impl AnswerKey {
    /// The key for this receipt of this token's.
    pub(super) fn of(token: &Token, receipt: ReceiptId) -> Self {
        let key = token.answer_key(&receipt);
        Self(RandomizedNonceKey::new(&AES_256_GCM, &key).expect("an AES-256 key is 32 bytes"))
    }

    /// The nonce, the sealed text and its tag, in hexadecimal digits.
    pub(super) fn seal(&self, text: &str) -> String {
        let mut bytes = text.as_bytes().to_vec();
        let nonce = self.0.seal_in_place_append_tag(Aad::empty(), &mut bytes);
        let nonce = nonce.expect("AES-GCM seals whatever fits into memory");
        nonce
            .as_ref()
            .iter()
            .chain(&bytes)
            .flat_map(|byte| hex(*byte))
            .collect()
    }

    /// The text; `None` when it was not sealed with this key.
    pub(super) fn open(&self, sealed: &str) -> Option<String> {
        let digits: Option<Vec<u32>> = sealed.chars().map(|digit| digit.to_digit(16)).collect();
        let bytes: Result<Vec<u8>, _> = digits?
            .chunks(2)
            .map(|pair| pair.iter().fold(0, |byte, digit| byte << 4 | digit).try_into())
            .collect();
        let mut bytes = bytes.ok()?;
        let (nonce, sealed) = bytes.split_at_mut_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let plain = self.0.open_in_place(nonce, Aad::empty(), sealed).ok()?;
        String::from_utf8(plain.to_vec()).ok()
    }
}

fn hex(byte: u8) -> [char; 2] {
    [byte >> 4, byte & 0xf].map(|half| char::from_digit(half.into(), 16).expect("a half of a byte is below 16"))
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn key(token: u128, receipt: u8) -> AnswerKey {
        AnswerKey::of(
            &Token::from_random(Uuid::from_u128(token)),
            ReceiptId::from_bytes([receipt; 32]),
        )
    }

    #[test]
    fn only_the_same_token_and_receipt_open_what_was_sealed() {
        let sealed = key(1, 1).seal("the secret of an öffer");

        assert!(!sealed.contains("secret"));
        assert_ne!(sealed, key(1, 1).seal("the secret of an öffer"));
        assert_eq!(key(1, 1).open(&sealed).as_deref(), Some("the secret of an öffer"));
        assert_eq!(key(2, 1).open(&sealed), None);
        assert_eq!(key(1, 2).open(&sealed), None);
    }

    #[test]
    fn what_is_damaged_does_not_open() {
        let sealed = key(1, 1).seal("text");

        for damaged in [
            "",
            "0",
            "zz",
            "00112233445566778899aabb",
            &sealed[1..],
            &sealed[2..],
            &sealed[..20],
        ] {
            assert_eq!(key(1, 1).open(damaged), None, "{damaged}");
        }
        let flipped = sealed.replacen(|_| true, if sealed.starts_with('0') { "1" } else { "0" }, 1);
        assert_eq!(key(1, 1).open(&flipped), None);
    }
}
