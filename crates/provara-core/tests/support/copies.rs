//! Copies of a vault that go on by themselves, for merging.

#![allow(
    dead_code,
    missing_docs,
    unreachable_pub,
    reason = "each test program uses its part"
)]

use std::collections::BTreeMap;

use provara_core::id::EventId;
use provara_core::json;
use provara_core::keys::KeyRegistry;
use provara_core::merge::merge;

use crate::log_forge::{Log, entry, signed};

/// One event to come: the actor, and its time in steps that repeat often.
pub type Step = (u8, i64);

/// A copy of a vault: its log, and where each actor stands.
#[derive(Clone)]
pub struct Copy {
    pub lines: Vec<Vec<u8>>,
    pub heads: BTreeMap<String, (EventId, u64)>,
}

impl Copy {
    pub fn born() -> Self {
        let log = Log::with_keys(&[1]);
        Self {
            lines: log.lines,
            heads: BTreeMap::from([("genesis".to_owned(), (log.ids[0], 1))]),
        }
    }

    /// Appends an event of `actor`; `text` makes events of equal place and time differ.
    pub fn add(&mut self, actor: &str, at: i64, text: &str) -> EventId {
        let payload = json::object([("text", text.into())]);
        self.add_event(actor, 1, at, "com.example.test.note", &payload)
    }

    pub fn add_event(
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
    pub fn live(mut self, name: &str, steps: &[Step]) -> Self {
        for (number, (actor, at)) in steps.iter().enumerate() {
            self.add(&format!("{name}{actor}"), *at, &format!("{name} {number}"));
        }
        self
    }

    pub fn log(&self) -> Vec<u8> {
        self.lines.concat()
    }
}

pub fn registry() -> KeyRegistry {
    KeyRegistry {
        keys: vec![entry(1)],
        ..KeyRegistry::default()
    }
}

pub fn rewritten(ours: &[u8], theirs: &[u8]) -> Vec<u8> {
    let merged = merge(ours, theirs).unwrap();
    assert!(merged.forks().is_empty());
    merged.rewritten()
}
