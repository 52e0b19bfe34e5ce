use super::{InMemoryStore, Tables};
use crate::{
    Error, OrganizationId, Quota, QuotaChanges, QuotaResource, QuotaStatus, QuotaUse, Resource, Result, SnapshotState,
    TaskStateName, VolumeState, ports::QuotaRepository,
};

impl QuotaRepository for InMemoryStore {
    fn quota(&self, organization: OrganizationId) -> Result<QuotaStatus> {
        let tables = self.lock();
        tables.check_organization(organization)?;
        let own = tables.quotas.get(&organization).copied().unwrap_or_default();
        Ok(QuotaStatus {
            organization,
            own,
            quota: own.or(Quota::default()),
            used: tables.used_by(organization),
        })
    }

    fn change_quota(&self, organization: OrganizationId, changes: &QuotaChanges) -> Result<()> {
        let mut tables = self.lock();
        tables.check_organization(organization)?;
        let own = tables.quotas.entry(organization).or_default();
        *own = changes.applied_to(*own);
        tables.note(organization.as_uuid(), organization);
        Ok(())
    }
}

impl Tables {
    /// Refuses one more snapshot of an organization that has as many as it may.
    pub(super) fn check_snapshot_quota(&self, organization: OrganizationId) -> Result<()> {
        let limit = self.quota_of(organization).snapshots;
        refuse_unless(
            limit.admits(self.used_by(organization).snapshots + 1),
            QuotaResource::Snapshots,
        )
    }

    /// Refuses more bytes of volumes than an organization may have.
    pub(super) fn check_volume_quota(&self, organization: OrganizationId, more_bytes: u64) -> Result<()> {
        let limit = self.quota_of(organization).volume_bytes;
        refuse_unless(
            limit.admits(self.used_by(organization).volume_bytes + more_bytes),
            QuotaResource::VolumeBytes,
        )
    }

    /// Whether an organization may have one more task running.
    pub(super) fn may_run_one_more(&self, organization: OrganizationId) -> bool {
        let limit = self.quota_of(organization).tasks;
        limit.admits(self.used_by(organization).tasks + 1)
    }

    fn quota_of(&self, organization: OrganizationId) -> Quota {
        let own = self.quotas.get(&organization).copied().unwrap_or_default();
        own.or(Quota::default())
    }

    fn used_by(&self, organization: OrganizationId) -> QuotaUse {
        let snapshots = self
            .snapshots
            .values()
            .filter(|it| it.organization() == organization && !matches!(it.state(), SnapshotState::Error { .. }));
        let volumes = self
            .volumes
            .values()
            .filter(|it| it.organization() == organization && !matches!(it.state(), VolumeState::Error { .. }));
        let tasks = self.tasks.values().filter(|it| {
            it.organization() == organization
                && it.work().counts_against_quota()
                && it.state().name() == TaskStateName::Running
        });
        QuotaUse {
            snapshots: snapshots.count() as u64,
            volume_bytes: volumes.map(|it| it.size().as_bytes()).sum(),
            tasks: tasks.count() as u64,
        }
    }

    fn check_organization(&self, id: OrganizationId) -> Result<()> {
        if self.organizations.contains_key(&id) {
            Ok(())
        } else {
            Err(Error::NotFound {
                resource: Resource::Organization,
                id: id.as_uuid(),
            })
        }
    }
}

const fn refuse_unless(admitted: bool, resource: QuotaResource) -> Result<()> {
    if admitted {
        Ok(())
    } else {
        Err(Error::QuotaExceeded { resource })
    }
}
