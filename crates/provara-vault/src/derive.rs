//! What follows from the events of a log: beliefs, the summary, and what plugins make of it.

use std::ops::{ControlFlow, Deref, Range};
use std::path::Path;

use provara_core::beliefs::{self, BeliefState, LogReducer, Steps, Unprinted};
use provara_core::json::{self, Value};
use provara_core::summary::Summary;

use crate::error::VaultError;
use crate::log_snapshot::{LogSnapshot, lines_of};
use crate::replay_record::ReplayRecords;
use crate::replay_start::{Confirmed, ReplayStart};
use provara_core::parallel::{available_threads, in_order};

/// Who hears how many bytes of the log are done, and of how many, and breaks to end the work.
type Watch<'w> = &'w dyn Fn(u64, u64) -> ControlFlow<()>;

/// A log that something may be derived from. There are two ways to one: a verification gives it with the
/// [`VerifiedLog`](crate::VerifiedLog), and [`LogSnapshot::unverified`] is for whoever goes without:
///
/// ```no_run
/// # fn main() -> Result<(), provara_vault::VaultError> {
/// let vault = provara_vault::Vault::open("my-vault".as_ref())?;
/// let beliefs = vault.snapshot()?.unverified().beliefs()?;
/// # Ok(())
/// # }
/// ```
///
/// Nothing is derived by mistake from a log that was only read:
///
/// ```compile_fail
/// # fn main() -> Result<(), provara_vault::VaultError> {
/// let vault = provara_vault::Vault::open("my-vault".as_ref())?;
/// let beliefs = vault.snapshot()?.beliefs()?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct SourceLog {
    snapshot: LogSnapshot,
    /// What the verification of these very bytes knows of the beliefs.
    start: Option<ReplayStart>,
    /// Where an earlier replay may be recorded, and this one is.
    records: Option<ReplayRecords>,
    /// Whether it verified, and nothing was to be warned of that this machine remembers.
    settled: bool,
}

impl Deref for SourceLog {
    type Target = LogSnapshot;

    fn deref(&self) -> &LogSnapshot {
        &self.snapshot
    }
}

impl LogSnapshot {
    /// The same log as a source of what is derived, though nobody has verified it: the result proves nothing.
    #[must_use]
    pub fn unverified(self) -> SourceLog {
        SourceLog {
            snapshot: self,
            start: None,
            records: None,
            settled: false,
        }
    }
}

impl AsRef<[u8]> for SourceLog {
    fn as_ref(&self) -> &[u8] {
        self.bytes()
    }
}

impl SourceLog {
    /// A log whose every event verified.
    pub(crate) fn verified(
        snapshot: LogSnapshot,
        start: Option<ReplayStart>,
        records: Option<ReplayRecords>,
        settled: bool,
    ) -> Self {
        Self {
            snapshot,
            start,
            records,
            settled,
        }
    }

    /// Whether it verified, and is what this machine remembers of the vault.
    pub(crate) fn is_settled(&self) -> bool {
        self.settled
    }

    /// Refuses a log that another program cut or edited in place since it verified: what was derived from it
    /// then proves nothing. Whoever reads the bytes or the lines, or queries, asks this after the last;
    /// [`SourceLog::beliefs`] and [`SourceLog::summary`] ask it themselves. (A log up to 16 MiB is a copy and never refused.)
    ///
    /// # Errors
    /// [`VaultError::LogChanged`], or [`VaultError::Io`].
    pub fn check_unchanged(&self) -> Result<(), VaultError> {
        self.snapshot.check_unchanged()
    }

    /// The state of the built-in reducer after every whole line of the log (spec/VAULT_FORMAT,
    /// section 6). A replay of a log that verified may go on from a recorded one, or from a checkpoint; the state is
    /// the same.
    ///
    /// # Errors
    /// [`VaultError::BrokenLog`] for a line that is no JSON object, and as [`SourceLog::check_unchanged`].
    pub fn beliefs(&self) -> Result<BeliefState, VaultError> {
        self.beliefs_watched(&|_, _| ControlFlow::Continue(()))
    }

    /// As [`SourceLog::beliefs`]; `watch` hears of the progress, from the thread that asked.
    ///
    /// # Errors
    /// As there, and [`VaultError::Cancelled`] once `watch` breaks.
    pub fn beliefs_watched(&self, watch: Watch<'_>) -> Result<BeliefState, VaultError> {
        let replayed = self.replayed(watch);
        // First of all: what it read may be why it failed.
        let read = match &replayed {
            Ok(Replayed::From(_, read)) => *read,
            _ => 0,
        };
        self.snapshot.check_unchanged_from(read)?;
        Ok(match replayed? {
            Replayed::From(state, _) => state,
            Replayed::Whole { state, record } => {
                // What another program had changed is not recorded.
                if let (Some(records), Some(reducer)) = (&self.records, record) {
                    records.store(&reducer, &self.snapshot);
                }
                state
            }
        })
    }

    fn replayed(&self, watch: Watch<'_>) -> Result<Replayed, VaultError> {
        if let Some(ReplayStart::Reduced(reducer)) = &self.start {
            return Ok(Replayed::Whole {
                state: self.printed(reducer)?,
                record: None,
            });
        }
        let records = self.records.as_ref();
        let recorded = records.and_then(|records| records.load(&self.snapshot));
        if let (None, Some(ReplayStart::From(vault, checkpoint))) = (&recorded, &self.start) {
            // It may not suffice: what it did counts for nothing until then.
            let watch = |_, total| watch(0, total);
            if let Some(state) = self.resumed(vault, checkpoint, &watch)? {
                return Ok(Replayed::From(state, checkpoint.length as usize));
            }
        }
        let outdated = recorded
            .as_ref()
            .is_none_or(|it| it.is_outdated(self.len()));
        let (start, from) = match recorded {
            Some(recorded) => (recorded.reducer, recorded.length),
            None => (LogReducer::new(), 0),
        };
        let reducer = self.reduced(start, from, watch)?;
        Ok(Replayed::Whole {
            state: self.printed(&reducer)?,
            record: outdated.then_some(reducer),
        })
    }

    /// As [`SourceLog::beliefs`], from the start, for a checkpoint of at most `most` bytes.
    ///
    /// # Errors
    /// As there, and [`VaultError::CheckpointTooLarge`].
    pub(crate) fn beliefs_within(&self, most: u64) -> Result<BeliefState, VaultError> {
        let bytes = usize::try_from(most).unwrap_or(usize::MAX);
        let reducer = self.reduced(LogReducer::new(), 0, &|_, _| ControlFlow::Continue(()));
        let state = reducer.map(|it| it.state_within(self.bytes(), bytes, available_threads()));
        self.check_unchanged()?;
        state?.map_err(|error| match error {
            Unprinted::TooLong => VaultError::CheckpointTooLarge { most },
            changed => unprinted(self.bytes(), changed),
        })
    }

    fn printed(&self, reducer: &LogReducer) -> Result<BeliefState, VaultError> {
        let state = reducer.state(self.bytes(), available_threads());
        state.map_err(|error| unprinted(self.bytes(), error))
    }

    /// The reducer after the whole log, from one of its first `from` bytes.
    fn reduced(
        &self,
        mut reducer: LogReducer,
        from: u64,
        watch: Watch<'_>,
    ) -> Result<LogReducer, VaultError> {
        let rest = &self.bytes()[from as usize..];
        if from > 0 && !rest.is_empty() && watch(from, self.len()).is_break() {
            return Err(VaultError::Cancelled);
        }
        let mut result = Ok(());
        // Reading is most of the work and needs no order; reducing does.
        let steps = |range: &[u8], offset| Steps::of(range, from + offset);
        let _ = in_order(rest, available_threads(), steps, |steps| {
            reducer.take(&steps);
            if let Some(reason) = steps.fault() {
                result = Err(VaultError::BrokenLog {
                    line: reducer.events() + 1,
                    offset: steps.end(),
                    reason: reason.to_owned(),
                });
                return ControlFlow::Break(());
            }
            let heard = watch(steps.end(), self.len());
            if heard.is_break() {
                result = Err(VaultError::Cancelled);
            }
            heard
        });
        result.map(|()| reducer)
    }

    /// The state, from a checkpoint and what follows it; `None` where that does not suffice.
    fn resumed(
        &self,
        vault: &Path,
        checkpoint: &Confirmed,
        watch: Watch<'_>,
    ) -> Result<Option<BeliefState>, VaultError> {
        let Some(mut reducer) = checkpoint.resume(vault) else {
            return Ok(None);
        };
        let mut events = checkpoint.events;
        let mut offset = checkpoint.length;
        for line in lines_of(&self.bytes()[checkpoint.length as usize..]) {
            let broken = |reason| VaultError::BrokenLog {
                line: events + 1,
                offset,
                reason,
            };
            let event = beliefs::view(line).map_err(|error| broken(error.to_string()))?;
            if event.as_object().is_none() {
                return Err(broken(format!("{} is no event", event.kind_name())));
            }
            reducer = match reducer.apply(&event) {
                Ok(reducer) => reducer,
                Err(_) => return Ok(None),
            };
            events += 1;
            offset += line.len() as u64 + 1;
            let told = events.is_multiple_of(1024) || offset >= self.len();
            if told && watch(offset, self.len()).is_break() {
                return Err(VaultError::Cancelled);
            }
        }
        Ok(Some(reducer.finish()))
    }

    /// How many events the log's whole lines are, by whom, of which types, and where the chains
    /// stand.
    ///
    /// # Errors
    /// [`VaultError::BrokenLog`] for a line that is no event, and as [`SourceLog::check_unchanged`].
    pub fn summary(&self) -> Result<Summary, VaultError> {
        self.summary_watched(&|_, _| ControlFlow::Continue(()))
    }

    /// As [`SourceLog::summary`]; `watch` hears of the progress, from the thread that asked.
    ///
    /// # Errors
    /// As there, and [`VaultError::Cancelled`] once `watch` breaks.
    pub fn summary_watched(&self, watch: Watch<'_>) -> Result<Summary, VaultError> {
        let summary = self.summed(watch);
        self.check_unchanged()?;
        summary
    }

    fn summed(&self, watch: Watch<'_>) -> Result<Summary, VaultError> {
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

/// What a replay came to.
enum Replayed {
    /// The state, and from which byte on the log was read for it.
    From(BeliefState, usize),
    /// The state, and the reducer if that is worth being recorded.
    Whole {
        state: BeliefState,
        record: Option<LogReducer>,
    },
}

/// Why the state after `log` is not there.
pub(crate) fn unprinted(log: &[u8], error: Unprinted) -> VaultError {
    let offset = match error {
        Unprinted::Changed(offset) => offset,
        Unprinted::TooLong => log.len() as u64,
    };
    let before = log.get(..offset as usize).unwrap_or(log);
    VaultError::BrokenLog {
        line: memchr::memchr_iter(b'\n', before).count() as u64 + 1,
        offset,
        reason: error.to_string(),
    }
}

/// Calls `take` with the line number, from 1, where it stands in `log` and the event of every line.
pub(crate) fn each_event(
    log: &[u8],
    mut take: impl FnMut(u64, Range<u64>, &Value<'_>) -> Result<(), VaultError>,
) -> Result<(), VaultError> {
    let mut offset: u64 = 0;
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
        let start = offset;
        offset += line.len() as u64;
        take(number, start..offset, &event)?;
    }
    Ok(())
}
