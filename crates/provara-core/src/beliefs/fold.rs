//! The rules: what each event makes of its key. Events are known by a number here, in rising order, by which
//! what they say is found again when the state is printed.

use super::step::{Kind, Step};
use crate::hash_map::HashMap;

/// From this confidence on, a differing value makes a conflict.
pub(super) const CONFLICT_THRESHOLD: f64 = 0.5;

/// Whether every event since the first was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum History {
    Complete,
    /// Evidence from before the resumed state is unknown.
    Partial,
}

/// Everything that is known of one key.
#[derive(Debug, Default)]
pub(super) struct Belief {
    /// The observations and assertions.
    pub(super) evidence: Vec<u64>,
    pub(super) canonical: Option<Box<Canonical>>,
    pub(super) local: Option<Local>,
    pub(super) contested: Option<Box<Contested>>,
    pub(super) archived: Vec<Archived>,
}

/// A canonical entry.
#[derive(Debug)]
pub(super) struct Canonical {
    /// The attestation.
    pub(super) event: u64,
    /// What decides whether its value equals another.
    pub(super) value: Box<[u8]>,
}

/// A local entry.
#[derive(Debug)]
pub(super) struct Local {
    /// The evidence that it is from.
    pub(super) event: u64,
    pub(super) confidence: f64,
    pub(super) evidence_count: u64,
    /// What decides whether its value equals another.
    pub(super) value: Box<[u8]>,
}

/// A contested entry.
#[derive(Debug)]
pub(super) enum Contested {
    /// Built from the first `evidence` events of the key. They are grouped only when the state is
    /// printed: grouping at each conflict would make a key that every event contests quadratic.
    Now {
        reason: Reason,
        /// The attestation of what was canonical then.
        canonical: Option<u64>,
        evidence: usize,
    },
    /// As it stands in the state that was resumed: the value of this event.
    Carried(u64),
}

/// What a value conflicts with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reason {
    Canonical,
    Local,
}

/// An entry that was canonical.
#[derive(Debug, Clone, Copy)]
pub(super) enum Archived {
    /// Of the attestation `event`, until `superseded_by`.
    Was {
        event: u64,
        superseded_by: u64,
        retracted: bool,
    },
    /// As it stands in the state that was resumed: the value of this event.
    Carried(u64),
}

/// What one more piece of evidence does to a key.
#[derive(Debug, PartialEq, Eq)]
enum Effect {
    Contest(Reason),
    None,
    NewLocal,
}

/// The beliefs as far as they have come.
#[derive(Debug, Default)]
pub(super) struct Fold {
    /// Where the belief of each key stands.
    keys: HashMap<Box<[u8]>, usize>,
    beliefs: Vec<Belief>,
}

impl Fold {
    /// Each key with its belief, in no order.
    pub(super) fn iter(&self) -> impl ExactSizeIterator<Item = (&[u8], &Belief)> {
        let keys = self.keys.iter();
        keys.map(|(key, index)| (&**key, &self.beliefs[*index]))
    }

    /// The belief of a key, which is a new one where it has none.
    pub(super) fn belief(&mut self, key: &[u8]) -> &mut Belief {
        let index = match self.keys.get(key) {
            Some(index) => *index,
            None => {
                let index = self.beliefs.len();
                self.keys.insert(key.into(), index);
                self.beliefs.push(Belief::default());
                index
            }
        };
        &mut self.beliefs[index]
    }

    /// Makes room for this many keys.
    pub(super) fn reserve(&mut self, keys: usize) {
        self.keys.reserve(keys);
        self.beliefs.reserve(keys);
    }

    /// Applies what `event` does. False, with nothing changed, where that takes evidence which a partial
    /// history does not have.
    #[must_use]
    pub(super) fn apply(&mut self, step: &Step<'_>, event: u64, history: History) -> bool {
        match step.kind {
            Kind::Observation | Kind::Assertion => {
                let belief = self.belief(step.key);
                let effect = belief.effect_of(step);
                if history == History::Partial {
                    // Every other effect lists or counts evidence that may be unknown.
                    return effect == Effect::None;
                }
                belief.observe(step, event, effect);
            }
            Kind::Attestation => self.belief(step.key).attest(step, event),
            Kind::Retraction => {
                if let Some(index) = self.keys.get(step.key) {
                    self.beliefs[*index].retract(event);
                }
            }
            Kind::Epoch | Kind::Other => {}
        }
        true
    }
}

impl Belief {
    /// The four cases of the specification, in their order.
    fn effect_of(&self, step: &Step<'_>) -> Effect {
        if let Some(canonical) = &self.canonical
            && step.confidence >= CONFLICT_THRESHOLD
            && *canonical.value != *step.value
        {
            return Effect::Contest(Reason::Canonical);
        }
        let Some(local) = &self.local else {
            return Effect::NewLocal;
        };
        if *local.value != *step.value {
            if local.confidence.max(step.confidence) >= CONFLICT_THRESHOLD {
                return Effect::Contest(Reason::Local);
            }
        } else if step.confidence <= local.confidence {
            return Effect::None;
        }
        Effect::NewLocal
    }

    fn observe(&mut self, step: &Step<'_>, event: u64, effect: Effect) {
        self.evidence.push(event);
        match effect {
            Effect::Contest(reason) => {
                self.contested = Some(Box::new(Contested::Now {
                    reason,
                    canonical: self.canonical.as_ref().map(|it| it.event),
                    evidence: self.evidence.len(),
                }));
                self.local = None;
            }
            Effect::None => {}
            Effect::NewLocal => {
                let evidence_count = self.evidence.len() as u64;
                let local = self.local.take();
                // A value of the same length takes the place of the one before.
                let value = match local.map(|local| local.value) {
                    Some(mut value) if value.len() == step.value.len() => {
                        value.copy_from_slice(step.value);
                        value
                    }
                    _ => step.value.into(),
                };
                self.local = Some(Local {
                    event,
                    confidence: step.confidence,
                    evidence_count,
                    value,
                });
            }
        }
    }

    fn attest(&mut self, step: &Step<'_>, event: u64) {
        self.archive(event, false);
        self.canonical = Some(Box::new(Canonical {
            event,
            value: step.value.into(),
        }));
        self.local = None;
        self.contested = None;
    }

    fn retract(&mut self, event: u64) {
        self.archive(event, true);
        self.local = None;
        self.contested = None;
    }

    /// Moves the canonical entry, if there is one, to the archive.
    fn archive(&mut self, superseded_by: u64, retracted: bool) {
        if let Some(entry) = self.canonical.take() {
            self.archived.push(Archived::Was {
                event: entry.event,
                superseded_by,
                retracted,
            });
        }
    }
}
