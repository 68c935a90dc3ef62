//! Going on from the state of a checkpoint, as far as that is exact.

use std::collections::HashMap;

use super::Reducer;
use super::state::{Belief, BeliefState, Canonical, Contested, Local, Metadata};
use super::value::{Held, Text, text_of};
use super::{AWAITING_RESOLUTION, CONFLICT_THRESHOLD, History, REDUCER_NAME, REDUCER_VERSION};
use crate::json::{Object, Value};

/// A value is not the state of this reducer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the state is not one of {REDUCER_NAME} {REDUCER_VERSION}: {place} {problem}")]
pub struct ResumeError {
    /// Where it differs, such as `local["door:state"].confidence`.
    pub place: String,
    /// How.
    pub problem: &'static str,
}

/// An event needs evidence from before the checkpoint, which a state does not carry: the events
/// must be reduced from the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the event needs evidence that the checkpoint does not carry")]
pub struct NeedsReplay;

/// A reducer that goes on from a checkpoint.
///
/// It is exact or it stops: attestations, retractions, epochs, custom types, and evidence that
/// leaves a local entry as it is need nothing but the state. A new local entry counts the evidence
/// of its key and a conflict lists it; both end in [`NeedsReplay`], even for a key that the state
/// does not show, since a retraction can have removed every trace of one that has evidence.
#[derive(Debug)]
pub struct ResumedReducer {
    core: Reducer,
    history: History,
}

impl ResumedReducer {
    pub(super) fn new(state: &Value<'_>) -> Result<Self, ResumeError> {
        let members = Reader::new(state, String::new())?;
        members.only(&[
            "archived",
            "canonical",
            "contested",
            "local",
            "metadata_partial",
        ])?;
        let mut beliefs: HashMap<String, Belief> = HashMap::new();
        for (key, entry) in members.object("archived")?.entries() {
            beliefs.entry(key).or_default().archived = entry.archive()?;
        }
        for (key, entry) in members.object("canonical")?.entries() {
            beliefs.entry(key).or_default().canonical = Some(entry.canonical()?);
        }
        for (key, entry) in members.object("contested")?.entries() {
            beliefs.entry(key).or_default().contested = Some(entry.contested()?);
        }
        for (key, entry) in members.object("local")?.entries() {
            beliefs.entry(key).or_default().local = Some(entry.local()?);
        }
        let metadata = members.object("metadata_partial")?.metadata()?;
        let history = if metadata.event_count == 0 {
            History::Complete
        } else {
            History::Partial
        };
        Ok(Self {
            core: Reducer { beliefs, metadata },
            history,
        })
    }

    /// Takes the next event after the checkpoint.
    ///
    /// # Errors
    /// The event cannot be applied without the events before the checkpoint. The reducer is gone
    /// then, so that no state can be had from which an event is missing.
    pub fn apply(mut self, event: &Value<'_>) -> Result<Self, NeedsReplay> {
        if self.core.apply(event, self.history) {
            Ok(self)
        } else {
            Err(NeedsReplay)
        }
    }

    /// The state after the events applied so far.
    #[must_use]
    pub fn finish(self) -> BeliefState {
        self.core.finish()
    }
}

/// A part of a stored state, with its place for messages.
struct Node<'v, 'a> {
    value: &'v Value<'a>,
    place: String,
}

/// An object of a stored state.
struct Reader<'v, 'a> {
    members: &'v Object<'a>,
    value: &'v Value<'a>,
    place: String,
}

impl<'v, 'a> Node<'v, 'a> {
    fn fail<T>(self, problem: &'static str) -> Result<T, ResumeError> {
        let place = self.place;
        Err(ResumeError { place, problem })
    }

    fn object(self, keys: &[&str]) -> Result<Reader<'v, 'a>, ResumeError> {
        let reader = Reader::new(self.value, self.place)?;
        reader.only(keys)?;
        Ok(reader)
    }

    fn archive(self) -> Result<Vec<Text>, ResumeError> {
        match self.value.as_array() {
            Some(items) if !items.is_empty() => Ok(items.iter().map(text_of).collect()),
            _ => self.fail("is not a list of archived entries"),
        }
    }

    fn canonical(self) -> Result<Canonical, ResumeError> {
        let entry = self.object(&["attestation_event_id", "attested_by", "provenance", "value"])?;
        Ok(Canonical {
            attestation_event_id: entry.text("attestation_event_id")?,
            attested_by: entry.text("attested_by")?,
            provenance: entry.text("provenance")?,
            value: Held::new(Some(entry.get("value")?.value)),
        })
    }

    fn contested(self) -> Result<Contested, ResumeError> {
        let entry = self.object(&[
            "canonical_value",
            "evidence_by_value",
            "reason",
            "status",
            "total_evidence_count",
        ])?;
        entry.string("status", AWAITING_RESOLUTION)?;
        Ok(Contested::Carried(text_of(entry.value)))
    }

    fn local(self) -> Result<Local, ResumeError> {
        let entry = self.object(&[
            "actor",
            "confidence",
            "evidence_count",
            "provenance",
            "timestamp",
            "value",
        ])?;
        let confidence = entry.get("confidence")?;
        Ok(Local {
            actor: entry.text("actor")?,
            confidence: match confidence.value.as_f64().filter(|it| it.is_finite()) {
                Some(number) => number,
                None => return confidence.fail("is not a number"),
            },
            evidence_count: entry.count("evidence_count")?,
            provenance: entry.text("provenance")?,
            timestamp: entry.text("timestamp")?,
            value: Held::new(Some(entry.get("value")?.value)),
        })
    }
}

impl<'v, 'a> Reader<'v, 'a> {
    fn new(value: &'v Value<'a>, place: String) -> Result<Self, ResumeError> {
        match value.as_object() {
            Some(members) => Ok(Self {
                members,
                value,
                place,
            }),
            None => Node { value, place }.fail("is not an object"),
        }
    }

    /// Refuses members that are not in `keys`: what is not understood cannot be gone on from.
    fn only(&self, keys: &[&str]) -> Result<(), ResumeError> {
        let stranger = self.members.iter().find(|(key, _)| !keys.contains(&&**key));
        match stranger {
            None => Ok(()),
            Some((key, value)) => self.node(key, value).fail("is not known here"),
        }
    }

    fn node(&self, key: &str, value: &'v Value<'a>) -> Node<'v, 'a> {
        let place = if self.place.is_empty() {
            key.to_owned()
        } else if key.contains(':') {
            format!("{}[{key:?}]", self.place)
        } else {
            format!("{}.{key}", self.place)
        };
        Node { value, place }
    }

    fn get(&self, key: &str) -> Result<Node<'v, 'a>, ResumeError> {
        match self.value.get(key) {
            Some(value) => Ok(self.node(key, value)),
            None => self.node(key, self.value).fail("is missing"),
        }
    }

    fn entries(&self) -> impl Iterator<Item = (String, Node<'v, 'a>)> {
        self.members
            .iter()
            .map(|(key, value)| (key.to_string(), self.node(key, value)))
    }

    fn object(&self, key: &str) -> Result<Reader<'v, 'a>, ResumeError> {
        let node = self.get(key)?;
        Reader::new(node.value, node.place)
    }

    fn text(&self, key: &str) -> Result<Text, ResumeError> {
        Ok(text_of(self.get(key)?.value))
    }

    fn count(&self, key: &str) -> Result<u64, ResumeError> {
        let node = self.get(key)?;
        match node.value {
            Value::Number(token) if token.bytes().all(|b| b.is_ascii_digit()) => {
                match token.parse() {
                    Ok(count) => Ok(count),
                    Err(_) => node.fail("is too large"),
                }
            }
            _ => node.fail("is not a count"),
        }
    }

    fn string(&self, key: &str, expected: &str) -> Result<(), ResumeError> {
        let node = self.get(key)?;
        if node.value.as_str() == Some(expected) {
            return Ok(());
        }
        node.fail("has another value")
    }

    fn metadata(&self) -> Result<Metadata, ResumeError> {
        self.only(&["current_epoch", "event_count", "last_event_id", "reducer"])?;
        let reducer = self.object("reducer")?;
        reducer.only(&["conflict_confidence_threshold", "name", "version"])?;
        reducer.string("name", REDUCER_NAME)?;
        reducer.string("version", REDUCER_VERSION)?;
        let threshold = reducer.get("conflict_confidence_threshold")?;
        if threshold.value.as_f64() != Some(CONFLICT_THRESHOLD) {
            return threshold.fail("has another value");
        }
        Ok(Metadata {
            current_epoch: self.text("current_epoch")?,
            event_count: self.count("event_count")?,
            last_event_id: self.text("last_event_id")?,
        })
    }
}
