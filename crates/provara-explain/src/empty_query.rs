//! Why a query chose nothing.

use std::ops::ControlFlow;

use provara_core::json;
use provara_core::query::{Condition, Query};
use provara_vault::SourceLog;

use crate::nearest::nearest;

/// How many of a log's types are named where a query asks for none of them.
const SHOWN_TYPES: usize = 10;

/// Why a query that chose no event of the log may have been meant otherwise: a sentence for each
/// reason.
#[must_use]
pub fn nothing_chosen(query: &Query, log: &SourceLog) -> Vec<String> {
    let absent = query.wanted_type().and_then(|name| absent_type(name, log));
    let members = query.conditions().iter().map(Condition::member);
    let absent_members = members.filter(|name| !has_member(name, log)).map(|name| {
        format!(
            "no event has '{name}' at its top level; what was recorded stands in the payload, as \
                 in payload.{name}=VALUE."
        )
    });
    absent.into_iter().chain(absent_members).collect()
}

/// Says that no event has this type, if so, and which type may have been meant.
fn absent_type(name: &str, log: &SourceLog) -> Option<String> {
    // A log that cannot be summed up was not verified, and the user said that it need not be.
    let types = log.summary().ok()?.types;
    if types.contains_key(name) {
        return None;
    }
    let known = || types.keys().map(String::as_str);
    let last_label = |known: &&str| {
        let label = known.rsplit('.').next().unwrap_or(known);
        label.eq_ignore_ascii_case(name)
    };
    let help = match nearest(name, known()).or_else(|| known().find(last_label)) {
        Some(near) => format!("did you mean '{near}'?"),
        None => {
            let shown: Vec<_> = known().take(SHOWN_TYPES).collect();
            let more = if types.len() > SHOWN_TYPES {
                ", …"
            } else {
                ""
            };
            format!("it holds {}{more}.", shown.join(", "))
        }
    };
    Some(format!(
        "no event of type '{name}' stands in this log (aliases of plugins are not known here); {help}"
    ))
}

/// Whether an event has this member at its top level.
fn has_member(name: &str, log: &SourceLog) -> bool {
    let mut found = false;
    log.query(&Query::default(), |_, line| {
        found = json::parse(line).is_ok_and(|event| event.get(name).is_some());
        match found {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    });
    found
}
