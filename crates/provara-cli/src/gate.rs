//! Nothing is derived from what does not verify.

use std::path::Path;

use provara_core::finding::{Code, Report};
use provara_explain::vault_failure;
use provara_report::Diagnostic;
use provara_vault::{SourceLog, Vault, VerifyOptions};

use crate::args::GateArgs;
use crate::progress::Progress;
use crate::terminal;

/// Verifies the vault before something is derived from it, and refuses one that is invalid. Gives the
/// very log that was verified.
pub(crate) fn verify_first(
    vault: &Vault,
    path: &Path,
    gate: GateArgs,
) -> Result<SourceLog, Diagnostic> {
    if gate.unverified {
        terminal::warn("the vault was not verified (--unverified): the result proves nothing.");
    }
    verified_for(vault, path, gate, true)
}

/// As [`verify_first`], for a command that shows to others what it derives: it has no option to go on.
pub(crate) fn verify_strictly(vault: &Vault, path: &Path) -> Result<SourceLog, Diagnostic> {
    verified_for(vault, path, GateArgs { unverified: false }, false)
}

fn verified_for(
    vault: &Vault,
    path: &Path,
    gate: GateArgs,
    optional: bool,
) -> Result<SourceLog, Diagnostic> {
    let progress = Progress::new();
    let log = log_of(
        &progress.watching(vault, "verifying"),
        path,
        gate,
        optional,
        |report| {
            progress.clear();
            // What is derived from an earlier state, or from another vault, looks like any other.
            for finding in report.findings() {
                if matches!(finding.code, Code::W010 | Code::W011) {
                    terminal::warn(&finding.to_string());
                }
            }
        },
    );
    progress.clear();
    log
}

/// As [`verify_first`], for a vault that was verified a moment ago: what is to be known of it was said then.
pub(crate) fn verify_again(
    vault: &Vault,
    path: &Path,
    gate: GateArgs,
) -> Result<SourceLog, Diagnostic> {
    log_of(vault, path, gate, true, |_| ())
}

/// Refuses what was derived from a log that another program changed meanwhile.
pub(crate) fn check_unchanged(log: &SourceLog, path: &Path) -> Result<(), Diagnostic> {
    log.check_unchanged()
        .map_err(|error| vault_failure(error, path))
}

fn log_of(
    vault: &Vault,
    path: &Path,
    gate: GateArgs,
    optional: bool,
    tell: impl FnOnce(&Report),
) -> Result<SourceLog, Diagnostic> {
    let failed = |error| vault_failure(error, path);
    if gate.unverified {
        return Ok(vault.snapshot().map_err(failed)?.unverified());
    }
    let examination = vault.examine(&VerifyOptions::default()).map_err(failed)?;
    tell(examination.report());
    match examination.verified() {
        Ok(log) => Ok(log.into_source()),
        Err(report) => Err(provara_explain::unverified(path, &report, optional)),
    }
}
