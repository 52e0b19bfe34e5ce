//! Which copies must be in the vault, as the rows tell.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use snapshot_domain::{
    DueCheck, Error, SnapshotId, Timestamp,
    ports::{CheckRepository, DueQuery, SnapshotRepository},
};
use snapshot_vault::{CatalogError, CopyVisitor, DomainId, ManifestId, PromisedCopies};

use crate::content::{domain_of, manifest_of};

/// How many rows are asked for at once.
const BATCH: u32 = 1024;

/// Whether there is a snapshot that is `available`, so that the vault must hold its copy.
///
/// # Errors
///
/// When the database can't be read.
pub fn has_whole_snapshots(checks: &dyn CheckRepository) -> snapshot_domain::Result<bool> {
    Ok(!checks.due_checks(&all_after(None), 1)?.is_empty())
}

fn all_after(after: Option<DueCheck>) -> DueQuery {
    DueQuery {
        before: Timestamp::new(DateTime::<Utc>::MAX_UTC),
        only_damaged: false,
        after,
    }
}

/// The snapshots that are `available`, each under the domain whose key seals it, whoever owns it. What is known of its
/// health does not matter: a damaged one is promised, too, for most of it can be read.
pub(super) struct WholeSnapshots {
    pub(super) checks: Arc<dyn CheckRepository>,
    pub(super) snapshots: Arc<dyn SnapshotRepository>,
}

impl PromisedCopies for WholeSnapshots {
    /// In the order of their last checks. A check that ends meanwhile moves a snapshot back in it, to where it is seen
    /// later or once more, but never forward past the reader.
    fn visit(&self, visit: CopyVisitor<'_>) -> Result<(), CatalogError> {
        let mut after = None;
        loop {
            let due = self.checks.due_checks(&all_after(after), BATCH).map_err(unavailable)?;
            let Some(last) = due.last() else { return Ok(()) };
            let copies: Vec<_> = due
                .iter()
                .map(|it| (domain_of(it.domain), manifest_of(it.snapshot)))
                .collect();
            if visit(&copies).is_break() {
                return Ok(());
            }
            after = Some(*last);
        }
    }

    fn is_promised(&self, domain: DomainId, copy: ManifestId) -> Result<bool, CatalogError> {
        match self.snapshots.get(SnapshotId::new(copy.as_uuid())) {
            Ok(snapshot) => Ok(snapshot.readable().is_ok() && domain_of(snapshot.domain()) == domain),
            Err(Error::NotFound { .. }) => Ok(false),
            Err(error) => Err(unavailable(error)),
        }
    }
}

fn unavailable(error: Error) -> CatalogError {
    CatalogError(Box::new(error))
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, ops::ControlFlow};

    use snapshot_domain::{
        Check, Finding, Health, SnapshotState, Work,
        ports::OrganizationRepository,
        testing::{InMemoryStore, a_content, a_snapshot, a_task, an_organization, moment},
    };

    use super::*;

    fn promised_by(store: &InMemoryStore) -> WholeSnapshots {
        WholeSnapshots {
            checks: Arc::new(store.clone()),
            snapshots: Arc::new(store.clone()),
        }
    }

    fn shown(promised: &WholeSnapshots) -> BTreeSet<(DomainId, ManifestId)> {
        let mut shown = BTreeSet::new();
        let visit = &mut |copies: &[_]| {
            shown.extend(copies.iter().copied());
            ControlFlow::Continue(())
        };
        promised.visit(visit).unwrap();
        shown
    }

    #[test]
    fn whole_snapshots_are_promised_under_the_key_that_seals_them_until_they_are_deleted() {
        let store = InMemoryStore::default();
        let (owner, maker) = (an_organization(), an_organization());
        OrganizationRepository::insert(&store, &owner).unwrap();
        OrganizationRepository::insert(&store, &maker).unwrap();
        let available = || SnapshotState::Available(a_content());
        let own = a_snapshot(owner.id).in_state(available()).build();
        let given = a_snapshot(owner.id).sealed_for(maker.id).in_state(available()).build();
        for snapshot in [&own, &given] {
            store.adopt(snapshot.readable().unwrap()).unwrap();
        }
        let damaged = Check {
            began_at: moment(7),
            ended_at: moment(8),
            finding: Finding::Damaged,
        };
        store.record_check(own.id(), &damaged).unwrap();
        assert!(matches!(store.get(own.id()).unwrap().health(), Health::Damaged { .. }));
        let promised = promised_by(&store);
        assert!(!has_whole_snapshots(&InMemoryStore::default()).unwrap());
        let [own_name, given_name] =
            [&own, &given].map(|snapshot| (domain_of(snapshot.domain()), manifest_of(snapshot.id())));

        assert!(has_whole_snapshots(&store).unwrap());
        assert_eq!(shown(&promised), BTreeSet::from([own_name, given_name]));
        assert!(promised.is_promised(given_name.0, given_name.1).unwrap());
        assert!(!promised.is_promised(domain_of(owner.id), given_name.1).unwrap());

        let forget = Work::ForgetSnapshot {
            snapshot: own.id(),
            domain: own.domain(),
        };
        let forget = a_task(owner.id, forget).build();
        store.delete(&store.get(own.id()).unwrap(), &forget).unwrap();
        assert_eq!(shown(&promised), BTreeSet::from([given_name]));
        assert!(!promised.is_promised(own_name.0, own_name.1).unwrap());
    }
}
