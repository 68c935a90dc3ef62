//! `provara query`: the events that meet given conditions.

use std::io::{self, Write};
use std::ops::ControlFlow;

use clap::{Args, ValueEnum};
use provara_core::json::{self, Value};
use provara_core::query::{Condition, Query};
use provara_core::time::Timestamp;
use provara_report::Diagnostic;
use provara_vault::SourceLog;

use crate::args::{GateArgs, VaultArg};
use crate::{gate, terminal, vault};

/// How much of a payload a table shows, in characters.
const PAYLOAD_WIDTH: usize = 60;

/// Print the events that meet every given condition, in the order of the log
///
/// Reads the log itself; there is no index to build or to trust. The vault must verify first.
#[derive(Args, Debug)]
#[command(after_long_help = "\
Examples:
  provara query my-vault --type com.acme.audit.login --limit 10
  provara query my-vault --actor alice --after 2026-01-01T00:00:00Z --format ndjson
  provara query my-vault --where payload.success=false --where 'payload.tags[0]=vpn'
  provara query my-vault --type OBSERVATION --format json | jq length")]
pub(crate) struct QueryArgs {
    #[command(flatten)]
    vault: VaultArg,

    /// Only events of exactly this type
    #[arg(long = "type", value_name = "TYPE")]
    event_type: Option<String>,

    /// Only events of exactly this actor
    #[arg(long, value_name = "NAME")]
    actor: Option<String>,

    /// Only events at this time or later (RFC 3339, UTC)
    #[arg(long, value_name = "TIME", value_parser = time)]
    after: Option<Timestamp>,

    /// Only events before this time (RFC 3339, UTC)
    #[arg(long, value_name = "TIME", value_parser = time)]
    before: Option<Timestamp>,

    /// Only events in which the value at PATH is VALUE; VALUE is JSON, or else text (repeatable)
    #[arg(long = "where", value_name = "PATH=VALUE")]
    conditions: Vec<Condition>,

    /// Print at most this many events
    #[arg(long, value_name = "N")]
    limit: Option<u64>,

    /// How to print: a table for people, the log's own lines, or one JSON array
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,

    /// The same as --format json
    #[arg(long, conflicts_with = "format")]
    json: bool,

    #[command(flatten)]
    gate: GateArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
enum Format {
    Table,
    Ndjson,
    Json,
}

fn time(text: &str) -> Result<Timestamp, String> {
    text.parse()
        .map_err(|error: provara_core::time::TimestampError| error.to_string())
}

pub(crate) fn run(args: &QueryArgs) -> Result<(), Diagnostic> {
    let path = &args.vault.vault;
    let vault = vault::open(path)?;
    let log = gate::verify_first(&vault, path, args.gate)?;
    let mut query = Query::default();
    if let Some(name) = &args.event_type {
        query = query.event_type(name);
    }
    if let Some(name) = &args.actor {
        query = query.actor(name);
    }
    query = args.after.into_iter().fold(query, Query::after);
    query = args.before.into_iter().fold(query, Query::before);
    query = args
        .conditions
        .iter()
        .cloned()
        .fold(query, Query::condition);
    let stdout = match terminal::stdout() {
        Ok(stdout) => stdout,
        Err(error) => return terminal::written(Err(error)),
    };
    let mut printer = Printer {
        out: io::BufWriter::new(stdout),
        format: if args.json { Format::Json } else { args.format },
        printed: 0,
    };
    let limit = args.limit.unwrap_or(u64::MAX);
    terminal::written(print(&log, &query, limit, &mut printer))?;
    if printer.printed == 0 && limit > 0 {
        let notes = provara_explain::nothing_chosen(&query, &log);
        notes.iter().for_each(|text| terminal::note(text));
    }
    Ok(())
}

fn print(
    log: &SourceLog,
    query: &Query,
    limit: u64,
    printer: &mut Printer<impl Write>,
) -> io::Result<()> {
    printer.start()?;
    let mut result = Ok(());
    if limit > 0 {
        log.query(query, |number, line| {
            result = printer.event(number, line);
            if result.is_err() || printer.printed == limit {
                return ControlFlow::Break(());
            }
            ControlFlow::Continue(())
        });
    }
    result?;
    printer.end()
}

struct Printer<W> {
    out: W,
    format: Format,
    printed: u64,
}

impl<W: Write> Printer<W> {
    fn start(&mut self) -> io::Result<()> {
        match self.format {
            Format::Json => self.out.write_all(b"["),
            Format::Table => writeln!(
                self.out,
                "{:>8}  {:27}  {:17}  {:28}  PAYLOAD",
                "LINE", "TIME", "ACTOR", "TYPE"
            ),
            Format::Ndjson => Ok(()),
        }
    }

    fn event(&mut self, number: u64, line: &[u8]) -> io::Result<()> {
        match self.format {
            Format::Ndjson => {
                self.out.write_all(line)?;
                self.out.write_all(b"\n")?;
            }
            Format::Json => {
                let comma: &[u8] = if self.printed > 0 { b"," } else { b"" };
                self.out.write_all(comma)?;
                self.out.write_all(line)?;
            }
            Format::Table => self.row(number, line)?,
        }
        self.printed += 1;
        Ok(())
    }

    fn row(&mut self, number: u64, line: &[u8]) -> io::Result<()> {
        let event = json::parse(line).unwrap_or(Value::Null);
        let text = |name| {
            let text = event.get(name).and_then(Value::as_str).unwrap_or("-");
            terminal::clean(text).into_owned()
        };
        let payload = event
            .get("payload")
            .map(provara_core::canonical::token_preserving);
        let payload = String::from_utf8(payload.unwrap_or_default()).unwrap_or_default();
        let shown = match payload.char_indices().nth(PAYLOAD_WIDTH) {
            Some((end, _)) => format!("{}…", &payload[..end]),
            None => payload,
        };
        writeln!(
            self.out,
            "{number:>8}  {:27}  {:17}  {:28}  {}",
            text("timestamp_utc"),
            text("actor"),
            text("type"),
            terminal::clean(&shown),
        )
    }

    fn end(&mut self) -> io::Result<()> {
        match self.format {
            Format::Json => self.out.write_all(b"]\n")?,
            Format::Table => {
                let what = if self.printed == 1 { "event" } else { "events" };
                writeln!(self.out, "{} {what}", self.printed)?;
            }
            Format::Ndjson => {}
        }
        self.out.flush()
    }
}
