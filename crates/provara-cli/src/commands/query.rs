//! `provara query`: the events that meet given conditions.

mod cursor;
mod follow;
mod print;
mod select;

use std::io::{self, BufWriter};
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use provara_core::query::Query;
use provara_query::{Asked, Path};
use provara_report::{Class, Diagnostic};
use provara_vault::SourceLog;

use crate::args::{GateArgs, VaultArg};
use crate::conditions::ConditionArgs;
use crate::{gate, terminal, vault};

use print::Printer;
use select::Selection;

/// Print the events that meet every given condition, in the order of the log
///
/// Reads the log itself; there is no index to build or to trust. The vault must verify first. The
/// conditions of --where are written in a part of CEL, the Common Expression Language.
#[derive(Args, Debug)]
#[command(after_long_help = "\
Examples:
  provara query my-vault --type com.acme.audit.login --last 10
  provara query my-vault --actor alice --after 7d --format ndjson
  provara query my-vault --where payload.success=false --where 'payload.tags[0]=vpn'
  provara query my-vault --where 'payload.value >= 900 && \"vpn\" in payload.tags'
  provara query my-vault --where 'payload[\"id.orig_h\"].startsWith(\"10.\")' --count
  provara query my-vault --fields event_id,payload.user_id --format csv
  provara query my-vault --follow --cursor my-vault.cursor --format ndjson")]
pub(crate) struct QueryArgs {
    #[command(flatten)]
    vault: VaultArg,

    #[command(flatten)]
    conditions: ConditionArgs,

    /// Only events that stand in the log after this one: its id, or the beginning of it
    #[arg(long, value_name = "EVENT_ID", conflicts_with = "cursor")]
    after_event: Option<String>,

    /// Print at most this many events
    #[arg(long, value_name = "N")]
    limit: Option<u64>,

    /// Leave out this many events before the first that is printed
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    offset: u64,

    /// Of the events that meet the conditions, only the last N of the log
    #[arg(long, value_name = "N")]
    last: Option<u64>,

    /// The last event of the log first
    #[arg(long)]
    reverse: bool,

    /// Print only how many events there are
    #[arg(long, conflicts_with = "fields")]
    count: bool,

    /// Print these members instead of whole events, as in event_id,payload.user (repeatable)
    #[arg(long, value_name = "PATH", value_delimiter = ',')]
    fields: Vec<Path>,

    /// How to print: a table for people, the log's own lines, one JSON array, or CSV
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,

    /// The same as --format json
    #[arg(long, conflicts_with = "format")]
    json: bool,

    /// Go on with new events as they come, until interrupted; not with --reverse, --count, --offset or JSON
    #[arg(long, conflicts_with_all = ["reverse", "count", "offset"])]
    follow: bool,

    /// Begin after the event that this file names, and write to it how far the log was read; not with
    /// --reverse, --count, --offset, --last or --after-event
    #[arg(long, value_name = "FILE", conflicts_with_all = ["reverse", "count", "offset", "last"])]
    cursor: Option<PathBuf>,

    #[command(flatten)]
    gate: GateArgs,
}

impl QueryArgs {
    /// The schema of what it prints with `--json`.
    pub(crate) fn schema(&self) -> &'static str {
        match (self.count, self.fields.is_empty()) {
            (true, _) => "provara.count.v1",
            (false, true) => "provara.events.v1",
            (false, false) => "provara.members.v1",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
enum Format {
    Table,
    Ndjson,
    Json,
    Csv,
}

pub(crate) fn run(args: &QueryArgs) -> Result<(), Diagnostic> {
    let path = &args.vault.vault;
    // What is wrong with the request is said before a large log is read.
    let asked = args.conditions.asked(path)?;
    let format = if args.json { Format::Json } else { args.format };
    if args.follow && format == Format::Json {
        return Err(Diagnostic::new(
            Class::Usage,
            "--follow has no end, and a JSON array needs one.",
        )
        .fix("Use --format ndjson: one event a line."));
    }
    let vault = vault::open(path)?;
    if let Some(file) = &args.cursor {
        cursor::check(file, &vault)?;
    }
    let log = gate::verify_first(&vault, path, args.gate)?;
    let stdout = match terminal::stdout() {
        Ok(stdout) => stdout,
        Err(error) => return terminal::written(Err(error)),
    };
    let mut printer = Printer::new(BufWriter::new(stdout), format, &args.fields);
    if args.follow || args.cursor.is_some() {
        return follow::run(args, &vault, log, &asked, &mut printer);
    }
    let selection = Selection {
        start: start(args, &log)?,
        last: args.last,
        reverse: args.reverse,
        offset: args.offset,
        limit: args.limit.unwrap_or(u64::MAX),
    };
    if args.count {
        let count = selection.count(&log, &asked.query);
        gate::check_unchanged(&log, path)?;
        gave_up(&asked)?;
        match format {
            Format::Json | Format::Ndjson => {
                terminal::result_json(&serde_json::json!({ "count": count }))?;
            }
            Format::Table | Format::Csv => terminal::result(&format!("{count}\n"))?,
        }
        explain(&asked, &log, count == 0 && selection.limit > 0, None);
        return Ok(());
    }
    let mut seen = select::Names::of(&asked.query);
    terminal::written(print(
        &log,
        &asked.query,
        &selection,
        &mut seen,
        &mut printer,
    ))?;
    gate::check_unchanged(&log, path)?;
    gave_up(&asked)?;
    let none = printer.printed == 0 && selection.limit > 0;
    explain(&asked, &log, none, Some(&seen));
    explain_fields(&asked, &log, &printer);
    Ok(())
}

/// The line after which the events stand that are asked for.
fn start(args: &QueryArgs, log: &SourceLog) -> Result<u64, Diagnostic> {
    match &args.after_event {
        None => Ok(0),
        Some(id) => Ok(provara_explain::event::find(log, id)?.number),
    }
}

fn print(
    log: &SourceLog,
    query: &Query,
    selection: &Selection,
    seen: &mut select::Names,
    printer: &mut Printer<impl io::Write>,
) -> io::Result<()> {
    printer.start()?;
    selection.each(log, query, |number, line| {
        seen.meet(line);
        printer.event(number, line)
    })?;
    // An end would say that this was all.
    match query.is_exhausted() {
        true => printer.flush(),
        false => printer.end(),
    }
}

/// Refuses to take for all what may not be.
fn gave_up(asked: &Asked) -> Result<(), Diagnostic> {
    match asked.query.is_exhausted() {
        true => Err(provara_explain::exhausted()),
        false => Ok(()),
    }
}

/// Says why nothing was chosen, or why nothing was of one of several names.
fn explain(asked: &Asked, log: &SourceLog, none: bool, seen: Option<&select::Names>) {
    let notes = match seen {
        _ if none => provara_explain::nothing_chosen(asked, log),
        Some(seen) => {
            let (types, actors) = seen.unmet();
            provara_explain::absent_names(&types, &actors, log)
        }
        None => Vec::new(),
    };
    notes.iter().for_each(|text| terminal::note(text));
}

/// Says which of the members that were to be printed no event has.
fn explain_fields(asked: &Asked, log: &SourceLog, printer: &Printer<'_, impl io::Write>) {
    let unmet = printer.unmet();
    if printer.printed > 0 && !unmet.is_empty() {
        let notes = provara_explain::absent_fields(&unmet, asked, log);
        notes.iter().for_each(|text| terminal::note(text));
    }
}
