//! One writer at a time: an advisory lock on the log itself, so that the vault holds no lock file.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use crate::error::{Context, VaultError};

/// The longest pause between two attempts.
const PAUSE: Duration = Duration::from_millis(20);

/// Opens the log for appending and takes its lock, waiting up to `timeout`. The lock goes when the
/// file is closed, by whatever end the process meets.
pub(crate) fn lock_log(path: &Path, timeout: Duration) -> Result<File, VaultError> {
    let start = Instant::now();
    let mut pause = Duration::from_micros(200);
    loop {
        let log = OpenOptions::new()
            .read(true)
            .append(true)
            .custom_flags(rustix::fs::OFlags::NOFOLLOW.bits() as i32)
            .open(path)
            .context("open for writing", path)?;
        match log.try_lock() {
            // A merge puts a new file in the log's place; its lock is then another one.
            Ok(()) if is_at(&log, path).context("open for writing", path)? => return Ok(log),
            Ok(()) => continue,
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(TryLockError::Error(error)) => return Err(error).context("lock", path),
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

/// What came of asking for a reader's lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shared {
    /// It is held: no writer is at work. It goes with [`File::unlock`] or with the file.
    Held,
    /// A writer holds the log.
    Busy,
    /// The file system has no locks.
    Unsupported,
}

/// Tries to take a reader's lock on the open log.
pub(crate) fn try_lock_shared(log: &File) -> io::Result<Shared> {
    match log.try_lock_shared() {
        Ok(()) => Ok(Shared::Held),
        Err(TryLockError::WouldBlock) => Ok(Shared::Busy),
        Err(TryLockError::Error(error)) => match error.kind() {
            io::ErrorKind::Interrupted => Ok(Shared::Busy),
            io::ErrorKind::Unsupported => Ok(Shared::Unsupported),
            _ => Err(error),
        },
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
        let first = lock_log(&path, Duration::ZERO).unwrap();
        let error = lock_log(&path, Duration::from_millis(30)).unwrap_err();
        let VaultError::Locked { waited, holder, .. } = &error else {
            panic!("{error}");
        };
        assert!(*waited >= Duration::from_millis(30));
        if cfg!(target_os = "linux") && fs::metadata("/proc/locks").is_ok() {
            assert!(holder.contains(&std::process::id().to_string()) || holder == "another writer");
        }
        assert_eq!(
            try_lock_shared(&File::open(&path).unwrap()).unwrap(),
            Shared::Busy
        );
        drop(first);
        assert_eq!(
            try_lock_shared(&File::open(&path).unwrap()).unwrap(),
            Shared::Held
        );
        lock_log(&path, Duration::ZERO).unwrap();
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
        assert!(is_at(&File::open(&path).unwrap(), &path).unwrap());
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
