//! A file or directory that a command writes: outside the vault, whole or not at all, and never
//! over something that is there already unless `--force` says so.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use provara_plugins::interrupt::Guard;
use provara_plugins::staging::{self, Staging, StagingError};
use provara_report::Diagnostic;
use provara_vault::{Vault, enclosing_vault};

use crate::terminal::{self, GOOD};

/// Checks, before any work is done, that an output may be written to `path`; `vault` is the one that is read, if any.
pub(crate) fn check<'v>(
    path: &Path,
    force: bool,
    vault: impl Into<Option<&'v Vault>>,
) -> Result<(), Diagnostic> {
    staging::check(path, force, &forbidden(path, vault.into()))
        .map(drop)
        .map_err(|error| provara_explain::staging_failure(&error))
}

/// Refuses a pipe or a device in the place of a file that is written: to open it could take for ever, and nothing of
/// its kind is replaced.
pub(crate) fn refuse_special(path: &Path) -> Result<(), Diagnostic> {
    if !is_special(path) {
        return Ok(());
    }
    let error = StagingError::NotReplaceable {
        path: path.to_owned(),
        what: "neither a file nor a directory",
    };
    Err(provara_explain::staging_failure(&error))
}

/// Whether a pipe, a device or the like stands there, or where a link leads.
fn is_special(path: &Path) -> bool {
    path.metadata()
        .is_ok_and(|it| !it.is_file() && !it.is_dir())
}

/// Makes the place where the output comes into being.
pub(crate) fn prepare<'v>(
    path: &Path,
    force: bool,
    vault: impl Into<Option<&'v Vault>>,
) -> Result<Staging, Diagnostic> {
    Staging::prepare(path, force, &forbidden(path, vault.into()))
        .map(|staging| {
            staging.notes().iter().for_each(|note| terminal::note(note));
            staging.on_remains(|path, error| {
                let path = path.display();
                terminal::warn(&format!("'{path}' could not be removed: {error}."));
            })
        })
        .map_err(|error| provara_explain::staging_failure(&error))
}

/// The vaults in which nothing may be written: the one that is read, and any around the output.
fn forbidden(path: &Path, vault: Option<&Vault>) -> Vec<PathBuf> {
    let read = vault.map(|vault| vault.path().to_owned());
    read.into_iter().chain(enclosing_vault(path)).collect()
}

/// Moves the output into its place.
pub(crate) fn commit(output: Staging) -> Result<(), Diagnostic> {
    output
        .commit()
        .map_err(|error| provara_explain::staging_failure(&error))
}

/// Whether the output is to be standard output.
pub(crate) fn is_stdout(path: &Path) -> bool {
    path == Path::new("-")
}

/// Writes a staged output that is one file. A signal ends the writing; what is staged is removed
/// when the staging is dropped.
pub(crate) fn write<E>(
    output: &Staging,
    fill: impl FnOnce(&mut dyn Write) -> Result<(), E>,
    explain: impl FnOnce(E) -> Diagnostic,
) -> Result<(), Diagnostic> {
    let path = output.output();
    let failed = |error: io::Error| provara_explain::io_failure("write", output.target(), &error);
    let guard = Guard::new().map_err(|error| provara_explain::signals_failure(&error))?;
    let file = File::create_new(path).map_err(failed)?;
    let mut writer = Interruptible {
        inner: BufWriter::with_capacity(1 << 16, file),
        guard,
    };
    let filled = fill(&mut writer);
    if let Some(signal) = writer.guard.received() {
        return Err(provara_explain::interrupted(signal));
    }
    filled.map_err(explain)?;
    writer.inner.flush().map_err(failed)
}

/// Stops writing when a signal has asked the command to end.
struct Interruptible<W> {
    inner: W,
    guard: Guard,
}

impl<W: Write> Write for Interruptible<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.guard.received().is_some() {
            // Not `Interrupted`, which writers take as a reason to try again.
            return Err(io::Error::other("interrupted"));
        }
        self.inner.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// What was done when an output was written, for somebody who could not be told.
pub(crate) fn done(path: &Path) -> String {
    format!("'{}' was written", path.display())
}

/// Tells a person that an output was written.
pub(crate) fn told(path: &Path) -> String {
    format!(
        "{GOOD}Wrote{GOOD:#} {}\n",
        terminal::clean(&path.to_string_lossy())
    )
}
