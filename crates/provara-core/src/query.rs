//! Choosing events of a log by type, actor, time and content, without an index.
//!
//! A canonical line carries its type and actor as literal text, so most lines are refused by a
//! search for that text before they are scanned.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use memchr::memmem::Finder;

use crate::canonical::write_string;
use crate::json::{self, Value};
use crate::scan::{Field, Line, scan_line};
use crate::time::Timestamp;

/// A condition on the content of an event.
pub trait Predicate: fmt::Debug + Send + Sync {
    /// Whether the event meets it.
    fn holds(&self, event: &Value<'_>) -> bool;

    /// Bytes that the line of every event that meets it contains, by which most other lines are refused.
    fn needle(&self) -> Option<&[u8]>;

    /// Whether the condition was given up, because an event would have taken too long: what was chosen
    /// since is not all that meets it.
    fn is_exhausted(&self) -> bool;
}

/// Which events to choose; an event must meet all that is given.
#[derive(Debug, Clone, Default)]
pub struct Query {
    event_types: Vec<Wanted>,
    actors: Vec<Wanted>,
    id: Option<Wanted>,
    after: Option<Timestamp>,
    before: Option<Timestamp>,
    predicates: Vec<Arc<dyn Predicate>>,
    /// What the line of an event that meets the predicates contains.
    needles: Vec<Finder<'static>>,
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
}

/// Whether the line cannot have one of the texts. Where nothing is wanted, nothing is lacking.
fn lacks(line: &[u8], wanted: &[Wanted]) -> bool {
    !wanted.is_empty() && wanted.iter().all(|it| it.needle.find(line).is_none())
}

/// Whether the member is one of those, or nothing is wanted of it.
fn is_one_of(line: &Line<'_>, field: Field, wanted: &[Wanted]) -> bool {
    wanted.is_empty()
        || line
            .text(field)
            .is_some_and(|found: Cow<'_, str>| wanted.iter().any(|it| it.text == found))
}

impl Query {
    /// Only events of exactly this type, or of another one that is named so.
    #[must_use]
    pub fn event_type(mut self, name: impl Into<String>) -> Self {
        self.event_types.push(Wanted::new(Field::Type, name.into()));
        self
    }

    /// Only events of exactly this actor, or of another one that is named so.
    #[must_use]
    pub fn actor(mut self, name: impl Into<String>) -> Self {
        self.actors.push(Wanted::new(Field::Actor, name.into()));
        self
    }

    /// Only the event of this id.
    #[must_use]
    pub fn event_id(mut self, id: impl Into<String>) -> Self {
        self.id = Some(Wanted::new(Field::EventId, id.into()));
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

    /// Only events that meet this condition too.
    #[must_use]
    pub fn predicate(mut self, predicate: impl Predicate + 'static) -> Self {
        if let Some(needle) = predicate.needle() {
            self = self.needle(needle);
        }
        self.predicates.push(Arc::new(predicate));
        self
    }

    /// Only events whose line contains these bytes, wherever they stand in it.
    #[must_use]
    pub fn needle(mut self, bytes: &[u8]) -> Self {
        self.needles.push(Finder::new(bytes).into_owned());
        self
    }

    /// The types that are asked for; any, if there are none.
    pub fn wanted_types(&self) -> impl Iterator<Item = &str> {
        self.event_types.iter().map(|wanted| wanted.text.as_str())
    }

    /// The actors that are asked for; any, if there are none.
    pub fn wanted_actors(&self) -> impl Iterator<Item = &str> {
        self.actors.iter().map(|wanted| wanted.text.as_str())
    }

    /// Whether a condition was given up ([`Predicate::is_exhausted`]).
    #[must_use]
    pub fn is_exhausted(&self) -> bool {
        self.predicates.iter().any(|it| it.is_exhausted())
    }

    /// Whether a line of the log, given without its LF, is an event to choose. A line that is not
    /// canonical is none.
    #[must_use]
    pub fn matches(&self, line: &[u8]) -> bool {
        if lacks(line, &self.event_types)
            || lacks(line, &self.actors)
            || lacks(line, self.id.as_slice())
            || self.needles.iter().any(|it| it.find(line).is_none())
        {
            return false;
        }
        scan_line(line).is_ok_and(|line| self.matches_event(&line))
    }

    /// As [`Query::matches`], for a line that is scanned already.
    #[must_use]
    pub fn matches_event(&self, line: &Line<'_>) -> bool {
        if !is_one_of(line, Field::Type, &self.event_types)
            || !is_one_of(line, Field::Actor, &self.actors)
            || !is_one_of(line, Field::EventId, self.id.as_slice())
        {
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
        self.predicates.is_empty()
            || json::parse(line.bytes())
                .is_ok_and(|event| self.predicates.iter().all(|it| it.holds(&event)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &[u8] = br#"{"actor":"alice","payload":{"a.b":1,"n":1.0,"note":"\"type\":\"x\"","ok":true,"tags":["x",{"k":null}],"zip":"007"},"timestamp_utc":"2026-11-22T10:00:00Z","type":"com.acme.a.b"}"#;

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
        let both = || Query::default().actor("bob").actor("alice");
        assert!(both().matches(LINE));
        assert!(
            both()
                .event_type("x")
                .event_type("com.acme.a.b")
                .matches(LINE)
        );
        assert!(!both().event_type("x").event_type("y").matches(LINE));
        assert!(!both().event_id("evt_1").matches(LINE));
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
}
