//! Values as columns hold them, and back. What a column should never hold is [`Error::Corrupt`], never a default.

mod read;

use diesel::{
    dsl::{AsExprOf, sql},
    expression::{SqlLiteral, UncheckedBind},
    sql_types::{Bool, Text},
};
use snapshot_domain::{Error, Losses, Name, Result, Tag, Tags, Timestamp, VolumeSize, VolumeType};
use thiserror::Error as ThisError;
use uuid::Uuid;

pub(crate) use self::read::{IdColumn, WordColumn};

/// Literal SQL around a text.
type HasTag = SqlLiteral<Bool, UncheckedBind<SqlLiteral<Bool>, AsExprOf<String, Text>>>;

/// Something that no version of this service stores.
#[derive(Debug, ThisError)]
pub(crate) enum Nonsense {
    #[error("an id has {0} bytes")]
    Id(usize),
    #[error("a hash has {0} bytes")]
    Hash(usize),
    #[error("{0} is out of range")]
    Number(i64),
    #[error("{0} is too large to be stored")]
    TooLarge(u64),
    #[error("\"{0}\" is no known {1}")]
    Word(String, &'static str),
    #[error("the columns do not fit state or kind \"{0}\"")]
    Combination(String),
    #[error("the tags \"{0}\" do not lie between line feeds")]
    Tags(String),
}

/// How many ids are put into one query; both databases limit the number of parameters.
pub(crate) const IDS_AT_ONCE: usize = 1000;

pub(crate) fn id_column(id: Uuid) -> Vec<u8> {
    id.as_bytes().to_vec()
}

pub(crate) fn id(what: &'static str, column: &[u8]) -> Result<Uuid> {
    Uuid::from_slice(column).map_err(|_| Error::corrupt(what, Nonsense::Id(column.len())))
}

pub(crate) fn hash(what: &'static str, column: &[u8]) -> Result<[u8; 32]> {
    let bytes = column.try_into();
    bytes.map_err(|_| Error::corrupt(what, Nonsense::Hash(column.len())))
}

pub(crate) fn number_column(what: &'static str, number: u64) -> Result<i64> {
    i64::try_from(number).map_err(|_| Error::corrupt(what, Nonsense::TooLarge(number)))
}

pub(crate) fn number<N: TryFrom<i64>>(what: &'static str, column: i64) -> Result<N> {
    N::try_from(column).map_err(|_| Error::corrupt(what, Nonsense::Number(column)))
}

pub(crate) fn moment(what: &'static str, column: i64) -> Result<Timestamp> {
    Timestamp::from_micros(column).map_err(|cause| Error::corrupt(what, cause))
}

pub(crate) fn name(what: &'static str, column: &str) -> Result<Name> {
    Name::parse(column).map_err(|cause| Error::corrupt(what, cause))
}

/// As [`name`], of a text that can be kept.
pub(crate) fn owned_name(what: &'static str, column: String) -> Result<Name> {
    Name::try_from(column).map_err(|cause| Error::corrupt(what, cause))
}

pub(crate) fn size(what: &'static str, column: i64) -> Result<VolumeSize> {
    VolumeSize::from_bytes(number(what, column)?).map_err(|cause| Error::corrupt(what, cause))
}

pub(crate) fn volume_type(what: &'static str, column: &str) -> Result<VolumeType> {
    VolumeType::parse(column).ok_or_else(|| unknown_word(what, column, "volume type"))
}

pub(crate) fn losses(what: &'static str, column: Option<&str>) -> Result<Option<Losses>> {
    let losses = column.map(Losses::parse).transpose();
    losses.map_err(|cause| Error::corrupt(what, cause))
}

pub(crate) fn unknown_word(what: &'static str, word: &str, kind: &'static str) -> Error {
    Error::corrupt(what, Nonsense::Word(word.to_owned(), kind))
}

/// Every tag lies between line feeds, which no tag contains: so a tag is found by looking for it with both of them.
pub(crate) fn tags_column(tags: &Tags) -> String {
    let mut column = String::new();
    for tag in tags.as_slice() {
        column.push('\n');
        column.push_str(tag.as_str());
    }
    if !column.is_empty() {
        column.push('\n');
    }
    column
}

/// The condition that a tag is among those of the column `tags`. As literal SQL it is not kept prepared: there is a
/// statement for every number of tags, and clients choose the number.
pub(crate) fn has_tag(tag: &Tag) -> HasTag {
    sql("instr(tags, ")
        .bind::<Text, _>(format!("\n{}\n", tag.as_str()))
        .sql(") > 0")
}

pub(crate) fn tags(what: &'static str, column: &str) -> Result<Tags> {
    if column.is_empty() {
        return Ok(Tags::default());
    }
    let list = column
        .strip_prefix('\n')
        .and_then(|rest| rest.strip_suffix('\n'))
        .ok_or_else(|| Error::corrupt(what, Nonsense::Tags(column.to_owned())))?;
    let list: Vec<_> = list.split('\n').collect();
    Tags::parse(&list).map_err(|cause| Error::corrupt(what, cause))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn is_corrupt<T>(result: &Result<T>) -> bool {
        matches!(result, Err(Error::Corrupt { .. }))
    }

    proptest! {
        #[test]
        fn tags_come_back_as_they_were(list in proptest::collection::vec("[^\\p{Cc}]{0,20}[^\\p{Cc}\\s]", 0..5)) {
            let before = Tags::parse(&list).unwrap();

            let after = tags("snapshot", &tags_column(&before)).unwrap();

            prop_assert_eq!(after, before);
        }
    }

    #[test]
    fn nonsense_is_corrupt() {
        assert!(is_corrupt(&id("task", &[0; 15])));
        assert!(is_corrupt(&number::<u64>("task", -1)));
        assert!(is_corrupt(&number_column("task", u64::MAX)));
        assert!(is_corrupt(&moment("task", i64::MAX)));
        assert!(is_corrupt(&name("volume", "")));
        assert!(is_corrupt(&size("volume", 513)));
        assert!(is_corrupt(&volume_type("volume", "tape")));
        assert!(is_corrupt(&tags("volume", "a\n")));
        assert!(is_corrupt(&tags("volume", "\n\n")));
    }
}
