//! The summary of a log: how many events, by whom, of which types, and where the chains end.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::canonical::MAX_SAFE_INTEGER;
use crate::id::EventId;
use crate::scan::{Field, Line, LineError, scan_line};

/// What a log holds, in figures.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// How many events the log has.
    pub event_count: u64,
    /// The actors by name, with the heads of their chains.
    pub actors: BTreeMap<String, ActorHead>,
    /// How many events there are of each type.
    pub types: BTreeMap<String, u64>,
    /// The last event of the log; none in an empty log.
    pub last_event: Option<EventId>,
}

/// The end of an actor's chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ActorHead {
    /// How many events are the actor's.
    pub events: u64,
    /// The actor's last event.
    pub head: EventId,
    /// Its `ts_logical`, if it has one that is an integer within ±(2^53-1).
    pub ts_logical: Option<i64>,
    /// Its `timestamp_utc` as it stands in the event.
    pub last_timestamp: String,
}

/// A line that cannot be summed up.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {problem}")]
pub struct SummaryError {
    /// The number of the line, from 1.
    pub line: u64,
    /// What is wrong with it.
    pub problem: SummaryProblem,
}

/// Why a line cannot be summed up.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SummaryProblem {
    /// The line is no canonical event.
    #[error(transparent)]
    Line(#[from] LineError),
    /// A member is missing or malformed.
    #[error("'{0}' is missing or malformed")]
    Field(&'static str),
}

impl Summary {
    /// Sums up the lines of a log, each without its LF. Signatures and chains are not checked.
    ///
    /// # Errors
    /// The first line that is no event with a type, an actor, an id and a time.
    pub fn from_lines<'l>(lines: impl IntoIterator<Item = &'l [u8]>) -> Result<Self, SummaryError> {
        let mut summary = Self::default();
        for (line, text) in (1..).zip(lines) {
            scan_line(text)
                .map_err(SummaryProblem::from)
                .and_then(|event| summary.add(&event))
                .map_err(|problem| SummaryError { line, problem })?;
        }
        Ok(summary)
    }

    /// Adds what follows in the log, summed up by itself.
    pub fn append(&mut self, later: Self) {
        self.event_count += later.event_count;
        self.last_event = later.last_event.or(self.last_event);
        for (name, count) in later.types {
            *self.types.entry(name).or_default() += count;
        }
        for (name, head) in later.actors {
            let before = self.actors.get(&name).map_or(0, |known| known.events);
            let events = before + head.events;
            self.actors.insert(name, ActorHead { events, ..head });
        }
    }

    /// Adds the next event of the log.
    ///
    /// # Errors
    /// The first of the four members that it lacks; the summary is then as it was.
    pub fn add(&mut self, event: &Line<'_>) -> Result<(), SummaryProblem> {
        let text = |field: Field| event.text(field).ok_or(SummaryProblem::Field(field.name()));
        let event_type = text(Field::Type)?;
        let actor = text(Field::Actor)?;
        let id: EventId = text(Field::EventId)?
            .parse()
            .map_err(|_| SummaryProblem::Field(Field::EventId.name()))?;
        let head = ActorHead {
            events: 1,
            head: id,
            ts_logical: event.raw(Field::TsLogical).and_then(logical_time),
            last_timestamp: text(Field::TimestampUtc)?.into_owned(),
        };
        self.event_count += 1;
        self.last_event = Some(id);
        // Names recur: look first, and copy one only when it is new.
        match self.types.get_mut(&*event_type) {
            Some(count) => *count += 1,
            None => {
                self.types.insert(event_type.into_owned(), 1);
            }
        }
        match self.actors.get_mut(&*actor) {
            Some(known) => {
                let events = known.events + 1;
                *known = ActorHead { events, ..head };
            }
            None => {
                self.actors.insert(actor.into_owned(), head);
            }
        }
        Ok(())
    }
}

fn logical_time(raw: &[u8]) -> Option<i64> {
    let time: i64 = std::str::from_utf8(raw).ok()?.parse().ok()?;
    (time.unsigned_abs() <= MAX_SAFE_INTEGER).then_some(time)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::canonical::jcs_of;

    fn line(id: u8, actor: &str, event_type: &str, logical: &str) -> Vec<u8> {
        format!(
            r#"{{"actor":"{actor}","event_id":"evt_{id:024x}","timestamp_utc":"2026-01-01T00:00:{id:02}Z","ts_logical":{logical},"type":"{event_type}"}}"#
        )
        .into_bytes()
    }

    #[test]
    fn counts_and_heads() {
        let lines = [
            line(1, "ann", "GENESIS", "1"),
            line(2, "bob", "com.acme.audit.login", "null"),
            line(3, "ann", "com.acme.audit.login", "9007199254740992"),
            line(4, "bob", "com.acme.audit.login", "7"),
        ];
        let sum = |lines: &[Vec<u8>]| Summary::from_lines(lines.iter().map(|line| &line[..]));
        let summary = sum(&lines).unwrap();
        for cut in 0..=lines.len() {
            let mut parts = sum(&lines[..cut]).unwrap();
            parts.append(sum(&lines[cut..]).unwrap());
            assert_eq!(parts, summary);
        }
        assert_eq!(
            String::from_utf8(jcs_of(&summary).unwrap()).unwrap(),
            concat!(
                r#"{"actors":{"ann":{"events":2,"head":"evt_000000000000000000000003","#,
                r#""last_timestamp":"2026-01-01T00:00:03Z","ts_logical":null},"#,
                r#""bob":{"events":2,"head":"evt_000000000000000000000004","#,
                r#""last_timestamp":"2026-01-01T00:00:04Z","ts_logical":7}},"event_count":4,"#,
                r#""last_event":"evt_000000000000000000000004","#,
                r#""types":{"GENESIS":1,"com.acme.audit.login":3}}"#
            )
        );
        assert_eq!(
            Summary::from_lines([]).unwrap(),
            Summary {
                last_event: None,
                ..Summary::default()
            }
        );
    }

    #[test]
    fn a_line_that_is_no_event_is_named() {
        let good = line(1, "ann", "GENESIS", "1");
        let lines = [&good[..], b"{\"actor\":\"ann\",\"type\":\"T\"}"];
        assert_eq!(
            Summary::from_lines(lines),
            Err(SummaryError {
                line: 2,
                problem: SummaryProblem::Field("event_id")
            })
        );
        let error = Summary::from_lines([&good[..], b""]).unwrap_err();
        assert_eq!(error.line, 2);
    }
}
