//! Which lists are read without passing many rows.

use snapshot_domain::{
    Scope, SnapshotStateName,
    ports::{OrganizationRepository, Slice, SnapshotQuery, SnapshotRepository},
    testing::an_organization,
};

use crate::place::in_a_temporary_file;

#[test]
fn a_page_is_nearby_unless_many_rows_may_lie_before_it() {
    let place = in_a_temporary_file();
    let store = place.store();
    let (owner, other) = (an_organization(), an_organization());
    for organization in [&owner, &other] {
        OrganizationRepository::insert(store, organization).unwrap();
    }
    let everything = SnapshotQuery::all(Scope::new(vec![owner.id]));
    let filtered = SnapshotQuery {
        state: Some(SnapshotStateName::Available),
        ..everything.clone()
    };
    let of_several = SnapshotQuery::all(Scope::new(vec![owner.id, other.id]));
    let of_nobody = SnapshotQuery::all(Scope::new(Vec::new()));
    let is_nearby = |query: &SnapshotQuery, skip| {
        let slice = Slice {
            after: None,
            skip,
            limit: 10,
        };
        store.list_nearby(query, slice).unwrap().is_some()
    };

    assert_eq!(
        [0, 1_000, 2_000].map(|skip| is_nearby(&everything, skip)),
        [true, true, false]
    );
    assert_eq!([0, 2_000].map(|skip| is_nearby(&of_nobody, skip)), [true, true]);
    assert!(!is_nearby(&filtered, 0));
    assert!(!is_nearby(&of_several, 0));
}
