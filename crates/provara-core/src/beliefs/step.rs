//! What one event does to the beliefs, as far as the rules ask: found on any thread, applied in the order of
//! the log.

use super::value::{confidence, is_truthy, python_str, write_equality};
use crate::json::{self, Value};
use crate::scan::{Field, Line, scan_line};

/// What an event does, by its type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// It adds evidence to a key.
    Observation,
    /// As an observation, with another confidence where it states none.
    Assertion,
    /// It makes a value canonical.
    Attestation,
    /// It takes back what is canonical.
    Retraction,
    /// An epoch begins with it.
    Epoch,
    /// It counts, and nothing else.
    Other,
}

impl Kind {
    /// What `event` does.
    pub(super) fn of(event: &Value<'_>) -> Self {
        let event_type = event.get("type").and_then(Value::as_str);
        event_type.map_or(Self::Other, |it| Self::of_type(it.as_bytes()))
    }

    fn of_line(line: &Line<'_>) -> Self {
        // A canonical string has no escape that these could be written with.
        let inner = line
            .raw(Field::Type)
            .and_then(|raw| raw.strip_prefix(b"\"")?.strip_suffix(b"\""));
        inner.map_or(Self::Other, Self::of_type)
    }

    pub(super) fn of_type(event_type: &[u8]) -> Self {
        match event_type {
            b"OBSERVATION" => Self::Observation,
            b"ASSERTION" => Self::Assertion,
            b"ATTESTATION" => Self::Attestation,
            b"RETRACTION" => Self::Retraction,
            b"REDUCER_EPOCH" => Self::Epoch,
            _ => Self::Other,
        }
    }

    /// The confidence of an event of this kind with this payload.
    pub(super) fn confidence(self, payload: &Value<'_>) -> f64 {
        let default = match self {
            Self::Assertion => 0.35,
            _ => 0.5,
        };
        confidence(payload.get("confidence")).unwrap_or(default)
    }
}

/// One event's effect on its key.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Step<'t> {
    pub(super) kind: Kind,
    /// `subject:predicate`; nothing, where the event begins an epoch.
    pub(super) key: &'t [u8],
    /// What is the same for two values exactly if Python holds them equal.
    pub(super) value: &'t [u8],
    pub(super) confidence: f64,
}

/// What the events of some lines of a log do, in their order.
#[derive(Debug, Default)]
pub struct Steps {
    effects: Vec<Effect>,
    /// Keys and values, one behind the other.
    texts: Vec<u8>,
    events: u64,
    /// Where the last line begins.
    last: u64,
    end: u64,
    fault: Option<String>,
}

/// A [`Step`] whose texts stand elsewhere, and where its line begins.
#[derive(Debug, Clone, Copy)]
struct Effect {
    at: u64,
    confidence: f64,
    key_end: usize,
    value_end: usize,
    kind: Kind,
}

impl Steps {
    /// What the lines of `range` do, which begins at byte `offset` of the log, up to the first that is no event.
    #[must_use]
    pub fn of(range: &[u8], offset: u64) -> Self {
        let mut steps = Self {
            end: offset,
            ..Self::default()
        };
        let mut rest = range;
        while !rest.is_empty() {
            let length = memchr::memchr(b'\n', rest);
            let line = &rest[..length.unwrap_or(rest.len())];
            if let Err(reason) = steps.read(line) {
                steps.fault = Some(reason);
                break;
            }
            let taken = length.map_or(rest.len(), |length| length + 1);
            steps.events += 1;
            steps.last = steps.end;
            steps.end += taken as u64;
            rest = &rest[taken..];
        }
        steps
    }

    /// What one event does, whose line begins at byte `at`.
    pub(super) fn of_event(event: &Value<'_>, at: u64) -> Self {
        let mut steps = Self {
            events: 1,
            last: at,
            end: at,
            ..Self::default()
        };
        let payload = event.get("payload").unwrap_or(&Value::Null);
        steps.push(Kind::of(event), payload);
        steps
    }

    /// How many events they are.
    #[must_use]
    pub fn events(&self) -> u64 {
        self.events
    }

    /// Where the last of the lines ends; where there is a [`Steps::fault`], where the line with it begins.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.end
    }

    /// What is wrong with the line that ended them, if one did.
    #[must_use]
    pub fn fault(&self) -> Option<&str> {
        self.fault.as_deref()
    }

    /// Where the last line begins, if there is one.
    pub(super) fn last(&self) -> Option<u64> {
        (self.events > 0).then_some(self.last)
    }

    /// Each step, and where its line begins.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u64, Step<'_>)> {
        let mut start = 0;
        self.effects.iter().map(move |effect| {
            let step = Step {
                kind: effect.kind,
                key: &self.texts[start..effect.key_end],
                value: &self.texts[effect.key_end..effect.value_end],
                confidence: effect.confidence,
            };
            start = effect.value_end;
            (effect.at, step)
        })
    }

    fn read(&mut self, line: &[u8]) -> Result<(), String> {
        if let Ok(scanned) = scan_line(line) {
            let kind = Kind::of_line(&scanned);
            if kind != Kind::Other {
                // What was scanned is JSON.
                let payload = scanned
                    .raw(Field::Payload)
                    .and_then(|it| json::parse(it).ok());
                self.push(kind, &payload.unwrap_or(Value::Null));
            }
            return Ok(());
        }
        // A line that is not canonical may hold an event all the same.
        let event = json::parse(line).map_err(|error| error.to_string())?;
        if event.as_object().is_none() {
            return Err(format!("{} is no event", event.kind_name()));
        }
        let payload = event.get("payload").unwrap_or(&Value::Null);
        self.push(Kind::of(&event), payload);
        Ok(())
    }

    /// Takes the event at [`Steps::end`] in, if it has an effect beyond counting.
    fn push(&mut self, kind: Kind, payload: &Value<'_>) {
        let is_effective = match kind {
            Kind::Other => false,
            Kind::Epoch => true,
            _ => write_key(&mut self.texts, payload).is_some(),
        };
        if !is_effective {
            return;
        }
        let key_end = self.texts.len();
        let mut confidence = 0.0;
        if matches!(kind, Kind::Observation | Kind::Assertion) {
            confidence = kind.confidence(payload);
        }
        if !matches!(kind, Kind::Retraction | Kind::Epoch) {
            let value = payload.get("value").unwrap_or(&Value::Null);
            write_equality(&mut self.texts, value);
        }
        self.effects.push(Effect {
            at: self.end,
            confidence,
            key_end,
            value_end: self.texts.len(),
            kind,
        });
    }
}

/// Writes `subject:predicate` of a payload that has both, neither of them empty (nor zero or false, which
/// are as good as empty to the older tools).
fn write_key(out: &mut Vec<u8>, payload: &Value<'_>) -> Option<()> {
    let part = |name| {
        payload
            .get(name)
            .filter(|value| is_truthy(value))
            .and_then(python_str)
    };
    let (subject, predicate) = (part("subject")?, part("predicate")?);
    out.extend_from_slice(subject.as_bytes());
    out.push(b':');
    out.extend_from_slice(predicate.as_bytes());
    Some(())
}
