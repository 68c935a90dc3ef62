//! A record as it is read: its bytes, and where they stand.

use std::fmt;

use provara_core::payload::MAX_PAYLOAD;

use crate::data::{BESIDE, MAX_TEXT};

/// The longest record: as much data as one event may have, and its other members.
pub(super) const MAX_RECORD: usize = MAX_TEXT;

/// How long a record may be, in words.
pub(super) fn longest() -> String {
    format!("{} MiB and {} KiB", MAX_PAYLOAD >> 20, BESIDE >> 10)
}

/// Where a record stands in its input, counted from 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    /// The line on which it begins.
    pub(super) line: u64,
    /// Which of the array's elements it is, in an input that is no line for each record.
    pub(super) record: Option<u64>,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.record {
            None => write!(f, "Line {}", self.line),
            Some(record) => write!(f, "Record {record} (on line {})", self.line),
        }
    }
}

/// A record with its place.
pub(super) type Placed = (Place, Vec<u8>);

/// Keeps more of a text that becomes a record, as far as records may be long: whoever reads it sees by one
/// byte that it is too long.
pub(super) fn keep(text: &mut Vec<u8>, more: &[u8]) {
    let room = (MAX_RECORD + 1).saturating_sub(text.len());
    text.extend_from_slice(&more[..more.len().min(room)]);
}
