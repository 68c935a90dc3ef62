//! `provara init`: a new vault.

use std::path::PathBuf;

use clap::Args;
use provara_explain::vault_failure;
use provara_report::{Class, Diagnostic};
use provara_vault::InitOptions;
use serde::Serialize;

use crate::args::JsonArg;
use crate::output_file;
use crate::terminal::{self, GOOD};
use crate::vault;

/// Create a vault: its identity, its first key, its genesis event and a signed seal
///
/// The directory must not exist, or be empty. The private key is written with mode 0600; whoever
/// reads it can sign in the vault's name, so keep it elsewhere with --private-keys if the vault is
/// to be copied.
#[derive(Args, Debug)]
#[command(after_long_help = "\
Examples:
  Create a vault with its key inside:
    provara init my-vault

  Keep the key outside, and add a second key that can revoke the first:
    provara init my-vault --quorum --private-keys ~/.keys/my-vault.json

  Take the root key's id in a script:
    provara init my-vault --json | jq -r .root_key_id")]
pub(crate) struct InitArgs {
    /// The directory to create
    #[arg(value_name = "VAULT", value_hint = clap::ValueHint::DirPath)]
    vault: PathBuf,

    /// The vault's identity [default: a random UUID]
    #[arg(long, value_name = "UID", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    uid: Option<String>,

    /// The actor of the genesis event [default: sovereign_genesis]
    #[arg(long, value_name = "NAME", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    actor: Option<String>,

    /// Create a second key, which can revoke and replace the first
    #[arg(long)]
    quorum: bool,

    /// Write the private keys to this file [default: VAULT/identity/private_keys.json]
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    private_keys: Option<PathBuf>,

    #[command(flatten)]
    json: JsonArg,
}

#[derive(Serialize)]
struct Receipt<'a> {
    vault: String,
    uid: &'a str,
    root_key_id: String,
    quorum_key_id: Option<String>,
    keyfile: String,
    genesis_event_id: String,
    merkle_root: String,
}

pub(crate) fn run(args: &InitArgs) -> Result<(), Diagnostic> {
    if args
        .private_keys
        .as_deref()
        .is_some_and(output_file::is_stdout)
    {
        return Err(Diagnostic::new(
            Class::Usage,
            "Private keys are not written to standard output.",
        )
        .fix("Name a file outside the vault; './-' is one of that name."));
    }
    let options = InitOptions {
        uid: args.uid.clone(),
        actor: args.actor.clone(),
        quorum: args.quorum,
        private_keys: args.private_keys.clone(),
    };
    let made = provara_vault::init(&args.vault, &options)
        .map_err(|error| vault_failure(error, &args.vault))?;
    let given_up = vault::remember_as_made(&args.vault);
    let notes = made.notes.iter().chain(&given_up);
    notes.for_each(|text| terminal::note(text));
    let receipt = Receipt {
        vault: args.vault.to_string_lossy().into_owned(),
        uid: &made.uid,
        root_key_id: made.root_key_id.to_string(),
        quorum_key_id: made.quorum_key_id.map(|id| id.to_string()),
        keyfile: made.keyfile.to_string_lossy().into_owned(),
        genesis_event_id: made.genesis_event_id.to_string(),
        merkle_root: made.merkle_root.to_string(),
    };
    let done = format!("the vault '{}' was made", receipt.vault);
    if args.json.json {
        return terminal::receipt_json(&done, &receipt);
    }
    let mut text = format!(
        "{GOOD}Created{GOOD:#} {}\n  uid          {}\n  root key     {}\n",
        terminal::clean(&receipt.vault),
        terminal::clean(receipt.uid),
        receipt.root_key_id,
    );
    if let Some(id) = &receipt.quorum_key_id {
        text.push_str(&format!("  quorum key   {id}\n"));
    }
    text.push_str(&format!(
        "  genesis      {}\n  Merkle root  {}\n  private keys {} (keep secret, keep a copy)\n",
        receipt.genesis_event_id,
        receipt.merkle_root,
        terminal::clean(&receipt.keyfile),
    ));
    terminal::receipt(&done, &text)
}
