//! Lines read into flat records, for a thread that has nothing to do with Python.
//!
//! A record is what an event is made of, in the order of its line, with all that can be known before Python's
//! objects are made: which keys a dict will have, and which strings there have been before.

use std::borrow::Cow;
use std::collections::TryReserveError;

use provara_core::canonical::MAX_SAFE_INTEGER;
use provara_core::json::{self, Build, ParseError, is_integer_token};

/// The longest line that is recorded, in bytes: a record takes several times the memory of its text.
const MAX_LINE: usize = 1 << 20;

/// The longest string that may recur, in bytes, and the longest key.
const SHORT: usize = 64;

/// How many strings are remembered that may recur.
pub(crate) const PLACES: usize = 1 << PLACE_BITS;
const PLACE_BITS: u32 = 10;

/// How many keys all known objects have together, and how many different ones may follow one.
const MAX_NODES: usize = 1024;
const MAX_NEXT: usize = 16;

/// A step in the making of an event.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Step {
    /// An event, whose line has so many bytes without its end; its dict follows.
    Event(u32),
    /// A line of so many bytes that is left to whoever makes the events: it is long, rare, or no event.
    Aside(usize),
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    /// A string: the next bytes of [`Batch::text`], so many.
    Text(u32),
    /// The same, to be kept in a place.
    Keep(u16, u32),
    /// The string that is kept in a place.
    Kept(u16),
    /// A list of the values that follow, so many.
    List(u32),
    /// A dict of the values that follow; its keys are the shape with this number.
    Dict(u32),
}

/// The records of some lines.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    pub(crate) steps: Vec<Step>,
    /// What the strings that are to be made hold, one after the other.
    pub(crate) text: String,
    /// The shapes that occur here for the first time; they are numbered through all batches.
    pub(crate) shapes: Vec<Vec<Box<str>>>,
}

impl Batch {
    pub(crate) fn clear(&mut self) {
        self.steps.clear();
        self.text.clear();
        self.shapes.clear();
    }

    /// Makes room for the record of a line. What is added without room ends the process where memory has a limit.
    pub(crate) fn reserve(&mut self, line: &[u8]) -> Result<(), TryReserveError> {
        let length = match line.len() {
            length if length <= MAX_LINE => length,
            _ => 0,
        };
        // Each value but the outermost has a comma, a colon or a bracket before it.
        self.steps.try_reserve(length / 2 + 2)?;
        self.text.try_reserve(length)
    }
}

/// Records lines, and knows what the lines before had.
pub(crate) struct Recorder {
    shapes: Shapes,
    recent: Recent,
}

impl Recorder {
    pub(crate) fn new() -> Self {
        Self {
            shapes: Shapes::new(),
            recent: Recent::new(),
        }
    }

    /// Adds the record of a line.
    pub(crate) fn record(&mut self, line: &[u8], batch: &mut Batch) {
        let (first, text) = (batch.steps.len(), batch.text.len());
        // `MAX_LINE` and all that is counted in a line fit in 32 bits.
        batch.steps.push(Step::Event(line.len() as u32));
        let recorder = self;
        let recorded = line.len() <= MAX_LINE
            && json::build(line, &mut Recording { recorder, batch }).is_ok()
            && matches!(batch.steps[first + 1], Step::Dict(_));
        if recorded {
            return;
        }
        for step in batch.steps.drain(first..) {
            if let Step::Keep(place, _) = step {
                recorder.recent.forget(place);
            }
        }
        batch.text.truncate(text);
        batch.steps.push(Step::Aside(line.len()));
    }
}

/// Why a line has no record. What is wrong with it, if anything is, says whoever reads it again.
struct Unrecorded;

impl From<ParseError> for Unrecorded {
    fn from(_: ParseError) -> Self {
        Self
    }
}

/// One line on its way into a batch.
struct Recording<'r> {
    recorder: &'r mut Recorder,
    batch: &'r mut Batch,
}

impl<'a> Build<'a> for Recording<'_> {
    type Value = ();
    /// The list's step, and how many items it has.
    type Array = (usize, u32);
    /// The object's step, and its keys so far.
    type Object = (usize, Node);
    type Key = ();
    type Error = Unrecorded;

    fn null(&mut self) {
        self.batch.steps.push(Step::Null);
    }

    fn boolean(&mut self, value: bool) {
        self.batch.steps.push(Step::Bool(value));
    }

    fn number(&mut self, token: &'a str) -> Result<(), Unrecorded> {
        let step = match is_integer_token(token) {
            // What a larger one is depends on the whole log.
            true => match token.parse::<i64>() {
                Ok(value) if value.unsigned_abs() <= MAX_SAFE_INTEGER => Step::Int(value),
                _ => return Err(Unrecorded),
            },
            false => Step::Float(token.parse().map_err(|_| Unrecorded)?),
        };
        self.batch.steps.push(step);
        Ok(())
    }

    #[inline]
    fn string(&mut self, text: Cow<'a, str>) {
        let length = text.len() as u32;
        let step = match self.recorder.recent.find(text.as_bytes()) {
            Found::Same(place) => {
                self.batch.steps.push(Step::Kept(place));
                return;
            }
            Found::Other(place) => Step::Keep(place, length),
            Found::Long => Step::Text(length),
        };
        self.batch.text.push_str(&text);
        self.batch.steps.push(step);
    }

    fn array(&mut self) -> (usize, u32) {
        self.batch.steps.push(Step::List(0));
        (self.batch.steps.len() - 1, 0)
    }

    fn item(&mut self, (_, items): &mut Self::Array, (): ()) -> Result<(), Unrecorded> {
        *items += 1;
        Ok(())
    }

    fn end_array(&mut self, (step, items): Self::Array) {
        self.batch.steps[step] = Step::List(items);
    }

    fn object(&mut self) -> (usize, Node) {
        self.batch.steps.push(Step::Dict(0));
        (self.batch.steps.len() - 1, Shapes::EMPTY)
    }

    #[inline]
    fn expected_key(&mut self, (_, keys): &mut Self::Object, rest: &[u8]) -> Option<((), usize)> {
        let (next, length) = self.recorder.shapes.expected(*keys, rest)?;
        *keys = next;
        Some(((), length))
    }

    /// None also for a key that cannot be remembered: then the line is left aside.
    fn key(&mut self, (_, keys): &mut Self::Object, key: Cow<'a, str>) -> Option<()> {
        *keys = self.recorder.shapes.with(*keys, &key)?;
        Some(())
    }

    fn member(&mut self, _: &mut Self::Object, (): (), (): ()) -> Result<(), Unrecorded> {
        Ok(())
    }

    fn end_object(&mut self, (step, keys): Self::Object) -> Result<(), Unrecorded> {
        let shape = self.recorder.shapes.shape(keys, &mut self.batch.shapes);
        self.batch.steps[step] = Step::Dict(shape);
        Ok(())
    }
}

/// Which keys objects have, in which order: a tree, whose nodes are keys that followed each other.
struct Shapes {
    nodes: Vec<Keys>,
    /// How many shapes have a number.
    numbered: u32,
}

/// The place of a node in [`Shapes::nodes`].
type Node = usize;

struct Keys {
    /// The last key; those before it are the parent's.
    key: Box<str>,
    /// How it stands in a line: `"key":`. Empty if it has escapes there.
    stands: Box<[u8]>,
    parent: Node,
    next: Vec<Node>,
    /// Which of `next` it was the last time.
    last: Node,
    /// The number of the shape, if an object had these keys and no more.
    shape: Option<u32>,
}

impl Shapes {
    /// No keys.
    const EMPTY: Node = 0;

    fn new() -> Self {
        let mut shapes = Self {
            nodes: Vec::new(),
            numbered: 0,
        };
        // It stands nowhere, so it is never expected.
        shapes.add("", Self::EMPTY);
        shapes.nodes[Self::EMPTY].stands = Box::default();
        shapes
    }

    fn add(&mut self, key: &str, parent: Node) -> Node {
        let plain = !key.contains(|c: char| c < ' ' || c == '"' || c == '\\');
        let stands = plain.then(|| format!("\"{key}\":").into_bytes());
        self.nodes.push(Keys {
            key: key.into(),
            stands: stands.unwrap_or_default().into(),
            parent,
            next: Vec::new(),
            last: Self::EMPTY,
            shape: None,
        });
        self.nodes.len() - 1
    }

    /// The keys of `node` and the one that `rest` begins with, if it came next before; and how many bytes it
    /// has there.
    #[inline]
    fn expected(&mut self, node: Node, rest: &[u8]) -> Option<(Node, usize)> {
        let begins = |next: &Node| {
            let stands = &self.nodes[*next].stands;
            !stands.is_empty() && rest.starts_with(stands)
        };
        let keys = &self.nodes[node];
        let next = match begins(&keys.last) {
            true => keys.last,
            false => *keys.next.iter().find(|next| begins(next))?,
        };
        self.nodes[node].last = next;
        Some((next, self.nodes[next].stands.len()))
    }

    /// The keys of `node` and one more. None if it is among them, or too many are known.
    fn with(&mut self, node: Node, key: &str) -> Option<Node> {
        let next = &self.nodes[node].next;
        let known = next.iter().find(|next| *self.nodes[**next].key == *key);
        if let Some(known) = known {
            return Some(*known);
        }
        let full = next.len() >= MAX_NEXT || self.nodes.len() >= MAX_NODES;
        if full || key.len() > SHORT || self.keys(node).any(|known| known == key) {
            return None;
        }
        let added = self.add(key, node);
        self.nodes[node].next.push(added);
        Some(added)
    }

    /// The keys of a node, the last one first.
    fn keys(&self, mut node: Node) -> impl Iterator<Item = &str> {
        std::iter::from_fn(move || {
            let keys = (node != Self::EMPTY).then(|| &self.nodes[node])?;
            node = keys.parent;
            Some(&*keys.key)
        })
    }

    /// The number of a node's shape; a shape that has none yet goes to `new`.
    #[inline]
    fn shape(&mut self, node: Node, new: &mut Vec<Vec<Box<str>>>) -> u32 {
        if let Some(shape) = self.nodes[node].shape {
            return shape;
        }
        let mut keys: Vec<_> = self.keys(node).map(Box::from).collect();
        keys.reverse();
        new.push(keys);
        self.numbered += 1;
        *self.nodes[node].shape.insert(self.numbered - 1)
    }
}

/// Short strings of the lines before, each in the place that its bytes choose.
struct Recent {
    places: Vec<Short>,
}

#[derive(Clone, Copy)]
struct Short {
    /// 0 if nothing is there.
    length: u8,
    bytes: [u8; SHORT],
}

enum Found {
    /// It is the string in this place.
    Same(u16),
    /// It is another one, and is there now.
    Other(u16),
    /// It is not kept.
    Long,
}

impl Recent {
    fn new() -> Self {
        let nothing = Short {
            length: 0,
            bytes: [0; SHORT],
        };
        Self {
            places: vec![nothing; PLACES],
        }
    }

    #[inline]
    fn find(&mut self, text: &[u8]) -> Found {
        if text.is_empty() || text.len() > SHORT {
            return Found::Long;
        }
        let place = place(text);
        let short = &mut self.places[usize::from(place)];
        if usize::from(short.length) == text.len() && short.bytes[..text.len()] == *text {
            return Found::Same(place);
        }
        short.length = text.len() as u8;
        short.bytes[..text.len()].copy_from_slice(text);
        Found::Other(place)
    }

    fn forget(&mut self, place: u16) {
        self.places[usize::from(place)].length = 0;
    }
}

/// Where a string is kept: by its first and last bytes, of which ids and times have the ones that differ.
#[inline]
fn place(text: &[u8]) -> u16 {
    let word = |bytes: Option<&[u8; 8]>| bytes.map(|bytes| u64::from_le_bytes(*bytes));
    let few = || text.iter().fold(0, |all, byte| all << 8 | u64::from(*byte));
    let (first, last) = (word(text.first_chunk()), word(text.last_chunk()));
    let mixed = first.unwrap_or_else(few).rotate_left(23) ^ last.unwrap_or(text.len() as u64);
    (mixed.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> (64 - PLACE_BITS)) as u16
}
