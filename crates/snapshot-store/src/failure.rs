//! What goes wrong in a database, sorted as the domain sorts it.

use diesel::result::{DatabaseErrorKind, Error as DatabaseError};
use snapshot_domain::{Error, Resource};
use thiserror::Error as ThisError;

use crate::columns;

/// The result of queries.
pub(crate) type Outcome<T> = Result<T, Failure>;

/// Why queries did not do what they were to do.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The rows do not allow it.
    Refused(Error),
    /// The database could not do it.
    Database(DatabaseError),
}

/// What a database said when it could not do something, for the log.
#[derive(Clone, Debug, ThisError)]
#[error("the database reports: {0}")]
pub(crate) struct Trouble(pub(crate) String);

impl Failure {
    /// Another error in place of one that says that something is not there.
    pub(crate) fn instead_of_not_found(self, error: Error) -> Self {
        match self {
            Self::Refused(Error::NotFound { .. }) => Self::Refused(error),
            other => other,
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Refused(error)
    }
}

impl From<DatabaseError> for Failure {
    fn from(error: DatabaseError) -> Self {
        Self::Database(error)
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Refused(error) => error,
            Failure::Database(DatabaseError::DeserializationError(cause)) => Self::corrupt("row", cause),
            Failure::Database(error @ DatabaseError::DatabaseError(DatabaseErrorKind::CheckViolation, _)) => {
                Self::corrupt("row", Trouble::from(error))
            }
            Failure::Database(error) => Self::from(Trouble::from(error)),
        }
    }
}

impl From<DatabaseError> for Trouble {
    fn from(error: DatabaseError) -> Self {
        Self(error.to_string())
    }
}

impl From<Trouble> for Error {
    fn from(trouble: Trouble) -> Self {
        // Neither database has a code that Diesel hands on, so their fixed English texts have to do.
        let is_any_of = |texts: &[&str]| texts.iter().any(|text| trouble.0.contains(text));
        if is_any_of(&["database or disk is full", "No space left on device"]) {
            Self::NoSpace {
                source: Box::new(trouble),
            }
        } else if is_any_of(&["database disk image is malformed", "file is not a database"]) {
            Self::corrupt("database", trouble)
        } else {
            Self::unavailable(trouble)
        }
    }
}

/// Sorts the failure to store a row: its id may be taken, or its organization may not exist.
pub(crate) fn refused(error: DatabaseError, resource: Resource, id: &[u8], organization: &[u8]) -> Failure {
    let DatabaseError::DatabaseError(kind, _) = &error else {
        return Failure::Database(error);
    };
    let refusal = match kind {
        DatabaseErrorKind::UniqueViolation => columns::id("row", id).map(|id| Error::AlreadyExists { resource, id }),
        DatabaseErrorKind::ForeignKeyViolation => columns::id("row", organization).map(|id| Error::NotFound {
            resource: Resource::Organization,
            id,
        }),
        _ => return Failure::Database(error),
    };
    Failure::Refused(refusal.unwrap_or_else(|nonsense| nonsense))
}

/// Whether a row could not be inserted because its key is taken.
pub(crate) const fn is_taken(failure: &Failure) -> bool {
    matches!(
        failure,
        Failure::Database(DatabaseError::DatabaseError(DatabaseErrorKind::UniqueViolation, _))
    )
}
