//! The exact decimal value of a JSON number, and that of a binary64.
//!
//! What a number says is compared here digit by digit. The work is linear in the length of the token,
//! whatever its exponent says: `1e-999999999` is as cheap as `1e-9`.

use std::cmp::Ordering;

/// The most significant digits that the exact decimal value of a binary64 has (2^-1074 times an odd
/// number of 53 bits).
const MAX_DIGITS: usize = 767;

/// The largest exponent that is told from others, far beyond what the length of a text can make up for.
const MAX_EXPONENT: i64 = 1 << 60;

/// The value of a number in decimal: ± d.ddd × 10^n.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Decimal {
    negative: bool,
    /// The significant digits, without zeros before or behind them; none for 0. The first
    /// [`MAX_DIGITS`] and one more, if there are as many.
    digits: Vec<u8>,
    /// How many there are.
    count: usize,
    /// The exponent of ten of the first digit; 0 for 0.
    first: i64,
}

impl Decimal {
    /// The value of `token`, which follows the grammar of JSON numbers.
    pub(crate) fn of(token: &str) -> Self {
        let (negative, text) = match token.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, token),
        };
        let (mantissa, exponent) = match text.find(['e', 'E']) {
            Some(at) => (&text[..at], exponent(&text[at + 1..])),
            None => (text, 0),
        };
        let point = mantissa.find('.').unwrap_or(mantissa.len());
        let digits = || mantissa.bytes().filter(u8::is_ascii_digit);
        let zeros = digits().take_while(|digit| *digit == b'0').count();
        let length = digits().count();
        let behind = mantissa
            .bytes()
            .rev()
            .filter(u8::is_ascii_digit)
            .take_while(|digit| *digit == b'0')
            .count();
        if zeros == length {
            return Self {
                negative,
                digits: Vec::new(),
                count: 0,
                first: 0,
            };
        }
        let count = length - zeros - behind;
        Self {
            negative,
            digits: digits()
                .skip(zeros)
                .take(count.min(MAX_DIGITS + 1))
                .collect(),
            count,
            first: exponent + signed(point) - 1 - signed(zeros),
        }
    }

    /// The exact value of a finite binary64.
    pub(crate) fn of_binary64(value: f64) -> Self {
        debug_assert!(value.is_finite());
        // As many digits as there can be: nothing is rounded.
        Self::of(&format!("{value:.*e}", MAX_DIGITS - 1))
    }

    pub(crate) fn is_zero(&self) -> bool {
        self.count == 0
    }

    /// Whether it is an integer.
    pub(crate) fn is_integer(&self) -> bool {
        self.first - signed(self.count) + 1 >= 0
    }

    /// Whether it is an integer beyond ±(2^53-1).
    pub(crate) fn is_large_integer(&self) -> bool {
        /// 2^53, of 16 digits.
        const LIMIT: &[u8] = b"9007199254740992";
        let length = signed(LIMIT.len());
        self.is_integer()
            && match (self.first + 1).cmp(&length) {
                Ordering::Less => false,
                Ordering::Greater => true,
                // Zeros behind are not there; a shorter text that is the start of another is less.
                Ordering::Equal => self.digits.as_slice() >= LIMIT,
            }
    }

    /// The nearest binary64, of two that are equally near the even one; infinite beyond the range.
    pub(crate) fn nearest(&self) -> f64 {
        let sign = if self.negative { "-" } else { "" };
        let Some((first, rest)) = self.digits.split_first() else {
            return if self.negative { -0.0 } else { 0.0 };
        };
        let text = |digits: &[u8]| String::from_utf8_lossy(digits).into_owned();
        // Where digits are left out, the last that is there is no 0 in effect: no half is taken for
        // exact. Beyond these exponents it makes no difference.
        let more = if self.count > self.digits.len() {
            "1"
        } else {
            ""
        };
        let exponent = self.first.clamp(-9999, 9999);
        let token = format!("{sign}{}.{}{more}0e{exponent}", text(&[*first]), text(rest));
        token.parse().expect("a number in Rust's grammar")
    }

    /// Whether `binary`, an exact binary64, rounded to as many significant digits as this has, is this.
    /// Of two values that are equally near, the one with the even last digit is, as everywhere in IEEE 754.
    pub(crate) fn is_rounding_of(&self, binary: &Self) -> bool {
        if self.negative != binary.negative || self.count > MAX_DIGITS {
            return false;
        }
        let Some((start, rest)) = binary.digits.split_at_checked(self.count) else {
            return self == binary;
        };
        let even = start.last().is_none_or(|digit| digit % 2 == 0);
        let up = match rest.cmp(b"5") {
            Ordering::Less => false,
            Ordering::Equal => !even,
            Ordering::Greater => true,
        };
        if up {
            // Where a carry leaves zeros behind, it is a value of fewer digits, and not this.
            let (digits, first) = one_more(start, binary.first);
            return self.first == first && self.digits == digits;
        }
        self.first == binary.first && self.digits == start
    }
}

/// The digits with one added to the last of them, and the exponent of the first.
fn one_more(digits: &[u8], first: i64) -> (Vec<u8>, i64) {
    let mut digits = digits.to_vec();
    for digit in digits.iter_mut().rev() {
        if *digit < b'9' {
            *digit += 1;
            return (digits, first);
        }
        *digit = b'0';
    }
    digits.insert(0, b'1');
    (digits, first + 1)
}

/// An exponent with its sign; one that no text can make up for stays one.
fn exponent(text: &str) -> i64 {
    let (negative, digits) = match text.as_bytes() {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] => (false, digits),
        digits => (false, digits),
    };
    let value = digits.iter().fold(0, |value: i64, digit| {
        (value.min(MAX_EXPONENT / 16) * 10 + i64::from(digit - b'0')).min(MAX_EXPONENT)
    });
    if negative { -value } else { value }
}

/// A length. No text has 2^63 bytes.
fn signed(length: usize) -> i64 {
    i64::try_from(length).unwrap_or(MAX_EXPONENT)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(token: &str) -> (bool, String, i64) {
        let decimal = Decimal::of(token);
        let digits = String::from_utf8(decimal.digits).unwrap();
        (decimal.negative, digits, decimal.first)
    }

    #[test]
    fn a_value_does_not_depend_on_its_spelling() {
        for token in ["0", "-0", "0.000", "0e999999999999999999999", "0E-5"] {
            assert!(Decimal::of(token).is_zero(), "{token}");
        }
        for token in ["12.5", "1.25e1", "0.0125E+3", "125e-1", "12500e-3", "12.50"] {
            assert_eq!(parts(token), (false, "125".into(), 1), "{token}");
        }
        assert_eq!(parts("-0.001"), (true, "1".into(), -3));
        // More zeros than a careless reader counts.
        let far = format!("0.{}1e700001", "0".repeat(700_000));
        assert_eq!(Decimal::of(&far), Decimal::of("1"));
        assert_eq!(Decimal::of(&far).nearest(), 1.0);
        let far = format!("1{}e-700000", "0".repeat(700_000));
        assert_eq!(Decimal::of(&far).nearest(), 1.0);
    }

    #[test]
    fn an_exponent_of_any_length_costs_nothing_and_is_no_other() {
        let nines = "9".repeat(100_000);
        assert_eq!(Decimal::of(&format!("1e-{nines}")).nearest(), 0.0);
        assert_eq!(
            Decimal::of(&format!("-1e{nines}")).nearest(),
            f64::NEG_INFINITY
        );
        assert_eq!(Decimal::of("1e-999999999").nearest(), 0.0);
        assert!(!Decimal::of("1e-999999999").is_zero());
        assert!(!Decimal::of("1e-999999999").is_integer());
        assert!(Decimal::of("1e999999999").is_large_integer());
    }

    #[test]
    fn integers() {
        for (token, integer, large) in [
            ("0", true, false),
            ("0.5", false, false),
            ("12.50e1", true, false),
            ("12.5e0", false, false),
            ("9007199254740991", true, false),
            ("9007199254740991.5", false, false),
            ("9007199254740992", true, true),
            ("-9007199254740992", true, true),
            ("900719925474099.2e1", true, true),
            ("9007199254740993.0", true, true),
            ("9007199254740992.5", false, false),
            ("9007199254740990", true, false),
            ("9007199254740990.0001", false, false),
            ("9100000000000000", true, true),
            ("9e15", true, false),
            ("1e16", true, true),
            ("1e300", true, true),
        ] {
            let decimal = Decimal::of(token);
            assert_eq!(decimal.is_integer(), integer, "{token}");
            assert_eq!(decimal.is_large_integer(), large, "{token}");
        }
    }

    #[test]
    fn the_exact_value_of_a_binary64() {
        let exact = Decimal::of_binary64(0.1);
        let digits = "1000000000000000055511151231257827021181583404541015625";
        assert_eq!(exact, Decimal::of(&format!("0.{digits}")));
        // The largest number of digits that there is.
        let most = f64::from_bits((1 << 53) - 1);
        assert_eq!(Decimal::of_binary64(most).count, MAX_DIGITS);
        assert_eq!(Decimal::of_binary64(5e-324).count, 751);
        assert_eq!(Decimal::of_binary64(-2.0), Decimal::of("-2"));
        assert!(Decimal::of_binary64(-0.0).is_zero());
    }

    #[test]
    fn a_long_text_is_read_to_its_end() {
        // Half a unit of 1.0, and a little more a thousand digits later.
        let half = "1.00000000000000011102230246251565404236316680908203125";
        assert_eq!(Decimal::of(half).nearest(), 1.0);
        let more = format!("{half}{}1", "0".repeat(1000));
        assert_eq!(Decimal::of(&more).nearest(), 1.0 + f64::EPSILON);
    }

    #[test]
    fn roundings() {
        for (token, value, is) in [
            ("0.1", "0.1", true),
            ("0.10000000000000001", "0.1", true),
            ("0.100000000000000006", "0.1", true),
            (
                "0.1000000000000000055511151231257827021181583404541015625",
                "0.1",
                true,
            ),
            ("0.10000000000000001000", "0.1", true),
            ("0.10000000000000000", "0.1", true),
            ("0.100000000000000005", "0.1", false),
            ("-0.1", "0.1", false),
            ("4.9e-324", "5e-324", true),
            ("4e-324", "5e-324", false),
            ("12345678901234567.89", "12345678901234568.0", false),
            // Equally near to both.
            ("70368744177664.01562", "70368744177664.015625", true),
            ("70368744177664.01563", "70368744177664.015625", false),
            ("10000000000000.687", "10000000000000.6875", false),
            ("10000000000000.688", "10000000000000.6875", true),
            ("70368744177664.01561", "70368744177664.015625", false),
        ] {
            let binary = Decimal::of_binary64(value.parse().unwrap());
            assert_eq!(Decimal::of(token).is_rounding_of(&binary), is, "{token}");
        }
    }
}
