//! The log as a reducer gets it: a copy of the snapshot that nobody can change, and nothing beyond it.
//!
//! The log itself grows while a reducer runs, and whoever has a descriptor of it can read what came after
//! the snapshot. A copy has no more than the snapshot, and each host gets one of its own: the position in
//! it, which a host may move, tells the next host nothing.
//!
//! On Linux the copy is a sealed file in memory. Where the snapshot would take too much of it, and on other
//! systems, it is a file without a name in the directory for temporary files.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

/// How much is copied at a time, in bytes.
const PIECE: usize = 1 << 20;

/// The part of the machine's memory that a copy may take: one in so many.
const MEMORY_SHARE: u64 = 8;

/// Copies the first `len` bytes of a log, or what there is of them, and opens the copy for reading only.
pub(crate) fn copy(log: &File, len: u64) -> io::Result<File> {
    copy_within(log, len, crate::memory::physical() / MEMORY_SHARE)
}

/// As [`copy`], with at most this many bytes in memory.
fn copy_within(log: &File, len: u64, most: u64) -> io::Result<File> {
    #[cfg(target_os = "linux")]
    if len <= most
        && let Some(copy) = in_memory(log, len)?
    {
        return Ok(copy);
    }
    let _ = most;
    in_file(log, len)
}

/// A copy in memory; none where the kernel makes no such files.
#[cfg(target_os = "linux")]
fn in_memory(log: &File, len: u64) -> io::Result<Option<File>> {
    use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
    use rustix::io::Errno;

    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let made = match memfd_create("log", flags | MemfdFlags::NOEXEC_SEAL) {
        // Before Linux 6.3.
        Err(Errno::INVAL) => memfd_create("log", flags),
        made => made,
    };
    let copy = match made {
        Ok(made) => File::from(made),
        Err(Errno::NOSYS | Errno::PERM | Errno::ACCESS) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    fill(log, len, &copy)?;
    let seals = SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL;
    fcntl_add_seals(&copy, seals)?;
    reopened(&copy).map(Some)
}

/// A copy in a file that has no name.
fn in_file(log: &File, len: u64) -> io::Result<File> {
    let directory = std::env::temp_dir();
    #[cfg(target_os = "linux")]
    {
        use rustix::fs::{Mode, OFlags};

        let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
        if let Ok(copy) = rustix::fs::open(&directory, flags, Mode::RUSR | Mode::WUSR) {
            let copy = File::from(copy);
            fill(log, len, &copy)?;
            return reopened(&copy);
        }
    }
    in_unnamed_file(log, len, &directory)
}

/// The same where the file system has no files without a name: it gets one and loses it.
fn in_unnamed_file(log: &File, len: u64, directory: &Path) -> io::Result<File> {
    let mut random = [0; 8];
    getrandom::fill(&mut random).map_err(io::Error::other)?;
    let name = format!("provara-log-{:016x}", u64::from_le_bytes(random));
    let path = directory.join(name);
    let copy = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&path)?;
    let opened = File::open(&path);
    std::fs::remove_file(&path)?;
    fill(log, len, &copy)?;
    opened
}

/// The same file, opened for reading only and from its start.
#[cfg(target_os = "linux")]
fn reopened(file: &File) -> io::Result<File> {
    use std::os::fd::AsRawFd;

    File::open(format!("/proc/self/fd/{}", file.as_raw_fd()))
}

/// Writes the first `len` bytes of a log to a file. The position in the log stays where it is.
fn fill(log: &File, len: u64, mut copy: &File) -> io::Result<()> {
    let mut piece = vec![0; PIECE];
    let mut done = 0;
    while done < len {
        let most = usize::try_from(len - done).map_or(PIECE, |left| left.min(PIECE));
        match log.read_at(&mut piece[..most], done) {
            // It became shorter. Whoever reads the copy is told how long it should be.
            Ok(0) => break,
            Ok(count) => {
                copy.write_all(&piece[..count])?;
                done += count as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::TempDir;
    use std::fs;
    use std::io::Read;

    #[test]
    fn a_copy_is_the_snapshot_and_nothing_else() {
        let dir = TempDir::new();
        let path = dir.path().join("log");
        let text: Vec<u8> = (0..3 * PIECE).map(|at| (at % 251) as u8).collect();
        fs::write(&path, &text).unwrap();
        let mut log = File::open(&path).unwrap();
        let mut head = [0; 5];
        log.read_exact(&mut head).unwrap();
        let len = 2 * PIECE + 7;
        let unnamed = in_unnamed_file(&log, len as u64, dir.path()).unwrap();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        for mut copy in [
            copy_within(&log, len as u64, u64::MAX).unwrap(),
            copy_within(&log, len as u64, 0).unwrap(),
            unnamed,
        ] {
            let mut found = Vec::new();
            copy.read_to_end(&mut found).unwrap();
            assert!(found == text[..len]);
            assert_eq!(copy.read_at(&mut [0; 9], len as u64).unwrap(), 0);
            assert!(copy.write(b"x").is_err() && copy.set_len(9).is_err());
        }
        // The position in the log is where it was.
        let mut next = [0; 1];
        log.read_exact(&mut next).unwrap();
        assert_eq!(next, text[5..6]);
        // One that became shorter gives what there is.
        let copy = copy(&log, 4 * PIECE as u64).unwrap();
        assert_eq!(copy.metadata().unwrap().len(), text.len() as u64);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_copy_in_memory_cannot_be_changed_by_whoever_opens_it_again() {
        use std::os::fd::AsRawFd;

        let dir = TempDir::new();
        let path = dir.path().join("log");
        fs::write(&path, "events").unwrap();
        let copy = copy_within(&File::open(&path).unwrap(), 6, u64::MAX).unwrap();
        let again = format!("/proc/self/fd/{}", copy.as_raw_fd());
        if let Ok(mut again) = OpenOptions::new().read(true).write(true).open(again) {
            assert!(again.write(b"x").is_err() && again.set_len(1).is_err());
        }
        let mut bytes = [0; 6];
        copy.read_exact_at(&mut bytes, 0).unwrap();
        assert_eq!(&bytes, b"events");
    }
}
