//! The private directories of outputs: how they are made, and what becomes of those that killed processes left.
//!
//! Whoever makes the next one in the same place removes those that are provably nobody's: each is locked by its maker
//! for as long as that lives, and its name says during which run of the system, and through which mount, it was made.
//! There a lock tells the truth on every file system, as one kernel has all makers. After a restart, or where another
//! machine or another mount shares the directory, it may not; so what is from there is told, and stays. Nothing is
//! judged by its age.

use std::ffi::{OsStr, OsString};
use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, Mode, OFlags, flock};
use rustix::io::Errno;

use crate::removal;
use crate::sandbox::is_vault;

/// How many directories that were left are removed or told at a time.
const MOST: usize = 16;

/// How many digits of a run's id a name has, and how many are random.
const DIGITS: usize = 16;

/// What stands between the name of the target and the digits.
const MARK: &str = ".provara-";

/// A private directory, and the lock on it where there are locks.
pub(super) struct Private {
    pub(super) path: PathBuf,
    pub(super) held: Option<File>,
}

/// Names this run of the system, by the random id that the kernel has from its start to its end, and the mount of a
/// directory.
pub(super) fn run_of_the_system(directory: &Path) -> Option<String> {
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

/// Makes the private directory for the target `name`, under a name that is not taken.
pub(super) fn make(parent: &Path, name: &OsStr, run: Option<&str>) -> io::Result<Private> {
    for _ in 0..16 {
        let mut random = [0; 8];
        getrandom::fill(&mut random).map_err(io::Error::other)?;
        let mut plain = OsString::from(".");
        plain.push(name);
        plain.push(format!("{MARK}{:0DIGITS$x}", u64::from_le_bytes(random)));
        let mut full = plain.clone();
        if let Some(run) = run {
            full.push(format!("-{run}"));
        }
        let path = parent.join(full);
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

/// What a name that is given here says of the run of the system.
fn run_in(name: &str) -> Option<Option<&str>> {
    let digits = |text: &str| {
        let digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        text.len() == DIGITS && text.bytes().all(digit)
    };
    let (target, rest) = name.strip_prefix('.')?.rsplit_once(MARK)?;
    match rest.split_once('-') {
        _ if target.is_empty() => None,
        Some((random, run)) => (digits(random) && digits(run)).then_some(Some(run)),
        None => digits(rest).then_some(None),
    }
}

/// Removes what killed processes left in a directory, where nobody can be at work on it; tells of that, and of what
/// may be such a thing.
pub(super) fn sweep(parent: &Path, run: Option<&str>) -> Vec<String> {
    let mut notes = Vec::new();
    // In a vault nothing is removed, whatever it is called.
    if parent.ancestors().any(is_vault) {
        return notes;
    }
    let own = rustix::process::geteuid().as_raw();
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let Some(of_run) = name.to_str().and_then(run_in) else {
            continue;
        };
        let path = entry.path();
        let is_own = |data: fs::Metadata| data.is_dir() && data.uid() == own;
        if !fs::symlink_metadata(&path).is_ok_and(is_own) || is_vault(&path) {
            continue;
        }
        let shown = path.display();
        let held = match of_run.is_some() && of_run == run {
            true => hold(&path),
            false => Hold::Unknown,
        };
        notes.extend(match held {
            Hold::Taken => None,
            Hold::Held(_held) => Some(match removal::remove(&path) {
                Ok(()) => format!("'{shown}', which a command left that was killed, is removed"),
                Err(error) => format!(
                    "'{shown}', which a command left that was killed, could not be removed: {error}"
                ),
            }),
            Hold::Unknown => Some(format!(
                "'{shown}' is what a command works in that writes an output, of another run of this system, of \
                 another machine or of an earlier version: if none is at work there, remove it"
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
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::testing::TempDir;

    const HERE: &str = "0123456789abcdef";

    #[test]
    fn what_nobody_holds_is_removed_and_what_somebody_holds_is_not() {
        let dir = TempDir::new();
        let make = |run| make(dir.path(), OsStr::new("out.csv"), run).unwrap();
        let alive = make(Some(HERE));
        // A process that was killed holds nothing any more.
        let Private { path: dead, held } = make(Some(HERE));
        drop(held.unwrap());
        fs::write(dead.join("out.csv"), "half").unwrap();
        let notes = sweep(dir.path(), Some(HERE));
        assert!(!dead.exists() && alive.path.exists());
        assert!(
            matches!(&notes[..], [note] if note.ends_with("is removed")),
            "{notes:?}"
        );
        // Of another run of the system, or of one that nobody knows, nobody can tell.
        let [other, unknown] = [Some("fedcba9876543210"), None].map(|run| make(run).path);
        for run in [Some(HERE), None] {
            let notes = sweep(dir.path(), run);
            assert!(other.exists() && unknown.exists() && alive.path.exists());
            let told = notes
                .iter()
                .filter(|it| it.contains("if none is at work there"));
            assert_eq!(told.count(), if run.is_some() { 2 } else { 3 }, "{notes:?}");
        }
    }

    #[test]
    fn nothing_else_is_touched_whatever_it_is_called() {
        let dir = TempDir::new();
        let name = format!(".out.csv.provara-{HERE}-{HERE}");
        let elsewhere = TempDir::new();
        symlink(elsewhere.path(), dir.path().join(&name)).unwrap();
        for other in [
            format!("{name}-old"),
            format!("{name}0"),
            name[1..].to_owned(),
        ] {
            fs::create_dir(dir.path().join(other)).unwrap();
        }
        fs::write(
            dir.path().join(format!(".x.provara-{HERE}-{HERE}")),
            "a file",
        )
        .unwrap();
        let vault = dir.path().join(format!(".v.provara-{HERE}-{HERE}"));
        let log = vault.join(provara_core::layout::LOG);
        fs::create_dir_all(log.parent().unwrap()).unwrap();
        fs::create_dir_all(vault.join("identity")).unwrap();
        fs::write(log, "").unwrap();
        fs::create_dir(vault.join(&name)).unwrap();
        assert_eq!(sweep(dir.path(), Some(HERE)), [""; 0]);
        assert_eq!(sweep(&vault, Some(HERE)), [""; 0]);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 6);
        assert!(vault.join(&name).exists());
    }
}
