//! Identifiers: a UUID each, but an id of one kind is no id of another.

use std::fmt;

use uuid::{Uuid, Variant};

use crate::Timestamp;

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

impl SnapshotId {
    /// The id of a snapshot that is begun at this moment: a UUID of version 7 whose twelve bits after the millisecond are the
    /// microseconds within it, as RFC 9562, section 6.2, method 3 lets them tell the time more precisely. The other 62 bits
    /// are those of `random`.
    ///
    /// So the id leads to the row where rows lie in the order of creation. Out of the range of such ids, before 1970 say, it
    /// is `random`.
    pub fn begun_at(moment: Timestamp, random: Uuid) -> Self {
        let (_, rest) = random.as_u64_pair();
        let micros = u64::try_from(moment.as_micros()).ok();
        let id = micros.filter(|micros| micros / 1000 < 1 << 48).map(|micros| {
            let head = ((micros / 1000) << 16) | 0x7000 | (micros % 1000);
            Uuid::from_u64_pair(head, (rest & (u64::MAX >> 2)) | (1 << 63))
        });
        Self(id.unwrap_or(random))
    }

    /// The moment that the id tells, where it tells one: when the snapshot was begun, if [`begun_at`](Self::begun_at) made it.
    /// Others may tell any moment.
    pub fn moment(self) -> Option<Timestamp> {
        let (head, _) = self.0.as_u64_pair();
        let (millis, micros) = (head >> 16, head & 0xfff);
        if self.0.get_version_num() != 7 || self.0.get_variant() != Variant::RFC4122 || micros > 999 {
            return None;
        }
        Timestamp::from_micros(i64::try_from(millis * 1000 + micros).ok()?).ok()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn random() -> Uuid {
        Uuid::from_u128(0xffff_ffff_ffff_4fff_8fff_ffff_ffff_fffe)
    }

    proptest! {
        #[test]
        fn a_snapshots_id_tells_when_it_was_begun(micros in 0..253_402_300_800_000_000_i64, rest: u128) {
            let moment = Timestamp::from_micros(micros).unwrap();

            let id = SnapshotId::begun_at(moment, Uuid::from_u128(rest));

            prop_assert_eq!(id.moment(), Some(moment));
            prop_assert_eq!(id.as_uuid().get_version_num(), 7);
            prop_assert_eq!(id.as_uuid().get_variant(), Variant::RFC4122);
            let told = id.as_uuid().get_timestamp().unwrap().to_unix();
            prop_assert_eq!(told.0, u64::try_from(micros / 1_000_000).unwrap());
        }

        #[test]
        fn ids_of_snapshots_grow_with_time(micros in 0..253_402_300_800_000_000_i64, rest: u128, later_rest: u128) {
            let id = |micros, rest| SnapshotId::begun_at(Timestamp::from_micros(micros).unwrap(), Uuid::from_u128(rest));

            prop_assert!(id(micros, rest) < id(micros + 1, later_rest));
        }

        #[test]
        fn any_id_can_be_asked_for_its_moment(id: u128) {
            let id = SnapshotId::new(Uuid::from_u128(id));

            if let Some(moment) = id.moment() {
                prop_assert_eq!(SnapshotId::begun_at(moment, id.as_uuid()), id);
            }
        }
    }

    #[test]
    fn snapshots_of_one_moment_differ_by_chance_alone() {
        let moment = Timestamp::from_micros(1).unwrap();

        let id = SnapshotId::begun_at(moment, random());

        assert_eq!(id.as_uuid(), Uuid::from_u128(0x0000_0000_0000_7001_8fff_ffff_ffff_fffe));
    }

    #[test]
    fn before_1970_an_id_tells_nothing() {
        let id = SnapshotId::begun_at(Timestamp::from_micros(-1).unwrap(), random());

        assert_eq!(id.as_uuid(), random());
        assert_eq!(id.moment(), None);
    }
}
