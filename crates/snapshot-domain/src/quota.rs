//! How much an organization may have.
//!
//! What counts is what is there or was promised: a snapshot from the moment it is asked for, and the full size of a volume
//! from the moment it is made. What ended in `error` counts no longer, and neither does what is deleted. Running copies
//! and restores beyond the quota wait; they are never refused.

use std::{fmt, num::NonZero};

use crate::OrganizationId;

/// The most there may be of something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Limit {
    /// Any number.
    #[default]
    Unlimited,
    /// This many.
    AtMost(NonZero<u64>),
}

impl Limit {
    /// Takes a number, of which 0 stands for no limit.
    pub const fn from_number(number: u64) -> Self {
        match NonZero::new(number) {
            None => Self::Unlimited,
            Some(most) => Self::AtMost(most),
        }
    }

    /// The number, with 0 for no limit.
    pub const fn as_number(self) -> u64 {
        match self {
            Self::Unlimited => 0,
            Self::AtMost(most) => most.get(),
        }
    }

    /// Whether there may be so many.
    pub const fn admits(self, number: u64) -> bool {
        match self {
            Self::Unlimited => true,
            Self::AtMost(most) => number <= most.get(),
        }
    }
}

/// How the command line prints a limit.
impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unlimited => f.write_str("unlimited"),
            Self::AtMost(most) => most.fmt(f),
        }
    }
}

/// What an organization may have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Quota {
    /// Snapshots.
    pub snapshots: Limit,
    /// Bytes of all volumes together, at their full sizes.
    pub volume_bytes: Limit,
    /// Copies and restores that run at once.
    pub tasks: Limit,
}

/// What was set for one organization; `None` is the default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OwnQuota {
    /// Snapshots.
    pub snapshots: Option<Limit>,
    /// Bytes of all volumes together, at their full sizes.
    pub volume_bytes: Option<Limit>,
    /// Copies and restores that run at once.
    pub tasks: Option<Limit>,
}

impl OwnQuota {
    /// What holds for the organization when these are the defaults.
    pub fn or(self, defaults: Quota) -> Quota {
        Quota {
            snapshots: self.snapshots.unwrap_or(defaults.snapshots),
            volume_bytes: self.volume_bytes.unwrap_or(defaults.volume_bytes),
            tasks: self.tasks.unwrap_or(defaults.tasks),
        }
    }
}

/// A limit as it is set for one organization.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OwnLimit {
    /// None: the default holds.
    Default,
    /// This one.
    Set(Limit),
}

impl From<OwnLimit> for Option<Limit> {
    fn from(limit: OwnLimit) -> Self {
        match limit {
            OwnLimit::Default => None,
            OwnLimit::Set(limit) => Some(limit),
        }
    }
}

/// Limits that are to be set for one organization. The others stay as they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QuotaChanges {
    /// Snapshots.
    pub snapshots: Option<OwnLimit>,
    /// Bytes of all volumes together, at their full sizes.
    pub volume_bytes: Option<OwnLimit>,
    /// Copies and restores that run at once.
    pub tasks: Option<OwnLimit>,
}

impl QuotaChanges {
    /// Whether nothing is to be set.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// What is set afterwards.
    pub fn applied_to(self, own: OwnQuota) -> OwnQuota {
        let chosen = |own: Option<Limit>, change: Option<OwnLimit>| change.map_or(own, Into::into);
        OwnQuota {
            snapshots: chosen(own.snapshots, self.snapshots),
            volume_bytes: chosen(own.volume_bytes, self.volume_bytes),
            tasks: chosen(own.tasks, self.tasks),
        }
    }
}

/// What of its quota an organization uses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QuotaUse {
    /// Snapshots.
    pub snapshots: u64,
    /// Bytes of all volumes together.
    pub volume_bytes: u64,
    /// Copies and restores that run.
    pub tasks: u64,
}

/// An organization's quota and its use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuotaStatus {
    /// Whose.
    pub organization: OrganizationId,
    /// What was set for it.
    pub own: OwnQuota,
    /// What holds for it.
    pub quota: Quota,
    /// What it uses.
    pub used: QuotaUse,
}

/// What a quota refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum QuotaResource {
    /// One more snapshot.
    Snapshots,
    /// More bytes of volumes.
    VolumeBytes,
}

impl QuotaResource {
    /// The resource as the API calls it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Snapshots => "snapshots",
            Self::VolumeBytes => "volume_bytes",
        }
    }
}

impl fmt::Display for QuotaResource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_admits_as_many_as_it_says_and_0_says_any() {
        assert!(Limit::from_number(2).admits(2));
        assert!(!Limit::from_number(2).admits(3));
        assert!(Limit::from_number(0).admits(u64::MAX));
        assert_eq!(Limit::from_number(0).as_number(), 0);
        assert_eq!(Limit::from_number(7).as_number(), 7);
    }

    #[test]
    fn what_was_set_goes_before_the_default_also_when_it_is_no_limit() {
        let defaults = Quota {
            snapshots: Limit::from_number(1),
            volume_bytes: Limit::from_number(2),
            tasks: Limit::from_number(3),
        };
        let own = OwnQuota {
            snapshots: Some(Limit::Unlimited),
            volume_bytes: None,
            tasks: Some(Limit::from_number(9)),
        };

        let quota = own.or(defaults);

        assert_eq!(quota.snapshots, Limit::Unlimited);
        assert_eq!(quota.volume_bytes, Limit::from_number(2));
        assert_eq!(quota.tasks, Limit::from_number(9));
    }
}
