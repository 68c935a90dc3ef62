//! Private directories in which an output comes into being, and what becomes of those that killed processes left.
//!
//! Whoever makes the next one in the same place removes those that are provably nobody's: each is locked by its maker
//! for as long as that lives, and its name says during which run of the system, and through which mount, it was made.
//! There a lock tells the truth on every file system, as one kernel has all makers. After a restart, or where another
//! machine or another mount shares the directory, it may not; so what is from there is told, and stays. Nothing is
//! judged by its age (docs/decisions/0044).

use std::ffi::OsString;
use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, Mode, OFlags, flock};
use rustix::io::Errno;

/// How many directories that were left are removed or told at a time.
const MOST: usize = 16;

/// How many digits of a run's id a name has.
const DIGITS: usize = 16;

/// How many names are tried.
const TRIES: usize = 16;

/// A private directory, and the lock on it where there are locks. Dropping it removes nothing.
#[derive(Debug)]
pub struct Private {
    /// Where it is.
    pub path: PathBuf,
    /// Holds the lock; to be closed after the directory was removed.
    pub held: Option<File>,
}

/// Who makes such directories.
#[derive(Clone, Copy)]
pub struct Maker {
    /// What it is called in a note, such as "a command".
    pub name: &'static str,
    /// What follows "works in" there, such as " that writes an output".
    pub work: &'static str,
    /// Whether a name is one that it gives, without the run.
    pub is_name: fn(&str) -> bool,
    /// Whether a directory is somebody's, whatever it is called.
    pub is_kept: fn(&Path) -> bool,
    /// Removes a directory with all that is in it.
    pub remove: fn(&Path) -> io::Result<()>,
}

/// Names this run of the system, by the random id that the kernel has from its start to its end, and the mount of a
/// directory. `None` where the system has no such id.
#[must_use]
pub fn run_of_the_system(directory: &Path) -> Option<String> {
    let id = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let digits: String = id
        .chars()
        .filter(char::is_ascii_hexdigit)
        .take(DIGITS)
        .collect();
    let id = u64::from_str_radix(&digits, 16)
        .ok()
        .filter(|_| digits.len() == DIGITS)?;
    let mount = fs::metadata(directory).ok()?.dev();
    // Two mounts of one run have two names.
    Some(format!("{:0DIGITS$x}", id ^ mount))
}

/// Makes a private directory of mode 0700 below `parent`, during this `run` of the system, under a name that `fresh`
/// gives anew for each try.
///
/// # Errors
/// What `fresh` or the system says.
pub fn make(
    parent: &Path,
    run: Option<&str>,
    mut fresh: impl FnMut() -> io::Result<OsString>,
) -> io::Result<Private> {
    for _ in 0..TRIES {
        let plain = fresh()?;
        let mut full = plain.clone();
        if let Some(run) = run {
            full.push(format!("-{run}"));
        }
        let path = parent.join(full);
        // Nobody else's business until it is verified; keys may be among it.
        match DirBuilder::new().mode(0o700).create(&path) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
            Err(error) => return Err(error),
        }
        match hold(&path) {
            Hold::Held(held) => {
                let held = Some(held);
                return Ok(Private { path, held });
            }
            // Somebody took it for one that was left, before it was locked.
            Hold::Taken => {}
            // Without a lock it must not look like one that would have it.
            Hold::Unknown => {
                let unlocked = parent.join(plain);
                fs::rename(&path, &unlocked)?;
                return Ok(Private {
                    path: unlocked,
                    held: None,
                });
            }
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

/// What came of an attempt to lock a directory.
enum Hold {
    Held(File),
    /// A living process has it, or it is not there any more.
    Taken,
    /// It cannot be told.
    Unknown,
}

fn hold(path: &Path) -> Hold {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let held = match rustix::fs::open(path, flags, Mode::empty()) {
        Ok(held) => File::from(held),
        Err(Errno::NOENT) => return Hold::Taken,
        Err(_) => return Hold::Unknown,
    };
    match flock(&held, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(Errno::WOULDBLOCK) => return Hold::Taken,
        Err(_) => return Hold::Unknown,
    }
    // What is locked may have been removed, and have given its name to another one.
    match (held.metadata(), fs::symlink_metadata(path)) {
        (Ok(opened), Ok(there)) if (opened.dev(), opened.ino()) == (there.dev(), there.ino()) => {
            Hold::Held(held)
        }
        _ => Hold::Taken,
    }
}

/// What a name that the maker gives says of the run of the system.
fn run_in<'n>(maker: &Maker, name: &'n str) -> Option<Option<&'n str>> {
    if (maker.is_name)(name) {
        return Some(None);
    }
    let (plain, run) = name.rsplit_once('-')?;
    (is_hex(run, DIGITS) && (maker.is_name)(plain)).then_some(Some(run))
}

/// Whether a text is so many lower-case hex digits.
#[must_use]
pub fn is_hex(text: &str, digits: usize) -> bool {
    let digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    text.len() == digits && text.bytes().all(digit)
}

/// Removes what killed processes left in a directory, where nobody can be at work on it; gives notes of that, and of what
/// may be such a thing and stays.
#[must_use]
pub fn sweep(parent: &Path, run: Option<&str>, maker: &Maker) -> Vec<String> {
    let mut notes = Vec::new();
    let own = rustix::process::geteuid().as_raw();
    let Maker { name, work, .. } = maker;
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        let file_name = entry.file_name();
        let Some(of_run) = file_name.to_str().and_then(|it| run_in(maker, it)) else {
            continue;
        };
        let path = entry.path();
        let is_own = |data: fs::Metadata| data.is_dir() && data.uid() == own;
        if !fs::symlink_metadata(&path).is_ok_and(is_own) || (maker.is_kept)(&path) {
            continue;
        }
        let shown = path.display();
        let held = match of_run.is_some() && of_run == run {
            true => hold(&path),
            false => Hold::Unknown,
        };
        notes.extend(match held {
            Hold::Taken => None,
            Hold::Held(_held) => Some(match (maker.remove)(&path) {
                Ok(()) => format!("'{shown}', which {name} left that was killed, is removed"),
                Err(error) => format!(
                    "'{shown}', which {name} left that was killed, could not be removed: {error}"
                ),
            }),
            Hold::Unknown => Some(format!(
                "'{shown}' is what {name} works in{work}, of another run of this system, of another machine or \
                 of an earlier version: if none is at work there, remove it"
            )),
        });
        if notes.len() == MOST {
            break;
        }
    }
    notes
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: &str = "0123456789abcdef";

    const TEST: Maker = Maker {
        name: "a test",
        work: "",
        is_name: |name| name.strip_prefix(".x-").is_some_and(|rest| is_hex(rest, 4)),
        is_kept: |path| path.join("kept").exists(),
        remove: |path| fs::remove_dir_all(path),
    };

    #[test]
    fn a_name_says_of_which_run_it_is_or_that_it_is_of_none() {
        let with = |run: &str| run_in(&TEST, &format!(".x-00ff-{run}")).map(|run| run.is_some());
        assert_eq!(run_in(&TEST, ".x-00ff"), Some(None));
        assert_eq!(with(HERE), Some(true));
        for run in [
            "0123456789ABCDEF",
            "0123456789abcdef0",
            "0123456789abcde",
            "",
        ] {
            assert_eq!(with(run), None, "{run}");
        }
        assert_eq!(run_in(&TEST, &format!(".x-00f-{HERE}")), None);
    }

    #[test]
    fn what_is_left_goes_what_is_held_or_kept_stays() {
        let directory = tempfile::tempdir().unwrap();
        let mut number = 0;
        let mut make = |run| {
            let fresh = || {
                number += 1;
                Ok(format!(".x-{number:04x}").into())
            };
            make(directory.path(), run, fresh).unwrap()
        };
        let alive = make(Some(HERE));
        let [dead, kept] = [(); 2].map(|()| make(Some(HERE)).path);
        fs::write(kept.join("kept"), "").unwrap();
        let [other, none] = [Some("fedcba9876543210"), None].map(|run| make(run).path);
        let notes = sweep(directory.path(), Some(HERE), &TEST);
        assert!(!dead.exists());
        assert!(
            [&alive.path, &kept, &other, &none]
                .iter()
                .all(|path| path.exists())
        );
        let ends = |end: &str| notes.iter().filter(|note| note.ends_with(end)).count();
        assert_eq!(
            (ends("is removed"), ends("remove it"), notes.len()),
            (1, 2, 3)
        );
    }

    #[test]
    fn a_name_that_is_taken_is_not_taken_again() {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join(".x-0000")).unwrap();
        let error = make(directory.path(), None, || Ok(".x-0000".into())).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_run_of_the_system_has_a_name() {
        let directory = tempfile::tempdir().unwrap();
        let run = run_of_the_system(directory.path()).unwrap();
        assert!(is_hex(&run, DIGITS));
        assert_eq!(run_of_the_system(directory.path()), Some(run.clone()));
        // Another mount has another one.
        assert_ne!(run_of_the_system(Path::new("/proc")), Some(run));
    }
}
