//! The four maps, printed from what each event said.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::fold::{Archived, Belief, Contested, Fold, Local, Reason};
use super::said::{Part, Said};
use super::state::Members;
use crate::canonical::write_string;
use crate::number::python_float;
use crate::parallel::map_pieces;

/// The status of a contested entry.
pub(super) const AWAITING_RESOLUTION: &str = "AWAITING_RESOLUTION";

/// The names of the maps, in their order.
const MAPS: [&str; 4] = ["archived", "canonical", "contested", "local"];

/// Where what the events say is found.
pub(super) trait Events: Sync {
    /// Calls `take` with what an event says, which has this part at least.
    fn said<T>(
        &self,
        event: u64,
        part: Part,
        take: impl FnOnce(&Said) -> T,
    ) -> Result<T, Unprinted>;
}

/// Why there is no text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unprinted {
    /// It would be longer than was asked for.
    #[error("the state is too long")]
    TooLong,
    /// The line at this byte of the log is no event any more, though it was one when it was read.
    #[error("the line at byte {0} is not the event that it was")]
    Changed(u64),
}

/// The members of the four maps, unless they have more than `most` bytes; to find that out takes no more memory
/// than that.
pub(super) fn maps(
    fold: &Fold,
    events: &impl Events,
    most: usize,
    threads: usize,
) -> Result<Vec<u8>, Unprinted> {
    let mut sorted: Vec<_> = fold.iter().collect();
    sorted.sort_unstable_by_key(|(key, _)| *key);
    let room = Room {
        most,
        taken: AtomicUsize::new(0),
    };
    let written = map_pieces(sorted, threads, |piece| write_piece(&piece, events, &room));
    let written: Vec<_> = written.into_iter().collect::<Result<_, _>>()?;
    let texts = || written.iter().flatten().map(Vec::len);
    let length = texts().sum::<usize>() + MAPS.map(|name| name.len() + 6).iter().sum::<usize>();
    let mut out = Vec::with_capacity(length.min(most));
    for (map, name) in MAPS.into_iter().enumerate() {
        if map > 0 {
            out.push(b',');
        }
        write_string(&mut out, name);
        out.extend_from_slice(b":{");
        let mut first = true;
        for text in written.iter().map(|texts| &texts[map]) {
            if text.is_empty() {
                continue;
            }
            // Each entry has its comma before it.
            out.extend_from_slice(&text[usize::from(first)..]);
            first = false;
            if out.len() > most {
                return Err(Unprinted::TooLong);
            }
        }
        out.push(b'}');
    }
    match out.len() > most {
        true => Err(Unprinted::TooLong),
        false => Ok(out),
    }
}

/// How long the text may get, and how long it is.
struct Room {
    most: usize,
    taken: AtomicUsize,
}

impl Room {
    /// Whether there is room for so many bytes more.
    fn has(&self, bytes: usize) -> Result<(), Unprinted> {
        match bytes > self.most.saturating_sub(self.taken.load(Ordering::Relaxed)) {
            true => Err(Unprinted::TooLong),
            false => Ok(()),
        }
    }

    /// Takes so many bytes.
    fn take(&self, bytes: usize) -> Result<(), Unprinted> {
        let before = self.taken.fetch_add(bytes, Ordering::Relaxed);
        match bytes > self.most.saturating_sub(before) {
            true => Err(Unprinted::TooLong),
            false => Ok(()),
        }
    }
}

/// The entries of some keys in each map, each with a comma before it.
fn write_piece(
    piece: &[(&[u8], &Belief)],
    events: &impl Events,
    room: &Room,
) -> Result<[Vec<u8>; MAPS.len()], Unprinted> {
    let mut texts = [const { Vec::new() }; MAPS.len()];
    let [archived, canonical, contested, local] = &mut texts;
    for (key, belief) in piece {
        let key = std::str::from_utf8(key).expect("written from strings");
        let begin = |out: &mut Vec<u8>| {
            let start = out.len();
            out.push(b',');
            write_string(out, key);
            out.push(b':');
            start
        };
        if !belief.archived.is_empty() {
            let start = begin(archived);
            write_archive(archived, &belief.archived, events, room)?;
            room.take(archived.len() - start)?;
        }
        if let Some(entry) = &belief.canonical {
            let start = begin(canonical);
            events.said(entry.event, Part::Of, |said| {
                let mut members = attested(canonical, said);
                members.text("value", said.part(Part::Value));
                members.close();
            })?;
            room.take(canonical.len() - start)?;
        }
        if let Some(entry) = &belief.contested {
            let start = begin(contested);
            write_contested(contested, entry, &belief.evidence, events, room)?;
            room.take(contested.len() - start)?;
        }
        if let Some(entry) = &belief.local {
            let start = begin(local);
            write_local(local, entry, events)?;
            room.take(local.len() - start)?;
        }
    }
    Ok(texts)
}

/// Begins what is canonical or was.
fn attested<'o>(out: &'o mut Vec<u8>, said: &Said) -> Members<'o> {
    let mut members = Members::open(out);
    members.text("attestation_event_id", said.part(Part::Id));
    members.text("attested_by", said.part(Part::By));
    members.text("provenance", said.part(Part::Of));
    members
}

fn write_archive(
    out: &mut Vec<u8>,
    entries: &[Archived],
    events: &impl Events,
    room: &Room,
) -> Result<(), Unprinted> {
    let start = out.len();
    for (index, entry) in entries.iter().enumerate() {
        out.push(if index == 0 { b'[' } else { b',' });
        match entry {
            Archived::Carried(event) => {
                events.said(*event, Part::Value, |said| {
                    out.extend_from_slice(said.part(Part::Value));
                })?;
            }
            Archived::Was {
                event,
                superseded_by,
                retracted,
            } => {
                let by = events.said(*superseded_by, Part::Id, |said| {
                    said.part(Part::Id).to_vec()
                })?;
                events.said(*event, Part::Of, |said| {
                    let mut members = attested(out, said);
                    if *retracted {
                        members.text("retracted", b"true");
                    }
                    members.text("superseded_by", &by);
                    members.text("value", said.part(Part::Value));
                    members.close();
                })?;
            }
        }
        room.has(out.len() - start)?;
    }
    out.push(b']');
    Ok(())
}

fn write_local(out: &mut Vec<u8>, local: &Local, events: &impl Events) -> Result<(), Unprinted> {
    events.said(local.event, Part::Confidence, |said| {
        let mut members = Members::open(out);
        members.text("actor", said.part(Part::By));
        members.text("confidence", python_float(local.confidence).as_bytes());
        let count = local.evidence_count.to_string();
        members.text("evidence_count", count.as_bytes());
        members.text("provenance", said.part(Part::Id));
        members.text("timestamp", said.part(Part::Of));
        members.text("value", said.part(Part::Value));
        members.close();
    })
}

fn write_contested(
    out: &mut Vec<u8>,
    entry: &Contested,
    evidence: &[u64],
    events: &impl Events,
    room: &Room,
) -> Result<(), Unprinted> {
    let (reason, canonical, count) = match entry {
        Contested::Now {
            reason,
            canonical,
            evidence,
        } => (*reason, *canonical, *evidence),
        Contested::Carried(event) => {
            return events.said(*event, Part::Value, |said| {
                out.extend_from_slice(said.part(Part::Value));
            });
        }
    };
    let canonical = match canonical {
        None => b"null".to_vec(),
        Some(event) => events.said(event, Part::Of, |said| said.part(Part::Value).to_vec())?,
    };
    // By value, the records of the evidence for it with commas between them.
    let mut groups: BTreeMap<Vec<u8>, Vec<u8>> = BTreeMap::new();
    let mut length = 0;
    for event in &evidence[..count] {
        length += events.said(*event, Part::Confidence, |said| {
            let value = said.part(Part::Value);
            // Most often it is there.
            if !groups.contains_key(value) {
                groups.insert(value.to_vec(), Vec::new());
            }
            let group = groups.get_mut(value).expect("it was put there");
            let before = group.len();
            write_evidence(group, said);
            group.len() - before
        })?;
        room.has(length)?;
    }
    let mut members = Members::open(out);
    members.text("canonical_value", &canonical);
    let mut by_value = members.object("evidence_by_value");
    for (value, records) in groups {
        let value = String::from_utf8(value).expect("written from strings");
        let list = by_value.key(&value);
        list.push(b'[');
        list.extend_from_slice(&records[1..]);
        list.push(b']');
    }
    by_value.close();
    members.string(
        "reason",
        match reason {
            Reason::Canonical => "conflicts_with_canonical",
            Reason::Local => "conflicts_with_local",
        },
    );
    members.string("status", AWAITING_RESOLUTION);
    members.text("total_evidence_count", count.to_string().as_bytes());
    members.close();
    Ok(())
}

/// One observation or assertion, as it stands in a contested entry, with a comma before it.
fn write_evidence(out: &mut Vec<u8>, said: &Said) {
    out.push(b',');
    let mut members = Members::open(out);
    members.text("actor", said.part(Part::By));
    members.text("confidence", said.part(Part::Confidence));
    members.text("event_id", said.part(Part::Id));
    members.text("namespace", said.part(Part::Namespace));
    members.text("timestamp_utc", said.part(Part::Of));
    members.text("value", said.part(Part::Value));
    members.close();
}
