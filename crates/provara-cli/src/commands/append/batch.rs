//! `provara append --batch`: many events from NDJSON.
//!
//! Lines are taken in groups. A group is parsed on all cores, checked against schemas, its plugins' own
//! `validate` is asked in one warm host, and then it is handed to the vault's batch writer.

mod lines;

use std::borrow::Cow;
use std::collections::HashMap;
use std::io::{self, IsTerminal as _};
use std::num::NonZero;
use std::os::fd::AsFd;
use std::thread::available_parallelism;
use std::time::{Duration, Instant};

use provara_core::canonical;
use provara_core::event_type::EventType;
use provara_core::json::{self, Value};
use provara_core::namespace::Namespace;
use provara_plugins::catalog::EventTypeInfo;
use provara_plugins::host::Verdict;
use provara_plugins::interrupt::Guard;
use provara_plugins::resolve::Resolution;
use provara_vault::{
    AppendRequest, BatchOptions, BatchWriter, LogWriter, Vault, VaultError, parallel_map,
};

use lines::{Lines, Source};
use provara_explain::vault_failure;
use provara_report::{Class, Diagnostic};

use super::{AppendArgs, core_type, not_looked_up, refuse_unknown, start_session};
use crate::plugins::{Session, Validating};
use crate::terminal::{self, GOOD};
use crate::text::counted;
use crate::vault;

/// How long events that were taken wait until they are sealed.
const SEAL_INTERVAL: Duration = Duration::from_secs(1);

/// A line of the input that was read as an event.
struct Item<'a> {
    event_type: EventType,
    data: Value<'a>,
    actor: Option<Cow<'a, str>>,
    namespace: Option<Namespace>,
}

pub(super) fn run(args: &AppendArgs, source: &str) -> Result<(), Diagnostic> {
    let path = &args.vault.vault;
    let vault = vault::open(path)?;
    let actor = vault::actor(args.actor.as_deref())?;
    let keyfile = vault::keyfile(&vault, args.key.keyfile.as_deref())?;
    let source = Source::open(source)?;
    let mut types = Types::new(args, &vault);

    let failed = |error| vault_failure(error, path);
    let writer = LogWriter::open_with(&vault, &keyfile).map_err(failed)?;
    let options = BatchOptions {
        atomic: args.atomic,
        receipts: args.json.json,
        ..BatchOptions::default()
    };
    let mut batch = writer.batch(&keyfile, options);
    // From here on a signal ends the reading, and what was read before is sealed. Who waits for the
    // lock of another writer is ended by it at once.
    let mut lines = Lines::of(source)?;
    let fed = feed(args, &actor, &mut batch, &mut lines, &mut types);
    // A host that failed before has ended already; what it failed with is the reason that counts.
    let ended = types.finish().map_err(End::Host);
    let end = match fed.and(ended) {
        Err(End::Disk(failure)) => {
            // What is sealed has its receipt all the same.
            let _ = print_receipts(batch.take_receipts(), &lines.guard);
            return Err(failure);
        }
        Err(end) if args.atomic => {
            return Err(end.after("nothing was appended (--atomic)", &lines.guard));
        }
        fed => fed,
    };
    let finished = batch.finish();
    let printed = print_receipts(batch.take_receipts(), &lines.guard).map_err(End::Unprinted);
    let receipt = finished.map_err(failed)?;
    receipt.notes.iter().for_each(|note| terminal::note(note));
    let done = match (receipt.events, receipt.last_event_id) {
        (events, Some(id)) => format!(
            "{} of the batch {} in and sealed, the last of them {id}",
            counted(events, "event"),
            if events == 1 { "is" } else { "are" },
        ),
        (_, None) => "nothing was appended".to_owned(),
    };
    end.and(printed)
        .map_err(|end| end.after(&done, &lines.guard))?;
    if args.json.json {
        return Ok(());
    }
    let events = counted(receipt.events, "event");
    let appended = match receipt.events {
        0 => "nothing: the batch is empty\n".to_owned(),
        1 => format!("{events}\n  line         {}\n", receipt.last_line),
        _ if receipt.others > 0 => format!(
            "{events}\n  last line    {}\n  {} of other writers came meanwhile\n",
            receipt.last_line,
            counted(receipt.others, "event"),
        ),
        more => format!(
            "{events}\n  lines        {} to {}\n",
            receipt.last_line + 1 - more,
            receipt.last_line
        ),
    };
    terminal::receipt(
        &done,
        &format!(
            "{GOOD}Appended{GOOD:#} {appended}  Merkle root  {}\n",
            receipt.merkle_root
        ),
    )
}

/// Hands the lines of the input to the writer, up to the first that cannot be appended.
fn feed(
    args: &AppendArgs,
    actor: &str,
    batch: &mut BatchWriter<'_>,
    lines: &mut Lines,
    types: &mut Types<'_>,
) -> Result<(), End> {
    let failed = |error| vault_failure(error, &args.vault.vault);
    let threads = available_parallelism().map_or(1, NonZero::get);
    // When the first event was taken that may not be sealed yet.
    let mut since: Option<Instant> = None;
    loop {
        let limit = since.map(|since| SEAL_INTERVAL.saturating_sub(since.elapsed()));
        let (group, ended, unreadable) = match lines.group(limit) {
            Ok(group) => (group.lines, group.ended, None),
            Err((group, number, failure)) => (group, true, Some(End::Line(number, failure))),
        };
        since.get_or_insert_with(Instant::now);
        let parsed = parallel_map(group.iter().collect(), threads, |(_, line)| parse(line));
        let (items, bad) = types.check(parsed, threads);
        let bad = bad.map(|(at, failure)| End::Line(group[at].0, failure));
        let requests = items
            .into_iter()
            .map(|item| AppendRequest {
                event_type: item.event_type,
                data: item.data,
                actor: item.actor.map_or_else(|| actor.to_owned(), Cow::into_owned),
                namespace: item.namespace.or(args.namespace),
                confidence: None,
                key_id: args.key.key_id,
                blind: args.blind,
            })
            .collect();
        batch
            .append(requests)
            .map_err(|rejected| match rejected.error {
                error @ (VaultError::BatchEnded { .. } | VaultError::LogLost { .. }) => {
                    End::Disk(failed(error))
                }
                error => End::Line(group[rejected.index].0, failed(error)),
            })?;
        if since.is_some_and(|since| since.elapsed() >= SEAL_INTERVAL) {
            let paused = batch.pause();
            paused.map_err(|error| End::Disk(failed(error)))?;
            since = None;
        }
        print_receipts(batch.take_receipts(), &lines.guard).map_err(End::Unprinted)?;
        match bad.or(unreadable) {
            Some(end) => return Err(end),
            None if ended => return Ok(()),
            None => {}
        }
    }
}

/// Why a batch ends before its input does, or without having said all.
enum End {
    /// A line, by its number, cannot be appended.
    Line(u64, Diagnostic),
    /// The disk refused. The failure says how far the batch came.
    Disk(Diagnostic),
    /// The plugin host did not end well.
    Host(Diagnostic),
    /// Nobody takes the receipts.
    Unprinted(Diagnostic),
}

impl End {
    /// The end in words, and what was `done` before it.
    fn after(self, done: &str, guard: &Guard) -> Diagnostic {
        if let Some(signal) = guard.received() {
            return provara_explain::interrupted_after(signal, done);
        }
        let (reason, failure) = match self {
            Self::Line(number, failure) => {
                (format!("Line {number} of the batch was refused"), failure)
            }
            Self::Disk(failure) => return failure,
            Self::Host(failure) => ("The plugins did not end well".to_owned(), failure),
            Self::Unprinted(failure) => ("Not every receipt was printed".to_owned(), failure),
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
        if serde_json::to_writer(&mut text, &receipt).is_ok() {
            text.push(b'\n');
        }
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

/// What a line says, with the name of its type still to be resolved.
struct Parsed<'a> {
    type_name: Cow<'a, str>,
    data: Value<'a>,
    actor: Option<Cow<'a, str>>,
    namespace: Option<Namespace>,
}

fn parse(line: &[u8]) -> Result<Parsed<'_>, Diagnostic> {
    let wrong = |headline: String| {
        Diagnostic::new(Class::Usage, headline).fix(
            "Write one JSON object a line: {\"type\":…,\"data\":{…}}, with \"actor\" and \"namespace\" \
             where they are wanted.",
        )
    };
    if line.trim_ascii().is_empty() {
        return Err(wrong("The line is blank.".to_owned()));
    }
    let value =
        json::parse(line).map_err(|error| wrong(format!("The line is not JSON: {error}.")))?;
    let Value::Object(members) = value else {
        let kind = value.kind_name();
        return Err(wrong(format!("The line is {kind}, not a JSON object.")));
    };
    let (mut type_name, mut data, mut actor, mut namespace) = (None, None, None, None);
    for (name, value) in members {
        match (&*name, value) {
            ("type", Value::String(text)) => type_name = Some(text),
            ("data", value @ Value::Object(_)) => data = Some(value),
            ("actor", Value::String(text)) => actor = Some(text),
            ("namespace", Value::String(text)) => {
                let parsed = super::namespace(&text);
                namespace = Some(parsed.map_err(|fix| {
                    Diagnostic::new(Class::Usage, format!("'{text}' is no namespace.")).fix(fix)
                })?);
            }
            ("type" | "actor" | "namespace", value) => {
                let kind = value.kind_name();
                return Err(wrong(format!("'{name}' is {kind}, not a string.")));
            }
            ("data", value) => {
                let kind = value.kind_name();
                return Err(wrong(format!("'data' is {kind}, not a JSON object.")));
            }
            _ => return Err(wrong(format!("'{name}' is no member of a batch's line."))),
        }
    }
    let type_name = type_name.ok_or_else(|| wrong("'type' is missing.".to_owned()))?;
    let data = data.ok_or_else(|| wrong("'data' is missing.".to_owned()))?;
    Ok(Parsed {
        type_name,
        data,
        actor,
        namespace,
    })
}

/// What a name stands for.
enum Kind {
    /// A core type, or a custom one that nobody has to judge.
    Free(EventType),
    /// A plugin's; the number is that of the plugin in the catalog.
    Plugin(EventType, usize),
}

/// Resolves the names of types, and starts the plugin host when the first of them needs it.
struct Types<'a> {
    args: &'a AppendArgs,
    vault: &'a Vault,
    session: Option<Session<Validating>>,
    /// There is no Python, and every custom type is allowed.
    alone: bool,
    known: HashMap<String, Kind>,
}

impl<'a> Types<'a> {
    fn new(args: &'a AppendArgs, vault: &'a Vault) -> Self {
        Self {
            args,
            vault,
            session: None,
            alone: false,
            known: HashMap::new(),
        }
    }

    /// The items up to the first bad line, and what is wrong with that one.
    fn check<'l>(
        &mut self,
        parsed: Vec<Result<Parsed<'l>, Diagnostic>>,
        threads: usize,
    ) -> (Vec<Item<'l>>, Option<(usize, Diagnostic)>) {
        let mut good = Vec::with_capacity(parsed.len());
        let mut bad = None;
        for (at, parsed) in parsed.into_iter().enumerate() {
            let resolved =
                parsed.and_then(|parsed| self.resolve(&parsed.type_name).map(|()| parsed));
            match resolved {
                Ok(parsed) => good.push(parsed),
                Err(failure) => {
                    bad = Some((at, failure));
                    break;
                }
            }
        }
        let known = &self.known;
        let made = parallel_map(good, threads, |parsed| item(parsed, known));
        let mut unfit = self.unfit(&made);
        let mut items = Vec::with_capacity(made.len());
        for (at, made) in made.into_iter().enumerate() {
            let accepted = made.and_then(|(item, plugin)| {
                if let Some((_, failure)) = unfit.take_if(|(first, _)| *first == at) {
                    return Err(failure);
                }
                plugin.map_or(Ok(()), |plugin| self.ask(plugin, &item.data))?;
                Ok(item)
            });
            match accepted {
                Ok(item) => items.push(item),
                Err(failure) => {
                    bad = Some((at, failure));
                    break;
                }
            }
        }
        (items, bad)
    }

    /// Holds the data against the schemas of the plugins that define its types; gives the first that
    /// does not fit.
    fn unfit(
        &mut self,
        made: &[Result<(Item<'_>, Option<usize>), Diagnostic>],
    ) -> Option<(usize, Diagnostic)> {
        let limit = self.args.host.timeout;
        let session = self.session.as_mut()?;
        let mut by_plugin: HashMap<usize, Vec<(usize, &Value<'_>)>> = HashMap::new();
        for (at, made) in made.iter().enumerate() {
            // What comes after a bad line is not appended.
            let Ok((item, plugin)) = made else { break };
            if let Some(plugin) = plugin {
                by_plugin.entry(*plugin).or_default().push((at, &item.data));
            }
        }
        let mut first: Option<(usize, Diagnostic)> = None;
        for (plugin, lines) in by_plugin {
            // Not for the whole batch: a plugin is not late because the next line is.
            if let Some(limit) = limit {
                session.host.limit_next(limit);
            }
            let (at, data): (Vec<_>, Vec<_>) = lines.into_iter().unzip();
            let (line, failure) = match session
                .host
                .check(&session.catalog.event_types[plugin], &data)
            {
                Ok(None) => continue,
                Ok(Some((index, violations))) => (at[index], provara_explain::unfit(&violations)),
                Err(error) => (at[0], provara_explain::host_failure(error)),
            };
            if first.as_ref().is_none_or(|(first, _)| line < *first) {
                first = Some((line, failure));
            }
        }
        first
    }

    /// Makes sure that the name is known.
    fn resolve(&mut self, name: &str) -> Result<(), Diagnostic> {
        if self.known.contains_key(name) {
            return Ok(());
        }
        let kind = match core_type(name)? {
            Some(core) => Kind::Free(EventType::Core(core)),
            None => self.custom(name)?,
        };
        self.known.insert(name.to_owned(), kind);
        Ok(())
    }

    fn custom(&mut self, name: &str) -> Result<Kind, Diagnostic> {
        let alone = Resolution::<&EventTypeInfo>::without_plugins(name);
        let allowed = self.args.allow_unregistered;
        if self.session.is_none() && !self.alone {
            match start_session(self.args, self.vault) {
                Ok(session) => {
                    session.warn_of_problems();
                    self.session = Some(session);
                }
                Err(unusable) => match unusable.no_python() {
                    Some(reason) if allowed && matches!(alone, Resolution::Unregistered(_)) => {
                        terminal::note(&format!("no plugin was asked about '{name}': {reason}"));
                        self.alone = true;
                    }
                    _ => return Err(not_looked_up(unusable, name)),
                },
            }
        }
        let Some(session) = &self.session else {
            return match alone {
                Resolution::Unregistered(custom) => Ok(Kind::Free(EventType::Custom(custom))),
                _ => Err(not_a_type(name)),
            };
        };
        match session.catalog.resolve(name) {
            Resolution::Plugin { event_type, plugin } => {
                let mut all = session.catalog.event_types.iter();
                let at = all.position(|other| std::ptr::eq(other, plugin));
                let at = at.expect("a plugin of the catalog is in it");
                Ok(Kind::Plugin(EventType::Custom(event_type), at))
            }
            Resolution::Unregistered(custom) if allowed => {
                Ok(Kind::Free(EventType::Custom(custom)))
            }
            other => {
                let reverse_domain = matches!(other, Resolution::Unregistered(_));
                Err(refuse_unknown(name, session, reverse_domain))
            }
        }
    }

    /// Asks the plugin's own `validate`.
    fn ask(&mut self, plugin: usize, data: &Value<'_>) -> Result<(), Diagnostic> {
        let limit = self.args.host.timeout;
        let session = self.session.as_mut().expect("a plugin was found in it");
        if let Some(limit) = limit {
            session.host.limit_next(limit);
        }
        let plugin = &session.catalog.event_types[plugin];
        match session.host.validate(&plugin.event_type, data) {
            Ok(Verdict::Refused(reason)) => {
                Err(provara_explain::refused_by_plugin(plugin, &reason))
            }
            Ok(_) => Ok(()),
            Err(error) => Err(provara_explain::host_failure(error)),
        }
    }

    fn finish(&mut self) -> Result<(), Diagnostic> {
        let limit = self.args.host.timeout;
        self.session.take().map_or(Ok(()), |mut session| {
            if let Some(limit) = limit {
                session.host.limit_next(limit);
            }
            session.finish()
        })
    }
}

fn not_a_type(name: &str) -> Diagnostic {
    Diagnostic::new(Class::Usage, format!("'{name}' is no event type."))
        .fix("Use a core type, or a reverse-domain name such as com.example.audit.login.")
}

/// Makes an item of a line, and gives the plugin that has to judge its data.
fn item<'l>(
    parsed: Parsed<'l>,
    known: &HashMap<String, Kind>,
) -> Result<(Item<'l>, Option<usize>), Diagnostic> {
    let (event_type, plugin) = match &known[&*parsed.type_name] {
        Kind::Free(event_type) => (event_type.clone(), None),
        Kind::Plugin(event_type, plugin) => {
            canonical::jcs(&parsed.data)
                .map_err(|error| provara_explain::canonical_failure(&error))?;
            (event_type.clone(), Some(*plugin))
        }
    };
    let item = Item {
        event_type,
        data: parsed.data,
        actor: parsed.actor,
        namespace: parsed.namespace,
    };
    Ok((item, plugin))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_a_type_and_data_and_perhaps_an_actor_and_a_namespace() {
        let full = r#" {"data":{"a":1},"type":"OBSERVATION","actor":"x","namespace":"local"} "#;
        let parsed = parse(full.as_bytes()).unwrap();
        assert_eq!(parsed.type_name, "OBSERVATION");
        assert_eq!(parsed.actor.as_deref(), Some("x"));
        assert_eq!(parsed.namespace, Some(Namespace::Local));
        for (line, word) in [
            ("", "blank"),
            ("\r", "blank"),
            ("[]", "an array"),
            ("{", "not JSON"),
            (r#"{"type":"OBSERVATION"}"#, "'data' is missing"),
            (r#"{"data":{}}"#, "'type' is missing"),
            (r#"{"type":1,"data":{}}"#, "'type' is a number"),
            (r#"{"type":"OBSERVATION","data":[]}"#, "'data' is an array"),
            (r#"{"type":"A","data":{},"actor":null}"#, "'actor' is null"),
            (r#"{"type":"A","data":{},"namespace":"x"}"#, "no namespace"),
            (r#"{"type":"A","data":{},"key":1}"#, "'key' is no member"),
            (r#"{"type":"A","type":"A","data":{}}"#, "not JSON"),
        ] {
            let failure = parse(line.as_bytes()).err().expect(line);
            assert!(failure.headline().contains(word), "{line}: {failure:?}");
        }
    }
}
