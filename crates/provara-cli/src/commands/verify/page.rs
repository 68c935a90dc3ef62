//! The report of a verification that `--report` asks for.

use std::path::Path;

use provara_explain::{io_failure, vault_failure, verification_page};
use provara_report::{Class, Diagnostic};
use provara_vault::{Examination, Vault, VerifyOptions, now};

use crate::{output_file, terminal};

/// Checks, before anything is verified, that the report may be written to `file`.
pub(super) fn check(file: &Path, force: bool, vault: &Vault) -> Result<(), Diagnostic> {
    if output_file::is_stdout(file) {
        return Err(Diagnostic::new(
            Class::Usage,
            "The report of a verification is a file: standard output has the result.",
        )
        .fix("Name a file, as in --report my-vault.html."));
    }
    output_file::refuse_special(file)?;
    output_file::check(file, force, vault)
}

/// The report, of the bytes that were verified.
pub(super) fn of(
    examination: &Examination,
    options: &VerifyOptions,
    vault: &Path,
) -> Result<String, Diagnostic> {
    let version = env!("CARGO_PKG_VERSION");
    now()
        .and_then(|now| verification_page(examination, options, vault, version, now))
        .map_err(|error| vault_failure(error, vault))
}

/// Writes the report and says so where it is not the result.
pub(super) fn write(file: &Path, page: &str, force: bool, vault: &Vault) -> Result<(), Diagnostic> {
    let staging = output_file::prepare(file, force, vault)?;
    output_file::write(
        &staging,
        |out| out.write_all(page.as_bytes()),
        |error| io_failure("write", file, &error),
    )?;
    output_file::commit(staging)?;
    terminal::note(&format!("The report was written to '{}'.", file.display()));
    Ok(())
}
