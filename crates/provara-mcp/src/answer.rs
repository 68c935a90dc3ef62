//! What a tool gives back: one JSON object, as text and as structured content. In the text, what a
//! terminal might act on is escaped, as JSON allows: the value is the same.

use std::collections::HashMap;

use provara_core::id::Digest;
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::refusal::Refusal;

/// The most bytes of text that one message gives. What is longer comes in parts, or in pages.
pub(crate) const MAX_TEXT: usize = 64_000;

/// The most bytes that a page holds which is filled up piece by piece: room is left for what goes around it.
pub(crate) const PAGE: usize = MAX_TEXT - 4_000;

/// The most bytes that an answer may have, in all of its parts together.
pub(crate) const MAX_ANSWER: usize = 8 << 20;

/// The most bytes of an answer that are tried for one part.
const PART: usize = 56_000;

/// A JSON object under construction. Parts that are canonical JSON already stay as they are.
#[derive(Debug, Clone)]
pub(crate) struct Answer(String);

impl Answer {
    pub(crate) fn new() -> Self {
        Self("{".to_owned())
    }

    /// Adds a member.
    pub(crate) fn with<T: Serialize + ?Sized>(self, name: &str, value: &T) -> Self {
        let value = serde_json::to_string(value).unwrap_or_else(|_| "null".to_owned());
        self.with_json(name, &value)
    }

    /// Adds those members of `value` that `properties`, an object of a schema, names, in its order: what the
    /// schema does not speak of is not told.
    pub(crate) fn with_properties<T: Serialize>(self, properties: &Value, value: &T) -> Self {
        // As text, because a tree would not hold every number that a log may.
        let text = serde_json::to_string(value).unwrap_or_default();
        let members: HashMap<&str, &RawValue> = serde_json::from_str(&text).unwrap_or_default();
        let names = properties.as_object().into_iter().flat_map(Map::keys);
        names.fold(self, |answer, name| match members.get(name.as_str()) {
            Some(value) => answer.with_json(name, value.get()),
            None => answer,
        })
    }

    /// Adds the members of an object.
    pub(crate) fn with_members<T: Serialize>(self, object: &T) -> Self {
        let text = serde_json::to_string(object).unwrap_or_default();
        let members = text.strip_prefix('{').and_then(|it| it.strip_suffix('}'));
        match members {
            Some(members) if !members.is_empty() => {
                let separator = if self.0.len() > 1 { "," } else { "" };
                Self(self.0 + separator + members)
            }
            _ => self,
        }
    }

    /// Adds a member that is JSON already.
    pub(crate) fn with_json(mut self, name: &str, value: &str) -> Self {
        if self.0.len() > 1 {
            self.0.push(',');
        }
        self.0.push('"');
        self.0.push_str(name);
        self.0.push_str("\":");
        self.0.push_str(value);
        self
    }

    /// The text of the whole object.
    pub(crate) fn text(self) -> String {
        self.0 + "}"
    }

    /// The text of the whole object, if it is not too long.
    pub(crate) fn whole(self) -> Result<String, Refusal> {
        let text = provara_plugins::text::json(&self.text()).into_owned();
        if text.len() > MAX_ANSWER {
            return Err(Refusal::new(
                &format!(
                    "The answer has {} bytes; at most {MAX_ANSWER} are given.",
                    text.len()
                ),
                "Ask for less: a smaller limit, a narrower filter, or an export.",
            ));
        }
        Ok(text)
    }

    /// The text of one message, and the same as a tree. An answer that is too long for one comes in parts,
    /// the first of them unless a cursor asks for another: texts that make up its JSON when they are joined.
    pub(crate) fn finish(
        self,
        cursor: Option<&str>,
    ) -> Result<(String, serde_json::Value), Refusal> {
        let mut text = self.whole()?;
        if cursor.is_some() || text.len() > MAX_TEXT {
            text = part(&text, cursor)?;
        }
        let tree = serde_json::from_str(&text).map_err(|error| {
            Refusal::new(
                &format!("The answer holds a number that has no JSON tree: {error}."),
                "Export the vault to read it.",
            )
        })?;
        Ok((text, tree))
    }
}

/// A part of an answer, as the text of an object. A cursor names a place in one text and no other: what
/// was joined out of two would be neither.
fn part(text: &str, cursor: Option<&str>) -> Result<String, Refusal> {
    let digest = Digest::of(text.as_bytes()).to_string();
    let tag = &digest[..8];
    let from = match cursor {
        None => Some(0),
        Some(cursor) => cursor
            .split_once('.')
            .filter(|(_, of)| *of == tag)
            .and_then(|(from, _)| from.parse().ok())
            .filter(|from| *from < text.len() && text.is_char_boundary(*from)),
    };
    let Some(from) = from else {
        return Err(Refusal::new(
            "'cursor' does not fit this answer: it is of another call, or the answer has changed since.",
            "Call again without 'cursor' to begin anew.",
        ));
    };
    let rest = &text[from..];
    let mut length = PART;
    loop {
        let end = (0..=length.min(rest.len()))
            .rev()
            .find(|at| rest.is_char_boundary(*at));
        let end = end.unwrap_or(rest.len());
        let mut answer = Answer::new()
            .with("part", &rest[..end])
            .with("part_of_bytes", &text.len());
        if from + end < text.len() {
            answer = answer.with("next_cursor", &format!("{}.{tag}", from + end));
        }
        let answer = provara_plugins::text::json(&answer.text()).into_owned();
        // Quotes take two bytes, and other characters up to six.
        if answer.len() <= MAX_TEXT {
            return Ok(answer);
        }
        length = length / 4 * 3;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_stay_as_they_are() {
        let answer = Answer::new()
            .with("a\u{e9}", "x\"")
            .with_json("n", "1.0")
            .with("b", &[1]);
        let (text, tree) = answer.finish(None).unwrap();
        assert_eq!(text, "{\"a\u{e9}\":\"x\\\"\",\"n\":1.0,\"b\":[1]}");
        assert_eq!(tree["b"][0], 1);
        assert_eq!(Answer::new().text(), "{}");
    }

    #[test]
    fn what_a_terminal_might_act_on_is_escaped_and_means_the_same() {
        let (text, tree) = Answer::new()
            .with("a", "\u{1b}\u{9b}\u{202e}")
            .finish(None)
            .unwrap();
        assert_eq!(text, r#"{"a":"\u001b\u009b\u202e"}"#);
        assert_eq!(tree["a"], "\u{1b}\u{9b}\u{202e}");
    }

    #[test]
    fn answers_are_bounded() {
        let long = "x".repeat(MAX_ANSWER);
        assert!(Answer::new().with("a", &long).finish(None).is_err());
    }

    #[test]
    fn what_is_long_comes_in_parts() {
        for unit in ["x", "\"", "é", "\u{1}", "😀"] {
            let answer = Answer::new().with("a", &unit.repeat(150_000 / unit.len()));
            let whole = answer.clone().whole().unwrap();
            let (mut joined, mut cursor) = (String::new(), None::<String>);
            loop {
                let (text, tree) = answer.clone().finish(cursor.as_deref()).unwrap();
                assert!(text.len() <= MAX_TEXT);
                assert_eq!(tree["part_of_bytes"], whole.len());
                joined.push_str(tree["part"].as_str().unwrap());
                cursor = tree
                    .get("next_cursor")
                    .and_then(|it| it.as_str())
                    .map(str::to_owned);
                let Some(cursor) = &cursor else { break };
                // No other text is continued there.
                assert!(answer.clone().with("b", &1).finish(Some(cursor)).is_err());
            }
            assert_eq!(joined, whole);
        }
        for wrong in ["0", "", ".", "0.00000000", "-1.x"] {
            assert!(Answer::new().with("a", &1).finish(Some(wrong)).is_err());
        }
        let short = Answer::new().with("a", &1);
        assert_eq!(short.clone().finish(None).unwrap().0, short.text());
    }
}
