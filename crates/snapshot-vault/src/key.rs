//! Keys: the master key, a key per domain, and what is derived from them.

use crate::hex::{Hex, parse_32};
use std::fmt;
use zeroize::{Zeroize, Zeroizing};

/// The key above all others: 32 random bytes. Who loses it loses the vault. Wiped from memory when dropped; never
/// printed.
#[derive(Clone)]
pub struct MasterKey([u8; 32]);

impl MasterKey {
    /// A new random key.
    ///
    /// # Errors
    ///
    /// When the system gives no random bytes.
    pub fn generate() -> Result<Self, crate::VaultError> {
        let mut key = Self([0; 32]);
        aws_lc_rs::rand::fill(&mut key.0).map_err(|_| crate::VaultError::Library(None))?;
        Ok(key)
    }

    /// The key that 64 hexadecimal digits stand for; white space around them is ignored.
    ///
    /// # Errors
    ///
    /// When it is anything else. The error does not repeat the text.
    pub fn from_hex(digits: &str) -> Result<Self, InvalidMasterKey> {
        parse_32(digits.trim()).map(Self).ok_or(InvalidMasterKey)
    }

    /// The key as 64 hexadecimal digits, to be kept in a safe place.
    pub fn to_hex(&self) -> Zeroizing<String> {
        Zeroizing::new(Hex(&self.0).to_string())
    }
}

impl Drop for MasterKey {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MasterKey(..)")
    }
}

/// Text that is no master key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a master key is 64 hexadecimal digits")]
pub struct InvalidMasterKey;
