//! A vault in an archive, read into memory once: nothing is unpacked to a disk.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use provara_core::id::Digest;
use provara_core::layout;

use super::{Entry, OpenLog, Standing, TakenLog, VaultFiles};
use crate::error::{ArchiveError, VaultError};
use crate::files::{MAX_TEXT, TOO_LARGE};
use crate::log_snapshot::LogSnapshot;
use crate::packed::held_files;

/// The files of the one vault in an archive.
#[derive(Debug)]
pub(super) struct Archive(BTreeMap<String, Arc<Vec<u8>>>);

impl Archive {
    /// Reads an archive, within the bounds of a restoration.
    ///
    /// # Errors
    /// [`VaultError::Archive`], [`VaultError::Io`].
    pub(super) fn read(path: &Path) -> Result<Self, VaultError> {
        let held = held_files(path)?;
        let prefix = prefix(&held)?;
        let mut files = BTreeMap::new();
        for (name, content) in held {
            let path = name.strip_prefix(&prefix).ok_or(ArchiveError::Entry {
                entry: name.clone(),
                reason: "stands outside the vault's directory",
            })?;
            files.insert(path.to_owned(), Arc::new(content));
        }
        Ok(Self(files))
    }
}

/// What stands before the vault's own paths: nothing, or its directory and `/`. A vault is told as in a directory.
fn prefix(files: &BTreeMap<String, Vec<u8>>) -> Result<String, ArchiveError> {
    let marks = [layout::LOG, layout::GENESIS, layout::MANIFEST];
    let holds = |prefix: &str| {
        let mut paths = marks.iter().map(|mark| format!("{prefix}{mark}"));
        paths.any(|path| files.contains_key(&path))
    };
    if holds("") {
        return Ok(String::new());
    }
    let tops = files.keys().filter_map(|name| name.split_once('/'));
    let mut tops: Vec<_> = tops.map(|(top, _)| format!("{top}/")).collect();
    tops.dedup();
    tops.into_iter()
        .find(|top| holds(top))
        .ok_or(ArchiveError::NoVault)
}

impl VaultFiles for Archive {
    fn is_live(&self) -> bool {
        false
    }

    fn list(&self) -> Result<BTreeMap<String, Entry>, VaultError> {
        let files = self.0.iter();
        Ok(files
            .map(|(path, content)| (path.clone(), Entry::File(content.len() as u64)))
            .collect())
    }

    fn stands(&self, path: &str) -> Result<Option<Standing>, VaultError> {
        Ok(self.0.get(path).map(|_| Standing::File))
    }

    fn read(&self, path: &str) -> Result<Option<Vec<u8>>, VaultError> {
        let content = self.0.get(path);
        match content.filter(|content| content.len() as u64 > MAX_TEXT) {
            Some(_) => Err(VaultError::Structure {
                file: path.to_owned(),
                reason: format!("it is {TOO_LARGE}"),
            }),
            None => Ok(content.map(|content| content.to_vec())),
        }
    }

    fn hash(&self, path: &str) -> Result<(u64, Digest), VaultError> {
        let content = self.0.get(path).map_or(&[][..], |content| content);
        Ok((content.len() as u64, Digest::of(content)))
    }

    fn open_log(&self, path: &str) -> Result<Option<Box<dyn OpenLog>>, VaultError> {
        let log = self.0.get(path).cloned();
        Ok(log.map(|log| Box::new(HeldLog(log)) as Box<dyn OpenLog>))
    }
}

/// A log that lies in memory.
struct HeldLog(Arc<Vec<u8>>);

impl OpenLog for HeldLog {
    fn take(&self, _: Option<u64>) -> Result<TakenLog, VaultError> {
        self.whole().map(TakenLog::of)
    }

    fn whole(&self) -> Result<LogSnapshot, VaultError> {
        Ok(LogSnapshot::of_shared(Arc::clone(&self.0)))
    }

    fn is_current(&self) -> bool {
        true
    }
}
