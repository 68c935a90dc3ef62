//! A large log, mapped into memory: its bytes are the file's, whatever another program does to that.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use provara_core::id::Digest;
use sha2::Digest as _;

use crate::error::{Context, VaultError};
use crate::file_times::FileTimes;
use crate::files::hash_prefix;
use crate::map::Mapping;

/// How long ago a file has changed when its times are taken, at least, for them to tell of a later change: file
/// systems take the time from the kernel's timer, which ticks every 10 ms or faster.
const TICK: Duration = Duration::from_millis(20);

/// The first bytes of a log.
#[derive(Debug)]
pub(crate) struct MappedLog {
    mapping: Mapping,
    file: File,
    path: PathBuf,
    /// With which its content was the one that was taken, if they would tell of another one.
    times: Mutex<Option<FileTimes>>,
    /// What it hashed to when it verified.
    digest: OnceLock<Digest>,
}

impl MappedLog {
    /// Maps the first `len` bytes of a log, which must have as many.
    pub(crate) fn of(file: &File, len: usize, path: &Path) -> Result<Self, VaultError> {
        let file = file.try_clone().context("map", path)?;
        let times = telling_times(&file, path)?;
        Ok(Self {
            mapping: Mapping::of(&file, len).context("map", path)?,
            file,
            path: path.to_owned(),
            times: Mutex::new(times),
            digest: OnceLock::new(),
        })
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.mapping
    }

    /// Takes note of what the bytes hashed to when they verified.
    pub(crate) fn note_digest(&self, digest: Digest) {
        let _ = self.digest.set(digest);
    }

    /// Whether another program may have changed it: that it has not is only known by its hash otherwise.
    pub(crate) fn may_be_changed(&self) -> bool {
        let times = *self.times.lock().unwrap_or_else(PoisonError::into_inner);
        let same = |there: &std::fs::Metadata| times == Some(FileTimes::of(there));
        self.mapping.is_lost() || !self.file.metadata().is_ok_and(|there| same(&there))
    }

    /// Why it cannot be gone on with, where it may be changed.
    pub(crate) fn changed(&self) -> VaultError {
        VaultError::LogChanged {
            path: self.path.clone(),
        }
    }

    /// Refuses a log that does not hold any more what was taken of it.
    pub(crate) fn check(&self) -> Result<(), VaultError> {
        let there = self.file.metadata().context("read", &self.path)?;
        if self.mapping.is_lost() || there.len() < self.mapping.len() as u64 {
            return Err(self.changed());
        }
        let mut times = self.times.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(digest) = self.digest.get() else {
            return Ok(());
        };
        if *times == Some(FileTimes::of(&there)) {
            return Ok(());
        }
        // Appending changes them, too, and so does a hard link.
        let now = telling_times(&self.file, &self.path)?;
        let length = self.mapping.len() as u64;
        let found = hash_prefix(&self.file, length).context("read", &self.path)?;
        if found.is_none_or(|found| found.finalize()[..] != digest.0) {
            return Err(self.changed());
        }
        *times = now;
        Ok(())
    }
}

/// The times of a file, if they are not so new that a change to come may have the same.
fn telling_times(file: &File, path: &Path) -> Result<Option<FileTimes>, VaultError> {
    let times = FileTimes::of(&file.metadata().context("read", path)?);
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let before = now.ok().and_then(|now| now.checked_sub(TICK));
    Ok(before
        .is_some_and(|before| times.are_before(before))
        .then_some(times))
}
