//! What reads: the verdict, the events, the status.

use std::collections::VecDeque;
use std::ops::ControlFlow;

use provara_core::finding::{Finding, Report, Severity};
use provara_core::id::EventId;
use provara_core::query::Query;
use provara_core::scan::{Field, scan_line};
use provara_plugins::text::shorten;
use provara_query::{Asked, Filter};
use provara_vault::{SourceLog, VerifyOptions};
use serde::Serialize;

use crate::answer::{Answer, PAGE};
use crate::cursor::Cursors;
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
    cursors: &Cursors,
    job: &JobHandle,
) -> Result<Answer, Refusal> {
    let vault = handle.open(&*server.renderer, job)?;
    let turn = handle.turn();
    let examination = vault.examine(options);
    drop(turn);
    let examination = examination.map_err(|error| handle.refusal(&*server.renderer, error))?;
    let report = examination.report();
    let findings = provara_explain::causes_first(report);
    let (mut page, mut bytes) = (Vec::new(), 0);
    for finding in findings.iter().skip(skip).take(limit) {
        let text = serde_json::to_string(finding).unwrap_or_default();
        bytes += provara_plugins::text::json(&text).len() + 1;
        // Notes and what was verified have their room, too.
        if !page.is_empty() && bytes > PAGE - NOTES {
            break;
        }
        page.push(finding);
    }
    let is_allowed = |finding: &Finding| options.allowed.contains(&finding.code);
    let allowed = report.findings().iter().filter(|it| is_allowed(it)).count();
    let (errors, warnings) = weigh(report);
    let mut answer = Answer::new()
        .with("vault", handle.name.as_str())
        .with("valid", &report.is_valid())
        .with("event_count", &report.event_count())
        .with("errors", &errors)
        .with("warnings", &(warnings - allowed.min(warnings)))
        .with("allowed", &allowed)
        .with("verified", &examination.subject())
        .with("findings", &page)
        .with("notes", &within(report.notes()));
    let next = skip.saturating_add(page.len());
    if next < findings.len() {
        answer = answer.with("next_cursor", &cursors.after(next as u64));
    }
    Ok(answer)
}

/// The bytes that the notes of a report may have.
const NOTES: usize = 12_000;

/// The notes, as far as there is room.
fn within(notes: &[String]) -> Vec<String> {
    let mut room = NOTES / 2;
    let mut told: Vec<String> = Vec::new();
    for note in notes {
        let note = shorten(note, 1000).into_owned();
        room = room.saturating_sub(provara_plugins::text::json(&note).len());
        if room == 0 {
            told.push(format!("… and {} notes more", notes.len() - told.len()));
            break;
        }
        told.push(note);
    }
    told
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

/// In which order events are given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    NewestFirst,
    OldestFirst,
}

/// Which of the events that a query chooses are given.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) order: Order,
    /// How many at most.
    pub(crate) limit: usize,
    /// The line that the page before ended with; 0 for the first page.
    pub(crate) after: usize,
    /// How the next page is named; by the line alone where the address of this one says the rest.
    pub(crate) cursors: Option<Cursors>,
}

/// A page of events, as far as one message carries them.
pub(crate) fn page(
    server: &ServerState,
    handle: &VaultHandle,
    log: &SourceLog,
    asked: &Asked,
    wanted: &Page,
) -> Result<Answer, Refusal> {
    let mut filling = Filling::default();
    let after = wanted.after as u64;
    match wanted.order {
        Order::OldestFirst => log.query(&asked.query, |number, line| match number > after {
            true => filling.take(number, line, wanted.limit),
            false => ControlFlow::Continue(()),
        }),
        // Where a page is taken from its end, all before it has to be looked at; what is kept is one page.
        Order::NewestFirst => {
            let mut last: VecDeque<(u64, &[u8])> = VecDeque::new();
            log.query(&asked.query, |number, line| {
                if after > 0 && number >= after {
                    return ControlFlow::Break(());
                }
                if last.len() > wanted.limit {
                    last.pop_front();
                }
                last.push_back((number, line));
                ControlFlow::Continue(())
            });
            let _ = last
                .into_iter()
                .rev()
                .try_for_each(|(number, line)| filling.take(number, line, wanted.limit));
        }
    }
    handle.check_unchanged(log, &*server.renderer)?;
    if asked.query.is_exhausted() {
        return Err(Refusal::from(&provara_explain::exhausted()));
    }
    let mut answer = Answer::new()
        .with("vault", handle.name.as_str())
        .with_json("events", &format!("[{}]", filling.events));
    if filling.found == 0 && wanted.after == 0 {
        let notes = server.renderer.nothing_chosen(asked, log);
        if !notes.is_empty() {
            answer = answer.with("notes", &notes);
        }
    }
    Ok(match filling.more {
        true => {
            let next = match &wanted.cursors {
                Some(cursors) => cursors.after(filling.last),
                None => filling.last.to_string(),
            };
            answer.with("next_cursor", &next)
        }
        false => answer,
    })
}

/// A page that is being filled.
#[derive(Default)]
struct Filling {
    events: String,
    found: usize,
    last: u64,
    /// Whether there is one that had no room.
    more: bool,
}

impl Filling {
    fn take(&mut self, number: u64, line: &[u8], limit: usize) -> ControlFlow<()> {
        let event = one(number, line);
        // The text goes out with what a terminal might act on escaped, which makes it longer.
        let length = provara_plugins::text::json(&event).len();
        let event = match length > PAGE / 2 {
            true => too_long(number, line),
            false => event,
        };
        if self.found == limit || self.events.len() + length.min(event.len()) > PAGE {
            self.more = true;
            return ControlFlow::Break(());
        }
        if self.found > 0 {
            self.events.push(',');
        }
        // Escaped already, so that the page is no longer than it was measured.
        self.events.push_str(&provara_plugins::text::json(&event));
        (self.found, self.last) = (self.found + 1, number);
        ControlFlow::Continue(())
    }
}

/// A line of the log with its number. The log is UTF-8 JSON, which was verified.
fn one(number: u64, line: &[u8]) -> String {
    let event = String::from_utf8_lossy(line);
    format!("{{\"line\":{number},\"event\":{event}}}")
}

/// What is said of an event that would fill a page by itself.
fn too_long(number: u64, line: &[u8]) -> String {
    let scanned = scan_line(line).ok();
    let text = |field| scanned.as_ref().and_then(|line| line.text(field));
    Answer::new()
        .with("line", &number)
        .with("event_id", &text(Field::EventId))
        .with(
            "type",
            &text(Field::Type).map(|it| shorten(&it, 200).into_owned()),
        )
        .with("bytes", &line.len())
        .with("note", "too long for a page: get_event has it")
        .text()
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
    handle.check_unchanged(&log, &*server.renderer)?;
    Ok(found)
}
