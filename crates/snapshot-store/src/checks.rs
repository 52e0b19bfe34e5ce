//! What is known of snapshots' stored bytes: [`CheckRepository`].

use diesel::{dsl::sql, prelude::*, sql_types::Bool};
use snapshot_domain::{
    Check, DueCheck, Finding, HealthName, OrganizationId, Result, SnapshotId, Timestamp,
    ports::{CheckRepository, DueQuery},
};

use crate::{
    Store,
    columns::{self, id_column},
    connection::MultiBackend,
    schema::snapshots,
    snapshots::IsAvailable,
};

const WHAT: &str = "snapshot";

/// In the column `checked_at`: there was no check.
const NEVER: i64 = 0;

type Due<'a> = snapshots::BoxedQuery<'a, MultiBackend>;

impl CheckRepository for Store {
    fn record_check(&self, snapshot: SnapshotId, check: &Check) -> Result<bool> {
        let id = id_column(snapshot.as_uuid());
        let began_at = check.began_at.as_micros();
        let latest = check.ended_at.latest_elsewhere().as_micros();
        let health = match check.finding {
            Finding::Whole => Some(HealthName::Ok),
            Finding::Damaged => Some(HealthName::Damaged),
            Finding::Undecided => None,
        };
        self.write(move |connection| {
            // One statement: a check and a change of the snapshot never see each other half done.
            let checked = diesel::update(snapshots::table)
                .filter(snapshots::id.eq(&id))
                .filter(snapshots::state.eq("available"))
                .filter(snapshots::checked_at.le(began_at).or(snapshots::checked_at.gt(latest)));
            let recorded = match health {
                Some(health) => checked
                    .set((
                        snapshots::health.eq(health.as_str()),
                        snapshots::verified_at.eq(began_at),
                        snapshots::checked_at.eq(began_at),
                    ))
                    .execute(connection)?,
                None => checked.set(snapshots::checked_at.eq(began_at)).execute(connection)?,
            };
            if recorded > 0 {
                return Ok(true);
            }
            let state: Option<String> = snapshots::table
                .filter(snapshots::id.eq(&id))
                .select(snapshots::state)
                .first(connection)
                .optional()?;
            Ok(state.as_deref() == Some("available"))
        })
    }

    fn forget_checks_after(&self, moment: Timestamp) -> Result<u64> {
        let moment = moment.as_micros();
        let forgotten = self.write(move |connection| {
            let later = snapshots::table
                .filter(IsAvailable)
                .filter(snapshots::checked_at.gt(moment));
            Ok(diesel::update(later)
                .set(snapshots::checked_at.eq(NEVER))
                .execute(connection)?)
        })?;
        Ok(forgotten as u64)
    }

    fn due_checks(&self, query: &DueQuery, limit: u32) -> Result<Vec<DueCheck>> {
        let rows: Vec<(Vec<u8>, Vec<u8>, i64)> = self.read(|connection| {
            let rows = due(query)
                .order((snapshots::checked_at, snapshots::id))
                .limit(limit.into())
                .select((snapshots::id, snapshots::domain_id, snapshots::checked_at))
                .load(connection)?;
            Ok(rows)
        })?;
        let due = rows.into_iter().map(|(id, domain, checked_at)| {
            let checked_at = Some(checked_at).filter(|at| *at != NEVER);
            Ok(DueCheck {
                snapshot: SnapshotId::new(columns::id(WHAT, &id)?),
                domain: OrganizationId::new(columns::id(WHAT, &domain)?),
                checked_at: checked_at.map(|at| columns::moment(WHAT, at)).transpose()?,
            })
        });
        due.collect()
    }
}

/// The literal conditions are what lets the databases use the indexes that only have such snapshots.
fn due(query: &DueQuery) -> Due<'static> {
    let mut rows = snapshots::table
        .filter(snapshots::checked_at.lt(query.before.as_micros()))
        .into_boxed::<MultiBackend>();
    rows = if query.only_damaged {
        rows.filter(sql::<Bool>("health = 'damaged'"))
    } else {
        rows.filter(IsAvailable)
    };
    if let Some(after) = &query.after {
        let checked_at = after.checked_at.map_or(NEVER, Timestamp::as_micros);
        let id = id_column(after.snapshot.as_uuid());
        // The first condition is implied by the second, but only the first one is a range of the index.
        rows = rows
            .filter(snapshots::checked_at.ge(checked_at))
            .filter(snapshots::checked_at.gt(checked_at).or(snapshots::id.gt(id)));
    }
    rows
}
