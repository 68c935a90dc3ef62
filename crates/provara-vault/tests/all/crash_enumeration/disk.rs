//! What a disk may hold when the power goes: the model of a file system that keeps the data of a file
//! from its sync on, and the names of a directory from the directory's sync on, and nothing earlier.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use provara_vault::file_layer::TEMPORARY_PREFIX;

use super::recording::Change;

/// Every file, by its path within the vault.
pub type Files = BTreeMap<PathBuf, Vec<u8>>;

pub const LOG: &str = "events/events.ndjson";

/// A log that is written in place.
#[derive(Debug, Clone)]
struct Log {
    /// As it was when it was last synced.
    synced: Vec<u8>,
    written: Vec<u8>,
}

#[derive(Debug, Clone)]
enum Content {
    Bytes(Vec<u8>),
    /// The log with this number.
    Log(usize),
}

/// One rename or removal: it is on the disk as a whole or not at all.
type Renaming = Vec<(PathBuf, Option<Content>)>;

/// How much of what is not synced may be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cuts {
    /// Cut at each byte.
    Every,
    /// Nothing, one byte, half of each line, each line without and with its end.
    Lines,
}

/// What the disk surely holds, and what was done to it since.
#[derive(Debug, Clone)]
pub struct Disk {
    names: BTreeMap<PathBuf, Content>,
    renamings: Vec<Renaming>,
    logs: Vec<Log>,
    pub promised: BTreeSet<String>,
}

impl Disk {
    /// A disk on which all of this is durable.
    pub fn new(files: &Files, promised: BTreeSet<String>) -> Self {
        let mut disk = Self {
            names: BTreeMap::new(),
            renamings: Vec::new(),
            logs: Vec::new(),
            promised,
        };
        for (path, bytes) in files {
            let content = disk.content(path, bytes.clone());
            disk.names.insert(path.clone(), content);
        }
        disk
    }

    fn content(&mut self, path: &Path, bytes: Vec<u8>) -> Content {
        if path != Path::new(LOG) {
            return Content::Bytes(bytes);
        }
        self.logs.push(Log {
            synced: bytes.clone(),
            written: bytes,
        });
        Content::Log(self.logs.len() - 1)
    }

    /// What a process sees under a name.
    fn seen(&self, path: &Path) -> Option<&Content> {
        let renamed = self.renamings.iter().flatten().rev();
        match renamed.into_iter().find(|(name, _)| name == path) {
            Some((_, content)) => content.as_ref(),
            None => self.names.get(path),
        }
    }

    fn log(&mut self) -> &mut Log {
        match self.seen(Path::new(LOG)) {
            Some(Content::Log(number)) => {
                let number = *number;
                &mut self.logs[number]
            }
            _ => panic!("there is no log"),
        }
    }

    pub fn apply(&mut self, change: &Change) {
        match change {
            Change::Append(bytes) => self.log().written.extend_from_slice(bytes),
            Change::Truncate(len) => self.log().written.truncate(usize::try_from(*len).unwrap()),
            Change::SyncLog => {
                let log = self.log();
                log.synced.clone_from(&log.written);
            }
            Change::Name(path, bytes) => {
                let content = self.content(path, bytes.clone());
                self.renamings.push(vec![(path.clone(), Some(content))]);
            }
            Change::Move(from, to) => {
                let Some(Content::Bytes(bytes)) = self.seen(from).cloned() else {
                    panic!("{} is no staged file", from.display());
                };
                let content = self.content(to, bytes);
                let moved = vec![(to.clone(), Some(content)), (from.clone(), None)];
                self.renamings.push(moved);
            }
            Change::Remove(path) => self.renamings.push(vec![(path.clone(), None)]),
            Change::SyncDirectory(directory) => {
                let (durable, pending) = std::mem::take(&mut self.renamings)
                    .into_iter()
                    .partition(|names: &Renaming| names[0].0.parent() == Some(directory));
                self.renamings = pending;
                rename(
                    &mut self.names,
                    &Vec::into_iter(durable).collect::<Vec<_>>(),
                );
            }
            Change::Acknowledge(ids) => {
                let log = self.log();
                assert_eq!(log.synced, log.written, "a receipt for what is not durable");
                // What a crash had left goes at any time: the next writer removes it again.
                let promised = |(path, content): &(PathBuf, Option<Content>)| {
                    let name = path.file_name().unwrap_or_default().to_string_lossy();
                    content.is_some() || !name.starts_with(TEMPORARY_PREFIX)
                };
                assert!(
                    !self.renamings.iter().flatten().any(promised),
                    "a receipt before the names are durable: {:?}",
                    self.renamings
                );
                self.promised.extend(ids.iter().cloned());
            }
        }
    }

    /// How many renames may be on the disk or not.
    pub fn pending(&self) -> usize {
        self.renamings.len()
    }

    /// Every state that the disk may be in now: each subset of the pending renames, and for each each cut
    /// of what the log holds and was not synced.
    pub fn states(&self, cuts: Cuts) -> BTreeSet<Files> {
        assert!(
            self.pending() <= 16,
            "{} renames are too many",
            self.pending()
        );
        let mut states = BTreeSet::new();
        for subset in 0_u32..1 << self.pending() {
            let chosen: Vec<_> = (0..self.pending())
                .filter(|number| subset >> number & 1 == 1)
                .map(|number| self.renamings[number].clone())
                .collect();
            let mut names = self.names.clone();
            rename(&mut names, &chosen);
            let mut files = Files::new();
            let mut log = None;
            for (path, content) in names {
                match content {
                    Content::Bytes(bytes) => {
                        files.insert(path, bytes);
                    }
                    Content::Log(number) => log = Some(&self.logs[number]),
                }
            }
            for bytes in log.map_or_else(BTreeSet::new, |log| tails(log, cuts)) {
                files.insert(LOG.into(), bytes);
                states.insert(files.clone());
            }
        }
        states
    }
}

fn rename(names: &mut BTreeMap<PathBuf, Content>, renamings: &[Renaming]) {
    for (path, content) in renamings.iter().flatten() {
        match content {
            Some(content) => names.insert(path.clone(), content.clone()),
            None => names.remove(path),
        };
    }
}

/// What a log may hold after a crash: the synced bytes, and of the others any part from their start;
/// or zeros where their length was on the disk before they were.
fn tails(log: &Log, cuts: Cuts) -> BTreeSet<Vec<u8>> {
    let mut found = BTreeSet::from([log.synced.clone()]);
    let common = log
        .synced
        .iter()
        .zip(&log.written)
        .take_while(|(a, b)| a == b)
        .count();
    let tail = &log.written[common..];
    let with = |end: &[u8]| [&log.written[..common], end].concat();
    found.insert(with(tail));
    if tail.is_empty() {
        return found;
    }
    let mut places: BTreeSet<usize> = match cuts {
        Cuts::Every => (0..=tail.len()).collect(),
        Cuts::Lines => BTreeSet::from([0, 1, tail.len()]),
    };
    if cuts == Cuts::Lines {
        let mut start = 0;
        for end in (0..tail.len()).filter(|at| tail[*at] == b'\n') {
            places.extend([usize::midpoint(start, end), end, end + 1]);
            start = end + 1;
        }
    }
    for cut in places {
        found.insert(with(&tail[..cut]));
        if cuts == Cuts::Lines {
            let zeros = vec![0; tail.len() - cut];
            found.insert(with(&[&tail[..cut], &zeros].concat()));
        }
    }
    found
}
