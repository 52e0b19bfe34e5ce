//! Names that people give.

use std::fmt;

use thiserror::Error;

/// A name people gave to an organization, a volume or a snapshot: 1 to 128 characters, trimmed, without control
/// characters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(String);

/// Why a text is no [`Name`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum InvalidName {
    /// Nothing but white space.
    #[error("must not be empty")]
    Empty,
    /// Longer than [`Name::MAX_CHARS`].
    #[error("must have at most {max} characters, has {chars}", max = Name::MAX_CHARS)]
    TooLong {
        /// How many characters it has.
        chars: usize,
    },
    /// Has a line break, a NUL or another control character.
    #[error("must not contain control characters")]
    ControlCharacter,
}

impl Name {
    /// The longest name, in characters.
    pub const MAX_CHARS: usize = 128;

    /// Takes a text as a name, without the white space around it.
    ///
    /// # Errors
    ///
    /// [`InvalidName`] says which rule the text breaks.
    ///
    /// ```
    /// use snapshot_domain::{InvalidName, Name};
    ///
    /// assert_eq!(Name::parse(" before the upgrade ")?.as_str(), "before the upgrade");
    /// assert_eq!(Name::parse("  "), Err(InvalidName::Empty));
    /// # Ok::<(), InvalidName>(())
    /// ```
    pub fn parse(raw: &str) -> Result<Self, InvalidName> {
        check(raw).map(|name| Self(name.to_owned()))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// As [`Name::parse`], without another copy of a text that is a name as it stands.
impl TryFrom<String> for Name {
    type Error = InvalidName;

    fn try_from(raw: String) -> Result<Self, InvalidName> {
        let name = check(&raw)?;
        Ok(Self(if name.len() == raw.len() { raw } else { name.to_owned() }))
    }
}

/// The name that a text is, without the white space around it.
fn check(raw: &str) -> Result<&str, InvalidName> {
    // What most names are, and lists are full of them: found out without looking at characters one by one.
    let is_short = (1..=Name::MAX_CHARS).contains(&raw.len());
    if is_short
        && raw
            .bytes()
            .fold(true, |is_graphic, byte| is_graphic & byte.is_ascii_graphic())
    {
        return Ok(raw);
    }
    let name = raw.trim();
    let chars = name.chars().count();
    if chars == 0 {
        return Err(InvalidName::Empty);
    }
    if chars > Name::MAX_CHARS {
        return Err(InvalidName::TooLong { chars });
    }
    if name.chars().any(char::is_control) {
        return Err(InvalidName::ControlCharacter);
    }
    Ok(name)
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(raw: &str, expected: Result<&str, InvalidName>) {
        assert_eq!(Name::try_from(raw.to_owned()), Name::parse(raw), "{raw:?}");
        assert_eq!(
            Name::parse(raw).as_ref().map(Name::as_str),
            expected.as_ref().map(|name| *name),
            "{raw:?}"
        );
    }

    #[test]
    fn names_are_trimmed_and_limited() {
        check("snapshot-0-1", Ok("snapshot-0-1"));
        check("  vol simple snapshot\t", Ok("vol simple snapshot"));
        check("", Err(InvalidName::Empty));
        check("a\0b", Err(InvalidName::ControlCharacter));
        check("a\nb", Err(InvalidName::ControlCharacter));
        check(&"é".repeat(128), Ok(&"é".repeat(128)));
        check(&"é".repeat(129), Err(InvalidName::TooLong { chars: 129 }));
    }
}
