//! `provara delta`: events as a bundle, for a copy of the vault that cannot be reached as a
//! directory.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use provara_core::id::EventId;
use provara_core::merge::delta::{self, DeltaError};
use provara_explain::{io_failure, vault_failure};
use provara_report::{Class, Diagnostic};
use provara_vault::VaultError;

use super::merge::{HowArgs, report};
use crate::args::{GateArgs, JsonArg, KeyArgs, LockArgs, VaultArg};
use crate::stdio::stdin;
use crate::{gate, output_file, terminal, vault};

/// Exchange events with another copy of the vault through a file
#[derive(Args, Debug)]
#[command(after_long_help = "\
Examples:
  provara delta export my-vault --output new.ndjson
  provara delta import my-copy new.ndjson")]
pub(crate) struct DeltaArgs {
    #[command(subcommand)]
    command: DeltaCommand,
}

#[derive(Subcommand, Debug)]
enum DeltaCommand {
    Export(ExportArgs),
    Import(ImportArgs),
}

/// Write events to a bundle: a header line, then the events as they stand in the log
///
/// The vault must verify first. A bundle holds no private key.
#[derive(Args, Debug)]
#[command(after_long_help = "\
Examples:
  provara delta export my-vault --output all.ndjson
  provara delta export my-vault --since evt_0123456789abcdef01234567 --output new.ndjson
  provara delta export my-vault --output - | ssh laptop provara delta import my-vault -")]
struct ExportArgs {
    #[command(flatten)]
    vault: VaultArg,

    /// Only what follows this event in the log
    #[arg(long, value_name = "EVENT", value_parser = event_id)]
    since: Option<EventId>,

    /// The file to write; '-' is stdout
    #[arg(long, short, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    output: PathBuf,

    /// Replace the file if it is there
    #[arg(long)]
    force: bool,

    #[command(flatten)]
    gate: GateArgs,
}

/// Merge the events of a bundle into the vault
///
/// Nothing in the bundle is believed: every event must verify under the keys of this vault and the
/// promotions in the merged log, or nothing changes. For the order of the result see 'provara merge
/// --help'.
#[derive(Args, Debug)]
#[command(after_long_help = "\
Examples:
  provara delta import my-vault new.ndjson
  provara delta import my-vault new.ndjson --append-only --json")]
struct ImportArgs {
    #[command(flatten)]
    vault: VaultArg,

    /// The bundle; '-' is stdin
    #[arg(value_name = "BUNDLE", value_hint = clap::ValueHint::FilePath)]
    bundle: PathBuf,

    #[command(flatten)]
    how: HowArgs,

    #[command(flatten)]
    key: KeyArgs,

    #[command(flatten)]
    lock: LockArgs,

    #[command(flatten)]
    json: JsonArg,
}

pub(crate) fn run(args: &DeltaArgs) -> Result<(), Diagnostic> {
    match &args.command {
        DeltaCommand::Export(args) => export(args),
        DeltaCommand::Import(args) => import(args),
    }
}

fn export(args: &ExportArgs) -> Result<(), Diagnostic> {
    let path = &args.vault.vault;
    let vault = vault::open(path)?;
    let to_stdout = args.output == Path::new("-");
    if !to_stdout {
        output_file::check(&args.output, args.force, &vault)?;
    }
    let log = gate::verify_first(&vault, path, args.gate)?;
    let bundle = vault
        .delta(&log, args.since)
        .map_err(|error| vault_failure(error, path))?;
    let Some((header, events)) = bundle else {
        let since = args.since.map(|id| id.to_string()).unwrap_or_default();
        return Err(
            Diagnostic::new(Class::Usage, format!("The log holds no event {since}.")).fix(format!(
                "Name an event of this vault, as 'provara query {} --limit 1' shows one, or leave \
                 --since out.",
                provara_report::shell(path)
            )),
        );
    };
    if to_stdout {
        return terminal::taken(
            terminal::put_json(&header).and_then(|()| terminal::put_json(events)),
        );
    }
    let staged = output_file::prepare(&args.output, args.force, &vault)?;
    output_file::write(
        &staged,
        |file| {
            file.write_all(&header)
                .and_then(|()| file.write_all(events))
        },
        |error| io_failure("write", &args.output, &error),
    )?;
    output_file::commit(staged)?;
    terminal::receipt(
        &output_file::done(&args.output),
        &output_file::told(&args.output),
    )
}

fn import(args: &ImportArgs) -> Result<(), Diagnostic> {
    let path = &args.vault.vault;
    let vault = vault::open_to_write(path, args.lock)?;
    let keyfile = vault::keyfile(&vault, args.key.keyfile.as_deref())?;
    let bundle = read(&args.bundle)?;
    let receipt = vault
        .import_delta(&bundle, &keyfile, &args.how.options(&args.key))
        .map_err(|error: VaultError| vault_failure(error, path))?;
    report(&receipt, path, &args.how, args.json)
}

/// The longest line of a bundle that is read, in bytes: more than any event has.
const MAX_LINE: u64 = 64 << 20;

/// The longest bundle that is read, in bytes: some five million events.
const MAX_BUNDLE: u64 = 4 << 30;

/// Reads a bundle: a header, and no more lines than it announces and one. A device, or a stream that is
/// no bundle, would have no end; what was read of it is for the import to refuse.
fn read(path: &Path) -> Result<Vec<u8>, Diagnostic> {
    let failed = |error| io_failure("read", path, &error);
    let source: Box<dyn Read> = match path == Path::new("-") {
        true => Box::new(stdin().map_err(failed)?),
        false => Box::new(File::open(path).map_err(failed)?),
    };
    let mut source = BufReader::with_capacity(1 << 20, source.take(MAX_BUNDLE + 1));
    let mut bytes = Vec::new();
    let mut line = |bytes: &mut Vec<u8>| {
        let before = bytes.len();
        let mut bounded = source.by_ref().take(MAX_LINE + 1);
        bounded.read_until(b'\n', bytes).map_err(failed)?;
        let length = bytes.len() - before;
        if length as u64 > MAX_LINE || bytes.len() as u64 > MAX_BUNDLE {
            return Err(Diagnostic::new(
                Class::Usage,
                format!(
                    "'{}' is no bundle that can be read: more than {} GiB, or a line of more than {} MiB.",
                    path.display(),
                    MAX_BUNDLE >> 30,
                    MAX_LINE >> 20
                ),
            )
            .fix("Give a bundle that 'provara delta export' wrote; --since makes a shorter one."));
        }
        Ok(length > 0)
    };
    line(&mut bytes)?;
    let mut more = match delta::parse(&bytes) {
        Err(DeltaError::Count { announced, .. }) => announced.saturating_add(1),
        Ok(_) => 1,
        Err(_) => 0,
    };
    while more > 0 && line(&mut bytes)? {
        more -= 1;
    }
    Ok(bytes)
}

fn event_id(text: &str) -> Result<EventId, String> {
    text.parse()
        .map_err(|_| "an event id is 'evt_' and 24 lower-case hex digits".to_owned())
}
