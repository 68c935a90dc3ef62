//! The events of a log that a query chooses.

use std::ops::ControlFlow;

use provara_core::history::KeyHistory;
use provara_core::query::Query;

use crate::derive::SourceLog;
use crate::key_events::key_events;
use crate::log_snapshot::lines_of;
use provara_core::parallel::{available_threads, in_order};

/// What one range of the log gave.
struct Chosen<'l> {
    /// The number of its lines.
    lines: u64,
    /// The lines that were chosen, each with its number in the range, from 0.
    found: Vec<(u64, &'l [u8])>,
}

impl SourceLog {
    /// What the signed events of the log say of keys, over all of it; `None` for a vault without a mark.
    #[must_use]
    pub fn key_history(&self) -> Option<KeyHistory> {
        KeyHistory::build(&key_events(self.bytes()))
    }

    /// Calls `take` with every line that `query` chooses, in the order of the log, until it breaks:
    /// the line's number, from 1, and its bytes without the line end. Reads the log once, on all
    /// cores, and needs no index. Ask [`SourceLog::check_unchanged`] after the last use of the lines.
    pub fn query<'l>(
        &'l self,
        query: &Query,
        mut take: impl FnMut(u64, &'l [u8]) -> ControlFlow<()>,
    ) {
        let choose = |range, _| choose(query, range);
        let mut before = 0;
        let _ = in_order(self.bytes(), available_threads(), choose, |chosen| {
            for (number, line) in chosen.found {
                take(before + number + 1, line)?;
            }
            before += chosen.lines;
            ControlFlow::Continue(())
        });
    }
}

fn choose<'l>(query: &Query, range: &'l [u8]) -> Chosen<'l> {
    let mut chosen = Chosen {
        lines: 0,
        found: Vec::new(),
    };
    for line in lines_of(range) {
        if query.matches(line) {
            chosen.found.push((chosen.lines, line));
        }
        chosen.lines += 1;
    }
    chosen
}
