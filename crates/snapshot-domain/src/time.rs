//! Moments in time, as precise as every database here can keep them.

use std::fmt;

use chrono::{DateTime, Datelike as _, DurationRound, SubsecRound, TimeDelta, Timelike as _, Utc};
use thiserror::Error;

/// A moment in UTC, cut to microseconds when it is made, so that what is stored is what was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(DateTime<Utc>);

/// The number of microseconds is no moment that a calendar knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("{0} microseconds since 1970 is out of range")]
pub struct InvalidTimestamp(i64);

impl Timestamp {
    /// Cuts a moment to microseconds.
    pub fn new(moment: DateTime<Utc>) -> Self {
        let cut = moment.duration_trunc(TimeDelta::microseconds(1));
        Self(cut.unwrap_or_else(|_| moment.trunc_subsecs(6)))
    }

    /// The moment a number of microseconds after 1970-01-01T00:00:00Z.
    ///
    /// # Errors
    ///
    /// [`InvalidTimestamp`] when the calendar does not reach that far.
    pub fn from_micros(micros: i64) -> Result<Self, InvalidTimestamp> {
        DateTime::from_timestamp_micros(micros)
            .map(Self)
            .ok_or(InvalidTimestamp(micros))
    }

    /// Microseconds since 1970-01-01T00:00:00Z.
    pub const fn as_micros(self) -> i64 {
        self.0.timestamp_micros()
    }

    /// The moment this many milliseconds later; the last one there is, when that is out of range.
    pub fn plus_millis(self, millis: u32) -> Self {
        let later = self.0.checked_add_signed(TimeDelta::milliseconds(i64::from(millis)));
        Self::new(later.unwrap_or(DateTime::<Utc>::MAX_UTC))
    }

    /// The moment this many milliseconds earlier; the first one there is, when that is out of range.
    pub fn minus_millis(self, millis: u32) -> Self {
        let earlier = self.0.checked_sub_signed(TimeDelta::milliseconds(i64::from(millis)));
        Self::new(earlier.unwrap_or(DateTime::<Utc>::MIN_UTC))
    }

    /// The latest moment that somebody else may have told by now. Clocks of machines that work together are less than an hour
    /// apart; what lies further ahead was told by a clock that has been set back since.
    pub fn latest_elsewhere(self) -> Self {
        const AN_HOUR_MS: u32 = 3_600_000;
        self.plus_millis(AN_HOUR_MS)
    }

    /// The moment as chrono has it.
    pub const fn as_datetime(self) -> DateTime<Utc> {
        self.0
    }
}

/// As the API writes dates: `2014-05-22T12:10:05.596769+00:00`.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (date, time) = (self.0.date_naive(), self.0.time());
        let Ok(year @ 0..=9999) = u32::try_from(date.year()) else {
            return self.0.format("%Y-%m-%dT%H:%M:%S%.6f+00:00").fmt(f);
        };
        // Lists are full of dates, and a format that is read each time takes longer than everything else about them.
        let mut text = *b"0000-00-00T00:00:00.000000+00:00";
        put(&mut text[0..4], year);
        put(&mut text[5..7], date.month());
        put(&mut text[8..10], date.day());
        put(&mut text[11..13], time.hour());
        put(&mut text[14..16], time.minute());
        put(&mut text[17..19], time.second());
        put(&mut text[20..26], time.nanosecond() / 1000 % 1_000_000);
        f.write_str(std::str::from_utf8(&text).expect("digits are ASCII"))
    }
}

/// Writes a number in decimal digits, as many as there is room for.
fn put(text: &mut [u8], mut number: u32) {
    for digit in text.iter_mut().rev() {
        *digit = b"0123456789"[(number % 10) as usize];
        number /= 10;
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeZone;

    use super::*;

    #[test]
    fn what_is_below_a_microsecond_is_dropped_when_it_is_made() {
        let precise = Utc.timestamp_opt(1_400_760_605, 596_769_999).unwrap();

        let timestamp = Timestamp::new(precise);

        assert_eq!(timestamp.to_string(), "2014-05-22T12:10:05.596769+00:00");
        assert_eq!(Timestamp::from_micros(timestamp.as_micros()), Ok(timestamp));
    }

    #[test]
    fn dates_are_written_as_chrono_writes_them() {
        for moment in [DateTime::<Utc>::MIN_UTC, DateTime::<Utc>::MAX_UTC] {
            let timestamp = Timestamp::new(moment);
            let written = timestamp.0.format("%Y-%m-%dT%H:%M:%S%.6f+00:00").to_string();
            assert_eq!(timestamp.to_string(), written);
        }
        // From the year 1 to the year 9999, in steps that hit every part of a date.
        for micros in (-62_135_596_800_000_000_i64..253_402_300_799_999_999).step_by(9_876_543_210_123_457) {
            let timestamp = Timestamp::from_micros(micros).unwrap();
            let written = timestamp.0.format("%Y-%m-%dT%H:%M:%S%.6f+00:00").to_string();
            assert_eq!(timestamp.to_string(), written);
        }
    }

    #[test]
    fn whole_seconds_keep_six_digits() {
        let timestamp = Timestamp::from_micros(0).unwrap();

        assert_eq!(timestamp.to_string(), "1970-01-01T00:00:00.000000+00:00");
    }

    #[test]
    fn moments_before_1970_round_trip() {
        let precise = Utc.timestamp_opt(-1, 1_999).unwrap();

        let timestamp = Timestamp::new(precise);

        assert_eq!(timestamp.as_micros(), -999_999);
    }

    #[test]
    fn a_moment_beyond_the_last_one_is_the_last_one_and_is_cut_too() {
        let last = Timestamp::new(DateTime::<Utc>::MAX_UTC);

        let later = last.plus_millis(u32::MAX);

        assert_eq!(later, last);
        assert_eq!(Timestamp::from_micros(later.as_micros()), Ok(later));
    }

    #[test]
    fn milliseconds_are_added_exactly() {
        let later = Timestamp::from_micros(-1).unwrap().plus_millis(u32::MAX);

        assert_eq!(later.as_micros(), 4_294_967_295_000 - 1);
    }
}
