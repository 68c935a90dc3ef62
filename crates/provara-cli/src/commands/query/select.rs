//! Which of the chosen events are printed, and in which order.

use std::collections::VecDeque;
use std::io;
use std::ops::ControlFlow;

use provara_core::query::Query;
use provara_core::scan::{Field, scan_line};
use provara_vault::SourceLog;

/// A part of what a query chooses.
pub(super) struct Selection {
    /// Only what stands after this line.
    pub(super) start: u64,
    pub(super) last: Option<u64>,
    pub(super) reverse: bool,
    pub(super) offset: u64,
    pub(super) limit: u64,
}

impl Selection {
    /// How many events it is.
    pub(super) fn count(&self, log: &SourceLog, query: &Query) -> u64 {
        let mut found: u64 = 0;
        log.query(query, |number, _| {
            found += u64::from(number > self.start);
            ControlFlow::Continue(())
        });
        let found = found.min(self.last.unwrap_or(u64::MAX));
        found.saturating_sub(self.offset).min(self.limit)
    }

    /// Calls `take` with each event, until it fails.
    pub(super) fn each<'l>(
        &self,
        log: &'l SourceLog,
        query: &Query,
        mut take: impl FnMut(u64, &'l [u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        if self.limit == 0 || self.last == Some(0) {
            return Ok(());
        }
        if self.last.is_none() && !self.reverse {
            return self.forward(log, query, take);
        }
        // What has to be kept: with `--reverse` alone, no more than is printed.
        let shown = self.offset.saturating_add(self.limit);
        let keep = match self.reverse {
            true => self.last.unwrap_or(u64::MAX).min(shown),
            false => self.last.unwrap_or(u64::MAX),
        };
        let mut kept: VecDeque<(u64, &'l [u8])> = VecDeque::new();
        log.query(query, |number, line| {
            if number > self.start {
                if kept.len() as u64 == keep {
                    kept.pop_front();
                }
                kept.push_back((number, line));
            }
            ControlFlow::Continue(())
        });
        if self.reverse {
            kept.make_contiguous().reverse();
        }
        let offset = usize::try_from(self.offset).unwrap_or(usize::MAX);
        let limit = usize::try_from(self.limit).unwrap_or(usize::MAX);
        let mut shown = kept.into_iter().skip(offset).take(limit);
        shown.try_for_each(|(number, line)| take(number, line))
    }

    fn forward<'l>(
        &self,
        log: &'l SourceLog,
        query: &Query,
        mut take: impl FnMut(u64, &'l [u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        let (mut skipped, mut taken, mut result) = (0, 0, Ok(()));
        log.query(query, |number, line| {
            if number <= self.start {
                return ControlFlow::Continue(());
            }
            if skipped < self.offset {
                skipped += 1;
                return ControlFlow::Continue(());
            }
            result = take(number, line);
            taken += 1;
            match result.is_err() || taken == self.limit {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            }
        });
        result
    }
}

/// The types and actors that are asked for, where there are several, and which of them were met.
pub(super) struct Names {
    types: Vec<(String, bool)>,
    actors: Vec<(String, bool)>,
    left: usize,
}

impl Names {
    pub(super) fn of(query: &Query) -> Self {
        let several = |names: Vec<&str>| -> Vec<(String, bool)> {
            let several = names.len() > 1;
            let names = names.into_iter().filter(|_| several);
            names.map(|name| (name.to_owned(), false)).collect()
        };
        let types = several(query.wanted_types().collect());
        let actors = several(query.wanted_actors().collect());
        let left = types.len() + actors.len();
        Self {
            types,
            actors,
            left,
        }
    }

    /// An event was chosen.
    pub(super) fn meet(&mut self, line: &[u8]) {
        if self.left == 0 {
            return;
        }
        let Ok(line) = scan_line(line) else {
            return;
        };
        for (names, field) in [
            (&mut self.types, Field::Type),
            (&mut self.actors, Field::Actor),
        ] {
            let found = line.text(field).unwrap_or_default();
            if let Some(name) = names.iter_mut().find(|(name, met)| !met && *name == found) {
                name.1 = true;
                self.left -= 1;
            }
        }
    }

    /// The types and the actors that were not met.
    pub(super) fn unmet(&self) -> (Vec<&str>, Vec<&str>) {
        fn unmet(names: &[(String, bool)]) -> Vec<&str> {
            let unmet = names.iter().filter(|(_, met)| !met);
            unmet.map(|(name, _)| name.as_str()).collect()
        }
        (unmet(&self.types), unmet(&self.actors))
    }
}
