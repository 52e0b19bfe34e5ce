//! Who exists: organizations, and the tokens that act for them.

use crate::{AccountId, Name, OrganizationId, Role, Timestamp, TokenHash, TokenId};

/// What owns volumes and snapshots.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Organization {
    /// Its id.
    pub id: OrganizationId,
    /// What people call it.
    pub name: Name,
    /// When it was made.
    pub created_at: Timestamp,
}

/// What is kept of a token: all but the secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenRecord {
    /// Names the token in lists and logs.
    pub id: TokenId,
    /// The account that the token belongs to.
    pub account: AccountId,
    /// The organizations that the account acts for; at least one.
    pub organizations: Vec<OrganizationId>,
    /// What people call the token.
    pub name: Name,
    /// Recognises the token when it is sent.
    pub hash: TokenHash,
    /// What it lets its holder do.
    pub role: Role,
    /// When it was made.
    pub created_at: Timestamp,
    /// From when on it is no longer taken, if it does not last for ever.
    pub expires_at: Option<Timestamp>,
    /// Since when it is no longer taken, if it was revoked.
    pub revoked_at: Option<Timestamp>,
}

impl TokenRecord {
    /// Whether whoever shows the token at `now` is let in.
    pub fn is_taken_at(&self, now: Timestamp) -> bool {
        self.revoked_at.is_none() && self.expires_at.is_none_or(|end| now < end)
    }
}
