//! Lists of snapshots.

use diesel::{dsl::count_star, helper_types::IntoBoxed, prelude::*};
use snapshot_domain::{
    OrganizationId,
    ports::{Slice, SnapshotCursor, SnapshotQuery},
};
use uuid::Uuid;

use super::{
    AnyConnection, MeasuredRow, Outcome, Places, StoredRow, on_either,
    row::{self, measured},
};
use crate::{
    columns::{self, id_column},
    connection::MultiBackend,
    list::{self, Listing, Place},
    prepared::Part::Bytes,
    schema::{domain_sizes, snapshot_totals, snapshots},
    told::Told,
};

/// An organization's rows, of `source`, for which the query's conditions hold. A count takes snapshots alone: SQLite would
/// look up the size of each.
macro_rules! matching {
    ($source:expr, $query:expr, $organization:expr) => {{
        let query: &SnapshotQuery = $query;
        let mut rows = $source
            .filter(snapshots::organization_id.eq($organization))
            .into_boxed::<MultiBackend>();
        if let Some(name) = &query.name {
            rows = rows.filter(snapshots::name.eq(name.as_str()));
        }
        for tag in &query.tags {
            rows = rows.filter(columns::has_tag(tag));
        }
        if let Some(volume) = query.base_volume {
            rows = rows.filter(snapshots::base_volume_id.eq(id_column(volume.as_uuid())));
        }
        if let Some(state) = query.state {
            rows = rows.filter(snapshots::state.eq(state.as_str()));
        }
        rows
    }};
}

/// How many rows are passed at most for a page that is nearby: some tenths of a millisecond, and further than places that are
/// remembered lie from each other.
const NEARBY: i64 = 1024;

pub(super) fn page(
    connection: &mut AnyConnection,
    places: &Places,
    query: &SnapshotQuery,
    slice: Slice<SnapshotCursor>,
) -> Outcome<Vec<MeasuredRow>> {
    if let (None, 1.., [organization], true) = (
        slice.after,
        slice.skip,
        query.scope.organizations(),
        query.is_everything_of_one(),
    ) {
        let page = later_page(connection, places, query, *organization, slice, i64::MAX)?;
        return Ok(page.unwrap_or_default());
    }
    let after = slice
        .after
        .map(|cursor| (cursor.created_at.as_micros(), id_column(cursor.id.as_uuid())));
    list::page(connection, query, &query.scope, after.as_ref(), slice.skip, slice.limit)
}

/// As [`page`], unless that could mean to read many rows that are not on it.
pub(super) fn page_nearby(
    connection: &mut AnyConnection,
    places: &Places,
    query: &SnapshotQuery,
    slice: Slice<SnapshotCursor>,
) -> Outcome<Option<Vec<MeasuredRow>>> {
    match (slice, query.scope.organizations()) {
        _ if !query.is_everything_of_one() => Ok(None),
        (
            Slice {
                after: None, skip: 1.., ..
            },
            [organization],
        ) => later_page(connection, places, query, *organization, slice, NEARBY),
        (Slice { skip: 0, .. }, _) | (_, []) => page(connection, places, query, slice).map(Some),
        _ => Ok(None),
    }
}

/// A page of everything that one organization has, but for the first. `None` where more than so many rows would have to be
/// passed to get there.
fn later_page(
    connection: &mut AnyConnection,
    places: &Places,
    query: &SnapshotQuery,
    organization: OrganizationId,
    slice: Slice<SnapshotCursor>,
    most_passed: i64,
) -> Outcome<Option<Vec<MeasuredRow>>> {
    let organization = id_column(organization.as_uuid());
    let skip = i64::try_from(slice.skip).unwrap_or(i64::MAX);
    let limit = i64::from(slice.limit);
    connection.at_one_moment(|connection| {
        let shifts: Option<i64> = on_either!(connection, connection => snapshot_totals::table
            .find(organization.as_slice())
            .select(snapshot_totals::shifts)
            .first(connection)
            .optional())?;
        let shifts = shifts.unwrap_or(0);
        let (passed, after) = match places.nearest(&organization, shifts, skip) {
            Some((passed, place)) => (passed, Some(place)),
            None => (0, None),
        };
        if skip - passed > most_passed {
            return Ok(None);
        }
        let rows = query.rows(connection, &organization, after.as_ref(), skip - passed, limit)?;
        let is_full = i64::try_from(rows.len()) == Ok(limit);
        if let Some(last) = rows.last().filter(|_| is_full) {
            places.remember(
                &organization,
                shifts,
                skip.saturating_add(limit),
                SnapshotQuery::place(last),
            );
        }
        Ok(Some(rows))
    })
}

/// Whether there are no conditions but the scope.
fn is_everything(query: &SnapshotQuery) -> bool {
    *query == SnapshotQuery::all(query.scope.clone())
}

pub(super) fn count(connection: &mut AnyConnection, query: &SnapshotQuery) -> Outcome<i64> {
    let everything = is_everything(query);
    list::sum(connection, &query.scope, |connection, organization| {
        let count = if everything {
            on_either!(connection, connection => snapshot_totals::table
                .find(organization)
                .select(snapshot_totals::total)
                .first(connection)
                .optional())?
            .unwrap_or(0)
        } else {
            matching!(snapshots::table, query, organization)
                .select(count_star())
                .first(connection)?
        };
        Ok(count)
    })
}

impl Listing for SnapshotQuery {
    type Row = MeasuredRow;

    fn place((row, ..): &MeasuredRow) -> Place {
        (row.created_at, id_column(row.id.0))
    }

    fn rows(
        &self,
        connection: &mut AnyConnection,
        organization: &[u8],
        after: Option<&Place>,
        skip: i64,
        limit: i64,
    ) -> Outcome<Vec<MeasuredRow>> {
        if is_everything(self) {
            return everything(connection, organization, after, skip, limit);
        }
        let rows = ordered(self, organization, after)
            .limit(limit)
            .offset(skip)
            .select(measured!())
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
            .select((snapshots::created_at, snapshots::id))
            .load(connection)?;
        Ok(places)
    }
}

/// Rows of an organization without any other condition: what most lists are, in statements that stay prepared.
fn everything(
    connection: &mut AnyConnection,
    organization: &[u8],
    after: Option<&Place>,
    skip: i64,
    limit: i64,
) -> Outcome<Vec<MeasuredRow>> {
    macro_rules! own {
        ($connection:ident, $source:expr, $columns:expr) => {
            on_either!($connection, connection => {
                let own = $source
                    .filter(snapshots::organization_id.eq(organization))
                    .order((snapshots::created_at, snapshots::id))
                    .limit(limit)
                    .offset(skip)
                    .select($columns);
                match after {
                    None => own.load(connection),
                    Some(place) => own.filter(behind(place.0, &place.1)).load(connection),
                }
            })
        };
    }

    if let AnyConnection::Postgres(_) = connection {
        return Ok(own!(connection, row::with_sizes(), measured!())?);
    }
    // Joined, SQLite looks for the domain anew at each row. Asking once more costs it next to nothing, but a server would
    // have to be asked three times.
    connection.at_one_moment(|connection| {
        let rows: Vec<(StoredRow, Option<i64>)> = own!(
            connection,
            snapshots::table,
            (StoredRow::as_select(), snapshots::exclusive_bytes)
        )?;
        let mut of_domains: Vec<(Uuid, Option<i64>)> = Vec::new();
        let mut page = Vec::with_capacity(rows.len());
        for (row, exclusive_bytes) in rows {
            let domain = row.domain_id.0;
            let known = of_domains.iter().find(|(known, _)| *known == domain);
            let holds = if let Some((_, holds)) = known {
                *holds
            } else {
                let holds = present_measure(connection, domain)?;
                of_domains.push((domain, holds));
                holds
            };
            page.push((row, exclusive_bytes, holds));
        }
        Ok(page)
    })
}

/// The change at which the sizes of a domain were measured, as long as it is the last one.
fn present_measure(connection: &mut AnyConnection, domain: Uuid) -> Outcome<Option<i64>> {
    let key = domain.as_bytes().as_slice();
    let change = on_either!(connection, connection => Told::new(&[Bytes(key)], domain_sizes::table
        .filter(domain_sizes::domain_id.eq(key))
        .filter(domain_sizes::measured.eq(domain_sizes::changes.nullable()))
        .select(domain_sizes::changes))
        .get_result(connection)
        .optional())?;
    Ok(change)
}

/// The first condition is implied by the second, but only the first one is a range of the index.
#[diesel::dsl::auto_type]
#[expect(
    clippy::elidable_lifetime_names,
    reason = "the type that is made of it has to name them"
)]
fn behind<'a>(created_at: i64, id: &'a [u8]) -> _ {
    snapshots::created_at
        .ge(created_at)
        .and(snapshots::created_at.gt(created_at).or(snapshots::id.gt(id)))
}

type Matching<'a> = IntoBoxed<'a, row::with_sizes, MultiBackend>;

fn ordered<'a>(query: &'a SnapshotQuery, organization: &'a [u8], after: Option<&'a Place>) -> Matching<'a> {
    let mut rows = matching!(row::with_sizes(), query, organization);
    if let Some((created_at, id)) = after {
        rows = rows.filter(behind(*created_at, id));
    }
    rows.order((snapshots::created_at, snapshots::id))
}
