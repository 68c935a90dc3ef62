//! A strict JSON reader whose tree keeps every number exactly as it was written.
//!
//! General JSON libraries keep the last of two duplicate keys and re-print numbers; a signed
//! document may do neither (spec/VAULT_FORMAT, section 2). This reader takes RFC 8259 and refuses
//! beyond it: duplicate keys, lone surrogates, a byte order mark, trailing bytes, and nesting
//! deeper than [`MAX_DEPTH`].

mod read;

use std::borrow::Cow;
use std::fmt;

use read::{Tree, read};

pub use read::Build;

/// Deepest nesting of arrays and objects that is read.
pub const MAX_DEPTH: usize = 128;

/// The members of an object in the order of the document; no key occurs twice.
pub type Object<'a> = Vec<(Cow<'a, str>, Value<'a>)>;

/// A JSON value. Strings are unescaped, numbers keep their token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value<'a> {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// The number token as written, such as `1.0` or `1e-07`.
    Number(Cow<'a, str>),
    /// The string without its escapes.
    String(Cow<'a, str>),
    /// An array.
    Array(Vec<Value<'a>>),
    /// An object.
    Object(Object<'a>),
}

/// What is wrong with a JSON text, and at which byte.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{kind} at byte {offset}")]
pub struct ParseError {
    /// What is wrong.
    pub kind: ParseErrorKind,
    /// Offset of the offending byte from the start of the text.
    pub offset: usize,
}

/// The ways in which a text is not the JSON that is accepted here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ParseErrorKind {
    /// The text ends inside a value.
    UnexpectedEnd,
    /// A byte that no value may have here.
    UnexpectedByte(u8),
    /// `NaN` or `Infinity`, which JSON does not have.
    NotANumber,
    /// A number that does not follow the grammar, such as `01` or `1.`.
    BadNumber,
    /// An unknown escape in a string, or an incomplete one.
    BadEscape,
    /// A control character below U+0020 stands unescaped in a string.
    ControlCharacter(u8),
    /// A `\uD800`-`\uDFFF` escape without its other half.
    LoneSurrogate,
    /// The bytes are not UTF-8.
    InvalidUtf8,
    /// The text starts with a byte order mark.
    ByteOrderMark,
    /// An object has this key twice.
    DuplicateKey(String),
    /// Nesting is deeper than [`MAX_DEPTH`].
    TooDeep,
    /// Something follows the value.
    TrailingBytes,
}

impl ParseErrorKind {
    /// Whether RFC 8259 allows the text and only this reader's strictness refuses it.
    #[must_use]
    pub fn is_strictness(&self) -> bool {
        matches!(
            self,
            Self::LoneSurrogate | Self::DuplicateKey(_) | Self::TooDeep
        )
    }
}

impl fmt::Display for ParseErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnexpectedEnd => f.write_str("unexpected end of JSON"),
            Self::UnexpectedByte(b) if b.is_ascii_graphic() => {
                write!(f, "unexpected '{}'", char::from(*b))
            }
            Self::UnexpectedByte(b) => write!(f, "unexpected byte 0x{b:02X}"),
            Self::NotANumber => f.write_str("NaN and Infinity are not JSON"),
            Self::BadNumber => f.write_str("malformed number"),
            Self::BadEscape => f.write_str("malformed escape in a string"),
            Self::ControlCharacter(b) => {
                write!(f, "unescaped control character U+{b:04X} in a string")
            }
            Self::LoneSurrogate => f.write_str("lone surrogate in a string"),
            Self::InvalidUtf8 => f.write_str("invalid UTF-8"),
            Self::ByteOrderMark => f.write_str("byte order mark"),
            Self::DuplicateKey(key) => write!(f, "duplicate key {key:?}"),
            Self::TooDeep => f.write_str("nesting too deep"),
            Self::TrailingBytes => f.write_str("unexpected text after the JSON value"),
        }
    }
}

/// Reads one JSON value that fills `text`; white space around and inside it is allowed.
///
/// # Errors
/// The first thing that is not strict JSON, with its offset.
pub fn parse(text: &[u8]) -> Result<Value<'_>, ParseError> {
    parse_nested(text, MAX_DEPTH)
}

/// As [`parse`], for a document that wraps values of other documents: `max_depth` levels of
/// nesting are read instead of [`MAX_DEPTH`].
///
/// # Errors
/// As [`parse`].
pub(crate) fn parse_nested(text: &[u8], max_depth: usize) -> Result<Value<'_>, ParseError> {
    read(text, max_depth, &mut Tree { last_wins: false })
}

/// As [`parse`], but of two members with one key the last counts, as careless readers take it.
/// Only for telling what a broken line was meant to be.
pub(crate) fn parse_last_wins(text: &[u8]) -> Result<Value<'_>, ParseError> {
    read(text, MAX_DEPTH, &mut Tree { last_wins: true })
}

/// As [`parse`], and makes of the text what `builder` makes of its parts, without a tree in between.
///
/// # Errors
/// As [`parse`], or what the builder fails with.
pub fn build<'a, B: Build<'a>>(text: &'a [u8], builder: &mut B) -> Result<B::Value, B::Error> {
    read(text, MAX_DEPTH, builder)
}

/// Length of the longest start of `bytes` that holds no quote, backslash or control character.
pub(crate) fn plain_run(bytes: &[u8]) -> usize {
    const ONES: u64 = u64::from_le_bytes([1; 8]);
    const HIGH: u64 = ONES << 7;
    // Eight bytes at a time: a byte minus n has its high bit set where it was below n and below
    // 0x80. A borrow reaches only bytes above one that was found, and the lowest one counts.
    let below = |word: u64, n: u8| word.wrapping_sub(ONES * u64::from(n)) & !word;
    let (words, rest) = bytes.as_chunks::<8>();
    for (number, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        let quote = word ^ (ONES * u64::from(b'"'));
        let backslash = word ^ (ONES * u64::from(b'\\'));
        let found = (below(word, 0x20) | below(quote, 1) | below(backslash, 1)) & HIGH;
        if found != 0 {
            return 8 * number + found.trailing_zeros() as usize / 8;
        }
    }
    let tail = rest
        .iter()
        .position(|b| *b < 0x20 || *b == b'"' || *b == b'\\');
    8 * words.len() + tail.unwrap_or(rest.len())
}

/// Length of the number token at the start of `bytes` (RFC 8259, section 6), if it is one.
/// A digit, dot or letter directly behind the token makes it malformed.
pub(crate) fn number_token(bytes: &[u8]) -> Option<usize> {
    let digits = |from: usize| {
        bytes[from..]
            .iter()
            .take_while(|b| b.is_ascii_digit())
            .count()
    };
    let mut at = usize::from(bytes.first() == Some(&b'-'));
    let integer = digits(at);
    if integer == 0 || (integer > 1 && bytes[at] == b'0') {
        return None;
    }
    at += integer;
    if bytes.get(at) == Some(&b'.') {
        let fraction = digits(at + 1);
        if fraction == 0 {
            return None;
        }
        at += 1 + fraction;
    }
    if let Some(b'e' | b'E') = bytes.get(at) {
        let sign = usize::from(matches!(bytes.get(at + 1), Some(b'+' | b'-')));
        let exponent = digits(at + 1 + sign);
        if exponent == 0 {
            return None;
        }
        at += 1 + sign + exponent;
    }
    match bytes.get(at) {
        Some(b) if b.is_ascii_alphanumeric() || *b == b'.' => None,
        _ => Some(at),
    }
}

/// Reads the escape at the start of `bytes` (which begins with a backslash): the character and the
/// length of the escape in bytes.
pub(crate) fn escape(bytes: &[u8]) -> Result<(char, usize), ParseErrorKind> {
    let simple = match bytes.get(1) {
        None => return Err(ParseErrorKind::UnexpectedEnd),
        Some(b'"') => '"',
        Some(b'\\') => '\\',
        Some(b'/') => '/',
        Some(b'b') => '\u{8}',
        Some(b'f') => '\u{c}',
        Some(b'n') => '\n',
        Some(b'r') => '\r',
        Some(b't') => '\t',
        Some(b'u') => {
            let high = hex4(bytes.get(2..6)).ok_or(ParseErrorKind::BadEscape)?;
            return match high {
                0xD800..=0xDBFF => {
                    if bytes.get(6..8) != Some(b"\\u") {
                        return Err(ParseErrorKind::LoneSurrogate);
                    }
                    let low = hex4(bytes.get(8..12)).ok_or(ParseErrorKind::BadEscape)?;
                    if !(0xDC00..=0xDFFF).contains(&low) {
                        return Err(ParseErrorKind::LoneSurrogate);
                    }
                    let scalar = 0x1_0000 + ((high - 0xD800) << 10) + (low - 0xDC00);
                    char::from_u32(scalar)
                        .map(|c| (c, 12))
                        .ok_or(ParseErrorKind::LoneSurrogate)
                }
                _ => char::from_u32(high)
                    .map(|c| (c, 6))
                    .ok_or(ParseErrorKind::LoneSurrogate),
            };
        }
        Some(_) => return Err(ParseErrorKind::BadEscape),
    };
    Ok((simple, 2))
}

fn hex4(digits: Option<&[u8]>) -> Option<u32> {
    digits?.iter().try_fold(0, |value, b| {
        Some(value * 16 + char::from(*b).to_digit(16)?)
    })
}

impl<'a> Value<'a> {
    /// The member `key` of an object; `None` for other values.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Value<'a>> {
        self.as_object()?
            .iter()
            .find(|(name, _)| name == key)
            .map(|(_, value)| value)
    }

    /// The string, if it is one.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        if let Self::String(text) = self {
            Some(text)
        } else {
            None
        }
    }

    /// The members, if it is an object.
    #[must_use]
    pub fn as_object(&self) -> Option<&Object<'a>> {
        if let Self::Object(members) = self {
            Some(members)
        } else {
            None
        }
    }

    /// The items, if it is an array.
    #[must_use]
    pub fn as_array(&self) -> Option<&[Value<'a>]> {
        if let Self::Array(items) = self {
            Some(items)
        } else {
            None
        }
    }

    /// The truth value, if it is one.
    #[must_use]
    pub fn as_bool(&self) -> Option<bool> {
        if let Self::Bool(value) = self {
            Some(*value)
        } else {
            None
        }
    }

    /// Whether it is a number written without fraction and exponent.
    #[must_use]
    pub fn is_integer_token(&self) -> bool {
        matches!(self, Self::Number(token) if is_integer_token(token))
    }

    /// The nearest binary64 of a number (infinite where the token is out of range).
    #[must_use]
    pub fn as_f64(&self) -> Option<f64> {
        if let Self::Number(token) = self {
            token.parse().ok()
        } else {
            None
        }
    }

    /// The number, if its token is an integer that fits.
    #[must_use]
    pub fn as_i64(&self) -> Option<i64> {
        if let Self::Number(token) = self {
            token.parse().ok()
        } else {
            None
        }
    }

    /// The same value, borrowing nothing.
    #[must_use]
    pub fn into_owned(self) -> Value<'static> {
        match self {
            Self::Null => Value::Null,
            Self::Bool(value) => Value::Bool(value),
            Self::Number(token) => Value::Number(Cow::Owned(token.into_owned())),
            Self::String(text) => Value::String(Cow::Owned(text.into_owned())),
            Self::Array(items) => Value::Array(items.into_iter().map(Value::into_owned).collect()),
            Self::Object(members) => Value::Object(
                members
                    .into_iter()
                    .map(|(key, value)| (Cow::Owned(key.into_owned()), value.into_owned()))
                    .collect(),
            ),
        }
    }

    /// What kind of value it is, for messages: `an object`, `a number`, …
    #[must_use]
    pub fn kind_name(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a boolean",
            Self::Number(_) => "a number",
            Self::String(_) => "a string",
            Self::Array(_) => "an array",
            Self::Object(_) => "an object",
        }
    }
}

/// Whether a number token has neither fraction nor exponent.
#[must_use]
pub fn is_integer_token(token: &str) -> bool {
    !token.bytes().any(|b| matches!(b, b'.' | b'e' | b'E'))
}

impl From<bool> for Value<'_> {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl<'a> From<&'a str> for Value<'a> {
    fn from(value: &'a str) -> Self {
        Self::String(Cow::Borrowed(value))
    }
}

impl From<String> for Value<'_> {
    fn from(value: String) -> Self {
        Self::String(Cow::Owned(value))
    }
}

impl From<u64> for Value<'_> {
    fn from(value: u64) -> Self {
        Self::Number(Cow::Owned(value.to_string()))
    }
}

impl<'a, T: Into<Value<'a>>> From<Option<T>> for Value<'a> {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

/// Builds an object from pairs of key and value, in the order given.
#[must_use]
pub fn object<'a>(members: impl IntoIterator<Item = (&'a str, Value<'a>)>) -> Value<'a> {
    Value::Object(
        members
            .into_iter()
            .map(|(key, value)| (Cow::Borrowed(key), value))
            .collect(),
    )
}

#[cfg(test)]
mod tests;
