//! What checks of a snapshot's stored bytes found.

use std::fmt;

use crate::{OrganizationId, SnapshotId, Timestamp};

/// What is known of a snapshot's stored bytes. It stands beside the snapshot's state: a damaged snapshot is still
/// `available`, for all that is whole of it can be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Health {
    /// No check has come to an answer yet.
    #[default]
    Unverified,
    /// Every byte was read, opened and compared.
    Ok {
        /// When the check began.
        verified_at: Timestamp,
    },
    /// Some of the bytes are lost.
    Damaged {
        /// When the check began, or when somebody who read met the damage.
        verified_at: Timestamp,
    },
}

/// The name of a [`Health`], without its date.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HealthName {
    /// See [`Health::Unverified`].
    Unverified,
    /// See [`Health::Ok`].
    Ok,
    /// See [`Health::Damaged`].
    Damaged,
}

/// A check of a snapshot's stored bytes that has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Check {
    /// When it began: what it says is true of the bytes after this moment.
    pub began_at: Timestamp,
    /// When it ended.
    pub ended_at: Timestamp,
    /// What it found.
    pub finding: Finding,
}

/// What a check found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finding {
    /// All bytes are as they were stored.
    Whole,
    /// Some bytes are lost.
    Damaged,
    /// Some bytes could not be read now, which may pass: the check says nothing about them.
    Undecided,
}

/// A snapshot that waits for its next check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DueCheck {
    /// The snapshot.
    pub snapshot: SnapshotId,
    /// Whose key seals its bytes.
    pub domain: OrganizationId,
    /// When its last check began, whatever that found; `None` when there was none.
    pub checked_at: Option<Timestamp>,
}

impl Health {
    /// The health without its date.
    pub const fn name(&self) -> HealthName {
        match self {
            Self::Unverified => HealthName::Unverified,
            Self::Ok { .. } => HealthName::Ok,
            Self::Damaged { .. } => HealthName::Damaged,
        }
    }

    /// When the check began that found it.
    pub const fn verified_at(&self) -> Option<Timestamp> {
        match self {
            Self::Unverified => None,
            Self::Ok { verified_at } | Self::Damaged { verified_at } => Some(*verified_at),
        }
    }

    /// What is known after a check, which is the latest that has begun.
    #[must_use]
    pub const fn after(self, check: &Check) -> Self {
        let verified_at = check.began_at;
        match check.finding {
            Finding::Whole => Self::Ok { verified_at },
            Finding::Damaged => Self::Damaged { verified_at },
            Finding::Undecided => self,
        }
    }
}

impl HealthName {
    /// Every health there is.
    pub const ALL: [Self; 3] = [Self::Unverified, Self::Ok, Self::Damaged];

    /// The health as the API and the database call it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unverified => "unverified",
            Self::Ok => "ok",
            Self::Damaged => "damaged",
        }
    }

    /// The health of this name, if there is one.
    pub fn parse(raw: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|health| health.as_str() == raw)
    }
}

impl fmt::Display for HealthName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
