//! What the service does, as methods of one struct per subject. Web handlers, workers and command lines call the same ones.
//!
//! Whatever is asked for by somebody takes a [`Caller`]: what is not theirs is not found, and what their
//! token is not for fails with [`RightMissing`](crate::Error::RightMissing) before anything is looked at.

mod access;
mod audit;
mod checks;
mod maintenance;
mod owed_ends;
mod quotas;
mod receipts;
mod recovery;
mod snapshots;
mod tasks;
mod transfers;
mod volumes;
mod writes;

pub use access::{AccessService, Bootstrap, CreateToken, NewToken};
pub use audit::{AuditService, BegunDeed, Deed};
pub use checks::{CheckRound, CheckService};
pub use maintenance::MaintenanceService;
pub use quotas::QuotaService;
pub use receipts::{ReceiptOf, ReceiptService};
pub use recovery::{Recovery, RecoveryError, RecoveryService};
pub use snapshots::{CreateSnapshot, SnapshotService};
pub use tasks::{TaskReader, TaskService};
pub use transfers::{NewTransfer, OfferSnapshot, TransferService};
pub use volumes::{CreateVolume, RegisterVolume, RestoreVolume, VolumeService};
pub use writes::VolumeWrite;

use crate::{Caller, Error, OrganizationId, Progress, Result, Task};

/// Something that may be worked on in the background, and how far that is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tracked<T> {
    /// The thing itself.
    pub item: T,
    /// How far the work on it is, while there is any.
    pub progress: Option<Progress>,
    /// How many bytes deleting it now would free: of a whole snapshot, as long as that is known.
    pub exclusive_bytes: Option<u64>,
}

/// Something that was just recorded, and the task that will fill it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Begun<T> {
    /// The thing itself.
    pub item: T,
    /// The task.
    pub task: Task,
}

/// The owner of something, if that is one of a caller's organizations. Who acts for one organization only has no other.
fn owner_among(caller: &Caller, owner: impl FnOnce() -> Result<OrganizationId>) -> Result<Option<OrganizationId>> {
    if let [only] = caller.organizations[..] {
        return Ok(Some(only));
    }
    match owner() {
        Ok(owner) => Ok(Some(owner).filter(|owner| caller.organizations.contains(owner))),
        Err(Error::NotFound { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// How often a change is decided anew when somebody else changed the same thing in the meantime. Each round somebody
/// succeeds, so only as many rounds can be lost as there are rivals.
const MOST_ROUNDS: u32 = 64;

/// Decides and stores a change, again from the start when somebody else was quicker.
fn until_not_stale<T>(mut attempt: impl FnMut() -> Result<T>) -> Result<T> {
    for _ in 1..MOST_ROUNDS {
        match attempt() {
            Err(Error::Stale { .. }) => {}
            other => return other,
        }
    }
    attempt()
}
