//! Storing rows of the tables that grow with every snapshot.

use std::marker::PhantomData;

use diesel::{
    backend::Backend,
    prelude::*,
    query_builder::{AstPass, QueryFragment, QueryId},
    result::QueryResult,
};

/// An insert of a whole row that is found among the prepared ones by the row's type. Diesel finds inserts by their text, and
/// would put that together several times at each run. For rows of which every column is always written.
pub(crate) struct RowInsert<Q, R> {
    insert: Q,
    row: PhantomData<fn(R)>,
}

impl<Q, R> RowInsert<Q, R> {
    pub(crate) fn of(_row: &R, insert: Q) -> Self {
        Self {
            insert,
            row: PhantomData,
        }
    }
}

impl<Q, R, B> QueryFragment<B> for RowInsert<Q, R>
where
    B: Backend,
    Q: QueryFragment<B>,
{
    fn walk_ast<'b>(&'b self, pass: AstPass<'_, 'b, B>) -> QueryResult<()> {
        self.insert.walk_ast(pass)
    }
}

impl<Q, R: 'static> QueryId for RowInsert<Q, R> {
    type QueryId = RowInsert<(), R>;
    const HAS_STATIC_QUERY_ID: bool = true;
}

impl<Q, R, C> RunQueryDsl<C> for RowInsert<Q, R> {}

/// Stores a row, on the connection of either database itself: `AnyConnection` has texts put together for each run, too.
macro_rules! insert_row {
    ($connection:expr, $table:path, $row:expr) => {{
        let insert = $crate::row_insert::RowInsert::of($row, diesel::insert_into($table).values($row));
        $crate::connection::on_either!($connection, connection => insert.execute(connection))
    }};
}

pub(crate) use insert_row;
