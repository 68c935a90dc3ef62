//! Canonical JSON: the bytes that are hashed and signed (spec/VAULT_FORMAT, section 2).
//!
//! [`jcs`] is RFC 8785, the form that is written. [`token_preserving`] is the form of older
//! vaults, which is only read: keys by code point, number tokens as they stand.

use std::borrow::Cow;
use std::cmp::Ordering;

use crate::json::{self, Object, Value, is_integer_token};
use crate::number::es_number;

/// The largest integer that every binary64 reader reads exactly, 2^53 - 1.
pub const MAX_SAFE_INTEGER: u64 = (1 << 53) - 1;

/// Why a value has no faithful RFC 8785 form.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CanonicalError {
    /// An integer beyond ±(2^53-1).
    #[error("{path}: the integer {token} is beyond ±(2^53-1) and would lose digits")]
    UnsafeInteger {
        /// Where it stands, such as `reading.values[3]`.
        path: String,
        /// The number as written.
        token: String,
    },
    /// A number that no binary64 holds.
    #[error("{path}: the number {token} is out of the range of binary64")]
    OutOfRange {
        /// Where it stands.
        path: String,
        /// The number as written.
        token: String,
    },
    /// A Rust value that serde does not turn into JSON.
    #[error("not representable as JSON: {0}")]
    Unserializable(String),
}

/// The RFC 8785 form of `value`: UTF-8, no white space, keys by UTF-16 code unit, ECMAScript
/// numbers.
///
/// # Errors
/// A number that the form cannot carry faithfully, with its path.
pub fn jcs(value: &Value<'_>) -> Result<Vec<u8>, CanonicalError> {
    let mut out = Vec::new();
    write_jcs(&mut out, value, &mut Vec::new())?;
    Ok(out)
}

/// Writes the RFC 8785 form of `value`, the member `name` of an object that is written by hand.
///
/// # Errors
/// As [`jcs`]; the path begins with `name`.
pub(crate) fn write_jcs_member(
    out: &mut Vec<u8>,
    name: &str,
    value: &Value<'_>,
) -> Result<(), CanonicalError> {
    write_jcs(out, value, &mut vec![Step::Key(name)])
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

fn path_text(steps: &[Step<'_>]) -> String {
    let mut path = String::new();
    for step in steps {
        match step {
            Step::Key(key) if path.is_empty() => path.push_str(key),
            Step::Key(key) => {
                path.push('.');
                path.push_str(key);
            }
            Step::Index(index) => path.push_str(&format!("[{index}]")),
        }
    }
    if path.is_empty() {
        "the value".to_owned()
    } else {
        path
    }
}

fn write_jcs<'a>(
    out: &mut Vec<u8>,
    value: &'a Value<'_>,
    path: &mut Vec<Step<'a>>,
) -> Result<(), CanonicalError> {
    match value {
        Value::Number(token) => write_jcs_number(out, token, path)?,
        Value::Array(items) => {
            out.push(b'[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                path.push(Step::Index(index));
                write_jcs(out, item, path)?;
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
                write_jcs(out, item, path)?;
                path.pop();
            }
            out.push(b'}');
        }
        scalar => write_tokens(out, scalar, as_it_stands),
    }
    Ok(())
}

fn write_jcs_number(
    out: &mut Vec<u8>,
    token: &str,
    path: &[Step<'_>],
) -> Result<(), CanonicalError> {
    let number: f64 = token.parse().unwrap_or(f64::NAN);
    if !number.is_finite() {
        let (path, token) = (path_text(path), token.to_owned());
        return Err(CanonicalError::OutOfRange { path, token });
    }
    #[expect(clippy::cast_precision_loss, reason = "2^53 - 1 is exact")]
    if is_integer_token(token) && number.abs() > MAX_SAFE_INTEGER as f64 {
        let (path, token) = (path_text(path), token.to_owned());
        return Err(CanonicalError::UnsafeInteger { path, token });
    }
    out.extend_from_slice(es_number(number).as_bytes());
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
            Err(CanonicalError::UnsafeInteger {
                path: "a.b[1]".into(),
                token: "9007199254740992".into()
            })
        );
        assert!(jcs(&json::parse(b"9007199254740991").unwrap()).is_ok());
        assert!(matches!(
            jcs(&json::parse(b"[1e400]").unwrap()),
            Err(CanonicalError::OutOfRange { .. })
        ));
    }
}
