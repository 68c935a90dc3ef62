//! Making the seal anew over whatever the vault holds.

use std::fs;

use provara_core::history::{KeyEvent, KeyEventKind};
use provara_core::id::Digest;
use provara_core::keys::{KeyRegistry, Keyfile};
use provara_core::manifest::FileEntry;
use provara_core::verify::files::REQUIRED;
use sha2::{Digest as _, Sha256};

use crate::check;
use crate::error::{Context, VaultError};
use crate::index::LogIndex;
use crate::keyfile;
use crate::layout;
use crate::lock::lock_log;
use crate::merge::intent::settle;
use crate::rotation::read_registry;
use crate::seal::{
    SealReceipt, Staged, hash_file, leftovers, read_entries, remove_leftover, replaced_signature,
};
use crate::snapshot::LogSnapshot;
use crate::vault::{Vault, is_absence};
use crate::walk::{Kind, walk};
use crate::writer::{recover_tail, sealed_prefix};

impl Vault {
    /// Makes the seal anew: every file of the vault as it is now. With a keyfile it is signed;
    /// without one `manifest.sig` stays as it is, and is then stale if anything changed.
    ///
    /// A torn tail beyond the old seal is moved out first, as an append does, and a signature that is not
    /// of the old seal is kept outside the vault before another one takes its place. Nothing else is
    /// mended: what does not verify still does not, and the notes name what differs from the seal
    /// before.
    ///
    /// # Errors
    /// [`VaultError::Locked`], [`VaultError::NoSeal`], [`VaultError::SealContradiction`] for a log that
    /// does not begin with what was sealed, or a seal that lacks its manifest, [`VaultError::BrokenLog`]
    /// for a break beyond it, [`VaultError::Structure`] for what a vault cannot hold, such as a link that
    /// leaves it, the errors of a keyfile, or [`VaultError::Io`].
    pub fn manifest(&self, keyfile: Option<&Keyfile>) -> Result<SealReceipt, VaultError> {
        self.make_seal(keyfile, false)
    }

    /// As [`Vault::manifest`], and makes a first seal where there is none, if the log verifies. One that was
    /// cut by whoever removed the seal is then not told from an honest one: this is for whoever knows why
    /// the seal is gone. Without a manifest that says how far the log was sealed, only its last line can
    /// be torn.
    ///
    /// # Errors
    /// As [`Vault::manifest`], but for [`VaultError::NoSeal`].
    pub fn new_seal(&self, keyfile: Option<&Keyfile>) -> Result<SealReceipt, VaultError> {
        self.make_seal(keyfile, true)
    }

    fn make_seal(
        &self,
        keyfile: Option<&Keyfile>,
        without_seal: bool,
    ) -> Result<SealReceipt, VaultError> {
        let path = self.inner_file(layout::LOG)?;
        let log = lock_log(&path, self.lock_timeout())?;
        let mut notes = settle(self, &log)?;
        self.refuse_missing_files()?;
        let before = match read_entries(self.path()) {
            Ok(entries) => Some(entries),
            Err(VaultError::Structure { reason, .. }) => {
                self.refuse_rest_of_seal(&reason)?;
                let reason = format!("{}: {reason}", layout::MANIFEST);
                if !without_seal {
                    return Err(VaultError::NoSeal { reason });
                }
                notes.push(format!("there was no seal to compare with ({reason})"));
                None
            }
            Err(error) => return Err(error),
        };
        let listed = before.as_deref().unwrap_or_default();
        let length = log.metadata().context("read", &path)?.len();
        let bytes = LogSnapshot::of_prefix(&log, length, &path)?;
        // Sealed anew, a log that was changed or lost its end would be what the vault vouches for.
        let is_listed = listed.iter().any(|entry| entry.path == layout::LOG);
        let sealed = is_listed
            .then(|| sealed_prefix(listed, &bytes).map(|sealed| sealed.length))
            .transpose()?;
        let (registry, keys_digest) = read_registry(self)?;
        let mut keys = registry.clone();
        let mut end = length;
        let mut revoked = Vec::new();
        let event_count = match LogIndex::read(&bytes, sealed.unwrap_or_else(|| last_line(&bytes)))
        {
            Ok((index, torn)) => {
                end = torn.unwrap_or(length);
                let whole = &bytes[..end as usize];
                keys = self.keys_after(&index, whole, sealed.unwrap_or(0), &registry);
                if before.is_none() {
                    // A first seal vouches for all of it.
                    check::unsealed(whole, 0, &keys)?;
                }
                let events = index.key_events.iter();
                let events = events.filter(|event| event.kind == KeyEventKind::Revocation);
                revoked.extend(events.filter_map(KeyEvent::subject));
                index.lines
            }
            Err(error)
                if before.is_none() || sealed.is_some_and(|sealed| breaks_from(&error, sealed)) =>
            {
                return Err(error);
            }
            Err(error) => {
                notes.push(format!("{error}; the seal covers it as it is"));
                bytes.iter().filter(|byte| **byte == b'\n').count() as u64
            }
        };
        let signer = match keyfile {
            None => None,
            Some(keyfile) => Some(keyfile::choose(
                keyfile,
                &keys,
                |key| revoked.contains(key),
                None,
            )?),
        };

        // Of a vault that has no seal nothing is replaced.
        let replaced = match (signer, &before) {
            (Some(_), Some(entries)) => replaced_signature(self, entries, &keys)?,
            _ => None,
        };

        for name in leftovers(self.path(), listed)? {
            notes.push(remove_leftover(self, &name)?);
        }
        let mut staged = Staged::new(self.layer());
        let mut entries = Vec::new();
        let log_digest = Digest(Sha256::digest(&bytes[..end as usize]).into());
        drop(bytes);
        let keys_text = (keys != registry).then(|| keys.to_json());
        if let Some(text) = &keys_text {
            staged.add(self.path().join(layout::KEYS), text)?;
            notes.push(format!("{} was brought in line with the log", layout::KEYS));
        }
        for found in walk(self.path())? {
            if layout::is_unlisted(&found.path) {
                continue;
            }
            if let Kind::Unsafe(reason) = found.kind {
                return Err(VaultError::Structure {
                    file: found.path,
                    reason: reason.to_owned(),
                });
            }
            let (size, sha256) = match (found.path.as_str(), &keys_text) {
                (layout::LOG, _) => (end, log_digest),
                (layout::KEYS, Some(text)) => (text.len() as u64, Digest::of(text)),
                (relative, _) => {
                    let path = self.path().join(relative);
                    let (size, sha256) = hash_file(&path).context("read", &path)?;
                    if relative == layout::KEYS && sha256 != keys_digest {
                        return Err(VaultError::SealContradiction {
                            file: relative.to_owned(),
                            reason: "it changed while the seal was made".to_owned(),
                        });
                    }
                    (size, sha256)
                }
            };
            entries.push(FileEntry {
                path: found.path,
                sha256,
                size,
            });
        }
        if let Some(before) = &before {
            notes.extend(differences(before, &entries));
        }
        let file_count = entries.len() as u64;
        let merkle_root = staged.add_seal(self.path(), entries, signer)?;
        let seal = staged.sync()?;
        if let Some(lag) = replaced {
            notes.push(lag.keep(self)?);
        }
        if end < length {
            notes.push(recover_tail(self, &log, &path, end, length - end)?);
        }
        // An event that an interrupted writer left may not be on the disk yet.
        self.layer()
            .sync_data(&log, &path)
            .map_err(|source| VaultError::Sync {
                path: path.clone(),
                source,
            })?;
        seal.publish()?;
        Ok(SealReceipt {
            merkle_root,
            file_count,
            event_count,
            signed_by: signer.map(|key| key.key_id()),
            notes,
        })
    }

    /// Refuses a vault that lacks a file that every vault has: sealed without it, it would not verify
    /// either, and the digest that the seal has of it would be gone.
    fn refuse_missing_files(&self) -> Result<(), VaultError> {
        for file in REQUIRED {
            let there = fs::symlink_metadata(self.path().join(file));
            if there.is_err_and(|error| is_absence(&error)) {
                return Err(VaultError::Structure {
                    file: file.to_owned(),
                    reason: "a file that every vault has is missing".to_owned(),
                });
            }
        }
        Ok(())
    }

    /// Refuses a vault whose seal has lost its manifest, for `reason`: how far the log was sealed is then
    /// unknown, and no interruption leaves that, as the manifest is replaced first and in one step.
    fn refuse_rest_of_seal(&self, reason: &str) -> Result<(), VaultError> {
        let rest: Vec<_> = [layout::MANIFEST_SIG, layout::MERKLE_ROOT]
            .into_iter()
            .filter(|file| fs::symlink_metadata(self.path().join(file)).is_ok())
            .collect();
        if rest.is_empty() {
            return Ok(());
        }
        Err(VaultError::SealContradiction {
            file: layout::MANIFEST.to_owned(),
            reason: format!(
                "{reason}, but a seal was there, as {} shows; restore the manifest from a copy, or, if \
                 it is known why it is gone, remove what is left of the seal too and make a new one",
                rest.join(" and ")
            ),
        })
    }

    /// What `keys.json` must say after the key events beyond the seal, if those events verify.
    fn keys_after(
        &self,
        index: &LogIndex,
        log: &[u8],
        sealed: u64,
        registry: &KeyRegistry,
    ) -> KeyRegistry {
        let mut after = registry.clone();
        for event in index.key_events_from(sealed) {
            event.apply(&mut after);
        }
        if after != *registry && check::unsealed(log, sealed, &after).is_err() {
            return registry.clone();
        }
        after
    }

    /// The files below the vault that hold private keys, absolute, sorted: the default keyfile and
    /// any other that parses as one.
    ///
    /// # Errors
    /// [`VaultError::Io`] where a file cannot be read.
    pub fn protected_files(&self) -> Result<Vec<std::path::PathBuf>, VaultError> {
        /// A keyfile of this size would hold some 10,000 keys.
        const LARGEST: u64 = 2 << 20;
        let mut protected = Vec::new();
        for found in walk(self.path())? {
            let path = self.path().join(&found.path);
            if matches!(found.kind, Kind::Unsafe(_)) {
                continue;
            }
            let size = fs::metadata(&path).context("read", &path)?.len();
            let holds_keys = found.path == layout::PRIVATE_KEYS
                || (size <= LARGEST && {
                    let text = zeroize::Zeroizing::new(fs::read(&path).context("read", &path)?);
                    provara_core::keys::looks_like_keyfile(&text)
                });
            if holds_keys {
                protected.push(path);
            }
        }
        Ok(protected)
    }
}

/// Whether a log breaks at `offset` or beyond it.
fn breaks_from(error: &VaultError, offset: u64) -> bool {
    matches!(error, VaultError::BrokenLog { offset: at, .. } if *at >= offset)
}

/// Where the last line begins, whether it has a line end or not.
fn last_line(log: &[u8]) -> u64 {
    let before = log.strip_suffix(b"\n").unwrap_or(log);
    memchr::memrchr(b'\n', before).map_or(0, |at| at as u64 + 1)
}

/// How the files differ from those of the seal before, one sentence each. That the log grew is no
/// news.
fn differences(before: &[FileEntry], after: &[FileEntry]) -> Vec<String> {
    let find = |entries: &[FileEntry], path: &str| {
        entries.iter().find(|entry| entry.path == path).cloned()
    };
    let mut notes = Vec::new();
    for entry in after {
        match find(before, &entry.path) {
            None => notes.push(format!("{} is new in the seal", entry.path)),
            Some(old) if old == *entry => {}
            Some(old) if entry.path == layout::LOG && old.size <= entry.size => {}
            Some(old) if old.size == entry.size => {
                notes.push(format!("{} has changed", entry.path));
            }
            Some(old) => notes.push(format!(
                "{} has changed from {} to {} bytes",
                entry.path, old.size, entry.size
            )),
        }
    }
    let gone = before.iter().filter(|old| find(after, &old.path).is_none());
    notes.extend(gone.map(|old| format!("{} is gone", old.path)));
    notes
}
