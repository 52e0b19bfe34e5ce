//! Time and randomness, so that tests set them.

use uuid::Uuid;

use crate::Timestamp;

/// Tells the time.
#[cfg_attr(feature = "mocks", mockall::automock)]
pub trait Clock: Send + Sync {
    /// The present moment.
    fn now(&self) -> Timestamp;
}

/// Makes identifiers and secrets.
#[cfg_attr(feature = "mocks", mockall::automock)]
pub trait IdSource: Send + Sync {
    /// A new id, never given before: UUID version 7, so that rows made one after the other lie side by side.
    fn id(&self) -> Uuid;

    /// A secret nobody can guess: UUID version 4 from the operating system's random source.
    fn secret(&self) -> Uuid;
}
