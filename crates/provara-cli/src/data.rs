//! The data of an event as it comes from the command line: `--data JSON|@FILE|-`.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use provara_core::json::{self, ParseError, Value};
use provara_core::payload::MAX_PAYLOAD;
use provara_explain::TOO_LARGE_FIX;
use provara_report::{Class, Diagnostic};

use crate::stdio::stdin;

/// How much there may be beside a payload of the greatest length in the text that is read for one event, in bytes:
/// white space, or the other members of a batch's record.
pub(crate) const BESIDE: usize = 64 << 10;

/// The longest text that is read for one event. What the vault takes of it is the vault's to say.
pub(crate) const MAX_TEXT: usize = MAX_PAYLOAD + BESIDE;

/// What errors call it.
const STDIN: &str = "standard input";

/// Reads the data of an event, which is a JSON object.
///
/// `-` is standard input, `@FILE` a file, anything else the JSON itself.
pub(crate) fn read(argument: &str) -> Result<Value<'static>, Diagnostic> {
    let (source, text) = match argument {
        "-" => (
            STDIN.to_owned(),
            stdin()
                .map_err(|error| unreadable(Path::new(STDIN), &error))
                .and_then(|input| bounded(input, STDIN))?,
        ),
        _ => match argument.strip_prefix('@') {
            Some(path) => {
                let file = File::open(path).map_err(|error| unreadable(Path::new(path), &error))?;
                (path.to_owned(), bounded(file, path)?)
            }
            None => ("--data".to_owned(), argument.as_bytes().to_vec()),
        },
    };
    if text.len() > MAX_TEXT {
        return Err(too_large(&source));
    }
    parse(&source, &text)
}

/// Parses the data that came from `source`.
fn parse(source: &str, text: &[u8]) -> Result<Value<'static>, Diagnostic> {
    let value = json::parse(text).map_err(|error| malformed(source, text, &error))?;
    if value.as_object().is_none() {
        return Err(Diagnostic::new(
            Class::Usage,
            format!(
                "The data in {source} is {}, not a JSON object.",
                value.kind_name()
            ),
        )
        .fix("Give an object, for example --data '{\"key\":\"value\"}' or --set key=value."));
    }
    Ok(value.into_owned())
}

fn bounded(reader: impl Read, source: &str) -> Result<Vec<u8>, Diagnostic> {
    let mut text = Vec::new();
    reader
        .take(MAX_TEXT as u64 + 1)
        .read_to_end(&mut text)
        .map_err(|error| unreadable(Path::new(source), &error))?;
    Ok(text)
}

fn unreadable(path: &Path, error: &io::Error) -> Diagnostic {
    let shown = path.display();
    Diagnostic::new(
        Class::Unavailable,
        format!("The data could not be read from '{shown}': {error}."),
    )
    .fix("Check the path after '@'; '-' reads standard input.")
}

fn too_large(source: &str) -> Diagnostic {
    Diagnostic::new(
        Class::Usage,
        format!(
            "The data in {source} is larger than {} MiB.",
            MAX_PAYLOAD >> 20
        ),
    )
    .fix(TOO_LARGE_FIX)
}

fn malformed(source: &str, text: &[u8], error: &ParseError) -> Diagnostic {
    use provara_core::json::ParseErrorKind as Kind;
    let (line, column) = position(text, error.offset);
    let fix = match &error.kind {
        Kind::DuplicateKey(_) => {
            "Keep one of the two members: two readers would disagree on what was signed."
        }
        Kind::NotANumber => "Use null, or a string such as \"NaN\".",
        Kind::LoneSurrogate => {
            "Write the character itself, or both halves of its surrogate pair (\\uD83D\\uDE00)."
        }
        Kind::ByteOrderMark => "Save the text as UTF-8 without a byte order mark.",
        Kind::InvalidUtf8 => "Save the text as UTF-8.",
        Kind::TooDeep => "Flatten the data.",
        Kind::TrailingBytes => "Give one JSON object and nothing after it.",
        _ if source == "--data" => {
            "Check the quoting: the JSON must reach the command whole, for example \
             --data '{\"key\":\"value\"}', or use --data @FILE."
        }
        _ => "Give one JSON object, for example {\"key\":\"value\"}.",
    };
    Diagnostic::new(
        Class::Usage,
        format!("The data in {source} is not valid JSON: {}.", error.kind),
    )
    .detail(format!("at line {line}, column {column}"))
    .fix(fix)
}

/// Line and column, from 1, of a byte; columns count characters.
fn position(text: &[u8], offset: usize) -> (usize, usize) {
    let before = &text[..offset.min(text.len())];
    let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
    let start = before
        .iter()
        .rposition(|byte| *byte == b'\n')
        .map_or(0, |at| at + 1);
    (
        line,
        String::from_utf8_lossy(&before[start..]).chars().count() + 1,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_count_lines_and_characters() {
        assert_eq!(position(b"{}", 0), (1, 1));
        assert_eq!(position("{\n \"é\": x}".as_bytes(), 9), (2, 7));
        assert_eq!(position(b"{", 9), (1, 2));
    }

    #[test]
    fn only_one_object_is_data() {
        assert!(parse("--data", br#"{"a":1}"#).is_ok());
        for text in [
            "[1]",
            "1",
            "null",
            "{} {}",
            "{\"a\":1,\"a\":2}",
            "{\"a\":NaN}",
            "",
        ] {
            assert!(parse("--data", text.as_bytes()).is_err(), "{text}");
        }
    }
}
