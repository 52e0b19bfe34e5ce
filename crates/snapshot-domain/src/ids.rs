//! Identifiers: a UUID each, but an id of one kind is no id of another.

use std::fmt;

use uuid::Uuid;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Uuid);

        impl $name {
            /// Takes a UUID as an id of this kind.
            pub const fn new(id: Uuid) -> Self {
                Self(id)
            }

            /// The UUID itself.
            pub const fn as_uuid(self) -> Uuid {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.0)
            }
        }
    };
}

id!(
    /// Names an organization: what owns volumes and snapshots.
    OrganizationId
);
id!(
    /// Names an account: what tokens belong to, and what may act for one or more organizations.
    AccountId
);
id!(
    /// Names a volume.
    VolumeId
);
id!(
    /// Names a snapshot.
    SnapshotId
);
id!(
    /// Names a task: one piece of background work.
    TaskId
);
id!(
    /// Names a token without being it: what lists and logs may show.
    TokenId
);
id!(
    /// Names a pack of chunks in the vault.
    PackId
);
id!(
    /// Names one collection of unused packs: what condemned and dropped packs belong to. Random, so that nobody else has it.
    CollectionId
);
id!(
    /// Names a run of maintenance.
    RunId
);
id!(
    /// Names a service process with its data folder; stays the same across restarts.
    InstanceId
);
id!(
    /// Names the HTTP request that caused something, so that a failure found later leads back to the log.
    RequestId
);
id!(
    /// Names an entry of the audit trail.
    AuditId
);
id!(
    /// Names an offer of a snapshot.
    TransferId
);
