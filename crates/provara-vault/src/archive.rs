//! A vault as one file: a tar archive, compressed or not, that verifies as it is after unpacking. Zip archives,
//! as the older tool writes them, are only read.
//!
//! The archive holds one directory, named after the vault, with the seal first: a reader knows from
//! its beginning what may follow.

mod backup;
mod gzip;
mod restore;
mod staging;
mod zipped;

use std::cell::Cell;
use std::io::{self, Read};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

pub use backup::{BackupOptions, BackupReceipt};
pub use restore::{RestoreOptions, RestoreReceipt, restore, restore_through, restore_watched};

use provara_core::manifest::safe_path;

use crate::error::VaultError;
use crate::file_system::{Names, sync_directory};

/// Whoever is told how many bytes of how many are done, and may end the work.
pub(super) struct Watch<'w> {
    told: &'w dyn Fn(u64, u64) -> ControlFlow<()>,
    cancelled: Cell<bool>,
}

impl<'w> Watch<'w> {
    fn of(told: &'w dyn Fn(u64, u64) -> ControlFlow<()>) -> Self {
        Self {
            told,
            cancelled: Cell::new(false),
        }
    }

    /// Tells; an error ends the work.
    fn tell(&self, done: u64, total: u64) -> io::Result<()> {
        match (self.told)(done, total) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => {
                self.cancelled.set(true);
                Err(io::Error::other("cancelled"))
            }
        }
    }

    /// Tells how far a reader has come, which holds `total` bytes.
    fn reading<R: Read>(&self, inner: R, total: u64) -> Watched<'_, R> {
        let done = 0;
        Watched {
            inner,
            watch: self,
            done,
            total,
        }
    }

    /// The result, if the work was not ended: whatever it says then, that is why.
    fn settle<T>(&self, result: Result<T, VaultError>) -> Result<T, VaultError> {
        match self.cancelled.get() {
            true => Err(VaultError::Cancelled),
            false => result,
        }
    }
}

/// A reader whose progress is told.
pub(super) struct Watched<'w, R> {
    inner: R,
    watch: &'w Watch<'w>,
    done: u64,
    total: u64,
}

impl<R: Read> Read for Watched<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.inner.read(buffer)?;
        self.done += length as u64;
        self.watch.tell(self.done.min(self.total), self.total)?;
        Ok(length)
    }
}

/// The most entries of an archive.
const MOST_ENTRIES: usize = 1 << 20;

/// What an entry's name is inside the archive; `None` for the directory that holds everything.
///
/// # Errors
/// Why no entry may have that name.
fn plain_name(name: &str, is_directory: bool) -> Result<Option<String>, &'static str> {
    let name = name.strip_prefix("./").unwrap_or(name);
    let name = match is_directory {
        true => name.trim_end_matches('/'),
        false => name,
    };
    if is_directory && matches!(name, "" | ".") {
        return Ok(None);
    }
    match safe_path(name) {
        true => Ok(Some(name.to_owned())),
        false => Err("would be written outside the vault, or has no plain name"),
    }
}

/// The directory that `path` is to stand in.
fn parent(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => PathBuf::from("."),
        Some(parent) => parent.to_owned(),
        None => PathBuf::from("/"),
    }
}

/// Makes the names in a directory durable, where the file system can.
fn sync(directory: &Path) -> io::Result<Names> {
    Names::of(sync_directory(directory))
}
