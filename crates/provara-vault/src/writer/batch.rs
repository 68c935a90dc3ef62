//! Many events at once: signed on all cores, synced in groups, sealed at intervals and at the end.
//!
//! An event's content is written in canonical form and checked on all cores, and is then given its place
//! by one thread, as ids chain. While the next events are taken, groups of such events are signed on all
//! cores; while the next group is signed, those before it are written and synced. Only what is durable
//! *and* sealed is acknowledged with a receipt.
//!
//! The order of changes is that of single appends but for the seal, which is prepared after the
//! groups that it covers are durable: it lags, never leads. A crash leaves whole events beyond the
//! seal, and perhaps a torn tail, which the next writer takes up as it does after any other crash.
//!
//! What binds events to those before them: the first after a seal names that seal, and each of the others
//! follows the event in the line before, as its actor's own (`prev_event_hash`) or by `after`. So of what
//! lies beyond whichever `manifest.sig` a crash leaves, only the end can be missing.

mod options;
mod pipeline;
mod repeats;
mod sealing;
mod turn;

pub use options::{BatchOptions, BatchReceipt, Rejected};
pub use turn::LastSeen;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use provara_core::id::{Digest, EventId, KeyId};
use provara_core::keys::Keyfile;
use provara_core::number_rule::Spellings;
use provara_core::time::Timestamp;
use provara_core::verify::CLOSING_TYPE;

use crate::append::{AppendReceipt, AppendRequest, spelling_notes};
use crate::error::{Context, VaultError};
use crate::idempotency::EventPlace;
use crate::index::Actor;
use crate::writer::LogWriter;
use crate::writer::payload::speaks_of_others;
use crate::writer::prepare::Prepared;
use crate::writer::repeat::{Asked, Said};
use provara_core::parallel::{self, available_threads};

use pipeline::{Group, LogEnd, MOST_WAITING, Pipeline, Queued, Refused, Signers};
use turn::{Away, PIECE};

/// How long the lines of a group may get, in bytes (but for one long line).
const GROUP_BYTES: u64 = 4 << 20;

/// Appends many events; made by [`LogWriter::batch`]. Events that were taken and not finished are
/// lost when it is dropped, but for the groups that are on the disk or on their way to it.
#[derive(Debug)]
pub struct BatchWriter<'v> {
    writer: LogWriter<'v>,
    keyfile: &'v Keyfile,
    options: BatchOptions,
    threads: usize,
    /// Placed, and neither signed nor written.
    queue: Vec<Queued>,
    /// Written or on their way, and not sealed.
    unsealed: Vec<AppendReceipt>,
    /// The leaves of what is durable and not sealed.
    leaves: Vec<Digest>,
    receipts: Vec<AppendReceipt>,
    /// Made anew after an event that was appended without it.
    pipeline: Option<Pipeline>,
    /// The log's length as far as it was handed to the pipeline.
    handed: u64,
    sealed_at: Instant,
    /// Whether the log has what the seal has not.
    lags: bool,
    started: bool,
    /// Set while others may write.
    away: Option<Away>,
    /// Since when it has held the lock.
    turn_since: Instant,
    /// How long it took to find out what others had left.
    return_took: Duration,
    /// The events of others that came meanwhile.
    others: u64,
    events: u64,
    /// How many of them had their data wrapped.
    wrapped: u64,
    /// How many numbers in them are not spelled as they were given.
    spellings: Spellings,
    /// How many of them have a time that goes backwards, and the latest time before one of those.
    backwards: (u64, Option<Timestamp>),
    durable_events: u64,
    sealed_events: u64,
    last: Option<(EventId, KeyId)>,
    /// How many events of a dry run need the log before them to be judged wholly.
    unjudged: u64,
    /// What the events under an idempotency key say that are not durable yet, and their ids and lines.
    fresh: HashMap<Digest, (Said, EventId, u64)>,
    /// Requests for events that are there, whose receipts follow those of so many events of the batch.
    repeats: Vec<(u64, EventPlace)>,
    repeated: u64,
    /// The line of the last of them.
    last_line: Option<u64>,
    /// The event of this batch that closes the vault.
    closing: Option<EventId>,
    /// Whether it could not take its turn again.
    not_resumed: bool,
}

impl<'v> LogWriter<'v> {
    /// Begins a batch that signs with keys of `keyfile`.
    #[must_use]
    pub fn batch(self, keyfile: &'v Keyfile, options: BatchOptions) -> BatchWriter<'v> {
        BatchWriter {
            handed: self.index.len,
            writer: self,
            keyfile,
            options,
            threads: available_threads(),
            queue: Vec::new(),
            unsealed: Vec::new(),
            leaves: Vec::new(),
            receipts: Vec::new(),
            pipeline: None,
            sealed_at: Instant::now(),
            lags: false,
            started: false,
            away: None,
            turn_since: Instant::now(),
            return_took: Duration::ZERO,
            others: 0,
            events: 0,
            wrapped: 0,
            spellings: Spellings::default(),
            backwards: (0, None),
            durable_events: 0,
            sealed_events: 0,
            last: None,
            unjudged: 0,
            fresh: HashMap::new(),
            repeats: Vec::new(),
            repeated: 0,
            last_line: None,
            closing: None,
            not_resumed: false,
        }
    }
}

impl BatchWriter<'_> {
    /// Takes the next events, in this order.
    ///
    /// # Errors
    /// The first request that cannot be appended, and why; those before it are taken and
    /// [`BatchWriter::finish`] writes them (but for an atomic batch, which is then over). A disk that
    /// refuses ends the batch with [`VaultError::BatchEnded`], whichever request it met.
    pub fn append(&mut self, requests: Vec<AppendRequest<'_>>) -> Result<(), Rejected> {
        self.take(requests, &mut Err).map_err(|rejected| Rejected {
            index: rejected.index,
            error: self.ended(rejected.error),
        })
    }

    /// As [`BatchWriter::append`], and goes on after a request that is refused for what it is itself; tells
    /// `refuse` of those, in their order.
    ///
    /// # Errors
    /// What stands against every request, or ends the batch.
    pub fn append_each(
        &mut self,
        requests: Vec<AppendRequest<'_>>,
        refuse: &mut dyn FnMut(Rejected),
    ) -> Result<(), Rejected> {
        let taken = self.take(requests, &mut |rejected| {
            match rejected.error.is_of_request() {
                true => refuse(rejected),
                false => return Err(rejected),
            }
            Ok(())
        });
        taken.map_err(|rejected| Rejected {
            index: rejected.index,
            error: self.ended(rejected.error),
        })
    }

    fn take(
        &mut self,
        requests: Vec<AppendRequest<'_>>,
        refuse: &mut dyn FnMut(Rejected) -> Result<(), Rejected>,
    ) -> Result<(), Rejected> {
        let mut from = 0;
        let mut rest = requests.into_iter().peekable();
        while rest.peek().is_some() {
            let between = |error| Rejected { index: from, error };
            if self.turn_is_over() {
                self.put_down().map_err(between)?;
                self.go_away();
            }
            self.come_back().map_err(between)?;
            let mut run = Vec::with_capacity(rest.len().min(PIECE));
            while run.len() < PIECE
                && let Some(request) = rest.next_if(|it| !speaks_of_others(&it.event_type))
            {
                run.push(request);
            }
            let length = run.len();
            self.append_run(run, from, refuse)?;
            from += length;
            if let Some(request) = rest.next_if(|it| speaks_of_others(&it.event_type)) {
                if let Err(error) = self.append_alone(&request) {
                    self.refused(Rejected { index: from, error }, refuse)?;
                }
                from += 1;
            }
        }
        Ok(())
    }

    /// Writes and seals what was taken so far, because the next events may be long in coming, and lets other
    /// writers in until they come. An atomic batch waits for its end.
    ///
    /// # Errors
    /// [`VaultError::BatchEnded`] where the disk refuses, and [`VaultError::Stopped`] if it did before.
    pub fn pause(&mut self) -> Result<(), VaultError> {
        if self.options.atomic || self.options.dry_run {
            return Ok(());
        }
        self.put_down().map_err(|error| self.ended(error))?;
        self.go_away();
        Ok(())
    }

    /// Writes and seals what was taken.
    fn put_down(&mut self) -> Result<(), VaultError> {
        self.writer.refuse_if_stopped()?;
        self.flush()?;
        self.seal()
    }

    /// How the batch stands where a disk has ended it by `error`; any other error is what it was.
    fn ended(&self, error: VaultError) -> VaultError {
        let source = match self.writer.log.blame(error) {
            VaultError::LogLost { path, loss, .. } => {
                return VaultError::LogLost {
                    path,
                    loss,
                    acknowledged: self.sealed_events,
                };
            }
            VaultError::SealLags { source, .. } => source,
            error if self.not_resumed && !matches!(error, VaultError::Stopped) => {
                return VaultError::NotResumed {
                    acknowledged: self.sealed_events,
                    source: Box::new(error),
                };
            }
            error if self.writer.stopped && !matches!(error, VaultError::Stopped) => {
                Box::new(error)
            }
            error => return error,
        };
        VaultError::BatchEnded {
            durable: self.durable_events,
            sealed: self.sealed_events,
            source,
        }
    }

    /// Tells of a request that was refused. A batch that has ended goes on for nobody.
    fn refused(
        &self,
        rejected: Rejected,
        refuse: &mut dyn FnMut(Rejected) -> Result<(), Rejected>,
    ) -> Result<(), Rejected> {
        let error = match rejected.error {
            VaultError::Closed { event_id }
                if Some(event_id) == self.closing && self.may_never_be_written() =>
            {
                VaultError::ClosedByBatch
            }
            error => error,
        };
        let rejected = Rejected { error, ..rejected };
        match self.writer.stopped {
            true => Err(rejected),
            false => refuse(rejected),
        }
    }

    /// Whether what was taken may come to nothing, so that its ids mean nothing to anybody.
    pub(super) fn may_never_be_written(&self) -> bool {
        self.options.dry_run || self.options.atomic
    }

    /// Appends `requests`, the first of which is the one of `from`.
    fn append_run(
        &mut self,
        requests: Vec<AppendRequest<'_>>,
        from: usize,
        refuse: &mut dyn FnMut(Rejected) -> Result<(), Rejected>,
    ) -> Result<(), Rejected> {
        let (writer, keyfile) = (&self.writer, self.keyfile);
        let made = parallel::map(requests, self.threads, |request| {
            let keyed = Asked::of(&request, None)?;
            let keyed = keyed.map(|asked| Box::new((asked, request.key_id)));
            let prepared = writer.prepare(request, keyfile, None);
            let prepared = prepared.and_then(|prepared| {
                // What a reader would refuse is not written.
                let checked = prepared.content.check();
                checked.map_err(|reason| VaultError::Unwritable {
                    reason: reason.to_string(),
                })?;
                Ok(prepared)
            });
            Ok((keyed, prepared))
        });
        for (index, made) in made.into_iter().enumerate() {
            let taken = match made {
                Ok((None, prepared)) => prepared.and_then(|it| self.enqueue(it)).map(drop),
                Ok((Some(keyed), prepared)) => self.admit(keyed.0, keyed.1, prepared),
                Err(error) => Err(error),
            };
            if let Err(error) = taken {
                let index = from + index;
                self.refused(Rejected { index, error }, refuse)?;
            }
        }
        Ok(())
    }

    /// Appends an event that needs all before it in the log.
    fn append_alone(&mut self, request: &AppendRequest<'_>) -> Result<(), VaultError> {
        if self.options.atomic {
            return Err(VaultError::NotInAtomicBatch {
                event_type: request.event_type.as_str().to_owned(),
            });
        }
        if self.options.dry_run {
            return self.judge_alone(request);
        }
        self.flush()?;
        // It names the seal of all that stands before it.
        self.seal()?;
        self.pipeline = None;
        let appended = self.writer.append(request, self.keyfile);
        match &appended {
            Ok(receipt) if receipt.repeated => {}
            Ok(_) | Err(VaultError::SealLags { .. }) => {
                self.events += 1;
                self.durable_events = self.events;
            }
            // The log is as it was; yet what is refused here is no fault of the request.
            Err(VaultError::Io { .. }) => self.writer.stopped = true,
            Err(_) => {}
        }
        let receipt = appended?;
        if receipt.repeated {
            self.repeated += 1;
            self.receipts
                .extend(self.options.receipts.then_some(receipt));
            return Ok(());
        }
        self.handed = self.writer.index.len;
        self.last = Some((receipt.event_id, receipt.key_id));
        self.last_line = Some(receipt.line);
        self.writer.notes.extend(receipt.notes.iter().cloned());
        self.acknowledge(receipt.merkle_root)?;
        if self.options.receipts {
            self.receipts.push(receipt);
        }
        Ok(())
    }

    /// What can be said of such an event before those that were taken are in the log.
    fn judge_alone(&mut self, request: &AppendRequest<'_>) -> Result<(), VaultError> {
        let prepared = self.writer.prepare(request.clone(), self.keyfile, None)?;
        let checked = prepared.content.check();
        checked.map_err(|reason| VaultError::Unwritable {
            reason: reason.to_string(),
        })?;
        self.unjudged += 1;
        self.enqueue(prepared).map(drop)
    }

    /// Gives an event its place after those before it.
    fn enqueue(&mut self, prepared: Prepared) -> Result<(EventId, EventPlace), VaultError> {
        let writer = &mut self.writer;
        writer.refuse_if_stopped()?;
        if let Some(event_id) = writer.index.closed {
            return Err(VaultError::Closed { event_id });
        }
        let (place, later) = writer.next_place(&prepared.actor, prepared.content.actor())?;
        let (events, latest) = &mut self.backwards;
        *events += u64::from(later.is_some());
        *latest = later.max(*latest);
        if !self.started {
            self.started = true;
            if writer.index.unterminated {
                // The last event is whole but for its line end, which the first group adds.
                writer.index.len += 1;
                let note = "the last event lacked its line end; it was added";
                let done = !self.options.dry_run;
                writer.notes.extend(done.then(|| note.to_owned()));
            }
        }
        let event = prepared.content.place(&place)?;
        let id = event.id;
        let state = Actor {
            head: id,
            // 2^53 - 1 at most, as the event could be placed.
            ts_logical: i64::try_from(place.ts_logical).ok(),
            timestamp: Some(place.timestamp),
        };
        let closes = prepared.event_type.as_str() == CLOSING_TYPE;
        self.closing = self.closing.or(closes.then_some(id));
        let length = event.line_length() as u64;
        let actor = prepared.content.actor();
        let offset = writer.index.len;
        writer.index.advance(actor, state, closes, length);
        let line = writer.index.lines;
        let there = (id, EventPlace { offset, line });
        let (key_id, wrapped) = (prepared.key_id, prepared.wrapped);
        self.events += 1;
        self.wrapped += u64::from(wrapped);
        self.spellings += prepared.spellings;
        if self.options.dry_run {
            return Ok(there);
        }
        let receipt = self
            .options
            .receipts
            .then(|| Box::new(prepared.into_receipt(id, &place, line)));
        self.queue.push(Queued {
            event,
            key_id,
            receipt,
        });
        self.last = Some((id, key_id));
        self.last_line = Some(self.writer.index.lines);
        let queued = self.writer.index.len - self.handed;
        let full = self.queue.len() >= self.options.group || queued >= GROUP_BYTES;
        if full && !self.options.atomic {
            self.flush()?;
            if self.sealed_at.elapsed() >= self.options.seal_interval {
                self.seal()?;
            }
        }
        Ok(there)
    }

    /// Hands what is queued to the pipeline, and takes note of what has durable.
    fn flush(&mut self) -> Result<(), VaultError> {
        if self.queue.is_empty() {
            return Ok(());
        }
        let writer = &mut self.writer;
        let pipeline = match &mut self.pipeline {
            Some(pipeline) => pipeline,
            none => {
                writer.recover().inspect_err(|_| writer.stopped = true)?;
                let signers = Signers {
                    keyfile: self.keyfile.clone(),
                    threads: self.threads,
                };
                let end = LogEnd {
                    layer: writer.vault.shared_layer(),
                    log: Arc::clone(&writer.log),
                    path: writer.path.clone(),
                    length: self.handed,
                    hasher: writer.hasher.clone(),
                };
                none.insert(Pipeline::to(signers, end))
            }
        };
        pipeline.push(Group {
            events: std::mem::take(&mut self.queue),
            length: writer.index.len - self.handed,
        });
        self.handed = writer.index.len;
        self.lags = true;
        self.collect(MOST_WAITING)
    }

    /// Waits until what was handed to the pipeline is durable.
    fn settle(&mut self) -> Result<(), VaultError> {
        self.collect(0)
    }

    /// Takes note of what is durable, and waits while more than `most` bytes are on their way to that. A
    /// refusal stops the writer.
    fn collect(&mut self, most: u64) -> Result<(), VaultError> {
        while let Some(result) = self.pipeline.as_mut().and_then(|it| it.durable(most)) {
            let refused = match result {
                Ok(durable) => {
                    self.durable_events += durable.events;
                    for leaf in &durable.leaves {
                        self.writer.index.tree.push(*leaf);
                    }
                    self.leaves.extend(durable.leaves);
                    self.writer.hasher = durable.hasher;
                    self.unsealed.extend(durable.receipts);
                    continue;
                }
                Err(refused) => refused,
            };
            self.pipeline = None;
            self.writer.stopped = true;
            let path = &self.writer.path;
            return match refused {
                Refused::Lost(error) => Err(*error),
                Refused::Write(source) => Err(source).context("write to", path),
                Refused::Sync(source) => Err(VaultError::Sync {
                    path: path.clone(),
                    source,
                }),
            };
        }
        Ok(())
    }

    /// The receipts of events that became durable and sealed since they were last asked for.
    pub fn take_receipts(&mut self) -> Vec<AppendReceipt> {
        std::mem::take(&mut self.receipts)
    }

    /// Writes, syncs and seals everything that was taken. Further events may follow.
    ///
    /// # Errors
    /// [`VaultError::BatchEnded`] where the disk refuses, and [`VaultError::Stopped`] if it did before.
    pub fn finish(&mut self) -> Result<BatchReceipt, VaultError> {
        if !self.options.dry_run {
            self.put_down().map_err(|error| self.ended(error))?;
        }
        if self.away.is_none() && !self.options.dry_run {
            self.writer.remember(self.keyfile);
        }
        let counted = |count: u64| match count {
            1 => "1 event".to_owned(),
            more => format!("{more} events"),
        };
        if let (events, Some(before)) = std::mem::take(&mut self.backwards) {
            self.writer.notes.push(format!(
                "the system clock is behind the last events of actors (as late as {before}): the time of \
                 {} goes backwards",
                counted(events)
            ));
        }
        if self.wrapped > 0 {
            self.writer.notes.push(format!(
                "the data of {} does not have both 'subject' and 'predicate', so it became the 'value' of \
                 the payload, and what is absent was filled in",
                counted(std::mem::take(&mut self.wrapped))
            ));
        }
        if self.unjudged > 0 {
            self.writer.notes.push(format!(
                "{} of keys or redactions: whether they fit the log is judged when they are appended",
                counted(std::mem::take(&mut self.unjudged))
            ));
        }
        let spellings = spelling_notes(std::mem::take(&mut self.spellings));
        self.writer.notes.extend(spellings);
        Ok(BatchReceipt {
            events: self.events,
            last_event_id: self.last.map(|(id, _)| id),
            last_line: self.last_line.unwrap_or(self.writer.index.lines),
            others: self.others,
            merkle_root: self.writer.root_before(),
            // Where there was nothing to write, nothing of what was found was put right.
            notes: match self.events {
                0 => Vec::new(),
                _ => self.writer.take_notes(),
            },
            repeated: self.repeated,
        })
    }
}
