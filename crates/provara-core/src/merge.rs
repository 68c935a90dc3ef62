//! Merging two logs of one vault (spec/VAULT_FORMAT, section 7): the union by event id, in an order
//! that depends on the events alone.
//!
//! *The order.* Repeatedly take, among the events whose `prev_event_hash` has been taken, the one
//! with the least (`timestamp_utc`, `event_id`), both compared as the bytes of their text; the `GENESIS`
//! event goes before all others, whatever their clocks say, as a log that does not start with it does
//! not verify. An actor's chain therefore always comes before its clock, and the result is the same whichever side is asked
//! to merge the other: merging is commutative, associative and idempotent, to the byte. What an event
//! needs before it beside its chain, it waits for too (`waits`): clocks of two machines differ.
//!
//! *The append-only order.* The log as it is, then what is new in the order above: what was said of
//! an earlier prefix stays true. Of its own lines only those change whose payload the other side redacted,
//! and those keep their leaf in the event tree.
//!
//! Nothing here checks a signature: the caller verifies both sides, and then the result.

pub mod delta;
pub mod safety;
mod waits;

use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap, HashMap, HashSet};

use crate::event_type::CoreType;
use crate::id::{EventId, KeyId};
use crate::json;
use crate::scan::{Field, scan_line};
use crate::tree;

use waits::{Need, Waiting};

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

impl Variant<'_> {
    /// Whether the other log has redacted a payload that this one still has.
    #[must_use]
    pub fn redacts_ours(&self) -> bool {
        self.theirs_redacted && self.kept == Side::Theirs
    }
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
    /// The key that signed it, as it says.
    signer: Option<KeyId>,
    /// What it needs before it, and what it brings.
    need: Need,
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

    /// This log as it is, but for payloads that the other side redacted, and what is new after it.
    #[must_use]
    pub fn appended(&self) -> Vec<u8> {
        let redacted: HashMap<&[u8], &[u8]> = self
            .variants
            .iter()
            .filter(|variant| variant.redacts_ours())
            .map(|variant| (variant.ours, variant.theirs))
            .collect();
        let mut log = Vec::with_capacity(self.ours.len() + 1);
        match redacted.is_empty() {
            true => log.extend_from_slice(self.ours),
            false => lines(self.ours).for_each(|line| {
                log.extend_from_slice(redacted.get(line).copied().unwrap_or(line));
                log.push(b'\n');
            }),
        }
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
    let kind = line.text(Field::Type).unwrap_or_default();
    let signer = line.text(Field::ActorKeyId);
    Ok(Entry {
        signer: signer.and_then(|text| text.parse().ok()),
        need: Need::of(&kind, &line),
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
        is_genesis: kind == CoreType::Genesis.as_str(),
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
    scan_line(line).is_ok_and(|line| tree::tombstone(&line).is_some())
}

/// The order of section 7.
fn order(entries: &[Entry<'_>], index: &HashMap<EventId, u32>) -> Result<Vec<u32>, MergeError> {
    let mut waiting = Waiting::of(entries, index);
    let mut followers: HashMap<EventId, Vec<u32>> = HashMap::new();
    let mut ready = BinaryHeap::new();
    // Those whose predecessor has been taken and that wait for something else.
    let mut held = BTreeSet::new();
    for (at, entry) in (0u32..).zip(entries) {
        match entry.prev {
            None if waiting.is_waiting(at) => drop(held.insert((entry.rank(), at))),
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
    loop {
        // Where all that is left waits in a circle, as no honest log has it, the least one waits no more.
        let at = match ready.pop() {
            Some(Reverse((_, at))) => at,
            None => match held.pop_first() {
                Some((_, at)) => at,
                None => break,
            },
        };
        order.push(at);
        let entry = &entries[at as usize];
        for free in waiting.take(at, entry) {
            let rank = entries[free as usize].rank();
            if held.remove(&(rank, free)) {
                ready.push(Reverse((rank, free)));
            }
        }
        for next in followers.remove(&entry.id).unwrap_or_default() {
            let rank = entries[next as usize].rank();
            match waiting.is_waiting(next) {
                true => drop(held.insert((rank, next))),
                false => ready.push(Reverse((rank, next))),
            }
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
