//! The reducer over the lines of a log: it keeps where they begin instead of what they say, which it reads again
//! for the little of it that is printed. Memory is that of the keys, and a few bytes for each piece of evidence.

use super::fold::{Fold, History};
use super::print::{Events, Unprinted, maps};
use super::said::{Part, Said};
use super::state::{BeliefState, Metadata};
use super::step::{Kind, Steps};
use super::view::view;
use crate::json::Value;

/// Reduces the lines of a log, in their order, to a [`BeliefState`]: that of a
/// [`BeliefReducer`](super::BeliefReducer) that was given their events.
#[derive(Debug, Default)]
pub struct LogReducer {
    pub(super) fold: Fold,
    pub(super) events: u64,
    /// Where the last line begins.
    pub(super) last: Option<u64>,
    /// Where the event begins that the current epoch began with.
    pub(super) epoch: Option<u64>,
}

impl LogReducer {
    /// A reducer that has seen nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// How many events were reduced.
    #[must_use]
    pub fn events(&self) -> u64 {
        self.events
    }

    /// Takes the next lines of the log.
    pub fn take(&mut self, steps: &Steps) {
        for (at, step) in steps.iter() {
            if step.kind == Kind::Epoch {
                self.epoch = Some(at);
            }
            let complete = self.fold.apply(&step, at, History::Complete);
            debug_assert!(complete, "nothing is missing in a complete history");
        }
        self.events += steps.events();
        self.last = steps.last().or(self.last);
    }

    /// Takes the next event, whose line begins at byte `at` of the log.
    pub fn apply(&mut self, event: &Value<'_>, at: u64) {
        if event.as_object().is_some() {
            self.take(&Steps::of_event(event, at));
        }
    }

    /// The state after the lines that were taken, which `log` begins with, printed on `threads` threads.
    ///
    /// # Errors
    /// [`Unprinted::Changed`], where they stand there no more.
    pub fn state(&self, log: &[u8], threads: usize) -> Result<BeliefState, Unprinted> {
        self.state_within(log, usize::MAX, threads)
    }

    /// As [`LogReducer::state`], unless the text of the four maps has more than `most` bytes; to find that out takes
    /// no more memory than that.
    ///
    /// # Errors
    /// [`Unprinted`].
    pub fn state_within(
        &self,
        log: &[u8],
        most: usize,
        threads: usize,
    ) -> Result<BeliefState, Unprinted> {
        let events = Lines(log);
        let text = |event: Option<u64>, part| match event {
            None => Ok(b"null".to_vec()),
            Some(event) => events.said(event, part, |said| said.part(part).to_vec()),
        };
        let metadata = Metadata {
            current_epoch: text(self.epoch, Part::Value)?,
            event_count: self.events,
            last_event_id: text(self.last, Part::Id)?,
        };
        let maps = maps(&self.fold, &events, most, threads)?;
        Ok(BeliefState::new(maps, metadata))
    }
}

/// The lines of a log, known by where they begin.
struct Lines<'l>(&'l [u8]);

impl Events for Lines<'_> {
    fn said<T>(
        &self,
        event: u64,
        part: Part,
        take: impl FnOnce(&Said) -> T,
    ) -> Result<T, Unprinted> {
        let changed = Unprinted::Changed(event);
        let start = usize::try_from(event).map_err(|_| changed)?;
        let rest = self.0.get(start..).ok_or(changed)?;
        let end = memchr::memchr(b'\n', rest).unwrap_or(rest.len());
        let said = Said::of(&view(&rest[..end]).map_err(|_| changed)?);
        match said.part(part).is_empty() {
            true => Err(changed),
            false => Ok(take(&said)),
        }
    }
}
