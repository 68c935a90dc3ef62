//! A tree of new files and directories, made durable as a whole before it gets its name.
//!
//! A sync of each file costs a commit of the file system's journal each time: a minute for 20,000 files. Where
//! the file system can (`FileLayer::syncs_as_one`), one call makes all of it durable, data and names; elsewhere
//! files are synced in groups, whose data is on its way to the disk before the first is waited for.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use crate::error::{Context, VaultError};
use crate::file_layer::FileLayer;
use crate::file_system::Names;

/// From how many files on a whole file system is synced: it may hold what others wrote meanwhile.
const MANY: usize = 64;

/// How many files are open until they are synced.
const GROUP: usize = 256;

const ACTION: &str = "make durable";

/// Files that are written and not yet durable.
#[derive(Debug)]
pub(crate) struct NewTree<'l> {
    layer: &'l dyn FileLayer,
    path: PathBuf,
    /// Open since before anything was written: what fails to reach the disk from then on is told of it.
    root: File,
    as_one: bool,
    /// Files to be synced one by one, while they are open.
    open: Vec<(File, PathBuf)>,
    /// Files that were closed.
    closed: Vec<PathBuf>,
    /// Parents before children.
    directories: Vec<PathBuf>,
}

impl<'l> NewTree<'l> {
    /// Makes the directory `path`, which is to hold so many files.
    pub(crate) fn make(
        layer: &'l dyn FileLayer,
        path: &Path,
        files: usize,
    ) -> Result<Self, VaultError> {
        fs::create_dir(path).context("make the directory", path)?;
        let root = File::open(path).context("open", path)?;
        Ok(Self {
            layer,
            as_one: files >= MANY && layer.syncs_as_one(&root),
            path: path.to_owned(),
            root,
            open: Vec::new(),
            closed: Vec::new(),
            directories: vec![path.to_owned()],
        })
    }

    /// Makes a directory below, unless it is there.
    pub(crate) fn directory(&mut self, path: &Path) -> Result<(), VaultError> {
        match fs::create_dir(path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            made => {
                made.context("make the directory", path)?;
                self.directories.push(path.to_owned());
                Ok(())
            }
        }
    }

    /// Takes a file of which everything is written.
    pub(crate) fn written(&mut self, file: File, path: PathBuf) -> Result<(), VaultError> {
        if self.as_one {
            self.closed.push(path);
            return Ok(());
        }
        self.open.push((file, path));
        match self.open.len() < GROUP {
            true => Ok(()),
            false => self.sync_group(),
        }
    }

    /// Makes everything durable; tells whether the names are.
    pub(crate) fn sync(mut self) -> Result<Names, VaultError> {
        if self.as_one {
            match self.layer.sync_file_system(&self.root, &self.path) {
                Ok(()) => return Ok(Names::Durable),
                Err(error) if error.kind() == io::ErrorKind::Unsupported => {}
                Err(error) => return Err(error).context(ACTION, &self.path),
            }
        }
        for path in std::mem::take(&mut self.closed) {
            let file = File::open(&path).context("open", &path)?;
            self.open.push((file, path));
            if self.open.len() == GROUP {
                self.sync_group()?;
            }
        }
        self.sync_group()?;
        let mut names = Names::Durable;
        for directory in self.directories.iter().rev() {
            let synced = Names::of(self.layer.sync_directory(directory));
            names = names.and(synced.context(ACTION, directory)?);
        }
        Ok(names)
    }

    fn sync_group(&mut self) -> Result<(), VaultError> {
        let synced = self.layer.sync_files(&self.open);
        let group = std::mem::take(&mut self.open);
        synced.map_err(|(index, source)| VaultError::Io {
            action: ACTION,
            path: group[index].1.clone(),
            source,
        })
    }
}
