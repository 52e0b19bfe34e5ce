//! Things to test with. A builder fills in what the test does not care about; each thing gets an id of its own, and
//! things that are built later have the later ids.

use std::path::PathBuf;

use super::clock::{fresh_id, moment};
use crate::{
    AccountId, Actor, AuditAction, AuditEntry, AuditId, AuditOutcome, BaseVolume, Caller, Content, ContentDigest,
    Fingerprint, Health, InstanceId, LossCollector, Losses, Name, Organization, OrganizationId, Pack, PackId,
    PackStanding, Progress, Receipt, ReceiptId, RequestId, RestoreMode, RestoreSource, Revision, Role, Snapshot,
    SnapshotId, SnapshotState, StoredSnapshot, StoredTask, StoredVolume, Tags, Task, TaskId, TaskState, Timestamp,
    Token, TokenId, TokenRecord, Transfer, TransferId, TransferSecret, Volume, VolumeId, VolumeLocation, VolumeSize,
    VolumeState, VolumeType, Work,
};

/// A name.
///
/// # Panics
///
/// When the text is no name.
pub fn name(raw: &str) -> Name {
    Name::parse(raw).expect("a test gives a valid name")
}

/// A list of tags.
///
/// # Panics
///
/// When one of the texts is no tag.
pub fn tags(raw: &[&str]) -> Tags {
    Tags::parse(raw).expect("a test gives valid tags")
}

/// A size in bytes.
///
/// # Panics
///
/// When a volume can't have it.
pub fn size(bytes: u64) -> VolumeSize {
    VolumeSize::from_bytes(bytes).expect("a test gives a valid size")
}

/// An id of an organization that nobody else has.
pub fn an_organization_id() -> OrganizationId {
    OrganizationId::new(fresh_id())
}

/// An id of an instance that nobody else has.
pub fn an_instance() -> InstanceId {
    InstanceId::new(fresh_id())
}

/// An id of a request that nobody else has.
pub fn a_request() -> RequestId {
    RequestId::new(fresh_id())
}

/// An organization.
pub fn an_organization() -> Organization {
    Organization {
        id: an_organization_id(),
        name: name("Lighthouse"),
        created_at: moment(0),
    }
}

/// A caller with one organization of their own.
pub fn a_caller() -> Caller {
    a_caller_of(&[an_organization_id()])
}

/// A caller that acts for these organizations.
pub fn a_caller_of(organizations: &[OrganizationId]) -> Caller {
    Caller {
        token: TokenId::new(fresh_id()),
        account: AccountId::new(fresh_id()),
        organizations: organizations.to_vec(),
        role: Role::Admin,
    }
}

/// What is kept of a token that acts for one organization, and belongs to an account of its own.
pub fn a_token_record(organization: OrganizationId) -> TokenRecord {
    TokenRecord {
        id: TokenId::new(fresh_id()),
        account: AccountId::new(fresh_id()),
        organizations: vec![organization],
        name: name("nightly backups"),
        hash: Token::from_random(fresh_id()).hash(),
        role: Role::Admin,
        created_at: moment(0),
        expires_at: None,
        revoked_at: None,
    }
}

/// The receipt of some request, kept at moment `n` for a thousand microseconds. Those of different numbers have different
/// ids.
pub fn a_receipt(n: u8) -> Receipt {
    Receipt {
        id: ReceiptId::from_bytes([n; 32]),
        fingerprint: Fingerprint::from_bytes([n.wrapping_add(1); 32]),
        answer: format!("answer {n}"),
        kept_at: moment(i64::from(n)),
        expires_at: moment(1_000 + i64::from(n)),
    }
}

/// An entry of the audit trail: somebody made a snapshot.
pub fn an_audit_entry(organization: OrganizationId) -> AuditEntry {
    AuditEntry {
        id: AuditId::new(fresh_id()),
        at: moment(0),
        actor: Actor::Token {
            token: TokenId::new(fresh_id()),
            account: AccountId::new(fresh_id()),
        },
        request: a_request(),
        organization,
        action: AuditAction::SnapshotCreate,
        resource: None,
        outcome: AuditOutcome::Done,
    }
}

/// An offer of a snapshot by its owner to anybody, for a second.
pub fn a_transfer(snapshot: &Snapshot) -> Transfer {
    Transfer {
        id: TransferId::new(fresh_id()),
        snapshot: snapshot.id(),
        giver: snapshot.organization(),
        receiver: None,
        secret: TransferSecret::from_random(fresh_id()).hash(),
        created_at: moment(0),
        expires_at: moment(1_000_000),
        wrong_secrets: 0,
    }
}

/// A pack of 64 MiB.
pub fn a_pack(domain: OrganizationId) -> Pack {
    Pack {
        id: PackId::new(fresh_id()),
        domain,
        size_bytes: 64 << 20,
        chunks: 1_000,
        standing: PackStanding::Kept,
    }
}

/// What is known of a whole copy.
///
/// # Panics
///
/// Never: the digest is well-formed.
pub fn a_content() -> Content {
    let digest = format!("blake3-131072:{}", "5a".repeat(32));
    Content {
        digest: ContentDigest::parse(&digest).expect("the digest is well-formed"),
        stored_bytes: 4_096,
    }
}

/// A managed volume of 1 MiB at rest, until it is told otherwise.
pub fn a_volume(organization: OrganizationId) -> VolumeBuilder {
    VolumeBuilder(StoredVolume {
        id: VolumeId::new(fresh_id()),
        organization,
        name: name("vol-0-1"),
        tags: Tags::default(),
        size: size(1 << 20),
        volume_type: VolumeType::LocalSsd,
        location: VolumeLocation::Managed,
        base_snapshot: None,
        losses: None,
        created_at: moment(0),
        modified_at: moment(0),
        state: VolumeState::Available { copies: 0 },
        revision: Revision::FIRST,
    })
}

/// Builds a [`Volume`].
#[derive(Clone, Debug)]
pub struct VolumeBuilder(StoredVolume);

impl VolumeBuilder {
    /// Gives it this id.
    pub const fn id(mut self, id: VolumeId) -> Self {
        self.0.id = id;
        self
    }

    /// Calls it so.
    pub fn named(mut self, raw: &str) -> Self {
        self.0.name = name(raw);
        self
    }

    /// Puts these tags on it.
    pub fn tagged(mut self, raw: &[&str]) -> Self {
        self.0.tags = tags(raw);
        self
    }

    /// Makes it this large.
    pub fn sized(mut self, bytes: u64) -> Self {
        self.0.size = size(bytes);
        self
    }

    /// Makes it an image or a device of the host.
    pub fn registered_at(mut self, path: impl Into<PathBuf>) -> Self {
        self.0.location = VolumeLocation::Registered(path.into());
        self
    }

    /// Makes it one that is being filled from this snapshot.
    pub fn restoring(mut self, snapshot: SnapshotId) -> Self {
        self.0.base_snapshot = Some(snapshot);
        self.0.state = VolumeState::Fetching;
        self
    }

    /// Dates its creation and its last change.
    pub const fn created_at(mut self, at: Timestamp) -> Self {
        self.0.created_at = at;
        self.0.modified_at = at;
        self
    }

    /// Puts it in this state.
    pub fn in_state(mut self, state: VolumeState) -> Self {
        self.0.state = state;
        self
    }

    /// The volume.
    pub fn build(self) -> Volume {
        Volume::from_stored(self.0)
    }
}

/// A snapshot of some volume of 1 MiB whose copy has just been asked for, until it is told otherwise.
pub fn a_snapshot(organization: OrganizationId) -> SnapshotBuilder {
    SnapshotBuilder(StoredSnapshot {
        id: SnapshotId::new(fresh_id()),
        organization,
        domain: organization,
        name: name("snapshot-0-1"),
        tags: Tags::default(),
        base_volume: BaseVolume {
            id: VolumeId::new(fresh_id()),
            name: name("vol-0-1"),
        },
        size: size(1 << 20),
        volume_type: VolumeType::LocalSsd,
        created_at: moment(0),
        modified_at: moment(0),
        state: SnapshotState::Snapshotting,
        health: Health::Unverified,
        revision: Revision::FIRST,
    })
}

/// Builds a [`Snapshot`].
#[derive(Clone, Debug)]
pub struct SnapshotBuilder(StoredSnapshot);

impl SnapshotBuilder {
    /// Gives it this id.
    pub const fn id(mut self, id: SnapshotId) -> Self {
        self.0.id = id;
        self
    }

    /// Calls it so.
    pub fn named(mut self, raw: &str) -> Self {
        self.0.name = name(raw);
        self
    }

    /// Puts these tags on it.
    pub fn tagged(mut self, raw: &[&str]) -> Self {
        self.0.tags = tags(raw);
        self
    }

    /// Makes it a copy of this volume, with its name and size.
    pub fn of(mut self, volume: &Volume) -> Self {
        self.0.base_volume = BaseVolume {
            id: volume.id(),
            name: volume.name().clone(),
        };
        self.0.size = volume.size();
        self.0.volume_type = volume.volume_type();
        self
    }

    /// Seals it with the key of another organization than its owner's: it was transferred.
    pub const fn sealed_for(mut self, domain: OrganizationId) -> Self {
        self.0.domain = domain;
        self
    }

    /// Dates its creation and its last change.
    pub const fn created_at(mut self, at: Timestamp) -> Self {
        self.0.created_at = at;
        self.0.modified_at = at;
        self
    }

    /// Makes it whole.
    pub fn available(self) -> Self {
        self.in_state(SnapshotState::Available(a_content()))
    }

    /// Puts it in this state.
    pub fn in_state(mut self, state: SnapshotState) -> Self {
        self.0.state = state;
        self
    }

    /// The snapshot.
    pub fn build(self) -> Snapshot {
        Snapshot::from_stored(self.0)
    }
}

/// A task that waits for a worker.
pub fn a_task(organization: OrganizationId, work: Work) -> TaskBuilder {
    TaskBuilder(StoredTask {
        id: TaskId::new(fresh_id()),
        organization,
        work,
        request: a_request(),
        created_at: moment(0),
        ended_at: None,
        state: TaskState::Pending,
        cancel_requested: false,
        progress: Progress::none_of(0),
        losses: None,
        epoch: 0,
        interruptions: 0,
    })
}

/// The task that fills a snapshot which has just been asked for.
pub fn a_capture(snapshot: &Snapshot) -> TaskBuilder {
    let work = Work::Capture {
        snapshot: snapshot.id(),
        volume: snapshot.base_volume().id,
        domain: snapshot.domain(),
    };
    a_task(snapshot.organization(), work)
        .of_bytes(snapshot.size().as_bytes())
        .created_at(snapshot.created_at())
}

/// The task that fills a volume from a snapshot.
pub fn a_restore(volume: &Volume, snapshot: &Snapshot) -> TaskBuilder {
    let source = RestoreSource {
        snapshot: snapshot.id(),
        domain: snapshot.domain(),
    };
    let work = Work::Restore {
        volume: volume.id(),
        source,
        mode: RestoreMode::Whole,
    };
    a_task(volume.organization(), work)
        .of_bytes(volume.size().as_bytes())
        .created_at(volume.created_at())
}

/// The task that fills a volume with what is whole of a snapshot.
pub fn a_salvage(volume: &Volume, snapshot: &Snapshot) -> TaskBuilder {
    let TaskBuilder(mut stored) = a_restore(volume, snapshot);
    if let Work::Restore { mode, .. } = &mut stored.work {
        *mode = RestoreMode::Salvage;
    }
    TaskBuilder(stored)
}

/// What a salvage could not bring back: the first 512 bytes, and the next but one.
pub fn some_losses() -> Losses {
    let mut collector = LossCollector::default();
    collector.note(0..512);
    collector.note(1024..1536);
    collector.finish()
}

/// Builds a [`Task`].
#[derive(Clone, Debug)]
pub struct TaskBuilder(StoredTask);

impl TaskBuilder {
    /// Gives it this id.
    pub const fn id(mut self, id: TaskId) -> Self {
        self.0.id = id;
        self
    }

    /// Makes it this many bytes of work.
    pub const fn of_bytes(mut self, total_bytes: u64) -> Self {
        self.0.progress = Progress::none_of(total_bytes);
        self
    }

    /// Dates it.
    pub const fn created_at(mut self, at: Timestamp) -> Self {
        self.0.created_at = at;
        self
    }

    /// Lets this request have asked for it.
    pub const fn asked_by(mut self, request: RequestId) -> Self {
        self.0.request = request;
        self
    }

    /// Puts it in this state.
    pub const fn in_state(mut self, state: TaskState) -> Self {
        self.0.state = state;
        self
    }

    /// The task.
    pub fn build(self) -> Task {
        Task::from_stored(self.0)
    }
}
