//! What a writer must know of the log before it appends: where every actor's chain stands, which
//! keys the log speaks of, and where the log ends.

use std::collections::HashMap;

use provara_core::id::{EventId, KeyId};
use provara_core::json::{self, Value};
use provara_core::scan::{Field, Line, LineError, scan_line};
use provara_core::time::Timestamp;

use crate::error::VaultError;
use crate::layout::CLOSING_TYPE;

/// Where one actor's chain stands.
#[derive(Debug, Clone)]
pub(crate) struct Actor {
    /// The last event.
    pub(crate) head: EventId,
    /// The latest `ts_logical` that an event of the actor carries.
    pub(crate) ts_logical: Option<i64>,
    /// The last event's time, where it is readable.
    pub(crate) timestamp: Option<Timestamp>,
}

/// A `KEY_REVOCATION` or `KEY_PROMOTION` of the log.
#[derive(Debug, Clone)]
pub(crate) struct KeyEvent {
    /// Offset of its line.
    pub(crate) offset: u64,
    /// The event.
    pub(crate) id: EventId,
    /// What it says.
    pub(crate) payload: Value<'static>,
    /// Whether it is a revocation.
    pub(crate) revokes: bool,
}

impl KeyEvent {
    /// The key that is revoked or promoted.
    pub(crate) fn subject(&self) -> Option<KeyId> {
        let fields: &[&str] = match self.revokes {
            true => &["revoked_key_id"],
            false => &["new_key_id", "promoted_key_id"],
        };
        fields
            .iter()
            .find_map(|field| self.payload.get(field)?.as_str()?.parse().ok())
    }
}

/// The state of a log after its last whole event.
#[derive(Debug, Clone, Default)]
pub(crate) struct LogIndex {
    /// The bytes up to the end of the last event; its line end counts if it is there.
    pub(crate) len: u64,
    /// The events.
    pub(crate) lines: u64,
    /// Whether the last event lacks its line end.
    pub(crate) unterminated: bool,
    /// The event that closed the vault.
    pub(crate) closed: Option<EventId>,
    /// The key events in order.
    pub(crate) key_events: Vec<KeyEvent>,
    /// By the JSON text of the actor's name, which is one to one in canonical lines.
    actors: HashMap<Box<[u8]>, Actor>,
}

/// What one line changes.
#[derive(Debug)]
pub(crate) struct Step {
    actor: Box<[u8]>,
    state: Actor,
    closes: bool,
    /// Whether it revokes, and its payload.
    key_event: Option<(bool, Value<'static>)>,
}

/// Why a line does not continue the log.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Break {
    /// It is no canonical line.
    #[error(transparent)]
    Line(#[from] LineError),
    /// A member that the chain needs is not there.
    #[error("'{0}' is missing or malformed")]
    Field(&'static str),
    /// The logical clock cannot be read. Whoever went on as if there were none would start it again.
    #[error("'ts_logical' is not an integer of 64 bits")]
    Clock,
    /// It does not follow the actor's last event.
    #[error("prev_event_hash is not the event of '{actor}' before it ({head})")]
    Chain { actor: String, head: String },
    /// An event after the one that closed the vault.
    #[error("it follows {0}, which closed the vault")]
    Closed(EventId),
}

impl LogIndex {
    /// Reads the log's bytes. `sealed` is the length that the seal covers.
    ///
    /// Gives the index of all whole events, and the offset of a torn tail if there is one: bytes
    /// beyond the seal, after the last whole event, that a writer left when it was interrupted.
    /// Such bytes have no line end, or hold NUL where the system had made room and not yet written.
    pub(crate) fn read(bytes: &[u8], sealed: u64) -> Result<(Self, Option<u64>), VaultError> {
        let mut index = Self::default();
        let mut rest = bytes;
        while !rest.is_empty() {
            let end = memchr::memchr(b'\n', rest);
            let line = &rest[..end.unwrap_or(rest.len())];
            if let Err(reason) = index.add(line, end.is_some()) {
                let interrupted = end.is_none() || memchr::memchr(0, line).is_some();
                if interrupted && index.len >= sealed {
                    return Ok((index.clone(), Some(index.len)));
                }
                return Err(VaultError::BrokenLog {
                    line: index.lines + 1,
                    offset: index.len,
                    reason: reason.to_string(),
                });
            }
            rest = &rest[line.len() + usize::from(end.is_some())..];
        }
        Ok((index, None))
    }

    /// Takes in the next line, given without its line end.
    pub(crate) fn add(&mut self, bytes: &[u8], terminated: bool) -> Result<(), Break> {
        let step = self.step(bytes)?;
        self.take(step, bytes.len() as u64 + u64::from(terminated));
        self.unterminated = !terminated;
        Ok(())
    }

    /// What a line, given without its line end, would change; nothing has changed yet.
    pub(crate) fn step(&self, bytes: &[u8]) -> Result<Step, Break> {
        let line = scan_line(bytes)?;
        let id: EventId = parsed(&line, Field::EventId)?;
        let kind = line.text(Field::Type).ok_or(Break::Field("type"))?;
        let actor = match line.raw(Field::Actor) {
            Some(raw) if raw.len() > 2 && raw[0] == b'"' => raw,
            _ => return Err(Break::Field("actor")),
        };
        if let Some(closed) = self.closed {
            return Err(Break::Closed(closed));
        }
        let prev = match line.raw(Field::PrevEventHash) {
            None => return Err(Break::Field("prev_event_hash")),
            Some(b"null") => None,
            Some(_) => Some(parsed::<EventId>(&line, Field::PrevEventHash)?),
        };
        let known = self.actors.get(actor);
        if prev != known.map(|known| known.head) {
            return Err(Break::Chain {
                actor: line.text(Field::Actor).unwrap_or_default().into_owned(),
                head: known.map_or("none".to_owned(), |known| known.head.to_string()),
            });
        }
        let ts_logical = line.integer(Field::TsLogical);
        if ts_logical.is_none() && line.has(Field::TsLogical) {
            return Err(Break::Clock);
        }
        let mut key_event = None;
        if matches!(&*kind, "KEY_REVOCATION" | "KEY_PROMOTION") {
            let payload = line.raw(Field::Payload).ok_or(Break::Field("payload"))?;
            let payload = json::parse(payload).map_err(|_| Break::Field("payload"))?;
            key_event = Some((kind == "KEY_REVOCATION", payload.into_owned()));
        }
        Ok(Step {
            actor: actor.into(),
            state: Actor {
                head: id,
                ts_logical: ts_logical.or(known.and_then(|known| known.ts_logical)),
                timestamp: line
                    .text(Field::TimestampUtc)
                    .and_then(|text| text.parse().ok()),
            },
            closes: kind == CLOSING_TYPE,
            key_event,
        })
    }

    /// Makes the changes of a line that takes `length` bytes of the log.
    pub(crate) fn take(&mut self, step: Step, length: u64) {
        let id = step.state.head;
        if let Some((revokes, payload)) = step.key_event {
            let offset = self.len;
            self.key_events.push(KeyEvent {
                offset,
                id,
                payload,
                revokes,
            });
        }
        if step.closes {
            self.closed = Some(id);
        }
        self.actors.insert(step.actor, step.state);
        self.lines += 1;
        self.len += length;
        self.unterminated = false;
    }

    /// Makes the changes of an event that is known to continue the log: by `actor` (the JSON text of
    /// its name), neither a key event nor out of its chain, `length` bytes long.
    pub(crate) fn advance(&mut self, actor: &[u8], state: Actor, closes: bool, length: u64) {
        if closes {
            self.closed = Some(state.head);
        }
        self.set_actor(actor, state);
        self.lines += 1;
        self.len += length;
        self.unterminated = false;
    }

    /// The actors by the JSON text of their names.
    pub(crate) fn actors(&self) -> impl ExactSizeIterator<Item = (&[u8], &Actor)> {
        self.actors.iter().map(|(name, actor)| (&**name, actor))
    }

    pub(crate) fn set_actor(&mut self, name: &[u8], actor: Actor) {
        match self.actors.get_mut(name) {
            Some(known) => *known = actor,
            None => {
                self.actors.insert(name.into(), actor);
            }
        }
    }

    /// Where the chain of an actor stands, by the JSON text of its name.
    pub(crate) fn actor(&self, name: &[u8]) -> Option<&Actor> {
        self.actors.get(name)
    }

    /// Whether the log revokes the key.
    pub(crate) fn revokes(&self, key: &KeyId) -> bool {
        self.key_events
            .iter()
            .any(|event| event.revokes && event.subject() == Some(*key))
    }
}

fn parsed<T: std::str::FromStr>(line: &Line<'_>, field: Field) -> Result<T, Break> {
    line.text(field)
        .and_then(|text| text.parse().ok())
        .ok_or(Break::Field(field.name()))
}
