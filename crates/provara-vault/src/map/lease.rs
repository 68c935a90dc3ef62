//! Whether anybody has a file open for writing.

use std::fs::File;

/// Whether somebody may have the file open, or mapped, for writing. Only a "no" is certain, and only of the moment.
///
/// The system gives a lease for reading of a file that nobody has open for writing, and of no other (fcntl(2),
/// `F_SETLEASE`). It is given back at once. Who opens the file for writing meanwhile waits for that, and the system
/// tells it to this process: by SIGURG, which does nothing where nobody asked for it, as its default would end the process.
#[cfg(target_os = "linux")]
pub(crate) fn may_be_written(file: &File) -> bool {
    use std::os::fd::AsRawFd;

    let file = file.as_raw_fd();
    // SAFETY: the descriptor is open for as long as `file` is borrowed, and no pointer is handed over.
    unsafe {
        if libc::fcntl(file, F_SETSIG, libc::SIGURG) != 0
            || libc::fcntl(file, libc::F_SETLEASE, libc::F_RDLCK) != 0
        {
            return true;
        }
        libc::fcntl(file, libc::F_SETLEASE, libc::F_UNLCK);
    }
    false
}

/// Chooses the signal of a lease (linux/fcntl.h); the crate `libc` has no name for it.
#[cfg(target_os = "linux")]
const F_SETSIG: libc::c_int = 10;

/// Nobody knows.
#[cfg(not(target_os = "linux"))]
pub(crate) fn may_be_written(_: &File) -> bool {
    true
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use crate::map::writable;

    #[test]
    fn a_writer_is_seen_also_where_only_its_mapping_is_left() {
        // In memory: not every file system has leases.
        let directory = tempfile::tempdir_in("/dev/shm").unwrap();
        let path = directory.path().join("file");
        std::fs::write(&path, b"some bytes").unwrap();
        let reader = File::open(&path).unwrap();
        assert!(!may_be_written(&reader));
        let writer = File::options().read(true).write(true).open(&path).unwrap();
        assert!(may_be_written(&reader));
        assert!(may_be_written(&writer));
        let map = writable(&writer);
        drop(writer);
        assert!(may_be_written(&reader));
        drop(map);
        assert!(!may_be_written(&reader));
        // The lease is gone: whoever writes now waits for nobody.
        std::fs::write(&path, b"other bytes").unwrap();
    }
}
