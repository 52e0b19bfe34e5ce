//! Statements that stay prepared on their connection.

use diesel::{
    prelude::*,
    query_builder::{AstPass, QueryFragment, QueryId},
    result::QueryResult,
};

use crate::connection::{AnyConnection, MultiBackend};

/// A change whose text is the same however often it is made. Diesel keeps queries and inserts prepared by itself, but has
/// every `UPDATE` parsed anew, because some leave columns out.
pub(crate) struct Kept<Q>(pub(crate) Q);

/// A command without parameters.
pub(crate) struct Command(pub(crate) &'static str);

impl<Q: QueryFragment<MultiBackend>> QueryFragment<MultiBackend> for Kept<Q> {
    fn walk_ast<'b>(&'b self, pass: AstPass<'_, 'b, MultiBackend>) -> QueryResult<()> {
        self.0.walk_ast(pass)
    }

    fn is_safe_to_cache_prepared(&self, _backend: &MultiBackend) -> QueryResult<bool> {
        Ok(true)
    }
}

impl QueryFragment<MultiBackend> for Command {
    fn walk_ast<'b>(&'b self, mut pass: AstPass<'_, 'b, MultiBackend>) -> QueryResult<()> {
        pass.push_sql(self.0);
        Ok(())
    }
}

// Their texts tell them apart.
impl<Q> QueryId for Kept<Q> {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl QueryId for Command {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl<Q> RunQueryDsl<AnyConnection> for Kept<Q> {}
impl RunQueryDsl<AnyConnection> for Command {}
