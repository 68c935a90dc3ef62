//! Why a query chose nothing.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use provara_core::json;
use provara_query::{Asked, Kind, Path, Read};
use provara_vault::SourceLog;

use provara_report::nearest;

/// How many of a log's types or actors are named where a query asks for none of them.
const SHOWN_NAMES: usize = 10;

/// Why a query that chose no event of the log may have been meant otherwise: a sentence for each
/// reason.
#[must_use]
pub fn nothing_chosen(asked: &Asked, log: &SourceLog) -> Vec<String> {
    let types: Vec<&str> = asked.query.wanted_types().collect();
    let actors: Vec<&str> = asked.query.wanted_actors().collect();
    let mut notes = absent_names(&types, &actors, log);
    // Where no event is of the types, none has their members.
    if notes.is_empty() {
        notes = absent_members(&asked.reads, asked, log, Asks::Condition);
    }
    notes
}

/// Says of each of these members, which no event had that was printed, that no event of the log has it, if so,
/// and which may have been meant.
#[must_use]
pub fn absent_fields(fields: &[&Path], asked: &Asked, log: &SourceLog) -> Vec<String> {
    let paths = fields.iter().map(|path| (*path).clone());
    let reads: Vec<_> = paths.map(Read::of).collect();
    absent_members(&reads, asked, log, Asks::Field)
}

/// Says of each of these types and actors that the log has no event of it, if so, and which may have been
/// meant.
#[must_use]
pub fn absent_names(types: &[&str], actors: &[&str], log: &SourceLog) -> Vec<String> {
    if types.is_empty() && actors.is_empty() {
        return Vec::new();
    }
    // A log that cannot be summed up was not verified, and the user said that it need not be.
    let Ok(summary) = log.summary() else {
        return Vec::new();
    };
    let types = types.iter().filter_map(|name| {
        let help = meant(name, &summary.types)?;
        Some(format!(
            "no event of type '{name}' stands in this log (an alias of a plugin's type is not known here: give the \
             full type, which the list of plugins shows); {help}"
        ))
    });
    let actors = actors.iter().filter_map(|name| {
        let help = meant(name, &summary.actors)?;
        Some(format!("no event by '{name}' stands in this log; {help}"))
    });
    types.chain(actors).collect()
}

/// What may have been meant by a name that is not among the known ones.
fn meant<T>(name: &str, all: &BTreeMap<String, T>) -> Option<String> {
    if all.contains_key(name) {
        return None;
    }
    let known = || all.keys().map(String::as_str);
    let last_label = |known: &&str| {
        let label = known.rsplit('.').next().unwrap_or(known);
        label.eq_ignore_ascii_case(name)
    };
    Some(
        match nearest(name, known()).or_else(|| known().find(last_label)) {
            Some(near) => format!("did you mean '{near}'?"),
            None => {
                let shown: Vec<_> = known().take(SHOWN_NAMES).collect();
                let more = if all.len() > SHOWN_NAMES { ", …" } else { "" };
                format!("it holds {}{more}.", shown.join(", "))
            }
        },
    )
}

/// What the events say of a place that is read.
struct Seen<'q> {
    read: &'q Read,
    there: bool,
    /// What stands there instead of what is wanted.
    other: Option<&'static str>,
    fits: bool,
    /// Whether an event has the member at which the path begins.
    begins: bool,
    /// A path that may have been meant.
    meant: Option<Path>,
}

/// What a place is read for.
#[derive(Clone, Copy, PartialEq)]
enum Asks {
    Condition,
    Field,
}

/// Says of each place that the conditions read that no event has it, or none a value of the kind that is
/// compared with.
fn absent_members(reads: &[Read], asked: &Asked, log: &SourceLog, asks: Asks) -> Vec<String> {
    let mut seen: Vec<_> = reads
        .iter()
        .map(|read| Seen {
            read,
            there: false,
            other: None,
            fits: false,
            begins: false,
            meant: None,
        })
        .collect();
    if seen.is_empty() {
        return Vec::new();
    }
    log.query(&asked.unconditional, |_, line| {
        let Ok(event) = json::parse(line) else {
            return ControlFlow::Continue(());
        };
        for seen in seen.iter_mut().filter(|seen| !seen.fits) {
            let path = &seen.read.path;
            seen.begins |= event.get(path.member()).is_some();
            let Some(value) = path.find(&event) else {
                seen.meant = seen.meant.take().or_else(|| path.meant_in(&event));
                continue;
            };
            seen.there = true;
            match seen.read.kind {
                Some(kind) if !kind.is(value) => seen.other = Some(value.kind_name()),
                _ => seen.fits = true,
            }
        }
        match seen.iter().all(|seen| seen.fits) {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    });
    let mut notes = Vec::new();
    for note in seen.iter().filter_map(|seen| note(seen, asked, asks)) {
        // A place may be read in several ways.
        if !notes.contains(&note) {
            notes.push(note);
        }
    }
    notes
}

fn note(seen: &Seen<'_>, asked: &Asked, asks: Asks) -> Option<String> {
    let path = &seen.read.path;
    let chosen = match asked.query.wanted_types().next() {
        Some(_) => "no event of this type",
        None => "no event",
    };
    match (seen.there, seen.read.kind) {
        _ if seen.fits => None,
        (false, _) if seen.read.in_place_of_value && !seen.begins => Some(format!(
            "{chosen} has '{}' at its top level; if it is meant as a text, put it in quotes: \"{path}\".",
            path.member()
        )),
        (false, _) if path.is_member() => {
            let value = match asks {
                Asks::Condition => "=VALUE",
                Asks::Field => "",
            };
            Some(format!(
                "{chosen} has '{path}' at its top level; what was recorded stands in the payload, as in \
                 payload.{path}{value}."
            ))
        }
        (false, _) => Some(match &seen.meant {
            Some(meant) => {
                format!("{chosen} that is looked at has '{path}'; did you mean '{meant}'?")
            }
            None => format!("{chosen} that is looked at has '{path}'."),
        }),
        (true, Some(kind)) => {
            let other = seen.other.unwrap_or("another value");
            let help = match kind {
                Kind::Number => {
                    format!("; double({path}) reads a number that is written in a string")
                }
                Kind::Condition => format!("; compare it, as in {path} == 1"),
                Kind::Time => "; timestamp(…) takes texts such as 2026-01-31T12:00:00Z".to_owned(),
                Kind::Text | Kind::Truth | Kind::Numeric => String::new(),
            };
            let wanted = match kind {
                Kind::Number => "is compared with a number",
                Kind::Text => "is compared with a string",
                Kind::Truth => "is compared with a boolean",
                Kind::Condition => "stands as a condition, which is a boolean",
                Kind::Time => "is read as a time",
                Kind::Numeric => "is read as a number",
            };
            Some(format!(
                "'{path}' {wanted}, and is none in any event that is looked at (in the last one {other}){help}."
            ))
        }
        (true, None) => None,
    }
}
