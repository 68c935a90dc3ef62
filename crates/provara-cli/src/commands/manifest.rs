//! `provara manifest`: a new seal.

use clap::Args;

use crate::cli::{JsonArg, VaultArg};
use crate::error::vault_failure;
use crate::failure::Failure;
use crate::out::{self, GOOD};
use crate::vault;

/// Make the seal anew: the list of files, their Merkle root, its signature
///
/// Every append does this by itself. It is needed after a file was added by hand, for example below
/// artifacts/, or after an interrupted append. It changes no event. A log that does not begin with what
/// was sealed, or is broken beyond it, is evidence: it is refused, and not sealed anew. So is a vault
/// that has a Merkle root or a signature and no manifest, one that has no seal at all, unless --new-seal
/// is given, and one that lacks a file that every vault has. A signature of another seal, which may show that the log was longer, is kept
/// outside the vault before another one takes its place, and a note names the file.
#[derive(Args, Debug)]
#[command(after_long_help = "\
Examples:
  provara manifest my-vault
  provara manifest my-vault --keyfile ~/.keys/my-vault.json --json

  Without a key at hand; 'provara verify' then warns that the seal is unsigned:
    provara manifest my-vault --unsigned")]
pub(crate) struct ManifestArgs {
    #[command(flatten)]
    vault: VaultArg,

    /// Sign with a key from this file [env: PROVARA_KEYFILE] [default: the vault's own
    /// identity/private_keys.json]
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    keyfile: Option<std::path::PathBuf>,

    /// Write the manifest and the Merkle root, and no signature
    #[arg(long, conflicts_with = "keyfile")]
    unsigned: bool,

    /// Make a seal for a vault that has none, if its log verifies: whoever removed it may have cut the
    /// log before, and then nothing tells
    #[arg(long)]
    new_seal: bool,

    #[command(flatten)]
    json: JsonArg,
}

pub(crate) fn run(args: &ManifestArgs) -> Result<(), Failure> {
    let path = &args.vault.vault;
    let vault = vault::open(path)?;
    let keyfile = if args.unsigned {
        None
    } else {
        Some(vault::keyfile(&vault, args.keyfile.as_deref())?)
    };
    let sealed = match args.new_seal {
        true => vault.new_seal(keyfile.as_ref()),
        false => vault.manifest(keyfile.as_ref()),
    };
    let receipt = sealed.map_err(|error| vault_failure(error, path))?;
    receipt.notes.iter().for_each(|text| out::note(text));
    let done = format!("the seal of '{}' was made anew", path.display());
    if args.json.json {
        return out::receipt_json(&done, &receipt);
    }
    let signed_by = receipt
        .signed_by
        .map_or_else(|| "nobody".to_owned(), |key| key.to_string());
    out::receipt(
        &done,
        &format!(
            "{GOOD}Sealed{GOOD:#} {}\n  files        {}\n  events       {}\n  Merkle root  {}\n  signed by    {signed_by}\n",
            out::clean(&path.to_string_lossy()),
            receipt.file_count,
            receipt.event_count,
            receipt.merkle_root,
        ),
    )
}
