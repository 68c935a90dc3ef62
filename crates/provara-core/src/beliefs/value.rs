//! JSON values as the belief state sees them: printed as Python prints them, equal as Python
//! compares them.

use std::borrow::Cow;

use crate::canonical::write_string;
use crate::json::{Value, is_integer_token};
use crate::number::python_float;

/// The text of a value in the form of the state: keys by code point, minimal escapes, numbers as Python prints
/// them.
pub(super) fn text_of(value: &Value<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    write(&mut out, value);
    out
}

/// Writes `value` in the form of the state.
pub(super) fn write(out: &mut Vec<u8>, value: &Value<'_>) {
    write_with(out, value, &|out, scalar| match scalar {
        Value::Bool(true) => out.extend_from_slice(b"true"),
        Value::Bool(false) => out.extend_from_slice(b"false"),
        Value::Number(token) => out.extend_from_slice(python_number(token).as_bytes()),
        _ => out.extend_from_slice(b"null"),
    });
}

/// Writes a form that is the same for two values exactly if Python holds them equal: booleans are
/// the integers 0 and 1, and an integral float is written as that integer, digit by digit, since
/// Python compares integers of any length with floats exactly.
pub(super) fn write_equality(out: &mut Vec<u8>, value: &Value<'_>) {
    write_with(out, value, &|out, scalar| match scalar {
        Value::Bool(value) => out.push(b'0' + u8::from(*value)),
        Value::Number(token) => match binary64(token) {
            Some(0.0) => out.push(b'0'),
            Some(float) if float.is_infinite() => {
                // Both are beyond every integer and every other float.
                let sign: &[u8] = if float < 0.0 { b"-" } else { b"+" };
                out.extend_from_slice(sign);
            }
            Some(float) if float.fract() == 0.0 => {
                out.extend_from_slice(format!("{float:.0}").as_bytes());
            }
            _ => out.extend_from_slice(python_number(token).as_bytes()),
        },
        _ => out.extend_from_slice(b"null"),
    });
}

fn write_with(out: &mut Vec<u8>, value: &Value<'_>, scalar: &impl Fn(&mut Vec<u8>, &Value<'_>)) {
    match value {
        Value::String(text) => write_string(out, text),
        Value::Array(items) => {
            out.push(b'[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                write_with(out, item, scalar);
            }
            out.push(b']');
        }
        Value::Object(members) => {
            let mut members: Vec<_> = members.iter().collect();
            members.sort_unstable_by(|a, b| a.0.cmp(&b.0));
            out.push(b'{');
            for (index, (key, item)) in members.into_iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                write_string(out, key);
                out.push(b':');
                write_with(out, item, scalar);
            }
            out.push(b'}');
        }
        _ => scalar(out, value),
    }
}

/// The binary64 of a token that Python reads as a float; `None` for one that it reads as an
/// integer.
fn binary64(token: &str) -> Option<f64> {
    if is_integer_token(token) {
        return None;
    }
    token.parse().ok()
}

/// A number token as Python prints it after having read it. A float that no binary64 holds keeps
/// its token: Python would print an infinity there, which JSON does not have.
pub(super) fn python_number(token: &str) -> Cow<'_, str> {
    match binary64(token) {
        Some(float) if float.is_finite() => Cow::Owned(python_float(float)),
        None if token == "-0" => Cow::Borrowed("0"),
        _ => Cow::Borrowed(token),
    }
}

/// Python's truth of a value: zeros and what is empty are false.
pub(super) fn is_truthy(value: &Value<'_>) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(value) => *value,
        Value::Number(token) => token.parse() != Ok(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(members) => !members.is_empty(),
    }
}

/// Python's `str` of a string, number or boolean; `None` for anything else.
pub(super) fn python_str<'v>(value: &'v Value<'_>) -> Option<Cow<'v, str>> {
    match value {
        Value::String(text) => Some(Cow::Borrowed(text)),
        Value::Number(token) => Some(python_number(token)),
        Value::Bool(true) => Some(Cow::Borrowed("True")),
        Value::Bool(false) => Some(Cow::Borrowed("False")),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// A confidence: any number, a boolean as 1 or 0, a string that Python's `float` reads. `None`
/// where the default applies: everything else, NaN, and what is infinite, for which a state has no
/// form.
pub(super) fn confidence(value: Option<&Value<'_>>) -> Option<f64> {
    let number = match value? {
        Value::Bool(value) => f64::from(u8::from(*value)),
        // The integer -0 is the integer 0.
        Value::Number(token) if token == "-0" => 0.0,
        Value::Number(token) => token.parse().ok()?,
        Value::String(text) => float_from_text(text)?,
        Value::Null | Value::Array(_) | Value::Object(_) => return None,
    };
    number.is_finite().then_some(number)
}

/// A decimal number as Python's `float` takes it from a string: white space around it, digits of
/// any script, underscores between digits, a point with digits on one side at least. Its words for
/// infinities and NaN are left out, since no confidence can be one.
fn float_from_text(text: &str) -> Option<f64> {
    let digits: String = text
        .trim()
        .chars()
        .map(|c| decimal_digit(c).unwrap_or(c))
        .collect();
    let bytes = digits.as_bytes();
    let is_digit = |at: Option<usize>| {
        at.and_then(|at| bytes.get(at))
            .is_some_and(u8::is_ascii_digit)
    };
    let grouped = bytes
        .iter()
        .enumerate()
        .all(|(at, byte)| *byte != b'_' || is_digit(at.checked_sub(1)) && is_digit(Some(at + 1)));
    let decimal = bytes
        .iter()
        .all(|b| matches!(b, b'0'..=b'9' | b'.' | b'_' | b'e' | b'E' | b'+' | b'-'));
    // With letters other than the exponent's gone, Rust's grammar of a float is Python's.
    (grouped && decimal)
        .then(|| digits.replace('_', "").parse().ok())
        .flatten()
}

/// Whether Python's `str.strip` removes `c`: Unicode white space and four control characters (which
/// its `float` does not pass over).
pub(super) fn is_python_space(c: char) -> bool {
    c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c)
}

/// The ASCII digit that a decimal digit of any script (Unicode 14, category Nd) stands for.
fn decimal_digit(c: char) -> Option<char> {
    let code = u32::from(c);
    let after = DECIMAL_ZEROS.partition_point(|zero| *zero <= code);
    let offset = code - DECIMAL_ZEROS[after.checked_sub(1)?];
    char::from_digit(offset, 10)
}

/// Every character of value 0 whose nine successors have the values 1 to 9.
const DECIMAL_ZEROS: [u32; 66] = [
    0x30, 0x660, 0x6F0, 0x7C0, 0x966, 0x9E6, 0xA66, 0xAE6, 0xB66, 0xBE6, 0xC66, 0xCE6, 0xD66,
    0xDE6, 0xE50, 0xED0, 0xF20, 0x1040, 0x1090, 0x17E0, 0x1810, 0x1946, 0x19D0, 0x1A80, 0x1A90,
    0x1B50, 0x1BB0, 0x1C40, 0x1C50, 0xA620, 0xA8D0, 0xA900, 0xA9D0, 0xA9F0, 0xAA50, 0xABF0, 0xFF10,
    0x104A0, 0x10D30, 0x11066, 0x110F0, 0x11136, 0x111D0, 0x112F0, 0x11450, 0x114D0, 0x11650,
    0x116C0, 0x11730, 0x118E0, 0x11950, 0x11C50, 0x11D50, 0x11DA0, 0x16A60, 0x16AC0, 0x16B50,
    0x1D7CE, 0x1D7D8, 0x1D7E2, 0x1D7EC, 0x1D7F6, 0x1E140, 0x1E2F0, 0x1E950, 0x1FBF0,
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::parse;

    fn equality(text: &str) -> Vec<u8> {
        let mut out = Vec::new();
        write_equality(&mut out, &parse(text.as_bytes()).unwrap());
        out
    }

    #[test]
    fn equality_is_that_of_python() {
        for class in [
            &["1", "1.0", "true", "1e0", "10e-1"][..],
            &["0", "-0", "0.0", "-0.0", "false", "0e5", "1e-400"],
            &["[1,2.0]", "[true,2]", "[1.0,2]"],
            &[r#"{"a":1,"b":[true]}"#, r#"{"b":[1.0],"a":true}"#],
            &["1e23", "99999999999999991611392"],
            &[
                "9007199254740992",
                "9007199254740992.0",
                "9007199254740993.0",
            ],
            &["1e400", "2e400"],
            &["0.1", "1e-1", "0.10", "0.1000000000000000055"],
        ] {
            for a in class {
                for b in class {
                    assert_eq!(equality(a), equality(b), "{a} == {b}");
                }
            }
        }
        let distinct = [
            "null",
            "0",
            "1",
            "\"1\"",
            "\"true\"",
            "\"\"",
            "[]",
            "{}",
            "[[]]",
            "[0]",
            "[null]",
            "{\"a\":1}",
            "{\"a\":2}",
            "{\"b\":1}",
            "0.5",
            "100000000000000000000000",
            "1e23",
            "9007199254740993",
            "9007199254740992",
            "1e400",
            "-1e400",
            "\"+\"",
            "\"\u{e9}\"",
            "\"e\u{301}\"",
        ];
        for (index, a) in distinct.iter().enumerate() {
            for b in &distinct[index + 1..] {
                assert_ne!(equality(a), equality(b), "{a} != {b}");
            }
        }
    }

    #[test]
    fn numbers_print_as_python_prints_them() {
        for (token, printed) in [
            ("1", "1"),
            ("-0", "0"),
            ("12345678901234567890", "12345678901234567890"),
            ("1.0", "1.0"),
            ("-0.0", "-0.0"),
            ("1E5", "100000.0"),
            ("1e-7", "1e-07"),
            ("1.50", "1.5"),
            ("1e21", "1e+21"),
            ("1e400", "1e400"),
        ] {
            assert_eq!(python_number(token), printed);
        }
    }

    #[test]
    fn confidences_are_read_as_python_reads_floats() {
        let read = |text: &str| confidence(Some(&parse(text.as_bytes()).unwrap()));
        for (text, value) in [
            ("1", 1.0),
            ("true", 1.0),
            ("false", 0.0),
            ("\"0.7\"", 0.7),
            ("\" \\t\\u000b0.7\\u00a0\\n\"", 0.7),
            ("\"1_000.5\"", 1000.5),
            ("\"+.5\"", 0.5),
            ("\"5.\"", 5.0),
            ("\"1e5_0\"", 1e50),
            ("\"-1E-3\"", -0.001),
            ("\"٠.٥\"", 0.5),
            ("\"𝟏\"", 1.0),
            ("\"1e-400\"", 0.0),
        ] {
            assert_eq!(read(text), Some(value), "{text}");
        }
        assert!(read("-0").unwrap().is_sign_positive());
        assert!(read("\"-0\"").unwrap().is_sign_negative());
        for text in [
            "null",
            "[]",
            "{}",
            "[1]",
            "\"\"",
            "\" \"",
            "\"x\"",
            "\"nan\"",
            "\"inf\"",
            "\"-Infinity\"",
            "\"1e400\"",
            "1e400",
            "\"0x1\"",
            "\"1__0\"",
            "\"_1\"",
            "\"1_\"",
            "\"1_.5\"",
            "\"1._5\"",
            "\"1e_5\"",
            "\"1 2\"",
            "\".\"",
            "\"e5\"",
            "\"+-1\"",
            "\"1\\u0000\"",
            "\"1.5.2\"",
            "\"\\u001c1\"",
            "\"½\"",
            "\"²\"",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
        assert_eq!(confidence(None), None);
    }

    #[test]
    fn truth_and_text_of_scalars() {
        let value = |text: &'static str| parse(text.as_bytes()).unwrap();
        for text in [
            "null", "false", "0", "-0", "0.0", "-0.0", "0e9", "\"\"", "[]", "{}",
        ] {
            assert!(!is_truthy(&value(text)), "{text}");
        }
        for text in ["true", "1", "-0.5", "\" \"", "\"0\"", "[0]", "{\"\":null}"] {
            assert!(is_truthy(&value(text)), "{text}");
        }
        for (text, expected) in [
            ("true", Some("True")),
            ("false", Some("False")),
            ("1.0", Some("1.0")),
            ("1e-07", Some("1e-07")),
            ("7", Some("7")),
            ("\"s\"", Some("s")),
            ("null", None),
            ("[1]", None),
        ] {
            assert_eq!(python_str(&value(text)).as_deref(), expected);
        }
    }
}
