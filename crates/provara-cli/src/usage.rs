//! What the command line's own parser refuses, in the words of every other error: what happened,
//! a `Fix:` line, exit code 2.

use std::process::ExitCode;

use clap::Error;
use clap::error::{ContextKind, ContextValue, ErrorKind};

use crate::failure::{Exit, Failure};
use crate::out;

/// Prints help, a version or a usage error, and gives the exit code of the process.
pub(crate) fn report(error: &Error) -> ExitCode {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            match out::result(&error.render().ansi().to_string()) {
                Ok(()) => ExitCode::SUCCESS,
                Err(failure) => {
                    failure.print();
                    failure.exit_code()
                }
            }
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand | ErrorKind::MissingSubcommand => {
            let command = command_of(error);
            let failure = Failure::new(Exit::Usage, "No command was given.")
                .fix(format!("Run '{command} --help' to see the commands."));
            failure.print();
            failure.exit_code()
        }
        _ => {
            let failure = failure(error);
            failure.print();
            failure.exit_code()
        }
    }
}

fn failure(error: &Error) -> Failure {
    let rendered = error.render().to_string();
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
    let mut failure = Failure::new(Exit::Usage, headline);
    for line in lines {
        failure = failure.detail(line.trim());
    }
    failure.fix(fix(error))
}

fn fix(error: &Error) -> String {
    let command = command_of(error);
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.clone()),
        Some(ContextValue::Strings(texts)) if !texts.is_empty() => Some(texts.join(" or ")),
        _ => None,
    };
    let help = format!("run '{command} --help'");
    if error.kind() == ErrorKind::MissingRequiredArgument
        && let Some(missing) = text(ContextKind::InvalidArg)
    {
        return format!("Add {missing}; for examples {help}.");
    }
    for kind in [
        ContextKind::SuggestedArg,
        ContextKind::SuggestedSubcommand,
        ContextKind::SuggestedValue,
    ] {
        if let Some(suggested) = text(kind) {
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

/// The command that the user was writing, as far as the usage line tells it.
fn command_of(error: &Error) -> String {
    let usage = match error.get(ContextKind::Usage) {
        Some(ContextValue::StyledStr(usage)) => usage.to_string(),
        _ => String::new(),
    };
    let words: Vec<&str> = usage
        .trim_start_matches("Usage:")
        .split_whitespace()
        .take_while(|word| word.chars().all(|c| c.is_ascii_lowercase()))
        .collect();
    if words.is_empty() {
        "provara".to_owned()
    } else {
        words.join(" ")
    }
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    match letters.next() {
        Some(first) => first.to_uppercase().chain(letters).collect(),
        None => String::new(),
    }
}
