//! Updates that requests, copies and restores run again and again, and that stay prepared.
//!
//! Diesel has its own updates parsed at each run, since what they set may differ from run to run. SQLite takes longer to
//! parse one, with the triggers of its table, than to do it.

use std::marker::PhantomData;

use diesel::{
    backend::Backend,
    prelude::*,
    query_builder::{AstPass, QueryFragment, QueryId},
    result::QueryResult,
    serialize::ToSql,
    sql_types::{BigInt, Binary, HasSqlType, Nullable, Text},
};

/// A piece of a statement: text, which must be the same at each run, or a value in its place.
pub(crate) enum Part<'a> {
    Sql(&'static str),
    Bytes(&'a [u8]),
    Word(&'a str),
    Number(i64),
    MaybeWord(Option<&'a str>),
    MaybeNumber(Option<i64>),
    /// What several statements have in common.
    Several(&'a [Part<'a>]),
}

/// A statement that is found among the prepared ones by `Place`. Made by [`execute_prepared!`].
pub(crate) struct Prepared<'a, Place> {
    parts: &'a [Part<'a>],
    place: PhantomData<Place>,
}

impl<'a, Place> Prepared<'a, Place> {
    /// `Place` must be a type of this one statement alone.
    pub(crate) fn at(_place: Place, parts: &'a [Part<'a>]) -> Self {
        Self {
            parts,
            place: PhantomData,
        }
    }
}

impl<B> QueryFragment<B> for Part<'_>
where
    B: Backend + HasSqlType<Binary> + HasSqlType<Text> + HasSqlType<BigInt>,
    [u8]: ToSql<Binary, B>,
    str: ToSql<Text, B>,
    i64: ToSql<BigInt, B>,
    for<'v> Option<&'v str>: ToSql<Nullable<Text>, B>,
    Option<i64>: ToSql<Nullable<BigInt>, B>,
{
    fn walk_ast<'b>(&'b self, mut pass: AstPass<'_, 'b, B>) -> QueryResult<()> {
        match self {
            Self::Sql(text) => {
                pass.push_sql(text);
                Ok(())
            }
            Self::Bytes(value) => pass.push_bind_param::<Binary, [u8]>(value),
            Self::Word(value) => pass.push_bind_param::<Text, str>(value),
            Self::Number(value) => pass.push_bind_param::<BigInt, _>(value),
            Self::MaybeWord(value) => pass.push_bind_param::<Nullable<Text>, _>(value),
            Self::MaybeNumber(value) => pass.push_bind_param::<Nullable<BigInt>, _>(value),
            Self::Several(parts) => parts.iter().try_for_each(|part| part.walk_ast(pass.reborrow())),
        }
    }
}

impl<B: Backend, Place> QueryFragment<B> for Prepared<'_, Place>
where
    for<'p> Part<'p>: QueryFragment<B>,
{
    fn walk_ast<'b>(&'b self, mut pass: AstPass<'_, 'b, B>) -> QueryResult<()> {
        self.parts.iter().try_for_each(|part| part.walk_ast(pass.reborrow()))
    }
}

impl<Place: 'static> QueryId for Prepared<'_, Place> {
    type QueryId = Prepared<'static, Place>;
    const HAS_STATIC_QUERY_ID: bool = true;
}

impl<Place, C> RunQueryDsl<C> for Prepared<'_, Place> {}

/// Executes the [`Part`]s of a statement on the connection that there is, and keeps it prepared.
macro_rules! execute_prepared {
    ($connection:expr, [$($part:expr),+ $(,)?]) => {{
        struct Here;
        // Not a `let`, which would drop what a part borrows from.
        match [$($part),+] {
            parts => $crate::connection::on_either!($connection, connection => {
                $crate::prepared::Prepared::at(Here, &parts).execute(connection)
            }),
        }
    }};
}

pub(crate) use execute_prepared;

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use diesel::connection::{InstrumentationEvent, SimpleConnection as _};

    use super::{
        Part::{MaybeNumber, Sql, Word},
        *,
    };
    use crate::connection::AnyConnection;

    #[test]
    fn a_statement_is_parsed_once_whatever_its_values_are() {
        let mut connection = SqliteConnection::establish(":memory:").unwrap();
        connection
            .batch_execute("CREATE TABLE notes (text TEXT, number INTEGER); INSERT INTO notes VALUES ('a', 1)")
            .unwrap();
        let kept = Arc::new(Mutex::new(Vec::new()));
        let keep = kept.clone();
        connection.set_instrumentation(move |event: InstrumentationEvent<'_>| {
            if let InstrumentationEvent::CacheQuery { sql, .. } = event {
                keep.lock().unwrap().push(sql.to_owned());
            }
        });
        let mut connection = AnyConnection::Sqlite(connection);

        let changed: Vec<usize> = [("a", Some(7)), ("b", None), ("a", None)]
            .into_iter()
            .map(|(text, number)| {
                execute_prepared!(
                    &mut connection,
                    [
                        Sql("UPDATE notes SET number = "),
                        MaybeNumber(number),
                        Sql(" WHERE text = "),
                        Word(text)
                    ]
                )
                .unwrap()
            })
            .collect();

        assert_eq!(changed, [1, 0, 1]);
        assert_eq!(*kept.lock().unwrap(), ["UPDATE notes SET number = ? WHERE text = ?"]);
    }
}
