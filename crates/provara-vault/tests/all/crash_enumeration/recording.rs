//! A file layer that notes every change, and can be killed before any of them.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use provara_vault::file_layer::{FileLayer, SystemFiles, Temporary};

use crate::common::disk::EIO;

/// A change to the files of a vault. Paths are relative to it.
#[derive(Debug, Clone)]
pub enum Change {
    Append(Vec<u8>),
    Truncate(u64),
    SyncLog,
    /// A durable file without a name took this one.
    Name(PathBuf, Vec<u8>),
    /// A durable file took another one's place.
    Move(PathBuf, PathBuf),
    Remove(PathBuf),
    SyncDirectory(PathBuf),
    /// From here on these events are promised.
    Acknowledge(Vec<String>),
}

#[derive(Debug, Default)]
struct Record {
    changes: Vec<Change>,
    /// The content of open temporary files, and whether it is synced.
    temporary: HashMap<i32, (Vec<u8>, bool)>,
}

/// Records what a writer does below `root`; syncs nothing, as the model decides what is durable.
#[derive(Debug)]
pub struct Recording {
    root: PathBuf,
    /// The process ends when so many changes are made.
    kill_after: usize,
    record: Mutex<Record>,
}

impl Recording {
    pub fn new(root: &Path) -> Arc<Self> {
        Self::killed_after(root, usize::MAX)
    }

    /// From the change of this number on every call fails, so that nothing more reaches the files.
    pub fn killed_after(root: &Path, changes: usize) -> Arc<Self> {
        Arc::new(Self {
            root: root.to_owned(),
            kill_after: changes,
            record: Mutex::default(),
        })
    }

    /// What has changed so far, in order.
    pub fn changes(&self) -> Vec<Change> {
        self.record.lock().unwrap().changes.clone()
    }

    pub fn acknowledge(&self, ids: Vec<String>) {
        self.push(Change::Acknowledge(ids));
    }

    fn push(&self, change: Change) {
        self.record.lock().unwrap().changes.push(change);
    }

    fn alive(&self) -> io::Result<()> {
        match self.record.lock().unwrap().changes.len() < self.kill_after {
            true => Ok(()),
            false => Err(io::Error::from_raw_os_error(EIO)),
        }
    }

    fn inside(&self, path: &Path) -> PathBuf {
        path.strip_prefix(&self.root)
            .expect("a file of the vault")
            .to_owned()
    }

    fn content(&self, temporary: &Temporary, bytes: Option<&[u8]>) {
        let descriptor = temporary.file().as_raw_fd();
        let mut record = self.record.lock().unwrap();
        let entry = record.temporary.entry(descriptor).or_default();
        *entry = match bytes {
            Some(bytes) => (bytes.to_vec(), false),
            None => (std::mem::take(&mut entry.0), true),
        };
    }
}

impl FileLayer for Recording {
    fn append(&self, log: &File, path: &Path, bytes: &[u8]) -> io::Result<()> {
        self.alive()?;
        SystemFiles.append(log, path, bytes)?;
        self.push(Change::Append(bytes.to_vec()));
        Ok(())
    }

    fn truncate(&self, log: &File, path: &Path, len: u64) -> io::Result<()> {
        self.alive()?;
        SystemFiles.truncate(log, path, len)?;
        self.push(Change::Truncate(len));
        Ok(())
    }

    fn sync_data(&self, _: &File, _: &Path) -> io::Result<()> {
        self.alive()?;
        self.push(Change::SyncLog);
        Ok(())
    }

    fn create_temporary(&self, directory: &Path, mode: u32) -> io::Result<Temporary> {
        self.alive()?;
        let temporary = SystemFiles.create_temporary(directory, mode)?;
        self.content(&temporary, Some(b""));
        Ok(temporary)
    }

    fn write_temporary(&self, temporary: &Temporary, bytes: &[u8]) -> io::Result<()> {
        self.alive()?;
        self.content(temporary, Some(bytes));
        SystemFiles.write_temporary(temporary, bytes)
    }

    fn sync_temporary(&self, temporary: &Temporary) -> io::Result<()> {
        self.alive()?;
        self.content(temporary, None);
        Ok(())
    }

    fn rename(&self, temporary: Temporary, target: &Path) -> io::Result<()> {
        self.alive()?;
        let descriptor = temporary.file().as_raw_fd();
        let content = self.record.lock().unwrap().temporary.remove(&descriptor);
        let (bytes, synced) = content.expect("a file of this layer");
        assert!(
            synced,
            "{} is replaced by what is not durable",
            target.display()
        );
        SystemFiles.rename(temporary, target)?;
        self.push(Change::Name(self.inside(target), bytes));
        Ok(())
    }

    fn rename_file(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.alive()?;
        SystemFiles.rename_file(from, to)?;
        self.push(Change::Move(self.inside(from), self.inside(to)));
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.alive()?;
        SystemFiles.remove(path)?;
        self.push(Change::Remove(self.inside(path)));
        Ok(())
    }

    fn sync_directory(&self, directory: &Path) -> io::Result<()> {
        self.alive()?;
        self.push(Change::SyncDirectory(self.inside(directory)));
        Ok(())
    }
}
