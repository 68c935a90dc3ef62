//! `provara checkpoint`: a signed snapshot of the beliefs.

use clap::Args;
use provara_explain::vault_failure;
use provara_report::Diagnostic;
use serde::Serialize;

use crate::args::{GateArgs, JsonArg, KeyArgs, LockArgs, VaultArg};
use crate::terminal::{self, GOOD};
use crate::{gate, vault};

/// Sign a snapshot of the vault's beliefs, from which a replay can start
///
/// A checkpoint is a shortcut and never a source of truth: the events are. It is written below
/// checkpoints/ and enters the manifest. The vault must verify first.
#[derive(Args, Debug)]
#[command(after_long_help = "\
Examples:
  provara checkpoint my-vault
  provara checkpoint my-vault --keyfile ~/.keys/my-vault.json --json")]
pub(crate) struct CheckpointArgs {
    #[command(flatten)]
    vault: VaultArg,

    #[command(flatten)]
    key: KeyArgs,

    #[command(flatten)]
    gate: GateArgs,

    #[command(flatten)]
    lock: LockArgs,

    #[command(flatten)]
    json: JsonArg,
}

#[derive(Serialize)]
struct Receipt {
    path: String,
    event_count: u64,
    last_event_id: Option<String>,
    state_hash: String,
    merkle_root: String,
    key_id: String,
}

pub(crate) fn run(args: &CheckpointArgs) -> Result<(), Diagnostic> {
    let path = &args.vault.vault;
    let vault = vault::open_to_write(path, args.lock)?;
    let keyfile = vault::keyfile(&vault, args.key.keyfile.as_deref())?;
    gate::verify_first(&vault, path, args.gate)?;
    let made = vault
        .checkpoint(&keyfile, args.key.key_id)
        .map_err(|error| vault_failure(error, path))?;
    made.notes.iter().for_each(|text| terminal::note(text));
    let receipt = Receipt {
        path: made.path.to_string_lossy().into_owned(),
        event_count: made.event_count,
        last_event_id: made.last_event_id.map(|id| id.to_string()),
        state_hash: made.state_hash.to_string(),
        merkle_root: made.merkle_root.to_string(),
        key_id: made.key_id.to_string(),
    };
    let done = format!(
        "the checkpoint '{}' is in the vault and sealed",
        receipt.path
    );
    if args.json.json {
        return terminal::receipt_json(&done, &receipt);
    }
    terminal::receipt(
        &done,
        &format!(
            "{GOOD}Wrote{GOOD:#} {}\n  events      {}\n  last event  {}\n  state hash  {}\n  signed by   {}\n",
            terminal::clean(&receipt.path),
            receipt.event_count,
            receipt.last_event_id.as_deref().unwrap_or("none"),
            receipt.state_hash,
            receipt.key_id,
        ),
    )
}
