//! The rules of a volume snapshot service: entities, state changes, use cases, and the ports they need.
//!
//! The crate is pure. It opens no file or socket, starts no thread and knows no web framework, database or runtime, so
//! that another service can reuse it with storage of its own: implement the traits in [`ports`], hand them to the
//! services in [`use_case`], and the rules hold. `examples/flat_file_tokens.rs` shows one that does.
//!
//! # A snapshot's life
//!
//! ```text
//!            copy committed
//! snapshotting ──────────► available
//!      │  copy failed
//!      └─────────────────► error
//! ```
//!
//! A snapshot can be deleted in every state; deleting one that is still `snapshotting` cancels its copy.
//!
//! # Tests of other services
//!
//! Feature `mocks` adds the module `testing`: mockall mocks of every port, in-memory implementations, builders, and the
//! contract suites that every implementation of a repository has to pass.
//!
//! ```
//! # #[cfg(feature = "mocks")] {
//! use std::sync::Arc;
//!
//! use snapshot_domain::{
//!     Error,
//!     testing::{
//!         InMemorySnapshotBytes, InMemoryStore, ManualClock, MockTaskQueue, MockSnapshotRepository, SequentialIds, a_caller,
//!         a_snapshot,
//!     },
//!     use_case::{CheckService, SnapshotService},
//! };
//!
//! // A service over doubles of all its ports; this one's database is down.
//! let mut snapshots = MockSnapshotRepository::new();
//! snapshots.expect_find_measured().returning(|_, _| Err(Error::unavailable("no route to host")));
//! let clock = Arc::new(ManualClock::default());
//! let service = SnapshotService::new(
//!     Arc::new(snapshots),
//!     Arc::new(InMemoryStore::default()),
//!     Arc::new(MockTaskQueue::new()), // panics when it is called
//!     Arc::new(InMemoryStore::default()),
//!     Arc::new(InMemorySnapshotBytes::default()),
//!     CheckService::new(Arc::new(InMemoryStore::default()), clock.clone()),
//!     clock,
//!     Arc::new(SequentialIds::default()),
//! );
//!
//! // A builder fills in what the test does not care about.
//! let caller = a_caller();
//! let snapshot = a_snapshot(caller.organizations[0]).named("before the upgrade").available().build();
//! let answer = service.get(&caller, snapshot.id());
//!
//! assert!(matches!(answer, Err(Error::Unavailable { .. })));
//! # }
//! ```

mod access;
mod archive;
mod audit;
mod caller;
mod content;
mod error;
mod health;
mod ids;
mod losses;
mod maintenance;
mod name;
mod pack;
pub mod ports;
mod quota;
mod receipt;
mod revision;
mod role;
mod size;
mod snapshot;
mod tags;
mod task;
#[cfg(feature = "mocks")]
pub mod testing;
mod time;
mod token;
mod transfer;
pub mod use_case;
mod volume;

pub use access::{Organization, TokenRecord};
pub use archive::ArchivedSnapshot;
pub use audit::{Actor, AuditAction, AuditEntry, AuditOutcome};
pub use caller::{Caller, Permit, Scope};
pub use content::{Content, ContentDigest, InvalidDigest};
pub use error::{Error, Resource, Result};
pub use health::{Check, DueCheck, Finding, Health, HealthName};
pub use ids::{
    AccountId, AuditId, CollectionId, InstanceId, OrganizationId, PackId, RequestId, RunId, SnapshotId, TaskId,
    TokenId, TransferId, VolumeId,
};
pub use losses::{InvalidLosses, LossCollector, Losses};
pub use maintenance::{AskedBy, MaintenanceJob, MaintenanceKind, MaintenanceRun, RunLease, RunOutcome, RunState};
pub use name::{InvalidName, Name};
pub use pack::{DamagedChunk, Distrusted, Pack, PackStanding};
pub use quota::{Limit, OwnLimit, OwnQuota, Quota, QuotaChanges, QuotaResource, QuotaStatus, QuotaUse};
pub use receipt::{Fingerprint, IdempotencyKey, InvalidKey, KeyedRequest, Receipt, ReceiptId};
pub use revision::{Revision, RevisionCondition};
pub use role::{Right, Role};
pub use size::{InvalidSize, VolumeSize};
pub use snapshot::{
    BaseVolume, NewSnapshot, ReadableSnapshot, Snapshot, SnapshotChanges, SnapshotEvent, SnapshotState,
    SnapshotStateName, StoredSnapshot,
};
pub use tags::{InvalidTag, Tag, Tags};
pub use task::{
    Lease, Progress, RestoreMode, RestoreSource, StoredTask, Task, TaskOutcome, TaskState, TaskStateName, Work,
};
pub use time::{InvalidTimestamp, Timestamp};
pub use token::{InvalidToken, Token, TokenHash};
pub use transfer::{InvalidTransferSecret, Transfer, TransferSecret, TransferSecretHash};
pub use volume::{
    NewVolume, StoredVolume, Volume, VolumeChanges, VolumeEvent, VolumeLocation, VolumeState, VolumeStateName,
    VolumeType,
};
