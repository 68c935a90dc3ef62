//! The private temporary directory of a plugin host.
//!
//! Libraries expect a place for files that nobody keeps: `tempfile`, spreadsheets, caches of fonts and of
//! compiled code. Each host gets one of its own, with mode 0700, which no other host can read and which goes
//! with the process: so no plugin leaves anything for another, and none for its next run. A reducer's is in
//! memory, so that no copy of an event reaches a disk; where there is no such place it has none.
//!
//! The directories lie together in one of the user's own, `provara-UID`, below the directory for temporary
//! files. Each is locked by the process that made it, for as long as that lives. Whoever makes another one
//! removes those that nobody holds, in memory and on the disk: what is left when the command itself was killed.
//! Only what has a name as it is given here is removed, and nothing in a vault, whatever that is called.

use std::env;
use std::ffi::OsStr;
use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, Mode, OFlags, flock};
use rustix::io::Errno;

use crate::purpose::Access;
use crate::removal;
use crate::sandbox::{SandboxPolicy, is_vault};

/// The largest file that a reducer may write, in bytes.
const MAX_MEMORY_FILE: u64 = 256 << 20;

/// The most that a reducer's files may take of the memory together, in bytes.
pub(crate) const MAX_MEMORY: u64 = 1 << 30;

/// How many of those that nobody holds are removed at a time, so that no command does it for all.
const MAX_SWEPT: usize = 64;

/// Where the files lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Medium {
    Disk,
    Memory,
}

/// A temporary directory. Dropping it removes it with all that is in it.
#[derive(Debug)]
pub(crate) struct Scratch {
    path: PathBuf,
    medium: Medium,
    /// Holds the lock.
    _held: File,
}

impl Scratch {
    /// Makes the directory for a host and opens it in its sandbox. There is none where no place for it can
    /// be used: a plugin that needs one is told by its library.
    pub(crate) fn for_host(access: Access<'_>, policy: &mut SandboxPolicy) -> Option<Scratch> {
        let medium = match access {
            Access::Reducing { .. } => Medium::Memory,
            _ => Medium::Disk,
        };
        // Of the other kinds, too, and whether or not this host gets one.
        places()
            .iter()
            .filter(|it| is_own(it))
            .for_each(|it| sweep(it));
        let SandboxPolicy::Enforce { rules, .. } = policy else {
            return Scratch::make(medium, bases(medium), |_| true);
        };
        // What is readable to hosts is readable to all of them.
        let scratch = Scratch::make(medium, bases(medium), |base| !rules.reach(base))?;
        rules.write.push(scratch.path.clone().into());
        if medium == Medium::Memory {
            rules.limits.file_size = Some(MAX_MEMORY_FILE);
        }
        Some(scratch)
    }

    /// Makes a directory in the first place that takes it.
    fn make(
        medium: Medium,
        bases: Vec<PathBuf>,
        may_lie_in: impl Fn(&Path) -> bool,
    ) -> Option<Scratch> {
        bases.into_iter().find_map(|base| {
            let base = fs::canonicalize(base).ok()?;
            let in_vault = base.ancestors().any(is_vault);
            let usable =
                !in_vault && may_lie_in(&base) && (medium == Medium::Disk || in_memory(&base));
            usable.then(|| Scratch::make_in(&base, medium)).flatten()
        })
    }

    fn make_in(base: &Path, medium: Medium) -> Option<Scratch> {
        let user = user_name();
        let own = base.join(&user);
        // That it is there already is the rule.
        let _ = DirBuilder::new().mode(0o700).create(&own);
        let (parent, prefix) = if is_own(&own) {
            sweep(&own);
            (own.as_path(), String::new())
        } else {
            // Somebody else has that name, or it is that of a vault.
            (base, format!("{user}-"))
        };
        for _ in 0..16 {
            let mut random = [0; 8];
            getrandom::fill(&mut random).ok()?;
            let path = parent.join(prefix.clone() + &fresh_name(random));
            match DirBuilder::new().mode(0o700).create(&path) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
                Err(_) => return None,
            }
            // Before it is held, whoever sweeps may take it.
            if let Some(held) = hold(&path) {
                return Some(Scratch {
                    path,
                    medium,
                    _held: held,
                });
            }
        }
        None
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn medium(&self) -> Medium {
        self.medium
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What cannot be removed is nobody's from now on, and is tried again by the next one.
        let _ = removal::remove(&self.path);
    }
}

/// The directories that hold those of all of the user's hosts: no host may read them, whatever is open
/// around them.
pub(crate) fn places() -> Vec<PathBuf> {
    let bases = [Medium::Disk, Medium::Memory].into_iter().flat_map(bases);
    bases.map(|base| base.join(user_name())).collect()
}

fn user_name() -> String {
    format!("provara-{}", rustix::process::geteuid().as_raw())
}

/// The places to try.
fn bases(medium: Medium) -> Vec<PathBuf> {
    match medium {
        Medium::Memory => vec![PathBuf::from("/dev/shm")],
        Medium::Disk => {
            let chosen = env::var_os("TMPDIR").map(PathBuf::from);
            let chosen = chosen.filter(|path| path.is_absolute());
            let usual = ["/tmp", "/var/tmp"].map(PathBuf::from);
            chosen.into_iter().chain(usual).collect()
        }
    }
}

/// Whether files in a directory lie in memory.
#[cfg(target_os = "linux")]
fn in_memory(path: &Path) -> bool {
    // tmpfs and ramfs (statfs(2)). The type of the number differs between C libraries.
    #[allow(clippy::unnecessary_cast)]
    rustix::fs::statfs(path)
        .is_ok_and(|stat| matches!(stat.f_type as i64, 0x0102_1994 | 0x8584_58f6))
}

#[cfg(not(target_os = "linux"))]
fn in_memory(_: &Path) -> bool {
    false
}

/// The length of a name.
const NAME: usize = 16;

fn fresh_name(random: [u8; NAME / 2]) -> String {
    format!("{:0NAME$x}", u64::from_le_bytes(random))
}

/// Whether a name is one that is given here.
fn is_name(name: &OsStr) -> bool {
    let digit = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    name.len() == NAME && name.as_encoded_bytes().iter().all(digit)
}

/// Whether a directory is the user's own, for these alone.
fn is_own(path: &Path) -> bool {
    let is_private = fs::symlink_metadata(path).is_ok_and(|data| {
        data.is_dir()
            && data.uid() == rustix::process::geteuid().as_raw()
            && data.mode() & 0o077 == 0
    });
    is_private && !is_vault(path)
}

/// Locks a directory, unless another process holds it or has removed it.
fn hold(path: &Path) -> Option<File> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let held = File::from(rustix::fs::open(path, flags, Mode::empty()).ok()?);
    // Where there are no locks nobody can take it either.
    let locked = flock(held.as_fd(), FlockOperation::NonBlockingLockExclusive);
    if locked == Err(Errno::WOULDBLOCK) {
        return None;
    }
    let (opened, there) = (held.metadata().ok()?, fs::symlink_metadata(path).ok()?);
    (opened.dev() == there.dev() && opened.ino() == there.ino()).then_some(held)
}

/// Removes what processes left that were killed.
fn sweep(own: &Path) {
    let Ok(entries) = fs::read_dir(own) else {
        return;
    };
    let entries = entries.flatten().filter(|it| is_name(&it.file_name()));
    for path in entries.map(|entry| entry.path()).take(MAX_SWEPT) {
        if is_vault(&path) {
            continue;
        }
        if let Some(_held) = hold_to_remove(&path) {
            let _ = removal::remove(&path);
        }
    }
}

/// As [`hold`], but only where there are locks.
fn hold_to_remove(path: &Path) -> Option<File> {
    let held = hold(path)?;
    let again = flock(held.as_fd(), FlockOperation::NonBlockingLockExclusive);
    again.is_ok().then_some(held)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::TempDir;
    use std::os::unix::fs::symlink;

    fn names(path: &Path) -> Vec<PathBuf> {
        let entries = fs::read_dir(path).unwrap();
        entries.map(|entry| entry.unwrap().path()).collect()
    }

    #[test]
    fn each_is_private_and_goes_with_its_owner() {
        let dir = TempDir::new();
        let one = Scratch::make_in(dir.path(), Medium::Disk).unwrap();
        let two = Scratch::make_in(dir.path(), Medium::Disk).unwrap();
        assert_ne!(one.path(), two.path());
        let parent = one.path().parent().unwrap().to_path_buf();
        assert_eq!(two.path().parent(), Some(parent.as_path()));
        for path in [one.path(), &parent] {
            assert_eq!(fs::metadata(path).unwrap().mode() & 0o777, 0o700);
        }
        fs::create_dir_all(one.path().join("a/b")).unwrap();
        fs::write(one.path().join("a/b/c"), "x").unwrap();
        drop(one);
        assert_eq!(names(&parent), [two.path()]);
        drop(two);
        assert!(names(&parent).is_empty());
    }

    #[test]
    fn what_nobody_holds_is_removed_by_the_next() {
        let dir = TempDir::new();
        let first = Scratch::make_in(dir.path(), Medium::Disk).unwrap();
        let own = first.path().parent().unwrap().to_path_buf();
        let left = own.join("0123456789abcdef");
        fs::create_dir_all(left.join("deep/er")).unwrap();
        fs::write(left.join("deep/file"), "x").unwrap();
        fs::write(dir.path().join("bystander"), "").unwrap();
        symlink(dir.path(), own.join("link")).unwrap();
        fs::write(first.path().join("mine"), "x").unwrap();
        let second = Scratch::make_in(dir.path(), Medium::Disk).unwrap();
        assert!(!left.exists());
        assert!(first.path().join("mine").exists() && second.path().exists());
        assert!(dir.path().join("bystander").exists(), "no link is followed");
    }

    #[test]
    fn nothing_else_is_removed_whatever_the_directory_is_called() {
        let dir = TempDir::new();
        let own = dir.path().join(user_name());
        let vault = |path: &Path| {
            let log = path.join(provara_core::layout::LOG);
            fs::create_dir_all(log.parent().unwrap()).unwrap();
            fs::create_dir_all(path.join("identity")).unwrap();
            fs::write(log, "").unwrap();
        };
        DirBuilder::new().mode(0o700).create(&own).unwrap();
        fs::create_dir_all(own.join("project/src")).unwrap();
        fs::write(own.join("0123456789abcdeF"), "").unwrap();
        vault(&own.join("0123456789abcdef"));
        let made = Scratch::make_in(dir.path(), Medium::Disk).unwrap();
        assert_eq!(made.path().parent(), Some(own.as_path()));
        drop(made);
        assert_eq!(names(&own).len(), 3);
        // A vault of that name.
        vault(&own);
        let made = Scratch::make_in(dir.path(), Medium::Disk).unwrap();
        assert_eq!(made.path().parent(), Some(dir.path()));
        drop(made);
        assert_eq!(names(&own).len(), 5);
    }

    #[test]
    fn the_name_in_other_hands_is_not_used() {
        let dir = TempDir::new();
        let taken = dir.path().join(user_name());
        let elsewhere = dir.path().join("elsewhere");
        fs::create_dir(&elsewhere).unwrap();
        let open_to_all = || {
            DirBuilder::new().mode(0o700).create(&taken).unwrap();
            let mode = std::os::unix::fs::PermissionsExt::from_mode(0o777);
            fs::set_permissions(&taken, mode).unwrap();
        };
        let link = || symlink(&elsewhere, &taken).unwrap();
        for take in [&open_to_all as &dyn Fn(), &link] {
            take();
            let scratch = Scratch::make_in(dir.path(), Medium::Disk).unwrap();
            assert_eq!(scratch.path().parent(), Some(dir.path()));
            assert!(names(&elsewhere).is_empty());
            drop(scratch);
            assert_eq!(names(dir.path()).len(), 2);
            removal::remove(&taken).unwrap();
        }
    }

    #[test]
    fn it_lies_in_no_vault_and_in_nothing_that_hosts_may_read() {
        let dir = TempDir::new();
        for path in [
            "vault/identity",
            "vault/events",
            "vault/tmp/deep",
            "open/tmp",
            "good",
        ] {
            fs::create_dir_all(dir.path().join(path)).unwrap();
        }
        fs::write(dir.path().join("vault").join(provara_core::layout::LOG), "").unwrap();
        let through = dir.path().join("through");
        symlink(dir.path().join("vault/tmp"), &through).unwrap();
        let open = dir.path().join("open");
        let place = |names: &[&str]| {
            let bases = names.iter().map(|name| dir.path().join(name)).collect();
            let scratch = Scratch::make(Medium::Disk, bases, |base| !base.starts_with(&open))?;
            Some(scratch.path().to_path_buf())
        };
        let refused = ["vault", "vault/tmp/deep", "through", "open/tmp", "absent"];
        assert_eq!(place(&refused), None);
        let made = place(&[&refused[..], &["good"]].concat()).unwrap();
        assert!(made.starts_with(dir.path().join("good")));
    }

    #[test]
    fn a_reducers_is_in_memory_or_not_at_all() {
        let device = PathBuf::from("/proc");
        assert!(Scratch::make(Medium::Memory, vec![device], |_| true).is_none());
        let made = Scratch::make(Medium::Memory, bases(Medium::Memory), |_| true);
        let there = in_memory(Path::new("/dev/shm"));
        assert_eq!(made.is_some(), there);
        assert!(made.is_none_or(|made| made.path().starts_with("/dev/shm")));
    }
}
