//! The formats in which events are printed.

use std::borrow::Cow;
use std::io::{self, Write};

use provara_core::canonical::{token_preserving, write_string};
use provara_core::json::{self, Value};
use provara_query::Path;
use provara_report::text::shorten;

use super::Format;
use crate::terminal;

/// How much of a payload, or of one member, a table shows where the terminal does not say, in characters.
const PAYLOAD_WIDTH: usize = 60;

/// The widest terminal on which ids and times are cut.
const NARROW: usize = 150;

/// How much of an id is shown there: the beginning, which `show` takes.
const SHORT_ID: usize = 14;

/// The columns of CSV where no members are asked for.
const COLUMNS: [&str; 6] = [
    "line",
    "event_id",
    "timestamp_utc",
    "actor",
    "type",
    "payload",
];

/// Prints events, one after the other.
pub(super) struct Printer<'f, W: Write> {
    out: W,
    format: Format,
    fields: &'f [Path],
    /// The columns of the terminal, where the output is one.
    width: Option<usize>,
    pub(super) printed: u64,
    /// For each of the members that are asked for, whether an event that was printed has it.
    met: Vec<bool>,
}

impl<'f, W: Write> Printer<'f, W> {
    pub(super) fn new(out: W, format: Format, fields: &'f [Path]) -> Self {
        Self {
            out,
            format,
            fields,
            width: terminal::width(),
            printed: 0,
            met: vec![false; fields.len()],
        }
    }

    /// The members that no event had which was printed.
    pub(super) fn unmet(&self) -> Vec<&'f Path> {
        let fields = self.fields.iter().zip(&self.met);
        fields
            .filter(|(_, met)| !**met)
            .map(|(path, _)| path)
            .collect()
    }

    /// The value of the member of this number, if the event has it.
    fn member<'v, 'a>(&mut self, at: usize, event: &'v Value<'a>) -> Option<&'v Value<'a>> {
        let found = self.fields[at].find(event);
        self.met[at] |= found.is_some();
        found
    }

    pub(super) fn start(&mut self) -> io::Result<()> {
        match self.format {
            Format::Json => self.out.write_all(b"["),
            Format::Ndjson => Ok(()),
            Format::Csv if self.fields.is_empty() => self.cells(COLUMNS.map(Cow::Borrowed)),
            Format::Csv => self.cells(self.fields.iter().map(|path| guarded(path.to_string()))),
            Format::Table if self.fields.is_empty() => {
                let head = ["EVENT ID", "TIME", "ACTOR", "TYPE", "PAYLOAD"];
                self.columns("LINE", head.map(Cow::Borrowed))
            }
            Format::Table => {
                let names = self.fields.iter().map(ToString::to_string);
                let names: Vec<_> = names.map(|name| clean(&name)).collect();
                self.row(&names)
            }
        }
    }

    pub(super) fn event(&mut self, number: u64, line: &[u8]) -> io::Result<()> {
        match self.format {
            Format::Ndjson => {
                self.json(line)?;
                self.out.write_all(b"\n")?;
            }
            Format::Json => {
                let comma: &[u8] = if self.printed > 0 { b"," } else { b"" };
                self.out.write_all(comma)?;
                self.json(line)?;
            }
            Format::Csv => self.record(number, line)?,
            Format::Table => self.entry(number, line)?,
        }
        self.printed += 1;
        Ok(())
    }

    /// The line, or an object of the members that are asked for and are there.
    fn json(&mut self, line: &[u8]) -> io::Result<()> {
        let mut object = Vec::new();
        let text = if self.fields.is_empty() {
            line
        } else {
            let event = json::parse(line).unwrap_or(Value::Null);
            object.push(b'{');
            for (at, path) in self.fields.iter().enumerate() {
                let Some(value) = self.member(at, &event) else {
                    continue;
                };
                if object.len() > 1 {
                    object.push(b',');
                }
                write_string(&mut object, &path.to_string());
                object.push(b':');
                object.extend_from_slice(&token_preserving(value));
            }
            object.push(b'}');
            &object
        };
        match self.width {
            Some(_) => self.out.write_all(&terminal::clean_json(text)),
            None => self.out.write_all(text),
        }
    }

    fn record(&mut self, number: u64, line: &[u8]) -> io::Result<()> {
        let event = json::parse(line).unwrap_or(Value::Null);
        if self.fields.is_empty() {
            let number = std::iter::once(Cow::Owned(number.to_string()));
            let names = COLUMNS[1..].iter();
            let cells = names.map(|name| cell(event.get(name)));
            return self.cells(number.chain(cells));
        }
        let cells = (0..self.fields.len()).map(|at| cell(self.member(at, &event)));
        let cells: Vec<_> = cells.collect();
        self.cells(cells)
    }

    fn cells<'c>(&mut self, cells: impl IntoIterator<Item = Cow<'c, str>>) -> io::Result<()> {
        let mut writer = csv::WriterBuilder::new()
            .terminator(csv::Terminator::CRLF)
            .from_writer(Vec::new());
        let on_terminal = self.width.is_some();
        let cells = cells.into_iter().map(|cell| match on_terminal {
            true => terminal::clean(&cell).into_owned(),
            false => cell.into_owned(),
        });
        writer.write_record(cells).map_err(io::Error::other)?;
        let record = writer.into_inner().map_err(|error| error.into_error())?;
        self.out.write_all(&record)
    }

    /// A row of the table for people.
    fn entry(&mut self, number: u64, line: &[u8]) -> io::Result<()> {
        let event = json::parse(line).unwrap_or(Value::Null);
        if !self.fields.is_empty() {
            let cells = (0..self.fields.len()).map(|at| match self.member(at, &event) {
                Some(Value::String(text)) => clean(text),
                Some(value) => clean(&text_of(value)),
                None => "-".to_owned(),
            });
            let cells: Vec<_> = cells.collect();
            return self.row(&cells);
        }
        let text = |name| {
            let text = event.get(name).and_then(Value::as_str).unwrap_or("-");
            Cow::Owned(clean(text))
        };
        let payload = event.get("payload").map(text_of).unwrap_or_default();
        let cells = [
            text("event_id"),
            text("timestamp_utc"),
            text("actor"),
            text("type"),
            // Cut before it is made safe, so that a long payload costs no more than is shown of it.
            Cow::Owned(clean(&shorten(
                &payload,
                self.width.unwrap_or(PAYLOAD_WIDTH),
            ))),
        ];
        self.columns(&number.to_string(), cells)
    }

    fn columns(&mut self, number: &str, cells: [Cow<'_, str>; 5]) -> io::Result<()> {
        let [id, time, actor, kind, payload] = cells;
        let narrow = self.width.is_some_and(|width| width < NARROW);
        // Whole seconds: 2026-01-31T12:00:00.
        let (id_width, time_width) = if narrow { (SHORT_ID, 19) } else { (28, 27) };
        let cut = |text: &str, width: usize| -> String {
            match narrow {
                true => text.chars().take(width).collect(),
                false => text.to_owned(),
            }
        };
        let (id, time) = (cut(&id, id_width), cut(&time, time_width));
        let (actor_width, kind_width) = if narrow { (8, 16) } else { (17, 28) };
        let row = format!(
            "{number:>8}  {id:id_width$}  {time:time_width$}  {actor:actor_width$}  {kind:kind_width$}  "
        );
        let rest = match self.width {
            None => PAYLOAD_WIDTH,
            Some(width) => width.saturating_sub(row.chars().count() + 1).max(10),
        };
        writeln!(self.out, "{row}{}", shorten(&payload, rest))
    }

    /// A row of members, as wide each as the terminal allows.
    fn row(&mut self, cells: &[String]) -> io::Result<()> {
        let count = cells.len().max(1);
        let width = match self.width {
            None => PAYLOAD_WIDTH,
            Some(width) => (width.saturating_sub(2 * (count - 1)) / count).clamp(8, PAYLOAD_WIDTH),
        };
        // The last needs no space behind it.
        for (at, text) in cells.iter().enumerate() {
            let text = shorten(text, width - 1);
            match at + 1 == cells.len() {
                true => writeln!(self.out, "{text}")?,
                false => write!(self.out, "{text:pad$}  ", pad = width.min(28))?,
            }
        }
        Ok(())
    }

    pub(super) fn end(&mut self) -> io::Result<()> {
        match self.format {
            Format::Json => self.out.write_all(b"]\n")?,
            Format::Table => {
                let what = if self.printed == 1 { "event" } else { "events" };
                writeln!(self.out, "{} {what}", self.printed)?;
            }
            Format::Ndjson | Format::Csv => {}
        }
        self.flush()
    }

    pub(super) fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

fn clean(text: &str) -> String {
    terminal::clean(text).into_owned()
}

/// The JSON text of a value, as it stands in the log.
fn text_of(value: &Value<'_>) -> String {
    String::from_utf8(token_preserving(value)).unwrap_or_default()
}

/// A value as a cell of CSV: a string as it is, everything else as JSON, nothing where there is none.
fn cell<'v>(value: Option<&'v Value<'_>>) -> Cow<'v, str> {
    match value {
        None => Cow::Borrowed(""),
        Some(Value::String(text)) => guarded(text.to_string()),
        // A number is no formula, whatever its sign.
        Some(value) => Cow::Owned(text_of(value)),
    }
}

/// A cell that no spreadsheet takes for a formula, as `export --format csv` writes it.
fn guarded<'c>(cell: String) -> Cow<'c, str> {
    match cell.starts_with(['=', '+', '-', '@', '\t', '\r', '\'']) {
        true => Cow::Owned(format!("'{cell}")),
        false => Cow::Owned(cell),
    }
}
