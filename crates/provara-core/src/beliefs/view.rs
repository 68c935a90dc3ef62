//! What the reducer reads of a line.

use std::borrow::Cow;

use super::step::Kind;
use crate::json::{self, ParseError, Value};
use crate::scan::{Field, Line, scan_line};

/// What [`BeliefReducer::apply`](super::BeliefReducer::apply) reads of the event in `line`, without its LF: an event object that has
/// the same effect, and costs less to make where the type has none.
///
/// # Errors
/// The line is not JSON.
pub fn view(line: &[u8]) -> Result<Value<'_>, ParseError> {
    // A line that is not canonical may hold an event all the same.
    scan_line(line)
        .ok()
        .and_then(|scanned| view_of(&scanned))
        .map_or_else(|| json::parse(line), Ok)
}

fn view_of<'a>(line: &Line<'a>) -> Option<Value<'a>> {
    let event_id = line.text(Field::EventId).filter(|id| !id.is_empty())?;
    let kind = line.text(Field::Type)?;
    let effective = Kind::of_type(kind.as_bytes()) != Kind::Other;
    let mut members = vec![
        (Cow::Borrowed("event_id"), Value::String(event_id)),
        (Cow::Borrowed("type"), Value::String(kind)),
    ];
    if effective {
        for field in [Field::Actor, Field::Namespace, Field::Payload] {
            if let Some(raw) = line.raw(field) {
                members.push((Cow::Borrowed(field.name()), json::parse(raw).ok()?));
            }
        }
    }
    Some(Value::Object(members))
}
