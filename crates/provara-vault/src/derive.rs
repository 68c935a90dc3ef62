//! What follows from the events of a log: beliefs, the summary, and what plugins make of it.

use std::ops::{ControlFlow, Deref};
use std::path::Path;

use provara_core::beliefs::{self, BeliefReducer, BeliefState, ResumedReducer};
use provara_core::json::{self, Value};
use provara_core::summary::Summary;

use crate::error::VaultError;
use crate::log_snapshot::{LogSnapshot, lines_of};
use crate::parallel::{available_threads, in_order};
use crate::replay_start::{Confirmed, ReplayStart};

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
    pub(crate) fn verified(snapshot: LogSnapshot, start: Option<ReplayStart>) -> Self {
        Self { snapshot, start }
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
    /// section 6). A log that was verified may know a checkpoint to go on from; the state is the same.
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
        let state = self.replayed(watch);
        // First of all: what it read may be why it failed.
        let read = state.as_ref().map_or(0, |(_, from)| *from);
        self.snapshot.check_unchanged_from(read)?;
        state.map(|(state, _)| state)
    }

    /// The state, and from which byte on the log was read for it.
    fn replayed(&self, watch: Watch<'_>) -> Result<(BeliefState, usize), VaultError> {
        match &self.start {
            Some(ReplayStart::State(state)) => return Ok((state.clone(), self.bytes().len())),
            Some(ReplayStart::From(vault, checkpoint)) => {
                // It may not suffice: what it did counts for nothing until then.
                let watch = |_, total| watch(0, total);
                if let Some(state) = self.resumed(vault, checkpoint, &watch)? {
                    return Ok((state, checkpoint.length as usize));
                }
            }
            None => {}
        }
        Ok((self.reduced(watch)?.finish(), 0))
    }

    /// As [`SourceLog::beliefs`], from the start, for a checkpoint of at most `most` bytes.
    ///
    /// # Errors
    /// As there, and [`VaultError::CheckpointTooLarge`].
    pub(crate) fn beliefs_within(&self, most: u64) -> Result<BeliefState, VaultError> {
        let reducer = self.reduced(&|_, _| ControlFlow::Continue(()));
        self.check_unchanged()?;
        let bytes = usize::try_from(most).unwrap_or(usize::MAX);
        let state = reducer?.finish_within(bytes);
        state.map_err(|_| VaultError::CheckpointTooLarge { most })
    }

    fn reduced(&self, watch: Watch<'_>) -> Result<BeliefReducer, VaultError> {
        let mut reducer = BeliefReducer::new();
        self.each_view(0, 0, watch, |event| {
            reducer.apply(event);
            ControlFlow::Continue(())
        })?;
        Ok(reducer)
    }

    /// The state, from a checkpoint and what follows it; `None` where that does not suffice.
    fn resumed(
        &self,
        vault: &Path,
        checkpoint: &Confirmed,
        watch: Watch<'_>,
    ) -> Result<Option<BeliefState>, VaultError> {
        let mut reducer = checkpoint.resume(vault);
        if reducer.is_some() {
            let from = checkpoint.length as usize;
            self.each_view(from, checkpoint.events, watch, |event| {
                reducer = reducer.take().and_then(|it| it.apply(event).ok());
                match reducer {
                    Some(_) => ControlFlow::Continue(()),
                    None => ControlFlow::Break(()),
                }
            })?;
        }
        Ok(reducer.map(ResumedReducer::finish))
    }

    /// Calls `take` with what the reducer reads of each event from byte `from` on, which `read` events
    /// precede, until it breaks.
    fn each_view(
        &self,
        from: usize,
        mut read: u64,
        watch: Watch<'_>,
        mut take: impl FnMut(&Value<'_>) -> ControlFlow<()>,
    ) -> Result<(), VaultError> {
        let mut result = Ok(());
        // Parsing is most of the work and needs no order; reducing does.
        let view = |range, offset| events_of(range, from as u64 + offset);
        let rest = &self.bytes()[from..];
        let _ = in_order(rest, available_threads(), view, |(events, end, fault)| {
            events.iter().try_for_each(&mut take)?;
            read += events.len() as u64;
            if let Some(reason) = fault {
                result = Err(VaultError::BrokenLog {
                    line: read + 1,
                    offset: end,
                    reason,
                });
                return ControlFlow::Break(());
            }
            let heard = watch(end, self.len());
            if heard.is_break() {
                result = Err(VaultError::Cancelled);
            }
            heard
        });
        result
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

/// Calls `take` with the line number, from 1, the offset of the line's end and the event of every line
/// of `log`.
pub(crate) fn each_event(
    log: &[u8],
    mut take: impl FnMut(u64, u64, &Value<'_>) -> Result<(), VaultError>,
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
        offset += line.len() as u64;
        take(number, offset, &event)?;
    }
    Ok(())
}
