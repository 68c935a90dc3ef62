//! `provara append --batch`: many events from records.
//!
//! Records are taken in groups. A group is parsed on all cores, checked against schemas, its plugins' own
//! `validate` is asked in one warm host, and then it is handed to the vault's batch writer.

mod array;
mod lines;
mod place;
mod record;
mod rejected;
mod rejects;
mod source;
mod types;
mod wrapped;

use std::borrow::Cow;
use std::io::{self, IsTerminal as _};
use std::num::NonZero;
use std::os::fd::AsFd;
use std::path::Path;
use std::thread::available_parallelism;
use std::time::{Duration, Instant};

use provara_core::number_policy::{Conversions, NumberPolicy};
use provara_explain::{append_failure, vault_failure};
use provara_plugins::interrupt::Guard;
use provara_report::{Class, Diagnostic};
use provara_vault::{
    AppendRequest, BatchOptions, BatchReceipt, BatchWriter, LogWriter, Rejected, VaultError,
    parallel_map,
};
use serde_json::json;

pub(super) use array::ArrayPath;
use lines::{Broken, Group, Records, Stop};
use place::{Place, Placed};
use record::{Form, Item, Parsed, Refusal, code_of, parse};
use rejects::Rejects;
use source::Source;
use types::Types;
use wrapped::Documents;

use super::AppendArgs;
use crate::form;
use crate::numbers;
use crate::progress::Progress;
use crate::terminal::{self, GOOD};
use crate::text::counted;
use crate::vault;

/// How long events that were taken wait until they are sealed.
const SEAL_INTERVAL: Duration = Duration::from_secs(1);

pub(super) fn run(args: &AppendArgs, source: &str) -> Result<(), Diagnostic> {
    let path = &args.vault.vault;
    let vault = vault::open_to_append(path, args.lock)?;
    let actor = vault::actor(args.actor.as_deref())?;
    let keyfile = vault::keyfile(&vault, args.key.keyfile.as_deref())?;
    let source = Source::open(source)?;
    let policy = args.numbers.policy()?;
    let rejects = args.rejects.as_deref();
    rejects.map_or(Ok(()), |rejects| Rejects::check(rejects, &vault))?;

    let failed = |error| vault_failure(error, path);
    let writer = match args.dry_run {
        true => LogWriter::open_to_judge(&vault),
        false => LogWriter::open_with(&vault, &keyfile),
    };
    let options = BatchOptions {
        atomic: args.atomic,
        receipts: args.json.json && !args.dry_run,
        dry_run: args.dry_run,
        ..BatchOptions::default()
    };
    let mut batch = writer.map_err(failed)?.batch(&keyfile, options);
    // From here on a signal ends the reading, and what was read before is sealed. Who waits for the
    // lock of another writer is ended by it at once.
    let records = Records::of(source, args.records.as_ref())?;
    let rejects = rejects.map(|rejects| Rejects::prepare(rejects, &vault));
    let mut feeder = Feeder {
        args,
        actor: &actor,
        records,
        types: Types::new(args, &vault),
        rejects: rejects.transpose()?,
        progress: Progress::new(),
        policy,
        converted: Conversions::default(),
        documents: Documents::default(),
        refused: 0,
        taken: 0,
        unkeyed: false,
    };
    let fed = feeder.feed(&mut batch);
    feeder.progress.clear();
    let note = feeder.documents.note();
    note.iter().for_each(|note| terminal::note(note));
    let guard = &feeder.records.guard;
    // A host that failed before has ended already; what it failed with is the reason that counts.
    let ended = feeder.types.finish().map_err(End::Host);
    let end = match fed.and(ended) {
        Err(End::Disk(failure)) => {
            // What is sealed has its receipt all the same.
            let _ = print_receipts(batch.take_receipts(), guard);
            feeder.rejects.map_or(Ok(()), Rejects::commit)?;
            return Err(failure);
        }
        Err(end) if args.atomic => {
            return Err(end.after("nothing was appended (--atomic)", guard));
        }
        fed => fed,
    };
    let finished = batch.finish();
    let printed = print_receipts(batch.take_receipts(), guard).map_err(End::Unprinted);
    // Whatever became of the batch, what was refused is told.
    let (rejected, written) = match feeder.rejects {
        Some(rejects) => (rejects.count, rejects.commit()),
        None => (0, Ok(())),
    };
    let receipt = finished.map_err(failed)?;
    receipt.notes.iter().for_each(|note| terminal::note(note));
    numbers::notes(&feeder.policy, feeder.converted).for_each(|note| terminal::note(&note));
    let done = done(args, &receipt, rejected);
    let again = Again::of(&receipt, feeder.unkeyed, args.dry_run);
    end.and(printed).map_err(|end| {
        let goes_on = end.goes_on();
        match (end.after(&done, guard), goes_on) {
            (failure, true) => failure.reword_fix(|fix| again.and_then(fix)),
            (failure, false) => failure,
        }
    })?;
    written
        .map_err(|failure| failure.within(&format!("The refused records are not kept; {done}")))?;
    told(args, &receipt, rejected, &done)?;
    match rejected {
        0 => Ok(()),
        count => Err(some_refused(args, count, &done, again)),
    }
}

/// How a batch is asked for once more when something in it was corrected.
#[derive(Clone, Copy)]
enum Again {
    /// The log has nothing of it.
    Nothing,
    /// Everything of it that is in the log has an idempotency key: the same again is not appended again.
    Keyed,
    /// Something of it would be appended a second time.
    Unkeyed,
}

impl Again {
    fn of(receipt: &BatchReceipt, unkeyed: bool, dry_run: bool) -> Self {
        match (receipt.events + receipt.repeated, unkeyed) {
            _ if dry_run => Self::Nothing,
            (0, _) => Self::Nothing,
            (_, false) => Self::Keyed,
            (_, true) => Self::Unkeyed,
        }
    }

    /// How a batch goes on that ended before its input did, once what helps against that was done.
    fn and_then(self, fix: &str) -> String {
        match self {
            Self::Nothing => fix.to_owned(),
            Self::Keyed => format!(
                "{fix} Then run the whole batch again, with the same options: what is in the log has idempotency \
                 keys, and is not appended again."
            ),
            Self::Unkeyed => format!(
                "{fix} Then append what is not in yet, from there on: the whole batch would append again what is \
                 in the log, where records have no idempotency keys."
            ),
        }
    }
}

/// What became of a batch, in a clause.
fn done(args: &AppendArgs, receipt: &BatchReceipt, rejected: u64) -> String {
    let mut done = match (receipt.events, receipt.last_event_id) {
        (0, _) => "nothing was appended".to_owned(),
        (events, _) if args.dry_run => {
            format!(
                "{} would be appended, and nothing was (--dry-run)",
                counted(events, "event")
            )
        }
        (1, Some(id)) => format!("1 event of the batch is in and sealed, {id}"),
        (events, id) => format!(
            "{} of the batch are in and sealed, the last of them {}",
            counted(events, "event"),
            id.map_or_else(String::new, |id| id.to_string()),
        ),
    };
    if receipt.repeated > 0 {
        done.push_str(&format!(
            "; {} had been appended before",
            counted(receipt.repeated, "event")
        ));
    }
    if rejected > 0 {
        done.push_str(&format!("; {} refused", were(rejected)));
    }
    done
}

fn were(records: u64) -> String {
    let verb = if records == 1 { "was" } else { "were" };
    format!("{} {verb}", counted(records, "record"))
}

/// Tells what became of a batch.
fn told(
    args: &AppendArgs,
    receipt: &BatchReceipt,
    rejected: u64,
    done: &str,
) -> Result<(), Diagnostic> {
    if args.json.json {
        if !args.dry_run {
            return Ok(());
        }
        let judged = json!({
            "dry_run": true,
            "events": receipt.events,
            "repeated": receipt.repeated,
            "refused": rejected,
        });
        return terminal::receipt_json(done, &judged);
    }
    let events = counted(receipt.events, "event");
    let first = receipt.last_line + 1 - receipt.events.min(receipt.last_line);
    let mut text = match receipt.events {
        _ if args.dry_run => format!("{GOOD}Would append{GOOD:#} {events}; nothing was appended\n"),
        0 if receipt.repeated + rejected == 0 => {
            format!("{GOOD}Appended{GOOD:#} nothing: the batch is empty\n")
        }
        0 => format!("{GOOD}Appended{GOOD:#} nothing\n"),
        1 => format!("{GOOD}Appended{GOOD:#} {events}\n  line         {first}\n"),
        _ if receipt.others > 0 => format!(
            "{GOOD}Appended{GOOD:#} {events}\n  last line    {}\n  {} of other writers came meanwhile\n",
            receipt.last_line,
            counted(receipt.others, "event"),
        ),
        _ => format!(
            "{GOOD}Appended{GOOD:#} {events}\n  lines        {first} to {}\n",
            receipt.last_line
        ),
    };
    if receipt.repeated > 0 {
        text.push_str(&format!("  there before {}\n", receipt.repeated));
    }
    if let Some(path) = &args.rejects {
        text.push_str(&format!("  refused      {rejected}{}\n", told_where(path)));
    }
    if !args.dry_run {
        text.push_str(&format!("  Merkle root  {}\n", receipt.merkle_root));
    }
    terminal::receipt(done, &text)
}

fn told_where(path: &Path) -> String {
    format!(" (in {})", terminal::clean(&path.to_string_lossy()))
}

/// The batch is in but for some records.
fn some_refused(args: &AppendArgs, count: u64, done: &str, again: Again) -> Diagnostic {
    let path = args.rejects.as_deref().unwrap_or(Path::new("-"));
    let shown = provara_report::shell(path);
    let verb = if count == 1 { "was" } else { "were" };
    let refused = format!("{} of the batch {verb} refused", counted(count, "record"));
    let done = done.split("; ").filter(|part| !part.ends_with(" refused"));
    let done: Vec<_> = done.collect();
    let how = match again {
        Again::Nothing => "Correct them where the batch came from, and run it again.",
        Again::Keyed => {
            "Correct them where the batch came from, and run the whole batch again, with the same options: what \
             is in the log has idempotency keys, and is not appended again."
        }
        Again::Unkeyed => {
            "Correct them, and append those alone, in a new batch: the whole one would append again what is in \
             the log, where records have no idempotency keys. (Tools that read numbers as doubles, as some \
             versions of jq do, change them.)"
        }
    };
    Diagnostic::new(Class::Usage, format!("{refused}; {}.", done.join("; "))).fix(format!(
        "Each stands with its line and its reason in {shown}. {how}"
    ))
}

/// Hands the records of the input to the writer.
struct Feeder<'a> {
    args: &'a AppendArgs,
    actor: &'a str,
    records: Records,
    types: Types<'a>,
    rejects: Option<Rejects>,
    progress: Progress,
    policy: NumberPolicy,
    converted: Conversions,
    documents: Documents,
    refused: u64,
    taken: u64,
    /// Whether a record without an idempotency key is in.
    unkeyed: bool,
}

impl Feeder<'_> {
    /// Up to the end of the input, or the first record that cannot be appended where nothing is kept of those.
    fn feed(&mut self, batch: &mut BatchWriter<'_>) -> Result<(), End> {
        let failed = |error| vault_failure(error, &self.args.vault.vault);
        // When the first event was taken that may not be sealed yet.
        let mut since: Option<Instant> = None;
        loop {
            let limit = since.map(|since| SEAL_INTERVAL.saturating_sub(since.elapsed()));
            let (group, stop) = match self.records.group(limit) {
                Ok(group) => (group, None),
                Err(broken) => {
                    let Broken { records, stop } = *broken;
                    let ended = true;
                    (Group { records, ended }, Some(End::of(stop)))
                }
            };
            since.get_or_insert_with(Instant::now);
            self.group(&group.records, batch)?;
            if since.is_some_and(|since| since.elapsed() >= SEAL_INTERVAL) {
                let paused = batch.pause();
                paused.map_err(|error| End::Disk(failed(error)))?;
                since = None;
            }
            print_receipts(batch.take_receipts(), &self.records.guard).map_err(End::Unprinted)?;
            match stop {
                Some(end) => return Err(end),
                None if group.ended => return Ok(()),
                None => {}
            }
            let at = self.records.progress();
            self.progress.count(self.taken, "events", at);
        }
    }

    /// Takes the records of a group.
    fn group(&mut self, group: &[Placed], batch: &mut BatchWriter<'_>) -> Result<(), End> {
        let threads = available_parallelism().map_or(1, NonZero::get);
        let form = match &self.args.event_type {
            None => Form::Whole,
            Some(type_name) => Form::Bare {
                type_name,
                key: self.args.idempotency_key_from.as_deref(),
            },
        };
        let parsed = parallel_map(group.iter().collect(), threads, |(place, text)| {
            parse(text, *place, form, &self.policy)
        });
        self.look_for_documents(group, &parsed);
        let going_on = self.rejects.is_some();
        let items = self.types.check(parsed, &self.policy, threads, going_on);
        let mut requests = Vec::with_capacity(items.len());
        let mut places = Vec::with_capacity(if going_on { items.len() } else { 0 });
        let mut refused = Vec::new();
        let mut keyless = Vec::with_capacity(items.len());
        let mut changes = Vec::with_capacity(items.len());
        for (at, item) in items.into_iter().enumerate() {
            match item {
                Ok(item) => {
                    keyless.push(item.idempotency_key.is_none());
                    changes.push(item.converted);
                    requests.push(self.request(item));
                    if going_on {
                        places.push(at);
                    }
                }
                Err(refusal) => refused.push((at, refusal)),
            }
        }
        let failed = |error| append_failure(error, &self.args.vault.vault, &self.policy);
        let ended = |rejected: Rejected, at: usize| match rejected.error {
            error @ (VaultError::BatchEnded { .. }
            | VaultError::NotResumed { .. }
            | VaultError::LogLost { .. }) => End::Disk(failed(error)),
            error => End::Record(group[at].0, failed(error)),
        };
        self.taken += requests.len() as u64;
        if !going_on {
            let appended = batch.append(requests);
            let taken = appended
                .as_ref()
                .map_or_else(|it| it.index, |()| changes.len());
            changes[..taken].iter().for_each(|it| self.converted += *it);
            self.unkeyed |= keyless[..taken].contains(&true);
            appended.map_err(|it| {
                let at = it.index;
                ended(it, at)
            })?;
            let last = refused.pop();
            return last.map_or(Ok(()), |(at, it)| Err(End::Record(group[at].0, it.failure)));
        }
        let mut rejected = Vec::new();
        let appended = batch.append_each(requests, &mut |it| rejected.push(it));
        appended.map_err(|it| {
            let at = places[it.index];
            ended(it, at)
        })?;
        // Of those alone that were appended.
        for Rejected { index, .. } in &rejected {
            changes[*index] = Conversions::default();
            keyless[*index] = false;
        }
        self.unkeyed |= keyless.contains(&true);
        changes.iter().for_each(|it| self.converted += *it);
        for Rejected { index, error } in rejected {
            let code = code_of(&error);
            refused.push((places[index], Refusal::new(code, failed(error))));
        }
        refused.sort_by_key(|(at, _)| *at);
        self.refused += refused.len() as u64;
        for (at, refusal) in refused {
            if !refusal.is_of_record() {
                return Err(End::Record(group[at].0, refusal.failure));
            }
            if let Some(rejects) = &mut self.rejects {
                rejects.add(&group[at], &refusal).map_err(End::Rejects)?;
            }
        }
        Ok(())
    }

    /// Looks whether records that are data alone, a line each, are documents with the records in them.
    fn look_for_documents(&mut self, group: &[Placed], parsed: &[Result<Parsed<'_>, Refusal>]) {
        if self.args.event_type.is_none() {
            return;
        }
        for ((place, _), parsed) in group.iter().zip(parsed) {
            if place.record.is_none()
                && let Ok(parsed) = parsed
            {
                self.documents.meet(&parsed.data);
            }
        }
    }

    fn request<'l>(&self, item: Item<'l>) -> AppendRequest<'l> {
        AppendRequest {
            event_type: item.event_type,
            data: item.data,
            actor: item
                .actor
                .map_or_else(|| self.actor.to_owned(), Cow::into_owned),
            namespace: item.namespace.or(self.args.namespace),
            confidence: None,
            key_id: self.args.key.key_id,
            blind: self.args.blind,
            idempotency_key: item.idempotency_key,
            rounded: item.converted.to_large_integers,
            with_head: false,
        }
    }
}

/// Why a batch ends before its input does, or without having said all.
enum End {
    /// A record cannot be appended.
    Record(Place, Diagnostic),
    /// The JSON document around the records is wrong, here.
    Document(Place, Diagnostic),
    /// The input itself ends badly, after so many lines.
    Input(u64, Diagnostic),
    /// The disk refused. The failure says how far the batch came.
    Disk(Diagnostic),
    /// The plugin host did not end well.
    Host(Diagnostic),
    /// Nobody takes the receipts.
    Unprinted(Diagnostic),
    /// The refused records cannot be kept.
    Rejects(Diagnostic),
}

impl End {
    fn of(stop: Stop) -> Self {
        match stop {
            Stop::At(place, failure) => Self::Document(place, failure),
            Stop::After(lines, failure) => Self::Input(lines, failure),
        }
    }

    /// Whether the same input may be gone on with once it is corrected.
    fn goes_on(&self) -> bool {
        matches!(
            self,
            Self::Record(..) | Self::Document(..) | Self::Input(..)
        )
    }

    /// The end in words, and what was `done` before it.
    fn after(self, done: &str, guard: &Guard) -> Diagnostic {
        if let Some(signal) = guard.received() {
            return provara_explain::interrupted_after(signal, done);
        }
        let (reason, failure) = match self {
            Self::Record(place, failure) => (format!("{place} of the batch was refused"), failure),
            Self::Document(place, failure) => {
                let after = match place.record {
                    Some(record) if record > 1 => format!(", after record {}", record - 1),
                    _ => String::new(),
                };
                let line = place.line;
                let reason = format!("The batch could not be read on at line {line}{after}");
                (reason, failure)
            }
            Self::Input(lines, failure) => {
                let lines = counted(lines, "line");
                (
                    format!("The batch could not be read beyond {lines}"),
                    failure,
                )
            }
            Self::Disk(failure) => return failure,
            Self::Host(failure) => ("The plugins did not end well".to_owned(), failure),
            Self::Unprinted(failure) => ("Not every receipt was printed".to_owned(), failure),
            Self::Rejects(failure) => {
                let reason = "A refused record could not be kept, so no more were taken";
                (reason.to_owned(), failure)
            }
        };
        failure.within(&format!("{reason}; {done}"))
    }
}

/// Prints receipts for as long as somebody reads them and no signal arrives.
fn print_receipts(
    receipts: Vec<provara_vault::AppendReceipt>,
    guard: &Guard,
) -> Result<(), Diagnostic> {
    /// What a pipe that can be written takes without waiting (PIPE_BUF; POSIX promises 512).
    const PIECE: usize = if cfg!(target_os = "linux") { 4096 } else { 512 };

    let mut text = Vec::with_capacity(receipts.len() * 1024);
    for receipt in receipts {
        terminal::taken(form::add_line(&mut text, &receipt))?;
    }
    if io::stdout().is_terminal() {
        return terminal::result_json_text(&text);
    }
    for piece in text.chunks(PIECE) {
        let free = guard.wait_to_write(io::stdout().as_fd());
        if let Some(signal) = guard.received() {
            return Err(provara_explain::interrupted(signal));
        }
        terminal::taken(free.map(drop).and_then(|()| terminal::put(piece)))?;
    }
    Ok(())
}
