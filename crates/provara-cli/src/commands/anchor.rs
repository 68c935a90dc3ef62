//! `provara anchor`: tree heads as others saw them, kept with the vault.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use provara_explain::vault_failure;
use provara_report::{Class, Diagnostic};
use provara_vault::{Anchor, AnchorReceipt, Authorities, anchor_words, read_head, stamped_at};
use serde::Serialize;

use crate::args::{JsonArg, KeyArgs, LockArgs, VaultArg};
use crate::terminal::{self, GOOD};
use crate::text::counted;
use crate::vault;

/// Keep what others saw of the vault with it: cosigned tree heads, time-stamps
///
/// Who holds a key and the files can write another history. What nobody can write is what somebody else signed: that
/// a tree head of the vault existed at a time. An anchor is such a statement, in the folder 'anchors' of the vault and
/// under its seal. 'provara verify --witness KEY --tsa-cert FILE' says what the anchors prove to whoever trusts those.
#[derive(Args, Debug)]
#[command(after_long_help = "\
Examples:
  provara anchor add my-vault march.cosigned
  provara anchor add my-vault march.tsr --head march.head
  provara anchor list my-vault")]
pub(crate) struct AnchorArgs {
    #[command(subcommand)]
    command: AnchorCommand,
}

#[derive(Debug, Subcommand)]
enum AnchorCommand {
    Add(AddArgs),
    List(ListArgs),
}

/// Take a cosigned tree head, a time-stamp, or another vault's event into the vault
///
/// FILE is a tree head that witnesses cosigned ('provara witness sign', or any C2SP tlog-witness); the answer of a
/// time-stamp authority (RFC 3161) for a tree head, which --head names; or the proof of an event of another vault that
/// has the text of a tree head in its data ('provara prove'). The vault must go on from that tree head. It is sealed
/// again; no event is written.
#[derive(Args, Debug)]
#[command(after_long_help = "\
Examples:
  provara anchor add my-vault march.cosigned
  provara anchor add my-vault march.tsr --head march.head
  provara anchor add my-vault event-of-the-other-ward.proof")]
struct AddArgs {
    #[command(flatten)]
    vault: VaultArg,

    /// What somebody else made of a tree head of the vault
    #[arg(value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    file: PathBuf,

    /// The tree head that was stamped, byte for byte (repeatable: one of them)
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    head: Vec<PathBuf>,

    #[command(flatten)]
    key: KeyArgs,

    #[command(flatten)]
    lock: LockArgs,

    #[command(flatten)]
    json: JsonArg,
}

/// List the anchors of the vault, as they say
///
/// Whether a witness or an authority really made one, 'provara verify --witness KEY --tsa-cert FILE' tells.
#[derive(Args, Debug)]
#[command(after_long_help = "\
Examples:
  provara anchor list my-vault
  provara anchor list my-vault --json | jq -r '.anchors[].claimed_by[]'")]
struct ListArgs {
    #[command(flatten)]
    vault: VaultArg,

    #[command(flatten)]
    json: JsonArg,
}

/// An anchor as it says.
#[derive(Serialize)]
struct Shown {
    file: String,
    /// What it is; none where it cannot be read.
    kind: Option<&'static str>,
    origin: Option<String>,
    events: Option<u64>,
    claimed_by: Vec<String>,
    claimed_at_utc: Option<String>,
    /// Why it cannot be read.
    error: Option<String>,
}

#[derive(Serialize)]
struct Listing {
    anchors: Vec<Shown>,
}

impl AnchorArgs {
    /// The schema of what it prints with `--json`.
    pub(crate) fn schema(&self) -> &'static str {
        match self.command {
            AnchorCommand::Add(_) => "provara.anchor-add.v1",
            AnchorCommand::List(_) => "provara.anchor-list.v1",
        }
    }
}

pub(crate) fn run(args: &AnchorArgs) -> Result<(), Diagnostic> {
    match &args.command {
        AnchorCommand::Add(args) => add(args),
        AnchorCommand::List(args) => list(args),
    }
}

fn add(args: &AddArgs) -> Result<(), Diagnostic> {
    let path = &args.vault.vault;
    let vault = vault::open_to_write(path, args.lock)?;
    let failed = |error| vault_failure(error, path);
    let given = read(&args.file)?;
    let heads = args.head.iter().map(|file| Ok(read_head(file)?.head));
    let heads = heads.collect::<Result<Vec<_>, _>>().map_err(failed)?;
    let keyfile = vault::keyfile(&vault, args.key.keyfile.as_deref())?;
    let added = vault.add_anchor(&keyfile, args.key.key_id, &given, &heads);
    let receipt = added.map_err(failed)?;
    receipt.notes.iter().for_each(|text| terminal::note(text));
    told(&receipt, args.json)
}

/// Tells of an anchor that is in the vault.
pub(super) fn told(receipt: &AnchorReceipt, json: JsonArg) -> Result<(), Diagnostic> {
    let done = format!("the anchor '{}' is in the vault and sealed", receipt.file);
    if json.json {
        return terminal::receipt_json(&done, receipt);
    }
    let what = match receipt.was_there {
        true => format!("{GOOD}Was there already{GOOD:#}"),
        false => format!("{GOOD}Added{GOOD:#}"),
    };
    let by = match &receipt.claimed_by[..] {
        [] => String::new(),
        by => format!(
            "  seen by  {}, as it says\n",
            terminal::clean(&by.join(", "))
        ),
    };
    terminal::receipt(
        &done,
        &format!(
            "{what} {}\n  origin   {}\n  events   {}\n{by}",
            terminal::clean(&receipt.file),
            terminal::clean(&receipt.origin),
            receipt.events
        ),
    )
}

/// Reads a file that is no larger than an anchor can be.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, Diagnostic> {
    let failed = |error: io::Error| provara_explain::io_failure("read", path, &error);
    let file = File::open(path).map_err(failed)?;
    let mut text = Vec::new();
    // Whatever it says of its length: a device in its place would never end. What is longer is refused by its reader.
    let most = provara_core::anchor::MAX_ANCHOR as u64 + 1;
    file.take(most).read_to_end(&mut text).map_err(failed)?;
    Ok(text)
}

fn list(args: &ListArgs) -> Result<(), Diagnostic> {
    let path = &args.vault.vault;
    let vault = vault::open(path)?;
    let anchors = vault
        .anchors()
        .map_err(|error| vault_failure(error, path))?;
    let anchors: Vec<_> = anchors
        .into_iter()
        .map(|(file, anchor)| shown(file, anchor.as_ref().map_err(ToString::to_string)))
        .collect();
    if args.json.json {
        return terminal::result_json(&Listing { anchors });
    }
    if anchors.is_empty() {
        terminal::note("the vault has no anchors.");
    }
    terminal::result(&anchors.iter().map(lines).collect::<String>())
}

fn shown(file: String, anchor: Result<&Anchor, String>) -> Shown {
    let (anchor, error) = match anchor {
        Ok(anchor) => (Some(anchor), None),
        Err(error) => (None, Some(error)),
    };
    let head = anchor.map(|it| it.head().head());
    Shown {
        file,
        kind: anchor.map(|it| anchor_words(it.kind()).0),
        origin: head.map(|it| it.origin.to_string()),
        events: head.map(|it| it.size),
        claimed_by: anchor.map(Anchor::claims).unwrap_or_default(),
        claimed_at_utc: anchor.and_then(stamped_at).map(|it| it.to_string()),
        error,
    }
}

fn lines(it: &Shown) -> String {
    let mut text = format!("{}\n", terminal::clean(&it.file));
    if let Some(error) = &it.error {
        let _ = writeln!(text, "  cannot be read: {}", terminal::clean(error));
        return text;
    }
    let kind = it.kind.unwrap_or_default().replace('_', " ");
    let events = counted(it.events.unwrap_or_default(), "event");
    let origin = it.origin.as_deref().unwrap_or_default();
    let _ = writeln!(text, "  {kind}, {}, over {events}", terminal::clean(origin));
    if !it.claimed_by.is_empty() {
        let by = it.claimed_by.join(", ");
        let _ = writeln!(text, "  seen by {}, as it says", terminal::clean(&by));
    }
    if let Some(at) = &it.claimed_at_utc {
        let _ = writeln!(text, "  made at {at}, as it says");
    }
    text
}

/// Reads certificates by which time-stamp authorities are known.
pub(super) fn authorities(path: &Path) -> Result<Authorities, Diagnostic> {
    let given = read(path)?;
    Authorities::parse(&given).map_err(|error| {
        Diagnostic::new(
            Class::Usage,
            format!(
                "'{}' names no time-stamp authority: {error}.",
                path.display()
            ),
        )
        .fix("Name the certificates that the authority publishes, in PEM.")
    })
}
