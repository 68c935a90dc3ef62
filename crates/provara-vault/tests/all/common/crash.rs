//! What a disk may hold after a crash: a layer that records, and a model of the disk.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use provara_vault::Vault;
use provara_vault::file_layer::{FileLayer, SystemFiles, Temporary};

const SECTOR: usize = 512;

#[derive(Debug, Clone)]
pub enum Change {
    Append(Vec<u8>),
    Truncate(u64),
    SyncLog,
    /// A durable temporary file took this name.
    Rename(PathBuf, Vec<u8>),
    /// A durable file with a name took another one's place, in one step.
    Move(PathBuf, PathBuf, Vec<u8>),
    Remove(PathBuf),
    SyncDirectory(PathBuf),
    /// From here on these events are promised.
    Acknowledge(Vec<String>),
}

#[derive(Debug, Default)]
pub struct Record {
    pub changes: Vec<Change>,
    /// The content of open temporary files, and whether it is synced.
    temporary: HashMap<i32, (Vec<u8>, bool)>,
}

/// Records; syncs nothing, as the model decides what is durable.
#[derive(Debug, Default)]
pub struct Recording(pub Mutex<Record>);

impl Recording {
    pub fn push(&self, change: Change) {
        self.0.lock().unwrap().changes.push(change);
    }
}

impl FileLayer for Recording {
    fn append(&self, log: &File, path: &Path, bytes: &[u8]) -> io::Result<()> {
        self.push(Change::Append(bytes.to_vec()));
        SystemFiles.append(log, path, bytes)
    }

    fn truncate(&self, log: &File, path: &Path, len: u64) -> io::Result<()> {
        self.push(Change::Truncate(len));
        SystemFiles.truncate(log, path, len)
    }

    fn sync_data(&self, _: &File, _: &Path) -> io::Result<()> {
        self.push(Change::SyncLog);
        Ok(())
    }

    fn create_temporary(&self, directory: &Path, mode: u32) -> io::Result<Temporary> {
        let temporary = SystemFiles.create_temporary(directory, mode)?;
        let descriptor = temporary.file().as_raw_fd();
        self.0
            .lock()
            .unwrap()
            .temporary
            .insert(descriptor, (Vec::new(), false));
        Ok(temporary)
    }

    fn write_temporary(&self, temporary: &Temporary, bytes: &[u8]) -> io::Result<()> {
        let descriptor = temporary.file().as_raw_fd();
        self.0
            .lock()
            .unwrap()
            .temporary
            .insert(descriptor, (bytes.to_vec(), false));
        SystemFiles.write_temporary(temporary, bytes)
    }

    fn sync_temporary(&self, temporary: &Temporary) -> io::Result<()> {
        let mut record = self.0.lock().unwrap();
        record
            .temporary
            .get_mut(&temporary.file().as_raw_fd())
            .unwrap()
            .1 = true;
        Ok(())
    }

    fn rename(&self, temporary: Temporary, target: &Path) -> io::Result<()> {
        let descriptor = temporary.file().as_raw_fd();
        let (bytes, synced) = self
            .0
            .lock()
            .unwrap()
            .temporary
            .remove(&descriptor)
            .unwrap();
        assert!(
            synced,
            "{} is replaced by what is not durable",
            target.display()
        );
        self.push(Change::Rename(target.to_owned(), bytes));
        SystemFiles.rename(temporary, target)
    }

    fn rename_file(&self, from: &Path, to: &Path) -> io::Result<()> {
        let bytes = fs::read(from)?;
        self.push(Change::Move(from.to_owned(), to.to_owned(), bytes));
        SystemFiles.rename_file(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.push(Change::Remove(path.to_owned()));
        SystemFiles.remove(path)
    }

    fn sync_directory(&self, directory: &Path) -> io::Result<()> {
        self.push(Change::SyncDirectory(directory.to_owned()));
        Ok(())
    }
}

/// A small generator of our own (SplitMix64), so that a failure repeats.
pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % limit.max(1) as u64) as usize
    }
}

pub type Files = BTreeMap<PathBuf, Vec<u8>>;

/// What the disk surely holds, and what was done to it since.
#[derive(Clone)]
pub struct Disk {
    pub files: Files,
    pub log: PathBuf,
    /// The log as it was when it was last synced, and since.
    pub synced: Vec<u8>,
    pub written: Vec<u8>,
    /// New contents of names, or that they go; each happens as a whole.
    pub renames: Vec<Vec<(PathBuf, Option<Vec<u8>>)>>,
    pub promised: Vec<String>,
}

impl Disk {
    pub fn apply(&mut self, change: &Change) {
        match change {
            Change::Append(bytes) => self.written.extend_from_slice(bytes),
            Change::Truncate(len) => self.written.truncate(*len as usize),
            Change::SyncLog => self.synced = self.written.clone(),
            Change::Rename(path, bytes) => {
                assert!(
                    *path == self.log || self.synced == self.written,
                    "a name changes before the log is durable"
                );
                self.renames.push(vec![(path.clone(), Some(bytes.clone()))]);
            }
            Change::Move(from, to, bytes) => {
                let there = (to.clone(), Some(bytes.clone()));
                self.renames.push(vec![(from.clone(), None), there]);
            }
            Change::Remove(path) => self.renames.push(vec![(path.clone(), None)]),
            Change::SyncDirectory(directory) => {
                let (durable, pending): (Vec<_>, Vec<_>) = std::mem::take(&mut self.renames)
                    .into_iter()
                    .partition(|step| step[0].0.parent() == Some(directory));
                self.renames = pending;
                for (path, bytes) in durable.into_iter().flatten() {
                    match bytes {
                        Some(bytes) if path == self.log => {
                            self.synced.clone_from(&bytes);
                            self.written = bytes;
                        }
                        bytes => put(&mut self.files, &path, bytes.as_deref()),
                    }
                }
            }
            Change::Acknowledge(ids) => {
                assert!(self.renames.is_empty() && self.synced == self.written);
                self.promised.extend(ids.iter().cloned());
            }
        }
    }

    /// One state that the disk may be in now.
    pub fn crash(&self, random: &mut Random) -> Files {
        let mut files = self.files.clone();
        files.insert(self.log.clone(), self.log_after(random));
        for step in &self.renames {
            if random.below(2) == 0 {
                for (path, bytes) in step {
                    put(&mut files, path, bytes.as_deref());
                }
            }
        }
        if random.below(4) == 0 {
            let name = format!(".provara-tmp-{:024x}", random.below(1 << 40));
            let part = b"{\"backpack"[..random.below(10)].to_vec();
            let directory = ["", "identity", "events", "checkpoints"][random.below(4)];
            files.insert(Path::new(directory).join(name), part);
        }
        files
    }

    fn log_after(&self, random: &mut Random) -> Vec<u8> {
        let common = self
            .synced
            .iter()
            .zip(&self.written)
            .take_while(|(a, b)| a == b)
            .count();
        let (old, new) = (&self.synced[common..], &self.written[common..]);
        let zeros = |part: &[u8]| vec![0; part.len()];
        let cut = random.below(new.len() + 1);
        let tail = match random.below(8) {
            0 => old.to_vec(),
            1 => new.to_vec(),
            2 => new[..cut].to_vec(),
            3 => zeros(new),
            4 => zeros(&new[..cut]),
            5 => [new[..cut].to_vec(), zeros(&new[cut..])].concat(),
            // The new bytes stand over the old ones, whose length is not yet cut.
            6 => [&new[..cut], old.get(cut..).unwrap_or_default()].concat(),
            _ => {
                // Sectors reach the disk in any order; the length is there first.
                let start = common % SECTOR;
                let mut out = new.to_vec();
                let mut lost = false;
                for (at, byte) in out.iter_mut().enumerate() {
                    if at == 0 || (at + start).is_multiple_of(SECTOR) {
                        lost = random.below(2) == 0;
                    }
                    if lost {
                        *byte = 0;
                    }
                }
                out
            }
        };
        [&self.synced[..common], &tail].concat()
    }
}

pub fn put(files: &mut Files, path: &Path, bytes: Option<&[u8]>) {
    match bytes {
        Some(bytes) => files.insert(path.to_owned(), bytes.to_vec()),
        None => files.remove(path),
    };
}

pub fn files_of(vault: &Path) -> Files {
    super::picture(vault)
        .into_iter()
        .filter(|(path, _, _)| path.is_file())
        .map(|(path, _, bytes)| (path.strip_prefix(vault).unwrap().to_owned(), bytes))
        .collect()
}

/// Puts files in a place of their own, in memory where there is such a directory: nothing here needs to be
/// durable.
pub fn place(files: &Files) -> (tempfile::TempDir, Vault) {
    let memory = Path::new("/dev/shm");
    let directory = match memory.is_dir() {
        true => tempfile::tempdir_in(memory).unwrap(),
        false => tempfile::tempdir().unwrap(),
    };
    let root = directory.path().join("vault");
    for empty in ["artifacts/cas", "state"] {
        fs::create_dir_all(root.join(empty)).unwrap();
    }
    for (path, bytes) in files {
        fs::create_dir_all(root.join(path).parent().unwrap()).unwrap();
        fs::write(root.join(path), bytes).unwrap();
    }
    let vault = Vault::open(&root)
        .unwrap()
        .with_layer(Arc::new(Recording::default()))
        .with_state_directory(directory.path().join("state"));
    (directory, vault)
}

/// The changes, with paths relative to `root`.
pub fn below(changes: Vec<Change>, root: &Path) -> Vec<Change> {
    let strip = |path: &Path| path.strip_prefix(root).unwrap().to_owned();
    changes
        .into_iter()
        .map(|change| match change {
            Change::Rename(path, bytes) => Change::Rename(strip(&path), bytes),
            Change::Move(from, to, bytes) => Change::Move(strip(&from), strip(&to), bytes),
            Change::Remove(path) => Change::Remove(strip(&path)),
            Change::SyncDirectory(path) => Change::SyncDirectory(strip(&path)),
            other => other,
        })
        .collect()
}

impl Disk {
    /// The disk of a vault that holds `files`, all of them durable.
    pub fn of(files: Files) -> Self {
        let log = PathBuf::from("events/events.ndjson");
        let bytes = files[&log].clone();
        Self {
            files,
            log,
            synced: bytes.clone(),
            written: bytes,
            renames: Vec::new(),
            promised: Vec::new(),
        }
    }

    /// Every subset of the pending renames, with the log's unsynced end whole, cut, lost, and as zeros.
    pub fn states(&self) -> Vec<Files> {
        let old = &self.synced;
        let new = &self.written;
        let mut logs = vec![new.clone()];
        if old != new {
            let common = old.iter().zip(new).take_while(|(a, b)| a == b).count();
            let (head, tail) = new.split_at(common);
            let half = tail.len() / 2;
            let zeros = vec![0; tail.len()];
            logs.push(old.clone());
            logs.push([head, &tail[..half]].concat());
            logs.push([head, &zeros].concat());
            logs.push([head, &tail[..half], &zeros[half..]].concat());
        }
        let mut states = Vec::new();
        for log in logs {
            for subset in 0..1u32 << self.renames.len() {
                let mut files = self.files.clone();
                files.insert(self.log.clone(), log.clone());
                for (at, step) in self.renames.iter().enumerate() {
                    if subset >> at & 1 == 1 {
                        for (path, bytes) in step {
                            put(&mut files, path, bytes.as_deref());
                        }
                    }
                }
                states.push(files);
            }
        }
        states
    }
}
