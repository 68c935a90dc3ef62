//! Numbers compared by what their tokens say, to the last digit.

use std::cmp::Ordering;

/// A decimal: 0.d₁d₂d₃… × 10^exponent, without zeros at either end of its digits.
struct Decimal<'t> {
    negative: bool,
    /// The digits, among which one point may stand.
    digits: &'t [u8],
    exponent: i64,
}

/// Compares two JSON number tokens of any length.
pub(crate) fn compare(a: &str, b: &str) -> Ordering {
    // Most numbers are short integers.
    if a.len() <= 18
        && b.len() <= 18
        && let (Ok(a), Ok(b)) = (a.parse::<i64>(), b.parse::<i64>())
    {
        return a.cmp(&b);
    }
    match (decimal(a), decimal(b)) {
        (None, None) => Ordering::Equal,
        (None, Some(b)) => sign(b.negative).reverse(),
        (Some(a), None) => sign(a.negative),
        (Some(a), Some(b)) if a.negative != b.negative => sign(a.negative),
        (Some(a), Some(b)) => {
            let size = a
                .exponent
                .cmp(&b.exponent)
                .then_with(|| digits(a.digits).cmp(digits(b.digits)));
            if a.negative { size.reverse() } else { size }
        }
    }
}

/// How a number of this sign compares with zero.
fn sign(negative: bool) -> Ordering {
    if negative {
        Ordering::Less
    } else {
        Ordering::Greater
    }
}

fn digits(text: &[u8]) -> impl Iterator<Item = u8> + '_ {
    text.iter().copied().filter(u8::is_ascii_digit)
}

/// Reads a number token; `None` is zero, however it is written.
fn decimal(token: &str) -> Option<Decimal<'_>> {
    let unsigned = token.strip_prefix('-');
    let negative = unsigned.is_some();
    let unsigned = unsigned.unwrap_or(token).as_bytes();
    let end = unsigned.iter().position(|b| matches!(b, b'e' | b'E'));
    let (mantissa, power) = match end {
        Some(at) => (&unsigned[..at], saturating(&unsigned[at + 1..])),
        None => (unsigned, 0),
    };
    let significant = |b: &u8| matches!(b, b'1'..=b'9');
    let first = mantissa.iter().position(significant)?;
    let last = mantissa.iter().rposition(significant)?;
    let point = mantissa
        .iter()
        .position(|b| *b == b'.')
        .unwrap_or(mantissa.len());
    // The power of ten that the first digit has, after a point before it.
    let place = if first < point {
        (point - first) as i64
    } else {
        -((first - point - 1) as i64)
    };
    Some(Decimal {
        negative,
        digits: &mantissa[first..=last],
        exponent: power.saturating_add(place),
    })
}

/// An exponent; one that does not fit is as large as can be.
fn saturating(text: &[u8]) -> i64 {
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        rest => (false, rest),
    };
    // Half of the range, so that the place of a digit can be added without a carry.
    let size = digits.iter().fold(0_i64, |size, b| {
        let next = size.saturating_mul(10).saturating_add(i64::from(b - b'0'));
        next.min(i64::MAX / 2)
    });
    if negative { -size } else { size }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_count_and_not_their_spelling() {
        let rising = [
            "-1e999999999999999999999",
            "-9007199254740993.5",
            "-9007199254740993",
            "-1.5",
            "-1e-400",
            "0",
            "1e-999999999999999999999",
            "1e-400",
            "0.1",
            "0.1000000000000000055511151231257827",
            "1",
            "9.99",
            "10",
            "900",
            "9007199254740992",
            "9007199254740993",
            "9007199254740993.5",
            "18446744073709551616",
            "100000000000000000000.5",
            "1e999999999999999999999",
        ];
        for (at, a) in rising.iter().enumerate() {
            for (other, b) in rising.iter().enumerate() {
                assert_eq!(compare(a, b), at.cmp(&other), "{a} {b}");
            }
        }
        for (a, b) in [
            ("0", "-0.0"),
            ("0e5", "-0"),
            ("1", "1.000"),
            ("100", "1e2"),
            ("0.001", "1e-3"),
            ("1e20", "100000000000000000000"),
            ("12.50", "1.25E+1"),
        ] {
            assert_eq!(compare(a, b), Ordering::Equal, "{a} {b}");
        }
    }
}
