//! The headers `If-Match` and `If-None-Match`: what a request knows of the thing that it is about.

use std::fmt;

use actix_web::http::header::{HeaderMap, HeaderName, IF_MATCH, IF_NONE_MATCH};
use snapshot_domain::{Revision, RevisionCondition};
use uuid::Uuid;

use super::error::ApiError;

/// The entity tag, with its quotes, of one revision of something, whose representation has this hash.
pub(super) fn tag(id: Uuid, revision: Revision, hash: u64) -> String {
    format!("\"{}{}-{hash:016x}\"", revision.as_u64(), tag_infix(id))
}

/// What tells the tags of one thing from those of another at the same revision.
fn tag_infix(id: Uuid) -> impl fmt::Display {
    let (_, end) = id.as_u64_pair();
    fmt::from_fn(move |f| write!(f, "-{:08x}", end & 0xffff_ffff))
}

/// A header that lists entity tags.
#[derive(Debug, PartialEq, Eq)]
enum Listed<'a> {
    /// `*`
    Anything,
    /// These.
    Tags(Vec<Tag<'a>>),
}

/// An entity tag as it was sent.
#[derive(Debug, PartialEq, Eq)]
struct Tag<'a> {
    is_weak: bool,
    /// Without its quotes.
    opaque: &'a str,
}

/// What a request that changes or removes something demands of it.
///
/// # Errors
///
/// 400 when one of the headers is malformed, or both are there.
pub(super) fn of_change(headers: &HeaderMap, id: Uuid) -> Result<RevisionCondition, ApiError> {
    let unless = list(headers, &IF_NONE_MATCH)?;
    match unless {
        None => of_match(headers, id),
        Some(_) if headers.contains_key(IF_MATCH) => Err(ApiError::BadRequest(
            "If-Match and If-None-Match can't be combined".to_owned(),
        )),
        Some(Listed::Anything) => Ok(RevisionCondition::Never),
        Some(Listed::Tags(tags)) => Ok(RevisionCondition::NoneOf(
            tags.iter().filter_map(|tag| revision(tag, id)).collect(),
        )),
    }
}

/// What `If-Match` demands. A weak tag never matches, as RFC 9110 has it.
///
/// # Errors
///
/// 400 when it is malformed.
pub(super) fn of_match(headers: &HeaderMap, id: Uuid) -> Result<RevisionCondition, ApiError> {
    Ok(match list(headers, &IF_MATCH)? {
        None | Some(Listed::Anything) => RevisionCondition::Any,
        Some(Listed::Tags(tags)) => {
            let strong = tags.iter().filter(|tag| !tag.is_weak);
            RevisionCondition::OneOf(strong.filter_map(|tag| revision(tag, id)).collect())
        }
    })
}

/// Whether `If-Match` allows to read what `tag` names, and only that.
///
/// # Errors
///
/// 400 when it is malformed.
pub(super) fn is_wanted(headers: &HeaderMap, tag: Option<&str>) -> Result<bool, ApiError> {
    Ok(match list(headers, &IF_MATCH)? {
        None | Some(Listed::Anything) => true,
        Some(Listed::Tags(tags)) => tag.is_some_and(|tag| {
            let mut strong = tags.iter().filter(|listed| !listed.is_weak);
            strong.any(|listed| tag.trim_matches('"') == listed.opaque)
        }),
    })
}

/// Whether `If-None-Match` says that the client has what `tag` names.
///
/// # Errors
///
/// 400 when it is malformed.
pub(super) fn is_known(headers: &HeaderMap, tag: &str) -> Result<bool, ApiError> {
    Ok(match list(headers, &IF_NONE_MATCH)? {
        None => false,
        Some(Listed::Anything) => true,
        Some(Listed::Tags(tags)) => tags.iter().any(|listed| tag.trim_matches('"') == listed.opaque),
    })
}

/// The revision that a tag of this thing names; `None` for what is no tag of it.
fn revision(tag: &Tag<'_>, id: Uuid) -> Option<Revision> {
    let (start, _hash) = tag.opaque.rsplit_once('-')?;
    let number = start.strip_suffix(&tag_infix(id).to_string())?;
    number.parse().ok().map(Revision::new)
}

fn list<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<Listed<'a>>, ApiError> {
    let malformed = || ApiError::BadRequest(format!("{name} must be * or a list of entity tags in double quotes"));
    let mut sent = headers.get_all(name).peekable();
    if sent.peek().is_none() {
        return Ok(None);
    }
    let mut found = Listed::Tags(Vec::new());
    for line in sent {
        let line = line.to_str().map_err(|_| malformed())?;
        found = parse(line, found).ok_or_else(malformed)?;
    }
    match &found {
        Listed::Tags(tags) if tags.is_empty() => Err(malformed()),
        Listed::Anything | Listed::Tags(_) => Ok(Some(found)),
    }
}

/// Reads one line of a list, after the lines before it.
fn parse<'a>(line: &'a str, before: Listed<'a>) -> Option<Listed<'a>> {
    let mut rest = line.trim();
    let Listed::Tags(mut tags) = before else {
        return None;
    };
    if rest == "*" {
        return tags.is_empty().then_some(Listed::Anything);
    }
    loop {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        if rest.is_empty() {
            return Some(Listed::Tags(tags));
        }
        let (is_weak, quoted) = match rest.strip_prefix("W/") {
            Some(quoted) => (true, quoted),
            None => (false, rest),
        };
        let (opaque, after) = quoted.strip_prefix('"')?.split_once('"')?;
        if !opaque.bytes().all(|byte| byte == b'!' || byte >= b'#' && byte != 0x7f) {
            return None;
        }
        tags.push(Tag { is_weak, opaque });
        rest = after.trim_start_matches([' ', '\t']);
        if !rest.is_empty() && !rest.starts_with(',') {
            return None;
        }
    }
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::HeaderValue;

    use super::*;

    const ID: Uuid = Uuid::from_u128(0x0123_4567_89ab);

    fn headers(name: &HeaderName, lines: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(name.clone(), HeaderValue::from_bytes(line.as_bytes()).unwrap());
        }
        headers
    }

    fn of(numbers: &[u64]) -> RevisionCondition {
        RevisionCondition::OneOf(numbers.iter().copied().map(Revision::new).collect())
    }

    #[track_caller]
    fn check(lines: &[&str], expected: Option<&RevisionCondition>) {
        let condition = of_change(&headers(&IF_MATCH, lines), ID).ok();
        assert_eq!(condition.as_ref(), expected, "{lines:?}");
    }

    #[test]
    fn if_match_names_revisions_of_this_very_thing() {
        check(&[], Some(&RevisionCondition::Any));
        check(&["*"], Some(&RevisionCondition::Any));
        check(&["\"7-456789ab-00112233445566ff\""], Some(&of(&[7])));
        check(&["\"7-456789ab-x\" ,, \"8-456789ab-y\""], Some(&of(&[7, 8])));
        check(&["\"7-456789ab-x\"", "\"8-456789ab-y\","], Some(&of(&[7, 8])));
        check(&["\"7-456789ac-x\""], Some(&of(&[])));
        check(&["W/\"7-456789ab-x\""], Some(&of(&[])));
        check(&["\"anything,with-a-comma\""], Some(&of(&[])));
        check(&["\"\""], Some(&of(&[])));
    }

    #[test]
    fn what_is_no_list_of_tags_is_malformed() {
        for line in [
            "",
            ",",
            "7",
            "\"7",
            "7\"",
            "\"a\" \"b\"",
            "\"a\"b",
            "w/\"a\"",
            "*, \"a\"",
            "\"a\", *",
            "\"a b\"",
        ] {
            check(&[line], None);
        }
        check(&["*", "*"], None);
        check(&["\"a\"", "*"], None);
    }

    #[test]
    fn if_none_match_excludes() {
        let change = |line| of_change(&headers(&IF_NONE_MATCH, &[line]), ID).unwrap();

        assert_eq!(change("*"), RevisionCondition::Never);
        assert_eq!(
            change("W/\"7-456789ab-x\", \"other\""),
            RevisionCondition::NoneOf(vec![Revision::new(7)])
        );
        let mut both = headers(&IF_NONE_MATCH, &["\"a\""]);
        both.append(IF_MATCH, HeaderValue::from_static("*"));
        assert!(of_change(&both, ID).is_err());
    }

    #[test]
    fn who_knows_the_tag_is_told_nothing_new() {
        let knows = |line| is_known(&headers(&IF_NONE_MATCH, &[line]), "\"7-456789ab-x\"").unwrap();

        assert!(knows("*"));
        assert!(knows("\"other\", W/\"7-456789ab-x\""));
        assert!(!knows("\"7-456789ab-y\""));
    }

    #[test]
    fn a_tag_that_is_made_is_understood() {
        let made = tag(ID, Revision::new(12), 0xff);

        let tag = Tag {
            is_weak: false,
            opaque: made.trim_matches('"'),
        };

        assert_eq!(revision(&tag, ID), Some(Revision::new(12)));
    }
}
