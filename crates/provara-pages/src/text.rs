//! Numbers and times, as the page has them.

/// A number with a comma between every three digits.
#[must_use]
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A number and what it counts.
pub(crate) fn counted(number: u64, what: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{} {what}{plural}", grouped(number))
}

/// As [`counted`], after "There".
pub(crate) fn there_are(number: u64, what: &str) -> String {
    let verb = if number == 1 { "is" } else { "are" };
    format!("{verb} {}", counted(number, what))
}

/// As [`counted`], with a verb in the past.
pub(crate) fn were(number: u64, what: &str) -> String {
    let verb = if number == 1 { "was" } else { "were" };
    format!("{} {verb}", counted(number, what))
}

/// A moment that is written as RFC 3339 in UTC (`2026-11-22T08:38:38.001228Z`), to the second, as people write it. Another
/// text stays as it is.
#[must_use]
pub fn moment(text: &str) -> String {
    let shape = |at: usize, byte| text.as_bytes().get(at) == Some(&byte);
    let utc = text.ends_with('Z') || text.ends_with("+00:00");
    match (text.get(..10), text.get(11..19)) {
        (Some(day), Some(time)) if utc && shape(10, b'T') => format!("{day} {time} UTC"),
        _ => text.to_owned(),
    }
}

/// What templates print numbers and moments with.
#[allow(
    unreachable_pub,
    reason = "what the attribute makes of a function is `pub`"
)]
pub(crate) mod filters {
    use askama::Values;

    #[askama::filter_fn]
    pub(crate) fn grouped(number: &u64, _: &dyn Values) -> askama::Result<String> {
        Ok(super::grouped(*number))
    }

    #[askama::filter_fn]
    pub(crate) fn moment(text: &str, _: &dyn Values) -> askama::Result<String> {
        Ok(super::moment(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_moments() {
        let shown: Vec<_> = [0, 7, 999, 1_000, 65_536, 1_000_000].map(grouped).into();
        assert_eq!(shown, ["0", "7", "999", "1,000", "65,536", "1,000,000"]);
        assert_eq!(counted(1, "event"), "1 event");
        assert_eq!(were(2, "fault"), "2 faults were");
        assert_eq!(
            moment("2026-11-22T08:38:38.001228Z"),
            "2026-11-22 08:38:38 UTC"
        );
        for other in [
            "",
            "yesterday",
            "é",
            "2026-11-22T08:38:38",
            "2026-11-22t08:38:38Z",
        ] {
            assert_eq!(moment(other), other);
        }
    }
}
