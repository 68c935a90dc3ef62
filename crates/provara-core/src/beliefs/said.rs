//! What an event says, in the texts of the state: read only where it is printed.

use std::borrow::Cow;

use super::state::{Members, text_or_null};
use super::step::Kind;
use super::value::{is_python_space, is_truthy, python_str, write};
use crate::json::Value;
use crate::number::python_float;

/// What stands for the id of an event that has none: only unsigned events can lack it.
const UNKNOWN_EVENT: &str = "unknown_event";
/// What stands for the actor of an event that has none.
const UNKNOWN_ACTOR: &str = "unknown";

/// One of the texts that the state takes from an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// The event's id.
    Id,
    /// Who says it, or attests it.
    By,
    /// When, or for an attestation the event that it is of.
    Of,
    /// What is said.
    Value,
    /// Where it belongs.
    Namespace,
    /// How sure the speaker is.
    Confidence,
}

/// How many there are.
const PARTS: usize = 6;

/// What an event says, as JSON texts in the form of the state; a part that an event of its kind does not
/// have is empty.
#[derive(Debug)]
pub(super) struct Said {
    text: Box<[u8]>,
    ends: [usize; PARTS],
}

impl Said {
    /// What an event says.
    pub(super) fn of(event: &Value<'_>) -> Self {
        let kind = Kind::of(event);
        let payload = event.get("payload").unwrap_or(&Value::Null);
        let mut texts = Texts::default();
        write_id(&mut texts.out, event);
        texts.end(Part::Id);
        let given = |name| payload.get(name).filter(|value| is_truthy(value));
        match kind {
            Kind::Observation | Kind::Assertion => {
                write_text(&mut texts.out, &actor(event));
                texts.end(Part::By);
                texts.out.extend_from_slice(&timestamp(payload));
                texts.end(Part::Of);
                write(&mut texts.out, payload.get("value").unwrap_or(&Value::Null));
                texts.end(Part::Value);
                write_text(&mut texts.out, namespace(event));
                texts.end(Part::Namespace);
                let confidence = kind.confidence(payload);
                texts
                    .out
                    .extend_from_slice(python_float(confidence).as_bytes());
                texts.end(Part::Confidence);
            }
            Kind::Attestation => {
                match given("actor_key_id") {
                    Some(key) => write(&mut texts.out, key),
                    None => write_text(&mut texts.out, &actor(event)),
                }
                texts.end(Part::By);
                match given("target_event_id") {
                    Some(target) => write(&mut texts.out, target),
                    None => write_id(&mut texts.out, event),
                }
                texts.end(Part::Of);
                write(&mut texts.out, payload.get("value").unwrap_or(&Value::Null));
                texts.end(Part::Value);
            }
            // Its value is the epoch that begins with it.
            Kind::Epoch => {
                write_epoch(&mut texts.out, event, payload);
                texts.end(Part::Value);
            }
            Kind::Retraction | Kind::Other => {}
        }
        texts.said()
    }

    /// What an event says whose texts are known.
    pub(super) fn known(parts: &[(Part, &[u8])]) -> Self {
        let mut texts = Texts::default();
        for (part, text) in parts {
            texts.out.extend_from_slice(text);
            texts.end(*part);
        }
        texts.said()
    }

    /// The text of a part.
    pub(super) fn part(&self, part: Part) -> &[u8] {
        let before = (part as usize).checked_sub(1);
        let start = before.map_or(0, |before| self.ends[before]);
        &self.text[start..self.ends[part as usize]]
    }
}

/// Texts that are being written, one part behind the other.
#[derive(Default)]
struct Texts {
    out: Vec<u8>,
    ends: [usize; PARTS],
}

impl Texts {
    /// What was written last is this part's, which follows those before it.
    fn end(&mut self, part: Part) {
        self.ends[part as usize..].fill(self.out.len());
    }

    fn said(self) -> Said {
        Said {
            text: self.out.into(),
            ends: self.ends,
        }
    }
}

fn write_text(out: &mut Vec<u8>, text: &str) {
    crate::canonical::write_string(out, text);
}

/// Writes the event's id.
pub(super) fn write_id(out: &mut Vec<u8>, event: &Value<'_>) {
    let id = ["event_id", "id"]
        .into_iter()
        .find_map(|name| event.get(name)?.as_str().filter(|id| !id.is_empty()));
    write_text(out, id.unwrap_or(UNKNOWN_EVENT));
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
fn timestamp(payload: &Value<'_>) -> Vec<u8> {
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

fn write_epoch(out: &mut Vec<u8>, event: &Value<'_>, payload: &Value<'_>) {
    let member = |value: Option<&Value<'_>>| {
        let mut text = Vec::new();
        write(&mut text, value.unwrap_or(&Value::Null));
        text
    };
    let from = payload
        .get("effective_from_event_id")
        .filter(|value| is_truthy(value));
    let from = match from {
        Some(id) => member(Some(id)),
        None => {
            let mut id = Vec::new();
            write_id(&mut id, event);
            id
        }
    };
    let mut members = Members::open(out);
    members.text("effective_from_event_id", &from);
    for name in ["epoch_id", "ontology_versions", "reducer_hash"] {
        members.text(name, &member(payload.get(name)));
    }
    members.close();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_that_are_not_there_are_empty() {
        let said = Said::known(&[(Part::Id, b"\"e\""), (Part::Value, b"1")]);
        assert_eq!(said.part(Part::Id), b"\"e\"");
        assert_eq!(said.part(Part::By), b"");
        assert_eq!(said.part(Part::Of), b"");
        assert_eq!(said.part(Part::Value), b"1");
        assert_eq!(said.part(Part::Confidence), b"");
    }
}
