//! One snapshot with its size.

use diesel::prelude::*;
use snapshot_domain::{Scope, SnapshotId};

use super::{
    AnyConnection, MeasuredRow, Outcome, StoredRow, on_either,
    row::{self, measured},
};
use crate::{
    prepared::Part::{Bytes, Number},
    schema::{domain_sizes, snapshots},
    told::Told,
};

/// The snapshot of this id, whoever owns it.
///
/// It is first looked for where it lies if it is the caller's and its id tells when it was begun. Only if it does not lie
/// there, it takes the index of ids, whose pages are as far apart as the table's.
pub(super) fn with_size(connection: &mut AnyConnection, scope: &Scope, id: SnapshotId) -> Outcome<Option<MeasuredRow>> {
    match in_its_place(connection, scope, id)? {
        None => by_id(connection, id),
        found => Ok(found),
    }
}

fn in_its_place(connection: &mut AnyConnection, scope: &Scope, id: SnapshotId) -> Outcome<Option<MeasuredRow>> {
    let ([owner], Some(moment)) = (scope.organizations(), id.moment()) else {
        return Ok(None);
    };
    let (owner, moment, id) = (owner.as_uuid(), moment.as_micros(), id.as_uuid());
    let (owner, id) = (owner.as_bytes().as_slice(), id.as_bytes().as_slice());
    let place = [Bytes(owner), Number(moment), Bytes(id)];
    let row = on_either!(connection, connection => Told::new(&place, row::with_sizes()
        .filter(snapshots::organization_id.eq(owner))
        .filter(snapshots::created_at.eq(moment))
        .filter(snapshots::id.eq(id))
        .select(measured!()))
        .get_result::<MeasuredRow>(connection)
        .optional())?;
    Ok(row)
}

fn by_id(connection: &mut AnyConnection, id: SnapshotId) -> Outcome<Option<MeasuredRow>> {
    let key = id.as_uuid();
    let column = key.as_bytes().as_slice();
    let row = on_either!(connection, connection => Told::new(&[Bytes(column)], row::with_sizes()
        .filter(snapshots::id.eq(column))
        .select(measured!()))
        .get_result::<MeasuredRow>(connection)
        .optional())?;
    Ok(row)
}
