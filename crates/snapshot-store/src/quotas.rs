//! Quotas: [`QuotaRepository`], and what the other repositories ask before they commit.
//!
//! A row is stored first and counted by its trigger, which locks the organization's totals until the transaction ends. What
//! is read of them then is exact, however many do the same at once; when it is too much, the transaction is undone.

use diesel::prelude::*;
use snapshot_domain::{
    Error, Limit, OrganizationId, OwnLimit, OwnQuota, Quota, QuotaChanges, QuotaResource, QuotaStatus, QuotaUse,
    Resource, Result, ports::QuotaRepository,
};

use crate::{
    Store,
    audit::Subject,
    columns::{self, id_column},
    connection::{AnyConnection, on_either},
    failure::Outcome,
    schema::{snapshot_totals, task_totals, volume_totals},
};

const WHAT: &str = "quota";

/// How a column says that there is no limit.
const UNLIMITED: i64 = i64::MAX;

/// How much there is of something, and how much there may be.
type Held = (i64, Option<i64>);

impl QuotaRepository for Store {
    fn quota(&self, organization: OrganizationId) -> Result<QuotaStatus> {
        let key = id_column(organization.as_uuid());
        let rows = self.read(|connection| {
            connection.at_one_moment(|connection| {
                let snapshots: Option<Held> = snapshot_totals::table
                    .find(&key)
                    .select((snapshot_totals::held, snapshot_totals::at_most))
                    .first(connection)
                    .optional()?;
                let volumes: Option<Held> = volume_totals::table
                    .find(&key)
                    .select((volume_totals::held_bytes, volume_totals::at_most_bytes))
                    .first(connection)
                    .optional()?;
                let tasks: Option<Held> = task_totals::table
                    .find(&key)
                    .select((task_totals::running, task_totals::at_most))
                    .first(connection)
                    .optional()?;
                Ok(snapshots.zip(volumes).zip(tasks))
            })
        })?;
        let Some(((snapshots, volumes), tasks)) = rows else {
            return Err(not_found(organization));
        };
        let own = OwnQuota {
            snapshots: own_limit(snapshots.1)?,
            volume_bytes: own_limit(volumes.1)?,
            tasks: own_limit(tasks.1)?,
        };
        Ok(QuotaStatus {
            organization,
            own,
            quota: own.or(self.default_quota()),
            used: QuotaUse {
                snapshots: columns::number(WHAT, snapshots.0)?,
                volume_bytes: columns::number(WHAT, volumes.0)?,
                tasks: columns::number(WHAT, tasks.0)?,
            },
        })
    }

    fn change_quota(&self, organization: OrganizationId, changes: &QuotaChanges) -> Result<()> {
        let key = id_column(organization.as_uuid());
        let changes = *changes;
        let subject = Subject::new(organization.as_uuid(), organization);
        self.write_about(&subject, move |connection| {
            let known: Option<i64> = task_totals::table
                .find(&key)
                .select(task_totals::running)
                .first(connection)
                .optional()?;
            if known.is_none() {
                return Err(not_found(organization).into());
            }
            if let Some(limit) = changes.tasks {
                diesel::update(task_totals::table.find(&key))
                    .set(task_totals::at_most.eq(stored_limit(limit)))
                    .execute(connection)?;
            }
            if let Some(limit) = changes.snapshots {
                diesel::update(snapshot_totals::table.find(&key))
                    .set(snapshot_totals::at_most.eq(stored_limit(limit)))
                    .execute(connection)?;
            }
            if let Some(limit) = changes.volume_bytes {
                diesel::update(volume_totals::table.find(&key))
                    .set(volume_totals::at_most_bytes.eq(stored_limit(limit)))
                    .execute(connection)?;
            }
            Ok(())
        })
    }
}

/// Refuses what this transaction stored when its organization has more snapshots by it than it may.
pub(crate) fn check_snapshots(connection: &mut AnyConnection, organization: &[u8], defaults: Quota) -> Outcome<()> {
    let held = on_either!(connection, connection => snapshot_totals::table
        .find(organization)
        .select((snapshot_totals::held, snapshot_totals::at_most))
        .first(connection))?;
    refuse_unless(fits(held, defaults.snapshots), QuotaResource::Snapshots)
}

/// Refuses what this transaction stored when its organization has more bytes of volumes by it than it may.
pub(crate) fn check_volumes(connection: &mut AnyConnection, organization: &[u8], defaults: Quota) -> Outcome<()> {
    let held = volume_totals::table
        .find(organization)
        .select((volume_totals::held_bytes, volume_totals::at_most_bytes))
        .first(connection)?;
    refuse_unless(fits(held, defaults.volume_bytes), QuotaResource::VolumeBytes)
}

/// Whether an organization has no more tasks running, those of this transaction included, than it may.
pub(crate) fn tasks_fit(connection: &mut AnyConnection, organization: &[u8], defaults: Quota) -> Outcome<bool> {
    let held = task_totals::table
        .find(organization)
        .select((task_totals::running, task_totals::at_most))
        .first(connection)?;
    Ok(fits(held, defaults.tasks))
}

/// A limit as its column holds it.
pub(crate) fn column(limit: Limit) -> i64 {
    match limit {
        Limit::Unlimited => UNLIMITED,
        Limit::AtMost(most) => i64::try_from(most.get()).unwrap_or(UNLIMITED),
    }
}

fn stored_limit(limit: OwnLimit) -> Option<i64> {
    Option::from(limit).map(column)
}

fn own_limit(stored: Option<i64>) -> Result<Option<Limit>> {
    match stored {
        None => Ok(None),
        Some(UNLIMITED) => Ok(Some(Limit::Unlimited)),
        Some(most) => Ok(Some(Limit::from_number(columns::number(WHAT, most)?))),
    }
}

fn fits((held, at_most): Held, default: Limit) -> bool {
    held <= at_most.unwrap_or_else(|| column(default))
}

fn refuse_unless(fits: bool, resource: QuotaResource) -> Outcome<()> {
    if fits {
        Ok(())
    } else {
        Err(Error::QuotaExceeded { resource }.into())
    }
}

const fn not_found(organization: OrganizationId) -> Error {
    Error::NotFound {
        resource: Resource::Organization,
        id: organization.as_uuid(),
    }
}
