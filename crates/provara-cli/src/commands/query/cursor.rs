//! How far a log was read, kept in a file.
//!
//! A cursor names the last event that was looked at, and the SHA-256 of the log as far as that. So whoever
//! goes on from it knows that what was read before still stands there, event by event and in its order.

use std::fs;
use std::io::{self, Read as _, Write};
use std::path::Path;

use provara_core::id::Digest;
use provara_explain::io_failure;
use provara_report::{Class, Diagnostic, shell};
use provara_vault::{SourceLog, Vault, enclosing_vault};
use serde::{Deserialize, Serialize};
use tempfile::NamedTempFile;

use crate::output_file;

/// The form of the file.
const FORMAT: &str = "provara-cursor-1";

/// A place in a log, after an event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Cursor {
    format: String,
    /// How many events were read.
    pub(super) events: u64,
    /// How many bytes these are.
    bytes: u64,
    /// Their SHA-256.
    sha256: String,
}

impl Cursor {
    /// The place after the first `events` events of a log.
    pub(super) fn after(log: &SourceLog, events: u64) -> Self {
        let bytes = match events {
            0 => 0,
            _ => {
                let ends = memchr::memchr_iter(b'\n', log.bytes());
                let end = ends.take(events as usize).last();
                end.map_or(log.bytes().len(), |at| at + 1)
            }
        };
        Self {
            format: FORMAT.to_owned(),
            events,
            bytes: bytes as u64,
            sha256: Digest::of(&log.bytes()[..bytes]).to_string(),
        }
    }

    /// The bytes of the log after the place, if the log is still the one that was read.
    pub(super) fn rest<'l>(&self, log: &'l SourceLog) -> Option<&'l [u8]> {
        let bytes = usize::try_from(self.bytes).ok()?;
        let read = log.bytes().get(..bytes)?;
        (Digest::of(read).to_string() == self.sha256).then(|| &log.bytes()[bytes..])
    }
}

/// Refuses a file that may not be written, before anything is printed.
pub(super) fn check(file: &Path, vault: &Vault) -> Result<(), Diagnostic> {
    if enclosing_vault(file).is_some() || file.starts_with(vault.path()) {
        return Err(Diagnostic::new(
            Class::Usage,
            format!("The cursor '{}' would lie in a vault.", file.display()),
        )
        .fix("Keep it elsewhere: a vault holds its own files alone."));
    }
    read(file)?;
    // That it cannot be kept is said before anything is read or printed.
    staged(file)?;
    remove_left(file);
    Ok(())
}

/// More than a cursor takes, in bytes.
const LONGEST: u64 = 4096;

/// What the file says; nothing where there is none yet.
pub(super) fn read(file: &Path) -> Result<Option<Cursor>, Diagnostic> {
    output_file::refuse_special(file)?;
    // A cursor is short; what is named may be anything.
    let read = fs::File::open(file).and_then(|file| {
        let mut text = Vec::new();
        file.take(LONGEST).read_to_end(&mut text).map(|_| text)
    });
    let text = match read {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(io_failure("read", file, &error)),
    };
    match serde_json::from_slice::<Cursor>(&text) {
        Ok(cursor) if cursor.format == FORMAT => Ok(Some(cursor)),
        _ => Err(Diagnostic::new(
            Class::Usage,
            format!("'{}' is no cursor of this program.", file.display()),
        )
        .fix("Name another file, or remove this one to begin at the start of the log.")),
    }
}

/// Puts the cursor into the file, whole or not at all.
pub(super) fn write(file: &Path, cursor: &Cursor) -> Result<(), Diagnostic> {
    let failed = |error: io::Error| io_failure("write", file, &error);
    let mut staged = staged(file)?;
    let mut text = serde_json::to_vec(cursor).map_err(|error| failed(error.into()))?;
    text.push(b'\n');
    staged.write_all(&text).map_err(failed)?;
    staged.as_file().sync_all().map_err(failed)?;
    staged.persist(file).map_err(|error| failed(error.error))?;
    Ok(())
}

/// What a new text of a cursor is written into begins so.
const STAGED: &str = ".provara-cursor-";

/// An empty file beside the cursor's, which is removed unless it takes its place. It is locked for as long as it
/// is being written, so that it is known for one that was left when it is not.
fn staged(file: &Path) -> Result<NamedTempFile, Diagnostic> {
    let failed = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => {
            let directory = directory_of(file);
            Diagnostic::new(
                Class::Unavailable,
                format!(
                    "The cursor '{}' cannot be kept: there is no directory '{}'.",
                    file.display(),
                    directory.display()
                ),
            )
            .fix(format!("Make it first: mkdir -p {}", shell(directory)))
        }
        _ => io_failure("write", file, &error),
    };
    loop {
        let staged = tempfile::Builder::new()
            .prefix(STAGED)
            .tempfile_in(directory_of(file))
            .map_err(failed)?;
        // A file system without locks has no one who removes by them, either.
        let _ = staged.as_file().lock();
        // Somebody may have taken it for one that was left, before it was locked.
        if staged.path().try_exists().map_err(failed)? {
            return Ok(staged);
        }
    }
}

fn directory_of(file: &Path) -> &Path {
    match file.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// Removes what killed programs left beside the cursor.
fn remove_left(file: &Path) {
    for entry in fs::read_dir(directory_of(file))
        .into_iter()
        .flatten()
        .flatten()
    {
        let name = entry.file_name();
        if !name.as_encoded_bytes().starts_with(STAGED.as_bytes())
            || !entry.file_type().is_ok_and(|kind| kind.is_file())
        {
            continue;
        }
        let path = entry.path();
        if let Ok(left) = fs::File::open(&path)
            && left.try_lock().is_ok()
        {
            // Whoever cannot remove it has the cursor all the same.
            let _ = fs::remove_file(&path);
        }
    }
}
