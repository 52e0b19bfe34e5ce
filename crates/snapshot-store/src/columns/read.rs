//! Columns that become values while they are read, without a copy in between.

use diesel::{
    deserialize::{self, FromSql, FromSqlRow},
    pg::{Pg, PgValue},
    sql_types::{Binary, Text},
    sqlite::{Sqlite, SqliteValue},
};
use snapshot_domain::{HealthName, Role, SnapshotStateName, VolumeType};
use uuid::Uuid;

use super::Nonsense;
use crate::connection::{MultiBackend, MultiRawValue};

/// An id.
#[derive(Clone, Copy, Debug, FromSqlRow)]
pub(crate) struct IdColumn(pub(crate) Uuid);

/// A word of a few.
#[derive(Clone, Copy, Debug, FromSqlRow)]
pub(crate) struct WordColumn<W>(pub(crate) W);

/// One of a few words.
pub(crate) trait Word: Sized {
    /// What the words are for.
    const KIND: &'static str;

    /// The one that is written so.
    fn parse(raw: &str) -> Option<Self>;
}

impl IdColumn {
    fn read(column: &[u8]) -> deserialize::Result<Self> {
        let id = Uuid::from_slice(column);
        Ok(Self(id.map_err(|_| Nonsense::Id(column.len()))?))
    }
}

impl<W: Word> WordColumn<W> {
    fn read(column: &str) -> deserialize::Result<Self> {
        let word = W::parse(column).ok_or_else(|| Nonsense::Word(column.to_owned(), W::KIND))?;
        Ok(Self(word))
    }
}

impl FromSql<Binary, Sqlite> for IdColumn {
    fn from_sql(mut value: SqliteValue<'_, '_, '_>) -> deserialize::Result<Self> {
        Self::read(value.read_blob())
    }
}

impl FromSql<Binary, Pg> for IdColumn {
    fn from_sql(value: PgValue<'_>) -> deserialize::Result<Self> {
        Self::read(value.as_bytes())
    }
}

impl FromSql<Binary, MultiBackend> for IdColumn {
    fn from_sql(value: MultiRawValue<'_>) -> deserialize::Result<Self> {
        value.from_sql::<Self, Binary>()
    }
}

impl<W: Word> FromSql<Text, Sqlite> for WordColumn<W> {
    fn from_sql(mut value: SqliteValue<'_, '_, '_>) -> deserialize::Result<Self> {
        Self::read(value.read_text())
    }
}

impl<W: Word> FromSql<Text, Pg> for WordColumn<W> {
    fn from_sql(value: PgValue<'_>) -> deserialize::Result<Self> {
        Self::read(std::str::from_utf8(value.as_bytes())?)
    }
}

impl<W: Word> FromSql<Text, MultiBackend> for WordColumn<W> {
    fn from_sql(value: MultiRawValue<'_>) -> deserialize::Result<Self> {
        value.from_sql::<Self, Text>()
    }
}

macro_rules! words {
    ($($word:ty: $kind:literal),* $(,)?) => {$(
        impl Word for $word {
            const KIND: &'static str = $kind;

            fn parse(raw: &str) -> Option<Self> {
                <$word>::parse(raw)
            }
        }
    )*};
}

words! {
    HealthName: "health of a snapshot",
    Role: "role",
    SnapshotStateName: "state of a snapshot",
    VolumeType: "volume type",
}
