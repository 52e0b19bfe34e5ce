//! Counting changes, so that two writers never overwrite each other unnoticed.

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
