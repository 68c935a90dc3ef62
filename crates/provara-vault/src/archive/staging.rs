//! The directory beside a target in which an archive or a vault comes into being.
//!
//! A process that is killed leaves it. Whoever makes the next one beside it removes those that are provably
//! nobody's: each is locked by its maker for as long as that lives, and its name says during which run of the
//! system, and through which mount, it was made. There a lock tells the truth on every file system, as one kernel has
//! all makers. After a restart, or where another machine or another mount shares the directory, it may not; so what is
//! from there is told, and stays. Nothing is judged by its age.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, Mode, OFlags, flock};
use rustix::io::Errno;

use super::parent;
use crate::error::{Context, VaultError};
use crate::file_layer::{fresh_name, is_fresh_name};

/// How many directories that were left are removed, and how many are told, at a time.
const MOST: usize = 16;

/// A directory that goes when it is dropped, beside the place where its content is to be.
#[derive(Debug)]
pub(super) struct StagingDir {
    path: PathBuf,
    /// What was done with those that others left, and what could not be.
    pub(super) notes: Vec<String>,
    /// Holds the lock, where there are locks; closed after the directory was removed.
    _held: Option<File>,
}

impl StagingDir {
    pub(super) fn beside(target: &Path) -> Result<Self, VaultError> {
        let beside = parent(target);
        Self::of_run(&beside, run_of_the_system(&beside).as_deref())
            .context("make a directory in", &beside)
    }

    /// Makes one during this `run` of the system, and removes those of the same run that nobody holds.
    fn of_run(beside: &Path, run: Option<&str>) -> io::Result<Self> {
        let notes = sweep(beside, run);
        loop {
            let plain = fresh_name()?;
            let mut name = plain.clone();
            if let Some(run) = run {
                name.push(format!("-{run}"));
            }
            let mut path = beside.join(name);
            // Nobody else's business until it is verified; keys may be among it.
            DirBuilder::new().mode(0o700).create(&path)?;
            let held = match hold(&path) {
                Hold::Held(held) => Some(held),
                // Somebody took it for one that was left, before it was locked.
                Hold::Taken => continue,
                // Without a lock it must not look like one that would have it.
                Hold::Unknown => {
                    let unlocked = beside.join(plain);
                    fs::rename(&path, &unlocked)?;
                    path = unlocked;
                    None
                }
            };
            return Ok(Self {
                path,
                notes,
                _held: held,
            });
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for StagingDir {
    fn drop(&mut self) {
        // Best effort: it has a name of its own and holds copies alone.
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// Names this run of the system, by the random id that the kernel has from its start to its end, and the mount of a
/// directory.
fn run_of_the_system(directory: &Path) -> Option<String> {
    let id = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let digits: String = id
        .chars()
        .filter(char::is_ascii_hexdigit)
        .take(RUN)
        .collect();
    let id = u64::from_str_radix(&digits, 16)
        .ok()
        .filter(|_| digits.len() == RUN)?;
    let mount = fs::metadata(directory).ok()?.dev();
    // Two mounts of one run have two names.
    Some(format!("{:0RUN$x}", id ^ mount))
}

/// How many digits of a run's id a name has.
const RUN: usize = 16;

/// What the name of a directory that was made here says of the run of the system.
fn run_in(name: &str) -> Option<Option<&str>> {
    if is_fresh_name(name) {
        return Some(None);
    }
    let (plain, run) = name.rsplit_once('-')?;
    let digits = run.len() == RUN && run.bytes().all(|it| it.is_ascii_hexdigit());
    (digits && is_fresh_name(plain)).then_some(Some(run))
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

/// Removes what killed processes left in a directory, where nobody can be at work on it; tells of that, and of what
/// may be such a thing.
fn sweep(beside: &Path, run: Option<&str>) -> Vec<String> {
    let mut notes = Vec::new();
    let own = rustix::process::geteuid().as_raw();
    for entry in fs::read_dir(beside).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let Some(of_run) = name.to_str().and_then(run_in) else {
            continue;
        };
        let path = entry.path();
        let is_own = |data: fs::Metadata| data.is_dir() && data.uid() == own;
        if !fs::symlink_metadata(&path).is_ok_and(is_own) {
            continue;
        }
        let shown = path.display();
        let held = match of_run.is_some() && of_run == run {
            true => hold(&path),
            false => Hold::Unknown,
        };
        notes.extend(match held {
            Hold::Taken => None,
            Hold::Held(_held) => Some(match fs::remove_dir_all(&path) {
                Ok(()) => format!(
                    "'{shown}', which a backup or a restoration left that was killed, is removed"
                ),
                Err(error) => format!(
                    "'{shown}', which a backup or a restoration left that was killed, could not be removed: {error}"
                ),
            }),
            Hold::Unknown => Some(format!(
                "'{shown}' is what a backup or a restoration works in, of another run of this system, of another \
                 machine or of an earlier version: if none is at work there, remove it"
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

    const HERE: &str = "0123456789abcdef";
    const ELSEWHERE: &str = "fedcba9876543210";

    /// One that a process left: the lock goes with the process.
    fn left(beside: &Path, run: Option<&str>) -> PathBuf {
        let made = StagingDir::of_run(beside, run).unwrap();
        fs::write(made.path().join("archive"), "half").unwrap();
        let path = made.path().to_owned();
        let StagingDir { _held, .. } = &made;
        assert!(_held.is_some());
        // Dropping would remove it.
        let copy = path.with_extension("copy");
        fs::rename(&path, &copy).unwrap();
        drop(made);
        fs::rename(&copy, &path).unwrap();
        path
    }

    #[test]
    fn what_nobody_holds_is_removed_and_what_somebody_holds_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let beside = directory.path();
        let dead = left(beside, Some(HERE));
        let alive = StagingDir::of_run(beside, Some(HERE)).unwrap();
        assert!(
            !dead.exists() && alive.notes[0].contains("is removed"),
            "{:?}",
            alive.notes
        );
        fs::write(alive.path().join("archive"), "half").unwrap();
        let next = StagingDir::of_run(beside, Some(HERE)).unwrap();
        assert!(alive.path().join("archive").exists());
        assert!(next.notes.is_empty(), "{:?}", next.notes);
        drop((alive, next));
        assert_eq!(fs::read_dir(beside).unwrap().count(), 0);
    }

    #[test]
    fn what_may_be_at_work_elsewhere_stays_and_is_told() {
        let directory = tempfile::tempdir().unwrap();
        let beside = directory.path();
        for run in [Some(ELSEWHERE), None] {
            let path = left(beside, run);
            let next = StagingDir::of_run(beside, Some(HERE)).unwrap();
            assert!(path.exists());
            let [note] = &next.notes[..] else {
                panic!("{:?}", next.notes)
            };
            assert!(
                note.contains("if none is at work there, remove it"),
                "{note}"
            );
            fs::remove_dir_all(path).unwrap();
        }
    }

    #[test]
    fn nothing_else_is_touched_whatever_it_is_called() {
        let directory = tempfile::tempdir().unwrap();
        let beside = directory.path();
        let made = left(beside, Some(HERE));
        let name = made.file_name().unwrap().to_str().unwrap().to_owned();
        fs::remove_dir_all(&made).unwrap();
        let other = tempfile::tempdir().unwrap();
        symlink(other.path(), beside.join(&name)).unwrap();
        let file = name
            .replace(".provara-tmp-", ".provara-tmp-f")
            .replace("f0", "f");
        fs::write(beside.join(&name[..37]), "a file").unwrap();
        fs::create_dir(beside.join(file + "x")).unwrap();
        fs::create_dir(beside.join("my-vault")).unwrap();
        let before = fs::read_dir(beside).unwrap().count();
        let next = StagingDir::of_run(beside, Some(HERE)).unwrap();
        assert!(next.notes.is_empty(), "{:?}", next.notes);
        drop(next);
        assert_eq!(fs::read_dir(beside).unwrap().count(), before);
        assert!(other.path().exists());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_run_of_the_system_has_a_name() {
        let directory = tempfile::tempdir().unwrap();
        let run = run_of_the_system(directory.path()).unwrap();
        assert_eq!(run_of_the_system(directory.path()), Some(run.clone()));
        // Another mount has another one.
        assert_ne!(run_of_the_system(Path::new("/proc")), Some(run.clone()));
        assert_eq!(
            run_in(&format!(".provara-tmp-{}-{run}", "0".repeat(24))),
            Some(Some(&*run))
        );
        assert_eq!(
            run_in(&format!(".provara-tmp-{}-{run}0", "0".repeat(24))),
            None
        );
    }
}
