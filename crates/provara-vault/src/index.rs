//! What a writer must know of the log before it appends: where every actor's chain stands, what the log
//! says of keys, its event tree, and where it ends.

use std::collections::HashMap;
use std::thread;

use provara_core::history::{KeyEvent, KeyEventKind, KeyHistory, Proof};
use provara_core::id::{Digest, EventId, KeyId};
use provara_core::json;
use provara_core::keys::Signature;
use provara_core::mark::SEAL_POLICY;
use provara_core::scan::{Field, Line, LineError, scan_line};
use provara_core::time::Timestamp;
use provara_core::tree::{EventTree, leaf};
use provara_core::verify::CLOSING_TYPE;
use provara_core::verify::REDACTION_TYPE;

use crate::error::VaultError;
use crate::log_snapshot::lines_of;
use provara_core::parallel::available_threads;

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

/// The state of a log after its last whole event.
#[derive(Debug, Clone, Default)]
pub(crate) struct LogIndex {
    /// The bytes up to the end of the last event; its line end counts if it is there.
    pub(crate) len: u64,
    /// The events.
    pub(crate) lines: u64,
    /// Whether the last event lacks its line end.
    pub(crate) unterminated: bool,
    /// The event that closed the vault; redactions alone may follow.
    pub(crate) closed: Option<EventId>,
    /// What the log says of keys, in order, with signatures that are still to be checked.
    pub(crate) key_events: Vec<KeyEvent>,
    /// Where the lines of the key events begin.
    pub(crate) key_offsets: Vec<u64>,
    /// Whether a line names a seal or the line before it, as only those of a marked vault do.
    pub(crate) names_seals: bool,
    /// Over every event.
    pub(crate) tree: EventTree,
    /// The first event.
    pub(crate) first_event: Option<EventId>,
    /// The last event.
    pub(crate) last_event: Option<EventId>,
    /// By the JSON text of the actor's name, which is one to one in canonical lines.
    actors: HashMap<Box<[u8]>, Actor>,
}

/// What one line changes.
#[derive(Debug)]
pub(crate) struct Step {
    actor: Box<[u8]>,
    state: Actor,
    closes: bool,
    /// Of the event tree, unless that is built elsewhere.
    pub(crate) leaf: Option<Digest>,
    names_seal: bool,
    pub(crate) key_event: Option<KeyEvent>,
}

/// Where the leaves of the event tree are computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Leaves {
    Here,
    Elsewhere,
}

/// From which length of a log on its event tree is built beside the rest, in bytes.
const BESIDE: usize = 1 << 20;

/// The event tree over a log's lines, up to one that is none.
fn tree_over(log: &[u8]) -> EventTree {
    let mut tree = EventTree::new();
    for line in lines_of(log) {
        match scan_line(line) {
            Ok(line) => tree.push(leaf(&line)),
            Err(_) => break,
        }
    }
    tree
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
        if bytes.len() < BESIDE || available_threads() < 2 {
            return Self::read_lines(bytes, sealed, Leaves::Here);
        }
        thread::scope(|scope| {
            // Hashing every line once more takes as long as all the rest.
            let tree = thread::Builder::new().spawn_scoped(scope, || tree_over(bytes));
            let Ok(tree) = tree else {
                return Self::read_lines(bytes, sealed, Leaves::Here);
            };
            let (mut index, torn) = Self::read_lines(bytes, sealed, Leaves::Elsewhere)?;
            index.tree = tree.join().expect("hashing does not panic");
            if index.tree.size() != index.lines {
                // A torn tail may be an event by itself.
                index.tree = tree_over(&bytes[..index.len as usize]);
            }
            Ok((index, torn))
        })
    }

    fn read_lines(
        bytes: &[u8],
        sealed: u64,
        leaves: Leaves,
    ) -> Result<(Self, Option<u64>), VaultError> {
        let mut index = Self::default();
        let mut rest = bytes;
        while !rest.is_empty() {
            let end = memchr::memchr(b'\n', rest);
            let line = &rest[..end.unwrap_or(rest.len())];
            if let Err(reason) = index.add_with(line, end.is_some(), leaves) {
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
        self.add_with(bytes, terminated, Leaves::Here)
    }

    fn add_with(&mut self, bytes: &[u8], terminated: bool, leaves: Leaves) -> Result<(), Break> {
        let step = self.step_with(bytes, leaves)?;
        self.take(step, bytes.len() as u64 + u64::from(terminated));
        self.unterminated = !terminated;
        Ok(())
    }

    /// What a line, given without its line end, would change; nothing has changed yet.
    pub(crate) fn step(&self, bytes: &[u8]) -> Result<Step, Break> {
        self.step_with(bytes, Leaves::Here)
    }

    fn step_with(&self, bytes: &[u8], leaves: Leaves) -> Result<Step, Break> {
        let line = scan_line(bytes)?;
        let id: EventId = parsed(&line, Field::EventId)?;
        let kind = line.text(Field::Type).ok_or(Break::Field("type"))?;
        let actor = match line.raw(Field::Actor) {
            Some(raw) if raw.len() > 2 && raw[0] == b'"' => raw,
            _ => return Err(Break::Field("actor")),
        };
        if let Some(closed) = self.closed
            && kind != REDACTION_TYPE
        {
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
            leaf: (leaves == Leaves::Here).then(|| leaf(&line)),
            names_seal: line.has(Field::Seal) || line.has(Field::After),
            key_event: KeyEventKind::of(&kind).and_then(|kind| self.key_event(kind, id, &line)),
        })
    }

    /// What the next line says of keys; nothing if nobody can have signed it.
    fn key_event(&self, kind: KeyEventKind, id: EventId, line: &Line<'_>) -> Option<KeyEvent> {
        let signature = line.text(Field::Sig)?;
        let mut signed = Vec::new();
        line.signed_bytes(&mut signed);
        Some(KeyEvent {
            number: self.lines + 1,
            id,
            signer: line.text(Field::ActorKeyId)?.parse().ok()?,
            kind,
            payload: json::parse(line.raw(Field::Payload)?).ok()?.into_owned(),
            proof: Some(Proof {
                signature: Signature::from_base64(signature.as_bytes())?,
                signed,
            }),
        })
    }

    /// Makes the changes of a line that takes `length` bytes of the log.
    pub(crate) fn take(&mut self, step: Step, length: u64) {
        let id = step.state.head;
        if let Some(event) = step.key_event {
            self.key_offsets.push(self.len);
            self.key_events.push(event);
        }
        self.names_seals |= step.names_seal;
        step.leaf.into_iter().for_each(|leaf| self.tree.push(leaf));
        self.first_event.get_or_insert(id);
        self.last_event = Some(id);
        if step.closes {
            self.closed = Some(id);
        }
        self.actors.insert(step.actor, step.state);
        self.lines += 1;
        self.len += length;
        self.unterminated = false;
    }

    /// Makes the changes of an event that is known to continue the log: by `actor` (the JSON text of
    /// its name), neither a key event nor out of its chain, `length` bytes long. Its leaf follows, as
    /// signatures are parts of leaves.
    pub(crate) fn advance(&mut self, actor: &[u8], state: Actor, closes: bool, length: u64) {
        if closes {
            self.closed = Some(state.head);
        }
        self.last_event = Some(state.head);
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
        let revoking = |event: &&KeyEvent| event.kind == KeyEventKind::Revocation;
        let mut events = self.key_events.iter().filter(revoking);
        events.any(|event| event.subject() == Some(*key))
    }

    /// The key events whose lines begin at byte `offset` of the log or beyond it.
    pub(crate) fn key_events_from(&self, offset: u64) -> &[KeyEvent] {
        let at = self.key_offsets.partition_point(|at| *at < offset);
        &self.key_events[at..]
    }

    /// Notes which key events are signed by the keys that `history` has for them: nobody has to check them
    /// again, also not whoever takes this index from a cache that a key of the vault signed.
    pub(crate) fn settle_proofs(&mut self, history: &KeyHistory) {
        for event in self.key_events.iter_mut().filter(|it| it.proof.is_some()) {
            let key = history.public_key(&event.signer);
            if key.is_some_and(|key| event.is_signed_by(key)) {
                event.proof = None;
            }
        }
    }

    /// The keys as signed events bring them; `None` in a vault without a mark.
    ///
    /// # Errors
    /// Why a log that bears traces of a mark has none.
    pub(crate) fn history(&self) -> Result<Option<KeyHistory>, &'static str> {
        let history = KeyHistory::build(&self.key_events);
        let genesis = self.key_events.first();
        if history.is_some() {
            return Ok(history);
        }
        if genesis.is_some_and(|genesis| genesis.payload.get(SEAL_POLICY).is_some()) {
            return Err("its GENESIS event brings keys, and none of them signed it");
        }
        if self.names_seals {
            return Err(
                "events in it name a seal, as only those of a marked vault do, and the mark is gone",
            );
        }
        Ok(None)
    }
}

fn parsed<T: std::str::FromStr>(line: &Line<'_>, field: Field) -> Result<T, Break> {
    line.text(field)
        .and_then(|text| text.parse().ok())
        .ok_or(Break::Field(field.name()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_that_is_built_beside_the_index_is_that_of_the_whole_events() {
        let line = |number: u64, prev: Option<u64>| {
            let id = |number: u64| format!("\"evt_{number:024x}\"");
            format!(
                "{{\"actor\":\"a\",\"event_id\":{},\"payload\":{{\"text\":\"{}\"}},\"prev_event_hash\":{},\
                 \"type\":\"com.acme.a.b\"}}\n",
                id(number),
                "x".repeat(300),
                prev.map_or("null".to_owned(), id),
            )
        };
        let log: String = (0..3000)
            .map(|number| line(number, number.checked_sub(1)))
            .collect();
        assert!(log.len() > BESIDE);
        // A torn tail that is an event by itself, one that is none, and none.
        let torn = line(9000, Some(8999));
        for tail in [torn.trim_end(), "{\"actor\":", ""] {
            let bytes = [log.as_bytes(), tail.as_bytes()].concat();
            let (index, at) = LogIndex::read(&bytes, 0).unwrap();
            let (serial, _) = LogIndex::read_lines(&bytes, 0, Leaves::Here).unwrap();
            assert_eq!(at, (!tail.is_empty()).then_some(log.len() as u64));
            assert_eq!((index.lines, index.tree.size()), (3000, 3000));
            assert_eq!(index.tree, serial.tree);
        }
    }
}
