//! What needs no plugin: the exports `csv`, `ndjson` and `json`, and the names of the reducers `beliefs`
//! and `summary`.
//!
//! They are fallbacks: a plugin of the same name is used instead. The exports run in the trusted process
//! and read nothing but the lines they are given.
//!
//! # Formula injection
//!
//! A spreadsheet takes a cell that begins with `=`, `+`, `-`, `@`, a tab or a carriage return for a
//! formula. Of the columns of `csv` only `actor` is free text, and an actor's name may come from
//! outside; so such an actor, and one that begins with the quote itself, gets an apostrophe in
//! front, which spreadsheets do not display. To get the name back, take one leading apostrophe
//! away. The other columns cannot begin with these characters.

use std::borrow::Cow;
use std::fmt;
use std::io::{self, Write};
use std::str::FromStr;

use provara_core::scan::{Field, LineError, scan_line};

/// The columns of `csv`, those of the plugin specification's example.
const COLUMNS: [&str; 5] = ["event_id", "type", "timestamp_utc", "actor", "payload"];

/// A built-in export format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Format {
    /// One row for each event (RFC 4180): id, type, time, actor, and the payload as canonical
    /// JSON.
    Csv,
    /// One array of all events, each on a line of its own.
    Json,
    /// The log's lines as they stand in the vault.
    Ndjson,
}

impl Format {
    /// All of them, by name.
    pub const ALL: [Format; 3] = [Format::Csv, Format::Json, Format::Ndjson];

    /// The names of all of them.
    pub const NAMES: [&'static str; 3] = [
        Format::Csv.as_str(),
        Format::Json.as_str(),
        Format::Ndjson.as_str(),
    ];

    /// The name, as `--format` takes it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Format::Csv => "csv",
            Format::Json => "json",
            Format::Ndjson => "ndjson",
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// No built-in format has this name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no built-in export format is called '{}'", crate::text::inline(.0))]
pub struct UnknownFormat(String);

impl FromStr for Format {
    type Err = UnknownFormat;

    fn from_str(name: &str) -> Result<Format, UnknownFormat> {
        let known = Format::ALL
            .into_iter()
            .find(|format| format.as_str().eq_ignore_ascii_case(name));
        known.ok_or_else(|| UnknownFormat(name.to_owned()))
    }
}

/// A built-in reducer, which a vault computes itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reducer {
    /// What the events add up to, by subject and predicate.
    Beliefs,
    /// How many events, by whom, of which types.
    Summary,
}

impl Reducer {
    /// All of them, by name.
    pub const ALL: [Reducer; 2] = [Reducer::Beliefs, Reducer::Summary];

    /// The names of all of them.
    pub const NAMES: [&'static str; 2] = [Reducer::Beliefs.as_str(), Reducer::Summary.as_str()];

    /// The name, as `--plugin` takes it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Reducer::Beliefs => "beliefs",
            Reducer::Summary => "summary",
        }
    }
}

impl fmt::Display for Reducer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// No built-in reducer has this name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no built-in reducer is called '{}'", crate::text::inline(.0))]
pub struct UnknownReducer(String);

impl FromStr for Reducer {
    type Err = UnknownReducer;

    fn from_str(name: &str) -> Result<Reducer, UnknownReducer> {
        let known = Reducer::ALL
            .into_iter()
            .find(|reducer| reducer.as_str().eq_ignore_ascii_case(name));
        known.ok_or_else(|| UnknownReducer(name.to_owned()))
    }
}

/// Why a built-in export stopped.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// A line of the log is no event.
    #[error("line {line} of the log is not a canonical event: {source}")]
    Line {
        /// The number of the line, from 1.
        line: u64,
        /// What is wrong with it.
        source: LineError,
    },
    /// The output could not be written.
    #[error("the export could not be written: {0}")]
    Io(#[from] io::Error),
}

/// Writes the events on `lines`, each given without its line end, in a format.
///
/// # Errors
/// [`ExportError`]; what was written until then is of no use.
pub fn export<'a>(
    format: Format,
    lines: impl IntoIterator<Item = &'a [u8]>,
    out: &mut dyn Write,
) -> Result<(), ExportError> {
    let lines = (1..).zip(lines);
    match format {
        Format::Csv => csv(lines, out),
        Format::Json => json(lines, out),
        Format::Ndjson => {
            for (_, line) in lines {
                out.write_all(line)?;
                out.write_all(b"\n")?;
            }
            Ok(out.flush()?)
        }
    }
}

fn csv<'a>(
    lines: impl Iterator<Item = (u64, &'a [u8])>,
    out: &mut dyn Write,
) -> Result<(), ExportError> {
    let failed = |error: csv::Error| ExportError::Io(io::Error::other(error));
    let mut writer = csv::WriterBuilder::new()
        .terminator(csv::Terminator::CRLF)
        .from_writer(out);
    writer.write_record(COLUMNS).map_err(failed)?;
    for (number, bytes) in lines {
        let line = scan_line(bytes).map_err(|source| ExportError::Line {
            line: number,
            source,
        })?;
        let text = |field| line.text(field).unwrap_or_default();
        let (id, kind, time) = (
            text(Field::EventId),
            text(Field::Type),
            text(Field::TimestampUtc),
        );
        let actor = text(Field::Actor);
        let actor = guarded(&actor);
        writer
            .write_record([
                guarded(&id).as_bytes(),
                guarded(&kind).as_bytes(),
                guarded(&time).as_bytes(),
                actor.as_bytes(),
                // The line is canonical, and so is every part of it.
                line.raw(Field::Payload).unwrap_or_default(),
            ])
            .map_err(failed)?;
    }
    Ok(writer.flush()?)
}

/// A cell that no spreadsheet takes for a formula.
fn guarded(cell: &str) -> Cow<'_, str> {
    if cell.starts_with(['=', '+', '-', '@', '\t', '\r', '\'']) {
        Cow::Owned(format!("'{cell}"))
    } else {
        Cow::Borrowed(cell)
    }
}

fn json<'a>(
    lines: impl Iterator<Item = (u64, &'a [u8])>,
    out: &mut dyn Write,
) -> Result<(), ExportError> {
    let mut separator: &[u8] = b"[\n";
    for (number, bytes) in lines {
        // An array is JSON only if every line is.
        scan_line(bytes).map_err(|source| ExportError::Line {
            line: number,
            source,
        })?;
        out.write_all(separator)?;
        out.write_all(bytes)?;
        separator = b",\n";
    }
    out.write_all(if separator == b"[\n" {
        b"[]\n"
    } else {
        b"\n]\n"
    })?;
    Ok(out.flush()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(actor: &str, payload: &str) -> Vec<u8> {
        let actor = serde_json::to_string(actor).unwrap();
        let sig = "A".repeat(86) + "==";
        format!(
            "{{\"actor\":{actor},\"actor_key_id\":\"bp1_0123456789abcdef\",\
             \"event_id\":\"evt_0123456789abcdef01234567\",\"payload\":{payload},\
             \"prev_event_hash\":null,\"sig\":\"{sig}\",\
             \"timestamp_utc\":\"2026-11-22T10:00:00.000000Z\",\"type\":\"com.acme.audit.login\"}}"
        )
        .into_bytes()
    }

    fn exported(format: Format, events: &[Vec<u8>]) -> String {
        let mut out = Vec::new();
        export(format, events.iter().map(Vec::as_slice), &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn csv_has_the_specified_columns() {
        assert_eq!(
            exported(Format::Csv, &[event("a,\"b\"\n", r#"{"n":1,"t":"x"}"#)]),
            "event_id,type,timestamp_utc,actor,payload\r\n\
             evt_0123456789abcdef01234567,com.acme.audit.login,2026-11-22T10:00:00.000000Z,\
             \"a,\"\"b\"\"\n\",\"{\"\"n\"\":1,\"\"t\"\":\"\"x\"\"}\"\r\n"
        );
        assert_eq!(
            exported(Format::Csv, &[]),
            "event_id,type,timestamp_utc,actor,payload\r\n"
        );
    }

    #[test]
    fn no_cell_is_a_formula_and_names_can_be_had_back() {
        for actor in [
            "=cmd|' /C calc'!A0",
            "+1",
            "-1",
            "@SUM(A1)",
            "\t=1",
            "\r=1",
            "'x",
            "''",
        ] {
            let text = exported(Format::Csv, &[event(actor, "{}")]);
            let mut reader = csv::Reader::from_reader(text.as_bytes());
            let record = reader.records().next().unwrap().unwrap();
            assert_eq!(record[3].strip_prefix('\''), Some(actor));
        }
        let text = exported(Format::Csv, &[event("alice", "{}")]);
        assert!(text.contains(",alice,"));
    }

    #[test]
    fn json_is_one_array_and_ndjson_the_lines() {
        let events = [event("a", "{}"), event("b", r#"{"x":[1]}"#)];
        let array: serde_json::Value =
            serde_json::from_str(&exported(Format::Json, &events)).unwrap();
        assert_eq!(array[1]["payload"]["x"][0], 1);
        assert_eq!(array.as_array().unwrap().len(), 2);
        assert_eq!(exported(Format::Json, &[]), "[]\n");
        let lines = events
            .map(|line| String::from_utf8(line).unwrap() + "\n")
            .concat();
        assert_eq!(
            exported(
                Format::Ndjson,
                &[event("a", "{}"), event("b", r#"{"x":[1]}"#)]
            ),
            lines
        );
    }

    #[test]
    fn a_line_that_is_no_event_is_named() {
        let events = [event("a", "{}"), b"{\"a\": 1}".to_vec()];
        for format in [Format::Csv, Format::Json] {
            let error =
                export(format, events.iter().map(Vec::as_slice), &mut Vec::new()).unwrap_err();
            assert!(
                matches!(error, ExportError::Line { line: 2, .. }),
                "{error}"
            );
        }
    }

    #[test]
    fn names() {
        assert_eq!("CSV".parse(), Ok(Format::Csv));
        assert!("xml".parse::<Format>().is_err());
        assert!(
            Format::ALL
                .iter()
                .all(|format| format.as_str().parse() == Ok(*format))
        );
    }
}
