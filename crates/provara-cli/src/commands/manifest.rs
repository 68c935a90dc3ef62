//! `provara manifest`: a new seal.

use clap::Args;
use provara_explain::vault_failure;
use provara_report::{Class, Diagnostic};

use crate::args::{JsonArg, LockArgs, VaultArg};
use crate::terminal::{self, GOOD};
use crate::vault;

/// Make the seal anew: the list of files, their Merkle root, its signature
///
/// Every append does this by itself. It is needed after a file was added or changed by hand, for example
/// below artifacts/ or policies/. In a vault that has its mark an event states the files, so that the log
/// speaks of them. A log that does not verify, and a seal that does not vouch for it, are evidence: they are
/// refused, and 'provara adopt' is for an owner who has looked at them. So is a vault that lacks a file that
/// every vault has.
#[derive(Args, Debug)]
#[command(after_long_help = "\
Examples:
  provara manifest my-vault
  provara manifest my-vault --keyfile ~/.keys/my-vault.json --json

  Without a key at hand, in a vault without a mark; nobody then vouches for what is listed:
    provara manifest my-vault --unsigned")]
pub(crate) struct ManifestArgs {
    #[command(flatten)]
    vault: VaultArg,

    /// Sign with a key from this file [env: PROVARA_KEYFILE] [default: the vault's own
    /// identity/private_keys.json]
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    keyfile: Option<std::path::PathBuf>,

    /// Write the manifest and the Merkle root, and no signature; not in a vault that has its mark
    #[arg(long, conflicts_with = "keyfile")]
    unsigned: bool,

    /// Who states the files [env: PROVARA_ACTOR] [default: provara_user]
    #[arg(long, value_name = "NAME")]
    actor: Option<String>,

    /// Replaced by 'provara adopt', which shows what it finds and asks
    #[arg(long, hide = true)]
    new_seal: bool,

    #[command(flatten)]
    lock: LockArgs,

    #[command(flatten)]
    json: JsonArg,
}

pub(crate) fn run(args: &ManifestArgs) -> Result<(), Diagnostic> {
    let path = &args.vault.vault;
    if args.new_seal {
        return Err(Diagnostic::new(
            Class::Usage,
            "'provara adopt' has taken the place of 'provara manifest --new-seal'.",
        )
        .fix(format!(
            "Look at what it finds, and say that it is yours: provara adopt {}",
            provara_report::shell(path)
        )));
    }
    let vault = vault::open_to_write(path, args.lock)?;
    let keyfile = if args.unsigned {
        None
    } else {
        Some(vault::keyfile(&vault, args.keyfile.as_deref())?)
    };
    let actor = vault::actor(args.actor.as_deref())?;
    let receipt = vault
        .manifest_by(keyfile.as_ref(), &actor)
        .map_err(|error| vault_failure(error, path))?;
    receipt.notes.iter().for_each(|text| terminal::note(text));
    let done = format!("the seal of '{}' was made anew", path.display());
    if args.json.json {
        return terminal::receipt_json(&done, &receipt);
    }
    let signed_by = receipt
        .signed_by
        .map_or_else(|| "nobody".to_owned(), |key| key.to_string());
    terminal::receipt(
        &done,
        &format!(
            "{GOOD}Sealed{GOOD:#} {}\n  files        {}\n  events       {}\n  Merkle root  {}\n  signed by    {signed_by}\n",
            terminal::clean(&path.to_string_lossy()),
            receipt.file_count,
            receipt.event_count,
            receipt.merkle_root,
        ),
    )
}
