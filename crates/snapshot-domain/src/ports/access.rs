//! Where organizations and tokens are kept.

use crate::{Caller, Organization, Result, Timestamp, TokenHash, TokenId, TokenRecord};

/// Keeps organizations.
#[cfg_attr(feature = "mocks", mockall::automock)]
pub trait OrganizationRepository: Send + Sync {
    /// Stores a new organization.
    ///
    /// # Errors
    ///
    /// [`AlreadyExists`](crate::Error::AlreadyExists) when the id is taken.
    fn insert(&self, organization: &Organization) -> Result<()>;

    /// All organizations, oldest first, ties by id.
    ///
    /// # Errors
    ///
    /// Only those of the storage itself.
    fn list(&self) -> Result<Vec<Organization>>;
}

/// Keeps tokens, by their hashes.
#[cfg_attr(feature = "mocks", mockall::automock)]
pub trait TokenRepository: Send + Sync {
    /// Stores a new token, and its account when that is new.
    ///
    /// An account's organizations grow by those of the token.
    ///
    /// # Errors
    ///
    /// [`AlreadyExists`](crate::Error::AlreadyExists) when the id or the hash is taken;
    /// [`NotFound`](crate::Error::NotFound) when one of the organizations does not exist.
    fn insert(&self, token: &TokenRecord) -> Result<()>;

    /// All tokens, oldest first, ties by id; each with its account's organizations.
    ///
    /// # Errors
    ///
    /// Only those of the storage itself.
    fn list(&self) -> Result<Vec<TokenRecord>>;

    /// Takes a token no longer. Revoking one again keeps the first moment.
    ///
    /// # Errors
    ///
    /// [`NotFound`](crate::Error::NotFound) when there is none.
    fn revoke(&self, id: TokenId, now: Timestamp) -> Result<()>;

    /// Who shows the token with this hash at `now`; `None` when it is unknown, revoked or expired.
    ///
    /// # Errors
    ///
    /// Only those of the storage itself.
    fn caller(&self, hash: &TokenHash, now: Timestamp) -> Result<Option<Caller>>;
}
