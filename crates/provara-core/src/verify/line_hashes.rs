//! What lines hash to: their ids and their leaves in the event tree, of many lines together.

use std::ops::Range;

use crate::id::{Digest, EventId};
use crate::scan::{Field, Line, scan_line};
use crate::tree::{leaf_at, leaf_input};
use crate::verify::judge::Judge;

/// How many lines are hashed together: enough to find others of the same length for nearly each, and few enough that what
/// is hashed stays in a core's cache.
const LINES: usize = 256;

/// With how many bytes to be hashed no further line is waited for.
const BYTES: usize = 256 << 10;

/// From which length on a line is hashed where it stands: nothing is gained by a copy beside others.
const LONG: usize = 4 << 10;

/// How an event id follows from the content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Derivation {
    /// Over the event with `actor_key_id`, as it is written.
    WithKeyId,
    /// Over the event before `actor_key_id` was set.
    WithoutKeyId,
    /// It does not.
    None,
}

/// How the id that a line states follows from it; each form of the line is hashed by itself.
pub(super) fn derivation(line: &Line<'_>, stated: EventId) -> Derivation {
    let mut preimage = Vec::new();
    line.id_preimage(&mut preimage);
    if EventId::from_digest(Digest::of(&preimage)) == stated {
        return Derivation::WithKeyId;
    }
    line.legacy_id_preimage(&mut preimage);
    if EventId::from_digest(Digest::of(&preimage)) == stated {
        return Derivation::WithoutKeyId;
    }
    Derivation::None
}

/// What a line hashes to.
#[derive(Debug)]
pub(super) struct Hashed {
    /// What [`Unhashed::push`] was told.
    pub(super) at: usize,
    pub(super) derivation: Derivation,
    /// The id that follows from the content, where the line states another.
    pub(super) derived: Option<EventId>,
    pub(super) leaf: Digest,
}

/// A line whose hashes are not known yet.
#[derive(Debug)]
struct Waiting<'a> {
    at: usize,
    line: &'a [u8],
    stated: Option<EventId>,
    /// What the line says that its payload hashed to, if it is a tombstone.
    original: Option<Digest>,
    payload: Option<Range<usize>>,
    /// Where it ends in [`Unhashed::ids`].
    id_end: usize,
    /// Its hash's digits in [`Unhashed::leaves`], and where its leaf ends there; `None` of a long line.
    leaf: Option<(usize, usize)>,
}

impl Waiting<'_> {
    /// How its id follows from it, if that is the hash of the whole content or not.
    fn derivation(&self, hash: Digest) -> (Derivation, Option<EventId>) {
        let Some(stated) = self.stated else {
            return (Derivation::None, None);
        };
        if EventId::from_digest(hash) == stated {
            return (Derivation::WithKeyId, None);
        }
        // Few lines come here, and each is looked at once more, by itself.
        let line = scan_line(self.line).expect("it was scanned");
        let derivation = derivation(&line, stated);
        let derived = (derivation == Derivation::None).then(|| {
            let mut preimage = Vec::new();
            line.id_preimage(&mut preimage);
            EventId::from_digest(Digest::of(&preimage))
        });
        (derivation, derived)
    }
}

/// Lines that are to be hashed together.
#[derive(Debug, Default)]
pub(super) struct Unhashed<'a> {
    /// What the ids are the hashes of, one after another.
    ids: Vec<u8>,
    /// What the leaves are the hashes of, each but for the digits of its payload's hash.
    leaves: Vec<u8>,
    waiting: Vec<Waiting<'a>>,
}

impl<'a> Unhashed<'a> {
    /// Adds a line that states this id, and whose tombstone, if its payload is one, names the hash `original`. `at` is how
    /// the caller knows it again.
    pub(super) fn push(
        &mut self,
        at: usize,
        line: &Line<'a>,
        stated: Option<EventId>,
        original: Option<Digest>,
    ) {
        line.append_id_preimage(&mut self.ids);
        let payload = line.place(Field::Payload);
        let is_long = line.bytes().len() >= LONG;
        let leaf = (!is_long).then(|| {
            let digits = leaf_input(line.bytes(), payload.clone(), &mut self.leaves);
            (digits, self.leaves.len())
        });
        self.waiting.push(Waiting {
            at,
            line: line.bytes(),
            stated,
            original,
            payload,
            id_end: self.ids.len(),
            leaf,
        });
    }

    /// Whether it is time to hash.
    pub(super) fn is_full(&self) -> bool {
        self.waiting.len() >= LINES || self.ids.len() >= BYTES
    }

    /// Hashes all that were added since it was called last, and gives them to `each` in their order.
    pub(super) fn hash(&mut self, judge: &impl Judge, mut each: impl FnMut(Hashed)) {
        let count = self.waiting.len();
        let mut messages = Vec::with_capacity(2 * count);
        let mut start = 0;
        for waiting in &self.waiting {
            messages.push(&self.ids[start..waiting.id_end]);
            start = waiting.id_end;
        }
        // A payload's hash stands at its line's place behind those of the ids; where there is none, it is of no account.
        let payload =
            |waiting: &Waiting<'a>| &waiting.line[waiting.payload.clone().unwrap_or(0..0)];
        messages.extend(self.waiting.iter().map(payload));
        let hashes = judge.hash(&messages);
        let (ids, payloads) = hashes.split_at(count);

        let mut hashed = Vec::with_capacity(count);
        for ((waiting, id), payload) in self.waiting.iter().zip(ids).zip(payloads) {
            let (derivation, derived) = waiting.derivation(*id);
            // A tombstone stands for what it replaced, unless the id is that of the line with it.
            let original = waiting.original.filter(|_| derivation == Derivation::None);
            let payload_hash = original.unwrap_or(*payload);
            let leaf = match (&waiting.leaf, &waiting.payload) {
                (Some((digits, _)), Some(_)) => {
                    self.leaves[*digits..digits + 64].copy_from_slice(&payload_hash.hex());
                    None
                }
                (Some(_), None) => None,
                (None, place) => Some(leaf_at(waiting.line, place.clone(), payload_hash)),
            };
            hashed.push((waiting.at, derivation, derived, leaf));
        }

        messages.clear();
        start = 0;
        for (_, end) in self.waiting.iter().filter_map(|waiting| waiting.leaf) {
            messages.push(&self.leaves[start..end]);
            start = end;
        }
        let mut leaves = judge.hash(&messages).into_iter();
        for (at, derivation, derived, leaf) in hashed {
            let leaf = leaf.or_else(|| leaves.next());
            each(Hashed {
                at,
                derivation,
                derived,
                leaf: leaf.expect("a hash of every message"),
            });
        }
        self.ids.clear();
        self.leaves.clear();
        self.waiting.clear();
    }
}
