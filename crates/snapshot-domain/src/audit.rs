//! Who did what to which resource, and what came of it. An entry holds ids only: no names, no secrets.

use std::fmt;

use crate::{AccountId, AuditId, Error, OrganizationId, RequestId, Timestamp, TokenId};

/// One act, or the attempt at one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditEntry {
    /// Its id. What several organizations are told of is an entry for each of them, with the same id.
    pub id: AuditId,
    /// When it was begun.
    pub at: Timestamp,
    /// Who did it.
    pub actor: Actor,
    /// The request that it was part of.
    pub request: RequestId,
    /// Whose admins see it: the owner of what was changed, read or tried, or who was to be its owner; the first organization
    /// of whoever tried, when that is none of theirs.
    pub organization: OrganizationId,
    /// What was done.
    pub action: AuditAction,
    /// What it was done to, as far as that is known: what was never made has no id.
    pub resource: Option<uuid::Uuid>,
    /// What came of it.
    pub outcome: AuditOutcome,
}

/// Who did something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Actor {
    /// Somebody who showed a token.
    Token {
        /// The token.
        token: TokenId,
        /// Its account.
        account: AccountId,
    },
    /// Somebody at the command line of the host; or, of what another organization did, somebody who is not told of.
    Host,
}

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)+
        }

        impl $name {
            /// Every one there is.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// As the API and the database call it.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)+
                }
            }

            /// The one of this name, if there is one.
            pub fn parse(raw: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|it| it.as_str() == raw)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

words!(
    /// What can be done that is noted. The word before the dot says to what kind of thing.
    AuditAction {
        /// A snapshot was asked for.
        SnapshotCreate = "snapshot.create",
        /// A snapshot was renamed, retagged, or given to another organization of the same account: told to both then.
        SnapshotChange = "snapshot.change",
        /// A snapshot was deleted, or its copy called off.
        SnapshotDelete = "snapshot.delete",
        /// The bytes of a snapshot were read.
        SnapshotRead = "snapshot.read",
        /// A snapshot was offered to other organizations.
        SnapshotOffer = "snapshot.offer",
        /// An offered snapshot was taken over: told to giver and new owner.
        TransferAccept = "transfer.accept",
        /// An offer was withdrawn.
        TransferWithdraw = "transfer.withdraw",
        /// A volume of zeros was made.
        VolumeCreate = "volume.create",
        /// A volume was made to be filled from a snapshot.
        VolumeRestore = "volume.restore",
        /// A volume was renamed or retagged.
        VolumeChange = "volume.change",
        /// Somebody began to write new bytes into a volume.
        VolumeWrite = "volume.write",
        /// A volume was deleted.
        VolumeDelete = "volume.delete",
        /// The bytes of a volume were read.
        VolumeRead = "volume.read",
        /// An image or device of the host was made a volume.
        VolumeRegister = "volume.register",
        /// An organization was made.
        OrganizationCreate = "organization.create",
        /// It was set how much an organization may have.
        QuotaChange = "organization.quota",
        /// A token was made: told to all organizations that its account acts for.
        TokenCreate = "token.create",
        /// A token was revoked: told to the same.
        TokenRevoke = "token.revoke",
    }
);

words!(
    /// What came of an act.
    AuditOutcome {
        /// It was done.
        Done = "done",
        /// It named an organization that is not the caller's.
        NotAllowed = "not_allowed",
        /// The caller's token is not for it.
        RightMissing = "right_missing",
        /// There is no such thing, or it is somebody else's.
        NotFound = "not_found",
        /// The state of things did not allow it.
        Conflict = "conflict",
        /// It was bound to another revision.
        ConditionFailed = "condition_failed",
        /// The organization has as much as it may.
        QuotaExceeded = "quota_exceeded",
        /// It broke off, or something is broken.
        Failed = "failed",
    }
);

impl AuditOutcome {
    /// What an error says of an act.
    pub const fn of(error: &Error) -> Self {
        match error {
            Error::NotAllowed => Self::NotAllowed,
            Error::RightMissing { .. } => Self::RightMissing,
            Error::NotFound { .. } => Self::NotFound,
            Error::QuotaExceeded { .. } => Self::QuotaExceeded,
            Error::ConditionFailed { .. } => Self::ConditionFailed,
            Error::Conflict { .. }
            | Error::Stale { .. }
            | Error::AlreadyExists { .. }
            | Error::KeyReused
            | Error::AnsweredBefore
            | Error::TooManyBytes { .. }
            | Error::VolumeTooLarge => Self::Conflict,
            Error::LeaseLost
            | Error::Unavailable { .. }
            | Error::NoSpace { .. }
            | Error::Damaged { .. }
            | Error::Corrupt { .. } => Self::Failed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_read_as_they_are_written_and_all_are_different() {
        for action in AuditAction::ALL {
            assert_eq!(AuditAction::parse(action.as_str()), Some(*action));
        }
        for outcome in AuditOutcome::ALL {
            assert_eq!(AuditOutcome::parse(outcome.as_str()), Some(*outcome));
        }
        assert_eq!(AuditAction::parse("snapshot.melt"), None);
    }
}
