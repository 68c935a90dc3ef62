//! Going on from the state of a checkpoint, as far as that is exact.

use super::fold::{Archived, CONFLICT_THRESHOLD, Canonical, Contested, History, Local};
use super::memory::BeliefReducer;
use super::print::AWAITING_RESOLUTION;
use super::said::{Part, Said};
use super::state::{BeliefState, Metadata, REDUCER_NAME, REDUCER_VERSION};
use super::value::{text_of, write_equality};
use crate::json::{Object, Value};
use crate::number::python_float;

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
    core: BeliefReducer,
    history: History,
}

impl BeliefReducer {
    /// A reducer that goes on from the `state` of a checkpoint.
    ///
    /// # Errors
    /// A state that is not one of this reducer.
    pub fn resume(state: &Value<'_>) -> Result<ResumedReducer, ResumeError> {
        ResumedReducer::new(state)
    }
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
        let mut core = BeliefReducer::carrying(members.object("metadata_partial")?.metadata()?);
        for (key, entry) in members.object("archived")?.entries() {
            let archived = entry.archive(&mut core)?;
            core.fold_mut().belief(key.as_bytes()).archived = archived;
        }
        for (key, entry) in members.object("canonical")?.entries() {
            let canonical = entry.canonical(&mut core)?;
            core.fold_mut().belief(key.as_bytes()).canonical = Some(Box::new(canonical));
        }
        for (key, entry) in members.object("contested")?.entries() {
            let contested = entry.contested(&mut core)?;
            core.fold_mut().belief(key.as_bytes()).contested = Some(Box::new(contested));
        }
        for (key, entry) in members.object("local")?.entries() {
            let local = entry.local(&mut core)?;
            core.fold_mut().belief(key.as_bytes()).local = Some(local);
        }
        let history = match core.events() {
            0 => History::Complete,
            _ => History::Partial,
        };
        Ok(Self { core, history })
    }

    /// Takes the next event after the checkpoint.
    ///
    /// # Errors
    /// The event cannot be applied without the events before the checkpoint. The reducer is gone
    /// then, so that no state can be had from which an event is missing.
    pub fn apply(mut self, event: &Value<'_>) -> Result<Self, NeedsReplay> {
        if self.core.take(event, self.history) {
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

    fn archive(self, core: &mut BeliefReducer) -> Result<Vec<Archived>, ResumeError> {
        match self.value.as_array() {
            Some(items) if !items.is_empty() => {
                let carried = items.iter().map(|value| {
                    let text = text_of(value);
                    Archived::Carried(core.keep(Said::known(&[(Part::Value, &text)])))
                });
                Ok(carried.collect())
            }
            _ => self.fail("is not a list of archived entries"),
        }
    }

    fn canonical(self, core: &mut BeliefReducer) -> Result<Canonical, ResumeError> {
        let entry = self.object(&["attestation_event_id", "attested_by", "provenance", "value"])?;
        let said = Said::known(&[
            (Part::Id, &entry.text("attestation_event_id")?),
            (Part::By, &entry.text("attested_by")?),
            (Part::Of, &entry.text("provenance")?),
            (Part::Value, &entry.text("value")?),
        ]);
        Ok(Canonical {
            event: core.keep(said),
            value: entry.equality("value")?,
        })
    }

    fn contested(self, core: &mut BeliefReducer) -> Result<Contested, ResumeError> {
        let text = text_of(self.value);
        let entry = self.object(&[
            "canonical_value",
            "evidence_by_value",
            "reason",
            "status",
            "total_evidence_count",
        ])?;
        entry.string("status", AWAITING_RESOLUTION)?;
        let said = Said::known(&[(Part::Value, &text)]);
        Ok(Contested::Carried(core.keep(said)))
    }

    fn local(self, core: &mut BeliefReducer) -> Result<Local, ResumeError> {
        let entry = self.object(&[
            "actor",
            "confidence",
            "evidence_count",
            "provenance",
            "timestamp",
            "value",
        ])?;
        let confidence = entry.get("confidence")?;
        let confidence = match confidence.value.as_f64().filter(|it| it.is_finite()) {
            Some(number) => number,
            None => return confidence.fail("is not a number"),
        };
        let said = Said::known(&[
            (Part::Id, &entry.text("provenance")?),
            (Part::By, &entry.text("actor")?),
            (Part::Of, &entry.text("timestamp")?),
            (Part::Value, &entry.text("value")?),
            (Part::Confidence, python_float(confidence).as_bytes()),
        ]);
        Ok(Local {
            event: core.keep(said),
            confidence,
            evidence_count: entry.count("evidence_count")?,
            value: entry.equality("value")?,
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

    /// What decides whether the value of a member equals another.
    fn equality(&self, key: &str) -> Result<Box<[u8]>, ResumeError> {
        let mut out = Vec::new();
        write_equality(&mut out, self.get(key)?.value);
        Ok(out.into())
    }

    fn text(&self, key: &str) -> Result<Vec<u8>, ResumeError> {
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
