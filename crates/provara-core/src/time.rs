//! Timestamps of events: RFC 3339, UTC.

use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use jiff::SignedDuration;
use jiff::civil::{DateTime, date};
use serde::{Serialize, Serializer};

/// A moment in UTC with up to nanoseconds, in the years 0000 to 9999 as RFC 3339 has them; written
/// with microseconds and `Z` (spec/VAULT_FORMAT, section 3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(DateTime);

const EPOCH: DateTime = date(1970, 1, 1).at(0, 0, 0, 0);

const NANOS: i128 = 1_000_000_000;

/// A text is not an RFC 3339 timestamp in UTC (`PROVARA_E105`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an RFC 3339 timestamp in UTC (as in 2026-01-31T12:00:00.000000Z)")]
pub struct TimestampError;

impl Timestamp {
    /// The moment `micros` microseconds after 1970-01-01T00:00:00Z; `None` outside the years 0000 to
    /// 9999.
    #[must_use]
    pub fn from_unix_micros(micros: i64) -> Option<Self> {
        Self::after_epoch(SignedDuration::from_micros(micros))
    }

    /// Microseconds since 1970-01-01T00:00:00Z, rounded towards it.
    #[must_use]
    pub fn unix_micros(self) -> i64 {
        let micros = self.0.duration_since(EPOCH).as_micros();
        i64::try_from(micros).expect("ten thousand years are fewer than 2^63 microseconds")
    }

    /// Nanoseconds since 1970-01-01T00:00:00Z: all that a timestamp that was read can have.
    pub(crate) fn unix_nanos(self) -> i128 {
        self.0.duration_since(EPOCH).as_nanos()
    }

    pub(crate) fn from_unix_nanos(nanos: i128) -> Option<Self> {
        let seconds = i64::try_from(nanos.div_euclid(NANOS)).ok()?;
        let rest = i32::try_from(nanos.rem_euclid(NANOS)).ok()?;
        Self::after_epoch(SignedDuration::new(seconds, rest))
    }

    fn after_epoch(duration: SignedDuration) -> Option<Self> {
        let time = EPOCH.checked_add(duration).ok()?;
        (time.year() >= 0).then_some(Self(time))
    }
}

impl FromStr for Timestamp {
    type Err = TimestampError;

    /// Takes `YYYY-MM-DDThh:mm:ss[.fraction]` with `Z` or `+00:00`. RFC 3339's lower-case `t` and
    /// `z` and its other zero offsets are not accepted: no Profile A tool writes them. A leap second
    /// (`23:59:60`, at no other time) is read as the second before it.
    fn from_str(text: &str) -> Result<Self, TimestampError> {
        let local = text
            .strip_suffix('Z')
            .or_else(|| text.strip_suffix("+00:00"))
            .ok_or(TimestampError)?;
        let clock = local.as_bytes();
        let digits = |range: &[u8]| range.iter().all(u8::is_ascii_digit);
        let shape = clock.len() >= 19
            && clock
                .iter()
                .enumerate()
                .take(19)
                .all(|(at, byte)| match at {
                    4 | 7 => *byte == b'-',
                    10 => *byte == b'T',
                    13 | 16 => *byte == b':',
                    _ => byte.is_ascii_digit(),
                })
            && (clock.len() == 19
                || (clock[19] == b'.'
                    && (2..=10).contains(&(clock.len() - 19))
                    && digits(&clock[20..])));
        // The parser takes second 60 of every minute.
        let leap = shape && &clock[17..19] == b"60" && &clock[11..16] != b"23:59";
        if !shape || leap {
            return Err(TimestampError);
        }
        match &clock[17..19] {
            b"60" => local.parse().map_err(|_| TimestampError),
            _ => civil(clock).ok_or(TimestampError),
        }
        .map(Self)
    }
}

/// The time on the clock `YYYY-MM-DDThh:mm:ss[.fraction]`, whose digits are digits.
fn civil(clock: &[u8]) -> Option<DateTime> {
    let number = |range: Range<usize>| {
        let digits = clock.get(range).unwrap_or_default();
        digits
            .iter()
            .fold(0, |sum, digit| sum * 10 + i32::from(digit - b'0'))
    };
    let two = |at| i8::try_from(number(at..at + 2)).ok();
    let fraction = clock.len().saturating_sub(20);
    let nanos = number(20..clock.len()) * 10_i32.pow(9 - fraction.min(9) as u32);
    let year = i16::try_from(number(0..4)).ok()?;
    DateTime::new(year, two(5)?, two(8)?, two(11)?, two(14)?, two(17)?, nanos).ok()
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.6}Z", self.0)
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_both_forms_and_writes_one() {
        for text in [
            "2026-11-22T08:38:38.001228Z",
            "2026-11-22T08:38:38.001228+00:00",
        ] {
            let time: Timestamp = text.parse().unwrap();
            assert_eq!(time.to_string(), "2026-11-22T08:38:38.001228Z");
        }
        let whole: Timestamp = "2026-11-22T08:38:38Z".parse().unwrap();
        assert_eq!(whole.to_string(), "2026-11-22T08:38:38.000000Z");
    }

    #[test]
    fn every_second_from_year_0000_to_9999_is_one() {
        for text in [
            "0000-01-01T00:00:00.000000Z",
            "0000-02-29T12:00:00.000000Z",
            "1969-12-31T23:59:59.999999Z",
            "9999-12-30T22:00:01.000000Z",
            "9999-12-31T23:59:59.999999Z",
        ] {
            let time: Timestamp = text.parse().unwrap();
            assert_eq!(time.to_string(), text);
            assert_eq!(
                Timestamp::from_unix_micros(time.unix_micros()),
                Some(time),
                "{text}"
            );
            assert_eq!(Timestamp::from_unix_nanos(time.unix_nanos()), Some(time));
        }
        let last: Timestamp = "9999-12-31T23:59:59.999999999Z".parse().unwrap();
        assert_eq!(Timestamp::from_unix_nanos(last.unix_nanos() + 1), None);
        let first: Timestamp = "0000-01-01T00:00:00Z".parse().unwrap();
        assert_eq!(Timestamp::from_unix_micros(first.unix_micros() - 1), None);
        assert_eq!(Timestamp::from_unix_nanos(i128::MAX), None);
    }

    #[test]
    fn a_clock_is_read_as_the_library_reads_it() {
        for year in ["0000", "1900", "2000", "2023", "2024", "9999"] {
            for month in 0..=13 {
                for day in [0, 1, 28, 29, 30, 31, 32] {
                    for (time, fraction) in [
                        ("00:00:00", ""),
                        ("23:59:59", ".999999999"),
                        ("24:00:00", ""),
                        ("12:60:00", ".1"),
                        ("12:34:56", ".000001"),
                        ("07:08:09", ".120034"),
                        ("12:34:61", ""),
                        ("99:99:99", ".5"),
                    ] {
                        let clock = format!("{year}-{month:02}-{day:02}T{time}{fraction}");
                        assert_eq!(civil(clock.as_bytes()), clock.parse().ok(), "{clock}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_leap_second_ends_a_day() {
        let leap: Timestamp = "2016-12-31T23:59:60Z".parse().unwrap();
        assert_eq!(leap.to_string(), "2016-12-31T23:59:59.000000Z");
    }

    #[test]
    fn refuses_everything_else() {
        for text in [
            "",
            "2026-11-22",
            "2026-11-22T08:38:38",
            "2026-11-22 08:38:38Z",
            "2026-11-22T08:38:38+01:00",
            "2026-13-22T08:38:38Z",
            "2026-02-30T08:38:38Z",
            "2026-11-22T24:00:00Z",
            "2026-11-22T08:38:60Z",
            "2026-11-22T08:59:60Z",
            "2026-11-22T23:59:61Z",
            "-001-11-22T08:38:38Z",
            "2026-11-22T08:38:38.Z",
            "2026-11-22t08:38:38z",
            "2026-11-22T08:38:38Z[UTC]",
            "+002026-11-22T08:38:38Z",
            "２026-11-22T08:38:38Z",
        ] {
            assert_eq!(text.parse::<Timestamp>(), Err(TimestampError), "{text}");
        }
    }
}
