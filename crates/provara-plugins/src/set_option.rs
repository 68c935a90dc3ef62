//! `--set KEY=VALUE`: data given member by member, typed by the event type's schema.
//!
//! A key is a path: `user.name` is a member of a member, `tags[0]` an item (the next one or one
//! that is there), and `\.`, `\[` and `\\` stand for the characters themselves. The value takes the
//! type that the schema gives the path; where the schema allows several, a JSON literal of one of
//! them wins over a string. Without a schema, what reads as JSON is JSON and everything else is a
//! string.

use std::collections::{BTreeSet, HashSet};

use provara_core::json::{self, ParseErrorKind, Value};

use crate::text::inline;

/// How deep a path may go; JSON itself ends at [`json::MAX_DEPTH`].
const MAX_SEGMENTS: usize = 64;

/// How many references are followed on one path; a schema may refer to itself.
const MAX_REFERENCES: usize = 32;

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
/// `schema_json` is the JSON Schema of the event type, if there is one; it only gives types, the
/// result is validated elsewhere.
///
/// # Errors
/// [`SetError`] for the first argument that cannot be applied.
pub fn apply(
    base: Value<'static>,
    arguments: &[String],
    schema_json: Option<&str>,
) -> Result<Value<'static>, SetError> {
    let schema = match schema_json {
        Some(text) => Some(json::parse(text.as_bytes()).map_err(SetError::Schema)?),
        None => None,
    };
    let mut data = base;
    let mut seen = BTreeSet::new();
    for argument in arguments {
        let (key, text) = split(argument)?;
        let path = parse_path(key)?;
        if !seen.insert(path.clone()) {
            return Err(SetError::Twice(inline(key).into_owned()));
        }
        let types = schema
            .as_ref()
            .map(|schema| types_at(schema, &path))
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

/// The types that a schema allows at a path. Empty means that it does not say.
fn types_at(root: &Value<'_>, path: &[Step]) -> BTreeSet<String> {
    let mut schemas = expand(root, vec![root]);
    for step in path {
        let next = schemas
            .iter()
            .flat_map(|schema| below(schema, step))
            .collect();
        schemas = expand(root, next);
    }
    // Alternatives add up: the validator decides between them afterwards.
    schemas
        .iter()
        .flat_map(|schema| own_types(schema))
        .collect()
}

/// The schemas together with those that they refer to or combine.
fn expand<'a>(root: &'a Value<'a>, start: Vec<&'a Value<'a>>) -> Vec<&'a Value<'a>> {
    let mut found: Vec<&Value<'_>> = Vec::new();
    let mut seen = HashSet::new();
    let mut open = start;
    let mut references = 0;
    while let Some(schema) = open.pop() {
        if !seen.insert(std::ptr::from_ref(schema)) {
            continue;
        }
        found.push(schema);
        for keyword in ["allOf", "anyOf", "oneOf"] {
            open.extend(
                schema
                    .get(keyword)
                    .and_then(Value::as_array)
                    .into_iter()
                    .flatten(),
            );
        }
        for keyword in ["then", "else"] {
            open.extend(schema.get(keyword));
        }
        let reference = schema.get("$ref").and_then(Value::as_str);
        if let Some(target) = reference.and_then(|reference| resolve(root, reference)) {
            references += 1;
            if references <= MAX_REFERENCES {
                open.push(target);
            }
        }
    }
    found
}

/// Follows a `$ref` that is a JSON Pointer into the schema itself.
fn resolve<'a>(root: &'a Value<'a>, reference: &str) -> Option<&'a Value<'a>> {
    let pointer = reference.strip_prefix('#')?;
    let mut value = root;
    for segment in pointer.split('/').skip(1) {
        let segment = segment.replace("~1", "/").replace("~0", "~");
        value = match value {
            Value::Array(items) => items.get(segment.parse::<usize>().ok()?)?,
            _ => value.get(&segment)?,
        };
    }
    Some(value)
}

/// The schemas that apply one step further down.
fn below<'a>(schema: &'a Value<'a>, step: &Step) -> Vec<&'a Value<'a>> {
    let found = match step {
        Step::Member(name) => schema
            .get("properties")
            .and_then(|properties| properties.get(name))
            .or_else(|| schema.get("additionalProperties")),
        Step::Item(index) => schema
            .get("prefixItems")
            .and_then(Value::as_array)
            .and_then(|items| items.get(*index))
            .or_else(|| schema.get("items")),
    };
    found.into_iter().collect()
}

/// The types that one schema names, through `type`, `const` or `enum`.
fn own_types(schema: &Value<'_>) -> Vec<String> {
    let kind = |value: &Value<'_>| {
        match value {
            Value::Null => "null",
            Value::Bool(_) => "boolean",
            Value::Number(_) => "number",
            Value::String(_) => "string",
            Value::Array(_) => "array",
            Value::Object(_) => "object",
        }
        .to_owned()
    };
    match schema.get("type") {
        Some(Value::String(name)) => vec![name.clone().into_owned()],
        Some(Value::Array(names)) => names
            .iter()
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect(),
        _ => match (
            schema.get("const"),
            schema.get("enum").and_then(Value::as_array),
        ) {
            (Some(value), _) => vec![kind(value)],
            (None, Some(values)) => values.iter().map(kind).collect(),
            (None, None) => Vec::new(),
        },
    }
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
mod tests {
    use super::*;
    use provara_core::canonical::token_preserving;

    fn set_on(base: &str, arguments: &[&str], schema: Option<&str>) -> Result<String, SetError> {
        let arguments: Vec<String> = arguments.iter().map(|text| (*text).to_owned()).collect();
        let base = json::parse(base.as_bytes()).unwrap().into_owned();
        apply(base, &arguments, schema)
            .map(|value| String::from_utf8(token_preserving(&value)).unwrap())
    }

    fn set(arguments: &[&str], schema: Option<&str>) -> Result<String, SetError> {
        set_on("{}", arguments, schema)
    }

    const SCHEMA: Option<&str> = Some(
        r##"{"properties":{
            "name":{"type":"string"}, "count":{"type":"integer"}, "on":{"type":"boolean"},
            "maybe":{"type":["string","null"]}, "tags":{"items":{"type":"string"}},
            "level":{"enum":["1","2"]}, "user":{"$ref":"#/$defs/user"},
            "either":{"anyOf":[{"type":"number"},{"type":"boolean"}]},
            "list":{"type":"array"}, "open":{}},
            "$defs":{"user":{"properties":{"id":{"type":"string"},"self":{"$ref":"#/$defs/user"}}}}}"##,
    );

    #[test]
    fn the_schema_gives_the_types() {
        for (argument, expected) in [
            ("name=5", r#"{"name":"5"}"#),
            ("name=\"5\"", r#"{"name":"\"5\""}"#),
            ("name=", r#"{"name":""}"#),
            ("name=a=b", r#"{"name":"a=b"}"#),
            ("count=5", r#"{"count":5}"#),
            ("on=true", r#"{"on":true}"#),
            ("maybe=null", r#"{"maybe":null}"#),
            ("maybe=5", r#"{"maybe":"5"}"#),
            ("level=1", r#"{"level":"1"}"#),
            ("user.id=7", r#"{"user":{"id":"7"}}"#),
            (
                "user.self.self.id=7",
                r#"{"user":{"self":{"self":{"id":"7"}}}}"#,
            ),
            ("either=1.50", r#"{"either":1.50}"#),
            ("either=false", r#"{"either":false}"#),
            ("list=[1,\"a\"]", r#"{"list":[1,"a"]}"#),
            ("open=5", r#"{"open":5}"#),
            ("open=text", r#"{"open":"text"}"#),
            ("unknown=true", r#"{"unknown":true}"#),
        ] {
            assert_eq!(
                set(&[argument], SCHEMA).as_deref(),
                Ok(expected),
                "{argument}"
            );
        }
        assert_eq!(
            set(&["tags[0]=1", "tags[1]=true"], SCHEMA).as_deref(),
            Ok(r#"{"tags":["1","true"]}"#)
        );
    }

    #[test]
    fn a_wrong_type_says_what_is_wanted() {
        for (argument, text) in [
            ("count=five", "'five' for 'count' is not an integer"),
            ("on=yes", "'yes' for 'on' is not true or false"),
            (
                "either=x",
                "'x' for 'either' is not true or false or a number",
            ),
            ("list=1", "'1' for 'list' is not an array as JSON"),
        ] {
            assert_eq!(set(&[argument], SCHEMA).unwrap_err().to_string(), text);
        }
    }

    #[test]
    fn without_a_schema_json_is_json() {
        assert_eq!(
            set(
                &[
                    "a=1",
                    "b=x",
                    "c={\"d\":[null]}",
                    "e=\"1\"",
                    "f=01",
                    "g.h=true"
                ],
                None
            )
            .as_deref(),
            Ok(r#"{"a":1,"b":"x","c":{"d":[null]},"e":"1","f":"01","g":{"h":true}}"#)
        );
    }

    /// Comparing every part of a schema with every other one would take minutes here.
    #[test]
    fn a_large_schema_takes_time_in_proportion() {
        let parts = vec![r#"{"type":"string"}"#; 100_000].join(",");
        let schema = format!("{{\"allOf\":[{parts}]}}");
        let started = std::time::Instant::now();
        assert!(set(&["a=1"], Some(&schema)).is_ok());
        let taken = started.elapsed();
        assert!(taken.as_secs() < 20, "{taken:?}");
    }

    #[test]
    fn what_was_meant_as_json_is_not_signed_as_text() {
        for text in ["NaN", "-Infinity", "{\"x\":NaN}", "[1,-Infinity]", "[01]"] {
            let refused = set(&[&format!("a={text}")], None);
            assert!(matches!(refused, Err(SetError::BadJson { .. })), "{text}");
            let schema = r#"{"properties":{"a":{"type":"string"}}}"#;
            assert!(set(&[&format!("a={text}")], Some(schema)).is_ok(), "{text}");
        }
        for text in ["Nora", "Inf", "01067", "1.2.3", "[draft"] {
            assert!(set(&[&format!("a={text}")], None).is_ok(), "{text}");
        }
    }

    #[test]
    fn paths() {
        assert_eq!(
            set(
                &["a\\.b=1", "c[0].d=2", "c[1][0]=3", "e.f=4", "e.g=5"],
                None
            )
            .as_deref(),
            Ok(r#"{"a.b":1,"c":[{"d":2},[3]],"e":{"f":4,"g":5}}"#)
        );
        for bad in [
            "=1", "a..b=1", ".a=1", "a.=1", "a[=1", "a[x]=1", "a[0]b=1", "a]=1", "\\a=1",
        ] {
            assert!(
                matches!(set(&[bad], None), Err(SetError::BadPath { .. })),
                "{bad}"
            );
        }
        assert!(matches!(set(&["a"], None), Err(SetError::NoValue(_))));
        let deep = format!("{}=1", vec!["a"; 65].join("."));
        assert!(matches!(set(&[&deep], None), Err(SetError::BadPath { .. })));
    }

    #[test]
    fn what_is_there_is_kept_or_replaced_but_not_broken() {
        assert_eq!(
            set_on(r#"{"a":{"b":1},"c":2}"#, &["a.d=3", "c=4"], None).as_deref(),
            Ok(r#"{"a":{"b":1,"d":3},"c":4}"#)
        );
        assert_eq!(
            set(&["a=1", "a.b=2"], None).unwrap_err().to_string(),
            "'a.b' cannot be set: 'a' is already a number"
        );
        assert_eq!(
            set(&["a=1", "a=2"], None),
            Err(SetError::Twice("a".to_owned()))
        );
        assert_eq!(
            set(&["a[0]=1", "a[2]=2"], None),
            Err(SetError::NoSuchItem {
                key: "a[2]".to_owned(),
                length: 1
            })
        );
        assert!(matches!(
            set(&["[0]=1"], None),
            Err(SetError::BadPath { .. })
        ));
    }
}
