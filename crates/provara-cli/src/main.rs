#![deny(unsafe_code)]
//! The `provara` executable: the trusted process that holds the keys and runs no plugin.
//!
//! This crate is the only place that knows terminals, colours and exit codes. Each command is one
//! file under `commands`; `provara-explain` turns every library error into words; everything else is done by
//! the libraries.
//!
//! The only unsafe code is in `stdio`, which has to look at standard input and output before the
//! standard library does.

mod args;
mod commands;
mod conditions;
mod data;
mod determinism;
mod exit_code;
mod form;
mod gate;
mod new_head;
mod numbers;
mod output_file;
mod plugins;
mod progress;
mod signatures;
mod stdio;
mod terminal;
mod text;
mod usage;
mod vault;

use std::ffi::OsString;
use std::process::ExitCode;

fn main() -> ExitCode {
    // The confined child is this same executable in a hidden mode. It must become the launcher
    // before anything else happens in the process: no thread, no allocation of note, no output.
    provara_plugins::launch::maybe_become_launcher();

    provara_plugins::launch::hear_of_children();
    // Where that fails, a limit ends the command as it would have anyway.
    let _ = provara_plugins::interrupt::outlive_file_limits();

    let typed: Vec<OsString> = std::env::args_os().collect();
    terminal::choose_colour_before_parsing(&typed);
    form::choose(&typed);
    let cli = match commands::Cli::of(&typed) {
        Ok(cli) => cli,
        Err(error) => return usage::report(&error),
    };
    terminal::choose_colour(cli.common.color);
    form::name_schema(cli.command.schema());
    match commands::run(&cli.command, signatures::choose()) {
        Ok(code) => code,
        Err(failure) => {
            terminal::failure(&failure);
            exit_code::exit_code(failure.class())
        }
    }
}
