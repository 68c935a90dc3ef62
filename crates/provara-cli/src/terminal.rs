//! What reaches the terminal: results on stdout, words for people on stderr.
//!
//! Texts that come from a vault or a plugin are cleaned of control characters here, so that
//! nothing that was signed or said by somebody else can move a cursor or recolour a verdict.

use std::borrow::Cow;
use std::ffi::OsString;
use std::io::{self, IsTerminal, Write};

use anstream::{AutoStream, ColorChoice};
use anstyle::{AnsiColor, Style};
use clap::ValueEnum;
use provara_report::{Class, Diagnostic, ERROR_LABEL, FIX_LABEL};

use crate::form;
pub(crate) use crate::stdio::stdout;

/// When output is coloured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Colour {
    /// On a terminal, unless NO_COLOR is set, or FORCE_COLOR
    #[default]
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

pub(crate) const ERROR: Style = AnsiColor::Red.on_default().bold();
pub(crate) const WARNING: Style = AnsiColor::Yellow.on_default().bold();
pub(crate) const GOOD: Style = AnsiColor::Green.on_default().bold();
pub(crate) const HINT: Style = AnsiColor::Cyan.on_default().bold();
pub(crate) const STRONG: Style = Style::new().bold();

/// Sets the colour choice for everything that is printed after parsing.
pub(crate) fn choose_colour(colour: Colour) {
    match colour {
        // NO_COLOR goes first, as it stands for a reader who cannot use colours.
        Colour::Auto if is_set("NO_COLOR") => ColorChoice::Never,
        Colour::Auto if is_set("FORCE_COLOR") => ColorChoice::Always,
        // `Auto` of anstream asks the terminal and honours CLICOLOR and CLICOLOR_FORCE.
        Colour::Auto => ColorChoice::Auto,
        Colour::Always => ColorChoice::Always,
        Colour::Never => ColorChoice::Never,
    }
    .write_global();
}

/// Whether a variable asks for something: one that is empty or `0` does not.
fn is_set(name: &str) -> bool {
    std::env::var_os(name).is_some_and(|value| !value.is_empty() && value != "0")
}

/// Help and usage errors are printed before there are parsed arguments, so `--color` is looked for
/// beforehand. Nothing is decided here but the colour of those texts.
pub(crate) fn choose_colour_before_parsing(typed: &[OsString]) {
    let mut wanted = None;
    let mut arguments = typed
        .iter()
        .skip(1)
        .take_while(|argument| *argument != "--");
    while let Some(argument) = arguments.next() {
        let value = match argument.to_str() {
            Some("--color") => arguments.next().and_then(|value| value.to_str()),
            Some(text) => text.strip_prefix("--color="),
            None => None,
        };
        wanted = value
            .and_then(|value| Colour::from_str(value, false).ok())
            .or(wanted);
    }
    choose_colour(wanted.unwrap_or_default());
}

/// Writes styled text to stdout. A reader that went away (`| head`) is no failure: the command's
/// verdict stands all the same.
pub(crate) fn result(text: &str) -> Result<(), Diagnostic> {
    written(put_styled(text))
}

/// Writes bytes to stdout as they are.
pub(crate) fn result_bytes(bytes: &[u8]) -> Result<(), Diagnostic> {
    written(put(bytes))
}

/// Writes styled text to stdout that tells what was `done`, a clause without a full stop. What was done
/// stands, whether anybody reads of it or not: where nobody does, the failure tells it.
pub(crate) fn receipt(done: &str, text: &str) -> Result<(), Diagnostic> {
    told(done, put_styled(text))
}

/// The same as one line of JSON.
pub(crate) fn receipt_json<T: serde::Serialize>(done: &str, value: &T) -> Result<(), Diagnostic> {
    told(done, form::line(value).and_then(|line| put_json(&line)))
}

fn told(done: &str, outcome: io::Result<()>) -> Result<(), Diagnostic> {
    outcome.map_err(|error| {
        let mut done = done.to_owned();
        if let Some(first) = done.get_mut(..1) {
            first.make_ascii_uppercase();
        }
        Diagnostic::new(
            Class::Unavailable,
            format!("{done}, but that could not be written to standard output: {error}."),
        )
        .fix(format!("Do not do it again: it is done. {WHERE_TO}"))
    })
}

/// What helps where standard output takes nothing.
const WHERE_TO: &str = "Check where the output goes: a full disk, a reader that went away, a closed descriptor or a quota.";

/// Writes bytes to stdout as they are.
pub(crate) fn put(bytes: &[u8]) -> io::Result<()> {
    let mut stdout = stdout()?;
    stdout.write_all(bytes)?;
    stdout.flush()
}

fn put_styled(text: &str) -> io::Result<()> {
    let mut stdout = AutoStream::new(stdout()?, ColorChoice::global());
    stdout.write_all(text.as_bytes())?;
    stdout.flush()
}

/// Writes JSON to stdout: as it is, but to a terminal without characters that it would act upon.
pub(crate) fn result_json_text(bytes: &[u8]) -> Result<(), Diagnostic> {
    written(put_json(bytes))
}

/// Writes a value to stdout as one line of JSON.
pub(crate) fn result_json<T: serde::Serialize>(value: &T) -> Result<(), Diagnostic> {
    written(form::line(value).and_then(|line| put_json(&line)))
}

pub(crate) fn put_json(bytes: &[u8]) -> io::Result<()> {
    match std::str::from_utf8(bytes) {
        Ok(text) if io::stdout().is_terminal() => put(provara_plugins::text::json(text).as_bytes()),
        _ => put(bytes),
    }
}

/// How many columns the terminal has that standard output is, if it is one.
pub(crate) fn width() -> Option<usize> {
    if !io::stdout().is_terminal() {
        return None;
    }
    let size = terminal_size::terminal_size_of(io::stdout());
    Some(size.map_or(80, |(width, _)| usize::from(width.0)))
}

/// JSON as it may be written to a terminal: what a terminal would act upon is written as `\uXXXX`.
pub(crate) fn clean_json(bytes: &[u8]) -> Cow<'_, [u8]> {
    match std::str::from_utf8(bytes).map(provara_plugins::text::json) {
        Ok(Cow::Owned(text)) => Cow::Owned(text.into_bytes()),
        _ => Cow::Borrowed(bytes),
    }
}

/// Judges the writing of a result: a reader that went away is no failure.
pub(crate) fn written(outcome: io::Result<()>) -> Result<(), Diagnostic> {
    match outcome {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        outcome => taken(outcome),
    }
}

/// Judges the writing of a result that somebody has to read.
pub(crate) fn taken(outcome: io::Result<()>) -> Result<(), Diagnostic> {
    outcome.map_err(|error| {
        Diagnostic::new(
            Class::Unavailable,
            format!("The result could not be written to standard output: {error}."),
        )
        .fix(WHERE_TO)
    })
}

/// Says on stderr why the command failed.
pub(crate) fn failure(failure: &Diagnostic) {
    match form::is_json() {
        true => json_error(&form::failure(failure)),
        false => diagnostic(&failure.to_string()),
    }
}

fn json_error(line: &str) {
    // Nothing can be told to anybody when stderr itself is gone.
    let mut stderr = io::stderr().lock();
    let _ = match stderr.is_terminal() {
        true => writeln!(stderr, "{}", provara_plugins::text::json(line)),
        false => writeln!(stderr, "{line}"),
    };
}

/// Prints a text for people to stderr and colours its leading words.
pub(crate) fn diagnostic(text: &str) {
    let mut stderr = anstream::stderr().lock();
    for line in text.lines() {
        let (style, word) = [
            (ERROR, ERROR_LABEL),
            (WARNING, "WARNING:"),
            (HINT, "note:"),
            (HINT, FIX_LABEL),
        ]
        .into_iter()
        .find(|(_, word)| line.starts_with(word))
        .unwrap_or((Style::new(), ""));
        let rest = clean(&line[word.len()..]);
        // Nothing can be told to anybody when stderr itself is gone.
        let _ = writeln!(stderr, "{style}{word}{style:#}{rest}");
    }
}

/// Prints a warning to stderr, in one line: a name with a line end in it makes no line that looks like ours.
pub(crate) fn warn(text: &str) {
    diagnostic(&format!("WARNING: {}", clean(text)));
}

/// Prints a note to stderr, in one line as well.
pub(crate) fn note(text: &str) {
    diagnostic(&format!("note: {}", clean(text)));
}

/// Asks before something is done that a person has to want; `yes` answers for them.
///
/// # Errors
/// The request is wrong where nobody can be asked; nothing is done where the answer is not yes.
pub(crate) fn confirm(question: &str, yes: bool) -> Result<(), Diagnostic> {
    if yes {
        return Ok(());
    }
    if !(io::stdin().is_terminal() && io::stderr().is_terminal()) {
        return Err(Diagnostic::new(
            Class::Usage,
            "The command asks before it does this, and there is no terminal to ask at.",
        )
        .detail(question)
        .fix("Look at what is there, then add --yes."));
    }
    let mut stderr = anstream::stderr();
    let asked = write!(stderr, "{question} [y/N] ").and_then(|()| stderr.flush());
    let mut answer = String::new();
    let answered = asked.and_then(|()| io::stdin().read_line(&mut answer));
    match answered.is_ok() && matches!(answer.trim(), "y" | "Y" | "yes" | "Yes") {
        true => Ok(()),
        false => Err(Diagnostic::new(Class::Unavailable, "Nothing was changed.")
            .fix("Answer y to go on, or give --yes.")),
    }
}

/// Escapes what a terminal would act upon, for a text that stands within one line.
pub(crate) fn clean(text: &str) -> Cow<'_, str> {
    provara_plugins::text::inline(text)
}

/// Canonical JSON, indented by two spaces for people. Number tokens stay as they are, and strings but
/// for what a terminal would act upon, which is written as `\uXXXX`.
pub(crate) fn indented(canonical: &[u8]) -> Vec<u8> {
    let mut text = Vec::with_capacity(canonical.len() * 2);
    let mut depth = 0;
    let mut in_string = false;
    let mut escaped = false;
    let line = |text: &mut Vec<u8>, depth: usize| {
        text.push(b'\n');
        text.resize(text.len() + 2 * depth, b' ');
    };
    for (at, byte) in canonical.iter().copied().enumerate() {
        if in_string {
            in_string = escaped || byte != b'"';
            escaped = !escaped && byte == b'\\';
            text.push(byte);
            continue;
        }
        match byte {
            b'"' => {
                in_string = true;
                text.push(byte);
            }
            b'{' | b'[' => {
                text.push(byte);
                if !matches!(canonical.get(at + 1), Some(b'}' | b']')) {
                    depth += 1;
                    line(&mut text, depth);
                }
            }
            b'}' | b']' => {
                if !matches!(canonical[at - 1], b'{' | b'[') {
                    depth -= 1;
                    line(&mut text, depth);
                }
                text.push(byte);
            }
            b',' => {
                text.push(byte);
                line(&mut text, depth);
            }
            b':' => text.extend_from_slice(b": "),
            _ => text.push(byte),
        }
    }
    match String::from_utf8(text) {
        Ok(text) => provara_plugins::text::json(&text).into_owned().into_bytes(),
        Err(error) => error.into_bytes(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indented_json_does_nothing_to_a_terminal() {
        let raw = "{\"a\":\"\u{9b}2J\u{202e}\"}";
        let shown = String::from_utf8(indented(raw.as_bytes())).unwrap();
        assert_eq!(shown, "{\n  \"a\": \"\\u009b2J\\u202e\"\n}");
    }

    #[test]
    fn indenting_changes_white_space_only() {
        let canonical = br#"{"a":[],"b":{"c\"{":[1.0,-0.0,"x,y:\\"]},"d":{}}"#;
        let expected = r#"{
  "a": [],
  "b": {
    "c\"{": [
      1.0,
      -0.0,
      "x,y:\\"
    ]
  },
  "d": {}
}"#;
        assert_eq!(String::from_utf8(indented(canonical)).unwrap(), expected);
    }

    #[test]
    fn the_last_colour_option_before_the_double_dash_counts() {
        let arguments = [
            "provara",
            "--color",
            "never",
            "--color=always",
            "--",
            "--color=never",
        ];
        choose_colour_before_parsing(&arguments.map(OsString::from));
        assert_eq!(ColorChoice::global(), ColorChoice::Always);
        choose_colour(Colour::Auto);
    }
}
