//! Delta bundles (spec/VAULT_FORMAT, section 7): NDJSON, a header and then events.

use std::borrow::Cow;

use crate::canonical::jcs;
use crate::id::EventId;
use crate::json::{self, Value};
use crate::keys::{KeyRegistry, KeyRegistryError};
use crate::time::Timestamp;

/// The `type` of the header.
pub const DELTA_TYPE: &str = "provara_delta_v1";

/// A bundle that was read: not verified, only in form.
#[derive(Debug)]
pub struct Delta<'a> {
    /// The event after which the bundle starts; none where it starts with the log.
    pub since: Option<EventId>,
    /// When it was made, as written.
    pub exported_at: String,
    /// The keys of the vault that it was made from. They say who claims to have signed, not whom to
    /// trust.
    pub keys: KeyRegistry,
    /// The events, one a line, line ends included.
    pub events: &'a [u8],
}

/// Why a file is no bundle.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DeltaError {
    /// The first line is not JSON.
    #[error("its first line is not JSON: {0}")]
    Json(#[from] json::ParseError),
    /// The first line is no header of this version.
    #[error("its first line is no header with \"type\":\"{DELTA_TYPE}\"")]
    Type,
    /// A member of the header is missing or of the wrong kind.
    #[error("the header's '{field}' is missing or is not {expected}")]
    Field {
        /// The member.
        field: &'static str,
        /// What it must be.
        expected: &'static str,
    },
    /// The header's keys are unreadable.
    #[error("the header's 'keys' are unreadable: {0}")]
    Keys(String),
    /// The bundle is cut short, or longer than its header says.
    #[error("the header announces {announced} events and {found} lines follow")]
    Count {
        /// `event_count`.
        announced: u64,
        /// The lines after the header.
        found: u64,
    },
    /// The last line has no line end: the bundle was cut within it.
    #[error("the last line has no line end: the bundle was cut short")]
    Cut,
}

/// Writes the header of a bundle, line end included: canonical JSON of `type`, `since_hash`,
/// `event_count`, `exported_at` and `keys` (the entries of `keys.json`).
#[must_use]
pub fn header(
    since: Option<EventId>,
    event_count: u64,
    exported_at: Timestamp,
    keys: &KeyRegistry,
) -> Vec<u8> {
    let text = keys.to_json();
    let registry = json::parse(&text).expect("the registry writes JSON");
    let list = registry
        .get("keys")
        .cloned()
        .unwrap_or(Value::Array(Vec::new()));
    let header = json::object([
        ("type", DELTA_TYPE.into()),
        ("since_hash", since.map(|id| id.to_string()).into()),
        ("event_count", event_count.into()),
        ("exported_at", exported_at.to_string().into()),
        ("keys", list),
    ]);
    let mut line = jcs(&header).expect("short texts and a count");
    line.push(b'\n');
    line
}

/// Reads a bundle.
///
/// # Errors
/// The file is no bundle, or not a whole one.
pub fn parse(text: &[u8]) -> Result<Delta<'_>, DeltaError> {
    let end = memchr::memchr(b'\n', text);
    let line = &text[..end.unwrap_or(text.len())];
    let events = &text[end.map_or(text.len(), |end| end + 1)..];
    let header = json::parse(line)?;
    if header.get("type").and_then(Value::as_str) != Some(DELTA_TYPE) {
        return Err(DeltaError::Type);
    }
    let field = |field, expected| DeltaError::Field { field, expected };
    let since = match header.get("since_hash") {
        None | Some(Value::Null) => None,
        Some(value) => {
            let id = value.as_str().and_then(|text| text.parse().ok());
            Some(id.ok_or(field("since_hash", "an event id or null"))?)
        }
    };
    let announced = header
        .get("event_count")
        .filter(|value| value.is_integer_token())
        .and_then(Value::as_i64)
        .and_then(|count| u64::try_from(count).ok())
        .ok_or(field("event_count", "a count"))?;
    let exported_at = header
        .get("exported_at")
        .and_then(Value::as_str)
        .ok_or(field("exported_at", "a time"))?
        .to_owned();
    // The entries of keys.json, or that document itself.
    let keys = match header.get("keys") {
        Some(list @ Value::Array(_)) => json::object([("keys", list.clone())]),
        Some(document @ Value::Object(_)) => document.clone(),
        _ => return Err(field("keys", "a list of keys")),
    };
    let keys = KeyRegistry::parse(&crate::canonical::token_preserving(&keys))
        .map_err(|error: KeyRegistryError| DeltaError::Keys(error.to_string()))?;
    if let Some(problem) = keys.problems.first() {
        return Err(DeltaError::Keys(problem.to_string()));
    }
    if events.last().is_some_and(|last| *last != b'\n') {
        return Err(DeltaError::Cut);
    }
    let found = memchr::memchr_iter(b'\n', events).count() as u64;
    if found != announced {
        return Err(DeltaError::Count { announced, found });
    }
    Ok(Delta {
        since,
        exported_at,
        keys,
        events,
    })
}

/// The events of `log` after the one with the id `since`, as they stand; all of them for `None`.
/// `None` where the log holds no such event.
#[must_use]
pub fn events_since(log: &[u8], since: Option<EventId>) -> Option<&[u8]> {
    let Some(since) = since else {
        return Some(log);
    };
    let wanted = format!("\"event_id\":\"{since}\"");
    let mut at = 0;
    for piece in log.split_inclusive(|byte| *byte == b'\n') {
        at += piece.len();
        // The text may stand in a payload too: only a line's own id counts.
        if memchr::memmem::find(piece, wanted.as_bytes()).is_some()
            && let Ok(line) = crate::scan::scan_line(piece.strip_suffix(b"\n").unwrap_or(piece))
            && line.text(crate::scan::Field::EventId) == Some(Cow::Owned(since.to_string()))
        {
            return Some(&log[at..]);
        }
    }
    None
}
