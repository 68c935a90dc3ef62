//! `provara witness`: tree heads of others cosigned, and cosignatures asked for.

mod request;

use std::fs::OpenOptions;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use clap::{Args, Subcommand};
use provara_core::id::KeyId;
use provara_explain::{io_failure, vault_failure};
use provara_report::{Class, Diagnostic};
use provara_vault::{Cosigner, Submission, VaultError, WitnessState, Witnessing};
use serde::Serialize;

use super::anchor::read;
use crate::args::{JsonArg, key_id};
use crate::output_file;
use crate::terminal::{self, GOOD};

/// Cosign tree heads of other vaults, or have one of yours cosigned
///
/// A witness signs that it saw a tree head, when, and that it goes on from all that it saw of that vault before
/// (C2SP tlog-cosignature). It needs no vault and sees no event. Two departments can be each other's: cron does it.
#[derive(Args, Debug)]
#[command(after_long_help = "\
Examples:
  provara witness new example.org/ward-4 --key ward-4.key
  provara witness sign ward-3.proof --key ward-4.key --state seen --root-key bp1_0123456789abcdef --output ward-3.cosigned
  provara witness request https://witness.example.org my-vault --witness KEY")]
pub(crate) struct WitnessArgs {
    #[command(subcommand)]
    command: WitnessCommand,
}

#[derive(Debug, Subcommand)]
enum WitnessCommand {
    New(NewArgs),
    Sign(SignArgs),
    Last(LastArgs),
    Request(Box<request::RequestArgs>),
}

/// Make the key of a witness
///
/// Prints the public half, which whoever relies on the witness gives to 'provara verify --witness'. A witness has a key of
/// its own, for nothing else.
#[derive(Args, Debug)]
#[command(after_long_help = "\
Examples:
  provara witness new example.org/ward-4 --key ward-4.key > ward-4.witness")]
struct NewArgs {
    /// What the witness is called: a domain and a path of yours, without spaces and '+'
    #[arg(value_name = "NAME")]
    name: String,

    /// The file for the private key; it must not be there
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    key: PathBuf,

    #[command(flatten)]
    json: JsonArg,
}

/// Cosign a tree head, if it goes on from all that this witness saw of its origin
///
/// FILE is a proof that it goes on from the last one that this witness cosigned ('provara prove --from'); the first of an
/// origin is in a proof of events ('provara prove --lines 1-1') and wants --root-key or --first. Also taken: the tree head
/// itself, where it was cosigned before, and the request of C2SP tlog-witness (add-checkpoint), so that a small server is all that a public witness needs.
/// What was seen is on the disk before a cosignature is given out. Exit codes: 0 cosigned, 1 it contradicts what was seen,
/// or is of an earlier state, 2 it is not shown to go on from that, 3 could not.
#[derive(Args, Debug)]
#[command(after_long_help = "\
Examples:
  provara witness sign first.proof --key ward-4.key --state seen --root-key bp1_0123456789abcdef
  provara witness sign next.proof --key ward-4.key --state seen --output ward-3.cosigned --force")]
struct SignArgs {
    /// What shows the tree head to the witness; '-' is standard input
    #[arg(value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    file: PathBuf,

    /// The witness's private key, as 'provara witness new' wrote it
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    key: PathBuf,

    /// The directory in which the witness remembers what it saw; it is made
    #[arg(long, value_name = "DIR", value_hint = clap::ValueHint::DirPath)]
    state: PathBuf,

    /// The key that must have made the vault (repeatable: one of them); lets a first tree head in
    #[arg(long, value_name = "ID", value_parser = key_id)]
    root_key: Vec<KeyId>,

    /// Take the first tree head of an origin, whoever made the vault
    #[arg(long)]
    first: bool,

    /// Write the cosigned tree head to this file [default: standard output]
    #[arg(long, short, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    output: Option<PathBuf>,

    /// Replace the output if it exists
    #[arg(long, requires = "output")]
    force: bool,

    /// Print the line of the cosignature alone, as a tlog-witness answers
    #[arg(long, conflicts_with_all = ["output", "json"])]
    line: bool,

    #[command(flatten)]
    json: JsonArg,
}

/// Print the last tree head that this witness cosigned of an origin
///
/// It is what the next proof goes on from: provara prove VAULT --from LAST.
#[derive(Args, Debug)]
#[command(after_long_help = "\
Examples:
  provara witness last provara/ward-3/main --state seen > last.head")]
struct LastArgs {
    /// The origin, the first line of its tree heads
    #[arg(value_name = "ORIGIN")]
    origin: String,

    /// The directory in which the witness remembers what it saw
    #[arg(long, value_name = "DIR", value_hint = clap::ValueHint::DirPath)]
    state: PathBuf,
}

#[derive(Serialize)]
struct NewKey {
    name: String,
    /// The public half, as --witness takes it.
    witness: String,
    key: String,
}

impl WitnessArgs {
    /// The schema of what it prints with `--json`.
    pub(crate) fn schema(&self) -> &'static str {
        match self.command {
            WitnessCommand::New(_) => "provara.witness-new.v1",
            WitnessCommand::Sign(_) => "provara.witness-sign.v1",
            WitnessCommand::Last(_) => "",
            WitnessCommand::Request(_) => "provara.anchor-add.v1",
        }
    }
}

pub(crate) fn run(args: &WitnessArgs) -> Result<(), Diagnostic> {
    match &args.command {
        WitnessCommand::New(args) => new(args),
        WitnessCommand::Sign(args) => sign(args),
        WitnessCommand::Last(args) => last(args),
        WitnessCommand::Request(args) => request::run(args),
    }
}

fn new(args: &NewArgs) -> Result<(), Diagnostic> {
    let mut seed = zeroize::Zeroizing::new([0; 32]);
    getrandom::fill(&mut *seed).map_err(|error| {
        Diagnostic::new(
            Class::Unavailable,
            format!("The system gave no random bytes: {error}."),
        )
    })?;
    let cosigner = Cosigner::new(&args.name, &seed).map_err(|error| {
        Diagnostic::new(
            Class::Usage,
            format!("'{}' is no name of a witness: {error}.", args.name),
        )
        .fix("Give a name such as example.org/ward-4.")
    })?;
    let path = &args.key;
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(0o600);
    let text = cosigner.private_text();
    let written = options.open(path).and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        file.write_all(b"\n")?;
        file.sync_all()
    });
    written.map_err(|error| {
        let failure = io_failure("write the key to", path, &error);
        match error.kind() {
            std::io::ErrorKind::AlreadyExists => failure.fix("Name a file that is not there yet."),
            _ => failure,
        }
    })?;
    let key = NewKey {
        name: args.name.clone(),
        witness: cosigner.witness().to_string(),
        key: path.to_string_lossy().into_owned(),
    };
    let done = format!("the key is in '{}'", key.key);
    if args.json.json {
        return terminal::receipt_json(&done, &key);
    }
    let wrote = terminal::clean(&key.key).into_owned();
    terminal::note(&format!(
        "the private key is in '{wrote}'; what follows is for whoever relies on the witness."
    ));
    terminal::receipt(&done, &format!("{}\n", key.witness))
}

/// Reads the private key of a witness.
fn cosigner(path: &Path) -> Result<Cosigner, Diagnostic> {
    let text = zeroize::Zeroizing::new(read(path)?);
    let text = std::str::from_utf8(&text).unwrap_or_default();
    Cosigner::parse(text.trim_end()).map_err(|error| {
        Diagnostic::new(
            Class::Usage,
            format!(
                "'{}' holds no private key of a witness: {error}.",
                path.display()
            ),
        )
        .fix("Name the file that 'provara witness new' wrote.")
    })
}

/// The time, in seconds after the beginning of 1970.
fn seconds() -> Result<u64, Diagnostic> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map(|it| it.as_secs()).map_err(|_| {
        Diagnostic::new(Class::Unavailable, "The clock stands before 1970.").fix("Set the clock.")
    })
}

fn sign(args: &SignArgs) -> Result<(), Diagnostic> {
    if let Some(output) = &args.output {
        output_file::check(output, args.force, None)?;
    }
    let cosigner = cosigner(&args.key)?;
    let given = match args.file.as_os_str() == "-" {
        true => {
            let mut text = Vec::new();
            let most = provara_core::anchor::MAX_ANCHOR as u64 + 1;
            let taken = std::io::stdin().lock().take(most).read_to_end(&mut text);
            taken.map_err(|error| io_failure("read", Path::new("standard input"), &error))?;
            text
        }
        false => read(&args.file)?,
    };
    let failed = |error: VaultError| vault_failure(error, Path::new("VAULT"));
    let submission = Submission::parse(&given).map_err(|error| failed(error.into()))?;
    let state = WitnessState::open(&args.state).map_err(failed)?;
    let options = Witnessing {
        first: args.first,
        root_keys: args.root_key.clone(),
    };
    let cosigned = state.cosign(&submission, &cosigner, seconds()?, &options);
    let cosigned = cosigned.map_err(failed)?;
    if let Some(output) = &args.output {
        let staging = output_file::prepare(output, args.force, None)?;
        output_file::write(
            &staging,
            |file| file.write_all(cosigned.note.as_bytes()),
            |error| io_failure("write", output, &error),
        )?;
        output_file::commit(staging)?;
    }
    let done = "the tree head was cosigned";
    if args.json.json {
        return terminal::receipt_json(done, &cosigned);
    }
    if args.line {
        return terminal::receipt(done, &cosigned.line);
    }
    match &args.output {
        Some(output) => terminal::receipt(
            done,
            &format!(
                "{GOOD}Cosigned{GOOD:#} {}\n  origin  {}\n  events  {}{}\n",
                terminal::clean(&output.to_string_lossy()),
                terminal::clean(&cosigned.origin),
                cosigned.events,
                match cosigned.seen_before {
                    Some(seen) => format!(" (before, {seen})"),
                    None => " (the first of this origin)".to_owned(),
                }
            ),
        ),
        None => terminal::receipt(done, &cosigned.note),
    }
}

fn last(args: &LastArgs) -> Result<(), Diagnostic> {
    if !args.state.is_dir() {
        return Err(Diagnostic::new(
            Class::Unavailable,
            format!("'{}' is no directory.", args.state.display()),
        )
        .fix("Name the directory that 'provara witness sign --state' uses."));
    }
    let failed = |error| vault_failure(error, Path::new("VAULT"));
    let state = WitnessState::open(&args.state).map_err(failed)?;
    match state.last(&args.origin).map_err(failed)? {
        Some(head) => terminal::result(&head.to_string()),
        None => Err(Diagnostic::new(
            Class::Unavailable,
            format!("This witness has seen nothing of '{}'.", args.origin),
        )
        .fix("The origin is the first line of the vault's tree heads.")),
    }
}
