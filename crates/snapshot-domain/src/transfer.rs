//! Offers of snapshots to other organizations.
//!
//! Somebody who owns a snapshot offers it, and hands the offer's id and secret to somebody else by whatever way they
//! trust. Whoever shows both in time takes the snapshot over. An offer that was accepted, withdrawn or replaced, whose
//! snapshot was deleted or given away, or for which too many wrong secrets were tried, is gone; an expired one is answered
//! as if it were.

use std::fmt;

use thiserror::Error as ThisError;
use uuid::Uuid;

use crate::{OrganizationId, SnapshotId, Timestamp, TransferId};

/// An offer, as it is kept: all but the secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transfer {
    /// Its id.
    pub id: TransferId,
    /// What is offered.
    pub snapshot: SnapshotId,
    /// Who owns it.
    pub giver: OrganizationId,
    /// The only organization that may accept it; `None` for whoever knows the secret.
    pub receiver: Option<OrganizationId>,
    /// Recognises the secret when it is shown.
    pub secret: TransferSecretHash,
    /// When it was made.
    pub created_at: Timestamp,
    /// From when on it can't be accepted any more.
    pub expires_at: Timestamp,
    /// How often a wrong secret was shown.
    pub wrong_secrets: u32,
}

impl Transfer {
    /// How many wrong secrets end an offer.
    pub const MOST_WRONG_SECRETS: u32 = 10;

    /// Whether it may still be accepted.
    pub fn is_open(&self, now: Timestamp) -> bool {
        now < self.expires_at && self.wrong_secrets < Self::MOST_WRONG_SECRETS
    }

    /// Whether it is meant for this organization.
    pub fn is_for(&self, organization: OrganizationId) -> bool {
        self.receiver.is_none_or(|receiver| receiver == organization)
    }
}

/// What whoever accepts an offer has to show: 122 random bits. It has no `Display`, and `Debug` hides it.
#[derive(Clone, PartialEq, Eq)]
pub struct TransferSecret(Uuid);

/// The text is no secret of an offer. What it was is not said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ThisError)]
#[error("the secret of an offer is a UUID")]
pub struct InvalidTransferSecret;

impl TransferSecret {
    /// Takes a random UUID (version 4, from the operating system's random source) as a secret.
    pub const fn from_random(random: Uuid) -> Self {
        Self(random)
    }

    /// Reads a secret that somebody sent.
    ///
    /// # Errors
    ///
    /// [`InvalidTransferSecret`] unless it is a UUID.
    pub fn parse(raw: &str) -> Result<Self, InvalidTransferSecret> {
        Uuid::try_parse(raw).map(Self).map_err(|_| InvalidTransferSecret)
    }

    /// What is stored in place of the secret. A fast hash is enough: nobody can try 122 random bits.
    pub fn hash(&self) -> TransferSecretHash {
        TransferSecretHash(blake3::derive_key(
            "snapshot service 2026 transfer secret hash v1",
            self.0.as_bytes(),
        ))
    }

    /// The secret itself, to be shown to the giver once.
    pub fn expose(&self) -> String {
        self.0.to_string()
    }
}

impl fmt::Debug for TransferSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TransferSecret(…)")
    }
}

/// The hash of an offer's secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TransferSecretHash([u8; 32]);

impl TransferSecretHash {
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
    fn debug_output_does_not_give_a_secret_away() {
        let secret = TransferSecret::parse("6f418e5f-b42d-4423-a0b5-349c74c454a4").unwrap();

        assert_eq!(format!("{secret:?}"), "TransferSecret(…)");
    }

    #[test]
    fn a_transfers_secret_and_a_token_of_the_same_bits_have_different_hashes() {
        let raw = "6f418e5f-b42d-4423-a0b5-349c74c454a4";

        let secret = TransferSecret::parse(raw).unwrap().hash();

        assert_ne!(secret.as_bytes(), crate::Token::parse(raw).unwrap().hash().as_bytes());
    }
}
