//! Choosing events of a log by type, actor, time and content, without an index.
//!
//! A canonical line carries its type and actor as literal text, so most lines are refused by a
//! search for that text before they are scanned.

use std::borrow::Cow;
use std::str::FromStr;

use memchr::memmem::Finder;

use crate::canonical::write_string;
use crate::json::{self, Value};
use crate::scan::{Field, Line, scan_line};
use crate::time::Timestamp;

/// One step of a [`Path`].
#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Key(String),
    Index(usize),
}

/// A way into an event, such as `payload.user.emails[0]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Path(Vec<Step>);

/// A text is no path.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is no path (as in payload.user.emails[0])")]
pub struct PathError(String);

impl FromStr for Path {
    type Err = PathError;

    fn from_str(text: &str) -> Result<Self, PathError> {
        let wrong = || PathError(text.to_owned());
        let mut steps = Vec::new();
        for part in text.split('.') {
            let (name, mut rest) = part.split_at(part.find('[').unwrap_or(part.len()));
            if name.is_empty() {
                return Err(wrong());
            }
            steps.push(Step::Key(name.to_owned()));
            while let Some(inner) = rest.strip_prefix('[') {
                let (index, after) = inner.split_once(']').ok_or_else(wrong)?;
                steps.push(Step::Index(index.parse().map_err(|_| wrong())?));
                rest = after;
            }
            if !rest.is_empty() {
                return Err(wrong());
            }
        }
        Ok(Self(steps))
    }
}

impl Path {
    fn find<'v, 'a>(&self, event: &'v Value<'a>) -> Option<&'v Value<'a>> {
        self.0.iter().try_fold(event, |value, step| match step {
            Step::Key(key) => value.get(key),
            Step::Index(index) => value.as_array()?.get(*index),
        })
    }
}

/// `PATH=VALUE`: the value at the path is this JSON value, or this text where it is no JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    path: Path,
    /// The value as JSON, if the text is JSON.
    json: Option<Value<'static>>,
    /// The text as given.
    text: String,
}

/// A text is no condition.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConditionError {
    /// There is no `=`.
    #[error("'{0}' is not of the form PATH=VALUE")]
    Form(String),
    /// What stands before the `=` is no path.
    #[error(transparent)]
    Path(#[from] PathError),
}

impl FromStr for Condition {
    type Err = ConditionError;

    fn from_str(text: &str) -> Result<Self, ConditionError> {
        let (path, value) = text
            .split_once('=')
            .ok_or_else(|| ConditionError::Form(text.to_owned()))?;
        Ok(Self {
            path: path.parse()?,
            json: json::parse(value.as_bytes()).ok().map(Value::into_owned),
            text: value.to_owned(),
        })
    }
}

impl Condition {
    /// The member of the event, at its top level, where the path begins.
    #[must_use]
    pub fn member(&self) -> &str {
        match self.path.0.first() {
            Some(Step::Key(key)) => key,
            // A path begins with a key.
            _ => "",
        }
    }

    fn holds(&self, event: &Value<'_>) -> bool {
        let Some(found) = self.path.find(event) else {
            return false;
        };
        let same = self
            .json
            .as_ref()
            .is_some_and(|wanted| equal(found, wanted));
        same || found.as_str() == Some(&self.text)
    }
}

/// Whether two values are the same JSON: numbers by value, objects whatever the order of their
/// keys.
fn equal(a: &Value<'_>, b: &Value<'_>) -> bool {
    match (a, b) {
        (Value::Number(x), Value::Number(y)) => {
            // Integers of any length are the same only if their digits are.
            let integers = json::is_integer_token(x) && json::is_integer_token(y);
            x == y || (!integers && a.as_f64() == b.as_f64())
        }
        (Value::Array(x), Value::Array(y)) => {
            x.len() == y.len() && x.iter().zip(y).all(|(x, y)| equal(x, y))
        }
        (Value::Object(x), Value::Object(y)) => {
            x.len() == y.len()
                && x.iter()
                    .all(|(key, x)| b.get(key).is_some_and(|y| equal(x, y)))
        }
        _ => a == b,
    }
}

/// Which events to choose; an event must meet all that is given.
#[derive(Debug, Clone, Default)]
pub struct Query {
    event_type: Option<Wanted>,
    actor: Option<Wanted>,
    after: Option<Timestamp>,
    before: Option<Timestamp>,
    conditions: Vec<Condition>,
}

/// A text that a member must have, with the bytes by which a line is found to hold it.
#[derive(Debug, Clone)]
struct Wanted {
    text: String,
    needle: Finder<'static>,
}

impl Wanted {
    fn new(field: Field, text: String) -> Self {
        let mut needle = format!("\"{}\":", field.name()).into_bytes();
        write_string(&mut needle, &text);
        Self {
            text,
            needle: Finder::new(&needle).into_owned(),
        }
    }

    fn is(&self, found: Option<Cow<'_, str>>) -> bool {
        found.is_some_and(|found| found == self.text)
    }
}

impl Query {
    /// Only events of exactly this type.
    #[must_use]
    pub fn event_type(mut self, name: impl Into<String>) -> Self {
        self.event_type = Some(Wanted::new(Field::Type, name.into()));
        self
    }

    /// Only events of exactly this actor.
    #[must_use]
    pub fn actor(mut self, name: impl Into<String>) -> Self {
        self.actor = Some(Wanted::new(Field::Actor, name.into()));
        self
    }

    /// Only events at this time or later.
    #[must_use]
    pub fn after(mut self, time: Timestamp) -> Self {
        self.after = Some(time);
        self
    }

    /// Only events before this time.
    #[must_use]
    pub fn before(mut self, time: Timestamp) -> Self {
        self.before = Some(time);
        self
    }

    /// Only events that meet this condition.
    #[must_use]
    pub fn condition(mut self, condition: Condition) -> Self {
        self.conditions.push(condition);
        self
    }

    /// The type that is asked for.
    #[must_use]
    pub fn wanted_type(&self) -> Option<&str> {
        self.event_type.as_ref().map(|wanted| wanted.text.as_str())
    }

    /// The conditions that are asked for.
    #[must_use]
    pub fn conditions(&self) -> &[Condition] {
        &self.conditions
    }

    /// Whether a line of the log, given without its LF, is an event to choose. A line that is not
    /// canonical is none.
    #[must_use]
    pub fn matches(&self, line: &[u8]) -> bool {
        let lacks = |wanted: &Option<Wanted>| {
            wanted
                .as_ref()
                .is_some_and(|wanted| wanted.needle.find(line).is_none())
        };
        if lacks(&self.event_type) || lacks(&self.actor) {
            return false;
        }
        scan_line(line).is_ok_and(|line| self.matches_event(&line))
    }

    /// As [`Query::matches`], for a line that is scanned already.
    #[must_use]
    pub fn matches_event(&self, line: &Line<'_>) -> bool {
        let field = |wanted: &Option<Wanted>, field| {
            wanted
                .as_ref()
                .is_none_or(|wanted| wanted.is(line.text(field)))
        };
        if !field(&self.event_type, Field::Type) || !field(&self.actor, Field::Actor) {
            return false;
        }
        if self.after.is_some() || self.before.is_some() {
            let time = line
                .text(Field::TimestampUtc)
                .and_then(|text| text.parse().ok());
            let Some(time): Option<Timestamp> = time else {
                return false;
            };
            if self.after.is_some_and(|after| time < after)
                || self.before.is_some_and(|before| time >= before)
            {
                return false;
            }
        }
        self.conditions.is_empty()
            || json::parse(line.bytes()).is_ok_and(|event| {
                self.conditions
                    .iter()
                    .all(|condition| condition.holds(&event))
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &[u8] = br#"{"actor":"alice","payload":{"a.b":1,"n":1.0,"note":"\"type\":\"x\"","ok":true,"tags":["x",{"k":null}],"zip":"007"},"timestamp_utc":"2026-11-22T10:00:00Z","type":"com.acme.a.b"}"#;

    fn holds(condition: &str) -> bool {
        Query::default()
            .condition(condition.parse().unwrap())
            .matches(LINE)
    }

    #[test]
    fn filters() {
        let time = |text: &str| text.parse().unwrap();
        assert!(Query::default().matches(LINE));
        assert!(
            Query::default()
                .event_type("com.acme.a.b")
                .actor("alice")
                .matches(LINE)
        );
        assert!(
            !Query::default().event_type("x").matches(LINE),
            "it stands in the payload"
        );
        assert!(!Query::default().event_type("com.acme.a").matches(LINE));
        assert!(!Query::default().actor("bob").matches(LINE));
        assert!(
            Query::default()
                .after(time("2026-11-22T10:00:00Z"))
                .matches(LINE)
        );
        assert!(
            !Query::default()
                .before(time("2026-11-22T10:00:00Z"))
                .matches(LINE)
        );
        assert!(
            Query::default()
                .before(time("2026-11-22T10:00:01Z"))
                .matches(LINE)
        );
        assert!(!Query::default().matches(b"{ }"), "not canonical");
    }

    #[test]
    fn conditions() {
        for condition in [
            "payload.n=1",
            "payload.n=1.0",
            "payload.ok=true",
            "payload.tags[0]=x",
            "payload.tags[0]=\"x\"",
            "payload.tags[1].k=null",
            "payload.tags[1]={\"k\":null}",
            "payload.zip=007",
            "actor=alice",
        ] {
            assert!(holds(condition), "{condition}");
        }
        for condition in [
            "payload.n=2",
            "payload.zip=7",
            "payload.none=1",
            "payload.tags[2]=x",
        ] {
            assert!(!holds(condition), "{condition}");
        }
        for bad in ["", "payload", "=1", "a..b=1", "a[x]=1", "a[0=1", "a[0]b=1"] {
            assert!(bad.parse::<Condition>().is_err(), "{bad}");
        }
    }

    #[test]
    fn long_integers_are_not_rounded() {
        let line = br#"{"n":9007199254740993}"#;
        let holds = |text: &str| {
            Query::default()
                .condition(text.parse().unwrap())
                .matches(line)
        };
        assert!(holds("n=9007199254740993"));
        assert!(!holds("n=9007199254740992"));
    }
}
