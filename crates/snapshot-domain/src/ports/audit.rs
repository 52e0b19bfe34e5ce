//! Where it is kept who did what.

use crate::{AuditAction, AuditEntry, AuditId, OrganizationId, Result, Scope, Timestamp, TokenId, ports::Slice};

/// Something that is done while it is noted.
pub type Act<'a> = &'a mut dyn FnMut() -> Result<()>;

/// Keeps who did what.
#[cfg_attr(feature = "mocks", mockall::automock)]
pub trait AuditLog: Send + Sync {
    /// Does something on this thread, and keeps `entry` in the same transaction as the first change that it makes in the
    /// same store: either both are stored, or none. The entry takes on what was changed, and whose it is; where a change
    /// concerns several organizations, each gets it, under the same id. A change that is handed over, to be made by
    /// somebody else, counts as made.
    ///
    /// What ends well and changes nothing is noted by itself, before this returns. What fails before it changed anything
    /// is not noted.
    ///
    /// # Errors
    ///
    /// Those of the act, and those of the storage.
    #[cfg_attr(feature = "mocks", mockall::concretize)]
    fn during(&self, entry: &AuditEntry, act: Act<'_>) -> Result<()>;

    /// Keeps an entry by itself.
    ///
    /// # Errors
    ///
    /// Only those of the storage itself.
    fn record(&self, entry: &AuditEntry) -> Result<()>;

    /// A part of the entries that match, oldest first, ties by id, then by organization.
    ///
    /// # Errors
    ///
    /// Only those of the storage itself.
    fn list(&self, query: &AuditQuery, slice: Slice<AuditCursor>) -> Result<Vec<AuditEntry>>;

    /// How many entries match.
    ///
    /// # Errors
    ///
    /// Only those of the storage itself.
    fn count(&self, query: &AuditQuery) -> Result<u64>;

    /// Removes entries from before a moment: of each organization the oldest `limit`, and those of the same moment as the
    /// last of them. Returns how many.
    ///
    /// # Errors
    ///
    /// Only those of the storage itself.
    fn forget_before(&self, moment: Timestamp, limit: u32) -> Result<u64>;
}

/// Which entries are wanted: all conditions at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditQuery {
    /// For the admins of one of these.
    pub scope: Scope,
    /// Of this action.
    pub action: Option<AuditAction>,
    /// Done to this.
    pub resource: Option<uuid::Uuid>,
    /// By whoever showed this token.
    pub token: Option<TokenId>,
    /// From this moment on.
    pub since: Option<Timestamp>,
    /// Before this moment.
    pub until: Option<Timestamp>,
}

impl AuditQuery {
    /// Everything in a scope.
    pub const fn all(scope: Scope) -> Self {
        Self {
            scope,
            action: None,
            resource: None,
            token: None,
            since: None,
            until: None,
        }
    }
}

/// A place in the order of entries: oldest first, ties by id, and by organization where several are told of one act.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct AuditCursor {
    /// When the act was begun.
    pub at: Timestamp,
    /// The entry's id.
    pub id: AuditId,
    /// Whose admins see it.
    pub organization: OrganizationId,
}

impl AuditCursor {
    /// The place of an entry.
    pub const fn of(entry: &AuditEntry) -> Self {
        Self {
            at: entry.at,
            id: entry.id,
            organization: entry.organization,
        }
    }
}
