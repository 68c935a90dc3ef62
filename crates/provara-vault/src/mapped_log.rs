//! A large log, mapped into memory: its bytes are the file's, whatever another program does to that.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::error::{Context, VaultError};
use crate::file_times::FileTimes;
use crate::log_hashes::LogHashes;
use crate::map::{Mapping, may_be_written};
use provara_core::parallel::available_threads;

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
    /// Whether somebody may have had it open for writing when it was mapped. Who has a page of it mapped for
    /// writing, and wrote to it before, moves no time by writing there again.
    had_writers: bool,
    /// Whether it ended with a line end when it was mapped.
    whole: bool,
    /// Those of its bytes, with their parts, as they were when they verified.
    hashes: OnceLock<LogHashes>,
}

impl MappedLog {
    /// Maps the first `len` bytes of a log, which must have as many.
    pub(crate) fn of(file: &File, len: usize, path: &Path) -> Result<Self, VaultError> {
        let file = file.try_clone().context("map", path)?;
        // In this order: who opens it afterwards moves these times by the first write.
        let times = telling_times(&file, path)?;
        let had_writers = may_be_written(&file);
        let mapping = Mapping::of(&file, len).context("map", path)?;
        Ok(Self {
            whole: mapping.ends_with(b"\n"),
            mapping,
            file,
            path: path.to_owned(),
            times: Mutex::new(times),
            had_writers,
            hashes: OnceLock::new(),
        })
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.mapping
    }

    /// Takes note of what the bytes hashed to when they verified: hashes with parts, of all of them.
    pub(crate) fn note_hashes(&self, hashes: LogHashes) {
        let _ = self.hashes.set(hashes);
    }

    /// What its bytes hashed to when they verified, if they did.
    pub(crate) fn hashes(&self) -> Option<&LogHashes> {
        let hashes = self.hashes.get();
        hashes.filter(|it| it.length() == self.mapping.len() as u64)
    }

    /// Whether another program may have changed it: that it has not is only known by its hashes otherwise.
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

    /// Refuses a log that another program was seen to change while it was held against the rules: its times tell, and
    /// where they do, its hashes decide.
    pub(crate) fn check_verified(&self) -> Result<(), VaultError> {
        self.check_length()?;
        if !self.may_be_changed() {
            return Ok(());
        }
        // Appending changes them, too, and so does a hard link.
        let now = telling_times(&self.file, &self.path)?;
        self.compare_from(0)?;
        *self.times.lock().unwrap_or_else(PoisonError::into_inner) = now;
        Ok(())
    }

    /// Refuses a log that does not hold from byte `from` on what it held when it verified.
    pub(crate) fn check_from(&self, from: usize) -> Result<(), VaultError> {
        self.check_length()?;
        match self.had_writers || self.may_be_changed() {
            true => self.compare_from(from),
            false => Ok(()),
        }
    }

    fn compare_from(&self, from: usize) -> Result<(), VaultError> {
        let same = |hashes: &LogHashes| hashes.begin_from(from, &self.mapping, available_threads());
        match self.hashes.get().is_none_or(same) && !self.mapping.is_lost() {
            true => Ok(()),
            false => Err(self.changed()),
        }
    }

    /// Refuses a log that is shorter than what was mapped of it, or that cannot be read. One that was cut and has
    /// grown again has other bytes where its last line ended: of a log that nobody verified nothing else is known.
    fn check_length(&self) -> Result<(), VaultError> {
        let there = self.file.metadata().context("read", &self.path)?;
        let shorter = there.len() < self.mapping.len() as u64;
        // In this order: what lies beyond its end is not looked at.
        match self.mapping.is_lost() || shorter || self.whole != self.mapping.ends_with(b"\n") {
            true => Err(self.changed()),
            false => Ok(()),
        }
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

#[cfg(test)]
mod tests {
    use std::thread::sleep;

    use super::*;
    use crate::map::writable;

    #[test]
    fn a_log_that_was_cut_and_grew_again_is_another_one() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let bytes = b"event\n".repeat(10_000);
        std::fs::write(&path, &bytes).unwrap();
        let file = File::options().read(true).write(true).open(&path).unwrap();
        let log = MappedLog::of(&file, bytes.len(), &path).unwrap();
        log.check_from(0).unwrap();
        file.set_len(9_000).unwrap();
        for grown in [bytes.len() as u64, bytes.len() as u64 + 100] {
            file.set_len(grown).unwrap();
            let error = log.check_from(0).unwrap_err();
            assert!(matches!(error, VaultError::LogChanged { .. }), "{error}");
        }
    }

    #[test]
    fn a_change_that_moves_no_time_is_seen_by_whoever_derived_from_the_log() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let bytes = vec![b'x'; 3 << 20];
        std::fs::write(&path, &bytes).unwrap();
        let file = File::options().read(true).write(true).open(&path).unwrap();
        let mut other = writable(&file);
        // Its page is dirty from now on: only the change from clean to dirty sets the file's times.
        other[(1 << 20) + 7] = b'x';
        sleep(2 * TICK);
        let log = MappedLog::of(&file, bytes.len(), &path).unwrap();
        log.check_from(0).expect("nobody verified it");
        log.note_hashes(LogHashes::new(true).go_on(log.bytes()));
        log.check_verified().unwrap();
        log.check_from(0).unwrap();
        other[(1 << 20) + 7] = b'y';
        for from in [0, 1 << 20, (2 << 20) - 1] {
            let error = log.check_from(from).unwrap_err();
            assert!(matches!(error, VaultError::LogChanged { .. }), "{error}");
        }
        log.check_from(2 << 20).expect("what was read is as it was");
        other[(1 << 20) + 7] = b'x';
        log.check_from(0).unwrap();
    }
}
