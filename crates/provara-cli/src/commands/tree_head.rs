//! `provara tree-head`: what the event tree is now, signed, for others to keep.

use std::io::{ErrorKind, Write as _};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use clap::Args;
use provara_explain::vault_failure;
use provara_report::{Class, Diagnostic};
use provara_vault::{CopyName, TreeHeadOptions, TreeHeadReceipt, read_head};

use crate::args::{JsonArg, KeyArgs, VaultArg};
use crate::progress::Progress;
use crate::{output_file, terminal, vault};

/// Sign what the vault holds now, for others to keep
///
/// A tree head is a small text with three facts: which copy of which vault, how many events, and the root
/// of the Merkle tree over them. Whoever has one can hold the vault to it at any later time: 'provara
/// verify --head FILE' tells whether what was there then is still there. So give it to somebody who cannot be
/// made to lose it, or publish it. It is a C2SP signed note (tlog-checkpoint), which other tools read. The vault
/// must verify first; nothing in it is written. Prints the tree head where no --output is given.
///
/// Tree heads of one copy never contradict each other: this machine remembers the last one that was
/// published of it, and signs a new one only if the log goes on from that.
#[derive(Args, Debug)]
#[command(after_long_help = "\
Examples:
  provara tree-head my-vault --output my-vault.head
  provara tree-head my-vault --copy ward-3 --exec 'mail -s \"tree head\" auditor@example.org'
  provara verify copy-of-my-vault --head my-vault.head")]
pub(crate) struct TreeHeadArgs {
    #[command(flatten)]
    vault: VaultArg,

    /// Write it to this file, outside the vault
    #[arg(long, short, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    output: Option<PathBuf>,

    /// Replace the output if it exists
    #[arg(long, requires = "output")]
    force: bool,

    /// Give it to this command of the shell, on standard input; should that fail, so does this
    #[arg(long, value_name = "COMMAND", conflicts_with = "json")]
    exec: Option<String>,

    /// Name this copy in the first tree head that is published of it [default: a random name]
    #[arg(long, value_name = "NAME", value_parser = copy_name)]
    copy: Option<CopyName>,

    /// Go on from this tree head, the last that was published of this copy, where this machine knows of
    /// none: the vault was moved, or its memory was lost
    #[arg(long = "continue", value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    continues: Option<PathBuf>,

    /// Begin anew, under a new origin, though the log does not go on from what was published
    #[arg(long, conflicts_with = "continues")]
    break_heads: bool,

    #[command(flatten)]
    key: KeyArgs,

    #[command(flatten)]
    json: JsonArg,
}

fn copy_name(text: &str) -> Result<CopyName, String> {
    text.parse()
        .map_err(|error: provara_core::tree_head::CopyNameError| error.to_string())
}

pub(crate) fn run(args: &TreeHeadArgs) -> Result<(), Diagnostic> {
    let path = &args.vault.vault;
    let vault = vault::open(path)?;
    if let Some(output) = &args.output {
        output_file::check(output, args.force, &vault)?;
    }
    let keyfile = vault::keyfile(&vault, args.key.keyfile.as_deref())?;
    let failed = |error| vault_failure(error, path);
    let continues = args.continues.as_deref().map(read_head).transpose();
    let options = TreeHeadOptions {
        key_id: args.key.key_id,
        copy: args.copy.clone(),
        continues: continues.map_err(failed)?,
        break_heads: args.break_heads,
    };
    let progress = Progress::new();
    let watched = progress.watching(&vault, "verifying");
    let signed = watched.tree_head(&keyfile, &options);
    progress.clear();
    let receipt = signed.map_err(failed)?;
    receipt.notes.iter().for_each(|text| terminal::note(text));
    if let Some(output) = &args.output {
        let staging = output_file::prepare(output, args.force, &vault)?;
        output_file::write(
            &staging,
            |file| file.write_all(receipt.note.as_bytes()),
            |error| provara_explain::io_failure("write", output, &error),
        )?;
        output_file::commit(staging)?;
    }
    if let Some(command) = &args.exec {
        give(command, &receipt)?;
    }
    report(args, &receipt)
}

/// Tells what was signed. Where it went nowhere else, it is the result.
fn report(args: &TreeHeadArgs, receipt: &TreeHeadReceipt) -> Result<(), Diagnostic> {
    if args.json.json {
        return terminal::receipt_json("a tree head was signed", receipt);
    }
    match (&args.output, &args.exec) {
        (Some(output), _) => {
            let told = output_file::told(output);
            let (origin, size) = (terminal::clean(&receipt.origin), receipt.size);
            let facts = format!(
                "{told}  origin  {origin}\n  events  {size}\n  root    {}\n",
                receipt.root
            );
            terminal::receipt(&output_file::done(output), &facts)
        }
        (None, Some(_)) => Ok(()),
        (None, None) => terminal::result(&receipt.note),
    }
}

/// Runs a command of the shell with the tree head on its standard input.
fn give(command: &str, receipt: &TreeHeadReceipt) -> Result<(), Diagnostic> {
    let could_not = |what: String| {
        Diagnostic::new(Class::Unavailable, what).fix(
            "The tree head was signed, and the next one goes on from it: put the command right, and run this again.",
        )
    };
    let mut shell = Command::new("/bin/sh")
        .args(["-c", command])
        .stdin(Stdio::piped())
        .spawn()
        .map_err(|error| {
            could_not(format!(
                "The command of --exec could not be started: {error}."
            ))
        })?;
    let mut input = shell.stdin.take().expect("it is a pipe");
    match input.write_all(receipt.note.as_bytes()) {
        // It may have no use for it; its exit code tells.
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            return Err(could_not(format!(
                "The command of --exec did not take the tree head: {error}."
            )));
        }
        _ => drop(input),
    }
    let ended = shell.wait().map_err(|error| {
        could_not(format!(
            "The command of --exec could not be waited for: {error}."
        ))
    })?;
    match ended.success() {
        true => Ok(()),
        false => Err(could_not(format!(
            "The command of --exec failed ({ended})."
        ))),
    }
}
