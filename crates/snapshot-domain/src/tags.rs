//! Tags: short words that people put on what they own, to find it again.

use thiserror::Error;

/// One tag: 1 to 128 characters without control characters, and not only white space.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tag(String);

/// Why a text is no [`Tag`], or a list of them no [`Tags`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum InvalidTag {
    /// Nothing but white space.
    #[error("a tag must not be empty")]
    Empty,
    /// Longer than [`Tag::MAX_CHARS`].
    #[error("a tag must have at most {max} characters, has {chars}", max = Tag::MAX_CHARS)]
    TooLong {
        /// How many characters it has.
        chars: usize,
    },
    /// Has a line break, a NUL or another control character.
    #[error("a tag must not contain control characters")]
    ControlCharacter,
    /// More than [`Tags::MAX`].
    #[error("must have at most {max} tags, has {count}", max = Tags::MAX)]
    TooMany {
        /// How many were given.
        count: usize,
    },
}

impl Tag {
    /// The longest tag, in characters.
    pub const MAX_CHARS: usize = 128;

    /// Takes a text as a tag, unchanged.
    ///
    /// # Errors
    ///
    /// [`InvalidTag`] says which rule the text breaks.
    pub fn parse(raw: &str) -> Result<Self, InvalidTag> {
        let chars = raw.chars().count();
        if raw.trim().is_empty() {
            return Err(InvalidTag::Empty);
        }
        if chars > Self::MAX_CHARS {
            return Err(InvalidTag::TooLong { chars });
        }
        if raw.chars().any(char::is_control) {
            return Err(InvalidTag::ControlCharacter);
        }
        Ok(Self(raw.to_owned()))
    }

    /// The tag as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The tags of one resource, in the order they were given; at most [`Tags::MAX`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tags(Vec<Tag>);

impl Tags {
    /// The most tags one resource can have.
    pub const MAX: usize = 64;

    /// Takes a list of tags.
    ///
    /// # Errors
    ///
    /// [`InvalidTag::TooMany`] above [`Tags::MAX`].
    pub fn new(tags: Vec<Tag>) -> Result<Self, InvalidTag> {
        if tags.len() > Self::MAX {
            return Err(InvalidTag::TooMany { count: tags.len() });
        }
        Ok(Self(tags))
    }

    /// Takes a list of texts as tags.
    ///
    /// # Errors
    ///
    /// [`InvalidTag`] for the first text that is no tag, or when there are too many.
    pub fn parse<S: AsRef<str>>(raw: &[S]) -> Result<Self, InvalidTag> {
        Self::new(
            raw.iter()
                .map(|tag| Tag::parse(tag.as_ref()))
                .collect::<Result<_, _>>()?,
        )
    }

    /// The tags in their order.
    pub fn as_slice(&self) -> &[Tag] {
        &self.0
    }

    /// Whether each of `wanted` is among these.
    pub fn contains_all(&self, wanted: &[Tag]) -> bool {
        wanted.iter().all(|tag| self.0.contains(tag))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_keep_their_order_and_spelling() {
        let tags = Tags::parse(&["b", " a ", "b"]).unwrap();

        assert_eq!(
            tags.as_slice().iter().map(Tag::as_str).collect::<Vec<_>>(),
            ["b", " a ", "b"]
        );
    }

    #[test]
    fn bad_tags_and_too_many_of_them_are_refused() {
        assert_eq!(Tags::parse(&["  "]), Err(InvalidTag::Empty));
        assert_eq!(Tags::parse(&["a\nb"]), Err(InvalidTag::ControlCharacter));
        assert_eq!(Tags::parse(&["a".repeat(129)]), Err(InvalidTag::TooLong { chars: 129 }));
        assert_eq!(Tags::parse(&["a"; 65]), Err(InvalidTag::TooMany { count: 65 }));
        assert!(Tags::parse(&["a"; 64]).is_ok());
    }

    #[test]
    fn every_wanted_tag_has_to_be_there() {
        let tags = Tags::parse(&["nightly", "db"]).unwrap();

        assert!(tags.contains_all(&[]));
        assert!(tags.contains_all(&[Tag::parse("db").unwrap()]));
        assert!(!tags.contains_all(&[Tag::parse("db").unwrap(), Tag::parse("web").unwrap()]));
    }
}
