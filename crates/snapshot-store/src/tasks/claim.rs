//! Which task is next: the one statement with two dialects.

use diesel::{
    dsl::{exists, not},
    prelude::*,
};

use super::{kind, state};
use crate::{
    connection::AnyConnection,
    failure::Outcome,
    schema::{task_totals, tasks},
};

diesel::alias!(tasks as restores: Restores);

/// The oldest task that nobody holds at `now`, in microseconds.
///
/// SQLite has one writer, so nobody else can take the task before this transaction does. On PostgreSQL the row is locked,
/// and rows that others have locked are passed over: they are being claimed or ended just now.
///
/// A copy or a restore that waits is passed over while its organization has as many running as it may: as many as are set
/// for it, or else `default_quota`. Its state comes with it.
pub(super) fn next(connection: &mut AnyConnection, now: i64, default_quota: i64) -> Outcome<Option<(Vec<u8>, String)>> {
    let next = match connection {
        AnyConnection::Sqlite(connection) => oldest_unheld(now, default_quota).first(connection),
        AnyConnection::Postgres(connection) => oldest_unheld(now, default_quota)
            .for_update()
            .skip_locked()
            .first(connection),
    };
    Ok(next.optional()?)
}

#[diesel::dsl::auto_type(no_type_alias)]
fn oldest_unheld(now: i64, default_quota: i64) -> _ {
    let capture: &'static str = kind::CAPTURE;
    let pending: &'static str = state::PENDING;
    let forget: &'static str = kind::FORGET_SNAPSHOT;
    let restore: &'static str = kind::RESTORE;
    let unheld = tasks::state
        .eq(pending)
        .or(tasks::lease_expires_at.le(now).assume_not_null());
    // A snapshot is restored from only as long as it has a row, and forgotten only afterwards: so no restore can begin
    // between this look and the end of the task.
    let still_read = exists(
        restores
            .filter(restores.field(tasks::ended_at).is_null())
            .filter(restores.field(tasks::kind).eq(restore))
            .filter(restores.field(tasks::snapshot_id).eq(tasks::snapshot_id)),
    );
    let is_full = exists(
        task_totals::table
            .filter(task_totals::organization_id.eq(tasks::organization_id))
            .filter(
                task_totals::running
                    .ge(task_totals::at_most.assume_not_null())
                    .or(task_totals::at_most
                        .is_null()
                        .and(task_totals::running.ge(default_quota))),
            ),
    );
    let does_not_count = tasks::kind.ne(capture).and(tasks::kind.ne(restore));
    tasks::table
        .filter(tasks::ended_at.is_null())
        .filter(unheld)
        .filter(tasks::kind.ne(forget).or(not(still_read)))
        .filter(
            does_not_count
                .or(tasks::state.ne(pending))
                .or(tasks::cancel_requested)
                .or(not(is_full)),
        )
        .order((tasks::created_at, tasks::id))
        .select((tasks::id, tasks::state))
}
