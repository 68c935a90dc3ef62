//! What the command line's own parser refuses, in the words of every other error: what happened,
//! a `Fix:` line, exit code 2.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{CommandFactory, Error, Parser};
use provara_report::{Class, Diagnostic};

use crate::commands::Cli;
use crate::exit_code::exit_code;
use crate::terminal;

/// Prints help, a version or a usage error, and gives the exit code of the process.
pub(crate) fn report(error: &Error) -> ExitCode {
    let of_help = help_of_help(error);
    let error = of_help.as_ref().unwrap_or(error);
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            match terminal::result(&error.render().ansi().to_string()) {
                Ok(()) => ExitCode::SUCCESS,
                Err(failure) => {
                    terminal::failure(&failure);
                    exit_code(failure.class())
                }
            }
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand | ErrorKind::MissingSubcommand => {
            let command = command_of(std::env::args_os());
            let failure = no_command(&command);
            terminal::failure(&failure);
            exit_code(failure.class())
        }
        _ => {
            let failure = failure(error);
            terminal::failure(&failure);
            exit_code(failure.class())
        }
    }
}

/// Nothing but the program, or a command with others below it, was named: the commands there are.
fn no_command(name: &str) -> Diagnostic {
    let mut command = Cli::command();
    for word in name.split(' ').skip(1) {
        if let Some(below) = command.find_subcommand(word).cloned() {
            command = below;
        }
    }
    command.build();
    let commands: Vec<_> = command.get_subcommands().collect();
    let width = commands.iter().map(|it| it.get_name().len()).max();
    let mut failure = Diagnostic::new(Class::Usage, "No command was given. There are:");
    for below in commands {
        let about = below.get_about().map(ToString::to_string);
        failure = failure.detail(format!(
            "  {:width$}  {}",
            below.get_name(),
            about.unwrap_or_default(),
            width = width.unwrap_or_default()
        ));
    }
    failure.fix(format!(
        "Run '{name} COMMAND --help' for one of them, and '{name} --help' for examples."
    ))
}

/// Whether a suggestion is near enough to what was typed: an option that merely shares letters with it is none.
fn is_near(error: &Error, suggested: &str) -> bool {
    let Some(ContextValue::String(typed)) = error.get(ContextKind::InvalidArg) else {
        return true;
    };
    let name = |text: &str| {
        text.trim_start_matches('-')
            .split('=')
            .next()
            .map(str::to_owned)
    };
    match (name(typed), name(suggested)) {
        (Some(typed), Some(suggested)) => {
            provara_explain::nearest(&typed, std::iter::once(&*suggested)).is_some()
                || (typed.len() >= 3 && suggested.starts_with(&typed))
        }
        _ => true,
    }
}

/// `provara help COMMAND --help`, which asks for the help of the command a second time.
fn help_of_help(error: &Error) -> Option<Error> {
    let Some(ContextValue::String(word)) = error.get(ContextKind::InvalidSubcommand) else {
        return None;
    };
    let asks = matches!(word.as_str(), "--help" | "-h");
    let command = asks.then(|| command_of(std::env::args_os()))?;
    Cli::try_parse_from(command.split(' ').chain(["--help"])).err()
}

fn failure(error: &Error) -> Diagnostic {
    let rendered = without_secrets(&error.render().to_string());
    // The first paragraph says what is wrong; the rest is usage and a pointer to the help.
    let mut lines = rendered
        .trim_start_matches("error: ")
        .lines()
        .take_while(|line| !line.is_empty() && !line.starts_with("Usage:"));
    let headline = capital(
        lines
            .next()
            .unwrap_or("The command line is not understood."),
    );
    let mut failure = Diagnostic::new(Class::Usage, headline);
    for line in lines {
        failure = failure.detail(line.trim());
    }
    failure.fix(fix(error))
}

/// A text without the private key of a witness, which somebody took for the public half: what is printed is kept in logs.
fn without_secrets(text: &str) -> String {
    const PRIVATE: &str = "PRIVATE+KEY+";
    let mut parts = text.split(PRIVATE);
    let mut shown = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let end = part.find(['\'', '"', ' ', '\n']).unwrap_or(part.len());
        shown.push_str(PRIVATE);
        shown.push('\u{2026}');
        shown.push_str(&part[end..]);
    }
    shown
}

/// What is missing, in words: alternatives come as `<--data <JSON>|--set <KEY=VALUE>>`.
fn alternatives(missing: &str) -> String {
    let inner = missing
        .strip_prefix('<')
        .filter(|text| text.starts_with("--"));
    match inner.and_then(|text| text.strip_suffix('>')) {
        Some(alternatives) => alternatives.replace(">|--", "> or --"),
        None => missing.to_owned(),
    }
}

/// Options of `append` that are for batches alone.
const OF_BATCHES: [&str; 5] = [
    "--dry-run",
    "--records",
    "--rejects",
    "--atomic",
    "--idempotency-key-from",
];

/// The option for batches that was given for one event.
fn of_batches(error: &Error) -> Option<&'static str> {
    let kinds = [ContextKind::InvalidArg, ContextKind::PriorArg];
    let named: Vec<_> = kinds
        .into_iter()
        .filter_map(|kind| error.get(kind))
        .flat_map(|value| match value {
            ContextValue::String(text) => vec![text.clone()],
            ContextValue::Strings(texts) => texts.clone(),
            _ => Vec::new(),
        })
        .collect();
    let is_named = |option: &str| named.iter().any(|it| it.split(' ').next() == Some(option));
    // Of a batch something else is in the way.
    let one = is_named("--data") || is_named("--set");
    let mut options = OF_BATCHES.into_iter().filter(|_| one);
    options.find(|option| is_named(option))
}

fn fix(error: &Error) -> String {
    match (error.kind(), of_batches(error)) {
        (ErrorKind::ArgumentConflict, Some("--dry-run")) => {
            return "--dry-run is for batches alone. To have one event judged and not appended, make it a batch of one \
                    line, {\"type\":…,\"data\":{…}}, and give --batch FILE --dry-run."
                .to_owned();
        }
        (ErrorKind::ArgumentConflict, Some(option)) => {
            return format!(
                "{option} is for batches alone: leave it out, or give the events with --batch FILE."
            );
        }
        _ => {}
    }
    let command = command_of(std::env::args_os());
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.clone()),
        // The nearest one comes last.
        Some(ContextValue::Strings(texts)) => texts.last().cloned(),
        _ => None,
    };
    let help = format!("run '{command} --help'");
    if error.kind() == ErrorKind::UnknownArgument
        && let Some(typed) = text(ContextKind::InvalidArg)
        // Of a word such as -dash the first letter alone is named.
        && let Some(word) = std::env::args_os()
            .filter_map(|word| word.into_string().ok())
            .find(|word| word.starts_with(&typed) && std::path::Path::new(word).exists())
    {
        let path = provara_report::shell(word.as_ref());
        return format!(
            "If the file or directory of that name is meant, write {path}; otherwise {help}."
        );
    }
    if error.kind() == ErrorKind::MissingRequiredArgument
        && let Some(ContextValue::Strings(missing)) = error.get(ContextKind::InvalidArg)
    {
        let missing: Vec<_> = missing.iter().map(|text| alternatives(text)).collect();
        return format!("Add {}; for examples {help}.", missing.join(", and "));
    }
    for kind in [
        ContextKind::SuggestedArg,
        ContextKind::SuggestedSubcommand,
        ContextKind::SuggestedValue,
    ] {
        if let Some(suggested) = text(kind).filter(|it| is_near(error, it)) {
            return format!("Did you mean '{suggested}'? Otherwise {help}.");
        }
    }
    if let Some(ContextValue::Strings(values)) = error.get(ContextKind::ValidValue)
        && !values.is_empty()
    {
        return format!("Use one of {}; for examples {help}.", values.join(", "));
    }
    format!("For the options and examples {help}.")
}

/// The command that the user was writing: `provara`, then as many words as name a command.
fn command_of(words: impl Iterator<Item = OsString>) -> String {
    let mut command = Cli::command();
    let mut name = "provara".to_owned();
    let mut words = words.skip(1);
    while let Some(word) = words.next() {
        let Some(word) = word.to_str() else { continue };
        if takes_the_next_word(&command, word) {
            words.next();
        } else if let Some(below) = command.find_subcommand(word).cloned() {
            command = below;
            name = format!("{name} {word}");
        }
    }
    name
}

/// Whether a word is an option whose value is the word after it.
fn takes_the_next_word(command: &clap::Command, word: &str) -> bool {
    let is_it = |arg: &clap::Arg| match word.strip_prefix("--") {
        Some(long) => arg.get_long() == Some(long),
        None => {
            let mut letters = word.strip_prefix('-').unwrap_or_default().chars();
            let short = letters.next();
            short.is_some() && letters.next().is_none() && arg.get_short() == short
        }
    };
    // Those of the top level stand for every command.
    let top = Cli::command();
    let known = command.get_arguments().chain(top.get_arguments());
    known
        .filter(|arg| arg.get_action().takes_values())
        .any(is_it)
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    match letters.next() {
        Some(first) => first.to_uppercase().chain(letters).collect(),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_private_key_is_not_printed() {
        let text = "Invalid value 'PRIVATE+KEY+w+01234567+BAAA' for '--witness <KEY>': it is";
        let shown = "Invalid value 'PRIVATE+KEY+\u{2026}' for '--witness <KEY>': it is";
        assert_eq!(without_secrets(text), shown);
        assert_eq!(without_secrets("PRIVATE+KEY+w+0+B"), "PRIVATE+KEY+\u{2026}");
        assert_eq!(without_secrets("nothing"), "nothing");
    }

    #[test]
    fn the_command_in_hand_is_found_among_the_words() {
        let command = |words: &[&str]| command_of(words.iter().map(OsString::from));
        assert_eq!(command(&["provara"]), "provara");
        assert_eq!(
            command(&["p", "--color", "blue", "verify", "v"]),
            "provara verify"
        );
        assert_eq!(
            command(&["p", "plugins", "list", "--nonsense"]),
            "provara plugins list"
        );
        assert_eq!(command(&["p", "append", "v", "--type"]), "provara append");
        // A value is no command, whatever it is called.
        for words in [
            ["p", "--color", "verify", "append", "x"],
            ["p", "append", "--type", "verify", "x"],
            ["p", "append", "v", "--color=verify", "x"],
        ] {
            assert_eq!(command(&words), "provara append", "{words:?}");
        }
    }

    #[test]
    fn every_usage_error_says_what_to_do() {
        for (words, expected) in [
            (&["p", "verfy"][..], "'verify'? Otherwise run 'provara"),
            (
                &["p", "append", "v", "--type", "X"],
                "Add --data <JSON|@FILE|-> or --set <KEY=VALUE> or --batch <FILE|->;",
            ),
            (
                &["p", "append", "v"],
                "Add --type <TYPE>, and --data <JSON|@FILE|-> or --set <KEY=VALUE> or --batch <FILE|->;",
            ),
            (
                &["p", "export", "v", "--format", "csv"],
                "Add --output <PATH>;",
            ),
            (
                &["p", "query", "v", "--format", "xml"],
                "Use one of table, ndjson, json, csv;",
            ),
            (
                &[
                    "p",
                    "append",
                    "v",
                    "--type",
                    "X",
                    "--data",
                    "{}",
                    "--dry-run",
                ],
                "--dry-run is for batches alone. To have one event judged",
            ),
            (
                &[
                    "p", "append", "v", "--type", "X", "--atomic", "--set", "a=1",
                ],
                "--atomic is for batches alone: leave it out",
            ),
            (
                &["p", "verify", "v", "w"],
                "For the options and examples run 'provara",
            ),
        ] {
            let error = Cli::try_parse_from(words).unwrap_err();
            assert!(fix(&error).contains(expected), "{}", fix(&error));
        }
    }
}
