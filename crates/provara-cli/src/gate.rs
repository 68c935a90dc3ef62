//! Nothing is derived from what does not verify.

use std::path::Path;

use provara_core::finding::{Code, Report, Severity};
use provara_vault::{SourceLog, Vault, VerifyOptions};

use crate::args::GateArgs;
use crate::error::vault_failure;
use crate::failure::{Exit, Failure};
use crate::{commands, terminal};

/// How many findings a refusal shows before it points to `provara verify`.
const SHOWN: usize = 5;

/// Verifies the vault before something is derived from it, and refuses one that is invalid. Gives the
/// very log that was verified.
pub(crate) fn verify_first(
    vault: &Vault,
    path: &Path,
    gate: GateArgs,
) -> Result<SourceLog, Failure> {
    let failed = |error| vault_failure(error, path);
    if gate.unverified {
        terminal::warn("the vault was not verified (--unverified): the result proves nothing.");
        return Ok(vault.snapshot().map_err(failed)?.unverified());
    }
    let examination = vault.examine(&VerifyOptions::default()).map_err(failed)?;
    // What is derived from an earlier state, or from another vault, looks like any other.
    for finding in examination.report().findings() {
        if matches!(finding.code, Code::W010 | Code::W011) {
            terminal::warn(&commands::verify::one_line(finding));
        }
    }
    match examination.verified() {
        Ok(log) => Ok(log.into_source()),
        Err(report) => Err(refusal(path, &report)),
    }
}

/// The refusal of a vault that does not verify.
pub(crate) fn refusal(vault: &Path, report: &Report) -> Failure {
    let errors: Vec<_> = report
        .findings()
        .iter()
        .filter(|finding| finding.severity == Severity::Error)
        .collect();
    let path = terminal::shell(vault);
    let mut failure = Failure::new(
        Exit::Evidence,
        format!(
            "The vault '{}' does not verify; nothing was derived from it.",
            vault.display()
        ),
    );
    for finding in errors.iter().take(SHOWN) {
        failure = failure.detail(commands::verify::one_line(finding));
    }
    if errors.len() > SHOWN {
        failure = failure.detail(format!("and {} more", errors.len() - SHOWN));
    }
    failure.fix(format!(
        "Run 'provara verify {path}' to see every finding; --unverified goes on all the same."
    ))
}
