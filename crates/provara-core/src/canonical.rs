//! Canonical JSON: the bytes that are hashed and signed (spec/VAULT_FORMAT, section 2).
//!
//! [`jcs`] is RFC 8785. [`event_form`] is the same for what is written into an event, with the numbers that
//! an event takes. [`token_preserving`] is the form of older vaults, which is only read: keys by code point,
//! number tokens as they stand.

use std::borrow::Cow;
use std::cmp::Ordering;

use crate::json::{self, Object, Value, is_integer_token};
use crate::number::es_number;
use crate::number_rule::{
    EventNumber, NumberFault, Spellings, equal_binary64, is_large_integer_token,
};

/// The largest integer that every binary64 reader reads exactly, 2^53 - 1.
pub const MAX_SAFE_INTEGER: u64 = (1 << 53) - 1;

/// What stands for a path without a name: the number is the whole value, or its member with an empty name.
pub const UNNAMED: &str = "the value";

/// The longest number that a message shows whole, in characters.
const LONGEST_SHOWN: usize = 60;

/// Why a value has no faithful RFC 8785 form.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CanonicalError {
    /// A number that would be changed.
    #[error("{path}: the number {} cannot be kept: {fault}", shown(token))]
    Number {
        /// Where it stands, such as `reading.values[3]`: a dot, bracket or backslash of a name has a backslash
        /// before it.
        path: String,
        /// The number as written.
        token: String,
        /// Why.
        fault: NumberFault,
    },
    /// A Rust value that serde does not turn into JSON.
    #[error("not representable as JSON: {0}")]
    Unserializable(String),
}

impl CanonicalError {
    /// The same error of a document that is the member `name` of the one in hand: what is outside of it is
    /// not there.
    #[must_use]
    pub fn inside(mut self, name: &str) -> Self {
        if let Self::Number { path, .. } = &mut self
            && let Some(rest) = path
                .strip_prefix(name)
                .and_then(|rest| rest.strip_prefix('.'))
        {
            *path = rest.to_owned();
        }
        self
    }
}

/// A number for a message; of a long one its start and its length.
fn shown(token: &str) -> Cow<'_, str> {
    match token.get(..LONGEST_SHOWN) {
        Some(start) if token.len() > LONGEST_SHOWN => {
            format!("{start}… ({} characters)", token.len()).into()
        }
        _ => token.into(),
    }
}

/// The RFC 8785 form of `value`: UTF-8, no white space, keys by UTF-16 code unit, ECMAScript
/// numbers. It is that of documents and decides what a reader takes for strict: a number is its nearest
/// binary64, and an integer beyond ±(2^53-1) has no form. What is appended has [`event_form`].
///
/// # Errors
/// A number that the form cannot carry, with its path.
pub fn jcs(value: &Value<'_>) -> Result<Vec<u8>, CanonicalError> {
    let mut out = Vec::new();
    write_sorted(&mut out, value, &mut Vec::new(), &mut |out, token| {
        #[expect(clippy::cast_precision_loss, reason = "2^53 - 1 is exact")]
        let limit = MAX_SAFE_INTEGER as f64;
        let number: f64 = token.parse().unwrap_or(f64::NAN);
        if is_integer_token(token) && number.is_finite() && number.abs() > limit {
            return Err(NumberFault::UnsafeInteger);
        }
        write_nearest(out, token)
    })?;
    Ok(out)
}

/// The RFC 8785 form of what an event says, in which every number says what was given
/// ([`EventNumber`]).
///
/// # Errors
/// A number that would be changed, with its path.
pub fn event_form(value: &Value<'_>) -> Result<Vec<u8>, CanonicalError> {
    let mut out = Vec::new();
    write_event_form(&mut out, value)?;
    Ok(out)
}

/// Writes [`event_form`] to the end of `out`, and counts what a note tells of.
///
/// # Errors
/// As [`event_form`].
pub(crate) fn write_event_form(
    out: &mut Vec<u8>,
    value: &Value<'_>,
) -> Result<Spellings, CanonicalError> {
    let mut counts = Spellings::default();
    write_sorted(out, value, &mut Vec::new(), &mut |out, token| {
        let number = EventNumber::of(token)?;
        counts.count(number.spelling());
        out.extend_from_slice(number.token().as_bytes());
        Ok(())
    })?;
    Ok(counts)
}

/// Refuses integers of a language that has them of any length, where no binary64 is equal to them. The
/// text of a binary64 may say the value of such an integer all the same: 1e+23 is the text of one that is
/// 8388608 less.
///
/// # Errors
/// The first such integer, with its path.
pub fn check_integers(value: &Value<'_>) -> Result<(), CanonicalError> {
    write_sorted(&mut Vec::new(), value, &mut Vec::new(), &mut |_, token| {
        match is_large_integer_token(token) {
            true => equal_binary64(token).map(drop),
            false => Ok(()),
        }
    })
}

/// The form of what a reducer makes of events: as [`jcs`], but integers of any length keep their digits,
/// for nothing of it is signed.
///
/// # Errors
/// A number with a fraction or an exponent that is beyond binary64.
pub fn result_form(value: &Value<'_>) -> Result<Vec<u8>, CanonicalError> {
    let mut out = Vec::new();
    write_sorted(&mut out, value, &mut Vec::new(), &mut |out, token| {
        if is_integer_token(token) {
            let token = if token == "-0" { "0" } else { token };
            out.extend_from_slice(token.as_bytes());
            return Ok(());
        }
        write_nearest(out, token)
    })?;
    Ok(out)
}

fn write_nearest(out: &mut Vec<u8>, token: &str) -> Result<(), NumberFault> {
    let number: f64 = token.parse().unwrap_or(f64::NAN);
    if !number.is_finite() {
        return Err(NumberFault::OutOfRange);
    }
    out.extend_from_slice(es_number(number).as_bytes());
    Ok(())
}

/// The RFC 8785 form of anything that serde writes as JSON.
///
/// # Errors
/// As [`jcs`], and for what serde refuses.
pub fn jcs_of<T: serde::Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, CanonicalError> {
    let text = serde_json::to_vec(value)
        .map_err(|error| CanonicalError::Unserializable(error.to_string()))?;
    let value =
        json::parse(&text).map_err(|error| CanonicalError::Unserializable(error.to_string()))?;
    jcs(&value)
}

/// The token-preserving form of `value`: as RFC 8785, but keys by code point and every number as
/// it was written.
#[must_use]
pub fn token_preserving(value: &Value<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    write_tokens(&mut out, value, by_code_point);
    out
}

/// Compact JSON with every member in its place and every number as it was written: no canonical form.
#[must_use]
pub fn compact(value: &Value<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    write_tokens(&mut out, value, as_it_stands);
    out
}

/// The order of keys in RFC 8785, section 3.2.3: by UTF-16 code units.
#[must_use]
pub fn utf16_order(a: &str, b: &str) -> Ordering {
    // The two orders differ only for characters beyond the basic plane, whose UTF-8 starts at F0.
    if a.bytes().chain(b.bytes()).all(|byte| byte < 0xF0) {
        return a.cmp(b);
    }
    a.encode_utf16().cmp(b.encode_utf16())
}

/// One step of the way to a value, for messages.
enum Step<'a> {
    Key(&'a str),
    Index(usize),
}

/// A member's name as it stands in the path of a place ([`CanonicalError`]): a backslash stands before a dot, a bracket
/// or a backslash of the name itself.
#[must_use]
pub fn path_step(name: &str) -> String {
    let mut step = String::with_capacity(name.len());
    for character in name.chars() {
        if matches!(character, '.' | '[' | ']' | '\\') {
            step.push('\\');
        }
        step.push(character);
    }
    step
}

/// A place as a path: names after dots, indexes in brackets. A backslash stands before a dot, a bracket or
/// a backslash of a name itself, as in a key of `--set`.
fn path_text(steps: &[Step<'_>]) -> String {
    let mut path = String::new();
    for step in steps {
        match step {
            Step::Key(key) => {
                if !path.is_empty() {
                    path.push('.');
                }
                path.push_str(&path_step(key));
            }
            Step::Index(index) => path.push_str(&format!("[{index}]")),
        }
    }
    if path.is_empty() {
        UNNAMED.to_owned()
    } else {
        path
    }
}

/// Writes a value with sorted keys, and each number as `number` does.
fn write_sorted<'a>(
    out: &mut Vec<u8>,
    value: &'a Value<'_>,
    path: &mut Vec<Step<'a>>,
    number: &mut impl FnMut(&mut Vec<u8>, &str) -> Result<(), NumberFault>,
) -> Result<(), CanonicalError> {
    match value {
        Value::Number(token) => {
            number(out, token).map_err(|fault| CanonicalError::Number {
                path: path_text(path),
                token: token.clone().into_owned(),
                fault,
            })?;
        }
        Value::Array(items) => {
            out.push(b'[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                path.push(Step::Index(index));
                write_sorted(out, item, path, number)?;
                path.pop();
            }
            out.push(b']');
        }
        Value::Object(members) => {
            out.push(b'{');
            for (index, (key, item)) in sorted(members, utf16_order).into_iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                write_string(out, key);
                out.push(b':');
                path.push(Step::Key(key));
                write_sorted(out, item, path, number)?;
                path.pop();
            }
            out.push(b'}');
        }
        scalar => write_tokens(out, scalar, as_it_stands),
    }
    Ok(())
}

/// The members of an object, in the order in which they are written.
type Members<'m, 'a> = Vec<&'m (Cow<'a, str>, Value<'a>)>;

fn as_it_stands<'m, 'a>(members: &'m Object<'a>) -> Members<'m, 'a> {
    members.iter().collect()
}

fn by_code_point<'m, 'a>(members: &'m Object<'a>) -> Members<'m, 'a> {
    sorted(members, str::cmp)
}

fn write_tokens<'a>(
    out: &mut Vec<u8>,
    value: &Value<'a>,
    order: for<'m> fn(&'m Object<'a>) -> Members<'m, 'a>,
) {
    match value {
        Value::Null => out.extend_from_slice(b"null"),
        Value::Bool(true) => out.extend_from_slice(b"true"),
        Value::Bool(false) => out.extend_from_slice(b"false"),
        Value::Number(token) => out.extend_from_slice(token.as_bytes()),
        Value::String(text) => write_string(out, text),
        Value::Array(items) => {
            out.push(b'[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                write_tokens(out, item, order);
            }
            out.push(b']');
        }
        Value::Object(members) => {
            out.push(b'{');
            for (index, (key, item)) in order(members).into_iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                write_string(out, key);
                out.push(b':');
                write_tokens(out, item, order);
            }
            out.push(b'}');
        }
    }
}

fn sorted<'m, 'a>(
    members: &'m Object<'a>,
    order: impl Fn(&str, &str) -> Ordering,
) -> Members<'m, 'a> {
    let mut list: Members<'m, 'a> = members.iter().collect();
    list.sort_unstable_by(|(a, _), (b, _)| order(a, b));
    list
}

/// Writes `text` as a JSON string with the escapes of RFC 8785, section 3.2.2.2, and no others.
pub fn write_string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    let mut rest = text.as_bytes();
    loop {
        let run = json::plain_run(rest);
        out.extend_from_slice(&rest[..run]);
        let Some(byte) = rest.get(run) else { break };
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            0x08 => out.extend_from_slice(b"\\b"),
            0x09 => out.extend_from_slice(b"\\t"),
            0x0A => out.extend_from_slice(b"\\n"),
            0x0C => out.extend_from_slice(b"\\f"),
            0x0D => out.extend_from_slice(b"\\r"),
            control => out.extend_from_slice(format!("\\u{control:04x}").as_bytes()),
        }
        rest = &rest[run + 1..];
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn canonical(text: &str) -> String {
        String::from_utf8(jcs(&json::parse(text.as_bytes()).unwrap()).unwrap()).unwrap()
    }

    #[test]
    fn strict_form() {
        assert_eq!(
            canonical("{ \"z\":1.0, \"a\": [\"\\u000f\\u20ac/\\/\", -0, 1e21] }"),
            "{\"a\":[\"\\u000f€//\",0,1e+21],\"z\":1}"
        );
        // U+FB33 sorts before U+1F600 by code point, after it by UTF-16 code unit.
        assert_eq!(
            canonical("{\"\u{fb33}\":1,\"\u{1f600}\":2}"),
            "{\"\u{1f600}\":2,\"\u{fb33}\":1}"
        );
    }

    #[test]
    fn token_form_keeps_tokens_and_sorts_by_code_point() {
        let value = json::parse("{\"\u{1f600}\":1E5,\"\u{fb33}\":1.0}".as_bytes()).unwrap();
        let expected = "{\"\u{fb33}\":1.0,\"\u{1f600}\":1E5}";
        assert_eq!(token_preserving(&value), expected.as_bytes());
    }

    #[test]
    fn what_binary64_cannot_carry_is_refused_with_its_path() {
        let value = json::parse(br#"{"a":{"b":[0,9007199254740992]}}"#).unwrap();
        assert_eq!(
            jcs(&value),
            Err(CanonicalError::Number {
                path: "a.b[1]".into(),
                token: "9007199254740992".into(),
                fault: NumberFault::UnsafeInteger,
            })
        );
        assert!(jcs(&json::parse(b"9007199254740991").unwrap()).is_ok());
        let fault = |text: &[u8]| match jcs(&json::parse(text).unwrap()) {
            Err(CanonicalError::Number { fault, .. }) => Some(fault),
            _ => None,
        };
        assert_eq!(fault(b"[1e400]"), Some(NumberFault::OutOfRange));
        // What is no integer is rounded, as RFC 8785 has it.
        assert_eq!(fault(b"[12345678901234567.89]"), None);
    }

    #[test]
    fn an_event_takes_no_number_that_would_be_changed() {
        let form = |text: &str| event_form(&json::parse(text.as_bytes()).unwrap());
        let error = form(r#"{"a":{"b.c[]":[0,9007199254740993]}}"#).unwrap_err();
        assert_eq!(
            error.to_string(),
            r"a.b\.c\[\][1]: the number 9007199254740993 cannot be kept: the nearest that a log can hold (a binary64) is 9007199254740992"
        );
        assert_eq!(
            form("[9007199254740992, 1.0]").unwrap(),
            b"[9007199254740992,1]"
        );
        let error = form(&format!("[1{}1]", "0".repeat(1000))).unwrap_err();
        assert!(error.to_string().contains("… (1002 characters)"), "{error}");
    }

    #[test]
    fn an_integer_is_equal_to_its_binary64_or_refused() {
        let check = |text: &str| check_integers(&json::parse(text.as_bytes()).unwrap());
        // The number beside is a float, which is not this function's to judge.
        assert_eq!(
            check("[9007199254740992, 10000000000000000000000, 9007199254740993.5, 7]"),
            Ok(())
        );
        let error = check(r#"{"a":[1,100000000000000000000000]}"#).unwrap_err();
        assert_eq!(
            error.to_string(),
            "a[1]: the number 100000000000000000000000 cannot be kept: the nearest that a log can hold \
             (a binary64) is 99999999999999991611392"
        );
        assert!(check("[-9007199254740993]").is_err());
    }

    #[test]
    fn what_a_reducer_returns_keeps_integers_and_has_one_form() {
        let form = |text: &[u8]| {
            let form = result_form(&json::parse(text).unwrap())?;
            Ok::<_, CanonicalError>(String::from_utf8(form).unwrap())
        };
        let long = "[100000000000000000000,-9007199254740993,0,1,1e+21]";
        let given = "[100000000000000000000, -9007199254740993, -0, 1.0, 1e+21]";
        assert_eq!(form(given.as_bytes()).as_deref(), Ok(long));
        assert!(form(b"[1e400]").is_err());
    }
}
