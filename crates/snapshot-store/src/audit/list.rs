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
    let after = slice.after.map(|cursor| {
        let organization = id_column(cursor.organization.as_uuid());
        place(cursor.at.as_micros(), id_column(cursor.id.as_uuid()), &organization)
    });
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
        place(row.at, row.id.clone(), &row.organization_id)
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
        let rows: Vec<(i64, Vec<u8>)> = ordered(self, organization, after)
            .limit(limit)
            .select((audit::at, audit::id))
            .load(connection)?;
        let places = rows.into_iter().map(|(at, id)| place(at, id, organization));
        Ok(places.collect())
    }
}

type Matching<'a> = audit::BoxedQuery<'a, MultiBackend>;

/// What several organizations are told of has one id for all of them: their ids decide what comes first.
fn place(at: i64, mut id: Vec<u8>, organization: &[u8]) -> Place {
    id.extend_from_slice(organization);
    (at, id)
}

fn ordered<'a>(query: &'a AuditQuery, organization: &'a [u8], after: Option<&'a Place>) -> Matching<'a> {
    let mut rows = matching(query, organization);
    if let Some((at, ids)) = after {
        let (id, passed) = ids.split_at(ids.len() / 2);
        // The first condition is implied by the second, but only the first one is a range of the index.
        rows = rows.filter(audit::at.ge(at));
        rows = if organization > passed {
            rows.filter(audit::at.gt(at).or(audit::id.ge(id)))
        } else {
            rows.filter(audit::at.gt(at).or(audit::id.gt(id)))
        };
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
