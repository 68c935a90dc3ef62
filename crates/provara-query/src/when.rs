//! Moments as people write them: dates, times, and ages such as `7d`.

use jiff::civil::{Date, DateTime};
use provara_core::time::Timestamp;

/// A text is neither a time nor an age.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "'{0}' is no time: write a date (2026-01-31), a time in UTC (2026-01-31T12:00:00Z) or an age (90s, 30m, 36h, 7d, 2w)"
)]
pub struct WhenError(pub String);

/// The moment that a text means, at `now`. A date is its beginning in UTC, a time without an offset is UTC,
/// and an age is that long before `now`.
///
/// # Errors
/// The text is none of these, or means a moment outside of the years 0000 to 9999.
pub fn when(text: &str, now: Timestamp) -> Result<Timestamp, WhenError> {
    let found = text
        .parse()
        .ok()
        .or_else(|| age(text, now))
        .or_else(|| calendar(text));
    found.ok_or_else(|| WhenError(text.to_owned()))
}

/// `90s`, `30m`, `36h`, `7d`, `2w`.
fn age(text: &str, now: Timestamp) -> Option<Timestamp> {
    let unit = text.chars().last()?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        'd' => 86_400,
        'w' => 7 * 86_400,
        _ => return None,
    };
    let count = &text[..text.len() - 1];
    if !count.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let micros = count
        .parse::<i64>()
        .ok()?
        .checked_mul(seconds)?
        .checked_mul(1_000_000)?;
    Timestamp::from_unix_micros(now.unix_micros().checked_sub(micros)?)
}

/// A date, a time without an offset, or one with another offset than UTC's.
fn calendar(text: &str) -> Option<Timestamp> {
    // The parser takes other forms too; these are the ones that mean one thing.
    let shape = |text: &str| {
        let bytes = text.as_bytes();
        bytes.len() >= 10
            && bytes.iter().take(10).enumerate().all(|(at, b)| match at {
                4 | 7 => *b == b'-',
                _ => b.is_ascii_digit(),
            })
            && matches!(bytes.get(10), None | Some(b'T' | b' '))
            && !text.contains('[')
    };
    if !shape(text) {
        return None;
    }
    if text.len() == 10 {
        let date: Date = text.parse().ok()?;
        return format!("{date}T00:00:00Z").parse().ok();
    }
    if let Ok(moment) = text.parse::<jiff::Timestamp>() {
        return Timestamp::from_unix_micros(moment.as_microsecond());
    }
    let time: DateTime = text.parse().ok()?;
    format!("{time}Z").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_times_and_ages() {
        let now: Timestamp = "2026-03-08T12:00:00Z".parse().unwrap();
        for (text, expected) in [
            ("2026-01-31", "2026-01-31T00:00:00.000000Z"),
            ("2026-01-31T12:30", "2026-01-31T12:30:00.000000Z"),
            ("2026-01-31 12:30:01", "2026-01-31T12:30:01.000000Z"),
            ("2026-01-31T12:30:01.5Z", "2026-01-31T12:30:01.500000Z"),
            ("2026-01-31T12:30:00+02:00", "2026-01-31T10:30:00.000000Z"),
            ("90s", "2026-03-08T11:58:30.000000Z"),
            ("30m", "2026-03-08T11:30:00.000000Z"),
            ("36h", "2026-03-07T00:00:00.000000Z"),
            ("7d", "2026-03-01T12:00:00.000000Z"),
            ("2w", "2026-02-22T12:00:00.000000Z"),
            ("0d", "2026-03-08T12:00:00.000000Z"),
        ] {
            assert_eq!(when(text, now).unwrap().to_string(), expected, "{text}");
        }
    }

    #[test]
    fn everything_else_is_refused() {
        let now: Timestamp = "2026-03-08T12:00:00Z".parse().unwrap();
        for text in [
            "",
            "7",
            "d",
            "-7d",
            "+7d",
            "7 d",
            "1.5d",
            "7days",
            "7é",
            "999999999999999999d",
            "99999999w",
            "2026",
            "2026-02-30",
            "2026-13-01",
            "20260131",
            "31.01.2026",
            "2026-01-31T25:00",
            "2026-01-31T12:00:00Z[UTC]",
            "2026-01-31T12:00 Europe/Berlin",
            "yesterday",
        ] {
            assert!(when(text, now).is_err(), "{text}");
        }
    }
}
