//! Which part of the bytes a request asks for: the `Range` header of RFC 9110, as far as one range goes.

use std::ops::Range;

use actix_web::http::{
    Method,
    header::{HeaderMap, IF_NONE_MATCH, IF_RANGE, RANGE},
};

/// What to answer to a request for bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// Everything.
    Whole,
    /// These bytes.
    Part(Range<u64>),
    /// A part that there is not.
    Unsatisfiable,
    /// Nothing: the client has these very bytes already.
    Nothing,
}

/// Reads what a request asks for, of `size_bytes` bytes that are named by `etag` (with its quotes).
pub(super) fn wanted(method: &Method, headers: &HeaderMap, size_bytes: u64, etag: Option<&str>) -> Wanted {
    if let Some(etag) = etag
        && lists(headers, etag)
    {
        return Wanted::Nothing;
    }
    // RFC 9110 defines ranges for GET alone.
    if *method != Method::GET || !may_be_partial(headers, etag) {
        return Wanted::Whole;
    }
    let mut sent = headers.get_all(RANGE);
    match (sent.next().and_then(|value| value.to_str().ok()), sent.next()) {
        (Some(range), None) => part(range, size_bytes),
        _ => Wanted::Whole,
    }
}

/// Whether `If-None-Match` names these bytes.
fn lists(headers: &HeaderMap, etag: &str) -> bool {
    headers
        .get_all(IF_NONE_MATCH)
        .filter_map(|value| value.to_str().ok())
        .flat_map(|list| list.split(','))
        .map(str::trim)
        .any(|listed| listed == "*" || listed.strip_prefix("W/").unwrap_or(listed) == etag)
}

/// Whether `If-Range` lets a part be answered: only when it names these very bytes.
fn may_be_partial(headers: &HeaderMap, etag: Option<&str>) -> bool {
    match headers.get(IF_RANGE) {
        None => true,
        Some(value) => etag.is_some_and(|etag| value.as_bytes() == etag.as_bytes()),
    }
}

/// One range; several of them, or what is none, count as if nothing had been asked for.
fn part(header: &str, size_bytes: u64) -> Wanted {
    let Some((unit, spec)) = header.split_once('=') else {
        return Wanted::Whole;
    };
    let Some((first, last)) = spec.trim().split_once('-') else {
        return Wanted::Whole;
    };
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return Wanted::Whole;
    }
    let (Ok(first), Ok(last)) = (bound(first), bound(last)) else {
        return Wanted::Whole;
    };
    match (first, last) {
        (None, None) => Wanted::Whole,
        (Some(first), Some(last)) if first > last => Wanted::Whole,
        (Some(first), _) if first >= size_bytes => Wanted::Unsatisfiable,
        (Some(first), Some(last)) => Wanted::Part(first..size_bytes.min(last.saturating_add(1))),
        (Some(first), None) => Wanted::Part(first..size_bytes),
        (None, Some(0)) => Wanted::Unsatisfiable,
        (None, Some(length)) => Wanted::Part(size_bytes.saturating_sub(length)..size_bytes),
    }
}

/// One side of the hyphen is neither empty nor a number.
struct NoBound;

/// One side of the hyphen; a number that is too large for any volume is as large as can be.
fn bound(digits: &str) -> Result<Option<u64>, NoBound> {
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(NoBound);
    }
    Ok((!digits.is_empty()).then(|| digits.parse().unwrap_or(u64::MAX)))
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::{HeaderName, HeaderValue};

    use super::*;

    const ETAG: &str = "\"blake3-131072:ab\"";

    fn ask(method: &Method, headers: &[(HeaderName, &str)]) -> Wanted {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(name.clone(), HeaderValue::from_str(value).unwrap());
        }
        wanted(method, &map, 1000, Some(ETAG))
    }

    fn check(range: &str, expected: &Wanted) {
        assert_eq!(ask(&Method::GET, &[(RANGE, range)]), *expected, "{range}");
    }

    #[test]
    fn one_range_is_cut_to_what_is_there() {
        check("bytes=0-0", &Wanted::Part(0..1));
        check("bytes=0-999", &Wanted::Part(0..1000));
        check("bytes=500-", &Wanted::Part(500..1000));
        check("bytes=999-", &Wanted::Part(999..1000));
        check("bytes=500-99999999999999999999999", &Wanted::Part(500..1000));
        check("bytes=-1", &Wanted::Part(999..1000));
        check("bytes=-1000", &Wanted::Part(0..1000));
        check("bytes=-99999999999999999999999", &Wanted::Part(0..1000));
        check("Bytes=1-2", &Wanted::Part(1..3));
    }

    #[test]
    fn a_range_outside_can_not_be_satisfied() {
        check("bytes=1000-", &Wanted::Unsatisfiable);
        check("bytes=1000-1001", &Wanted::Unsatisfiable);
        check("bytes=99999999999999999999999-", &Wanted::Unsatisfiable);
        check("bytes=-0", &Wanted::Unsatisfiable);
    }

    #[test]
    fn several_ranges_and_malformed_ones_are_ignored() {
        for range in [
            "bytes=0-1,3-4",
            "bytes=5-4",
            "bytes=-",
            "bytes=",
            "bytes",
            "bytes=a-b",
            "bytes=0-b",
            "bytes=b-1",
            "bytes=0--1",
            "bytes=+1-2",
            "pages=0-1",
            "",
        ] {
            check(range, &Wanted::Whole);
        }
        let twice = [(RANGE, "bytes=0-1"), (RANGE, "bytes=2-3")];
        assert_eq!(ask(&Method::GET, &twice), Wanted::Whole);
        assert_eq!(ask(&Method::HEAD, &[(RANGE, "bytes=0-1")]), Wanted::Whole);
    }

    #[test]
    fn a_part_of_other_bytes_is_never_answered() {
        let of = |etag| ask(&Method::GET, &[(RANGE, "bytes=0-1"), (IF_RANGE, etag)]);

        assert_eq!(of(ETAG), Wanted::Part(0..2));
        assert_eq!(of("\"other\""), Wanted::Whole);
        assert_eq!(of("W/\"blake3-131072:ab\""), Wanted::Whole);
        assert_eq!(of("Wed, 21 Oct 2015 07:28:00 GMT"), Wanted::Whole);
    }

    #[test]
    fn who_has_the_bytes_is_not_sent_them_again() {
        let knows = |list| ask(&Method::GET, &[(IF_NONE_MATCH, list)]);

        assert_eq!(knows(ETAG), Wanted::Nothing);
        assert_eq!(knows("\"x\", W/\"blake3-131072:ab\""), Wanted::Nothing);
        assert_eq!(knows("*"), Wanted::Nothing);
        assert_eq!(knows("\"x\""), Wanted::Whole);
    }
}
