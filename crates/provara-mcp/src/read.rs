//! What reads: the verdict, the events, the status.

use std::ops::ControlFlow;

use provara_core::finding::{Report, Severity};
use provara_core::id::EventId;
use provara_core::query::Query;
use provara_query::{Asked, Filter};
use provara_vault::{SourceLog, VerifyOptions};
use serde::Serialize;

use crate::answer::{Answer, MAX_ANSWER};
use crate::args::{self, Arguments};
use crate::job::JobHandle;
use crate::refusal::Refusal;
use crate::state::ServerState;
use crate::vault_handle::VaultHandle;

/// The events of one page where a call does not say.
pub(crate) const EVENTS: usize = 50;

/// The most events of one page.
pub(crate) const MAX_EVENTS: usize = 200;

/// The most findings of one page.
pub(crate) const MAX_FINDINGS: usize = 500;

/// How many actors and types a status names.
const MAX_NAMES: usize = 100;

/// A page of a verification's report.
pub(crate) fn report(
    server: &ServerState,
    handle: &VaultHandle,
    options: &VerifyOptions,
    limit: usize,
    skip: usize,
    job: &JobHandle,
) -> Result<Answer, Refusal> {
    let vault = handle.open(&*server.renderer, job)?;
    let turn = handle.turn();
    let report = vault.verify(options);
    drop(turn);
    let report = report.map_err(|error| handle.refusal(&*server.renderer, error))?;
    let findings = provara_explain::causes_first(&report);
    let page: Vec<_> = findings.iter().skip(skip).take(limit).collect();
    let (errors, warnings) = weigh(&report);
    let mut answer = Answer::new()
        .with("vault", handle.name.as_str())
        .with("valid", &report.is_valid())
        .with("event_count", &report.event_count())
        .with("errors", &errors)
        .with("warnings", &warnings)
        .with("findings", &page)
        .with("notes", report.notes());
    let next = skip.saturating_add(page.len());
    if next < findings.len() {
        answer = answer.with("next_cursor", &next.to_string());
    }
    Ok(answer)
}

fn weigh(report: &Report) -> (usize, usize) {
    let count = |severity| {
        let weighs = report
            .findings()
            .iter()
            .filter(|finding| finding.severity == severity);
        weighs.count()
    };
    (count(Severity::Error), count(Severity::Warning))
}

#[derive(Serialize)]
struct Head {
    events: u64,
    head: EventId,
    last_timestamp: String,
}

/// What a vault holds, also of one that does not verify: then only the verdict.
pub(crate) fn vault_status(
    server: &ServerState,
    handle: &VaultHandle,
    job: &JobHandle,
) -> Result<Answer, Refusal> {
    let vault = handle.open(&*server.renderer, job)?;
    let examined = handle.examined(&vault, &*server.renderer)?;
    let report = &examined.report;
    let (errors, warnings) = weigh(report);
    let mut answer = Answer::new()
        .with("vault", handle.name.as_str())
        .with("valid", &report.is_valid())
        .with("event_count", &report.event_count())
        .with("errors", &errors)
        .with("warnings", &warnings)
        .with("read_only", &server.config.read_only);
    if let Some(log) = &examined.log {
        let summary = match examined.summary.get() {
            Some(known) => known,
            None => {
                let made = log
                    .summary_watched(&|done, total| job.report_progress(done, total))
                    .map_err(|error| handle.refusal(&*server.renderer, error))?;
                examined.summary.get_or_init(|| made)
            }
        };
        let actors: std::collections::BTreeMap<_, _> = summary
            .actors
            .iter()
            .take(MAX_NAMES)
            .map(|(name, head)| {
                let head = Head {
                    events: head.events,
                    head: head.head,
                    last_timestamp: head.last_timestamp.clone(),
                };
                (name, head)
            })
            .collect();
        let types: std::collections::BTreeMap<_, _> =
            summary.types.iter().take(MAX_NAMES).collect();
        answer = answer
            .with("last_event", &summary.last_event)
            .with("actor_count", &summary.actors.len())
            .with("actors", &actors)
            .with("type_count", &summary.types.len())
            .with("types", &types);
    }
    Ok(answer)
}

/// The query for these filters.
pub(crate) fn query<'a>(
    event_type: Option<&str>,
    actor: Option<&str>,
    after: Option<&str>,
    before: Option<&str>,
    conditions: impl Iterator<Item = &'a str>,
) -> Result<Asked, Refusal> {
    let time = |name: &str, text: &str| {
        let now = provara_vault::now().map_err(|error| {
            Refusal::new(
                &format!("The time is not known: {error}."),
                "Set the clock.",
            )
        })?;
        provara_query::when(text, now)
            .map_err(|error| Refusal::from(&provara_explain::when_failure(name, &error)))
    };
    let mut query = Query::default();
    if let Some(name) = event_type {
        query = query.event_type(name);
    }
    if let Some(name) = actor {
        query = query.actor(name);
    }
    if let Some(text) = after {
        query = query.after(time("after", text)?);
    }
    if let Some(text) = before {
        query = query.before(time("before", text)?);
    }
    let conditions = conditions.map(|text| {
        text.parse::<Filter>()
            .map_err(|error| Refusal::from(&provara_explain::condition_failure(&error)))
    });
    Ok(Asked::new(query, conditions.collect::<Result<_, _>>()?))
}

/// A page of events, after line `skip`, as far as an answer can carry them.
pub(crate) fn page(
    server: &ServerState,
    handle: &VaultHandle,
    log: &SourceLog,
    asked: &Asked,
    limit: usize,
    skip: usize,
) -> Result<Answer, Refusal> {
    // Half of what an answer may have, so that one long event more still fits or stands alone.
    let room = MAX_ANSWER / 2;
    let (mut events, mut found, mut last, mut more) = (String::from("["), 0, 0, false);
    log.query(&asked.query, |number, line| {
        if number <= skip as u64 {
            return ControlFlow::Continue(());
        }
        if found == limit || (found > 0 && events.len() + line.len() > room) {
            more = true;
            return ControlFlow::Break(());
        }
        if found > 0 {
            events.push(',');
        }
        events.push_str(&one(number, line));
        (found, last) = (found + 1, number);
        ControlFlow::Continue(())
    });
    events.push(']');
    if asked.query.is_exhausted() {
        return Err(Refusal::from(&provara_explain::exhausted()));
    }
    let mut answer = Answer::new()
        .with("vault", handle.name.as_str())
        .with_json("events", &events);
    if found == 0 && skip == 0 {
        let notes = server.renderer.nothing_chosen(asked, log);
        if !notes.is_empty() {
            answer = answer.with("notes", &notes);
        }
    }
    Ok(match more {
        true => answer.with("next_cursor", &last.to_string()),
        false => answer,
    })
}

/// A line of the log with its number. The log is UTF-8 JSON, which was verified.
fn one(number: u64, line: &[u8]) -> String {
    let event = String::from_utf8_lossy(line);
    format!("{{\"line\":{number},\"event\":{event}}}")
}

/// The event of this id, with its line's number.
pub(crate) fn find(
    server: &ServerState,
    handle: &VaultHandle,
    id: &str,
    job: &JobHandle,
) -> Result<Option<(u64, String)>, Refusal> {
    let vault = handle.open(&*server.renderer, job)?;
    let log = handle.verified(&vault, &*server.renderer)?;
    let mut found = None;
    log.query(&Query::default().event_id(id), |number, line| {
        found = Some((number, String::from_utf8_lossy(line).into_owned()));
        ControlFlow::Break(())
    });
    Ok(found)
}

/// What an earlier page said where the next one begins.
pub(crate) fn cursor(arguments: &Arguments) -> Result<usize, Refusal> {
    match args::text(arguments, "cursor") {
        None => Ok(0),
        Some(text) => position(text).ok_or_else(|| {
            Refusal::new(
                "'cursor' is not one that this server gave.",
                "Pass next_cursor as it came, or leave it out to begin anew.",
            )
        }),
    }
}

/// The position that a cursor stands for.
pub(crate) fn position(text: &str) -> Option<usize> {
    let digits = !text.is_empty() && text.len() <= 15 && text.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}
