//! `provara merge`: the events of another copy of the vault.

use std::path::{Path, PathBuf};

use clap::Args;
use provara_core::id::KeyId;
use provara_explain::vault_failure;
use provara_report::Diagnostic;
use provara_vault::{MergeOptions, MergeOrder, MergeReceipt};

use crate::args::{JsonArg, KeyArgs, LockArgs, VaultArg, key_id};
use crate::progress::Progress;
use crate::terminal::{self, GOOD};
use crate::text::counted;
use crate::vault;

/// Take in the events of another copy of this vault
///
/// The other copy must verify, and so must the result; otherwise nothing changes. By default the
/// merged log has the order of the format (each actor's chain, then time), which is the same whichever
/// copy merges the other. Statements about an earlier prefix of this log then no longer hold;
/// --append-only keeps the log as it is, but for payloads that the other copy redacted, and puts what is new
/// after it. That is the default where tree heads of this copy were published. The command says which it did. Both copies must have a seal that vouches for them.
#[derive(Args, Debug)]
#[command(after_long_help = "\
Examples:
  provara merge my-vault /mnt/laptop/my-vault
  provara merge my-vault copy --append-only --json

  A copy whose actor said two different things at one place is refused, with both events. To keep
  both on purpose, in a vault that then no longer verifies (PROVARA_E002):
    provara merge my-vault copy --keep-forks")]
pub(crate) struct MergeArgs {
    #[command(flatten)]
    vault: VaultArg,

    /// The copy to merge from; it is only read
    #[arg(value_name = "OTHER", value_hint = clap::ValueHint::DirPath)]
    other: PathBuf,

    #[command(flatten)]
    how: HowArgs,

    #[command(flatten)]
    key: KeyArgs,

    #[command(flatten)]
    lock: LockArgs,

    #[command(flatten)]
    json: JsonArg,
}

/// How a merge or an import is done.
#[derive(Args, Debug)]
pub(crate) struct HowArgs {
    /// Keep this log as it is, and put what is new after it
    #[arg(long)]
    append_only: bool,

    /// Put the log into the order of the format, though tree heads of this copy were published; they then no
    /// longer hold, and the next one has a new origin
    #[arg(long, conflicts_with = "append_only")]
    break_heads: bool,

    /// Keep both events of a fork; the result does not verify
    #[arg(long)]
    keep_forks: bool,

    /// Trust this key of the other side, though no event in the log brings it (repeatable): an event adds
    /// it. A merge is not signed with a key that it only begins to trust
    #[arg(long, value_name = "ID", value_parser = key_id)]
    trust_key: Vec<KeyId>,
}

impl HowArgs {
    pub(crate) fn options(&self, key: &KeyArgs) -> MergeOptions {
        MergeOptions {
            append_only: self.append_only,
            break_heads: self.break_heads,
            keep_forks: self.keep_forks,
            trust_keys: self.trust_key.clone(),
            key_id: key.key_id,
            actor: None,
        }
    }
}

pub(crate) fn run(args: &MergeArgs) -> Result<(), Diagnostic> {
    let path = &args.vault.vault;
    let vault = vault::open_to_write(path, args.lock)?;
    let other = vault::open(&args.other)?;
    let progress = Progress::new();
    let other = progress.watching(&other, "verifying the other vault");
    let vault = progress.watching(&vault, "verifying");
    let keyfile = vault::keyfile(&vault, args.key.keyfile.as_deref())?;
    let merged = vault.merge(&other, &keyfile, &args.how.options(&args.key));
    progress.clear();
    let receipt = merged.map_err(|error| vault_failure(error, path))?;
    report(&receipt, path, &args.how, args.json)
}

/// Tells what a merge did that was asked for in this way.
pub(crate) fn report(
    receipt: &MergeReceipt,
    path: &Path,
    how: &HowArgs,
    json: JsonArg,
) -> Result<(), Diagnostic> {
    receipt.notes.iter().for_each(|text| terminal::note(text));
    for fork in &receipt.forks {
        terminal::warn(&format!(
            "the chain of '{}' forks: {} and {} stand at one place; the vault does not verify.",
            terminal::clean(&fork.actor),
            fork.events[0].event_id,
            fork.events[1].event_id
        ));
    }
    let done = match receipt.order {
        MergeOrder::Unchanged => "there was nothing to merge".to_owned(),
        _ => format!(
            "the merge is in the vault, with {}, durable and sealed",
            counted(receipt.imported, "new event")
        ),
    };
    if json.json {
        return terminal::receipt_json(&done, receipt);
    }
    let (verb, order) = match receipt.order {
        MergeOrder::Unchanged => (
            "Unchanged",
            "the log is the merged one already; nothing was written".to_owned(),
        ),
        MergeOrder::Appended => ("Merged", following(how, "")),
        MergeOrder::Redacted => (
            "Merged",
            following(how, " but for payloads that the other side erased"),
        ),
        MergeOrder::Rewritten => (
            "Merged",
            format!(
                "rewritten in the order of the format; the first {} bytes are as before",
                receipt.kept_prefix
            ),
        ),
    };
    let signed = receipt
        .signed_by
        .map_or_else(String::new, |key| format!("  signed by    {key}\n"));
    terminal::receipt(
        &done,
        &format!(
            "{GOOD}{verb}{GOOD:#} {}\n  new events   {}\n  events       {}\n  order        {order}\n  Merkle root  {}\n{signed}",
            terminal::clean(&path.to_string_lossy()),
            receipt.imported,
            receipt.event_count,
            receipt.merkle_root,
        ),
    )
}

/// Where the new events stand after the log as it was, `but_for` something: because that was asked for, or because the
/// order of the format has them there.
fn following(how: &HowArgs, but_for: &str) -> String {
    let order = match how.append_only {
        true => "as --append-only asks",
        false => "which is the order of the format here",
    };
    format!("the log as it was{but_for}, and the new events after it, {order}")
}
