//! Copies of a vault that go on by themselves, for merging.

use std::collections::BTreeMap;

use provara_core::id::EventId;
use provara_core::json;
use provara_core::keys::KeyRegistry;
use provara_core::merge::merge;

use super::log_forge::{Log, entry, signed};

/// One event to come: the actor, and its time in steps that repeat often.
pub(crate) type Step = (u8, i64);

/// A copy of a vault: its log, and where each actor stands.
#[derive(Clone)]
pub(crate) struct Copy {
    pub(crate) lines: Vec<Vec<u8>>,
    pub(crate) heads: BTreeMap<String, (EventId, u64)>,
}

impl Copy {
    pub(crate) fn born() -> Self {
        let log = Log::with_keys(&[1]);
        Self {
            lines: log.lines,
            heads: BTreeMap::from([("genesis".to_owned(), (log.ids[0], 1))]),
        }
    }

    /// Appends an event of `actor`; `text` makes events of equal place and time differ.
    pub(crate) fn add(&mut self, actor: &str, at: i64, text: &str) -> EventId {
        let payload = json::object([("text", text.into())]);
        self.add_event(actor, 1, at, "com.example.test.note", &payload)
    }

    pub(crate) fn add_event(
        &mut self,
        actor: &str,
        seed: u8,
        at: i64,
        event_type: &str,
        payload: &json::Value<'_>,
    ) -> EventId {
        let (prev, logical) = self
            .heads
            .get(actor)
            .map_or((None, 0), |(id, at)| (Some(*id), *at));
        let place = (prev, logical + 1);
        let micros = 1_900_000_000_000_000 + at;
        let event = signed(actor, seed, event_type, payload, place, micros);
        self.heads.insert(actor.to_owned(), (event.id, logical + 1));
        self.lines.push(event.line);
        event.id
    }

    /// Appends events whose actors no other copy with another `name` has.
    pub(crate) fn live(mut self, name: &str, steps: &[Step]) -> Self {
        for (number, (actor, at)) in steps.iter().enumerate() {
            self.add(&format!("{name}{actor}"), *at, &format!("{name} {number}"));
        }
        self
    }

    pub(crate) fn log(&self) -> Vec<u8> {
        self.lines.concat()
    }
}

pub(crate) fn registry() -> KeyRegistry {
    KeyRegistry {
        keys: vec![entry(1)],
        ..KeyRegistry::default()
    }
}

pub(crate) fn rewritten(ours: &[u8], theirs: &[u8]) -> Vec<u8> {
    let merged = merge(ours, theirs).unwrap();
    assert!(merged.forks().is_empty());
    merged.rewritten()
}
