//! Archives, read with care: their entries one by one, or all of them into memory.

mod tarred;
mod zipped;
mod zstd;

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::ops::ControlFlow;
use std::path::Path;

use provara_core::manifest::safe_path;

use crate::error::{ArchiveError, Context, VaultError};

/// An archive may unpack to this many times its size, and this much more: a log of signed events
/// shrinks to a third, not to a hundredth.
const EXPANSION: u64 = 100;
const ALLOWANCE: u64 = 64 << 20;

/// The most that an honest archive of this size unpacks to.
pub(crate) fn honest(size: u64) -> u64 {
    size.saturating_mul(EXPANSION).saturating_add(ALLOWANCE)
}

/// Goes through the entries of an archive: name, whether it is a directory, size, content.
pub(crate) fn each_entry(
    path: &Path,
    limit: u64,
    watch: &Watch<'_>,
    take: impl FnMut(String, bool, u64, &mut dyn Read) -> Result<(), VaultError>,
) -> Result<(), VaultError> {
    let mut magic = [0; 4];
    let mut file = File::open(path).context("read", path)?;
    match file.read_exact(&mut magic) {
        Ok(()) if zipped::MAGIC.contains(&magic) => zipped::each_entry(path, limit, watch, take),
        _ => tarred::each_entry(path, limit, watch, take),
    }
}

/// Whoever is told how many bytes of how many are done, and may end the work.
pub(crate) struct Watch<'w> {
    told: &'w dyn Fn(u64, u64) -> ControlFlow<()>,
    cancelled: Cell<bool>,
}

impl<'w> Watch<'w> {
    pub(crate) fn of(told: &'w dyn Fn(u64, u64) -> ControlFlow<()>) -> Self {
        Self {
            told,
            cancelled: Cell::new(false),
        }
    }

    /// Tells; an error ends the work.
    pub(crate) fn tell(&self, done: u64, total: u64) -> io::Result<()> {
        match (self.told)(done, total) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => {
                self.cancelled.set(true);
                Err(io::Error::other("cancelled"))
            }
        }
    }

    /// Tells how far a reader has come, which holds `total` bytes.
    pub(crate) fn reading<R: Read>(&self, inner: R, total: u64) -> Watched<'_, R> {
        let done = 0;
        Watched {
            inner,
            watch: self,
            done,
            total,
        }
    }

    /// The result, if the work was not ended: whatever it says then, that is why.
    pub(crate) fn settle<T>(&self, result: Result<T, VaultError>) -> Result<T, VaultError> {
        match self.cancelled.get() {
            true => Err(VaultError::Cancelled),
            false => result,
        }
    }
}

/// A reader whose progress is told.
pub(crate) struct Watched<'w, R> {
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

/// As [`held_files_within`], without a bound of the caller's.
///
/// # Errors
/// As [`held_files_within`].
pub(crate) fn held_files(path: &Path) -> Result<BTreeMap<String, Vec<u8>>, VaultError> {
    held_files_within(path, u64::MAX)
}

/// Every file of an archive with its content, in memory; no more than an honest archive of its size holds, and no more than
/// `most` bytes in all.
///
/// # Errors
/// [`VaultError::Archive`] for one that is refused, as a restoration refuses it; [`VaultError::Io`].
pub fn held_files_within(path: &Path, most: u64) -> Result<BTreeMap<String, Vec<u8>>, VaultError> {
    let size = std::fs::metadata(path).context("read", path)?.len();
    let watch = Watch::of(&|_, _| ControlFlow::Continue(()));
    let mut files = BTreeMap::new();
    each_entry(
        path,
        honest(size).min(most),
        &watch,
        |name, is_directory, _, content| {
            if is_directory {
                return Ok(());
            }
            // Whatever the entry says of its size, memory is taken for what is there.
            let mut bytes = Vec::new();
            content.read_to_end(&mut bytes).context("read", path)?;
            match files.insert(name.clone(), bytes) {
                None => Ok(()),
                Some(_) => Err(ArchiveError::Entry {
                    entry: name,
                    reason: "is there twice",
                }
                .into()),
            }
        },
    )?;
    Ok(files)
}
