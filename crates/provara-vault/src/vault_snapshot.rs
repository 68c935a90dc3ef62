//! A snapshot of a vault: the seal, the small files, the log, and what else stands there, as they were found.
//!
//! Looking once is no proof that the parts belong together: writers may be at work meanwhile. [`consistent`]
//! takes one that is consistent.

mod consistent;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::collections::BTreeMap;

use provara_core::finding::Finding;
use provara_core::id::Digest;
use provara_core::layout::{self, REQUIRED};
use provara_core::manifest::Manifest;
use provara_core::verify::files::{DiskEntry, SealFiles, check_fit};

use crate::error::VaultError;
use crate::files::{MAX_TEXT, TOO_LARGE};
use crate::intent::{Intent, Source};
use crate::log_hashes::LogHashes;
use crate::log_snapshot::LogSnapshot;
use crate::seal::is_temporary;
use crate::vault::Vault;
use crate::vault_files::{Entry, TakenLog};

/// A view of a vault.
#[derive(Debug)]
pub(crate) struct VaultSnapshot {
    pub(crate) log: Option<TakenLog>,
    entries: BTreeMap<String, Entry>,
    /// The seal, the files that every vault has, and anchors that an intent brings.
    texts: BTreeMap<String, Vec<u8>>,
    /// Whether a merge replaced the log meanwhile: seal and log may then be of different times.
    replaced: bool,
    /// What an interrupted command left.
    interrupted: Option<Interrupted>,
    /// The temporary files that an interrupted writer left; they are no part of the view.
    leftovers: Vec<String>,
}

/// An intent that stood in the vault and is no part of the view.
#[derive(Debug)]
pub(crate) enum Interrupted {
    /// What a writer will do about it, and what the view supposes done.
    Settled(String),
    /// It cannot be settled, and the view is of what is there.
    Broken(String),
}

impl VaultSnapshot {
    /// The vault as it is once an intent is carried out. Only while no writer is at work.
    pub(crate) fn after(vault: &Vault, intent: &Intent) -> Result<Self, VaultError> {
        let mut seen = Self::look(vault, false)?;
        seen.forget(intent);
        for name in layout::SEAL.into_iter().chain(REQUIRED) {
            let text = match name {
                layout::MANIFEST_SIG => Some(intent.seal.as_slice()),
                name => intent.content(name),
            };
            if let Some(text) = text {
                let size = text.len() as u64;
                seen.entries.insert(name.to_owned(), Entry::File(size));
                seen.texts.insert(name.to_owned(), text.to_vec());
            }
        }
        for step in &intent.files {
            if let (Source::Content(text), Some(_)) =
                (&step.source, layout::anchor_kind(&step.path))
            {
                let size = text.len() as u64;
                seen.entries.insert(step.path.clone(), Entry::File(size));
                seen.texts.insert(step.path.clone(), text.clone());
            }
        }
        for removal in &intent.removed {
            seen.entries.remove(&removal.path);
        }
        if let Some(log) = log_after(vault, intent)? {
            let log = TakenLog::of(log);
            seen.entries
                .insert(layout::LOG.to_owned(), Entry::File(log.size()));
            seen.log = Some(log);
        }
        Ok(seen)
    }

    /// Takes an intent, and what it staged, out of the view.
    fn forget(&mut self, intent: &Intent) {
        self.entries.remove(layout::MERGE_INTENT);
        if let Some(staged) = intent.staged() {
            self.entries.remove(staged);
        }
        self.replaced = false;
    }

    /// Takes the temporary files out of the view that the next writer removes. Only while no writer is at work.
    fn forget_leftovers(&mut self) {
        let is_one = |(path, entry): (&String, &Entry)| {
            (matches!(entry, Entry::File(_)) && is_temporary(path)).then(|| path.clone())
        };
        let mut found: Vec<String> = self.entries.iter().filter_map(is_one).collect();
        if !found.is_empty() {
            // A name that the manifest lists is somebody's file, however it is called.
            let manifest = self.text(layout::MANIFEST).map(Manifest::parse);
            let listed = manifest
                .and_then(Result::ok)
                .map_or_else(Vec::new, |it| it.files);
            found.retain(|path| listed.iter().all(|file| file.path != *path));
        }
        for path in &found {
            self.entries.remove(path);
        }
        self.leftovers = found;
    }

    /// The temporary files that an interrupted writer left.
    pub(crate) fn leftovers(&self) -> &[String] {
        &self.leftovers
    }

    /// What an interrupted command left.
    pub(crate) fn interrupted(&self) -> Option<&Interrupted> {
        self.interrupted.as_ref()
    }

    /// Looks once. The seal is read before the log's length, so that the log has at least what it
    /// covers. `cut` takes what the log has beyond it apart.
    ///
    /// A merge replaces log and seal one after the other, with its intent there from before until
    /// after. The log is opened first: if the intent is not there then, and the same file is still the
    /// log when the seal was read, then the two belong together.
    pub(crate) fn look(vault: &Vault, cut: bool) -> Result<Self, VaultError> {
        Self::look_with(vault, cut, || {})
    }

    /// As [`VaultSnapshot::look`]; calls `opened` once the log is open and nothing else was read.
    fn look_with(vault: &Vault, cut: bool, opened: impl FnOnce()) -> Result<Self, VaultError> {
        let files = vault.files();
        let mut entries = files.list()?;
        for (path, entry) in &mut entries {
            if matches!(entry, Entry::File(size) if *size > MAX_TEXT) && is_read(path) {
                *entry = Entry::Other(TOO_LARGE);
            }
        }
        let log = match entries.get(layout::LOG) {
            Some(Entry::File(_)) => files.open_log(layout::LOG)?,
            _ => None,
        };
        opened();
        let mut replaced = matches!(files.stands(layout::MERGE_INTENT), Ok(Some(_)));
        let mut texts = BTreeMap::new();
        for name in layout::SEAL.into_iter().chain(REQUIRED) {
            if matches!(entries.get(name), Some(Entry::File(_)))
                && let Some(text) = files.read(name)?
            {
                texts.insert(name.to_owned(), text);
            }
        }
        let sealed = texts
            .get(layout::MANIFEST)
            .filter(|_| cut)
            .and_then(|text| sealed_size(text));
        let mut taken = None;
        if let Some(open) = log {
            let log = open.take(sealed)?;
            replaced |= !open.is_current();
            entries.insert(layout::LOG.to_owned(), Entry::File(log.size()));
            taken = Some(log);
        }
        Ok(Self {
            log: taken,
            entries,
            texts,
            replaced,
            interrupted: None,
            leftovers: Vec::new(),
        })
    }

    /// The bytes of the log that were taken.
    pub(crate) fn log_bytes(&self) -> Cow<'_, [u8]> {
        match &self.log {
            None => Cow::Borrowed(&[]),
            Some(log) if log.tail.is_empty() => Cow::Borrowed(log.lines.bytes()),
            Some(log) => Cow::Owned([log.lines.bytes(), &log.tail].concat()),
        }
    }

    /// Refuses a log that another program changed while it was held against the rules, and takes note of
    /// the hashes of its whole lines, by which a later change is seen.
    ///
    /// # Errors
    /// [`VaultError::LogChanged`], or [`VaultError::Io`].
    pub(crate) fn check_log(&self, hashes: LogHashes) -> Result<(), VaultError> {
        let log = self.log.as_ref();
        log.map_or(Ok(()), |log| log.lines.check_verified(hashes))
    }

    /// The content of one of the files that every vault has.
    pub(crate) fn text(&self, name: &str) -> Option<&[u8]> {
        self.texts.get(name).map(Vec::as_slice)
    }

    /// The regular files that stand there, links within the vault included.
    pub(crate) fn files(&self) -> impl Iterator<Item = &str> {
        let files = self
            .entries
            .iter()
            .filter(|(_, entry)| matches!(entry, Entry::File(_)));
        files.map(|(path, _)| path.as_str())
    }

    /// The first thing that stands there and is no file that a vault can hold, and why.
    pub(crate) fn unsafe_entry(&self) -> Option<(&str, &'static str)> {
        self.entries.iter().find_map(|(path, entry)| match entry {
            Entry::Other(reason) => Some((path.as_str(), *reason)),
            Entry::File(_) => None,
        })
    }

    /// Whether a merge of version 1.1.0 was interrupted and left its intent.
    pub(crate) fn holds_intent(&self) -> bool {
        self.entries.contains_key(layout::MERGE_INTENT)
    }

    /// The checkpoints, in the order of their names.
    pub(crate) fn checkpoints(&self) -> impl Iterator<Item = &str> {
        self.files().filter(|path| is_checkpoint(path))
    }

    /// The anchors, in the order of their names.
    pub(crate) fn anchors(&self) -> impl Iterator<Item = &str> {
        self.files()
            .filter(|path| layout::anchor_kind(path).is_some())
    }

    /// The bytes of the seal.
    pub(crate) fn seal(&self) -> SealFiles<'_> {
        SealFiles {
            manifest: self.text(layout::MANIFEST),
            signature: self.text(layout::MANIFEST_SIG),
            merkle_root: self.text(layout::MERKLE_ROOT),
        }
    }

    /// Every file with its digest. `log` is that of the log; the files that were not read for the
    /// view are read now.
    pub(crate) fn disk(
        &self,
        vault: &Vault,
        log: Digest,
    ) -> Result<BTreeMap<String, DiskEntry>, VaultError> {
        self.disk_with(log, &mut |path| vault.files().hash(path))
    }

    /// As [`VaultSnapshot::disk`]; `hash` gives the sizes and digests of the files that were not read for the
    /// view.
    pub(crate) fn disk_with(
        &self,
        log: Digest,
        hash: &mut HashFile<'_>,
    ) -> Result<BTreeMap<String, DiskEntry>, VaultError> {
        let mut disk = BTreeMap::new();
        for (path, there) in &self.entries {
            let entry = match there {
                Entry::Other(reason) => DiskEntry::Other(reason),
                Entry::File(size) if path == layout::LOG => DiskEntry::File {
                    size: *size,
                    sha256: log,
                },
                Entry::File(size) => match self.text(path) {
                    Some(text) => entry_of(text),
                    // Their content concerns nobody, and a private key is not read without need.
                    None if layout::is_unlisted(path) => DiskEntry::File {
                        size: *size,
                        sha256: Digest::of(b""),
                    },
                    None => {
                        let (size, sha256) = hash(path)?;
                        DiskEntry::File { size, sha256 }
                    }
                },
            };
            disk.insert(path.clone(), entry);
        }
        Ok(disk)
    }

    /// Whether the seal fits what stands there, as far as sizes and small files tell.
    fn is_consistent(&self) -> bool {
        let manifest = self
            .text(layout::MANIFEST)
            .and_then(|text| Manifest::parse(text).ok());
        let Some(manifest) = manifest else {
            return false;
        };
        let claimed: BTreeMap<&str, Digest> = manifest
            .files
            .iter()
            .filter_map(|file| Some((file.path.as_str(), file.sha256.parse().ok()?)))
            .collect();
        let disk = self
            .entries
            .iter()
            .map(|(path, entry)| {
                let entry = match (entry, self.text(path)) {
                    (Entry::Other(reason), _) => DiskEntry::Other(reason),
                    (Entry::File(_), Some(text)) => entry_of(text),
                    (Entry::File(size), None) => DiskEntry::File {
                        size: *size,
                        sha256: claimed
                            .get(path.as_str())
                            .copied()
                            .unwrap_or(Digest::of(b"")),
                    },
                };
                (path.clone(), entry)
            })
            .collect();
        let findings: Vec<Finding> = check_fit(self.seal(), &disk);
        !self.replaced
            && findings.is_empty()
            && self.log.as_ref().is_some_and(|log| log.tail.is_empty())
    }
}

/// Gives the size and SHA-256 of the file at a path of the vault.
pub(crate) type HashFile<'a> = dyn FnMut(&str) -> Result<(u64, Digest), VaultError> + 'a;

/// Whether a file is taken for a checkpoint, whatever the rest of its name.
fn is_checkpoint(path: &str) -> bool {
    path.strip_prefix(layout::CHECKPOINTS)
        .and_then(|rest| rest.strip_prefix('/'))
        .is_some_and(|name| name.ends_with(".chk"))
}

/// Whether a verification reads the file as a whole.
fn is_read(path: &str) -> bool {
    let is_anchor = layout::anchor_kind(path).is_some();
    layout::SEAL.contains(&path) || REQUIRED.contains(&path) || is_checkpoint(path) || is_anchor
}

fn entry_of(text: &[u8]) -> DiskEntry {
    DiskEntry::File {
        size: text.len() as u64,
        sha256: Digest::of(text),
    }
}

/// How much of the log the manifest covers.
fn sealed_size(manifest: &[u8]) -> Option<u64> {
    let manifest = Manifest::parse(manifest).ok()?;
    manifest
        .files
        .iter()
        .find(|file| file.path == layout::LOG)
        .map(|file| file.size)
}

/// The log as an intent leaves it.
fn log_after(vault: &Vault, intent: &Intent) -> Result<Option<LogSnapshot>, VaultError> {
    let files = vault.files();
    let Some(step) = intent.step(layout::LOG) else {
        return Ok(None);
    };
    let Some(log) = files.open_log(layout::LOG)? else {
        return Ok(None);
    };
    let there = log.whole()?;
    match &step.source {
        Source::Staged(name) => {
            if Digest::of(&there) == step.sha256 {
                return Ok(Some(there));
            }
            match files.open_log(name)? {
                Some(staged) => staged.whole().map(Some),
                None => Ok(Some(there)),
            }
        }
        Source::Append { after, text } => {
            let kept = there.len().min(*after) as usize;
            let log = [&there[..kept], text].concat();
            Ok(Some(LogSnapshot::of_bytes(log)))
        }
        Source::Content(_) => Ok(None),
    }
}
