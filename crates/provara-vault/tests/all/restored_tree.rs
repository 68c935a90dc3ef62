//! A restoration makes everything durable before it gets its name: whether in one sync of the file system, in
//! groups of files, or, where the one is refused after all, in groups then.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use crate::common::disk::{EIO, ENOSPC};
use crate::common::{Fixture, verifies};
use provara_vault::file_layer::{FileLayer, SystemFiles, Temporary};
use provara_vault::{
    ArchiveError, BackupOptions, RestoreOptions, Vault, VaultError, restore_through,
};

/// How a file system syncs a tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// All at once.
    AsOne,
    /// It says so, and then has no such call.
    RefusedAsOne,
    Groups,
}

/// What is on the disk for sure: the content of files, and names, by their paths.
#[derive(Debug, Default)]
struct Durable {
    contents: BTreeMap<PathBuf, Vec<u8>>,
    names: BTreeMap<PathBuf, bool>,
}

/// A disk that keeps only what was synced, and fails at a call.
#[derive(Debug)]
struct Model {
    way: Way,
    fail: Option<(usize, i32)>,
    calls: Mutex<usize>,
    durable: Mutex<Durable>,
    /// Whether the tree was renamed, and that is durable.
    placed: Mutex<(bool, bool)>,
}

impl Model {
    fn new(way: Way, fail: Option<(usize, i32)>) -> Self {
        Self {
            way,
            fail,
            calls: Mutex::default(),
            durable: Mutex::default(),
            placed: Mutex::default(),
        }
    }

    fn step(&self) -> io::Result<()> {
        let mut calls = self.calls.lock().unwrap();
        *calls += 1;
        match self.fail {
            Some((at, errno)) if at + 1 == *calls => Err(io::Error::from_raw_os_error(errno)),
            _ => Ok(()),
        }
    }

    fn keep_file(&self, path: &Path) {
        let content = fs::read(path).unwrap();
        let mut durable = self.durable.lock().unwrap();
        durable.contents.insert(path.to_owned(), content);
    }

    fn keep_names(&self, directory: &Path) {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            self.durable.lock().unwrap().names.insert(path, true);
        }
    }

    fn keep_all(&self, directory: &Path) {
        self.keep_names(directory);
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => self.keep_all(&path),
                false => self.keep_file(&path),
            }
        }
    }

    /// What stands below `directory` and would be lost with the power.
    fn lost(&self, directory: &Path) -> Vec<PathBuf> {
        let durable = self.durable.lock().unwrap();
        let mut lost = Vec::new();
        let mut pending = vec![directory.to_owned()];
        while let Some(directory) = pending.pop() {
            for entry in fs::read_dir(directory).unwrap() {
                let path = entry.unwrap().path();
                let named = durable.names.contains_key(&path);
                let whole =
                    path.is_dir() || durable.contents.get(&path) == Some(&fs::read(&path).unwrap());
                if !(named && whole) {
                    lost.push(path.clone());
                }
                if path.is_dir() {
                    pending.push(path);
                }
            }
        }
        lost
    }
}

impl FileLayer for Model {
    fn append(&self, _: &File, _: &Path, _: &[u8]) -> io::Result<()> {
        unreachable!("a restoration appends nothing")
    }

    fn truncate(&self, _: &File, _: &Path, _: u64) -> io::Result<()> {
        unreachable!("a restoration cuts nothing")
    }

    fn sync_data(&self, _: &File, _: &Path) -> io::Result<()> {
        unreachable!("a restoration writes no log in place")
    }

    fn create_temporary(&self, directory: &Path, mode: u32) -> io::Result<Temporary> {
        SystemFiles.create_temporary(directory, mode)
    }

    fn write_temporary(&self, _: &Temporary, _: &[u8]) -> io::Result<()> {
        unreachable!("a restoration replaces no file")
    }

    fn sync_temporary(&self, _: &Temporary) -> io::Result<()> {
        unreachable!("a restoration replaces no file")
    }

    fn sync_files(&self, files: &[(File, PathBuf)]) -> Result<(), (usize, io::Error)> {
        for (index, (_, path)) in files.iter().enumerate() {
            self.step().map_err(|error| (index, error))?;
            self.keep_file(path);
        }
        Ok(())
    }

    fn syncs_as_one(&self, directory: &File) -> bool {
        assert!(directory.metadata().unwrap().is_dir());
        self.way != Way::Groups
    }

    fn sync_file_system(&self, _: &File, path: &Path) -> io::Result<()> {
        if self.way == Way::RefusedAsOne {
            return Err(io::ErrorKind::Unsupported.into());
        }
        self.step()?;
        self.keep_all(path);
        Ok(())
    }

    fn rename(&self, _: Temporary, _: &Path) -> io::Result<()> {
        unreachable!("a restoration replaces no file")
    }

    fn rename_file(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.step()?;
        assert_eq!(self.lost(from), Vec::<PathBuf>::new(), "named too early");
        fs::rename(from, to)?;
        self.placed.lock().unwrap().0 = true;
        Ok(())
    }

    fn remove(&self, _: &Path) -> io::Result<()> {
        unreachable!("a restoration removes no file of a vault")
    }

    fn sync_directory(&self, directory: &Path) -> io::Result<()> {
        self.step()?;
        self.keep_names(directory);
        let mut placed = self.placed.lock().unwrap();
        placed.1 |= placed.0;
        Ok(())
    }
}

/// A backup of a vault with this many artifacts.
fn archive(artifacts: u32) -> (Fixture, PathBuf) {
    let fixture = Fixture::new();
    for number in 0..artifacts {
        let path = fixture.file(&format!("artifacts/cas/{}/{number}", number % 7));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, number.to_string()).unwrap();
    }
    fixture.vault.manifest(Some(&fixture.keyfile)).unwrap();
    let archive = fixture.outside().join("backup.tar");
    let options = BackupOptions::default();
    fixture.vault.backup(&archive, options).unwrap();
    (fixture, archive)
}

#[test]
fn everything_is_durable_before_it_gets_its_name() {
    for (artifacts, ways) in [
        (0, &[Way::AsOne, Way::Groups][..]),
        (300, &[Way::AsOne, Way::RefusedAsOne, Way::Groups]),
    ] {
        let (fixture, archive) = archive(artifacts);
        for way in ways {
            let target = fixture.outside().join(format!("{way:?}"));
            let model = Model::new(*way, None);
            let options = RestoreOptions::default();
            restore_through(&model, &archive, &target, options).unwrap();
            assert_eq!(*model.placed.lock().unwrap(), (true, true));
            assert!(verifies(&Vault::open(&target).unwrap()) >= 2);
            // Few files are no reason to wait for what others wrote.
            let calls = *model.calls.lock().unwrap();
            match (artifacts, way) {
                (300, Way::AsOne) => assert_eq!(calls, 3, "a sync, a rename, a sync"),
                _ => assert!(calls as u32 > artifacts, "{calls} calls"),
            }
        }
    }
}

#[test]
fn a_disk_that_fails_leaves_nothing_or_says_what_it_left() {
    let (fixture, archive) = archive(70);
    let target = fixture.outside().join("target");
    let restore =
        |model: &Model| restore_through(model, &archive, &target, RestoreOptions::default());
    for (way, errno) in [
        (Way::AsOne, EIO),
        (Way::RefusedAsOne, ENOSPC),
        (Way::Groups, EIO),
    ] {
        let model = Model::new(way, None);
        restore(&model).unwrap();
        fs::remove_dir_all(&target).unwrap();
        let calls = *model.calls.lock().unwrap();
        // The last two are the rename, and the sync after it.
        let steps = BTreeSet::from([0, calls / 2, calls - 3, calls - 2, calls - 1]);
        for at in steps {
            match restore(&Model::new(way, Some((at, errno)))).unwrap_err() {
                VaultError::Archive(error) if at == calls - 1 => {
                    assert!(matches!(*error, ArchiveError::Unsure { .. }), "{error}");
                    assert!(verifies(&Vault::open(&target).unwrap()) >= 2);
                    fs::remove_dir_all(&target).unwrap();
                }
                error => {
                    assert!(matches!(error, VaultError::Io { .. }), "{error}");
                    assert!(!target.exists(), "{way:?}, call {at} of {calls}");
                }
            }
        }
    }
}
