//! Lists of entries.

use diesel::{dsl::count_star, prelude::*};
use snapshot_domain::{
    Timestamp,
    ports::{AuditCursor, AuditQuery, Slice},
};

use super::{AnyConnection, AuditRow, Outcome};
use crate::{
    columns::id_column,
    connection::MultiBackend,
    list::{self, Listing, Place},
    schema::audit,
};

pub(super) fn page(
    connection: &mut AnyConnection,
    query: &AuditQuery,
    slice: Slice<AuditCursor>,
) -> Outcome<Vec<AuditRow>> {
    let after = slice
        .after
        .map(|cursor| (cursor.at.as_micros(), id_column(cursor.id.as_uuid())));
    list::page(connection, query, &query.scope, after.as_ref(), slice.skip, slice.limit)
}

pub(super) fn count(connection: &mut AnyConnection, query: &AuditQuery) -> Outcome<i64> {
    list::sum(connection, &query.scope, |connection, organization| {
        let count = matching(query, organization).select(count_star()).first(connection)?;
        Ok(count)
    })
}

impl Listing for AuditQuery {
    type Row = AuditRow;

    fn place(row: &AuditRow) -> Place {
        (row.at, row.id.clone())
    }

    fn rows(
        &self,
        connection: &mut AnyConnection,
        organization: &[u8],
        after: Option<&Place>,
        skip: i64,
        limit: i64,
    ) -> Outcome<Vec<AuditRow>> {
        let rows = ordered(self, organization, after)
            .limit(limit)
            .offset(skip)
            .select(AuditRow::as_select())
            .load(connection)?;
        Ok(rows)
    }

    fn places(
        &self,
        connection: &mut AnyConnection,
        organization: &[u8],
        after: Option<&Place>,
        limit: i64,
    ) -> Outcome<Vec<Place>> {
        let places = ordered(self, organization, after)
            .limit(limit)
            .select((audit::at, audit::id))
            .load(connection)?;
        Ok(places)
    }
}

type Matching<'a> = audit::BoxedQuery<'a, MultiBackend>;

fn ordered<'a>(query: &'a AuditQuery, organization: &'a [u8], after: Option<&'a Place>) -> Matching<'a> {
    let mut rows = matching(query, organization);
    if let Some((at, id)) = after {
        // The first condition is implied by the second, but only the first one is a range of the index.
        rows = rows
            .filter(audit::at.ge(at))
            .filter(audit::at.gt(at).or(audit::id.gt(id)));
    }
    rows.order((audit::at, audit::id))
}

fn matching<'a>(query: &'a AuditQuery, organization: &'a [u8]) -> Matching<'a> {
    let mut rows = audit::table
        .filter(audit::organization_id.eq(organization))
        .into_boxed::<MultiBackend>();
    if let Some(action) = query.action {
        rows = rows.filter(audit::action.eq(action.as_str()));
    }
    if let Some(resource) = query.resource {
        rows = rows.filter(audit::resource_id.eq(id_column(resource)));
    }
    if let Some(token) = query.token {
        rows = rows.filter(audit::token_id.eq(id_column(token.as_uuid())));
    }
    if let Some(since) = query.since.map(Timestamp::as_micros) {
        rows = rows.filter(audit::at.ge(since));
    }
    if let Some(until) = query.until.map(Timestamp::as_micros) {
        rows = rows.filter(audit::at.lt(until));
    }
    rows
}
