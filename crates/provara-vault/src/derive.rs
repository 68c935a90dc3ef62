//! What follows from the events: beliefs and the summary.

use provara_core::beliefs::{BeliefReducer, BeliefState};
use provara_core::json::{self, Value};
use provara_core::summary::Summary;

use crate::error::VaultError;
use crate::snapshot::LogSnapshot;

impl LogSnapshot {
    /// The state of the built-in reducer after every whole line of the log (spec/VAULT_FORMAT,
    /// section 6). Whether the events verify is not asked here.
    ///
    /// # Errors
    /// [`VaultError::BrokenLog`] for a line that is no JSON object.
    pub fn beliefs(&self) -> Result<BeliefState, VaultError> {
        let mut reducer = BeliefReducer::new();
        each_event(self, |_, event| {
            reducer.apply(event);
            Ok(())
        })?;
        Ok(reducer.finish())
    }

    /// How many events the log's whole lines are, by whom, of which types, and where the chains
    /// stand. Whether the events verify is not asked here.
    ///
    /// # Errors
    /// [`VaultError::BrokenLog`] for a line that is no event.
    pub fn summary(&self) -> Result<Summary, VaultError> {
        Summary::from_lines(self.lines()).map_err(|error| VaultError::BrokenLog {
            line: error.line,
            offset: self
                .lines()
                .take(error.line as usize - 1)
                .map(|l| l.len() as u64 + 1)
                .sum(),
            reason: error.problem.to_string(),
        })
    }
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
