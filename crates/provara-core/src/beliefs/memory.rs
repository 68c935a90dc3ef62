//! The reducer over events that stand nowhere else: it keeps what they say.

use super::fold::{Fold, History};
use super::print::{Events, Unprinted, maps};
use super::said::{Part, Said};
use super::state::{BeliefState, Metadata};
use super::step::{Kind, Steps};
use crate::json::Value;

/// Reduces events, in the order of the log, to a [`BeliefState`].
///
/// It neither verifies nor refuses: what is malformed has no effect on the maps. Time and memory
/// grow linearly with the events.
#[derive(Debug, Default)]
pub struct BeliefReducer {
    fold: Fold,
    said: Vec<Said>,
    metadata: Metadata,
}

impl BeliefReducer {
    /// A reducer that has seen nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A reducer that goes on from a state with this metadata, whose beliefs are put in by the caller.
    pub(super) fn carrying(metadata: Metadata) -> Self {
        Self {
            metadata,
            ..Self::default()
        }
    }

    /// The beliefs, for what a state carries.
    pub(super) fn fold_mut(&mut self) -> &mut Fold {
        &mut self.fold
    }

    /// Takes what an event says; gives the number by which it is known.
    pub(super) fn keep(&mut self, said: Said) -> u64 {
        self.said.push(said);
        self.said.len() as u64 - 1
    }

    /// How many events were reduced.
    pub(super) fn events(&self) -> u64 {
        self.metadata.event_count
    }

    /// Takes the next event, a whole event object. Anything but an object is passed over.
    pub fn apply(&mut self, event: &Value<'_>) {
        let complete = self.take(event, History::Complete);
        debug_assert!(complete, "nothing is missing in a complete history");
    }

    /// Applies one event. False, with nothing changed, where that takes evidence which a partial
    /// history does not have.
    #[must_use]
    pub(super) fn take(&mut self, event: &Value<'_>, history: History) -> bool {
        if event.as_object().is_none() {
            return true;
        }
        let said = Said::of(event);
        let id = said.part(Part::Id).to_vec();
        let number = self.said.len() as u64;
        let mut kept = false;
        for (_, step) in Steps::of_event(event, number).iter() {
            if step.kind == Kind::Epoch {
                self.metadata.current_epoch = said.part(Part::Value).to_vec();
            } else if !self.fold.apply(&step, number, history) {
                return false;
            } else {
                kept = true;
            }
        }
        if kept {
            self.keep(said);
        }
        self.metadata.event_count += 1;
        self.metadata.last_event_id = id;
        true
    }

    /// The state after the events applied so far; more may follow.
    #[must_use]
    pub fn state(&self) -> BeliefState {
        let state = self.within(usize::MAX);
        state.expect("no state is longer, and what was said is here")
    }

    /// The state after the events applied so far.
    #[must_use]
    pub fn finish(self) -> BeliefState {
        self.state()
    }

    /// As [`BeliefReducer::finish`], unless the text of the four maps has more than `most` bytes; to find that out
    /// takes no more memory than that.
    ///
    /// # Errors
    /// [`Unprinted::TooLong`].
    pub fn finish_within(self, most: usize) -> Result<BeliefState, Unprinted> {
        self.within(most)
    }

    fn within(&self, most: usize) -> Result<BeliefState, Unprinted> {
        let maps = maps(&self.fold, &Known(&self.said), most, 1)?;
        Ok(BeliefState::new(maps, self.metadata.clone()))
    }
}

/// Events by their numbers.
struct Known<'s>(&'s [Said]);

impl Events for Known<'_> {
    fn said<T>(&self, event: u64, _: Part, take: impl FnOnce(&Said) -> T) -> Result<T, Unprinted> {
        Ok(take(&self.0[event as usize]))
    }
}
