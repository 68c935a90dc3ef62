//! Something that is said of a place in a schema.

use std::fmt;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::text::inline;

/// The most that is said of the schema of one event type: a schema that was never meant as one has no end of it.
const MAX_REMARKS: usize = 200;

/// How long is looked for what there is to say of one schema. Whether it can be used is known by then, and must not
/// depend on this.
const MAX_TIME: Duration = Duration::from_secs(1);

/// Advice on a place in a schema, or what is wrong there. All of it is safe for a terminal.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Remark {
    /// The further schema that it stands in, by the name that the plugin gives it; none in that of the event type.
    pub schema: Option<String>,
    /// JSON Pointer to the place, `/` for the whole; none where it is about no place.
    pub at: Option<String>,
    /// What there is to say: a sentence without its first capital and its full stop.
    pub text: String,
}

impl Remark {
    pub(super) fn at(schema: Option<&str>, at: &str, text: String) -> Remark {
        let at = if at.is_empty() { "/" } else { at };
        Remark {
            schema: schema.map(|name| inline(name).into_owned()),
            at: Some(inline(at).into_owned()),
            text,
        }
    }

    /// Where it is, as a sentence goes on after it: `in 'parts.json' of 'schemas', at '/properties/a'`.
    #[must_use]
    pub fn place(&self) -> Option<String> {
        let schema = self
            .schema
            .as_ref()
            .map(|name| format!("in '{name}' of 'schemas'"));
        let at = self.at.as_ref().map(|at| format!("at '{at}'"));
        match (schema, at) {
            (Some(schema), Some(at)) => Some(format!("{schema}, {at}")),
            (schema, at) => schema.or(at),
        }
    }
}

impl fmt::Display for Remark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.place() {
            Some(place) => write!(f, "{place}: {}", self.text),
            None => f.write_str(&self.text),
        }
    }
}

/// Several of them, not more than a person reads.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remarks {
    /// In the order of the schema, then of the further ones.
    pub list: Vec<Remark>,
    /// Whether there would be more.
    pub more: bool,
}

/// When the search for remarks ends that begins now.
pub(super) fn deadline() -> Instant {
    Instant::now() + MAX_TIME
}

impl Remarks {
    /// Says that there may be more, where the time for it is over.
    pub(super) fn in_time(&mut self, until: Instant) -> ControlFlow<()> {
        match Instant::now() < until {
            true => ControlFlow::Continue(()),
            false => {
                self.more = true;
                ControlFlow::Break(())
            }
        }
    }

    /// Adds some, each once; there may be no room for more.
    pub(super) fn extend(&mut self, found: impl IntoIterator<Item = Remark>) -> ControlFlow<()> {
        for remark in found {
            if self.list.contains(&remark) {
                continue;
            }
            if self.list.len() == MAX_REMARKS {
                self.more = true;
                return ControlFlow::Break(());
            }
            self.list.push(remark);
        }
        ControlFlow::Continue(())
    }
}
