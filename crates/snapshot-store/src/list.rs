//! Lists over several organizations.
//!
//! An index has the rows of one organization in the order of lists: oldest first, ties by id. A list of several merges
//! theirs, so that its cost follows from what is returned and skipped, never from what is stored.

use std::collections::{BTreeSet, VecDeque};

use snapshot_domain::{OrganizationId, Scope};

use crate::{columns::id_column, connection::AnyConnection, failure::Outcome};

/// Where a row stands in its list: when it was created, in microseconds, and its id.
pub(crate) type Place = (i64, Vec<u8>);

/// How many places are looked at together when rows of several organizations are skipped.
const PLACES_AT_ONCE: i64 = 1024;

/// Rows that match some conditions, organization by organization.
pub(crate) trait Listing {
    /// A row of the list.
    type Row;

    /// Where a row stands.
    fn place(row: &Self::Row) -> Place;

    /// The next rows of one organization.
    fn rows(
        &self,
        connection: &mut AnyConnection,
        organization: &[u8],
        after: Option<&Place>,
        skip: i64,
        limit: i64,
    ) -> Outcome<Vec<Self::Row>>;

    /// The places of the next rows of one organization.
    fn places(
        &self,
        connection: &mut AnyConnection,
        organization: &[u8],
        after: Option<&Place>,
        limit: i64,
    ) -> Outcome<Vec<Place>>;
}

/// What comes after a place in the list of all organizations of a scope, without the first `skip`, at most `limit`.
pub(crate) fn page<L: Listing>(
    connection: &mut AnyConnection,
    listing: &L,
    scope: &Scope,
    after: Option<&Place>,
    skip: u64,
    limit: u32,
) -> Outcome<Vec<L::Row>> {
    let limit = i64::from(limit);
    let skip = i64::try_from(skip).unwrap_or(i64::MAX);
    let organizations = distinct(scope);
    if let [organization] = &organizations[..] {
        return listing.rows(connection, organization, after, skip, limit);
    }
    connection.at_one_moment(|connection| {
        let mut queues: Vec<_> = organizations
            .into_iter()
            .map(|organization| Queue {
                organization,
                passed: after.cloned(),
                ahead: VecDeque::new(),
                ended: false,
            })
            .collect();
        if !pass(connection, listing, &mut queues, skip)? {
            return Ok(Vec::new());
        }
        let mut rows = Vec::new();
        for queue in &queues {
            rows.extend(listing.rows(connection, &queue.organization, queue.passed.as_ref(), 0, limit)?);
        }
        rows.sort_by_cached_key(L::place);
        rows.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        Ok(rows)
    })
}

/// How many rows there are in all organizations of a scope.
pub(crate) fn sum(
    connection: &mut AnyConnection,
    scope: &Scope,
    count: impl Fn(&mut AnyConnection, &[u8]) -> Outcome<i64>,
) -> Outcome<i64> {
    let organizations = distinct(scope);
    if let [organization] = &organizations[..] {
        return count(connection, organization);
    }
    connection.at_one_moment(|connection| {
        organizations
            .iter()
            .map(|organization| count(connection, organization))
            .sum()
    })
}

/// The organizations of a scope as their column holds them, each once.
fn distinct(scope: &Scope) -> Vec<Vec<u8>> {
    let ids: BTreeSet<_> = scope
        .organizations()
        .iter()
        .copied()
        .map(OrganizationId::as_uuid)
        .collect();
    ids.into_iter().map(id_column).collect()
}

/// The rows of one organization that were not passed yet.
struct Queue {
    organization: Vec<u8>,
    passed: Option<Place>,
    ahead: VecDeque<Place>,
    ended: bool,
}

/// Passes the first `skip` rows of all queues together; `false` when there are not so many.
fn pass<L: Listing>(connection: &mut AnyConnection, listing: &L, queues: &mut [Queue], skip: i64) -> Outcome<bool> {
    for left in (1..=skip).rev() {
        for queue in queues.iter_mut().filter(|queue| queue.ahead.is_empty() && !queue.ended) {
            let at_once = left.min(PLACES_AT_ONCE);
            let places = listing.places(connection, &queue.organization, queue.passed.as_ref(), at_once)?;
            queue.ended = places.is_empty();
            queue.ahead = places.into();
        }
        let first = queues
            .iter_mut()
            .filter(|queue| !queue.ahead.is_empty())
            .min_by(|one, other| one.ahead.front().cmp(&other.ahead.front()));
        let Some(first) = first else {
            return Ok(false);
        };
        first.passed = first.ahead.pop_front();
    }
    Ok(true)
}
