//! A line of the file of refused records: what it says, and how one is told from a record.

use std::borrow::Cow;

use provara_core::json::Value;
use serde::Serialize;
use serde_json::value::RawValue;

/// The codes that stand in the file (docs/operations.md has the same table).
const CODES: [&str; 12] = [
    "json",
    "object",
    "member",
    "too-long",
    "type",
    "number",
    "payload",
    "actor",
    "event",
    "schema",
    "plugin",
    "idempotency-key",
];

/// Whether an object is a line of such a file: with its members, and no other.
pub(super) fn is_line(members: &[(Cow<'_, str>, Value<'_>)]) -> bool {
    let has = |wanted: &str| members.iter().any(|(name, _)| name == wanted);
    let records = ["record", "text", "hex"].into_iter().filter(|it| has(it));
    let fits = |(name, value): &(Cow<'_, str>, Value<'_>)| match (&**name, value) {
        ("line" | "record_number", Value::Number(_)) | ("record", _) => true,
        ("reason" | "text" | "hex", Value::String(_)) => true,
        ("code", Value::String(code)) => CODES.contains(&&**code),
        _ => false,
    };
    ["line", "code", "reason"].into_iter().all(has)
        && records.count() <= 1
        && members.iter().all(fits)
}

/// A line of the file.
#[derive(Serialize)]
pub(super) struct Line<'r> {
    pub(super) line: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) record_number: Option<u64>,
    pub(super) code: &'static str,
    pub(super) reason: &'r str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) record: Option<&'r RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) text: Option<&'r str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) hex: Option<String>,
}
