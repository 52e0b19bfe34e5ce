//! Lists of volumes.

use diesel::{dsl::count_star, prelude::*};
use snapshot_domain::{
    VolumeStateName,
    ports::{Slice, VolumeCursor, VolumeQuery},
};

use super::{
    AnyConnection, MultiBackend, Outcome,
    row::{VolumeRow, state},
};
use crate::{
    columns::{self, id_column},
    list::{self, Listing, Place},
    schema::{volume_totals, volumes},
};

pub(super) fn page(
    connection: &mut AnyConnection,
    query: &VolumeQuery,
    slice: Slice<VolumeCursor>,
) -> Outcome<Vec<VolumeRow>> {
    let after = slice
        .after
        .map(|cursor| (cursor.created_at.as_micros(), id_column(cursor.id.as_uuid())));
    list::page(connection, query, &query.scope, after.as_ref(), slice.skip, slice.limit)
}

pub(super) fn count(connection: &mut AnyConnection, query: &VolumeQuery) -> Outcome<i64> {
    let everything = *query == VolumeQuery::all(query.scope.clone());
    list::sum(connection, &query.scope, |connection, organization| {
        let count = if everything {
            volume_totals::table
                .find(organization)
                .select(volume_totals::total)
                .first(connection)
                .optional()?
                .unwrap_or(0)
        } else {
            matching(query, organization).select(count_star()).first(connection)?
        };
        Ok(count)
    })
}

impl Listing for VolumeQuery {
    type Row = VolumeRow;

    fn place(row: &VolumeRow) -> Place {
        (row.created_at, row.id.clone())
    }

    fn rows(
        &self,
        connection: &mut AnyConnection,
        organization: &[u8],
        after: Option<&Place>,
        skip: i64,
        limit: i64,
    ) -> Outcome<Vec<VolumeRow>> {
        let rows = ordered(self, organization, after)
            .limit(limit)
            .offset(skip)
            .select(VolumeRow::as_select())
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
            .select((volumes::created_at, volumes::id))
            .load(connection)?;
        Ok(places)
    }
}

type Matching<'a> = volumes::BoxedQuery<'a, MultiBackend>;

fn ordered<'a>(query: &'a VolumeQuery, organization: &'a [u8], after: Option<&'a Place>) -> Matching<'a> {
    let mut rows = matching(query, organization);
    if let Some((created_at, id)) = after {
        // The first condition is implied by the second, but only the first one is a range of the index.
        rows = rows
            .filter(volumes::created_at.ge(created_at))
            .filter(volumes::created_at.gt(created_at).or(volumes::id.gt(id)));
    }
    rows.order((volumes::created_at, volumes::id))
}

fn matching<'a>(query: &'a VolumeQuery, organization: &'a [u8]) -> Matching<'a> {
    let mut rows = volumes::table
        .filter(volumes::organization_id.eq(organization))
        .into_boxed::<MultiBackend>();
    if let Some(name) = &query.name {
        rows = rows.filter(volumes::name.eq(name.as_str()));
    }
    for tag in &query.tags {
        rows = rows.filter(columns::has_tag(tag));
    }
    match query.state {
        None => rows,
        Some(VolumeStateName::Available) => rows.filter(volumes::state.eq(state::AVAILABLE).and(volumes::copies.eq(0))),
        Some(VolumeStateName::Snapshotting) => {
            rows.filter(volumes::state.eq(state::AVAILABLE).and(volumes::copies.gt(0)))
        }
        Some(VolumeStateName::Saving) => rows.filter(volumes::state.eq(state::SAVING)),
        Some(VolumeStateName::Fetching) => rows.filter(volumes::state.eq(state::FETCHING)),
        Some(VolumeStateName::Error) => rows.filter(volumes::state.eq(state::ERROR)),
    }
}
