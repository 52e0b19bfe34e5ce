//! Who exists: organizations, and the tokens that act for them.

use crate::{AccountId, Name, OrganizationId, Timestamp, TokenHash, TokenId};

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
    /// When it was made.
    pub created_at: Timestamp,
    /// Since when it is no longer taken, if it was revoked.
    pub revoked_at: Option<Timestamp>,
}
