//! What follows from the events: beliefs and the summary.

use std::ops::ControlFlow;

use provara_core::beliefs::{self, BeliefReducer, BeliefState};
use provara_core::json::{self, Value};
use provara_core::summary::Summary;

use crate::error::VaultError;
use crate::parallel::{available_threads, in_order};
use crate::snapshot::{LogSnapshot, lines_of};

/// Who hears how many bytes of the log are done, and of how many, and breaks to end the work.
type Watch<'w> = &'w dyn Fn(u64, u64) -> ControlFlow<()>;

impl LogSnapshot {
    /// The state of the built-in reducer after every whole line of the log (spec/VAULT_FORMAT,
    /// section 6). Whether the events verify is not asked here.
    ///
    /// # Errors
    /// [`VaultError::BrokenLog`] for a line that is no JSON object.
    pub fn beliefs(&self) -> Result<BeliefState, VaultError> {
        self.beliefs_watched(&|_, _| ControlFlow::Continue(()))
    }

    /// As [`LogSnapshot::beliefs`]; `watch` hears of the progress, from the thread that asked.
    ///
    /// # Errors
    /// As there, and [`VaultError::Cancelled`] once `watch` breaks.
    pub fn beliefs_watched(&self, watch: Watch<'_>) -> Result<BeliefState, VaultError> {
        let mut reducer = BeliefReducer::new();
        let mut read = 0;
        let mut broken = None;
        let total = self.len();
        // Parsing is most of the work and needs no order; reducing does.
        let view = |range, offset| events_of(range, offset);
        let whole = in_order(
            self.bytes(),
            available_threads(),
            view,
            |(events, end, fault)| {
                for event in &events {
                    reducer.apply(event);
                }
                read += events.len() as u64;
                if let Some(reason) = fault {
                    broken = Some(VaultError::BrokenLog {
                        line: read + 1,
                        offset: end,
                        reason,
                    });
                    return ControlFlow::Break(());
                }
                watch(end, total)
            },
        );
        match whole {
            ControlFlow::Continue(()) => Ok(reducer.finish()),
            ControlFlow::Break(()) => Err(broken.unwrap_or(VaultError::Cancelled)),
        }
    }

    /// How many events the log's whole lines are, by whom, of which types, and where the chains
    /// stand. Whether the events verify is not asked here.
    ///
    /// # Errors
    /// [`VaultError::BrokenLog`] for a line that is no event.
    pub fn summary(&self) -> Result<Summary, VaultError> {
        self.summary_watched(&|_, _| ControlFlow::Continue(()))
    }

    /// As [`LogSnapshot::summary`]; `watch` hears of the progress, from the thread that asked.
    ///
    /// # Errors
    /// As there, and [`VaultError::Cancelled`] once `watch` breaks.
    pub fn summary_watched(&self, watch: Watch<'_>) -> Result<Summary, VaultError> {
        let mut summary = Summary::default();
        let mut broken = None;
        let sum = |range: &[u8], offset| {
            let end = offset + range.len() as u64;
            (Summary::from_lines(lines_of(range)), end)
        };
        let whole = in_order(self.bytes(), available_threads(), sum, |(part, end)| {
            match part {
                Ok(part) => summary.append(part),
                Err(error) => {
                    broken = Some((summary.event_count + error.line, error.problem.to_string()));
                    return ControlFlow::Break(());
                }
            }
            watch(end, self.len())
        });
        if whole.is_continue() {
            return Ok(summary);
        }
        let Some((line, reason)) = broken else {
            return Err(VaultError::Cancelled);
        };
        let before = self.lines().take(line as usize - 1);
        Err(VaultError::BrokenLog {
            line,
            offset: before.map(|text| text.len() as u64 + 1).sum(),
            reason,
        })
    }
}

/// What the reducer reads of the lines of a range that starts at byte `offset` of the log, up to the
/// first that is no event; where they end; and what is wrong with the line there, if anything.
fn events_of(range: &[u8], offset: u64) -> (Vec<Value<'_>>, u64, Option<String>) {
    let mut events = Vec::with_capacity(range.len() / 256);
    let mut at = offset;
    for line in lines_of(range) {
        match beliefs::view(line) {
            Ok(event) if event.as_object().is_some() => events.push(event),
            Ok(other) => {
                let reason = format!("{} is no event", other.kind_name());
                return (events, at, Some(reason));
            }
            Err(error) => return (events, at, Some(error.to_string())),
        }
        at += line.len() as u64 + 1;
    }
    (events, at, None)
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
