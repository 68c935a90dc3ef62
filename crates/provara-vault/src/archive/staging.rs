//! The directory beside a target in which an archive or a vault comes into being.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use provara_staging::{Maker, Private, run_of_the_system};

use super::parent;
use crate::error::{Context, VaultError};
use crate::file_layer::{fresh_name, is_fresh_name};

const ARCHIVER: Maker = Maker {
    name: "a backup or a restoration",
    work: "",
    is_name: is_fresh_name,
    is_kept: |_| false,
    remove: |path| fs::remove_dir_all(path),
};

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
        let notes = provara_staging::sweep(beside, run, &ARCHIVER);
        let Private { path, held } = provara_staging::make(beside, run, fresh_name)?;
        Ok(Self {
            path,
            notes,
            _held: held,
        })
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
}
