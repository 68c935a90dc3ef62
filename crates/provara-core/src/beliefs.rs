//! The built-in reducer: what a vault's events say is so (spec/VAULT_FORMAT, section 6).
//!
//! The state has four maps from `subject:predicate`: `canonical` holds what was attested, `local`
//! what was only seen, `contested` what conflicts, `archived` what was superseded. It is the same,
//! byte for byte, for the same events in the same order, and agrees with that of the older Python
//! tools; numbers are therefore printed, compared and read as Python does it.
//!
//! A contested entry lists *all* evidence of its key, and a local entry counts it, but a state
//! does not carry evidence that is neither: a retraction may leave no trace of a key at all.
//! [`BeliefReducer::resume`] hence goes on only as long as no event needs earlier evidence.

mod resume;
mod state;
mod value;

use std::borrow::Cow;
use std::collections::HashMap;

pub use resume::{NeedsReplay, ResumeError, ResumedReducer};
pub use state::{BeliefState, TooLong};

use crate::json::{self, ParseError, Value};
use crate::scan::{Field, Line, scan_line};
use state::{Belief, Canonical, Contested, Evidence, Local, Members, Metadata, text_or_null};
use value::{Held, Text, confidence, is_python_space, is_truthy, python_str, text_of, text_of_str};

/// The reducer's name in the state's metadata.
const REDUCER_NAME: &str = "SovereignReducerV0";
/// Its version there.
const REDUCER_VERSION: &str = "0.2.0";
/// From this confidence on, a differing value makes a conflict.
const CONFLICT_THRESHOLD: f64 = 0.5;
/// The confidence of an observation that states none.
const OBSERVATION_CONFIDENCE: f64 = 0.5;
/// The confidence of an assertion that states none.
const ASSERTION_CONFIDENCE: f64 = 0.35;
/// The status of a contested entry.
const AWAITING_RESOLUTION: &str = "AWAITING_RESOLUTION";
/// What stands for the id of an event that has none: only unsigned events can lack it.
const UNKNOWN_EVENT: &str = "unknown_event";
/// What stands for the actor of an event that has none.
const UNKNOWN_ACTOR: &str = "unknown";

/// Reduces events, in the order of the log, to a [`BeliefState`].
///
/// It neither verifies nor refuses: what is malformed has no effect on the maps. Time and memory
/// grow linearly with the events.
#[derive(Debug, Default)]
pub struct BeliefReducer {
    core: Reducer,
}

impl BeliefReducer {
    /// A reducer that has seen nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A reducer that goes on from the `state` of a checkpoint.
    ///
    /// # Errors
    /// A state that is not one of this reducer.
    pub fn resume(state: &Value<'_>) -> Result<ResumedReducer, ResumeError> {
        ResumedReducer::new(state)
    }

    /// Takes the next event, a whole event object. Anything but an object is passed over.
    pub fn apply(&mut self, event: &Value<'_>) {
        let complete = self.core.apply(event, History::Complete);
        debug_assert!(complete, "nothing is missing in a complete history");
    }

    /// The state after the events applied so far; more may follow.
    #[must_use]
    pub fn state(&self) -> BeliefState {
        BeliefState::new(&self.core.beliefs, &self.core.metadata)
    }

    /// The state after the events applied so far.
    #[must_use]
    pub fn finish(self) -> BeliefState {
        self.core.finish()
    }

    /// As [`BeliefReducer::finish`], unless the text of the four maps has more than `most` bytes; to find that out
    /// takes no more memory than that.
    ///
    /// # Errors
    /// [`TooLong`].
    pub fn finish_within(self, most: usize) -> Result<BeliefState, TooLong> {
        BeliefState::within(most, &self.core.beliefs, &self.core.metadata)
    }
}

/// What [`BeliefReducer::apply`] reads of the event in `line`, without its LF: an event object that has
/// the same effect, and costs less to make where the type has none.
///
/// # Errors
/// The line is not JSON.
pub fn view(line: &[u8]) -> Result<Value<'_>, ParseError> {
    // A line that is not canonical may hold an event all the same.
    scan_line(line)
        .ok()
        .and_then(|scanned| view_of(&scanned))
        .map_or_else(|| json::parse(line), Ok)
}

fn view_of<'a>(line: &Line<'a>) -> Option<Value<'a>> {
    let event_id = line.text(Field::EventId).filter(|id| !id.is_empty())?;
    let kind = line.text(Field::Type)?;
    let effective = matches!(
        &*kind,
        "OBSERVATION" | "ASSERTION" | "ATTESTATION" | "RETRACTION" | "REDUCER_EPOCH"
    );
    let mut members = vec![
        (Cow::Borrowed("event_id"), Value::String(event_id)),
        (Cow::Borrowed("type"), Value::String(kind)),
    ];
    if effective {
        for field in [Field::Actor, Field::Namespace, Field::Payload] {
            if let Some(raw) = line.raw(field) {
                members.push((Cow::Borrowed(field.name()), json::parse(raw).ok()?));
            }
        }
    }
    Some(Value::Object(members))
}

/// Whether the reducer has seen every event since the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum History {
    Complete,
    /// Evidence from before the resumed state is unknown.
    Partial,
}

#[derive(Debug, Default)]
struct Reducer {
    beliefs: HashMap<String, Belief>,
    metadata: Metadata,
}

impl Reducer {
    /// Applies one event. False, with nothing changed, where that takes evidence which a partial
    /// history does not have.
    #[must_use]
    fn apply(&mut self, event: &Value<'_>, history: History) -> bool {
        if event.as_object().is_none() {
            return true;
        }
        let id = ["event_id", "id"]
            .into_iter()
            .find_map(|name| event.get(name)?.as_str().filter(|id| !id.is_empty()));
        let id = text_of_str(id.unwrap_or(UNKNOWN_EVENT));
        let payload = event.get("payload").unwrap_or(&Value::Null);
        let known = match event.get("type").and_then(Value::as_str) {
            Some("OBSERVATION") => {
                self.observe(event, payload, &id, OBSERVATION_CONFIDENCE, history)
            }
            Some("ASSERTION") => self.observe(event, payload, &id, ASSERTION_CONFIDENCE, history),
            Some("ATTESTATION") => {
                self.attest(event, payload, &id);
                true
            }
            Some("RETRACTION") => {
                self.retract(payload, &id);
                true
            }
            Some("REDUCER_EPOCH") => {
                self.metadata.current_epoch = epoch(payload, &id);
                true
            }
            _ => true,
        };
        if known {
            self.metadata.event_count += 1;
            self.metadata.last_event_id = id;
        }
        known
    }

    fn observe(
        &mut self,
        event: &Value<'_>,
        payload: &Value<'_>,
        id: &Text,
        default_confidence: f64,
        history: History,
    ) -> bool {
        let Some(key) = belief_key(payload) else {
            return true;
        };
        let confidence = confidence(payload.get("confidence")).unwrap_or(default_confidence);
        let value = Held::new(payload.get("value"));
        let belief = self.beliefs.entry(key).or_default();
        let effect = belief.effect_of(&value, confidence);
        if history == History::Partial {
            // Every other effect lists or counts evidence that may be unknown.
            return effect == Effect::None;
        }

        let actor = text_of_str(&actor(event));
        let timestamp = timestamp(payload);
        belief.evidence.push(Evidence::new(
            &actor,
            confidence,
            id,
            namespace(event),
            &timestamp,
            value.text(),
        ));
        match effect {
            Effect::Contest(reason) => belief.contest(reason),
            Effect::None => {}
            Effect::NewLocal => {
                belief.local = Some(Local {
                    actor,
                    confidence,
                    evidence_count: belief.evidence.len() as u64,
                    provenance: id.clone(),
                    timestamp,
                    value,
                });
            }
        }
        true
    }

    fn attest(&mut self, event: &Value<'_>, payload: &Value<'_>, id: &Text) {
        let Some(key) = belief_key(payload) else {
            return;
        };
        let belief = self.beliefs.entry(key).or_default();
        belief.archive(id, false);
        let given = |name| payload.get(name).filter(|value| is_truthy(value));
        belief.canonical = Some(Canonical {
            attestation_event_id: id.clone(),
            attested_by: given("actor_key_id").map_or_else(|| text_of_str(&actor(event)), text_of),
            provenance: given("target_event_id").map_or_else(|| id.clone(), text_of),
            value: Held::new(payload.get("value")),
        });
        belief.local = None;
        belief.contested = None;
    }

    fn retract(&mut self, payload: &Value<'_>, id: &Text) {
        let known = belief_key(payload).and_then(|key| self.beliefs.get_mut(&key));
        if let Some(belief) = known {
            belief.archive(id, true);
            belief.local = None;
            belief.contested = None;
        }
    }

    fn finish(self) -> BeliefState {
        BeliefState::new(&self.beliefs, &self.metadata)
    }
}

/// What one more piece of evidence does to a key.
#[derive(Debug, PartialEq, Eq)]
enum Effect {
    Contest(&'static str),
    None,
    NewLocal,
}

impl Belief {
    /// The four cases of the specification, in their order.
    fn effect_of(&self, value: &Held, confidence: f64) -> Effect {
        if let Some(canonical) = &self.canonical
            && confidence >= CONFLICT_THRESHOLD
            && !canonical.value.equals(value)
        {
            return Effect::Contest("conflicts_with_canonical");
        }
        let Some(local) = &self.local else {
            return Effect::NewLocal;
        };
        if !local.value.equals(value) {
            if local.confidence.max(confidence) >= CONFLICT_THRESHOLD {
                return Effect::Contest("conflicts_with_local");
            }
        } else if confidence <= local.confidence {
            return Effect::None;
        }
        Effect::NewLocal
    }

    fn contest(&mut self, reason: &'static str) {
        let canonical = self.canonical.as_ref();
        self.contested = Some(Contested::Now {
            reason,
            canonical_value: canonical
                .map_or_else(|| text_or_null(None), |it| it.value.text().clone()),
            evidence: self.evidence.len(),
        });
        self.local = None;
    }

    /// Moves the canonical entry, if there is one, to the archive.
    fn archive(&mut self, event_id: &Text, retracted: bool) {
        if let Some(entry) = self.canonical.take() {
            self.archived.push(entry.archived(event_id, retracted));
        }
    }
}

/// `subject:predicate` of a payload that has both, neither of them empty (nor zero or false, which
/// are as good as empty to the older tools).
fn belief_key(payload: &Value<'_>) -> Option<String> {
    let part = |name| {
        payload
            .get(name)
            .filter(|value| is_truthy(value))
            .and_then(python_str)
    };
    let (subject, predicate) = (part("subject")?, part("predicate")?);
    Some(format!("{subject}:{predicate}"))
}

fn actor<'v>(event: &'v Value<'_>) -> Cow<'v, str> {
    event
        .get("actor")
        .filter(|value| is_truthy(value))
        .and_then(python_str)
        .unwrap_or(Cow::Borrowed(UNKNOWN_ACTOR))
}

/// The event's namespace, `local` where it states none of the four.
fn namespace(event: &Value<'_>) -> &'static str {
    let stated = event.get("namespace").and_then(Value::as_str).unwrap_or("");
    let stated = stated.trim_matches(is_python_space);
    ["canonical", "contested", "archived"]
        .into_iter()
        .find(|known| known.eq_ignore_ascii_case(stated))
        .unwrap_or("local")
}

/// The time that a payload states: `timestamp` unless it is empty, else `timestamp_utc`. Neither
/// an array nor an object is a time.
fn timestamp(payload: &Value<'_>) -> Text {
    let scalar = |name| {
        payload
            .get(name)
            .and_then(|value| Some((is_truthy(value), python_str(value)?)))
    };
    let stated = match scalar("timestamp") {
        Some((true, text)) => Some(text),
        _ => scalar("timestamp_utc").map(|(_, text)| text),
    };
    text_or_null(stated.as_deref())
}

fn epoch(payload: &Value<'_>, id: &Text) -> Text {
    let member = |name| {
        payload
            .get(name)
            .map_or_else(|| text_or_null(None), text_of)
    };
    let from = payload
        .get("effective_from_event_id")
        .filter(|value| is_truthy(value));
    let mut out = Vec::new();
    let mut members = Members::open(&mut out);
    members.text(
        "effective_from_event_id",
        &from.map_or_else(|| id.clone(), text_of),
    );
    members.text("epoch_id", &member("epoch_id"));
    members.text("ontology_versions", &member("ontology_versions"));
    members.text("reducer_hash", &member("reducer_hash"));
    members.close();
    out.into()
}
