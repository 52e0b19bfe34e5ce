//! What a salvage could not bring back.

use std::{collections::BTreeMap, fmt, ops::Range};

use thiserror::Error;

/// The bytes of a snapshot that were lost when a volume was filled with all that is whole of it. Zeros lie in their
/// place. Empty when nothing was lost.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Losses {
    ranges: Vec<Range<u64>>,
    bytes: u64,
    more: bool,
}

/// The text is no [`Losses`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("losses read <bytes>[+]:<first>-<last>,…")]
pub struct InvalidLosses;

impl Losses {
    /// How many ranges are told at most.
    pub const MAX_RANGES: usize = 64;

    /// The lost ranges in order, as far as they are told: not empty, and none touches another.
    pub fn ranges(&self) -> &[Range<u64>] {
        &self.ranges
    }

    /// How many bytes are lost, all ranges together, also those that are not told.
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Whether there are more ranges than are told.
    pub const fn has_more(&self) -> bool {
        self.more
    }

    /// Reads what [`Display`](fmt::Display) writes.
    ///
    /// # Errors
    ///
    /// [`InvalidLosses`] when it is not written so, or makes no sense.
    pub fn parse(raw: &str) -> Result<Self, InvalidLosses> {
        // `parse` alone would take a plus sign too.
        let is_number = |digits: &str| digits.bytes().all(|byte| byte.is_ascii_digit());
        let parse = |digits: &str| digits.parse::<u64>().ok().filter(|_| is_number(digits));
        let number = |digits: &str| parse(digits).ok_or(InvalidLosses);
        let (bytes, ranges) = raw.split_once(':').ok_or(InvalidLosses)?;
        let more = bytes.ends_with('+');
        let bytes = number(bytes.strip_suffix('+').unwrap_or(bytes))?;
        let ranges = ranges
            .split_terminator(',')
            .map(|range| {
                let (first, last) = range.split_once('-').ok_or(InvalidLosses)?;
                Ok(number(first)?..number(last)?.checked_add(1).ok_or(InvalidLosses)?)
            })
            .collect::<Result<Vec<_>, _>>()?;
        let told = ranges
            .iter()
            .try_fold(0_u64, |sum, range| sum.checked_add(range.end.checked_sub(range.start)?));
        let in_order = ranges.is_sorted_by(|one, next| one.end < next.start);
        let adds_up = told.is_some_and(|told| if more { told < bytes } else { told == bytes });
        if in_order && adds_up && ranges.iter().all(|range| !range.is_empty()) && ranges.len() <= Self::MAX_RANGES {
            Ok(Self { ranges, bytes, more })
        } else {
            Err(InvalidLosses)
        }
    }
}

/// As `<bytes>:<first>-<last>,…`; with a plus sign after the bytes when there are more ranges than follow.
impl fmt::Display for Losses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}:", self.bytes, if self.more { "+" } else { "" })?;
        for (number, range) in self.ranges.iter().enumerate() {
            let comma = if number == 0 { "" } else { "," };
            write!(f, "{comma}{}-{}", range.start, range.end - 1)?;
        }
        Ok(())
    }
}

/// Collects [`Losses`] while they are met, in any order. Its memory stays bounded.
#[derive(Clone, Debug, Default)]
pub struct LossCollector {
    /// Start and end of each range.
    ranges: BTreeMap<u64, u64>,
    bytes: u64,
    more: bool,
}

impl LossCollector {
    /// How many ranges are held at once, so that those that come in another order can still become one.
    const MAX_HELD: usize = 16 * Losses::MAX_RANGES;

    /// Notes a range that none of those noted before overlaps.
    pub fn note(&mut self, lost: Range<u64>) {
        if lost.is_empty() {
            return;
        }
        let Range { mut start, mut end } = lost;
        self.bytes += end - start;
        if let Some((before, _)) = self.ranges.range(..start).next_back().filter(|(_, to)| **to == start) {
            start = *before;
        }
        if let Some(after) = self.ranges.remove(&end) {
            end = after;
        }
        self.ranges.insert(start, end);
        if self.ranges.len() > Self::MAX_HELD {
            self.ranges.pop_last();
            self.more = true;
        }
    }

    /// All that was noted.
    pub fn finish(self) -> Losses {
        let more = self.more || self.ranges.len() > Losses::MAX_RANGES;
        let ranges = self.ranges.into_iter().take(Losses::MAX_RANGES);
        Losses {
            ranges: ranges.map(|(start, end)| start..end).collect(),
            bytes: self.bytes,
            more,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn losses(ranges: impl IntoIterator<Item = Range<u64>>) -> Losses {
        let mut collector = LossCollector::default();
        ranges.into_iter().for_each(|range| collector.note(range));
        collector.finish()
    }

    #[test]
    fn ranges_that_touch_become_one_in_whatever_order_they_come() {
        for order in [[0, 1, 2, 3], [3, 2, 1, 0], [2, 0, 3, 1], [0, 2, 1, 3], [1, 3, 0, 2]] {
            let found = losses(order.map(|n| n * 10..n * 10 + 10).into_iter().chain([0..0, 50..60]));

            assert_eq!(found.ranges(), [0..40, 50..60]);
            assert_eq!((found.bytes(), found.has_more()), (50, false));
        }
    }

    #[test]
    fn more_ranges_than_are_told_are_counted_and_said_to_be_there() {
        for count in [65_u64, 1024, 1025, 5000] {
            let found = losses((0..count).rev().map(|n| n * 10..n * 10 + 5));

            let first: Vec<_> = (0..64).map(|n| n * 10..n * 10 + 5).collect();
            assert_eq!(found.ranges(), first);
            assert_eq!((found.bytes(), found.has_more()), (count * 5, true));
        }
        assert!(!losses((0..64).map(|n| n * 10..n * 10 + 5)).has_more());
    }

    #[test]
    fn what_is_written_is_read_back() {
        let many = losses((0..100).map(|n| n * 10..n * 10 + 5));
        let two = losses([0..512, 1024..4096]);

        assert_eq!(Losses::default().to_string(), "0:");
        assert_eq!(two.to_string(), "3584:0-511,1024-4095");
        assert!(many.to_string().starts_with("500+:0-4,10-14,"));
        for losses in [Losses::default(), two, many, losses([1..2, u64::MAX - 1..u64::MAX])] {
            assert_eq!(Losses::parse(&losses.to_string()), Ok(losses));
        }
    }

    #[test]
    fn only_what_makes_sense_is_read() {
        for raw in [
            "",
            ":",
            "x:",
            "0",
            "1:",
            "0:0-0",
            "512:0-512",
            "512+:0-511",
            "5:4-0",
            "10:0-4,5-9",
            "10:10-14,0-4",
            "+5:0-4",
            "5:0-4;",
            "0+:",
            "5:+0-4",
            "5:0-4,,",
        ] {
            assert_eq!(Losses::parse(raw), Err(InvalidLosses), "{raw:?}");
        }
    }
}
