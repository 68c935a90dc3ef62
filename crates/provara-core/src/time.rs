//! Timestamps of events: RFC 3339, UTC.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

/// A moment in UTC with microseconds; written with `Z` (spec/VAULT_FORMAT, section 3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(jiff::Timestamp);

/// A text is not an RFC 3339 timestamp in UTC (`PROVARA_E105`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an RFC 3339 timestamp in UTC (as in 2026-01-31T12:00:00.000000Z)")]
pub struct TimestampError;

impl Timestamp {
    /// The moment `micros` microseconds after 1970-01-01T00:00:00Z; `None` beyond year 9999.
    #[must_use]
    pub fn from_unix_micros(micros: i64) -> Option<Self> {
        jiff::Timestamp::from_microsecond(micros).ok().map(Self)
    }

    /// Microseconds since 1970-01-01T00:00:00Z.
    #[must_use]
    pub fn unix_micros(self) -> i64 {
        self.0.as_microsecond()
    }
}

impl Timestamp {
    /// Nanoseconds since 1970-01-01T00:00:00Z: all that a timestamp that was read can have.
    pub(crate) fn unix_nanos(self) -> i128 {
        self.0.as_nanosecond()
    }

    pub(crate) fn from_unix_nanos(nanos: i128) -> Option<Self> {
        jiff::Timestamp::from_nanosecond(nanos).ok().map(Self)
    }
}

impl FromStr for Timestamp {
    type Err = TimestampError;

    /// Takes `YYYY-MM-DDThh:mm:ss[.fraction]` with `Z` or `+00:00`. RFC 3339's lower-case `t` and
    /// `z` and its other zero offsets are not accepted: no Profile A tool writes them.
    fn from_str(text: &str) -> Result<Self, TimestampError> {
        let clock = text
            .strip_suffix('Z')
            .or_else(|| text.strip_suffix("+00:00"));
        let clock = clock.ok_or(TimestampError)?.as_bytes();
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
        if !shape {
            return Err(TimestampError);
        }
        text.parse().map(Self).map_err(|_| TimestampError)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.6}", self.0)
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
    fn refuses_everything_else() {
        for text in [
            "",
            "2026-11-22",
            "2026-11-22T08:38:38",
            "2026-11-22 08:38:38Z",
            "2026-11-22T08:38:38+01:00",
            "2026-13-22T08:38:38Z",
            "2026-02-30T08:38:38Z",
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
