//! The seal on disk: reading it, and renewing it without a moment at which it leads the log.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use provara_core::id::{Digest, KeyId};
use provara_core::keys::SigningKey;
use provara_core::layout;
use provara_core::manifest::{FileEntry, Manifest, sign_root, write_manifest, write_merkle_root};
use provara_core::time::Timestamp;
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use crate::clock;
use crate::error::{Context, VaultError};
use crate::file_layer::{FileLayer, Temporary, is_fresh_name};
pub(crate) use crate::file_system::Names;
use crate::file_system::keep_mode;
use crate::files::{is_absence, read_text};
use crate::lock::LockedLog;
use crate::vault::Vault;

/// A seal that was renewed.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct SealReceipt {
    /// The root that the seal holds.
    pub merkle_root: Digest,
    /// The files that the manifest lists.
    pub file_count: u64,
    /// The log's events.
    pub event_count: u64,
    /// The key that signed it; none where no keyfile was given, and then `manifest.sig` is as it was.
    pub signed_by: Option<KeyId>,
    /// What differs from the seal before.
    pub notes: Vec<String>,
}

/// The entries of `manifest.json`, in its order.
pub(crate) fn read_entries(root: &Path) -> Result<Vec<FileEntry>, VaultError> {
    let structure = |reason: String| VaultError::Structure {
        file: layout::MANIFEST.to_owned(),
        reason,
    };
    let text =
        read_text(root, layout::MANIFEST)?.ok_or_else(|| structure("it is missing".to_owned()))?;
    entries_of(&text)
}

/// The entries of a `manifest.json`, in its order.
pub(crate) fn entries_of(text: &[u8]) -> Result<Vec<FileEntry>, VaultError> {
    let structure = |reason: String| VaultError::Structure {
        file: layout::MANIFEST.to_owned(),
        reason,
    };
    let manifest = Manifest::parse(text).map_err(|error| structure(error.to_string()))?;
    manifest
        .files
        .into_iter()
        .map(|file| {
            let sha256 = file.sha256.parse().map_err(|_| {
                structure(format!(
                    "the sha256 of '{}' is not 64 hex digits",
                    file.path
                ))
            })?;
            Ok(FileEntry {
                path: file.path,
                sha256,
                size: file.size,
            })
        })
        .collect()
}

/// Puts `entry` in the place of the one with its path, or where the order of paths wants it.
pub(crate) fn set_entry(entries: &mut Vec<FileEntry>, entry: FileEntry) {
    match entries.iter_mut().find(|other| other.path == entry.path) {
        Some(other) => *other = entry,
        None => {
            let at = entries.partition_point(|other| other.path < entry.path);
            entries.insert(at, entry);
        }
    }
}

/// The entry of a file with this content.
pub(crate) fn text_entry(path: &str, text: &[u8]) -> FileEntry {
    FileEntry {
        path: path.to_owned(),
        sha256: Digest::of(text),
        size: text.len() as u64,
    }
}

/// The manifest's entry of a log of `size` bytes that went through `hasher`.
pub(crate) fn log_entry(hasher: &Sha256, size: u64) -> FileEntry {
    FileEntry {
        path: layout::LOG.to_owned(),
        sha256: Digest(hasher.clone().finalize().into()),
        size,
    }
}

/// The part of the log that the seal covers.
pub(crate) struct Sealed {
    /// In bytes.
    pub(crate) length: u64,
    /// Over those bytes.
    pub(crate) hasher: Sha256,
}

/// Checks that the log begins with what was sealed. The seal may lag behind the log; where it leads,
/// or the bytes differ, events that were there are gone or changed.
pub(crate) fn sealed_prefix(entries: &[FileEntry], log: &[u8]) -> Result<Sealed, VaultError> {
    let contradiction = |reason: String| VaultError::SealContradiction {
        file: layout::LOG.to_owned(),
        reason,
    };
    let entry = entries
        .iter()
        .find(|entry| entry.path == layout::LOG)
        .ok_or_else(|| contradiction("the manifest does not list it".to_owned()))?;
    if entry.size > log.len() as u64 {
        return Err(contradiction(format!(
            "the seal covers {} bytes and the log has only {}: events that were sealed are missing",
            entry.size,
            log.len()
        )));
    }
    let hasher = Sha256::new_with_prefix(&log[..entry.size as usize]);
    let found = Digest(hasher.clone().finalize().into());
    if found != entry.sha256 {
        return Err(contradiction(format!(
            "the first {} bytes have the SHA-256 {found}, not {}",
            entry.size, entry.sha256
        )));
    }
    Ok(Sealed {
        length: entry.size,
        hasher,
    })
}

/// Files that are whole, but not yet durable, and not in their places.
#[derive(Debug)]
pub(crate) struct Staged<'l> {
    layer: &'l dyn FileLayer,
    files: Vec<(Temporary, PathBuf)>,
}

impl<'l> Staged<'l> {
    pub(crate) fn new(layer: &'l dyn FileLayer) -> Self {
        Self {
            layer,
            files: Vec::new(),
        }
    }

    /// Writes the future content of `target`. A file that is replaced keeps its mode.
    pub(crate) fn add(&mut self, target: PathBuf, bytes: &[u8]) -> Result<(), VaultError> {
        let directory = target.parent().expect("a file within the vault");
        let there = fs::symlink_metadata(&target)
            .ok()
            .filter(|there| there.is_file());
        // Never wider than what it replaces, also where the mode cannot be changed afterwards.
        let mode = there.as_ref().map_or(0o666, |there| there.mode() & 0o666);
        let temporary = self
            .layer
            .create_temporary(directory, mode)
            .context("prepare a new version of", &target)?;
        if let Some(there) = there {
            keep_mode(temporary.file(), &there.permissions())
                .context("prepare a new version of", &target)?;
        }
        self.layer
            .write_temporary(&temporary, bytes)
            .context("prepare a new version of", &target)?;
        self.files.push((temporary, target));
        Ok(())
    }

    /// Adds the three files of the seal over `entries`; gives the root. Without a key the signature
    /// stays as it is.
    pub(crate) fn add_seal(
        &mut self,
        root: &Path,
        entries: Vec<FileEntry>,
        key: Option<&SigningKey>,
    ) -> Result<Digest, VaultError> {
        match key {
            Some(key) => Ok(self.add_signed_seal(root, entries, key)?.root),
            None => Ok(self.add_listing(root, entries)?.0),
        }
    }

    /// Adds the three files of the seal over `entries`.
    pub(crate) fn add_signed_seal(
        &mut self,
        root: &Path,
        entries: Vec<FileEntry>,
        key: &SigningKey,
    ) -> Result<NewSeal, VaultError> {
        let (merkle_root, now) = self.add_listing(root, entries)?;
        let signature = sign_root(merkle_root, key, now);
        self.add(root.join(layout::MANIFEST_SIG), &signature)?;
        Ok(NewSeal {
            root: merkle_root,
            signature: Digest::of(&signature),
            signed_at: Some(now),
        })
    }

    /// Adds the manifest of `entries` and its root; gives that and the time in it.
    fn add_listing(
        &mut self,
        root: &Path,
        entries: Vec<FileEntry>,
    ) -> Result<(Digest, Timestamp), VaultError> {
        let now = clock::now()?;
        let (manifest, merkle_root) = write_manifest(entries, now);
        self.add(root.join(layout::MANIFEST), &manifest)?;
        let text = write_merkle_root(merkle_root);
        self.add(root.join(layout::MERKLE_ROOT), &text)?;
        Ok((merkle_root, now))
    }

    /// Makes the files durable.
    pub(crate) fn sync(self) -> Result<Durable<'l>, VaultError> {
        let temporaries: Vec<_> = self.files.iter().map(|(file, _)| file).collect();
        match self.layer.sync_temporaries(&temporaries) {
            Ok(()) => Ok(Durable(self)),
            Err((index, source)) => Err(VaultError::Sync {
                path: self.files[index].1.clone(),
                source,
            }),
        }
    }
}

/// A seal that is on its way to its place.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NewSeal {
    /// What it signs.
    pub(crate) root: Digest,
    /// The SHA-256 of `manifest.sig`.
    pub(crate) signature: Digest,
    /// When it was made, if that can be read.
    pub(crate) signed_at: Option<Timestamp>,
}

/// Files that are whole and durable, but not yet in their places; made by [`Staged::sync`] alone.
#[derive(Debug)]
pub(crate) struct Durable<'l>(Staged<'l>);

impl Durable<'_> {
    /// Puts the files in their places, in the order in which they were added, in the vault of `log`, which
    /// is known to have `length` bytes. Names are durable in one directory before a file is renamed in the
    /// next: what a manifest lists is there first. A vault that is not what it was when `log` was locked gets
    /// none of them.
    pub(crate) fn publish(self, log: &LockedLog, length: u64) -> Result<(), VaultError> {
        self.publish_names(log, length).map(|_| ())
    }

    /// As [`Durable::publish`]; tells whether the names are durable.
    pub(crate) fn publish_names(self, log: &LockedLog, length: u64) -> Result<Names, VaultError> {
        log.check(length)?;
        for (temporary, _) in &self.0.files {
            log.check_within(temporary)?;
        }
        // What went wrong may have gone wrong because the vault is another one now: that is told instead.
        let names = self.rename_all();
        log.check(length)?;
        names
    }

    fn rename_all(self) -> Result<Names, VaultError> {
        let Staged { layer, files } = self.0;
        let mut unsynced: Option<PathBuf> = None;
        let mut names = Names::Durable;
        for (temporary, target) in files {
            let directory = temporary.directory().to_owned();
            if let Some(before) = unsynced.take_if(|before| *before != directory) {
                names = names.and(sync_names(layer, &before)?);
            }
            layer
                .rename(temporary, &target)
                .context("put in place", &target)?;
            unsynced = Some(directory);
        }
        match unsynced {
            Some(directory) => Ok(names.and(sync_names(layer, &directory)?)),
            None => Ok(names),
        }
    }
}

/// Makes the names in a directory durable, where the file system can.
pub(crate) fn sync_directory(layer: &dyn FileLayer, path: &Path) -> Result<(), VaultError> {
    sync_names(layer, path).map(|_| ())
}

/// As [`sync_directory`]; tells whether they are.
pub(crate) fn sync_names(layer: &dyn FileLayer, path: &Path) -> Result<Names, VaultError> {
    Names::of(layer.sync_directory(path)).map_err(|source| VaultError::Sync {
        path: path.to_owned(),
        source,
    })
}

/// Makes the names of everything that a seal covers and a writer renames durable, where the file system
/// can: a seal that an event names must not be undone by a loss of power while that event stays.
pub(crate) fn sync_all_names(vault: &Vault) -> Result<Names, VaultError> {
    let mut names = sync_names(vault.layer(), vault.path())?;
    for directory in [
        layout::IDENTITY,
        layout::EVENTS,
        layout::CHECKPOINTS,
        layout::ANCHORS,
    ] {
        let path = vault.path().join(directory);
        let is_optional = [layout::CHECKPOINTS, layout::ANCHORS].contains(&directory);
        if !is_optional || path.is_dir() {
            names = names.and(sync_names(vault.layer(), &path)?);
        }
    }
    Ok(names)
}

/// The directories in which writers make temporary files.
const WRITTEN: [&str; 6] = [
    "",
    layout::IDENTITY,
    layout::POLICIES,
    layout::EVENTS,
    layout::CHECKPOINTS,
    layout::ANCHORS,
];

/// Makes a directory of the vault, durable with its name, where it is not there.
///
/// # Errors
/// [`VaultError::Io`], [`VaultError::Sync`].
pub(crate) fn make_directory(vault: &Vault, relative: &str) -> Result<(), VaultError> {
    let path = vault.path().join(relative);
    match fs::create_dir(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        made => {
            made.context("make the directory", &path)?;
            sync_directory(vault.layer(), vault.path())
        }
    }
}

/// Whether a path in a vault is one that a writer gives a temporary file.
pub(crate) fn is_temporary(path: &str) -> bool {
    let (directory, name) = path.rsplit_once('/').unwrap_or(("", path));
    WRITTEN.contains(&directory) && is_fresh_name(name)
}

/// The files that an interrupted writer left under this crate's own temporary names. Only to be asked
/// under the lock: no writer is then at work.
pub(crate) fn leftovers(root: &Path, entries: &[FileEntry]) -> Result<Vec<String>, VaultError> {
    let mut found = Vec::new();
    for directory in WRITTEN {
        let path = root.join(directory);
        let listing = match fs::read_dir(&path) {
            Err(error) if is_absence(&error) => continue,
            listing => listing.context("read the directory", &path)?,
        };
        for entry in listing {
            let entry = entry.context("read the directory", &path)?;
            let is_file = entry.file_type().is_ok_and(|kind| kind.is_file());
            let Ok(name) = entry.file_name().into_string() else {
                continue;
            };
            let relative = match directory {
                "" => name,
                directory => format!("{directory}/{name}"),
            };
            // A name that the manifest lists is somebody's file, however it is called.
            let is_listed = || entries.iter().any(|entry| entry.path == relative);
            if is_file && is_temporary(&relative) && !is_listed() {
                found.push(relative);
            }
        }
    }
    Ok(found)
}

/// Removes one of the [`leftovers`]; gives the note that says so.
pub(crate) fn remove_leftover(vault: &Vault, name: &str) -> Result<String, VaultError> {
    let path = vault.path().join(name);
    vault.layer().remove(&path).context("remove", &path)?;
    Ok(format!(
        "removed {name}, which an interrupted writer had left"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_replaces_the_one_of_its_path_or_stands_in_the_order_of_paths() {
        let paths = |entries: &[FileEntry]| -> Vec<String> {
            entries.iter().map(|entry| entry.path.clone()).collect()
        };
        let mut entries = Vec::new();
        for path in ["m", "c", "x", "a", "d", "z"] {
            set_entry(&mut entries, text_entry(path, b"old"));
        }
        assert_eq!(paths(&entries), ["a", "c", "d", "m", "x", "z"]);
        set_entry(&mut entries, text_entry("d", b"new one"));
        assert_eq!(paths(&entries), ["a", "c", "d", "m", "x", "z"]);
        assert_eq!(entries[2], text_entry("d", b"new one"));
        assert_eq!(entries[3], text_entry("m", b"old"));
    }

    #[test]
    fn a_log_goes_on_from_what_was_sealed_and_from_nothing_else() {
        let other = text_entry("a file of another name", b"longer than the log is");
        let entries = [other, text_entry(layout::LOG, b"one\n")];
        let reason = |log: &[u8]| match sealed_prefix(&entries, log) {
            Err(VaultError::SealContradiction { file, reason }) if file == layout::LOG => reason,
            Err(error) => panic!("{error}"),
            Ok(sealed) => panic!("it goes on from {} bytes", sealed.length),
        };
        for log in [&b"one\n"[..], b"one\ntwo\n"] {
            let sealed = sealed_prefix(&entries, log).ok().unwrap();
            assert_eq!(sealed.length, 4);
            let digest = Digest(sealed.hasher.finalize().into());
            assert_eq!(digest, Digest::of(b"one\n"));
        }
        assert!(reason(b"one").contains("covers 4 bytes and the log has only 3"));
        assert!(reason(b"").contains("has only 0"));
        assert!(reason(b"onE\n").contains("the first 4 bytes have the SHA-256"));
        assert!(reason(b"onE\ntwo\n").contains("the first 4 bytes have the SHA-256"));
        let unlisted = sealed_prefix(&entries[..1], b"one\n").err().unwrap();
        assert!(unlisted.to_string().contains("does not list it"));
    }

    #[test]
    fn only_a_file_of_a_writer_that_no_manifest_lists_is_left_over() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        let name = crate::file_layer::fresh_name().unwrap();
        let name = name.to_str().unwrap();
        for place in ["", "identity/", "policies/", "events/", "artifacts/"] {
            fs::create_dir_all(root.join(place)).unwrap();
            fs::write(root.join(format!("{place}{name}")), b"left").unwrap();
            fs::write(root.join(format!("{place}somebody's")), b"kept").unwrap();
        }
        // A directory of such a name is nobody's temporary file.
        fs::create_dir_all(root.join("checkpoints").join(name)).unwrap();
        let found = |entries: &[FileEntry]| {
            let mut found = leftovers(root, entries).unwrap();
            found.sort();
            found
        };
        let of = |places: &[&str]| -> Vec<String> {
            let mut all: Vec<_> = places.iter().map(|it| format!("{it}{name}")).collect();
            all.sort();
            all
        };
        assert_eq!(found(&[]), of(&["", "identity/", "policies/", "events/"]));
        let listed = [
            text_entry("a", b""),
            text_entry(&format!("events/{name}"), b"left"),
        ];
        assert_eq!(found(&listed), of(&["", "identity/", "policies/"]));
    }

    #[test]
    fn what_cannot_be_listed_is_not_taken_for_empty() {
        let directory = tempfile::tempdir().unwrap();
        let policies = directory.path().join(layout::POLICIES);
        assert!(leftovers(directory.path(), &[]).unwrap().is_empty());
        // Round in a circle.
        std::os::unix::fs::symlink(&policies, &policies).unwrap();
        leftovers(directory.path(), &[]).unwrap_err();
    }
}
