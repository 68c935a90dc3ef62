//! An event that is named by its id, or by the beginning of it.

use std::ops::ControlFlow;

use memchr::memmem;
use provara_core::scan::{Field, scan_line};
use provara_report::{Class, Diagnostic};
use provara_vault::{Query, SourceLog};

/// How many events are named where a beginning is that of several.
const SHOWN: usize = 5;

/// An event of a log.
pub(crate) struct Found<'l> {
    /// Its line, from 1.
    pub(crate) number: u64,
    /// Its text.
    pub(crate) line: &'l [u8],
}

/// The event whose id this is, or the only one whose id begins so.
///
/// # Errors
/// There is none, or more than one, or the text begins no id.
pub(crate) fn find<'l>(log: &'l SourceLog, text: &str) -> Result<Found<'l>, Diagnostic> {
    let digits = text.strip_prefix("evt_").unwrap_or(text);
    let hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    if digits.is_empty() || digits.len() > 24 || !digits.bytes().all(hex) {
        return Err(Diagnostic::new(
            Class::Usage,
            format!("'{text}' is no event id, nor the beginning of one."),
        )
        .fix("An id is evt_ and 24 digits of 0-9a-f; provara query shows those of a log."));
    }
    let prefix = format!("evt_{digits}");
    let needle = format!("\"event_id\":\"{prefix}");
    let finder = memmem::Finder::new(&needle);
    let mut found: Vec<(Found<'l>, String)> = Vec::new();
    log.query(
        &Query::default().needle(needle.as_bytes()),
        |number, line| {
            if finder.find(line).is_some()
                && let Ok(scanned) = scan_line(line)
                && let Some(id) = scanned.text(Field::EventId)
                && id.starts_with(&prefix)
            {
                found.push((Found { number, line }, id.into_owned()));
            }
            match found.len() > SHOWN {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            }
        },
    );
    match found.len() {
        0 => Err(Diagnostic::new(
            Class::Usage,
            format!("No event of this log has an id that begins with '{prefix}'."),
        )
        .fix("provara query shows the ids of a log.")),
        1 => Ok(found.remove(0).0),
        _ => {
            let ids: Vec<_> = found
                .iter()
                .take(SHOWN)
                .map(|(_, id)| id.as_str())
                .collect();
            let more = if found.len() > SHOWN { ", …" } else { "" };
            Err(Diagnostic::new(
                Class::Usage,
                format!("More than one event has an id that begins with '{prefix}'."),
            )
            .detail(format!("{}{more}", ids.join(", ")))
            .fix("Give more of it."))
        }
    }
}
