//! For tests: mocks, in-memory ports, builders, and the contract that every store has to pass.
//!
//! - [`InMemoryStore`], [`InMemoryVolumes`], [`InMemorySnapshotBytes`], [`ManualClock`] and [`SequentialIds`] are small
//!   real implementations of all ports. Prefer them: a test then says what comes out, not what is called.
//! - [`Services`] has every use case wired to them.
//! - The mocks (`MockSnapshotRepository`, …, re-exported here from [`ports`](crate::ports)) are for what the others can't
//!   do: let a port fail, or prove that something is not called.
//! - [`a_volume`], [`a_snapshot`], [`a_task`], … build things to test with, and fill in what the test does not care about.
//! - [`contract`] holds the rules of the repositories as functions, and
//!   [`repository_contract!`](crate::repository_contract) makes a test of each.

mod builders;
mod bytes;
mod clock;
#[expect(
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    clippy::needless_pass_by_value,
    reason = "a rule is the body of a test: it panics when it is broken"
)]
pub mod contract;
mod memory;
mod services;

pub use builders::{
    SnapshotBuilder, TaskBuilder, VolumeBuilder, a_caller, a_caller_of, a_capture, a_content, a_pack, a_receipt,
    a_request, a_restore, a_salvage, a_snapshot, a_task, a_token_record, a_transfer, a_volume, an_audit_entry,
    an_instance, an_organization, an_organization_id, name, size, some_losses, tags,
};
pub use bytes::{InMemorySnapshotBytes, InMemoryVolumes};
pub use clock::{ManualClock, SequentialIds, moment};
pub use memory::InMemoryStore;
pub use services::Services;

pub use crate::ports::{
    MockAuditLog, MockCheckRepository, MockClock, MockIdSource, MockMaintenanceQueue, MockOrganizationRepository,
    MockPackRepository, MockQuotaRepository, MockReadAt, MockReceiptRepository, MockSnapshotArchive, MockSnapshotBytes,
    MockSnapshotRepository, MockSnapshotSizes, MockStagedWrite, MockTaskQueue, MockTokenRepository,
    MockTransferRepository, MockVolumeBytes, MockVolumeRepository,
};
