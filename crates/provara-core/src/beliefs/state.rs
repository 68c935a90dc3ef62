//! What the reducer holds, and how it is printed and hashed.

use std::collections::{BTreeMap, HashMap};

use super::value::{Held, Text, text_of_str};
use super::{CONFLICT_THRESHOLD, REDUCER_NAME, REDUCER_VERSION};
use crate::canonical::write_string;
use crate::id::Digest;
use crate::number::python_float;
use sha2::{Digest as _, Sha256};

/// Everything the reducer knows of one key.
#[derive(Debug, Default)]
pub(super) struct Belief {
    pub(super) evidence: Vec<Evidence>,
    pub(super) canonical: Option<Canonical>,
    pub(super) local: Option<Local>,
    pub(super) contested: Option<Contested>,
    pub(super) archived: Vec<Text>,
}

/// One observation or assertion, as it stands in a contested entry. Kept as its text, since most
/// evidence is never printed and none is ever changed.
#[derive(Debug)]
pub(super) struct Evidence {
    record: Box<[u8]>,
    value_at: usize,
}

/// A canonical entry.
#[derive(Debug)]
pub(super) struct Canonical {
    pub(super) attestation_event_id: Text,
    pub(super) attested_by: Text,
    pub(super) provenance: Text,
    pub(super) value: Held,
}

/// A local entry.
#[derive(Debug)]
pub(super) struct Local {
    pub(super) actor: Text,
    pub(super) confidence: f64,
    pub(super) evidence_count: u64,
    pub(super) provenance: Text,
    pub(super) timestamp: Text,
    pub(super) value: Held,
}

/// A contested entry.
#[derive(Debug)]
pub(super) enum Contested {
    /// Built from the first `evidence` records of the key. They are grouped only when the state is
    /// printed: grouping at each conflict would make a key that every event contests quadratic.
    Now {
        reason: &'static str,
        canonical_value: Text,
        evidence: usize,
    },
    /// As it stands in the state that was resumed.
    Carried(Text),
}

impl Evidence {
    pub(super) fn new(
        actor: &Text,
        confidence: f64,
        event_id: &Text,
        namespace: &str,
        timestamp: &Text,
        value: &Text,
    ) -> Self {
        let mut record = Vec::with_capacity(
            96 + actor.len() + event_id.len() + namespace.len() + timestamp.len() + value.len(),
        );
        let mut members = Members::open(&mut record);
        members.text("actor", actor);
        members.text("confidence", python_float(confidence).as_bytes());
        members.text("event_id", event_id);
        members.string("namespace", namespace);
        members.text("timestamp_utc", timestamp);
        members.text("value", value);
        members.close();
        let value_at = record.len() - 1 - value.len();
        Self {
            record: record.into(),
            value_at,
        }
    }

    fn value(&self) -> &[u8] {
        &self.record[self.value_at..self.record.len() - 1]
    }
}

impl Canonical {
    fn write(&self, out: &mut Vec<u8>) {
        let mut members = self.write_head(out);
        members.text("value", self.value.text());
        members.close();
    }

    fn write_head<'o>(&self, out: &'o mut Vec<u8>) -> Members<'o> {
        let mut members = Members::open(out);
        members.text("attestation_event_id", &self.attestation_event_id);
        members.text("attested_by", &self.attested_by);
        members.text("provenance", &self.provenance);
        members
    }

    /// The entry as it goes into the archive when event `event_id` takes its place.
    pub(super) fn archived(&self, event_id: &Text, retracted: bool) -> Text {
        let mut out = Vec::new();
        let mut members = self.write_head(&mut out);
        if retracted {
            members.text("retracted", b"true");
        }
        members.text("superseded_by", event_id);
        members.text("value", self.value.text());
        members.close();
        out.into()
    }
}

impl Local {
    fn write(&self, out: &mut Vec<u8>) {
        let mut members = Members::open(out);
        members.text("actor", &self.actor);
        members.text("confidence", python_float(self.confidence).as_bytes());
        members.text("evidence_count", self.evidence_count.to_string().as_bytes());
        members.text("provenance", &self.provenance);
        members.text("timestamp", &self.timestamp);
        members.text("value", self.value.text());
        members.close();
    }
}

impl Contested {
    /// What its text is not shorter than.
    fn least_length(&self, all: &[Evidence]) -> usize {
        match self {
            Self::Carried(text) => text.len(),
            Self::Now { evidence, .. } => {
                let records = all[..*evidence].iter();
                records.map(|evidence| evidence.record.len()).sum()
            }
        }
    }

    fn write(&self, out: &mut Vec<u8>, all: &[Evidence]) {
        let (reason, canonical_value, count) = match self {
            Self::Carried(text) => return out.extend_from_slice(text),
            Self::Now {
                reason,
                canonical_value,
                evidence,
            } => (reason, canonical_value, *evidence),
        };
        let mut by_value: BTreeMap<&[u8], Vec<&Evidence>> = BTreeMap::new();
        for evidence in &all[..count] {
            by_value.entry(evidence.value()).or_default().push(evidence);
        }
        let mut members = Members::open(out);
        members.text("canonical_value", canonical_value);
        let mut groups = members.object("evidence_by_value");
        for (value, list) in by_value {
            let value = std::str::from_utf8(value).expect("written from strings");
            groups.array(value, list.into_iter().map(|evidence| &*evidence.record));
        }
        groups.close();
        members.string("reason", reason);
        members.string("status", super::AWAITING_RESOLUTION);
        members.text("total_evidence_count", count.to_string().as_bytes());
        members.close();
    }
}

/// What the reducer knows beside the four maps.
#[derive(Debug)]
pub(super) struct Metadata {
    pub(super) current_epoch: Text,
    pub(super) event_count: u64,
    pub(super) last_event_id: Text,
}

impl Default for Metadata {
    fn default() -> Self {
        let null: Text = Text::from(*b"null");
        Self {
            current_epoch: null.clone(),
            event_count: 0,
            last_event_id: null,
        }
    }
}

/// The text of a state would be longer than was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the state is too long")]
pub struct TooLong;

/// The beliefs after a sequence of events (spec/VAULT_FORMAT, section 6).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BeliefState {
    /// The members of the four maps, `"archived":{…},…,"local":{…}`.
    maps: Vec<u8>,
    /// The members of the metadata without the hash.
    metadata: Vec<u8>,
    /// The number of events reduced.
    event_count: u64,
    /// The id of the last of them, as JSON.
    last_event_id: Vec<u8>,
    /// The hash of the state.
    pub state_hash: Digest,
}

impl BeliefState {
    pub(super) fn new(beliefs: &HashMap<String, Belief>, metadata: &Metadata) -> Self {
        Self::within(usize::MAX, beliefs, metadata).expect("no state is longer")
    }

    /// The state, unless the text of its maps has more than `most` bytes; then no more than that is written.
    pub(super) fn within(
        most: usize,
        beliefs: &HashMap<String, Belief>,
        metadata: &Metadata,
    ) -> Result<Self, TooLong> {
        let mut sorted: Vec<_> = beliefs.iter().collect();
        sorted.sort_unstable_by_key(|(key, _)| key.as_str());
        let mut maps = Maps {
            out: Vec::new(),
            most,
            sorted,
        };
        maps.write("archived", |out, belief, room| {
            let length = belief.archived.iter().map(|text| text.len()).sum::<usize>();
            if length > room {
                return Err(TooLong);
            }
            let some = !belief.archived.is_empty();
            if some {
                write_array(out, belief.archived.iter().map(|text| &**text));
            }
            Ok(some)
        })?;
        maps.out.push(b',');
        maps.write("canonical", |out, belief, _| {
            Ok(belief.canonical.as_ref().map(|it| it.write(out)).is_some())
        })?;
        maps.out.push(b',');
        maps.write("contested", |out, belief, room| {
            let Some(entry) = &belief.contested else {
                return Ok(false);
            };
            if entry.least_length(&belief.evidence) > room {
                return Err(TooLong);
            }
            entry.write(out, &belief.evidence);
            Ok(true)
        })?;
        maps.out.push(b',');
        maps.write("local", |out, belief, _| {
            Ok(belief.local.as_ref().map(|it| it.write(out)).is_some())
        })?;
        let maps = maps.out;
        let mut state = Self {
            maps,
            metadata: metadata_members(metadata),
            event_count: metadata.event_count,
            last_event_id: metadata.last_event_id.to_vec(),
            state_hash: Digest([0; 32]),
        };
        let hash = state
            .checkpoint_parts()
            .iter()
            .fold(Sha256::new(), |hash, part| hash.chain_update(part));
        state.state_hash = Digest(hash.finalize().into());
        Ok(state)
    }

    /// The number of events that were reduced.
    #[must_use]
    pub fn event_count(&self) -> u64 {
        self.event_count
    }

    /// The id of the last event as a JSON text: a string, or `null` where there is none.
    #[must_use]
    pub(crate) fn last_event_id_json(&self) -> &[u8] {
        &self.last_event_id
    }

    /// The state as canonical JSON text: the four maps, and `metadata` with the state's hash.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        let hash = format!(",\"state_hash\":\"{}\"}}}}", self.state_hash);
        let parts: [&[u8]; 5] = [
            b"{",
            &self.maps,
            b",\"metadata\":{",
            &self.metadata,
            hash.as_bytes(),
        ];
        parts.concat()
    }

    /// The state as a checkpoint carries it: the four maps and `metadata_partial`, as canonical
    /// JSON text.
    ///
    /// These are the bytes whose SHA-256 is the state's hash: keys by code point, minimal escapes,
    /// numbers as Python prints them, UTF-8, no white space.
    #[must_use]
    pub fn checkpoint_state(&self) -> Vec<u8> {
        self.checkpoint_parts().concat()
    }

    fn checkpoint_parts(&self) -> [&[u8]; 5] {
        [
            b"{",
            &self.maps,
            b",\"metadata_partial\":{",
            &self.metadata,
            b"}}",
        ]
    }
}

fn metadata_members(metadata: &Metadata) -> Vec<u8> {
    let mut out = Vec::new();
    let mut members = Members::open(&mut out);
    members.text("current_epoch", &metadata.current_epoch);
    members.text("event_count", metadata.event_count.to_string().as_bytes());
    members.text("last_event_id", &metadata.last_event_id);
    let mut reducer = members.object("reducer");
    let threshold = python_float(CONFLICT_THRESHOLD);
    reducer.text("conflict_confidence_threshold", threshold.as_bytes());
    reducer.string("name", REDUCER_NAME);
    reducer.string("version", REDUCER_VERSION);
    reducer.close();
    members.close();
    // Without the braces: the hash joins these members in one of the two forms.
    out.pop();
    out.remove(0);
    out
}

/// The four maps, as far as they are written.
struct Maps<'b> {
    out: Vec<u8>,
    /// How long they may get, in bytes.
    most: usize,
    sorted: Vec<(&'b String, &'b Belief)>,
}

impl Maps<'_> {
    /// Writes `"name":{…}` with the keys for which `write` writes something and says so. It is told how many
    /// bytes there is room for.
    fn write(
        &mut self,
        name: &str,
        write: impl Fn(&mut Vec<u8>, &Belief, usize) -> Result<bool, TooLong>,
    ) -> Result<(), TooLong> {
        let out = &mut self.out;
        write_string(out, name);
        out.extend_from_slice(b":{");
        let mut first = true;
        for (key, belief) in &self.sorted {
            let start = out.len();
            if !first {
                out.push(b',');
            }
            write_string(out, key);
            out.push(b':');
            let room = self.most.saturating_sub(out.len());
            if write(out, belief, room)? {
                first = false;
            } else {
                out.truncate(start);
            }
            if out.len() > self.most {
                return Err(TooLong);
            }
        }
        out.push(b'}');
        match out.len() > self.most {
            true => Err(TooLong),
            false => Ok(()),
        }
    }
}

fn write_array<'t>(out: &mut Vec<u8>, items: impl Iterator<Item = &'t [u8]>) {
    out.push(b'[');
    for (index, item) in items.enumerate() {
        if index > 0 {
            out.push(b',');
        }
        out.extend_from_slice(item);
    }
    out.push(b']');
}

/// Writes an object, member by member; the caller keeps to the order of the keys.
pub(super) struct Members<'o> {
    out: &'o mut Vec<u8>,
    first: bool,
}

impl<'o> Members<'o> {
    pub(super) fn open(out: &'o mut Vec<u8>) -> Self {
        out.push(b'{');
        Self { out, first: true }
    }

    fn key(&mut self, key: &str) {
        if !self.first {
            self.out.push(b',');
        }
        self.first = false;
        write_string(self.out, key);
        self.out.push(b':');
    }

    /// A member whose value is JSON text.
    pub(super) fn text(&mut self, key: &str, value: &[u8]) {
        self.key(key);
        self.out.extend_from_slice(value);
    }

    fn string(&mut self, key: &str, value: &str) {
        self.key(key);
        write_string(self.out, value);
    }

    fn array<'t>(&mut self, key: &str, items: impl Iterator<Item = &'t [u8]>) {
        self.key(key);
        write_array(self.out, items);
    }

    fn object(&mut self, key: &str) -> Members<'_> {
        self.key(key);
        Members::open(self.out)
    }

    pub(super) fn close(self) {
        self.out.push(b'}');
    }
}

/// `null` or the string, as text.
pub(super) fn text_or_null(value: Option<&str>) -> Text {
    value.map_or_else(|| Text::from(*b"null"), text_of_str)
}
