//! What a file system can do, and what its answers mean.
//!
//! Not every file system makes the names in a directory durable, changes modes or has locks: SMB, FUSE, 9p
//! and some network file systems lack one or the other. What it lacks is told from a disk that failed by the
//! system's answer alone: `EIO`, `ENOSPC` and `EROFS` never mean that something is not there.

use std::collections::BTreeSet;
use std::fs::{File, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use rustix::io::Errno;

/// Whether an error is one of these.
fn is_one_of(error: &io::Error, errors: &[Errno]) -> bool {
    let number = error.raw_os_error();
    number.is_some_and(|number| errors.iter().any(|it| it.raw_os_error() == number))
}

/// Whether a directory could not be synced because its file system has no such thing. `EBADF` is said of a
/// descriptor that is open, so it is the same answer.
pub(crate) fn syncs_no_directories(error: &io::Error) -> bool {
    let none = [
        Errno::INVAL,
        Errno::OPNOTSUPP,
        Errno::NOTSUP,
        Errno::NOSYS,
        Errno::BADF,
    ];
    is_one_of(error, &none) || error.kind() == io::ErrorKind::Unsupported
}

/// Whether a mode could not be changed because the file system keeps none, or the file is not the user's own
/// there.
pub(crate) fn changes_no_modes(error: &io::Error) -> bool {
    let none = [Errno::PERM, Errno::OPNOTSUPP, Errno::NOTSUP, Errno::NOSYS];
    is_one_of(error, &none)
}

/// Whether a lock could not be taken because the file system has none.
pub(crate) fn has_no_locks(error: &io::Error) -> bool {
    let none = [Errno::NOLCK, Errno::OPNOTSUPP, Errno::NOTSUP, Errno::NOSYS];
    is_one_of(error, &none) || error.kind() == io::ErrorKind::Unsupported
}

/// Makes the names in a directory durable (`fsync`).
///
/// # Errors
/// [`io::ErrorKind::Unsupported`] for a directory that may be written and not read, which nobody can open to
/// sync it; the system's error otherwise.
pub(crate) fn sync_directory(directory: &Path) -> io::Result<()> {
    match File::open(directory) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            Err(io::ErrorKind::Unsupported.into())
        }
        opened => opened?.sync_all(),
    }
}

/// Whether an open file lies on one of the local file systems of Linux of which this is known: one `syncfs`
/// makes everything durable, data and names, and its errors are told; and a file's time of change (`ctime`)
/// cannot be set by who may write the file. Of FUSE, for one, neither holds: the program behind it decides.
#[cfg(target_os = "linux")]
pub(crate) fn is_well_known(file: &File) -> bool {
    /// ext2 to ext4, XFS, Btrfs, F2FS (`linux/magic.h`).
    const KNOWN: [u64; 4] = [0xef53, 0x5846_5342, 0x9123_683e, 0xf2f5_2010];
    rustix::fs::fstatfs(file).is_ok_and(|about| KNOWN.contains(&(about.f_type as u64)))
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn is_well_known(_file: &File) -> bool {
    false
}

/// Whether [`sync_file_system`] is as good as a sync of every file and directory.
pub(crate) fn syncs_as_one(directory: &File) -> bool {
    is_well_known(directory) && tells_of_failures()
}

/// Whether `syncfs` tells of what could not be written: since Linux 5.8.
fn tells_of_failures() -> bool {
    let release = rustix::system::uname();
    release.release().to_str().is_ok_and(is_since_5_8)
}

fn is_since_5_8(release: &str) -> bool {
    let mut parts = release.split(|c: char| !c.is_ascii_digit());
    let mut number = || parts.next()?.parse::<u32>().ok();
    number().zip(number()).is_some_and(|it| it >= (5, 8))
}

/// Makes everything on the file system of an open directory durable.
///
/// # Errors
/// [`io::ErrorKind::Unsupported`] where the system has no such call; its error otherwise.
#[cfg(target_os = "linux")]
pub(crate) fn sync_file_system(directory: &File) -> io::Result<()> {
    rustix::fs::syncfs(directory).map_err(|errno| match errno {
        Errno::NOSYS | Errno::OPNOTSUPP => io::ErrorKind::Unsupported.into(),
        errno => errno.into(),
    })
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn sync_file_system(_directory: &File) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// What is known of names in directories that were synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Names {
    /// They are on the disk.
    Durable,
    /// The file system cannot tell.
    Unknown,
}

impl Names {
    /// What the answer to a sync of a directory says.
    ///
    /// # Errors
    /// That of a disk that failed.
    pub(crate) fn of(synced: io::Result<()>) -> io::Result<Self> {
        match synced {
            Ok(()) => Ok(Self::Durable),
            Err(error) if syncs_no_directories(&error) => Ok(Self::Unknown),
            Err(error) => Err(error),
        }
    }

    /// What is known of both.
    pub(crate) fn and(self, other: Self) -> Self {
        match self {
            Self::Durable => other,
            Self::Unknown => Self::Unknown,
        }
    }

    /// What a command that made files says of that, the first time for this path in this process.
    pub(crate) fn note(self, path: &Path) -> Option<String> {
        let unknown = self == Self::Unknown;
        (unknown && is_news(path, Lack::Names)).then(|| UNSURE.to_owned())
    }
}

/// What the notes say of new files where a file system makes no names durable.
const UNSURE: &str = "the file system cannot make the names in a directory durable: every file's content is on \
    the disk, but a loss of power within the next seconds may take away what was just made (provara doctor \
    tells more)";

/// Gives a file that nobody else knows yet the permissions of the one that it replaces. Where the file system
/// does not, it keeps those that it was made with; they are to be no wider.
pub(crate) fn keep_mode(file: &File, wanted: &Permissions) -> io::Result<()> {
    let own = file.metadata()?.permissions();
    // Most files have it already, and a file system without modes gives every file the same.
    if own.mode() & 0o7777 == wanted.mode() & 0o7777 {
        return Ok(());
    }
    match file.set_permissions(wanted.clone()) {
        Err(error) if changes_no_modes(&error) => Ok(()),
        changed => changed,
    }
}

/// Something that a file system lacks and that a user of it is told once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Lack {
    /// Names are not durable.
    Names,
    /// There are no locks.
    Locks,
}

/// Whether this process has not yet told of this at this path.
pub(crate) fn is_news(path: &Path, lack: Lack) -> bool {
    static TOLD: Mutex<BTreeSet<(PathBuf, Lack)>> = Mutex::new(BTreeSet::new());

    let mut told = TOLD.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    told.insert((path.to_owned(), lack))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::MetadataExt;

    use super::*;

    fn error(errno: Errno) -> io::Error {
        io::Error::from_raw_os_error(errno.raw_os_error())
    }

    #[test]
    fn what_a_file_system_lacks_is_no_broken_disk() {
        for errno in [
            Errno::INVAL,
            Errno::OPNOTSUPP,
            Errno::NOTSUP,
            Errno::NOSYS,
            Errno::BADF,
        ] {
            assert!(syncs_no_directories(&error(errno)), "{errno}");
            assert_eq!(Names::of(Err(error(errno))).unwrap(), Names::Unknown);
        }
        for errno in [Errno::PERM, Errno::NOTSUP, Errno::OPNOTSUPP, Errno::NOSYS] {
            assert!(changes_no_modes(&error(errno)), "{errno}");
        }
        for errno in [Errno::NOLCK, Errno::NOTSUP, Errno::OPNOTSUPP, Errno::NOSYS] {
            assert!(has_no_locks(&error(errno)), "{errno}");
        }
        assert!(syncs_no_directories(&io::ErrorKind::Unsupported.into()));
        for errno in [Errno::IO, Errno::NOSPC, Errno::ROFS, Errno::DQUOT] {
            let error = error(errno);
            assert!(!syncs_no_directories(&error), "{errno}");
            assert!(!changes_no_modes(&error), "{errno}");
            assert!(!has_no_locks(&error), "{errno}");
            assert!(Names::of(Err(error)).is_err(), "{errno}");
        }
        assert!(!syncs_no_directories(&error(Errno::PERM)));
        assert!(!has_no_locks(&error(Errno::WOULDBLOCK)));
        assert!(!has_no_locks(&error(Errno::BADF)));
    }

    #[test]
    fn a_kernel_tells_of_failures_since_5_8() {
        for release in ["5.8.0", "5.10.0-28-amd64", "6.1", "6.18.44-x", "10.0.1"] {
            assert!(is_since_5_8(release), "{release}");
        }
        for release in ["5.7.19", "4.19.0-27", "3.10", "5", "", "x"] {
            assert!(!is_since_5_8(release), "{release}");
        }
    }

    #[test]
    fn names_are_durable_only_if_all_are() {
        use Names::{Durable, Unknown};
        assert_eq!(Durable.and(Durable), Durable);
        for (one, other) in [(Durable, Unknown), (Unknown, Durable), (Unknown, Unknown)] {
            assert_eq!(one.and(other), Unknown);
        }
    }

    #[test]
    fn what_is_lacking_is_told_once() {
        let place = Path::new("/nowhere/told-once");
        assert_eq!(Names::Durable.note(place), None);
        assert!(
            Names::Unknown
                .note(place)
                .unwrap()
                .contains("loss of power")
        );
        assert_eq!(Names::Unknown.note(place), None);
        assert!(Names::Unknown.note(Path::new("/nowhere/else")).is_some());
        assert!(is_news(place, Lack::Locks));
    }

    #[test]
    fn a_mode_is_kept_and_a_directory_synced() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        fs::write(&path, b"").unwrap();
        let file = File::open(&path).unwrap();
        keep_mode(&file, &Permissions::from_mode(0o640)).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o640);
        sync_directory(directory.path()).unwrap();
        let absent = sync_directory(&directory.path().join("absent")).unwrap_err();
        assert_eq!(absent.kind(), io::ErrorKind::NotFound);
    }
}
