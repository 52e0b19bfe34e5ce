//! Queries of one row, which requests ask for all the time, and which say what they bind.

use diesel::{
    backend::Backend,
    prelude::*,
    query_builder::{AstPass, Query, QueryFragment, QueryId},
    result::QueryResult,
};

use crate::prepared::Part;

/// A query with a few values. Diesel looks through a query for values at each run, column by column, which takes longer than
/// SQLite needs for the row: this tells it the only ones that there are.
pub(crate) struct Told<'a, Q> {
    values: &'a [Part<'a>],
    query: Q,
}

impl<'a, Q> Told<'a, Q> {
    /// `query` must hold these values in this order, and no others.
    pub(crate) const fn new(values: &'a [Part<'a>], query: Q) -> Self {
        Self { values, query }
    }
}

impl<B, Q> QueryFragment<B> for Told<'_, Q>
where
    B: Backend,
    Q: QueryFragment<B>,
    for<'p> Part<'p>: QueryFragment<B>,
{
    fn walk_ast<'b>(&'b self, mut pass: AstPass<'_, 'b, B>) -> QueryResult<()> {
        self.values.iter().try_for_each(|value| value.walk_ast(pass.reborrow()))
    }

    fn to_sql(&self, out: &mut B::QueryBuilder, backend: &B) -> QueryResult<()> {
        self.query.to_sql(out, backend)
    }
}

impl<Q: Query> Query for Told<'_, Q> {
    type SqlType = Q::SqlType;
}

impl<Q: QueryId> QueryId for Told<'_, Q> {
    type QueryId = Told<'static, Q::QueryId>;
    const HAS_STATIC_QUERY_ID: bool = Q::HAS_STATIC_QUERY_ID;
}

impl<Q, C> RunQueryDsl<C> for Told<'_, Q> {}
