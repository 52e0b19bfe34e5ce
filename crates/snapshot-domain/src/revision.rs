//! Counting changes, so that two writers never overwrite each other unnoticed.

use uuid::Uuid;

use crate::{Error, Resource, Result};

/// How often a stored entity was changed. An update is taken only by the revision right after the stored one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision(u64);

impl Revision {
    /// The revision of something new.
    pub const FIRST: Self = Self(1);

    /// Takes a stored number as a revision.
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// The number, as stored.
    pub const fn as_u64(self) -> u64 {
        self.0
    }

    /// The revision after the next change.
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// The revision that has to be stored for this one to replace it.
    pub const fn previous(self) -> Self {
        Self(self.0.saturating_sub(1))
    }
}

/// Which revisions of something a change may be made of: those that its author has seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum RevisionCondition {
    /// Whatever it is.
    #[default]
    Any,
    /// One of these.
    OneOf(Vec<Revision>),
    /// None of these.
    NoneOf(Vec<Revision>),
    /// None at all: only something that is not there would do.
    Never,
}

impl RevisionCondition {
    /// Whether it holds for something that is at `revision`.
    pub fn holds_for(&self, revision: Revision) -> bool {
        match self {
            Self::Any => true,
            Self::OneOf(revisions) => revisions.contains(&revision),
            Self::NoneOf(revisions) => !revisions.contains(&revision),
            Self::Never => false,
        }
    }

    /// Refuses what it does not hold for.
    ///
    /// # Errors
    ///
    /// [`Error::ConditionFailed`].
    pub(crate) fn check(&self, resource: Resource, id: Uuid, revision: Revision) -> Result<()> {
        if self.holds_for(revision) {
            Ok(())
        } else {
            Err(Error::ConditionFailed { resource, id })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_condition_holds_for_the_revisions_that_it_names() {
        let two = Revision::new(2);
        let named = vec![Revision::new(1), two];

        assert!(RevisionCondition::Any.holds_for(two));
        assert!(RevisionCondition::OneOf(named.clone()).holds_for(two));
        assert!(!RevisionCondition::OneOf(named.clone()).holds_for(two.next()));
        assert!(!RevisionCondition::OneOf(Vec::new()).holds_for(two));
        assert!(!RevisionCondition::NoneOf(named.clone()).holds_for(two));
        assert!(RevisionCondition::NoneOf(named).holds_for(two.next()));
        assert!(!RevisionCondition::Never.holds_for(two));
    }
}
