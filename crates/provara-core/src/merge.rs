//! Merging two logs of one vault (spec/VAULT_FORMAT, section 7): the union by event id, in an order
//! that depends on the events alone.
//!
//! *The order.* Repeatedly take, among the events whose `prev_event_hash` has been taken, the one
//! with the least (`timestamp_utc`, `event_id`), both compared as the bytes of their text; the `GENESIS`
//! event goes before all others, whatever their clocks say, as a log that does not start with it does
//! not verify. An actor's chain therefore always comes before its clock, and the result is the same whichever side is asked
//! to merge the other: merging is commutative, associative and idempotent, to the byte.
//!
//! *The append-only order.* The log as it is, then what is new in the order above: what was said of
//! an earlier prefix stays true.
//!
//! Nothing here checks a signature: the caller verifies both sides, and then the result.

pub mod delta;
pub mod safety;

use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet};

use crate::event_type::CoreType;
use crate::id::EventId;
use crate::json;
use crate::scan::{Field, Line, scan_line};

/// One of the two logs that are merged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Side {
    /// The log that is merged into.
    Ours,
    /// The log that is read.
    Theirs,
}

impl std::fmt::Display for Side {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Ours => "this log",
            Self::Theirs => "the other log",
        })
    }
}

/// Why two logs have no union.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MergeError {
    /// A line is no event whose place in a chain could be read.
    #[error("line {line} of {side} is no event that could be merged: {reason}")]
    Line {
        /// Where it stands.
        side: Side,
        /// The line, counted from 1.
        line: u64,
        /// What is wrong with it.
        reason: String,
    },
    /// An id stands twice in one log.
    #[error("{event_id} stands twice in {side} (line {line})")]
    Duplicate {
        /// The log.
        side: Side,
        /// The second line with the id, counted from 1.
        line: u64,
        /// The id.
        event_id: EventId,
    },
    /// The logs begin with different `GENESIS` events.
    #[error(
        "the logs are not of one vault: this one begins with {ours}, the other one with {theirs}"
    )]
    Unrelated {
        /// The `GENESIS` event of this log.
        ours: EventId,
        /// That of the other.
        theirs: EventId,
    },
    /// An event follows one that neither log holds.
    #[error("{event_id} of '{actor}' follows {prev}, which neither log holds")]
    Missing {
        /// The event.
        event_id: EventId,
        /// Its actor.
        actor: String,
        /// What it follows.
        prev: EventId,
    },
}

/// One of the two events of a fork.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Branch<'a> {
    /// The event.
    pub id: EventId,
    /// Its line, without the line end.
    pub line: &'a [u8],
    /// The log that it stands in; [`Side::Ours`] where both hold it.
    pub side: Side,
}

/// Two events of one actor with one `prev_event_hash`: a log that holds both does not verify (E002).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fork<'a> {
    /// The actor.
    pub actor: String,
    /// The event that both follow; none where both are the actor's first.
    pub prev: Option<EventId>,
    /// The two events, in the order of the merge.
    pub branches: [Branch<'a>; 2],
}

impl Fork<'_> {
    /// Whether the fork comes of the merge rather than standing in this log already.
    #[must_use]
    pub fn is_new(&self) -> bool {
        self.branches
            .iter()
            .any(|branch| branch.side == Side::Theirs)
    }
}

/// One event in two versions: a payload that one side has redacted, or two signatures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variant<'a> {
    /// The event.
    pub id: EventId,
    /// The line in this log.
    pub ours: &'a [u8],
    /// The line in the other.
    pub theirs: &'a [u8],
    /// The one that a rewritten log holds: the redacted one, else the lesser by its bytes.
    pub kept: Side,
    /// Whether the other log's version is redacted.
    pub theirs_redacted: bool,
}

/// One event of the union.
#[derive(Debug)]
struct Entry<'a> {
    id: EventId,
    actor: &'a [u8],
    prev: Option<EventId>,
    time: Cow<'a, str>,
    /// What a rewritten log holds.
    line: &'a [u8],
    side: Side,
    is_genesis: bool,
}

impl Entry<'_> {
    /// What decides between events of which each may come next.
    fn rank(&self) -> (bool, &[u8], EventId) {
        (!self.is_genesis, self.time.as_bytes(), self.id)
    }
}

/// The union of two logs.
#[derive(Debug)]
pub struct Merge<'a> {
    ours: &'a [u8],
    entries: Vec<Entry<'a>>,
    /// Positions in `entries`.
    order: Vec<u32>,
    forks: Vec<Fork<'a>>,
    variants: Vec<Variant<'a>>,
}

/// Joins two logs, given as the bytes of their whole lines.
///
/// # Errors
/// The logs have no union: see [`MergeError`]. A fork is no error here; see [`Merge::forks`].
pub fn merge<'a>(ours: &'a [u8], theirs: &'a [u8]) -> Result<Merge<'a>, MergeError> {
    let mut entries = Vec::new();
    let mut index: HashMap<EventId, u32> = HashMap::new();
    let mut genesis: Option<EventId> = None;
    let mut variants = Vec::new();
    for (side, log) in [(Side::Ours, ours), (Side::Theirs, theirs)] {
        let mut seen_again = HashSet::new();
        for (number, line) in (1..).zip(lines(log)) {
            let entry = read(line, side).map_err(|reason| MergeError::Line {
                side,
                line: number,
                reason,
            })?;
            let id = entry.id;
            if entry.is_genesis {
                match genesis {
                    Some(first) if first != id && side == Side::Theirs => {
                        return Err(MergeError::Unrelated {
                            ours: first,
                            theirs: id,
                        });
                    }
                    _ => genesis = genesis.or(Some(id)),
                }
            }
            match index.get(&id).map(|at| *at as usize) {
                None => {
                    let at = u32::try_from(entries.len()).expect("fewer than 2^32 events");
                    index.insert(id, at);
                    entries.push(entry);
                }
                Some(at) if entries[at].side == side || !seen_again.insert(id) => {
                    return Err(MergeError::Duplicate {
                        side,
                        line: number,
                        event_id: id,
                    });
                }
                Some(at) if entries[at].line != line => {
                    let variant = compare(id, entries[at].line, line);
                    if variant.kept == Side::Theirs {
                        entries[at].line = line;
                        entries[at].time = entry.time;
                    }
                    variants.push(variant);
                }
                Some(_) => {}
            }
        }
    }
    let order = order(&entries, &index)?;
    let forks = forks(&entries, &order);
    Ok(Merge {
        ours,
        entries,
        order,
        forks,
        variants,
    })
}

impl<'a> Merge<'a> {
    /// How many events the union has.
    #[must_use]
    pub fn event_count(&self) -> u64 {
        self.entries.len() as u64
    }

    /// The lines that this log did not hold, in order, without line ends.
    pub fn imported(&self) -> impl Iterator<Item = &'a [u8]> {
        self.in_order()
            .filter(|entry| entry.side == Side::Theirs)
            .map(|entry| entry.line)
    }

    /// Every fork of the union, in its order.
    #[must_use]
    pub fn forks(&self) -> &[Fork<'a>] {
        &self.forks
    }

    /// The events that the two logs hold in different versions, in the order of the other log.
    #[must_use]
    pub fn variants(&self) -> &[Variant<'a>] {
        &self.variants
    }

    /// The whole log in the order of section 7.
    #[must_use]
    pub fn rewritten(&self) -> Vec<u8> {
        let length = self.entries.iter().map(|entry| entry.line.len() + 1).sum();
        let mut log = Vec::with_capacity(length);
        for entry in self.in_order() {
            log.extend_from_slice(entry.line);
            log.push(b'\n');
        }
        log
    }

    /// This log as it is, and what is new after it.
    #[must_use]
    pub fn appended(&self) -> Vec<u8> {
        let mut log = self.ours.to_vec();
        if log.last().is_some_and(|last| *last != b'\n') {
            log.push(b'\n');
        }
        for line in self.imported() {
            log.extend_from_slice(line);
            log.push(b'\n');
        }
        log
    }

    fn in_order(&self) -> impl Iterator<Item = &Entry<'a>> {
        self.order.iter().map(|at| &self.entries[*at as usize])
    }
}

/// The lines of a log, without line ends.
fn lines(log: &[u8]) -> impl Iterator<Item = &[u8]> {
    log.split_inclusive(|byte| *byte == b'\n')
        .map(|line| line.strip_suffix(b"\n").unwrap_or(line))
}

/// Reads what places an event.
fn read(bytes: &[u8], side: Side) -> Result<Entry<'_>, String> {
    let line = scan_line(bytes).map_err(|error| error.to_string())?;
    let missing = |field: Field| format!("'{}' is missing or malformed", field.name());
    let id = |field| -> Option<EventId> { line.text(field)?.parse().ok() };
    let prev = match line.raw(Field::PrevEventHash) {
        Some(b"null") => None,
        _ => Some(id(Field::PrevEventHash).ok_or_else(|| missing(Field::PrevEventHash))?),
    };
    let is_genesis = line.text(Field::Type).as_deref() == Some(CoreType::Genesis.as_str());
    Ok(Entry {
        id: id(Field::EventId).ok_or_else(|| missing(Field::EventId))?,
        // One to one with the name, as the line is canonical.
        actor: line
            .text(Field::Actor)
            .and(line.raw(Field::Actor))
            .ok_or_else(|| missing(Field::Actor))?,
        prev,
        time: line
            .text(Field::TimestampUtc)
            .ok_or_else(|| missing(Field::TimestampUtc))?,
        line: bytes,
        side,
        is_genesis,
    })
}

/// Chooses between two versions of an event, alike for either side.
fn compare<'a>(id: EventId, ours: &'a [u8], theirs: &'a [u8]) -> Variant<'a> {
    let theirs_redacted = is_tombstone(theirs);
    let kept = match (is_tombstone(ours), theirs_redacted) {
        (true, false) => Side::Ours,
        (false, true) => Side::Theirs,
        _ if ours <= theirs => Side::Ours,
        _ => Side::Theirs,
    };
    Variant {
        id,
        ours,
        theirs,
        kept,
        theirs_redacted,
    }
}

/// Whether the payload of an event was replaced (spec/VAULT_FORMAT, section 8).
fn is_tombstone(line: &[u8]) -> bool {
    let payload = scan_line(line)
        .ok()
        .and_then(|line: Line<'_>| json::parse(line.raw(Field::Payload)?).ok());
    payload.is_some_and(|payload| {
        payload.get("redacted").and_then(json::Value::as_bool) == Some(true)
            && payload.get("redaction_event_id").is_some()
    })
}

/// The order of section 7.
fn order(entries: &[Entry<'_>], index: &HashMap<EventId, u32>) -> Result<Vec<u32>, MergeError> {
    let mut followers: HashMap<EventId, Vec<u32>> = HashMap::new();
    let mut ready = BinaryHeap::new();
    for (at, entry) in (0u32..).zip(entries) {
        match entry.prev {
            None => ready.push(Reverse((entry.rank(), at))),
            Some(prev) if index.contains_key(&prev) => followers.entry(prev).or_default().push(at),
            Some(prev) => {
                let name = json::parse(entry.actor).ok();
                let name = name.as_ref().and_then(json::Value::as_str);
                return Err(MergeError::Missing {
                    event_id: entry.id,
                    actor: name.unwrap_or_default().to_owned(),
                    prev,
                });
            }
        }
    }
    let mut order = Vec::with_capacity(entries.len());
    while let Some(Reverse(((_, _, id), at))) = ready.pop() {
        order.push(at);
        for next in followers.remove(&id).unwrap_or_default() {
            let entry = &entries[next as usize];
            ready.push(Reverse((entry.rank(), next)));
        }
    }
    // Ids are hashes over what they follow, so that no circle can leave an event untaken unless
    // its id is not its content's; the verification of either side refuses that.
    match entries.len() == order.len() {
        true => Ok(order),
        false => {
            let mut taken = vec![false; entries.len()];
            order.iter().for_each(|at| taken[*at as usize] = true);
            let at = taken.iter().position(|taken| !taken).expect("one is left");
            Err(MergeError::Line {
                side: entries[at].side,
                line: at as u64 + 1,
                reason: format!("{} follows itself", entries[at].id),
            })
        }
    }
}

/// The pairs of events that follow one event of their actor.
fn forks<'a>(entries: &[Entry<'a>], order: &[u32]) -> Vec<Fork<'a>> {
    let mut first: HashMap<(&[u8], Option<EventId>), u32> = HashMap::new();
    let mut found = Vec::new();
    let branch = |at: u32| {
        let entry = &entries[at as usize];
        Branch {
            id: entry.id,
            line: entry.line,
            side: entry.side,
        }
    };
    for at in order {
        let entry = &entries[*at as usize];
        match first.get(&(entry.actor, entry.prev)) {
            None => {
                first.insert((entry.actor, entry.prev), *at);
            }
            Some(before) => {
                let name = json::parse(entry.actor).ok();
                let name = name.as_ref().and_then(json::Value::as_str);
                let fork = Fork {
                    actor: name.unwrap_or_default().to_owned(),
                    prev: entry.prev,
                    branches: [branch(*before), branch(*at)],
                };
                found.push(fork);
            }
        }
    }
    found
}
