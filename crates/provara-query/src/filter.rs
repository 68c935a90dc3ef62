//! One condition, ready to be held against events.

use std::str::FromStr;
use std::sync::atomic::{AtomicBool, Ordering};

use jiff::Timestamp;
use provara_core::json::{self, Value};
use provara_core::query::Predicate;

use crate::evaluate::{holds, is_value};
use crate::node::{Comparison, Node};
use crate::parse::parse;
use crate::path::{Path, leading};
use crate::token::ExpressionError;

/// A condition: an expression, or the short form `PATH=VALUE`.
#[derive(Debug)]
pub struct Filter {
    text: String,
    condition: Condition,
    needle: Option<Vec<u8>>,
    exhausted: AtomicBool,
}

#[derive(Debug)]
enum Condition {
    Expression(Node),
    Short {
        path: Path,
        /// The value as JSON, if the text is JSON.
        json: Option<Value<'static>>,
        /// The text as given.
        text: String,
    },
}

/// A place in events that a condition cannot be true without.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Read {
    /// Where.
    pub path: Path,
    /// What has to stand there, where only one kind will do.
    pub kind: Option<Kind>,
    /// Whether a value that is written would be as usual there: the right side of a comparison, an item of a
    /// list, what a text is searched for. A word there may be a text that lacks its quotes.
    pub in_place_of_value: bool,
}

impl Read {
    /// A member that is read, whatever its kind.
    #[must_use]
    pub fn of(path: Path) -> Self {
        Self {
            path,
            kind: None,
            in_place_of_value: false,
        }
    }
}

/// A kind of value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A number.
    Number,
    /// A string.
    Text,
    /// `true` or `false`, to compare with.
    Truth,
    /// `true` or `false`, as a condition.
    Condition,
    /// A string with a time, as events have it.
    Time,
    /// A number, or a string with one.
    Numeric,
}

impl Kind {
    /// Whether the value is of this kind.
    #[must_use]
    pub fn is(self, value: &Value<'_>) -> bool {
        match self {
            Self::Number => matches!(value, Value::Number(_)),
            Self::Text => matches!(value, Value::String(_)),
            Self::Truth | Self::Condition => matches!(value, Value::Bool(_)),
            Self::Time => value
                .as_str()
                .is_some_and(|it| it.parse::<Timestamp>().is_ok()),
            Self::Numeric => {
                let written =
                    |text: &str| matches!(json::parse(text.as_bytes()), Ok(Value::Number(_)));
                Self::Number.is(value) || value.as_str().is_some_and(written)
            }
        }
    }
}

impl FromStr for Filter {
    type Err = ExpressionError;

    fn from_str(text: &str) -> Result<Self, ExpressionError> {
        let condition = match short(text) {
            Some(condition) => condition,
            None => Condition::Expression(parse(text)?),
        };
        Ok(Self {
            text: text.to_owned(),
            needle: condition.needle(),
            condition,
            exhausted: AtomicBool::new(false),
        })
    }
}

/// `PATH=VALUE`. The first `=` decides: `==`, `>=` and the like belong to an expression.
fn short(text: &str) -> Option<Condition> {
    let (path, rest) = leading(text)?;
    let value = rest.strip_prefix('=')?;
    if value.starts_with('=') {
        return None;
    }
    Some(Condition::Short {
        path,
        json: json::parse(value.as_bytes()).ok().map(Value::into_owned),
        text: value.to_owned(),
    })
}

impl Condition {
    /// The bytes that a line has to contain: a text that is written in it as it is.
    fn needle(&self) -> Option<Vec<u8>> {
        let wanted = match self {
            Self::Short {
                json: None, text, ..
            } => text,
            Self::Short { .. } => return None,
            Self::Expression(Node::And(nodes)) => nodes.iter().find_map(equal_text)?,
            Self::Expression(node) => equal_text(node)?,
        };
        // Of these every canonical form makes the same bytes.
        let plain = |b: u8| matches!(b, b' '..=b'~') && b != b'"' && b != b'\\';
        wanted
            .bytes()
            .all(plain)
            .then(|| format!("\"{wanted}\"").into_bytes())
    }
}

/// The text of `path == "text"`.
fn equal_text(node: &Node) -> Option<&str> {
    let Node::Compare(Comparison::Equal, sides) = node else {
        return None;
    };
    match &**sides {
        [Node::Constant(Value::String(text)), other]
        | [other, Node::Constant(Value::String(text))]
            if other.path().is_some() =>
        {
            Some(text)
        }
        _ => None,
    }
}

impl Predicate for Filter {
    fn holds(&self, event: &Value<'_>) -> bool {
        match &self.condition {
            Condition::Short { path, json, text } => path
                .find(event)
                .is_some_and(|found| is_value(found, json.as_ref(), text)),
            // What it would come to is not worth knowing any more.
            Condition::Expression(_) if self.is_exhausted() => false,
            Condition::Expression(node) => holds(node, event).unwrap_or_else(|_| {
                self.exhausted.store(true, Ordering::Relaxed);
                false
            }),
        }
    }

    fn needle(&self) -> Option<&[u8]> {
        self.needle.as_deref()
    }

    fn is_exhausted(&self) -> bool {
        self.exhausted.load(Ordering::Relaxed)
    }
}

impl Filter {
    /// The condition as it was written.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The places that the condition reads, wherever it does not ask whether they are there.
    #[must_use]
    pub fn reads(&self) -> Vec<Read> {
        let mut reads = Vec::new();
        match &self.condition {
            Condition::Short { path, .. } => reads.push(Read::of(path.clone())),
            Condition::Expression(node) => gather(node, Some(Kind::Condition), &mut reads),
        }
        reads
    }
}

fn add(read: Read, reads: &mut Vec<Read>) {
    if !reads.contains(&read) {
        reads.push(read);
    }
}

/// As [`gather`], where a value that is written would be as usual.
fn gather_value(node: &Node, kind: Option<Kind>, reads: &mut Vec<Read>) {
    match node.path() {
        Some(path) => {
            let in_place_of_value = true;
            let read = Read {
                path,
                kind,
                in_place_of_value,
            };
            add(read, reads);
        }
        None => gather(node, kind, reads),
    }
}

fn gather(node: &Node, kind: Option<Kind>, reads: &mut Vec<Read>) {
    if let Some(path) = node.path() {
        let in_place_of_value = false;
        let read = Read {
            path,
            kind,
            in_place_of_value,
        };
        return add(read, reads);
    }
    let of = |node: &Node| match node {
        Node::Constant(Value::Number(_)) | Node::Size(_) | Node::Number(_) => Some(Kind::Number),
        Node::Constant(Value::String(_)) => Some(Kind::Text),
        Node::Constant(Value::Bool(_)) => Some(Kind::Truth),
        _ => None,
    };
    match node {
        Node::Has(_) => {}
        Node::Compare(Comparison::NotEqual, sides) => {
            gather(&sides[0], None, reads);
            gather_value(&sides[1], None, reads);
        }
        Node::Compare(_, sides) => {
            gather(&sides[0], of(&sides[1]), reads);
            gather_value(&sides[1], of(&sides[0]), reads);
        }
        Node::Text(_, sides) => {
            gather(&sides[0], Some(Kind::Text), reads);
            gather_value(&sides[1], Some(Kind::Text), reads);
        }
        Node::In(sides) => {
            gather_value(&sides[0], None, reads);
            gather(&sides[1], None, reads);
        }
        Node::List(items) => items
            .iter()
            .for_each(|item| gather_value(item, None, reads)),
        Node::Matches(value, _) => gather(value, Some(Kind::Text), reads),
        Node::Timestamp(value) => gather(value, Some(Kind::Time), reads),
        Node::Number(value) => gather(value, Some(Kind::Numeric), reads),
        Node::Not(_) | Node::And(_) | Node::Or(_) => node
            .children()
            .into_iter()
            .for_each(|child| gather(child, Some(Kind::Condition), reads)),
        Node::Choice(parts) => {
            gather(&parts[0], Some(Kind::Condition), reads);
            parts[1..].iter().for_each(|part| gather(part, kind, reads));
        }
        Node::Each(_, parts) => {
            gather(&parts[0], None, reads);
            gather(&parts[1], Some(Kind::Condition), reads);
        }
        _ => node
            .children()
            .into_iter()
            .for_each(|child| gather(child, None, reads)),
    }
}
