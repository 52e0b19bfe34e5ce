//! The job that counts what all snapshots need and share.

use serde::{Deserialize, Serialize};
use snapshot_vault::{Totals, VaultError};
use uuid::Uuid;

use super::{Premises, UnreadableObject, job::Job};
use crate::error::MoveError;

/// What all snapshots need and share.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
pub struct StatReport {
    /// Every snapshot that can be read, in the order of domains and ids.
    pub snapshots: Vec<SnapshotStat>,
    /// What all of them take together.
    pub totals: StatTotals,
    /// What can't be read. While there is any, the numbers are those of what can.
    pub unreadable: Vec<UnreadableObject>,
}

/// What one snapshot takes.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct SnapshotStat {
    /// The snapshot.
    pub id: Uuid,
    /// The organization whose key seals it.
    pub domain: Uuid,
    /// The size of its volume in bytes.
    pub size: u64,
    /// Bytes of it that are not in chunks of zeros.
    pub referenced_size: u64,
    /// Bytes that it added when it was made.
    pub stored_size: u64,
    /// Bytes that deleting it now would free.
    pub exclusive_size: u64,
}

/// What all snapshots take together. All sizes in bytes.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
pub struct StatTotals {
    /// How many snapshots can be read.
    pub snapshots: u64,
    /// How many packs there are.
    pub packs: u64,
    /// Volumes of all snapshots together.
    pub size: u64,
    /// Of these, what is not in chunks of zeros.
    pub referenced_size: u64,
    /// The chunks in use, each counted once, as they were before compression.
    pub unique_size: u64,
    /// The same as they are stored.
    pub unique_stored_size: u64,
    /// All packs and manifests.
    pub stored_size: u64,
    /// Of these, what some snapshot needs.
    pub live_size: u64,
    /// Of these, what no snapshot needs: most of it is given back by a collection.
    pub dead_size: u64,
}

pub(super) fn run(premises: &Premises, job: &Job) -> Result<StatReport, MoveError> {
    let stop = || job.check().is_err();
    let mut report = StatReport::default();
    let mut totals = Totals::default();
    for id in premises.vault.domains()? {
        job.check()?;
        let usage = match premises.vault.domain(id).and_then(|domain| domain.usage(&stop)) {
            Ok(usage) => usage,
            Err(VaultError::Stopped) => {
                job.check()?;
                return Err(VaultError::Stopped.into());
            }
            Err(VaultError::Damaged { object, reason, .. }) => {
                let reason = reason.to_owned();
                report.unreadable.push(UnreadableObject { object, reason });
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        report.snapshots.extend(usage.copies.iter().map(|copy| SnapshotStat {
            id: copy.manifest.as_uuid(),
            domain: id.as_uuid(),
            size: copy.size_bytes,
            referenced_size: copy.referenced_bytes,
            stored_size: copy.stored_bytes,
            exclusive_size: copy.exclusive_bytes,
        }));
        report.totals.size += usage.copies.iter().map(|copy| copy.size_bytes).sum::<u64>();
        let unreadable = usage.unreadable.into_iter().map(UnreadableObject::from);
        report.unreadable.extend(unreadable);
        totals += usage.totals;
    }
    report.totals = StatTotals {
        snapshots: totals.copies,
        packs: totals.packs,
        size: report.totals.size,
        referenced_size: totals.referenced_bytes,
        unique_size: totals.unique_bytes,
        unique_stored_size: totals.unique_stored_bytes,
        stored_size: totals.stored_bytes,
        live_size: totals.live_bytes,
        dead_size: totals.dead_bytes,
    };
    Ok(report)
}
