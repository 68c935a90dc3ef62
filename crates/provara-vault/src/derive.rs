//! What follows from the events: beliefs and the summary.

use std::ops::ControlFlow;

use provara_core::beliefs::{self, BeliefReducer, BeliefState};
use provara_core::json::{self, Value};
use provara_core::summary::Summary;

use crate::error::VaultError;
use crate::parallel::{available_threads, in_order};
use crate::snapshot::{LogSnapshot, lines_of};

impl LogSnapshot {
    /// The state of the built-in reducer after every whole line of the log (spec/VAULT_FORMAT,
    /// section 6). Whether the events verify is not asked here.
    ///
    /// # Errors
    /// [`VaultError::BrokenLog`] for a line that is no JSON object.
    pub fn beliefs(&self) -> Result<BeliefState, VaultError> {
        let mut reducer = BeliefReducer::new();
        let mut read = 0;
        let mut broken = None;
        // Parsing is most of the work and needs no order; reducing does.
        let view = |range, offset| events_of(range, offset);
        in_order(
            self.bytes(),
            available_threads(),
            view,
            |(events, fault)| {
                for event in &events {
                    reducer.apply(event);
                }
                read += events.len() as u64;
                match fault {
                    None => ControlFlow::Continue(()),
                    Some((offset, reason)) => {
                        broken = Some((read + 1, offset, reason));
                        ControlFlow::Break(())
                    }
                }
            },
        );
        match broken {
            None => Ok(reducer.finish()),
            Some((line, offset, reason)) => Err(VaultError::BrokenLog {
                line,
                offset,
                reason,
            }),
        }
    }

    /// How many events the log's whole lines are, by whom, of which types, and where the chains
    /// stand. Whether the events verify is not asked here.
    ///
    /// # Errors
    /// [`VaultError::BrokenLog`] for a line that is no event.
    pub fn summary(&self) -> Result<Summary, VaultError> {
        let mut summary = Summary::default();
        let mut broken = None;
        let sum = |range, _| Summary::from_lines(lines_of(range));
        in_order(self.bytes(), available_threads(), sum, |part| match part {
            Ok(part) => {
                summary.append(part);
                ControlFlow::Continue(())
            }
            Err(error) => {
                broken = Some((summary.event_count + error.line, error.problem.to_string()));
                ControlFlow::Break(())
            }
        });
        let Some((line, reason)) = broken else {
            return Ok(summary);
        };
        let before = self.lines().take(line as usize - 1);
        Err(VaultError::BrokenLog {
            line,
            offset: before.map(|text| text.len() as u64 + 1).sum(),
            reason,
        })
    }
}

/// Where a range of the log is broken, and why.
type Fault = (u64, String);

/// What the reducer reads of the lines of a range that starts at byte `offset` of the log, up to the
/// first that is no event.
fn events_of(range: &[u8], offset: u64) -> (Vec<Value<'_>>, Option<Fault>) {
    let mut events = Vec::with_capacity(range.len() / 256);
    let mut at = offset;
    for line in lines_of(range) {
        match beliefs::view(line) {
            Ok(event) if event.as_object().is_some() => events.push(event),
            Ok(other) => {
                return (
                    events,
                    Some((at, format!("{} is no event", other.kind_name()))),
                );
            }
            Err(error) => return (events, Some((at, error.to_string()))),
        }
        at += line.len() as u64 + 1;
    }
    (events, None)
}

/// Calls `take` with the line number, from 1, and the event of every line of `log`.
pub(crate) fn each_event(
    log: &[u8],
    mut take: impl FnMut(u64, &Value<'_>) -> Result<(), VaultError>,
) -> Result<(), VaultError> {
    let mut offset = 0;
    for (number, line) in (1..).zip(log.split_inclusive(|byte| *byte == b'\n')) {
        let broken = |reason: String| VaultError::BrokenLog {
            line: number,
            offset,
            reason,
        };
        let text = line.strip_suffix(b"\n").unwrap_or(line);
        let event = json::parse(text).map_err(|error| broken(error.to_string()))?;
        if event.as_object().is_none() {
            return Err(broken(format!("{} is no event", event.kind_name())));
        }
        take(number, &event)?;
        offset += line.len() as u64;
    }
    Ok(())
}
