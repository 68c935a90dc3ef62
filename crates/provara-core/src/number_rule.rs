//! Which numbers an event takes, and how they are then spelled: one rule, whatever the spelling in
//! which a number arrives (spec/VAULT_FORMAT, section 2).
//!
//! D is the decimal value of the number as it was written, d the nearest binary64 and s the text of d in
//! RFC 8785. The number is taken, and s stands in the event, if d is finite, d is not 0 unless D is, and
//!
//! - s says D; or
//! - D is no integer, and d rounded to as many significant digits as D has is D, which is what programs
//!   print that do not look for the shortest text (`%.17g`). Of two values equally near the even one counts.
//!
//! Everything else is refused: it would be changed. So what was taken once is taken again and gives the
//! same bytes, for s says s.

use std::borrow::Cow;
use std::ops::AddAssign;

use crate::decimal::Decimal;
use crate::json::is_integer_token;
use crate::number::es_number;

/// How many digits an integer has at most that is always below 2^53.
const SAFE_DIGITS: usize = 15;

/// A number as it stands in an event: its token is in the form of RFC 8785, and says what was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventNumber<'t> {
    token: Cow<'t, str>,
    spelling: Spelling,
}

/// What became of the way in which a number was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spelling {
    /// The event says the same value.
    Same,
    /// The event has fewer digits, which are read as the same binary64.
    Shorter,
    /// It was written as an integer beyond ±(2^53-1), and is read as a binary64, which is equal to it.
    LargeInteger,
}

/// Why a number is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NumberFault {
    /// It would become another number.
    #[error("the nearest that a log can hold (a binary64) is {nearest}")]
    Changed {
        /// Which.
        nearest: String,
    },
    /// No finite binary64 is near it.
    #[error("it is beyond the range of what a log can hold (a binary64)")]
    OutOfRange,
    /// An integer beyond ±(2^53-1), where only integers up to that may stand: in documents other than
    /// events, and as a logical clock.
    #[error("it is an integer beyond ±(2^53-1)")]
    UnsafeInteger,
}

impl<'t> EventNumber<'t> {
    /// Takes the number that `token` writes, which follows the grammar of JSON.
    ///
    /// # Errors
    /// [`NumberFault`] for one that would be changed.
    pub fn of(token: &'t str) -> Result<Self, NumberFault> {
        // Most numbers are short integers, whose form needs no conversion to be seen.
        let digits = token.strip_prefix('-').unwrap_or(token);
        if digits.len() <= SAFE_DIGITS && is_plain(digits) {
            let token = if token == "-0" { "0" } else { token };
            return Ok(Self::same(Cow::Borrowed(token)));
        }
        let value: f64 = token.parse().unwrap_or(f64::NAN);
        let mut buffer = ryu_js::Buffer::new();
        if value.is_finite() && buffer.format_finite(value) == token {
            return Ok(Self {
                spelling: spelling_of(token, digits),
                token: Cow::Borrowed(token),
            });
        }
        Self::respelled(token, digits)
    }

    /// Takes a number that is not written in the form of RFC 8785.
    fn respelled(token: &str, digits: &str) -> Result<Self, NumberFault> {
        let exact = Decimal::of(token);
        if exact.is_zero() {
            return Ok(Self::same(Cow::Borrowed("0")));
        }
        let nearest = exact.nearest();
        if !nearest.is_finite() {
            return Err(NumberFault::OutOfRange);
        }
        let text = es_number(nearest);
        if exact == Decimal::of(&text) {
            return Ok(Self {
                spelling: spelling_of(token, digits),
                token: Cow::Owned(text),
            });
        }
        let binary = Decimal::of_binary64(nearest);
        if nearest != 0.0 && !exact.is_integer() && exact.is_rounding_of(&binary) {
            return Ok(Self {
                spelling: Spelling::Shorter,
                token: Cow::Owned(text),
            });
        }
        Err(NumberFault::Changed { nearest: text })
    }

    fn same(token: Cow<'t, str>) -> Self {
        Self {
            token,
            spelling: Spelling::Same,
        }
    }

    /// The token that stands in the event.
    #[must_use]
    pub fn token(&self) -> &str {
        &self.token
    }

    /// What became of the way in which it was written.
    #[must_use]
    pub fn spelling(&self) -> Spelling {
        self.spelling
    }
}

/// Whether a token without its sign has nothing but digits.
fn is_plain(digits: &str) -> bool {
    digits.bytes().all(|byte| byte.is_ascii_digit())
}

/// How a token is spelled whose value is that of the event.
fn spelling_of(token: &str, digits: &str) -> Spelling {
    if is_plain(digits) && is_large_integer(token) {
        Spelling::LargeInteger
    } else {
        Spelling::Same
    }
}

/// Whether a number, however it is written, is an integer beyond ±(2^53-1).
#[must_use]
pub fn is_large_integer(token: &str) -> bool {
    let digits = token.strip_prefix('-').unwrap_or(token);
    if digits.len() <= SAFE_DIGITS && is_plain(digits) {
        return false;
    }
    Decimal::of(token).is_large_integer()
}

/// Whether a number is written as an integer (without fraction and exponent) and is one beyond
/// ±(2^53-1).
#[must_use]
pub fn is_large_integer_token(token: &str) -> bool {
    token.len() > SAFE_DIGITS && is_integer_token(token) && is_large_integer(token)
}

/// The binary64 that is equal to an integer, however that is written.
///
/// # Errors
/// [`NumberFault`] where there is none.
pub fn equal_binary64(token: &str) -> Result<f64, NumberFault> {
    let exact = Decimal::of(token);
    let nearest = exact.nearest();
    if !nearest.is_finite() {
        return Err(NumberFault::OutOfRange);
    }
    if exact != Decimal::of_binary64(nearest) {
        let nearest = format!("{nearest:.0}");
        return Err(NumberFault::Changed { nearest });
    }
    Ok(nearest)
}

/// How many numbers were taken that a note tells of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Spellings {
    /// As [`Spelling::Shorter`].
    pub shorter: u64,
    /// As [`Spelling::LargeInteger`].
    pub large_integers: u64,
}

impl Spellings {
    /// Counts one more.
    pub fn count(&mut self, spelling: Spelling) {
        match spelling {
            Spelling::Same => {}
            Spelling::Shorter => self.shorter += 1,
            Spelling::LargeInteger => self.large_integers += 1,
        }
    }
}

impl AddAssign for Spellings {
    fn add_assign(&mut self, other: Self) {
        self.shorter += other.shorter;
        self.large_integers += other.large_integers;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(token: &str) -> Option<(String, Spelling)> {
        let number = EventNumber::of(token).ok()?;
        Some((number.token().to_owned(), number.spelling()))
    }

    #[test]
    fn what_is_taken_says_what_was_given() {
        use Spelling::{LargeInteger, Same, Shorter};
        for (token, text, spelling) in [
            ("0", "0", Same),
            ("-0", "0", Same),
            ("-0.0", "0", Same),
            ("0e999999999999", "0", Same),
            ("0E-7", "0", Same),
            ("1.0", "1", Same),
            ("1E5", "100000", Same),
            ("0.10", "0.1", Same),
            ("1e-07", "1e-7", Same),
            ("9007199254740991", "9007199254740991", Same),
            ("-9007199254740991.0", "-9007199254740991", Same),
            ("9007199254740992", "9007199254740992", LargeInteger),
            ("18014398509481984", "18014398509481984", LargeInteger),
            ("9007199254740992.0", "9007199254740992", Same),
            (
                "100000000000000000000",
                "100000000000000000000",
                LargeInteger,
            ),
            ("1e20", "100000000000000000000", Same),
            ("1000000000000000000000", "1e+21", LargeInteger),
            ("1.152921504606847e+18", "1152921504606847000", Same),
            ("1e300", "1e+300", Same),
            ("0.10000000000000001", "0.1", Shorter),
            ("-4503599627370495.50000", "-4503599627370495.5", Same),
            ("123456789012.34500122", "123456789012.345", Shorter),
            ("4.9406564584124654e-324", "5e-324", Shorter),
            ("5e-324", "5e-324", Same),
            ("1.5000000000000000000", "1.5", Same),
        ] {
            assert_eq!(taken(token), Some((text.to_owned(), spelling)), "{token}");
        }
    }

    #[test]
    fn what_would_be_changed_is_refused() {
        for (token, nearest) in [
            ("9007199254740993", "9007199254740992"),
            ("9007199254740993.0", "9007199254740992"),
            ("9007199254740993e0", "9007199254740992"),
            ("-9223372036854775808", "-9223372036854776000"),
            ("1152921504606846976", "1152921504606847000"),
            ("12345678901234567.89", "12345678901234568"),
            ("1234567890123456789.0", "1234567890123456800"),
            ("100000000000000000000.5", "100000000000000000000"),
            ("9.9999999999999992e+22", "1e+23"),
            ("1e-400", "0"),
            ("-1e-999999999", "0"),
            ("0.12345678901234567890123", "0.12345678901234568"),
            ("3e-324", "5e-324"),
        ] {
            let nearest = nearest.to_owned();
            assert_eq!(
                EventNumber::of(token),
                Err(NumberFault::Changed { nearest }),
                "{token}"
            );
        }
        for token in [
            "1e400",
            "-1E+999999999999999999999",
            "1797693134862315900e291",
        ] {
            assert_eq!(
                EventNumber::of(token),
                Err(NumberFault::OutOfRange),
                "{token}"
            );
        }
    }

    #[test]
    fn large_integers() {
        for (token, value, written) in [
            ("9007199254740991", false, false),
            ("9007199254740992", true, true),
            ("-12345678901234567890", true, true),
            ("1e16", true, false),
            ("9007199254740993.0", true, false),
            ("9007199254740992.5", false, false),
            ("1e15", false, false),
        ] {
            assert_eq!(is_large_integer(token), value, "{token}");
            assert_eq!(is_large_integer_token(token), written, "{token}");
        }
    }
}
