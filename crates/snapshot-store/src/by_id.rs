//! Queries of one row, by its id or by its whole key, which requests ask for all the time.

use diesel::{
    backend::Backend,
    prelude::*,
    query_builder::{AstPass, Query, QueryFragment, QueryId},
    result::QueryResult,
    serialize::ToSql,
    sql_types::{BigInt, Binary, HasSqlType},
};

/// A query with nothing but an id to be bound. Diesel looks through a query for values at each run, column by column, which takes
/// longer than SQLite needs for the row: this tells it the only one that there is.
pub(crate) struct ById<'a, Q> {
    query: Q,
    id: &'a [u8],
}

impl<'a, Q> ById<'a, Q> {
    /// `query` must hold this id, and no other value.
    pub(crate) fn new(id: &'a [u8], query: Q) -> Self {
        Self { query, id }
    }
}

impl<B, Q> QueryFragment<B> for ById<'_, Q>
where
    B: Backend + HasSqlType<Binary>,
    Q: QueryFragment<B>,
    [u8]: ToSql<Binary, B>,
{
    fn walk_ast<'b>(&'b self, mut pass: AstPass<'_, 'b, B>) -> QueryResult<()> {
        pass.push_bind_param::<Binary, [u8]>(self.id)
    }

    fn to_sql(&self, out: &mut B::QueryBuilder, backend: &B) -> QueryResult<()> {
        self.query.to_sql(out, backend)
    }
}

impl<Q: Query> Query for ById<'_, Q> {
    type SqlType = Q::SqlType;
}

impl<Q: QueryId> QueryId for ById<'_, Q> {
    type QueryId = ById<'static, Q::QueryId>;
    const HAS_STATIC_QUERY_ID: bool = Q::HAS_STATIC_QUERY_ID;
}

impl<Q, C> RunQueryDsl<C> for ById<'_, Q> {}

/// As [`ById`], a query of the row in one place of a table whose rows lie in the order of organization, creation and id: it is
/// found without the index of ids.
pub(crate) struct ByPlace<'a, Q> {
    query: Q,
    place: (&'a [u8], i64, &'a [u8]),
}

impl<'a, Q> ByPlace<'a, Q> {
    /// `query` must hold these three values in this order, and no other value: organization, microseconds since 1970, id.
    pub(crate) fn new(place: (&'a [u8], i64, &'a [u8]), query: Q) -> Self {
        Self { query, place }
    }
}

impl<B, Q> QueryFragment<B> for ByPlace<'_, Q>
where
    B: Backend + HasSqlType<Binary> + HasSqlType<BigInt>,
    Q: QueryFragment<B>,
    [u8]: ToSql<Binary, B>,
    i64: ToSql<BigInt, B>,
{
    fn walk_ast<'b>(&'b self, mut pass: AstPass<'_, 'b, B>) -> QueryResult<()> {
        let (organization, created_at, id) = &self.place;
        pass.push_bind_param::<Binary, [u8]>(organization)?;
        pass.push_bind_param::<BigInt, i64>(created_at)?;
        pass.push_bind_param::<Binary, [u8]>(id)
    }

    fn to_sql(&self, out: &mut B::QueryBuilder, backend: &B) -> QueryResult<()> {
        self.query.to_sql(out, backend)
    }
}

impl<Q: Query> Query for ByPlace<'_, Q> {
    type SqlType = Q::SqlType;
}

impl<Q: QueryId> QueryId for ByPlace<'_, Q> {
    type QueryId = ByPlace<'static, Q::QueryId>;
    const HAS_STATIC_QUERY_ID: bool = Q::HAS_STATIC_QUERY_ID;
}

impl<Q, C> RunQueryDsl<C> for ByPlace<'_, Q> {}
