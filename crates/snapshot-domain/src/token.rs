//! Tokens: the secret that a caller shows, and the hash that is all we keep of it.

use std::fmt;

use thiserror::Error;
use uuid::Uuid;

use crate::ReceiptId;

/// A secret that a caller sends in `X-Auth-Token`. A UUID, because the official clients refuse anything else.
///
/// It has no `Display`, and `Debug` hides it: only [`Token::expose`] gives it away, where it is shown to its owner once.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(Uuid);

/// The text is no token. What it was is not said: it may be a secret with a slip in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a token is a UUID that is not all zeros")]
pub struct InvalidToken;

impl Token {
    /// Takes a random UUID (version 4, from the operating system's random source) as a token.
    pub const fn from_random(random: Uuid) -> Self {
        Self(random)
    }

    /// Reads a token that somebody sent or configured.
    ///
    /// # Errors
    ///
    /// [`InvalidToken`] unless it is a UUID other than the nil one.
    pub fn parse(raw: &str) -> Result<Self, InvalidToken> {
        match Uuid::try_parse(raw) {
            Ok(uuid) if !uuid.is_nil() => Ok(Self(uuid)),
            _ => Err(InvalidToken),
        }
    }

    /// What is stored in place of the token. A fast hash is enough: a token is 122 random bits, no password.
    pub fn hash(&self) -> TokenHash {
        TokenHash(blake3::derive_key(
            "snapshot service 2026 token hash v1",
            self.0.as_bytes(),
        ))
    }

    /// A key to seal what is answered to a request that has this receipt. Nothing that is stored leads to it.
    pub fn answer_key(&self, receipt: &ReceiptId) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new_derive_key("snapshot service 2026 answer key v1");
        hasher.update(self.0.as_bytes()).update(receipt.as_bytes());
        *hasher.finalize().as_bytes()
    }

    /// The secret itself, to be shown to its owner once.
    pub fn expose(&self) -> String {
        self.0.to_string()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

/// The hash of a token: enough to recognise it, useless to call with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TokenHash([u8; 32]);

impl TokenHash {
    /// Takes a stored hash.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The hash as stored.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_output_does_not_give_a_token_away() {
        let token = Token::parse("6f418e5f-b42d-4423-a0b5-349c74c454a4").unwrap();

        assert_eq!(format!("{token:?}"), "Token(…)");
    }

    #[test]
    fn a_token_is_any_uuid_but_nil() {
        assert_eq!(Token::parse("not-a-uuid"), Err(InvalidToken));
        assert_eq!(Token::parse("00000000-0000-0000-0000-000000000000"), Err(InvalidToken));
        assert!(Token::parse("6F418E5F-B42D-4423-A0B5-349C74C454A4").is_ok());
    }

    #[test]
    fn the_same_token_in_another_spelling_has_the_same_hash() {
        let lower = Token::parse("6f418e5f-b42d-4423-a0b5-349c74c454a4").unwrap();
        let upper = Token::parse("6F418E5F-B42D-4423-A0B5-349C74C454A4").unwrap();

        assert_eq!(lower.hash(), upper.hash());
        assert_ne!(
            lower.hash(),
            Token::parse("7f418e5f-b42d-4423-a0b5-349c74c454a4").unwrap().hash()
        );
    }
}
