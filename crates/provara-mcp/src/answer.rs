//! What a tool gives back: one JSON object, as text and as structured content. In the text, what a
//! terminal might act on is escaped, as JSON allows: the value is the same.

use std::collections::HashMap;

use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::refusal::Refusal;

/// The most bytes that an answer may have.
pub(crate) const MAX_ANSWER: usize = 1 << 20;

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

    /// The text, and the same as a tree.
    pub(crate) fn finish(self) -> Result<(String, serde_json::Value), Refusal> {
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
        let tree = serde_json::from_str(&text).map_err(|error| {
            Refusal::new(
                &format!("The answer holds a number that has no JSON tree: {error}."),
                "Export the vault to read it.",
            )
        })?;
        Ok((text, tree))
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
        let (text, tree) = answer.finish().unwrap();
        assert_eq!(text, "{\"a\u{e9}\":\"x\\\"\",\"n\":1.0,\"b\":[1]}");
        assert_eq!(tree["b"][0], 1);
        assert_eq!(Answer::new().text(), "{}");
    }

    #[test]
    fn what_a_terminal_might_act_on_is_escaped_and_means_the_same() {
        let (text, tree) = Answer::new()
            .with("a", "\u{1b}\u{9b}\u{202e}")
            .finish()
            .unwrap();
        assert_eq!(text, r#"{"a":"\u001b\u009b\u202e"}"#);
        assert_eq!(tree["a"], "\u{1b}\u{9b}\u{202e}");
    }

    #[test]
    fn answers_are_bounded() {
        let long = "x".repeat(MAX_ANSWER);
        assert!(Answer::new().with("a", &long).finish().is_err());
    }
}
