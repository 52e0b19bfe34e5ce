//! Storing rows of the tables that grow with every snapshot.
//!
//! Diesel finds its own inserts among the prepared ones by their text, which it puts together at each run, and asks every value
//! several times whether it is there at all. These are found by the row's type, and of every row each column is written.

use diesel::{prelude::*, query_builder::QueryId};

/// Stores a row, when it is executed.
pub(crate) struct InsertRow<'a, R>(pub(crate) &'a R);

impl<R: 'static> QueryId for InsertRow<'_, R> {
    type QueryId = InsertRow<'static, R>;
    const HAS_STATIC_QUERY_ID: bool = true;
}

impl<R, C> RunQueryDsl<C> for InsertRow<'_, R> {}

/// Makes rows of a type something that can be inserted into a table on either database. Names every field, each with the type
/// of its column.
macro_rules! insert_into {
    ($table:literal, $row:ident { $($columns:tt)+ }) => {
        $crate::row_insert::insert_into!(@on diesel::sqlite::Sqlite, $table, $row { $($columns)+ });
        $crate::row_insert::insert_into!(@on diesel::pg::Pg, $table, $row { $($columns)+ });
    };
    (@on $backend:ty, $table:literal, $row:ident { $first:ident: $first_type:ty, $($column:ident: $type:ty),+ $(,)? }) => {
        impl diesel::query_builder::QueryFragment<$backend> for $crate::row_insert::InsertRow<'_, $row> {
            fn walk_ast<'b>(
                &'b self,
                mut pass: diesel::query_builder::AstPass<'_, 'b, $backend>,
            ) -> diesel::result::QueryResult<()> {
                // Without `..`, so that no column is forgotten.
                let $row { $first, $($column),+ } = self.0;
                pass.push_sql(concat!(
                    "INSERT INTO ", $table, " (", stringify!($first), $(", ", stringify!($column)),+, ") VALUES ("
                ));
                pass.push_bind_param::<$first_type, _>($first)?;
                $(
                    pass.push_sql(", ");
                    pass.push_bind_param::<$type, _>($column)?;
                )+
                pass.push_sql(")");
                Ok(())
            }
        }
    };
}

/// Stores a row on the connection of either database itself: [`AnyConnection`](crate::connection::AnyConnection) has texts put
/// together for each run, too.
macro_rules! insert_row {
    ($connection:expr, $row:expr) => {
        $crate::connection::on_either!($connection, connection => $crate::row_insert::InsertRow($row).execute(connection))
    };
}

pub(crate) use {insert_into, insert_row};
