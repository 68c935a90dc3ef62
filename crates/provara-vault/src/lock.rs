//! One writer at a time: an advisory lock on the log itself, so that the vault holds no lock file.
//!
//! A writer tries for some milliseconds, which is as long as most hold it, and then waits in the system's own
//! queue ([`waiting`]): who only tried again and again would lose to one that holds it for all but a moment.

mod content;
mod held;
mod standing;
mod waiting;

pub use held::{HeldDescriptor, held_descriptors};

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::ops::Deref;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::process;
use std::thread;
use std::time::{Duration, Instant};

use sha2::Sha256;

use crate::error::{Context, VaultError};
use crate::file_layer::Temporary;
use crate::file_system::has_no_locks;
use content::Content;
use held::Registered;
use standing::Standing;
use waiting::{Kind, Wait, wait};

/// How often a writer tries before it queues, and the pause between. A place in the queue costs a thread, and the
/// lock stands idle from its release until that thread has woken its writer; whoever tries in between has it.
const TRIES: u32 = 20;
const BETWEEN: Duration = Duration::from_millis(2);

/// The pause between two attempts of a writer that has no thread to wait on.
const PAUSE: Duration = Duration::from_millis(20);

/// What a writer does where the file system has no locks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WithoutLocks {
    /// It refuses: nothing would keep two writers apart.
    Refuse,
    /// It goes on. Somebody has said that nobody else writes to the vault.
    GoOn,
}

/// The longest wait, a day: the clock cannot be asked for more than it holds.
const LONGEST: Duration = Duration::from_secs(86_400);

/// The log, open, under its lock: the writers', or a reader's. It is released when this is dropped, and
/// by whatever end the process meets.
#[derive(Debug)]
pub(crate) struct LockedLog {
    // Dropped first, before the file is closed.
    _registered: Registered,
    file: File,
    standing: Standing,
    content: Content,
    process: u32,
}

impl LockedLog {
    /// The file of the log at `path`, whose lock is held.
    fn of(file: File, path: &Path) -> Result<Self, VaultError> {
        Ok(Self {
            standing: Standing::of(path)?,
            content: Content::of(&file),
            _registered: Registered::of(&file),
            file,
            process: process::id(),
        })
    }

    /// A file, whose lock is held, that is about to take this log's place.
    pub(crate) fn successor(&self, file: File) -> Self {
        Self {
            standing: self.standing.clone(),
            content: Content::of(&file),
            _registered: Registered::of(&file),
            file,
            process: process::id(),
        }
    }

    /// Lets others in; the file stays open.
    pub(crate) fn release(&self) {
        let _ = self.file.unlock();
    }

    /// Refuses a log that is not what stands in the vault any more, has another length than `length`, or
    /// was edited since the last note of it: another program replaced, removed, cut, extended or changed it,
    /// or moved the vault. To be asked before what cannot be taken back, and before what is acknowledged.
    ///
    /// # Errors
    /// [`VaultError::LogLost`], or [`VaultError::Io`].
    pub(crate) fn check(&self, length: u64) -> Result<(), VaultError> {
        let there = self.standing.check(&self.file, Some(length))?;
        self.standing
            .check_content(&self.content, &self.file, &there)
    }

    /// As [`LockedLog::check`], whatever its length and what it holds.
    pub(crate) fn check_place(&self) -> Result<(), VaultError> {
        self.standing.check(&self.file, None).map(|_| ())
    }

    /// Takes note of what was read since the lock was taken, or since the last change that was noted: the
    /// first `length` bytes, which `hasher` is over.
    pub(crate) fn note_read(&self, length: u64, hasher: &Sha256) {
        self.content.read(length, hasher);
    }

    /// Takes note of a change to the log that its writer has made.
    pub(crate) fn note_change(&self) {
        self.content.changed(&self.file);
    }

    /// Whether nothing has changed the log between the last note of `before`, under an earlier lock, and this
    /// lock.
    pub(crate) fn is_as_left(&self, before: &Self) -> bool {
        let times = self.content.times();
        times.is_some() && times == before.content.times()
    }

    /// The error of an operation; where the system refused, perhaps because the vault is not there any more,
    /// that.
    pub(crate) fn blame(&self, error: VaultError) -> VaultError {
        if let VaultError::Io { .. } | VaultError::Sync { .. } | VaultError::SealLags { .. } = error
            && let Err(lost @ VaultError::LogLost { .. }) = self.check_place()
        {
            return lost;
        }
        error
    }

    /// Refuses where the vault's directory is not at its path any more.
    ///
    /// # Errors
    /// [`VaultError::LogLost`], or [`VaultError::Io`].
    pub(crate) fn check_root(&self) -> Result<(), VaultError> {
        self.standing.check_root()
    }

    /// Whether the vault's directory is still at its path.
    pub(crate) fn is_in_place(&self) -> bool {
        self.check_root().is_ok()
    }

    /// Refuses a file that does not lie in this vault, but in what was put in its place.
    pub(crate) fn check_within(&self, file: &Temporary) -> Result<(), VaultError> {
        self.standing.check_within(file.within(), file.directory())
    }
}

impl Deref for LockedLog {
    type Target = File;

    fn deref(&self) -> &File {
        &self.file
    }
}

impl Drop for LockedLog {
    fn drop(&mut self) {
        // In words: a forked child may have the open file, and the lock would stay until that ends. It is
        // the lock of the process that took it, so a child that comes here leaves it alone.
        if self.process == process::id() {
            let _ = self.file.unlock();
        }
    }
}

/// Opens the log for appending and takes its lock, waiting up to `timeout`. Tells whether it is held, or the
/// file system has none.
pub(crate) fn lock_log(
    path: &Path,
    timeout: Duration,
    without: WithoutLocks,
) -> Result<(LockedLog, Attempt), VaultError> {
    lock_within(path, timeout, Kind::Exclusive, without)
}

/// Opens the log and takes a reader's lock, waiting up to `timeout`: while it is held, no writer is at work.
/// A file system without locks gives it at once.
pub(crate) fn lock_log_shared(path: &Path, timeout: Duration) -> Result<LockedLog, VaultError> {
    let (log, _) = lock_within(path, timeout, Kind::Shared, WithoutLocks::GoOn)?;
    Ok(log)
}

fn lock_within(
    path: &Path,
    timeout: Duration,
    kind: Kind,
    without: WithoutLocks,
) -> Result<(LockedLog, Attempt), VaultError> {
    let start = Instant::now();
    let timeout = timeout.min(LONGEST);
    let until = start + timeout;
    let mut tries = 0;
    loop {
        let log = open_for(kind, path)?;
        let attempt = match kind {
            Kind::Exclusive => try_lock(&log, path)?,
            Kind::Shared => try_lock_shared(&log, path).context("lock", path)?,
        };
        match attempt {
            Attempt::Held => return Ok((LockedLog::of(log, path)?, attempt)),
            Attempt::Replaced => continue,
            Attempt::Unsupported if without == WithoutLocks::GoOn => {
                return Ok((LockedLog::of(log, path)?, attempt));
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
        if tries < TRIES {
            tries += 1;
            thread::sleep(BETWEEN.min(timeout - waited));
            continue;
        }
        let there = log.metadata().context("read", path)?;
        match wait(log, (there.dev(), there.ino()), kind, until).context("lock", path)? {
            Wait::Held(log) => {
                // Another file may stand there meanwhile, and this one's lock is then not the log's.
                let log = LockedLog::of(log, path)?;
                if is_at(&log, path).unwrap_or(false) {
                    return Ok((log, Attempt::Held));
                }
            }
            Wait::Late => {}
            Wait::NoThread => {
                thread::sleep(PAUSE.min(until.saturating_duration_since(Instant::now())));
            }
        }
    }
}

fn open_for(kind: Kind, path: &Path) -> Result<File, VaultError> {
    let action = match kind {
        Kind::Exclusive => "open for writing",
        Kind::Shared => "read",
    };
    OpenOptions::new()
        .read(true)
        .append(kind == Kind::Exclusive)
        .custom_flags(rustix::fs::OFlags::NOFOLLOW.bits() as i32)
        .open(path)
        .context(action, path)
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

impl Attempt {
    /// What the system's answer means, wherever the file is.
    fn of(answer: Result<(), TryLockError>) -> io::Result<Self> {
        match answer {
            Ok(()) => Ok(Self::Held),
            Err(TryLockError::WouldBlock) => Ok(Self::Busy),
            Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Interrupted => {
                Ok(Self::Busy)
            }
            Err(TryLockError::Error(error)) if has_no_locks(&error) => Ok(Self::Unsupported),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}

/// Tries to take the writers' lock on the log that was opened at `path`.
fn try_lock(log: &File, path: &Path) -> Result<Attempt, VaultError> {
    match Attempt::of(log.try_lock()).context("lock", path)? {
        Attempt::Held if !is_at(log, path).context("open for writing", path)? => {
            Ok(Attempt::Replaced)
        }
        attempt => Ok(attempt),
    }
}

/// Tries to take a reader's lock on the log that was opened at `path`: while it is held, no writer is at
/// work.
pub(crate) fn try_lock_shared(log: &File, path: &Path) -> io::Result<Attempt> {
    match Attempt::of(log.try_lock_shared())? {
        Attempt::Held if !is_at(log, path).unwrap_or(false) => Ok(Attempt::Replaced),
        attempt => Ok(attempt),
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
    use rustix::io::Errno;

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
        // Of another namespace the system lists no process.
        let metadata = first.0.metadata().unwrap();
        let listed = fs::read_to_string("/proc/locks").unwrap_or_default();
        let mut listed = listed.lines();
        match listed.find_map(|line| lock_holder(line, metadata.dev(), metadata.ino())) {
            Some(pid) => assert!(holder.starts_with(&format!("process {pid}")), "{holder}"),
            None => assert_eq!(holder, "another writer"),
        }
        let shared = || try_lock_shared(&File::open(&path).unwrap(), &path).unwrap();
        assert_eq!(shared(), Attempt::Busy);
        drop(first);
        assert_eq!(shared(), Attempt::Held);
        lock(Duration::ZERO).unwrap();
    }

    #[test]
    fn a_lock_goes_with_its_process_whoever_else_has_the_open_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        fs::write(&path, b"").unwrap();
        let lock = || lock_log(&path, Duration::ZERO, WithoutLocks::Refuse).map(|(log, _)| log);
        // As a forked child has it.
        let parents = lock().unwrap();
        let of_child = parents.file.try_clone().unwrap();
        drop(parents);
        lock().unwrap();
        drop(of_child);
        // And what the child drops is not its own.
        let mut of_child = lock().unwrap();
        of_child.process = process::id() + 1;
        let kept = of_child.file.try_clone().unwrap();
        drop(of_child);
        assert!(matches!(lock(), Err(VaultError::Locked { .. })));
        drop(kept);
        lock().unwrap();
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
    fn a_call_that_was_interrupted_is_made_again() {
        let answer = |errno: Errno| {
            let error = io::Error::from(errno);
            Attempt::of(Err(TryLockError::Error(error)))
        };
        assert_eq!(answer(Errno::INTR).unwrap(), Attempt::Busy);
        assert_eq!(answer(Errno::NOLCK).unwrap(), Attempt::Unsupported);
        assert_eq!(
            answer(Errno::IO).unwrap_err().raw_os_error(),
            Some(Errno::IO.raw_os_error())
        );
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
            // So is a process of another namespace listed.
            "1: FLOCK  ADVISORY  WRITE 0 fe:00:131 0 EOF",
            "",
        ] {
            assert_eq!(lock_holder(other, device, 131), None, "{other}");
        }
    }
}
