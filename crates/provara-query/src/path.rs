//! Ways into an event, such as `payload.user.emails[0]` or `payload["id.orig_h"]`.

use std::fmt;
use std::str::FromStr;

use provara_core::json::{self, Value};

/// One step of a [`Path`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    Key(String),
    Index(usize),
}

/// A way into an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Path(pub(crate) Vec<Step>);

/// A text is no path.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is no path (as in payload.user.emails[0] or payload[\"id.orig_h\"])")]
pub struct PathError(pub String);

impl FromStr for Path {
    type Err = PathError;

    fn from_str(text: &str) -> Result<Self, PathError> {
        match leading(text) {
            Some((path, "")) => Ok(path),
            _ => Err(PathError(text.to_owned())),
        }
    }
}

/// What ends a name in a path, or cannot stand in one: where it is part of a key, the key is quoted.
const NOT_IN_NAMES: &[char] = &[
    '=', '.', '[', ']', '"', '\'', '`', '(', ')', '<', '>', '!', '&', '|', '?', '{', '}', ',',
];

/// The path that a text begins with, and what follows it.
pub(crate) fn leading(text: &str) -> Option<(Path, &str)> {
    let mut steps = Vec::new();
    let mut rest = text;
    loop {
        let end = rest.find(NOT_IN_NAMES).unwrap_or(rest.len());
        let name = &rest[..end];
        if name.is_empty() || name.trim() != name {
            return None;
        }
        steps.push(Step::Key(name.to_owned()));
        rest = &rest[end..];
        while let Some(inner) = rest.strip_prefix('[') {
            let (step, after) = bracketed(inner)?;
            steps.push(step);
            rest = after;
        }
        match rest.strip_prefix('.') {
            Some(after) => rest = after,
            None => return Some((Path(steps), rest)),
        }
    }
}

/// Reads `0]`, `"key"]` or `'key']`, and gives what follows.
fn bracketed(inner: &str) -> Option<(Step, &str)> {
    let quote = inner.chars().next().filter(|c| matches!(c, '"' | '\''));
    let Some(quote) = quote else {
        let (index, after) = inner.split_once(']')?;
        return Some((Step::Index(index.parse().ok()?), after));
    };
    let mut escaped = false;
    let end = inner.char_indices().skip(1).find_map(|(at, c)| {
        let closes = c == quote && !escaped;
        escaped = c == '\\' && !escaped;
        closes.then_some(at)
    })?;
    let key = &inner[1..end];
    let key = match json::parse(format!("\"{key}\"").as_bytes()) {
        Ok(Value::String(key)) if quote == '"' => key.into_owned(),
        _ if quote == '\'' && !key.contains('\\') => key.to_owned(),
        _ => return None,
    };
    let after = inner[end + 1..].strip_prefix(']')?;
    Some((Step::Key(key), after))
}

impl Path {
    /// The value at the path, if the event has one.
    #[must_use]
    pub fn find<'v, 'a>(&self, event: &'v Value<'a>) -> Option<&'v Value<'a>> {
        self.0.iter().try_fold(event, |value, step| match step {
            Step::Key(key) => value.get(key),
            Step::Index(index) => value.as_array()?.get(*index),
        })
    }

    /// The path that may have been meant by one at which the event has nothing: a dot that is part of a name
    /// (`payload["id.orig_h"]` for `payload.id.orig_h`), or what was recorded without the payload around it.
    #[must_use]
    pub fn meant_in(&self, event: &Value<'_>) -> Option<Self> {
        let mut steps = Vec::new();
        if joined(&self.0, event, &mut steps) {
            return Some(Self(steps));
        }
        steps.clear();
        let payload = "payload";
        steps.push(Step::Key(payload.to_owned()));
        let found = joined(&self.0, event.get(payload)?, &mut steps);
        found.then_some(Self(steps))
    }

    /// The member of the event, at its top level, where the path begins.
    #[must_use]
    pub fn member(&self) -> &str {
        match self.0.first() {
            Some(Step::Key(key)) => key,
            // A path begins with a key.
            _ => "",
        }
    }

    /// Whether the path is a member of the event itself.
    #[must_use]
    pub fn is_member(&self) -> bool {
        self.0.len() == 1
    }
}

/// Finds a value at the steps, where names that follow each other may be one name with dots in it.
fn joined(steps: &[Step], value: &Value<'_>, taken: &mut Vec<Step>) -> bool {
    let Some((step, rest)) = steps.split_first() else {
        return true;
    };
    let key = match step {
        Step::Key(key) => key,
        Step::Index(index) => {
            let items = value.as_array();
            let Some(item) = items.and_then(|items| items.get(*index)) else {
                return false;
            };
            taken.push(step.clone());
            let found = joined(rest, item, taken);
            if !found {
                taken.pop();
            }
            return found;
        }
    };
    let (mut name, mut rest) = (key.clone(), rest);
    loop {
        if let Some(member) = value.get(&name) {
            taken.push(Step::Key(name.clone()));
            if joined(rest, member, taken) {
                return true;
            }
            taken.pop();
        }
        let Some((Step::Key(more), after)) = rest.split_first() else {
            return false;
        };
        name.push('.');
        name.push_str(more);
        rest = after;
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, step) in self.0.iter().enumerate() {
            match step {
                Step::Index(index) => write!(f, "[{index}]")?,
                Step::Key(key) => {
                    let plain = key.chars().all(|c| c.is_alphanumeric() || c == '_');
                    if at == 0 {
                        f.write_str(key)?;
                    } else if plain && !key.starts_with(|c: char| c.is_ascii_digit()) {
                        write!(f, ".{key}")?;
                    } else {
                        write!(f, "[{key:?}]")?;
                    }
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_can_be_reached() {
        let event = json::parse(
            br#"{"payload":{"id.orig_h":1,"a\"b":2,"tags":[{"x y":3}],"a-b":4,"n:m":5}}"#,
        );
        let event = event.unwrap();
        for (text, token) in [
            ("payload[\"id.orig_h\"]", "1"),
            ("payload['id.orig_h']", "1"),
            ("payload[\"a\\\"b\"]", "2"),
            ("payload.tags[0].x y", "3"),
            ("payload.tags[0][\"x y\"]", "3"),
            ("payload.a-b", "4"),
            ("payload.n:m", "5"),
        ] {
            let path: Path = text.parse().unwrap();
            let expected = json::parse(token.as_bytes()).unwrap();
            assert_eq!(path.find(&event), Some(&expected), "{text}");
            let again: Path = path.to_string().parse().unwrap();
            assert_eq!(again, path, "{path}");
        }
    }

    #[test]
    fn a_dot_that_is_part_of_a_name_is_found() {
        let event = json::parse(
            br#"{"type":"t","payload":{"id":{"a":1},"id.orig_h":"x","a":{"b.c":[{"d.e.f":2}]}}}"#,
        );
        let event = event.unwrap();
        for (asked, meant) in [
            ("payload.id.orig_h", Some("payload[\"id.orig_h\"]")),
            ("id.orig_h", Some("payload[\"id.orig_h\"]")),
            ("id.a", Some("payload.id.a")),
            (
                "payload.a.b.c[0].d.e.f",
                Some("payload.a[\"b.c\"][0][\"d.e.f\"]"),
            ),
            ("payload.a.b.c[1].d.e.f", None),
            ("payload.id.resp_h", None),
            ("nope", None),
        ] {
            let path: Path = asked.parse().unwrap();
            assert_eq!(path.find(&event), None, "{asked}");
            let found = path.meant_in(&event).map(|path| path.to_string());
            assert_eq!(found.as_deref(), meant, "{asked}");
        }
    }

    #[test]
    fn what_is_no_path_is_none() {
        for text in [
            "", ".", "a.", "a..b", "[0]", "a[", "a[x]", "a[0", "a[0]b", "a[\"x]", "a[\"x\"", "a ",
            "a[-1]", "a['\\']", "a>b",
        ] {
            assert!(text.parse::<Path>().is_err(), "{text}");
        }
    }
}
