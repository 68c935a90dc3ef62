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
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// How much is copied at a time, in bytes.
const PIECE: usize = 1 << 20;

/// The part of the machine's memory that a copy may take: one in so many.
const MEMORY_SHARE: u64 = 8;

/// Copies a log, and opens the copy for reading only.
pub(crate) fn copy(log: &[u8]) -> io::Result<File> {
    copy_within(log, crate::memory::physical() / MEMORY_SHARE)
}

/// As [`copy`], with at most this many bytes in memory.
fn copy_within(log: &[u8], most: u64) -> io::Result<File> {
    #[cfg(target_os = "linux")]
    if log.len() as u64 <= most
        && let Some(copy) = in_memory(log)?
    {
        return Ok(copy);
    }
    let _ = most;
    in_file(log)
}

/// A copy in memory; none where the kernel makes no such files.
#[cfg(target_os = "linux")]
fn in_memory(log: &[u8]) -> io::Result<Option<File>> {
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
    fill(log, &copy)?;
    let seals = SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL;
    fcntl_add_seals(&copy, seals)?;
    reopened(&copy).map(Some)
}

/// A copy in a file that has no name.
fn in_file(log: &[u8]) -> io::Result<File> {
    let directory = std::env::temp_dir();
    #[cfg(target_os = "linux")]
    {
        use rustix::fs::{Mode, OFlags};

        let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
        if let Ok(copy) = rustix::fs::open(&directory, flags, Mode::RUSR | Mode::WUSR) {
            let copy = File::from(copy);
            fill(log, &copy)?;
            return reopened(&copy);
        }
    }
    in_unnamed_file(log, &directory)
}

/// The same where the file system has no files without a name: it gets one and loses it.
fn in_unnamed_file(log: &[u8], directory: &Path) -> io::Result<File> {
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
    fill(log, &copy)?;
    opened
}

/// The same file, opened for reading only and from its start.
#[cfg(target_os = "linux")]
fn reopened(file: &File) -> io::Result<File> {
    use std::os::fd::AsRawFd;

    File::open(format!("/proc/self/fd/{}", file.as_raw_fd()))
}

/// Writes a log to a file. A mapped one is read here first: the kernel, asked to read what another program cut off
/// meanwhile, would give an error that says nothing, and whoever mapped it knows what to make of it.
fn fill(log: &[u8], mut copy: &File) -> io::Result<()> {
    let mut piece = Vec::with_capacity(PIECE.min(log.len()));
    for bytes in log.chunks(PIECE) {
        piece.clear();
        piece.extend_from_slice(bytes);
        copy.write_all(&piece)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::TempDir;
    use std::fs;
    use std::io::Read;
    use std::os::unix::fs::FileExt;

    #[test]
    fn a_copy_is_the_snapshot_and_nothing_else() {
        let dir = TempDir::new();
        let text: Vec<u8> = (0..2 * PIECE + 7).map(|at| (at % 251) as u8).collect();
        let len = text.len();
        let unnamed = in_unnamed_file(&text, dir.path()).unwrap();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
        for mut copy in [
            copy_within(&text, u64::MAX).unwrap(),
            copy_within(&text, 0).unwrap(),
            unnamed,
        ] {
            let mut found = Vec::new();
            copy.read_to_end(&mut found).unwrap();
            assert!(found == text);
            assert_eq!(copy.read_at(&mut [0; 9], len as u64).unwrap(), 0);
            assert!(copy.write(b"x").is_err() && copy.set_len(9).is_err());
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_copy_in_memory_cannot_be_changed_by_whoever_opens_it_again() {
        use std::os::fd::AsRawFd;

        let copy = copy_within(b"events", u64::MAX).unwrap();
        let again = format!("/proc/self/fd/{}", copy.as_raw_fd());
        if let Ok(mut again) = OpenOptions::new().read(true).write(true).open(again) {
            assert!(again.write(b"x").is_err() && again.set_len(1).is_err());
        }
        let mut bytes = [0; 6];
        copy.read_exact_at(&mut bytes, 0).unwrap();
        assert_eq!(&bytes, b"events");
    }
}
