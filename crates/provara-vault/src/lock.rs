//! One writer at a time: an advisory lock on the log itself, so that the vault holds no lock file.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use crate::error::{Context, VaultError};
use crate::file_system::has_no_locks;

/// The longest pause between two attempts.
const PAUSE: Duration = Duration::from_millis(20);

/// What a writer does where the file system has no locks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WithoutLocks {
    /// It refuses: nothing would keep two writers apart.
    Refuse,
    /// It goes on. Somebody has said that nobody else writes to the vault.
    GoOn,
}

/// Opens the log for appending and takes its lock, waiting up to `timeout`. The lock goes when the
/// file is closed, by whatever end the process meets. Tells whether it is held, or the file system has none.
pub(crate) fn lock_log(
    path: &Path,
    timeout: Duration,
    without: WithoutLocks,
) -> Result<(File, Attempt), VaultError> {
    let start = Instant::now();
    let mut pause = Duration::from_micros(200);
    loop {
        let log = OpenOptions::new()
            .read(true)
            .append(true)
            .custom_flags(rustix::fs::OFlags::NOFOLLOW.bits() as i32)
            .open(path)
            .context("open for writing", path)?;
        match try_lock(&log, path)? {
            Attempt::Held => return Ok((log, Attempt::Held)),
            Attempt::Replaced => continue,
            Attempt::Unsupported if without == WithoutLocks::GoOn => {
                return Ok((log, Attempt::Unsupported));
            }
            Attempt::Unsupported => {
                return Err(VaultError::NoLocks {
                    path: path.to_owned(),
                });
            }
            Attempt::Busy => {}
        }
        let waited = start.elapsed();
        if waited >= timeout {
            return Err(VaultError::Locked {
                path: path.to_owned(),
                waited,
                holder: holder(&log).unwrap_or_else(|| "another writer".to_owned()),
            });
        }
        thread::sleep(pause.min(timeout - waited));
        pause = (pause * 2).min(PAUSE);
    }
}

/// What came of asking for a lock on the open log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Attempt {
    /// It is held. It goes with [`File::unlock`] or with the file.
    Held,
    /// It is held, but another file stands in the log's place meanwhile, as a merge puts one there: the
    /// log's lock is then another one.
    Replaced,
    /// A writer holds the log.
    Busy,
    /// The file system has no locks.
    Unsupported,
}

/// Tries to take the writers' lock on the log that was opened at `path`.
fn try_lock(log: &File, path: &Path) -> Result<Attempt, VaultError> {
    match log.try_lock() {
        Ok(()) if is_at(log, path).context("open for writing", path)? => Ok(Attempt::Held),
        Ok(()) => Ok(Attempt::Replaced),
        Err(TryLockError::WouldBlock) => Ok(Attempt::Busy),
        Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Interrupted => {
            Ok(Attempt::Busy)
        }
        Err(TryLockError::Error(error)) if has_no_locks(&error) => Ok(Attempt::Unsupported),
        Err(TryLockError::Error(error)) => Err(error).context("lock", path),
    }
}

/// Tries to take a reader's lock on the log that was opened at `path`: while it is held, no writer is at
/// work.
pub(crate) fn try_lock_shared(log: &File, path: &Path) -> io::Result<Attempt> {
    match log.try_lock_shared() {
        Ok(()) if is_at(log, path).unwrap_or(false) => Ok(Attempt::Held),
        Ok(()) => Ok(Attempt::Replaced),
        Err(TryLockError::WouldBlock) => Ok(Attempt::Busy),
        Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Interrupted => {
            Ok(Attempt::Busy)
        }
        Err(TryLockError::Error(error)) if has_no_locks(&error) => Ok(Attempt::Unsupported),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// Whether the open file is still what stands at `path`.
pub(crate) fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    let (open, there) = (file.metadata()?, fs::symlink_metadata(path)?);
    Ok((open.dev(), open.ino()) == (there.dev(), there.ino()))
}

/// Who holds the lock, as Linux tells it in `/proc/locks`: "process 4711 (provara)".
fn holder(log: &File) -> Option<String> {
    let metadata = log.metadata().ok()?;
    let locks = fs::read_to_string("/proc/locks").ok()?;
    let pid = locks
        .lines()
        .find_map(|line| lock_holder(line, metadata.dev(), metadata.ino()))?;
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    Some(match name.trim() {
        "" => format!("process {pid}"),
        name => format!("process {pid} ({})", name.escape_default()),
    })
}

/// The process id in a line of `/proc/locks`, if the line is a held `flock` on this file.
/// (`1: FLOCK  ADVISORY  WRITE 4711 fe:00:131 0 EOF`; a waiting one has `->` after the number.)
fn lock_holder(line: &str, device: u64, inode: u64) -> Option<u32> {
    let mut fields = line.split_ascii_whitespace().skip(1);
    if fields.next()? != "FLOCK" {
        return None;
    }
    let pid = fields.nth(2)?.parse().ok().filter(|pid| *pid > 0)?;
    let mut file = fields.next()?.split(':');
    let major = u32::from_str_radix(file.next()?, 16).ok()?;
    let minor = u32::from_str_radix(file.next()?, 16).ok()?;
    // Signed and of 32 bits on macOS, which has no such file.
    let device = device as rustix::fs::Dev;
    let same = file.next()?.parse() == Ok(inode)
        && (major, minor) == (rustix::fs::major(device), rustix::fs::minor(device));
    same.then_some(pid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_writer_waits_and_is_told_who_holds_the_lock() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        fs::write(&path, b"").unwrap();
        let lock = |timeout| lock_log(&path, timeout, WithoutLocks::Refuse);
        let first = lock(Duration::ZERO).unwrap();
        let error = lock(Duration::from_millis(30)).unwrap_err();
        let VaultError::Locked { waited, holder, .. } = &error else {
            panic!("{error}");
        };
        assert!(*waited >= Duration::from_millis(30));
        if cfg!(target_os = "linux") && fs::metadata("/proc/locks").is_ok() {
            assert!(holder.contains(&std::process::id().to_string()) || holder == "another writer");
        }
        let shared = || try_lock_shared(&File::open(&path).unwrap(), &path).unwrap();
        assert_eq!(shared(), Attempt::Busy);
        drop(first);
        assert_eq!(shared(), Attempt::Held);
        lock(Duration::ZERO).unwrap();
    }

    #[test]
    fn a_lock_on_a_file_that_was_replaced_is_not_the_logs_lock() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        fs::write(&path, b"").unwrap();
        let old = File::open(&path).unwrap();
        fs::write(directory.path().join("new"), b"").unwrap();
        fs::rename(directory.path().join("new"), &path).unwrap();
        assert!(!is_at(&old, &path).unwrap());
        assert_eq!(try_lock_shared(&old, &path).unwrap(), Attempt::Replaced);
        old.unlock().unwrap();
        assert_eq!(try_lock(&old, &path).unwrap(), Attempt::Replaced);
        let new = File::open(&path).unwrap();
        assert!(is_at(&new, &path).unwrap());
        assert_eq!(try_lock_shared(&new, &path).unwrap(), Attempt::Held);
        new.unlock().unwrap();
        assert_eq!(try_lock(&new, &path).unwrap(), Attempt::Held);
        // With nothing at its path, a reader looks again, and a writer has no log.
        new.unlock().unwrap();
        fs::remove_file(&path).unwrap();
        assert_eq!(try_lock_shared(&new, &path).unwrap(), Attempt::Replaced);
        new.unlock().unwrap();
        assert!(matches!(try_lock(&new, &path), Err(VaultError::Io { .. })));
    }

    #[test]
    fn lines_of_proc_locks() {
        let device = rustix::fs::makedev(0xfe, 0);
        let held = "1: FLOCK  ADVISORY  WRITE 4711 fe:00:131 0 EOF";
        assert_eq!(lock_holder(held, device, 131), Some(4711));
        for other in [
            "1: FLOCK  ADVISORY  WRITE 4711 fe:00:132 0 EOF",
            "1: POSIX  ADVISORY  WRITE 4711 fe:00:131 0 EOF",
            "1: -> FLOCK  ADVISORY  WRITE 4712 fe:00:131 0 EOF",
            "1: FLOCK  ADVISORY  WRITE -1 fe:00:131 0 EOF",
            "",
        ] {
            assert_eq!(lock_holder(other, device, 131), None, "{other}");
        }
    }
}
