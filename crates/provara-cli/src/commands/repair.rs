//! `provara repair`: what an interruption left.

use std::path::PathBuf;

use clap::Args;
use provara_core::finding::{Finding, Severity};
use provara_explain::{stray_fix, vault_failure};
use provara_report::{Class, Diagnostic};
use provara_vault::{RepairReceipt, RepairStep, VerifyOptions};

use crate::args::{JsonArg, LockArgs, VaultArg};
use crate::terminal::{self, GOOD};
use crate::vault;

/// Put right what an interrupted command left, and nothing else
///
/// A torn tail after the last whole event is moved to a file outside the vault, a seal that lags behind
/// whole and valid events is brought up to date, temporary files are removed, and a merge, an adoption, a
/// redaction or a new seal that was interrupted is completed. A payload that a redaction of the log names
/// and that is still there goes. A break inside the log, a seal that does not vouch for it and a changed
/// file are evidence: they are reported (exit code 1) and stay as they are.
#[derive(Args, Debug)]
#[command(after_long_help = "\
Examples:
  provara repair my-vault --dry-run
  provara repair my-vault

  Without a key at hand, in a vault without a mark; writers then refuse its seal:
    provara repair my-vault --unsigned")]
pub(crate) struct RepairArgs {
    #[command(flatten)]
    vault: VaultArg,

    /// Say what would be done, and write nothing
    #[arg(long, short = 'n')]
    dry_run: bool,

    /// Sign with a key from this file [env: PROVARA_KEYFILE] [default: the vault's own
    /// identity/private_keys.json]
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    keyfile: Option<PathBuf>,

    /// Renew the manifest and the Merkle root, and no signature; not in a vault that has its mark
    #[arg(long, conflicts_with = "keyfile")]
    unsigned: bool,

    #[command(flatten)]
    lock: LockArgs,

    #[command(flatten)]
    json: JsonArg,
}

pub(crate) fn run(args: &RepairArgs) -> Result<(), Diagnostic> {
    let path = &args.vault.vault;
    let vault = vault::open_to_write(path, args.lock)?;
    let failed = |error| vault_failure(error, path);
    let planned = vault.repair(None, true).map_err(failed)?;
    let signs = !planned.steps.iter().all(RepairStep::needs_no_key);
    let keyfile = match args.dry_run || args.unsigned || !(signs || args.keyfile.is_some()) {
        true => None,
        false => Some(vault::keyfile(&vault, args.keyfile.as_deref())?),
    };
    let receipt = vault
        .repair(keyfile.as_ref(), args.dry_run)
        .map_err(failed)?;
    receipt.notes.iter().for_each(|text| terminal::note(text));
    let done = match receipt.steps.len() {
        0 => "there was nothing to repair",
        _ => "the vault was repaired",
    };
    match (args.dry_run, args.json.json) {
        (true, true) => terminal::result_json(&receipt)?,
        (true, false) => terminal::result(&text(&receipt, &path.to_string_lossy()))?,
        (false, true) => terminal::receipt_json(done, &receipt)?,
        (false, false) => terminal::receipt(done, &text(&receipt, &path.to_string_lossy()))?,
    }
    if args.dry_run && !receipt.steps.is_empty() {
        return Ok(());
    }
    // What an interruption does not explain is still there, and no success.
    let report = vault.verify(&VerifyOptions::default()).map_err(failed)?;
    let wrong = |severity| severity == Severity::Error;
    match report
        .findings()
        .iter()
        .find(|finding| wrong(finding.severity))
    {
        None => Ok(()),
        Some(finding) => Err(Diagnostic::new(
            Class::Evidence,
            "The vault does not verify, and that is not what an interruption leaves.",
        )
        .detail(finding.to_string())
        .fix(not_repaired(finding, &provara_report::shell(path)))),
    }
}

/// What helps against an error that no repair puts right.
fn not_repaired(finding: &Finding, path: &str) -> String {
    match stray_fix(finding, path) {
        Some(fix) => format!("{fix}. 'provara verify {path}' shows every finding."),
        None => format!(
            "Run 'provara verify {path}' to see every finding; restore the vault from a copy that verifies."
        ),
    }
}

fn text(receipt: &RepairReceipt, path: &str) -> String {
    let path = terminal::clean(path);
    if receipt.steps.is_empty() {
        return format!("{GOOD}Nothing to repair{GOOD:#} in {path}\n");
    }
    let verb = match receipt.dry_run {
        true => "To repair",
        false => "Repaired",
    };
    let mut text = format!("{GOOD}{verb}{GOOD:#} {path}\n");
    for step in &receipt.steps {
        text.push_str(&format!("  {}\n", terminal::clean(&step.text)));
    }
    if !receipt.dry_run {
        text.push_str(&format!("  Merkle root  {}\n", receipt.merkle_root));
    }
    text
}
