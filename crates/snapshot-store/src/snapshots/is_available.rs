//! The condition that a snapshot is `available`.

use diesel::{
    backend::Backend,
    expression::{AppearsOnTable, Expression, SelectableExpression, ValidGrouping},
    query_builder::{AstPass, QueryFragment, QueryId},
    result::QueryResult,
    sql_types::Bool,
};

/// That a snapshot is `available`. The literal state is what lets the databases use the indexes that only have such
/// snapshots; unlike Diesel's own literals, this one can stay prepared.
#[derive(Clone, Copy, QueryId, ValidGrouping)]
pub(crate) struct IsAvailable;

impl Expression for IsAvailable {
    type SqlType = Bool;
}

impl<T> AppearsOnTable<T> for IsAvailable {}

impl<T> SelectableExpression<T> for IsAvailable {}

impl<B: Backend> QueryFragment<B> for IsAvailable {
    fn walk_ast<'b>(&'b self, mut pass: AstPass<'_, 'b, B>) -> QueryResult<()> {
        pass.push_sql("state = 'available'");
        Ok(())
    }
}
