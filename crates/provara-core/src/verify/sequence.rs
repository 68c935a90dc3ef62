//! The in-order stage: chains, duplicates, keys over time, redactions and the end of the log.

mod effects;
mod events;
mod finish;
mod redaction;
mod resume;
mod verdict;

use std::collections::BTreeSet;

use crate::finding::{Code, Finding};
use crate::hash_map::HashMap;
use crate::history::KeyEvent;
use crate::id::{Digest, EventId, KeyId};
use crate::keys::KeyRegistry;
use crate::layout::LOG;
use crate::scan::Form;
use crate::time::Timestamp;
use crate::tree::EventTree;
use crate::verify::line::{CheckedLine, Derivation, Event, Kind, Prev, Problem, SignatureCheck};
use crate::verify::timeline::Timeline;

use events::{Author, Events, Seen};
use redaction::{Redacted, Redaction};
pub use verdict::{FilesStatement, Genesis, KeptLeaves, LogCounts, LogVerdict};

/// Where an actor stands.
#[derive(Debug, Clone)]
struct Head {
    last: EventId,
    ts_logical: Option<i64>,
    time: Option<Timestamp>,
    /// The keys whose signatures for the actor are proven.
    keys: Vec<u32>,
}

/// Whose signature an event carries, by the key's number.
#[derive(Debug, Clone, Copy)]
enum Signer {
    /// The signature is that of the key.
    Proven(u32),
    /// A redacted event names the key. Its signature no longer covers it, so that it stands for
    /// nothing that the key did; what took trust from the key holds against it all the same.
    Claimed(u32),
    /// The event names no key, or its signature is not that key's.
    Unknown,
}

/// The place of a finding that was made before its message could be.
#[derive(Debug, Clone, Copy)]
struct LinePlace {
    line: u64,
    offset: u64,
    actor: Option<u32>,
    id: Option<EventId>,
}

/// Shorter than the line of any event that is signed.
const LEAST_EVENT: u128 = 256;

/// Takes the checked lines in the order of the log. A clone goes on by itself.
#[derive(Debug, Clone)]
pub struct Sequencer {
    timeline: Timeline,
    findings: Vec<Finding>,
    lines: u64,
    events: Events,
    /// How long the log is, as far as that is known.
    length: u64,
    actors: Vec<String>,
    actor_index: HashMap<String, u32>,
    heads: HashMap<u32, Head>,
    keys: Vec<KeyId>,
    key_index: HashMap<KeyId, u32>,
    /// References that named no event so far, which may follow, and whether they are of an actor's
    /// first event.
    dangling: Vec<(LinePlace, EventId, bool)>,
    tombstones: Vec<Redacted>,
    /// The sound redaction events.
    redactions: HashMap<EventId, Redaction>,
    /// The events that no redaction may touch, as the rules read them.
    unredactable: BTreeSet<EventId>,
    genesis: Option<Genesis>,
    /// Whether the `GENESIS` event carries a seal policy, sound or not.
    is_marked: bool,
    /// The sound events that speak of keys, in order.
    key_events: Vec<KeyEvent>,
    files: Vec<FilesStatement>,
    /// The first event that names a seal or the line before, and how many do.
    naming: Option<(LinePlace, u64)>,
    tree: EventTree,
    /// The sizes at which the root of the tree is asked for, and the roots so far.
    watched: BTreeSet<u64>,
    roots: Vec<(u64, Digest)>,
    leaves: Option<KeptLeaves>,
    introduced: BTreeSet<KeyId>,
    /// The lines of the rotations that took effect, by signers who are not introduced.
    unvouched_rotations: Vec<u64>,
    sealed_by: Option<(EventId, u64)>,
    unreadable: u64,
    token_form: u64,
    without_key_id: u64,
    signatures: u64,
    open_end: bool,
}

impl Sequencer {
    /// Starts at the first line, with the keys of `keys.json`.
    #[must_use]
    pub fn new(registry: &KeyRegistry) -> Self {
        Self::empty(Timeline::new(registry))
    }

    fn empty(timeline: Timeline) -> Self {
        Self {
            timeline,
            findings: Vec::new(),
            lines: 0,
            events: Events::default(),
            length: 0,
            actors: Vec::new(),
            actor_index: HashMap::default(),
            heads: HashMap::default(),
            keys: Vec::new(),
            key_index: HashMap::default(),
            dangling: Vec::new(),
            tombstones: Vec::new(),
            redactions: HashMap::default(),
            unredactable: BTreeSet::new(),
            genesis: None,
            is_marked: false,
            key_events: Vec::new(),
            files: Vec::new(),
            naming: None,
            tree: EventTree::new(),
            watched: BTreeSet::new(),
            roots: Vec::new(),
            leaves: None,
            introduced: BTreeSet::new(),
            unvouched_rotations: Vec::new(),
            sealed_by: None,
            unreadable: 0,
            token_form: 0,
            without_key_id: 0,
            signatures: 0,
            open_end: false,
        }
    }

    /// Asks for the root of the event tree at this size; `false` where the tree is beyond it.
    pub fn watch(&mut self, size: u64) -> bool {
        if size > self.tree.size() {
            self.watched.insert(size);
        } else if size == self.tree.size() {
            self.roots.push((size, self.tree.root()));
        }
        size >= self.tree.size()
    }

    /// Keeps the leaves of the events after the first `from`, as far as they are still to come.
    pub fn keep_leaves(&mut self, from: u64) {
        self.leaves = Some(KeptLeaves {
            from: from.max(self.tree.size()),
            leaves: Vec::new(),
        });
    }

    /// Says how long the log is, in bytes, so that there is room at once for what is kept of its events. Nothing but time and
    /// memory depends on it.
    pub fn expect_length(&mut self, length: u64) {
        self.length = length;
    }

    /// The event tree over the lines so far.
    #[must_use]
    pub fn tree(&self) -> &EventTree {
        &self.tree
    }

    /// Takes the next lines.
    pub fn feed(&mut self, lines: Vec<CheckedLine<'_>>) {
        self.feed_with(lines, Digest::of_each);
    }

    /// As [`Sequencer::feed`]; `hash` gives SHA-256 of each message that it is given.
    pub fn feed_with(
        &mut self,
        lines: Vec<CheckedLine<'_>>,
        hash: impl Fn(&[&[u8]]) -> Vec<Digest>,
    ) {
        self.events.expect(lines.len());
        self.make_room(&lines);
        let events = lines.iter().filter_map(|line| line.event.as_ref());
        let leaves: Vec<Digest> = events.map(|event| event.leaf).collect();
        self.grow_tree(&leaves, hash);
        for line in lines {
            self.line(line);
        }
    }

    /// Makes room for the events of `lines`, and of those that follow if they are about as long.
    fn make_room(&mut self, lines: &[CheckedLine<'_>]) {
        let [first, .., last] = lines else {
            return;
        };
        let rest = u128::from(self.length.saturating_sub(first.offset));
        let taken = u128::from(last.offset - first.offset).max(1);
        let all = (lines.len() - 1) as u128 * rest / taken;
        // Lines that only look like many must not make a long log cost more than one of events.
        let all = all.min(rest / LEAST_EVENT);
        let all = usize::try_from(all).unwrap_or(usize::MAX);
        self.events.make_room(lines.len(), all);
    }

    /// Adds leaves to the tree, and notes its root at each size that is watched.
    fn grow_tree(&mut self, leaves: &[Digest], hash: impl Fn(&[&[u8]]) -> Vec<Digest>) {
        if let Some(kept) = &mut self.leaves {
            let before = kept.from.saturating_sub(self.tree.size());
            let before = usize::try_from(before).unwrap_or(usize::MAX);
            let half = |leaf: &Digest| *leaf.0.first_chunk().expect("16 of 32 bytes");
            kept.leaves.extend(leaves.iter().skip(before).map(half));
        }
        let mut rest = leaves;
        while !rest.is_empty() {
            // What is watched lies beyond the tree.
            let watched = self.watched.first();
            let count = watched.map_or(u64::MAX, |size| size - self.tree.size());
            let count = usize::try_from(count).unwrap_or(usize::MAX);
            let (now, later) = rest.split_at(count.min(rest.len()));
            self.tree.extend(now, &hash);
            if self.watched.remove(&self.tree.size()) {
                self.roots.push((self.tree.size(), self.tree.root()));
            }
            rest = later;
        }
    }

    fn line(&mut self, line: CheckedLine<'_>) {
        self.lines += 1;
        self.open_end = !line.ended;
        let actor = line.event.as_ref().and_then(|event| event.actor.as_deref());
        let place = LinePlace {
            line: self.lines,
            offset: line.offset,
            actor: actor.map(|actor| self.actor(actor)),
            id: line.event.as_ref().and_then(|event| event.id),
        };
        let sound = line.problems.is_empty();
        let id_text = line.event.as_ref().and_then(|event| event.id_text.as_ref());
        for problem in line.problems {
            let mut finding = self.finding(place, problem);
            finding.event_id = finding.event_id.or_else(|| id_text.cloned());
            self.findings.push(finding);
        }
        match line.event {
            Some(event) => self.event(place, event, sound),
            None => self.unreadable += 1,
        }
    }

    fn actor(&mut self, name: &str) -> u32 {
        if let Some(actor) = self.actor_index.get(name) {
            return *actor;
        }
        let actor = u32::try_from(self.actors.len()).expect("fewer actors than 2^32 lines");
        self.actors.push(name.to_owned());
        self.actor_index.insert(name.to_owned(), actor);
        actor
    }

    /// A small number for a key.
    fn key(&mut self, id: KeyId) -> u32 {
        if let Some(key) = self.key_index.get(&id) {
            return *key;
        }
        let key = u32::try_from(self.keys.len()).expect("fewer keys than 2^32 lines");
        self.keys.push(id);
        self.key_index.insert(id, key);
        key
    }

    fn finding(&self, place: LinePlace, problem: Problem) -> Finding {
        let mut finding = Finding::new(problem.code, LOG, problem.message);
        finding.line = Some(place.line);
        finding.offset = Some(place.offset + problem.at as u64);
        finding.event_id = place.id.map(|id| id.to_string());
        finding.actor = place.actor.map(|actor| self.actors[actor as usize].clone());
        finding.expected = problem.expected;
        finding.found = problem.found;
        finding
    }

    fn report(&mut self, place: LinePlace, problem: Problem) {
        let finding = self.finding(place, problem);
        self.findings.push(finding);
    }

    fn event(&mut self, place: LinePlace, event: Event<'_>, mut sound: bool) {
        self.token_form += u64::from(event.form == Form::TokenPreserving);
        self.without_key_id += u64::from(event.derivation == Derivation::WithoutKeyId);
        if event.names {
            self.naming.get_or_insert((place, 0)).1 += 1;
        }
        if let Some((seal, _)) = self.sealed_by.filter(|_| event.kind != Kind::Redaction) {
            let message = format!("the vault was closed by {seal}; only redactions may follow");
            self.report(place, Problem::new(Code::E302, message));
            sound = false;
        }
        let duplicate = event.id.and_then(|id| self.events.find(&id));
        if let Some(Seen { line, .. }) = duplicate {
            let message = format!("the event id stands in line {line} already");
            self.report(place, Problem::new(Code::E007, message));
        }
        let signer = self.signature(place, &event, &mut sound);
        let proven = match signer {
            Signer::Proven(key) => Some(key),
            Signer::Claimed(_) | Signer::Unknown => None,
        };
        if duplicate.is_none() {
            self.chain(place, &event, proven);
        }
        let seen = Seen {
            id: event.id.unwrap_or(EventId([0; 12])),
            author: Author {
                actor: place.actor,
                key: match signer {
                    Signer::Proven(key) | Signer::Claimed(key) => Some(key),
                    Signer::Unknown => None,
                },
            },
            offset: place.offset,
            line: place.line,
        };
        let is_found_by_id = event.id.is_some() && duplicate.is_none();
        let position = self.events.push(&seen, is_found_by_id);
        let sound = sound && duplicate.is_none();
        self.apply_effects(place, &event, position, proven.is_some(), sound);
    }

    /// Decides the signature with what is known of keys at this position.
    fn signature(&mut self, place: LinePlace, event: &Event<'_>, sound: &mut bool) -> Signer {
        let Some(key_id) = event.key_id else {
            return Signer::Unknown;
        };
        let valid = match &event.signature {
            SignatureCheck::Unusable => return Signer::Unknown,
            SignatureCheck::Valid => true,
            SignatureCheck::Invalid => false,
            SignatureCheck::UnknownKey { signature, signed } => match self.timeline.get(&key_id) {
                Some(state) => state.public_key.verify(signed, signature).is_ok(),
                None => {
                    *sound = false;
                    let message = format!("the signer's key {key_id} is not in keys.json");
                    self.report(place, Problem::new(Code::E204, message));
                    return Signer::Unknown;
                }
            },
        };
        let consistent = valid && event.derivation != Derivation::None;
        if let (Some(tombstone), false) = (&event.tombstone, consistent) {
            *sound = false;
            self.tombstones.push(Redacted {
                place,
                redaction: tombstone.redaction,
                permitted: event.kind.is_redactable(),
                leaf: event.leaf,
            });
            return Signer::Claimed(self.key(key_id));
        }
        if !valid {
            *sound = false;
            let message = format!("the signature does not verify under key {key_id}");
            self.report(place, Problem::new(Code::E003, message));
            return Signer::Unknown;
        }
        self.signatures += 1;
        if let Some(problem) = self.timeline.signature_problem(&key_id) {
            *sound = false;
            self.report(place, problem);
        }
        Signer::Proven(self.key(key_id))
    }

    fn chain(&mut self, place: LinePlace, event: &Event<'_>, key: Option<u32>) {
        let (Some(actor), Some(id)) = (place.actor, event.id) else {
            return;
        };
        let head = self.heads.get(&actor).map(|head| head.last);
        match (event.prev, head) {
            (Prev::Unreadable, _) | (Prev::First, None) => {}
            (Prev::First, Some(last)) => self.report(
                place,
                Problem::new(Code::E002, "the actor's chain starts a second time")
                    .compare(last, "null"),
            ),
            (Prev::Event(prev), Some(last)) if prev == last => {}
            (Prev::Event(prev), last) => self.broken_link(place, actor, prev, last),
        }
        self.clocks(place, actor, event);
        let known = self
            .heads
            .get(&actor)
            .map(|head| head.keys.as_slice())
            .unwrap_or_default();
        let fresh = key.filter(|key| !known.contains(key));
        if let Some(fresh) = fresh {
            let id = self.keys[fresh as usize];
            let rotated = self
                .timeline
                .predecessors(id)
                .filter_map(|before| self.key_index.get(&before))
                .any(|before| known.contains(before));
            if !known.is_empty() && !rotated {
                let message = format!(
                    "the actor never signed with key {id} before, and no rotation brought it"
                );
                self.report(place, Problem::new(Code::W003, message));
            }
        }
        let head = self.heads.entry(actor).or_insert(Head {
            last: id,
            ts_logical: None,
            time: None,
            keys: Vec::new(),
        });
        head.last = id;
        head.ts_logical = event.ts_logical.or(head.ts_logical);
        head.time = event.time.or(head.time);
        head.keys.extend(fresh);
    }

    /// Names what is wrong with a `prev_event_hash` that is not the actor's head.
    fn broken_link(&mut self, place: LinePlace, actor: u32, prev: EventId, last: Option<EventId>) {
        let target = self.events.find(&prev);
        let expected = last.map_or("null".to_owned(), |id| id.to_string());
        let problem = match target {
            Some(target) if target.author.actor != Some(actor) => Problem::new(
                Code::E005,
                format!(
                    "'prev_event_hash' is an event of another actor (line {})",
                    target.line
                ),
            ),
            Some(target) => Problem::new(
                Code::E002,
                format!(
                    "the actor's chain forks: line {} is not the actor's last event",
                    target.line
                ),
            ),
            None => {
                self.dangling.push((place, prev, last.is_none()));
                return;
            }
        };
        self.report(place, problem.compare(expected, prev));
    }

    fn clocks(&mut self, place: LinePlace, actor: u32, event: &Event<'_>) {
        let Some(head) = self.heads.get(&actor) else {
            return;
        };
        let (logical, time) = (head.ts_logical, head.time);
        if let (Some(before), Some(now)) = (logical, event.ts_logical)
            && now < before
        {
            let problem = Problem::new(Code::W004, "'ts_logical' goes backwards within the actor");
            self.report(place, problem.compare(format!("{before} or above"), now));
        }
        if let (Some(before), Some(now)) = (time, event.time)
            && now < before
        {
            let problem = Problem::new(
                Code::W005,
                "'timestamp_utc' goes backwards within the actor",
            );
            self.report(place, problem.compare(format!("{before} or later"), now));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_keep_their_numbers_however_many_sign() {
        let mut sequencer = Sequencer::new(&KeyRegistry::default());
        let id = |n: u32| KeyId(u64::from(n).to_le_bytes());
        for n in 0..70_000 {
            assert_eq!(sequencer.key(id(n)), n);
        }
        assert_eq!(sequencer.key(id(65_535)), 65_535);
        assert_eq!(sequencer.keys.len(), 70_000);
    }
}
