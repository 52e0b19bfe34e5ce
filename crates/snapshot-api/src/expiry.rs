//! When something made at the command line ends.

use chrono::{DateTime, NaiveDate, NaiveTime, TimeDelta, Utc};
use snapshot_domain::Timestamp;

/// A moment, or a time from now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expiry {
    /// At this moment.
    At(Timestamp),
    /// This long from now.
    In(TimeDelta),
}

impl Expiry {
    /// Reads `2027-01-31` (its first moment, in UTC), `2027-01-31T18:00:00+01:00`, `30m`, `12h`, `90d` or `4w`.
    ///
    /// # Errors
    ///
    /// A sentence, when it is none of these.
    pub(crate) fn parse(raw: &str) -> Result<Self, String> {
        let date = NaiveDate::parse_from_str(raw, "%Y-%m-%d").map(|date| date.and_time(NaiveTime::MIN).and_utc());
        let moment = DateTime::parse_from_rfc3339(raw).map(|moment| moment.with_timezone(&Utc));
        date.or(moment)
            .map(|moment| Self::At(Timestamp::new(moment)))
            .ok()
            .or_else(|| span(raw).map(Self::In))
            .ok_or_else(|| "write it like 2027-01-31, 2027-01-31T18:00:00+01:00, 30m, 12h, 90d or 4w".to_owned())
    }

    /// The moment that is meant.
    ///
    /// # Errors
    ///
    /// A sentence, when it is past, or later than the calendar goes.
    pub(crate) fn after(self, now: Timestamp) -> Result<Timestamp, String> {
        let moment = match self {
            Self::At(moment) => moment,
            Self::In(span) => now
                .as_datetime()
                .checked_add_signed(span)
                .map(Timestamp::new)
                .ok_or("the calendar does not reach that far")?,
        };
        if moment > now {
            Ok(moment)
        } else {
            Err(format!("{moment} is past"))
        }
    }
}

fn span(raw: &str) -> Option<TimeDelta> {
    let (at, unit) = raw.char_indices().last()?;
    let digits = &raw[..at];
    let number: i64 = digits.parse().ok().filter(|number| *number > 0)?;
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    match unit {
        'm' => TimeDelta::try_minutes(number),
        'h' => TimeDelta::try_hours(number),
        'd' => TimeDelta::try_days(number),
        'w' => TimeDelta::try_weeks(number),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_MICROS: i64 = 1_400_760_605_596_769;

    #[track_caller]
    fn check(raw: &str, expected: Option<&str>) {
        let now = Timestamp::from_micros(NOW_MICROS).unwrap();
        let moment = Expiry::parse(raw).and_then(|expiry| expiry.after(now)).ok();
        assert_eq!(moment.map(|moment| moment.to_string()).as_deref(), expected, "{raw:?}");
    }

    #[test]
    fn an_end_is_a_date_a_moment_or_a_time_from_now() {
        check("2014-05-23", Some("2014-05-23T00:00:00.000000+00:00"));
        check("2014-05-23T01:00:00+01:00", Some("2014-05-23T00:00:00.000000+00:00"));
        check("30m", Some("2014-05-22T12:40:05.596769+00:00"));
        check("12h", Some("2014-05-23T00:10:05.596769+00:00"));
        check("90d", Some("2014-08-20T12:10:05.596769+00:00"));
        check("4w", Some("2014-06-19T12:10:05.596769+00:00"));
    }

    #[test]
    fn what_is_past_or_makes_no_sense_is_refused() {
        for refused in [
            "2014-05-22",
            "",
            "d",
            "0d",
            "-1d",
            "+1d",
            "1.5h",
            "90",
            "90 d",
            "5é",
            "99999999999999d",
            "tomorrow",
            "2014-13-01",
        ] {
            check(refused, None);
        }
    }
}
