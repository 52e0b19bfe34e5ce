//! Receipts: what is kept of a request that carried a key, so that its repetition is answered and not carried out again.

use std::fmt;

use thiserror::Error;

use crate::{Timestamp, TokenId};

/// A key that a client chose for one request, to send it again without harm: 1 to 255 visible ASCII characters and spaces.
///
/// It has no `Display`, and `Debug` hides it: nobody can tell what a client puts into it.
#[derive(Clone, PartialEq, Eq)]
pub struct IdempotencyKey(String);

/// The text is no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum InvalidKey {
    /// There is nothing in it.
    #[error("must not be empty")]
    Empty,
    /// It is longer than a key may be.
    #[error("must have at most {} characters, and has {chars}", IdempotencyKey::MAX_CHARS)]
    TooLong {
        /// How long it is.
        chars: usize,
    },
    /// It holds something else than visible ASCII characters and spaces.
    #[error("must be of visible ASCII characters")]
    NotVisible,
}

impl IdempotencyKey {
    /// The most characters of a key.
    pub const MAX_CHARS: usize = 255;

    /// Reads a key that somebody sent. It counts as it was sent, quotes included.
    ///
    /// # Errors
    ///
    /// [`InvalidKey`] says what is wrong with it.
    pub fn parse(raw: &[u8]) -> Result<Self, InvalidKey> {
        let text = String::from_utf8_lossy(raw);
        if text.trim().is_empty() {
            return Err(InvalidKey::Empty);
        }
        if !text.chars().all(|char| char == ' ' || char.is_ascii_graphic()) {
            return Err(InvalidKey::NotVisible);
        }
        if text.len() > Self::MAX_CHARS {
            return Err(InvalidKey::TooLong { chars: text.len() });
        }
        Ok(Self(text.into_owned()))
    }
}

impl fmt::Debug for IdempotencyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("IdempotencyKey(…)")
    }
}

/// Names a receipt: a hash of the token that was shown and the key, so that nobody meets somebody else's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReceiptId([u8; 32]);

impl ReceiptId {
    /// The receipt of the request that carried this key together with this token.
    pub fn of(token: TokenId, key: &IdempotencyKey) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key("snapshot service 2026 receipt id v1");
        hasher.update(token.as_uuid().as_bytes()).update(key.0.as_bytes());
        Self(*hasher.finalize().as_bytes())
    }

    /// Takes stored bytes as an id.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The bytes, as stored.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// A hash that tells one text from all others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// The fingerprint of several texts. Where one ends and the next begins counts.
    pub fn of(parts: &[&[u8]]) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key("snapshot service 2026 fingerprint v1");
        for part in parts {
            hasher.update(&(part.len() as u64).to_le_bytes()).update(part);
        }
        Self(*hasher.finalize().as_bytes())
    }

    /// Takes stored bytes as a fingerprint.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The bytes, as stored.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// A request that carries a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyedRequest {
    /// Which receipt it has, once it was carried out.
    pub receipt: ReceiptId,
    /// What it asks for.
    pub fingerprint: Fingerprint,
}

/// What is kept of a request that was carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// Whose request that was, and under which key.
    pub id: ReceiptId,
    /// What it asked for.
    pub fingerprint: Fingerprint,
    /// How it was answered, in the words of whoever answers, who sees to it that they tell nobody a secret.
    pub answer: String,
    /// When it was carried out.
    pub kept_at: Timestamp,
    /// When it counts no longer.
    pub expires_at: Timestamp,
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn check(raw: &[u8], expected: Result<(), InvalidKey>) {
        assert_eq!(IdempotencyKey::parse(raw).map(|_| ()), expected, "{raw:?}");
    }

    #[test]
    fn a_key_is_of_1_to_255_visible_characters() {
        check(b"a", Ok(()));
        check(b"\"8e03978e-40d5-43dd-bc93-6894a57f9324\"", Ok(()));
        check(b"the first one", Ok(()));
        check(&[b'x'; 255], Ok(()));
        check(b"", Err(InvalidKey::Empty));
        check(b"  ", Err(InvalidKey::Empty));
        check(&[b'x'; 256], Err(InvalidKey::TooLong { chars: 256 }));
        check(b"a\tb", Err(InvalidKey::NotVisible));
        check(b"a\0b", Err(InvalidKey::NotVisible));
        check("schlüssel".as_bytes(), Err(InvalidKey::NotVisible));
        check(&[0xff], Err(InvalidKey::NotVisible));
    }

    #[test]
    fn receipts_of_different_tokens_and_keys_differ() {
        let key = |raw: &[u8]| IdempotencyKey::parse(raw).unwrap();
        let token = |n| TokenId::new(Uuid::from_u128(n));

        let id = ReceiptId::of(token(1), &key(b"a"));

        assert_eq!(id, ReceiptId::of(token(1), &key(b"a")));
        assert_ne!(id, ReceiptId::of(token(2), &key(b"a")));
        assert_ne!(id, ReceiptId::of(token(1), &key(b"b")));
    }

    #[test]
    fn a_fingerprint_knows_where_a_part_ends() {
        assert_ne!(Fingerprint::of(&[b"ab", b"c"]), Fingerprint::of(&[b"a", b"bc"]));
        assert_eq!(Fingerprint::of(&[b"ab", b"c"]), Fingerprint::of(&[b"ab", b"c"]));
    }

    #[test]
    fn a_key_is_not_shown() {
        let key = IdempotencyKey::parse(b"order-of-mrs-x").unwrap();

        assert!(!format!("{key:?}").contains("order"));
    }
}
