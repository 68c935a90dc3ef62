//! `--set KEY=VALUE`: data given member by member, typed by the event type's schema.
//!
//! A key is a path: `user.name` is a member of a member, `tags[0]` an item (the next one or one
//! that is there), and `\.`, `\[` and `\\` stand for the characters themselves. The value takes the
//! type that the schema gives the path; where the schema allows several, a JSON literal of one of
//! them wins over a string. Without a schema, what reads as JSON is JSON and everything else is a
//! string.

mod types;

use std::collections::BTreeSet;

use provara_core::json::{self, ParseErrorKind, Value};

use self::types::Documents;
use crate::text::inline;

/// How deep a path may go; JSON itself ends at [`json::MAX_DEPTH`].
const MAX_SEGMENTS: usize = 64;

/// Why a `--set` cannot be applied. The texts are safe for a terminal.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SetError {
    /// There is no `=`.
    #[error("'{0}' has no '=': write KEY=VALUE")]
    NoValue(String),
    /// The key is no path.
    #[error("'{key}' is not a path: {reason}")]
    BadPath {
        /// The key.
        key: String,
        /// What is wrong.
        reason: &'static str,
    },
    /// The path leads through a value that has no members, or no items.
    #[error("'{key}' cannot be set: '{at}' is already {kind}")]
    NotAContainer {
        /// The key.
        key: String,
        /// The place on the way.
        at: String,
        /// What is there.
        kind: &'static str,
    },
    /// The index is neither that of an item nor the next one.
    #[error("'{key}' cannot be set: the array has {length} items")]
    NoSuchItem {
        /// The key.
        key: String,
        /// The array's length.
        length: usize,
    },
    /// One key is given twice.
    #[error("'{0}' is set twice")]
    Twice(String),
    /// The schema wants another type.
    #[error("'{value}' for '{key}' is not {wanted}")]
    WrongType {
        /// The key.
        key: String,
        /// The value as given.
        value: String,
        /// What the schema wants, in words.
        wanted: String,
    },
    /// The value is JSON that a signed event cannot carry, such as an object with a key twice.
    #[error("the value for '{key}' is JSON that cannot be signed: {error}")]
    BadJson {
        /// The key.
        key: String,
        /// What is wrong with the value.
        error: json::ParseError,
    },
    /// The schema is not JSON.
    #[error("the schema is not JSON: {0}")]
    Schema(json::ParseError),
}

/// Applies `--set` arguments in their order to an object.
///
/// `schema_json` is the JSON Schema of the event type, if there is one, and `schemas_json` the further ones that it
/// refers to, one JSON object by URI; they only give types, the result is validated elsewhere.
///
/// # Errors
/// [`SetError`] for the first argument that cannot be applied.
pub fn apply(
    base: Value<'static>,
    arguments: &[String],
    schema_json: Option<&str>,
    schemas_json: Option<&str>,
) -> Result<Value<'static>, SetError> {
    let parsed = |text: Option<&'_ str>| {
        let parsed = text.map(|text| json::parse(text.as_bytes()).map(Value::into_owned));
        parsed.transpose().map_err(SetError::Schema)
    };
    let (schema, further) = (parsed(schema_json)?, parsed(schemas_json)?);
    let documents = schema
        .as_ref()
        .map(|schema| Documents::new(schema, further.as_ref()));
    let mut data = base;
    let mut seen = BTreeSet::new();
    for argument in arguments {
        let (key, text) = split(argument)?;
        let path = parse_path(key)?;
        if !seen.insert(path.clone()) {
            return Err(SetError::Twice(inline(key).into_owned()));
        }
        let types = documents
            .as_ref()
            .map(|documents| documents.types_at(&path))
            .unwrap_or_default();
        let value = typed(key, text, &types)?;
        place(&mut data, key, &path, value)?;
    }
    Ok(data)
}

/// A step of a path.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    Member(String),
    Item(usize),
}

/// Splits at the first `=` that belongs to no escape; a key cannot contain one.
fn split(argument: &str) -> Result<(&str, &str), SetError> {
    argument
        .split_once('=')
        .ok_or_else(|| SetError::NoValue(inline(argument).into_owned()))
}

fn parse_path(key: &str) -> Result<Vec<Step>, SetError> {
    let bad = |reason| SetError::BadPath {
        key: inline(key).into_owned(),
        reason,
    };
    let mut steps = Vec::new();
    let mut name = String::new();
    let mut chars = key.chars().peekable();
    // Whether a name must follow: at the start and after a dot, but not after `[0]`.
    let mut expected = true;
    loop {
        match chars.next() {
            Some('\\') => match chars.next() {
                Some(c @ ('.' | '[' | ']' | '\\')) => name.push(c),
                _ => return Err(bad("a backslash stands before '.', '[', ']' or '\\' only")),
            },
            end @ (None | Some('.' | '[')) => {
                if expected || !name.is_empty() {
                    if name.is_empty() {
                        return Err(bad("a name is empty"));
                    }
                    steps.push(Step::Member(std::mem::take(&mut name)));
                }
                expected = false;
                match end {
                    None => break,
                    Some('.') => expected = true,
                    _ => {
                        let digits: String =
                            std::iter::from_fn(|| chars.next_if(char::is_ascii_digit)).collect();
                        let index = digits.parse().map_err(|_| bad("an index is a number"))?;
                        if chars.next() != Some(']') {
                            return Err(bad("an index ends with ']'"));
                        }
                        if !matches!(chars.peek(), None | Some('.' | '[')) {
                            return Err(bad("after an index comes '.' or '['"));
                        }
                        steps.push(Step::Item(index));
                    }
                }
            }
            Some(']') => return Err(bad("a ']' without '['")),
            Some(c) => {
                name.push(c);
                expected = true;
            }
        }
    }
    if steps.len() > MAX_SEGMENTS {
        return Err(bad("it is too deep"));
    }
    Ok(steps)
}

/// Reads a value as one of the types.
fn typed(key: &str, text: &str, types: &BTreeSet<String>) -> Result<Value<'static>, SetError> {
    let string = || Value::String(text.to_owned().into());
    let literal = match json::parse(text.as_bytes()) {
        Ok(value) => Some(value.into_owned()),
        // It was meant as JSON: taking it for a string would sign something else than was meant.
        Err(error) if !types.contains("string") && meant_as_json(text, &error.kind) => {
            return Err(SetError::BadJson {
                key: inline(key).into_owned(),
                error,
            });
        }
        Err(_) => None,
    };
    if types.is_empty() {
        return Ok(literal.unwrap_or_else(string));
    }
    let fits = |value: &Value<'_>| match value {
        Value::Null => types.contains("null"),
        Value::Bool(_) => types.contains("boolean"),
        // Whether a number is an integer is the validator's to say: 1.0 is one.
        Value::Number(_) => types.contains("number") || types.contains("integer"),
        Value::String(_) => false,
        Value::Array(_) => types.contains("array"),
        Value::Object(_) => types.contains("object"),
    };
    if let Some(value) = literal.filter(fits) {
        return Ok(value);
    }
    if types.contains("string") {
        return Ok(string());
    }
    Err(SetError::WrongType {
        key: inline(key).into_owned(),
        value: inline(text).into_owned(),
        wanted: wanted(types),
    })
}

/// Whether a text that is not strict JSON is hardly anything else. A name may begin like `NaN` and a
/// postal code with a zero, but not so a value in an array or an object.
fn meant_as_json(text: &str, error: &ParseErrorKind) -> bool {
    let number = matches!(
        error,
        ParseErrorKind::NotANumber | ParseErrorKind::BadNumber
    );
    let nested = text.trim_start().starts_with(['{', '[']);
    let no_number = matches!(text.trim(), "NaN" | "Infinity" | "-Infinity");
    error.is_strictness() || no_number || (number && nested)
}

fn wanted(types: &BTreeSet<String>) -> String {
    let words: Vec<&str> = types
        .iter()
        .map(|name| match name.as_str() {
            "array" => "an array as JSON",
            "object" => "an object as JSON",
            "boolean" => "true or false",
            "integer" => "an integer",
            "number" => "a number",
            "null" => "null",
            _ => "of the type that the schema names",
        })
        .collect();
    words.join(" or ")
}

/// Puts a value at a path, making the objects and arrays on the way.
fn place(
    data: &mut Value<'static>,
    key: &str,
    path: &[Step],
    value: Value<'static>,
) -> Result<(), SetError> {
    let mut slot = data;
    let mut at = String::new();
    for (index, step) in path.iter().enumerate() {
        let blocked = |kind| SetError::NotAContainer {
            key: inline(key).into_owned(),
            at: if at.is_empty() {
                "the data".to_owned()
            } else {
                inline(&at).into_owned()
            },
            kind,
        };
        // What a step creates is whatever the next step, or the value, makes of it.
        let hole = || match path.get(index + 1) {
            Some(Step::Item(_)) => Value::Array(Vec::new()),
            _ => Value::Object(Vec::new()),
        };
        let kind = slot.kind_name();
        slot = match (step, slot) {
            (Step::Member(name), Value::Object(members)) => {
                let position = members.iter().position(|(key, _)| key == name);
                let position = position.unwrap_or_else(|| {
                    members.push((name.clone().into(), hole()));
                    members.len() - 1
                });
                at = if at.is_empty() {
                    name.clone()
                } else {
                    format!("{at}.{name}")
                };
                &mut members[position].1
            }
            (Step::Item(number), Value::Array(items)) => {
                if *number > items.len() {
                    return Err(SetError::NoSuchItem {
                        key: inline(key).into_owned(),
                        length: items.len(),
                    });
                }
                if *number == items.len() {
                    items.push(hole());
                }
                at = format!("{at}[{number}]");
                &mut items[*number]
            }
            _ => return Err(blocked(kind)),
        };
    }
    *slot = value;
    Ok(())
}

#[cfg(test)]
mod tests;
