//! What the use cases need of the world around them, as traits.
//!
//! Every port blocks: databases, hashing and disks do. Each method of a repository is one transaction: all of it happens, or
//! nothing.
//! Repositories store, and decide nothing about states; what two callers could decide differently at once is settled by
//! revisions and leases, and told with [`Error::Stale`](crate::Error::Stale) and
//! [`Error::LeaseLost`](crate::Error::LeaseLost).
//!
//! Feature `mocks` has a mock of each, and the module `testing` implements the repositories, the bytes and the environment
//! in memory.

mod access;
mod archive;
mod audit;
mod bytes;
mod checks;
mod environment;
mod maintenance;
mod packs;
mod quotas;
mod receipts;
mod sizes;
#[cfg_attr(
    feature = "mocks",
    expect(clippy::ref_option_ref, reason = "mockall passes arguments on by reference")
)]
mod snapshots;
mod tasks;
#[cfg_attr(
    feature = "mocks",
    expect(clippy::ref_option_ref, reason = "mockall passes arguments on by reference")
)]
mod transfers;
#[cfg_attr(
    feature = "mocks",
    expect(clippy::ref_option_ref, reason = "mockall passes arguments on by reference")
)]
mod volumes;

pub use access::{OrganizationRepository, TokenRepository};
pub use archive::SnapshotArchive;
pub use audit::{Act, AuditCursor, AuditLog, AuditQuery};
pub use bytes::{OpenVolume, ReadAt, SnapshotBytes, StagedWrite, VolumeBytes};
pub use checks::{CheckRepository, DueQuery};
pub use environment::{Clock, IdSource};
pub use maintenance::MaintenanceQueue;
pub use packs::PackRepository;
pub use quotas::QuotaRepository;
pub use receipts::ReceiptRepository;
pub use sizes::{DomainSnapshots, SnapshotSizes};
pub use snapshots::{Measured, SnapshotCursor, SnapshotQuery, SnapshotRepository};
pub use tasks::{Renewal, TaskQueue};
pub use transfers::TransferRepository;
pub use volumes::{VolumeCursor, VolumeQuery, VolumeRepository};

/// Is told how something ended that somebody else carries out. Must return at once.
pub type Tell<T> = Box<dyn FnOnce(crate::Result<T>) + Send>;

#[cfg(feature = "mocks")]
pub use self::{
    access::{MockOrganizationRepository, MockTokenRepository},
    archive::MockSnapshotArchive,
    audit::MockAuditLog,
    bytes::{MockReadAt, MockSnapshotBytes, MockStagedWrite, MockVolumeBytes},
    checks::MockCheckRepository,
    environment::{MockClock, MockIdSource},
    maintenance::MockMaintenanceQueue,
    packs::MockPackRepository,
    quotas::MockQuotaRepository,
    receipts::MockReceiptRepository,
    sizes::MockSnapshotSizes,
    snapshots::MockSnapshotRepository,
    tasks::MockTaskQueue,
    transfers::MockTransferRepository,
    volumes::MockVolumeRepository,
};

/// Which part of an ordered list is wanted: what comes after a cursor, without the first `skip`, at most `limit`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slice<C> {
    /// The last item that the reader has seen; `None` for the start.
    pub after: Option<C>,
    /// How many items to leave out.
    pub skip: u64,
    /// How many items to return at most.
    pub limit: u32,
}

impl<C> Slice<C> {
    /// The first `limit` items.
    pub const fn first(limit: u32) -> Self {
        Self {
            after: None,
            skip: 0,
            limit,
        }
    }

    /// The next `limit` items after one that was seen.
    pub const fn after(cursor: C, limit: u32) -> Self {
        Self {
            after: Some(cursor),
            skip: 0,
            limit,
        }
    }
}
