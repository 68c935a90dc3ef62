//! `provara backup` and `provara restore`: a vault as one file, and back.

use std::path::{Path, PathBuf};

use clap::Args;
use provara_explain::vault_failure;
use provara_report::Diagnostic;
use provara_vault::{BackupOptions, RestoreOptions, Vault, VaultError, layout, restore_watched};

use crate::args::{JsonArg, VaultArg};
use crate::progress::Interruptible;
use crate::terminal::{self, GOOD};
use crate::vault;

/// Write the vault to an archive that verifies as it is
///
/// One consistent state is taken while others may append, verified, packed, and read back before the
/// archive gets its name. After unpacking with any tar, 'provara verify' accepts the directory. Private
/// keys stay out unless --with-private-keys asks for them.
#[derive(Args, Debug)]
#[command(after_long_help = "\
Examples:
  provara backup my-vault /mnt/backup/my-vault-2026-11-22.tar
  provara backup my-vault my-vault.tar.gz --force --json")]
pub(crate) struct BackupArgs {
    #[command(flatten)]
    vault: VaultArg,

    /// The archive to write: a name that ends with .tar, .tar.gz or .tgz, outside the vault
    #[arg(value_name = "TARGET", value_hint = clap::ValueHint::FilePath)]
    target: PathBuf,

    /// Put the vault's identity/private_keys.json into the archive as well
    #[arg(long)]
    with_private_keys: bool,

    /// Replace the archive if it is there
    #[arg(long)]
    force: bool,

    #[command(flatten)]
    json: JsonArg,
}

pub(crate) fn run(args: &BackupArgs) -> Result<(), Diagnostic> {
    let path = &args.vault.vault;
    let work = Interruptible::new()?;
    let vault = vault::open(path)?.with_progress(work.told("backing up"));
    let options = BackupOptions {
        private_keys: args.with_private_keys,
        force: args.force,
    };
    let written = vault.backup(&args.target, options);
    if let Err(error @ VaultError::Exists { .. }) = written {
        return Err(vault_failure(error, path)
            .fix("Name another archive, or add --force to replace this one."));
    }
    let receipt = work.end(
        written,
        path,
        "no archive was written, and what was begun of it is removed",
    )?;
    receipt
        .of_place
        .iter()
        .for_each(|text| terminal::note(text));
    if receipt.private_keys {
        terminal::warn("the archive holds private keys: whoever has it can sign as this vault.");
    } else {
        terminal::note(&without_keys(&vault, path));
    }
    let done = format!("the archive '{}' was written", args.target.display());
    if args.json.json {
        return terminal::receipt_json(&done, &receipt);
    }
    terminal::receipt(
        &done,
        &format!(
            "{GOOD}Wrote{GOOD:#} {}\n  events       {}\n  files        {}\n  bytes        {}\n  Merkle root  {}\n",
            terminal::clean(&args.target.to_string_lossy()),
            receipt.event_count,
            receipt.file_count,
            receipt.size,
            receipt.merkle_root,
        ),
    )
}

/// Where the key is that is not in the archive, and has to be kept as well.
fn without_keys(vault: &Vault, path: &Path) -> String {
    let keyfile = match vault::keyfile_path(vault, None) {
        // As it was typed.
        own if own == vault.default_keyfile() => path.join(layout::PRIVATE_KEYS),
        other => other,
    };
    let place = match keyfile.exists() {
        true => format!("the private key in {}", provara_report::shell(&keyfile)),
        false => "the vault's private key".to_owned(),
    };
    format!(
        "{place} is not in the archive. Keep a copy of it elsewhere: without it nothing can be appended to what is \
         restored."
    )
}

/// Unpack an archive into a new vault, after checking it
///
/// Nothing is written before the whole archive was read: every name, kind and size, and each file
/// against the archive's own manifest. Links, names that leave the directory and archives that unpack
/// to far more than their size are refused. The vault must verify before it gets its name.
#[derive(Args, Debug)]
#[command(after_long_help = "\
Examples:
  provara restore /mnt/backup/my-vault-2026-11-22.tar my-vault
  provara restore my-vault.tar.gz restored --json")]
pub(crate) struct RestoreArgs {
    /// The archive: tar, compressed with gzip or not, or zip
    #[arg(value_name = "ARCHIVE", value_hint = clap::ValueHint::FilePath)]
    archive: PathBuf,

    /// The directory to make; it must not be there yet, or be empty
    #[arg(value_name = "VAULT", value_hint = clap::ValueHint::DirPath)]
    vault: PathBuf,

    /// Unpack at most so many bytes [default: 100 times the archive's size and 64 MiB]
    #[arg(long, value_name = "BYTES", value_parser = clap::value_parser!(u64).range(1..))]
    max_size: Option<u64>,

    #[command(flatten)]
    json: JsonArg,
}

pub(crate) fn restore(args: &RestoreArgs) -> Result<(), Diagnostic> {
    let options = RestoreOptions {
        max_size: args.max_size,
    };
    let work = Interruptible::new()?;
    let told = work.told("restoring");
    let mut receipt = work.end(
        restore_watched(&args.archive, &args.vault, options, told),
        &args.vault,
        "no vault was restored, and what was begun of it is removed",
    )?;
    receipt.notes.extend(vault::remember_as_made(&args.vault));
    receipt.notes.iter().for_each(|text| terminal::note(text));
    let done = format!("the vault '{}' was restored", args.vault.display());
    if args.json.json {
        return terminal::receipt_json(&done, &receipt);
    }
    let keys = match receipt.private_keys {
        true => "restored",
        false => "not in the archive",
    };
    terminal::receipt(
        &done,
        &format!(
            "{GOOD}Restored{GOOD:#} {}\n  events        {}\n  files         {}\n  Merkle root   {}\n  private keys  {keys}\n",
            terminal::clean(&args.vault.to_string_lossy()),
            receipt.event_count,
            receipt.file_count,
            receipt.merkle_root,
        ),
    )
}
