//! The state as it is printed and hashed.

use super::fold::CONFLICT_THRESHOLD;
use super::value::text_of;
use crate::canonical::write_string;
use crate::id::Digest;
use crate::json::Value;
use crate::number::python_float;
use sha2::{Digest as _, Sha256};

/// The reducer's name in the state's metadata.
pub(super) const REDUCER_NAME: &str = "SovereignReducerV0";
/// Its version there.
pub(super) const REDUCER_VERSION: &str = "0.2.0";

/// What the state has beside the four maps.
#[derive(Debug, Clone)]
pub(super) struct Metadata {
    /// As JSON text.
    pub(super) current_epoch: Vec<u8>,
    pub(super) event_count: u64,
    /// As JSON text.
    pub(super) last_event_id: Vec<u8>,
}

impl Default for Metadata {
    fn default() -> Self {
        Self {
            current_epoch: text_or_null(None),
            event_count: 0,
            last_event_id: text_or_null(None),
        }
    }
}

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
    /// The state with these maps.
    pub(super) fn new(maps: Vec<u8>, metadata: Metadata) -> Self {
        let mut state = Self {
            maps,
            metadata: metadata_members(&metadata),
            event_count: metadata.event_count,
            last_event_id: metadata.last_event_id,
            state_hash: Digest([0; 32]),
        };
        let hash = state
            .checkpoint_parts()
            .iter()
            .fold(Sha256::new(), |hash, part| hash.chain_update(part));
        state.state_hash = Digest(hash.finalize().into());
        state
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

    /// Begins a member, whose value is written to what this gives.
    pub(super) fn key(&mut self, key: &str) -> &mut Vec<u8> {
        if !self.first {
            self.out.push(b',');
        }
        self.first = false;
        write_string(self.out, key);
        self.out.push(b':');
        self.out
    }

    /// A member whose value is JSON text.
    pub(super) fn text(&mut self, key: &str, value: &[u8]) {
        self.key(key).extend_from_slice(value);
    }

    pub(super) fn string(&mut self, key: &str, value: &str) {
        write_string(self.key(key), value);
    }

    pub(super) fn object(&mut self, key: &str) -> Members<'_> {
        Members::open(self.key(key))
    }

    pub(super) fn close(self) {
        self.out.push(b'}');
    }
}

/// `null` or the string, as text.
pub(super) fn text_or_null(value: Option<&str>) -> Vec<u8> {
    match value {
        Some(text) => {
            let mut out = Vec::with_capacity(text.len() + 2);
            write_string(&mut out, text);
            out
        }
        None => text_of(&Value::Null),
    }
}
