//! The commands. Each module holds one command: its arguments, whose doc comments are its help,
//! and what it does.

pub(crate) mod accept;
pub(crate) mod adopt;
pub(crate) mod append;
pub(crate) mod backup;
pub(crate) mod checkpoint;
pub(crate) mod completions;
pub(crate) mod delta;
pub(crate) mod doctor;
pub(crate) mod export;
pub(crate) mod init;
pub(crate) mod manifest;
pub(crate) mod mcp;
pub(crate) mod memory;
pub(crate) mod merge;
pub(crate) mod plugins;
pub(crate) mod query;
pub(crate) mod redact;
pub(crate) mod reduce;
pub(crate) mod repair;
pub(crate) mod replay;
pub(crate) mod verify;

use std::process::ExitCode;

use crate::cli::Command;
use crate::failure::Failure;

/// Runs a command. `Ok` carries an exit code because a verdict is a result, not a failure.
pub(crate) fn run(command: &Command) -> Result<ExitCode, Failure> {
    match command {
        Command::Init(args) => init::run(args),
        Command::Append(args) => append::run(args),
        Command::Verify(args) => return verify::run(args),
        Command::Query(args) => query::run(args),
        Command::Replay(args) => replay::run(args),
        Command::Reduce(args) => reduce::run(args),
        Command::Export(args) => export::run(args),
        Command::Redact(args) => redact::run(args),
        Command::Merge(args) => merge::run(args),
        Command::Delta(args) => delta::run(args),
        Command::Backup(args) => backup::run(args),
        Command::Restore(args) => backup::restore(args),
        Command::Repair(args) => repair::run(args),
        Command::Adopt(args) => adopt::run(args),
        Command::Accept(args) => return accept::run(args),
        Command::Memory(args) => memory::run(args),
        Command::Checkpoint(args) => checkpoint::run(args),
        Command::Manifest(args) => manifest::run(args),
        Command::Plugins(args) => plugins::run(args),
        Command::Doctor(args) => return doctor::run(args),
        Command::Mcp(args) => mcp::run(args),
        Command::Completions(args) => completions::run(args),
    }
    .map(|()| ExitCode::SUCCESS)
}
