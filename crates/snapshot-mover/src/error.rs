//! What can go wrong while bytes move, and how that is told to whom.

use std::io;

use snapshot_domain::Error as DomainError;
use snapshot_vault::{IndexError, VaultError};
use thiserror::Error;

use crate::{source::SourceError, watch::Stop};

/// Why a copy or a restore did not come to its end.
#[derive(Debug, Error)]
pub(crate) enum MoveError {
    /// It was told to stop.
    #[error(transparent)]
    Stopped(#[from] Stop),
    /// The volume can't be read, or did not hold still.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The volume's new bytes can't be written.
    #[error("the volume's bytes can't be written")]
    Target(#[source] io::Error),
    /// The vault can't take or give the bytes.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// The database can't be read or written.
    #[error(transparent)]
    Domain(#[from] DomainError),
    /// The process ended each time it was worked on.
    #[error("the process was interrupted {0} times while it worked on this")]
    GivenUp(u32),
    /// A worker panicked: a fault of this program.
    #[error("a worker panicked")]
    Panicked,
}

impl MoveError {
    /// Whether it is the database that fails: the work is done again when it is back, for nothing is wrong with the
    /// volume or the vault.
    pub(crate) const fn is_for_want_of_database(&self) -> bool {
        matches!(
            self,
            Self::Vault(VaultError::Catalog(_)) | Self::Domain(DomainError::Unavailable { .. })
        )
    }

    /// A sentence for the owner of the snapshot or volume: what happened, without what the host looks like inside.
    pub(crate) fn reason(&self) -> String {
        match self {
            Self::Stopped(stop) => format!("The work was stopped: {stop}"),
            Self::Source(error) => error.reason().to_owned(),
            Self::Target(error) if is_no_space(error) => "There is no space left for the volume's bytes".to_owned(),
            Self::Target(_) => "The volume's bytes could not be written".to_owned(),
            Self::Vault(error) => vault_reason(error),
            Self::Domain(DomainError::NoSpace { .. }) => "There is no space left in the database".to_owned(),
            Self::GivenUp(times) => format!("The service was interrupted {times} times while it worked on this"),
            Self::Domain(_) | Self::Panicked => "Something went wrong inside the service".to_owned(),
        }
    }
}

fn vault_reason(error: &VaultError) -> String {
    if error.is_no_space() {
        return "There is no space left in the vault".to_owned();
    }
    match error {
        VaultError::Damaged { range, reason, .. } if range.end == u64::MAX => {
            format!("The snapshot can't be read: {reason}")
        }
        VaultError::Damaged { range, reason, .. } => {
            format!(
                "The bytes {} to {} are damaged in the vault: {reason}",
                range.start,
                range.end.saturating_sub(1)
            )
        }
        VaultError::ManifestNotFound(_) => "The snapshot's manifest is missing from the vault".to_owned(),
        VaultError::DigestMismatch => "The bytes in the vault are not those of the snapshot".to_owned(),
        VaultError::SelfCheckFailed => {
            "A sealed chunk did not open to the same bytes: the host's memory is not reliable".to_owned()
        }
        VaultError::UnsupportedVersion { .. } => "The snapshot was stored by a later version of the service".to_owned(),
        VaultError::Sink(error) if is_no_space(error) => "There is no space left for the volume's bytes".to_owned(),
        VaultError::Sink(_) => "The volume's bytes could not be written".to_owned(),
        VaultError::Blob(_)
        | VaultError::NoSpace(_)
        | VaultError::Index(_)
        | VaultError::Catalog(_)
        | VaultError::ManifestExists(_)
        | VaultError::WrongMasterKey
        | VaultError::NotAVault
        | VaultError::StoreIsEmpty
        | VaultError::Library(_)
        | VaultError::Incomplete
        | VaultError::Stopped
        | VaultError::Misuse(_) => "The vault could not be used".to_owned(),
    }
}

/// How a failure of the vault looks to a use case that reads `size_bytes` bytes.
pub(crate) fn domain_error(error: VaultError, size_bytes: u64) -> DomainError {
    if error.is_no_space() {
        return DomainError::NoSpace {
            source: Box::new(error),
        };
    }
    match error {
        VaultError::Damaged { range, reason, .. } => DomainError::Damaged {
            first: range.start.min(size_bytes.saturating_sub(1)),
            last: range.end.min(size_bytes).saturating_sub(1),
            reason: reason.to_owned(),
        },
        VaultError::ManifestNotFound(_) | VaultError::UnsupportedVersion { .. } | VaultError::DigestMismatch => {
            DomainError::Damaged {
                first: 0,
                last: size_bytes.saturating_sub(1),
                reason: vault_reason(&error),
            }
        }
        VaultError::Index(IndexError::NoSpace(_)) | VaultError::NoSpace(_) => DomainError::NoSpace {
            source: Box::new(error),
        },
        VaultError::Blob(_)
        | VaultError::Index(_)
        | VaultError::Catalog(_)
        | VaultError::ManifestExists(_)
        | VaultError::WrongMasterKey
        | VaultError::NotAVault
        | VaultError::StoreIsEmpty
        | VaultError::SelfCheckFailed
        | VaultError::Library(_)
        | VaultError::Sink(_)
        | VaultError::Incomplete
        | VaultError::Stopped
        | VaultError::Misuse(_) => DomainError::unavailable(error),
    }
}

/// How a failure to read or write a volume's bytes looks to a use case.
pub(crate) fn io_error(error: io::Error) -> DomainError {
    if error.kind() == io::ErrorKind::FileTooLarge {
        DomainError::VolumeTooLarge
    } else if is_no_space(&error) {
        DomainError::NoSpace {
            source: Box::new(error),
        }
    } else {
        DomainError::unavailable(error)
    }
}

pub(crate) fn is_no_space(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_file_system_refuses_for_its_size_is_told_from_what_may_pass() {
        let told = |kind: io::ErrorKind| io_error(kind.into());

        assert!(matches!(told(io::ErrorKind::FileTooLarge), DomainError::VolumeTooLarge));
        assert!(matches!(told(io::ErrorKind::StorageFull), DomainError::NoSpace { .. }));
        assert!(matches!(told(io::ErrorKind::TimedOut), DomainError::Unavailable { .. }));
    }
}
