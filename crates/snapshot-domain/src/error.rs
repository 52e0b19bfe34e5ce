//! What can go wrong, sorted by what the caller can do next.

use std::fmt;

use thiserror::Error as ThisError;
use uuid::Uuid;

use crate::{QuotaResource, Right, Role};

/// The result of everything that a use case or a port does.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A use case or a port could not do what it was asked to.
#[derive(Debug, ThisError)]
pub enum Error {
    /// There is no such thing, or it is somebody else's: the two are never told apart.
    #[error("{resource} \"{id}\" not found")]
    NotFound {
        /// What kind of thing.
        resource: Resource,
        /// The id that was asked for.
        id: Uuid,
    },
    /// The caller named an organization that is not theirs.
    #[error("the organization is not the caller's")]
    NotAllowed,
    /// The caller's token is not for this kind of call.
    #[error("the role {role} lacks the right \"{right}\"")]
    RightMissing {
        /// What the token is for.
        role: Role,
        /// What the call needs.
        right: Right,
    },
    /// The organization has as much of it as it may.
    #[error("the quota of {resource} is used up")]
    QuotaExceeded {
        /// Of what.
        resource: QuotaResource,
    },
    /// The resource is in a state that does not take this operation.
    #[error("{reason}")]
    Conflict {
        /// What kind of thing.
        resource: Resource,
        /// Which one.
        id: Uuid,
        /// The state it is in, as the API calls it.
        state: &'static str,
        /// Why that refuses the operation: a sentence without a full stop.
        reason: &'static str,
    },
    /// Somebody else changed it in the meantime: read it again, and decide again.
    #[error("{resource} was changed by somebody else in the meantime")]
    Stale {
        /// What kind of thing.
        resource: Resource,
    },
    /// More bytes were sent than the volume has room for.
    #[error("the volume has room for {size_bytes} bytes")]
    TooManyBytes {
        /// The volume's size in bytes.
        size_bytes: u64,
    },
    /// The file system under the volumes has no files of that size.
    #[error("volumes of this size can't be kept here: the host's file system has no files that large")]
    VolumeTooLarge,
    /// An id is taken.
    #[error("{resource} \"{id}\" exists already")]
    AlreadyExists {
        /// What kind of thing.
        resource: Resource,
        /// The id.
        id: Uuid,
    },
    /// It is not, or not any more, as the caller demands that it is.
    #[error("{resource} \"{id}\" was changed since it was read")]
    ConditionFailed {
        /// What kind of thing.
        resource: Resource,
        /// Which one.
        id: Uuid,
    },
    /// A key that names one request was sent with another one.
    #[error("the key was used before, for another request")]
    KeyReused,
    /// The request was carried out before, under the same key: its receipt has the answer.
    #[error("the request was carried out before")]
    AnsweredBefore,
    /// The task is somebody else's by now, or has ended: the worker has to drop it and write nothing more.
    #[error("the task's lease is lost")]
    LeaseLost,
    /// Whatever stores the rows or bytes can't do it now; it may later.
    #[error("the storage is unavailable")]
    Unavailable {
        /// The cause, for the log.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// There is no room left for bytes.
    #[error("there is no space left to write to")]
    NoSpace {
        /// The cause, for the log.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Bytes of a volume or a snapshot are lost or damaged.
    #[error("the bytes {first} to {last} are damaged: {reason}")]
    Damaged {
        /// The first damaged byte's offset in the volume.
        first: u64,
        /// The last damaged byte's offset in the volume.
        last: u64,
        /// What is wrong with them.
        reason: String,
    },
    /// What is stored makes no sense. Never turned into a default.
    #[error("the stored {what} is corrupt")]
    Corrupt {
        /// What was read.
        what: &'static str,
        /// What is wrong with it, for the log.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl Error {
    /// Wraps the cause of a failure of the storage.
    pub fn unavailable(cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Unavailable { source: cause.into() }
    }

    /// Wraps what is wrong with something that was read from storage.
    pub fn corrupt(what: &'static str, cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Corrupt {
            what,
            source: cause.into(),
        }
    }
}

/// A kind of thing that has an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Resource {
    /// A snapshot.
    Snapshot,
    /// A volume.
    Volume,
    /// An organization.
    Organization,
    /// A token.
    Token,
    /// A task.
    Task,
    /// A run of maintenance.
    Run,
    /// An offer of a snapshot.
    Transfer,
}

/// As the API's sentences begin: `Snapshot`.
impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Snapshot => "Snapshot",
            Self::Volume => "Volume",
            Self::Organization => "Organization",
            Self::Token => "Token",
            Self::Task => "Task",
            Self::Run => "Run",
            Self::Transfer => "Transfer",
        })
    }
}
