//! An intent declared and carried out, or carried on by whoever comes next.
//!
//! 1. The new small files are written to temporary files, and a log that becomes another one is staged; all
//!    is synced, the staged log with its name. *A crash leaves files that the next writer removes.*
//! 2. The intent is put in its place and synced with its name. *From here on a crash leaves what is about to
//!    be, whatever else of it reached the disk.*
//! 3. What goes behind the log is appended and synced, or the staged log takes the place of the old one, with
//!    its lock. The small files are renamed into place, `manifest.sig` the last of them, and files that
//!    are to go are removed.
//! 4. Every directory in which a name changed is synced. Only then does the intent go, and its directory is
//!    synced once more.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fs::{self, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, fchown};
use std::path::{Path, PathBuf};
use std::time::Duration;

use provara_core::id::Digest;
use provara_core::layout;
use provara_core::manifest::RootSignature;
use sha2::{Digest as _, Sha256};

use super::pending::{State, find};
use super::{Intent, Operation, Removal, Source, Step, version_1};
use crate::error::{Context, VaultError};
use crate::file_layer::fresh_name;
use crate::file_system::{has_no_locks, keep_mode};
use crate::files::{hash_file, read_text};
use crate::lock::LockedLog;
use crate::memory;
use crate::seal::{Durable, Staged, make_directory, sync_all_names, sync_directory};
use crate::vault::Vault;

/// What becomes of the log.
#[derive(Debug)]
pub(crate) enum NewLog<'a> {
    /// It stays.
    Same,
    /// This follows its bytes, which are `before`.
    Appended { before: &'a [u8], text: Vec<u8> },
    /// It becomes this one.
    Other { before: &'a [u8], log: &'a [u8] },
}

/// What an operation is about to do.
#[derive(Debug)]
pub(crate) struct Plan<'a> {
    pub(crate) operation: Operation,
    pub(crate) log: NewLog<'a>,
    /// Path and text; of `keys.json`, the safety policy, `manifest.json`, `merkle_root.txt` and anchors.
    pub(crate) files: Vec<(Cow<'static, str>, Vec<u8>)>,
    /// Checkpoints and anchors that go.
    pub(crate) removed: Vec<String>,
    /// The new `manifest.sig`.
    pub(crate) seal: Vec<u8>,
}

/// An intent all of whose new bytes are durable; nothing of the vault has changed yet.
pub(crate) struct Prepared<'v> {
    vault: &'v Vault,
    intent: Intent,
    files: Durable<'v>,
}

impl Plan<'_> {
    /// Writes all that is new, durably, and changes nothing yet: a full disk shows here. `log` is the log,
    /// which has the length that the plan starts from.
    pub(crate) fn prepare<'v>(
        &self,
        vault: &'v Vault,
        log: &LockedLog,
    ) -> Result<Prepared<'v>, VaultError> {
        let digest = |path: &str| -> Result<Option<Digest>, VaultError> {
            Ok(read_text(vault.path(), path)?.map(|text| Digest::of(&text)))
        };
        let mut steps = Vec::new();
        let mut staged = None;
        match &self.log {
            NewLog::Same => {}
            NewLog::Appended { before, text } => steps.push(Step {
                path: layout::LOG.to_owned(),
                was: Some(Digest::of(before)),
                sha256: Digest(
                    Sha256::new_with_prefix(before)
                        .chain_update(text)
                        .finalize()
                        .into(),
                ),
                source: Source::Append {
                    after: before.len() as u64,
                    text: text.clone(),
                },
            }),
            NewLog::Other { before, log: new } => {
                let name = stage(vault, log, new)?;
                steps.push(Step {
                    path: layout::LOG.to_owned(),
                    was: Some(Digest::of(before)),
                    sha256: Digest::of(new),
                    source: Source::Staged(name.clone()),
                });
                staged = Some(name);
            }
        }
        let unstage = |error| {
            // Best effort: the next writer removes it.
            if let Some(name) = &staged {
                let _ = vault.layer().remove(&vault.path().join(name));
            }
            error
        };
        let mut rest = || {
            for (path, text) in &self.files {
                let was = digest(path)?;
                let sha256 = Digest::of(text);
                if was != Some(sha256) {
                    steps.push(Step {
                        path: path.to_string(),
                        was,
                        sha256,
                        source: Source::Content(text.clone()),
                    });
                }
            }
            let removed = self.removed.iter().map(|path| {
                let file = vault.path().join(path);
                let (_, was) = hash_file(&file).context("read", &file)?;
                Ok(Removal {
                    path: path.clone(),
                    was,
                })
            });
            let removed = removed.collect::<Result<_, VaultError>>()?;
            let before = read_text(vault.path(), layout::MANIFEST_SIG)?;
            let before = before.and_then(|text| RootSignature::parse(&text).ok());
            let seal = RootSignature::parse(&self.seal).expect("a seal of our own");
            let intent = Intent {
                operation: self.operation,
                from: before.map(|it| it.merkle_root),
                to: seal.merkle_root,
                files: std::mem::take(&mut steps),
                removed,
                seal: self.seal.clone(),
            };
            let files = intent.write_files(vault)?;
            Ok(Prepared {
                vault,
                intent,
                files,
            })
        };
        rest().map_err(unstage).map_err(|error| log.blame(error))
    }
}

impl Prepared<'_> {
    /// Carries the intent out, over a log of `length` bytes; gives the log to go on with, and its lock. What is
    /// in the log must be durable.
    ///
    /// # Errors
    /// What the system refuses; the vault is then as it was, but for [`VaultError::Interrupted`].
    /// [`VaultError::LogLost`]: what stands there then is another program's.
    pub(crate) fn carry_out(self, log: LockedLog, length: u64) -> Result<LockedLog, VaultError> {
        log.check(length)?;
        let Self {
            vault,
            intent,
            files,
        } = self;
        let mut declared = Staged::new(vault.layer());
        let place = vault.path().join(layout::MERGE_INTENT);
        let done = declared
            .add(place, &intent.to_bytes())
            .and_then(|()| declared.sync()?.publish(&log, length))
            .and_then(|()| intent.change_log(vault, &log));
        let log = match done.map_err(|error| log.blame(error)) {
            Ok(next) => next.unwrap_or(log),
            // Nothing that stands there is ours to cut; in our own vault the intent is to go.
            Err(error @ VaultError::LogLost { .. }) => {
                if log.is_in_place() {
                    let _ = intent.withdraw(vault);
                }
                return Err(error);
            }
            // Nothing has changed but a log that may be longer.
            Err(error) => {
                let path = vault.log_path();
                let grown = log.metadata().map_or(true, |now| now.len() > length);
                let cut = !grown || vault.layer().truncate(&log, &path, length).is_ok();
                return Err(match cut && intent.withdraw(vault).is_ok() {
                    true => error,
                    false => intent.interrupted(error),
                });
            }
        };
        let rest = intent.length_after(length, &log).and_then(|length| {
            files.publish(&log, length)?;
            intent.finish(vault)?;
            log.check(length)
        });
        rest.map_err(|error| match log.blame(error) {
            lost @ VaultError::LogLost { .. } => lost,
            error => intent.interrupted(error),
        })?;
        Ok(log)
    }
}

impl Intent {
    fn interrupted(&self, source: VaultError) -> VaultError {
        VaultError::Interrupted {
            operation: self.operation.words(),
            source: Box::new(source),
        }
    }

    /// Writes the small files that are not there yet beside their places, `manifest.sig` the last.
    fn write_files<'v>(&self, vault: &'v Vault) -> Result<Durable<'v>, VaultError> {
        let mut staged = Staged::new(vault.layer());
        let contents = self.files.iter().filter_map(|step| match &step.source {
            Source::Content(text) => Some((step.path.as_str(), text.as_slice())),
            Source::Staged(_) | Source::Append { .. } => None,
        });
        for (path, text) in contents.chain([(layout::MANIFEST_SIG, self.seal.as_slice())]) {
            if read_text(vault.path(), path)?.as_deref() != Some(text) {
                if layout::anchor_kind(path).is_some() {
                    make_directory(vault, layout::ANCHORS)?;
                }
                staged.add(vault.path().join(path), text)?;
            }
        }
        staged.sync()
    }

    /// The length of the log once it is the new one, of which `before` was the length: what was written, not
    /// what is found.
    fn length_after(&self, before: u64, log: &LockedLog) -> Result<u64, VaultError> {
        match self.step(layout::LOG).map(|step| &step.source) {
            Some(Source::Append { after, text }) => Ok(after + text.len() as u64),
            // No other program has known it for longer than a moment.
            Some(Source::Staged(_)) => {
                let there = log.metadata().context("read", Path::new(layout::LOG))?;
                Ok(there.len())
            }
            Some(Source::Content(_)) | None => Ok(before),
        }
    }

    /// Makes the log the new one; gives it where it is another file, locked.
    fn change_log(&self, vault: &Vault, log: &LockedLog) -> Result<Option<LockedLog>, VaultError> {
        let (layer, path) = (vault.layer(), vault.log_path());
        let Some(step) = self.step(layout::LOG) else {
            return Ok(None);
        };
        match &step.source {
            Source::Content(_) => Ok(None),
            Source::Append { after, text } => {
                let end = after + text.len() as u64;
                let there = log.metadata().context("read", &path)?.len();
                let whole =
                    there == end && hash_file(&path).context("read", &path)?.1 == step.sha256;
                if !whole {
                    if there > *after {
                        layer.truncate(log, &path, *after).context("cut", &path)?;
                    }
                    layer.append(log, &path, text).context("write to", &path)?;
                }
                // It may have been written and not be on the disk yet.
                layer
                    .sync_data(log, &path)
                    .map_err(|source| VaultError::Sync { path, source })?;
                log.note_change();
                Ok(None)
            }
            Source::Staged(name) => {
                if hash_file(&path).context("read", &path)?.1 == step.sha256 {
                    return Ok(None);
                }
                let staged = vault.path().join(name);
                log.check_place()?;
                let next = lock_staged(vault, &staged, &path, log)?;
                layer
                    .rename_file(&staged, &path)
                    .context("put in place", &path)?;
                Ok(Some(next))
            }
        }
    }

    /// Removes what goes, makes every name durable, and takes the intent away.
    fn finish(&self, vault: &Vault) -> Result<(), VaultError> {
        for removal in &self.removed {
            let path = vault.path().join(&removal.path);
            match vault.layer().remove(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                removed => removed.context("remove", &path)?,
            }
        }
        // Renames of a writer that was killed may not be on the disk yet, and without the intent nothing
        // would complete them.
        let changed = self.files.iter().map(|step| step.path.as_str());
        let changed = changed.chain(self.removed.iter().map(|it| it.path.as_str()));
        let changed = changed.chain([layout::MANIFEST_SIG]);
        let directories: BTreeSet<PathBuf> = changed
            .filter_map(|path| Some(vault.path().join(path).parent()?.to_owned()))
            .collect();
        for directory in directories {
            sync_directory(vault.layer(), &directory)?;
        }
        remove_intent(vault)
    }

    /// Takes the intent away, and then what it staged: nothing of it was done. Where the removal cannot be
    /// made durable, what is staged stays, as the intent may be back after a loss of power.
    fn withdraw(&self, vault: &Vault) -> Result<(), VaultError> {
        let path = vault.path().join(layout::MERGE_INTENT);
        // It may not have come so far.
        if fs::symlink_metadata(&path).is_ok() {
            vault.layer().remove(&path).context("remove", &path)?;
            if sync_directory(vault.layer(), vault.path()).is_err() {
                return Ok(());
            }
        }
        if let Some(name) = self.staged() {
            let path = vault.path().join(name);
            // Best effort: the next writer removes it.
            let _ = vault.layer().remove(&path);
        }
        Ok(())
    }
}

fn remove_intent(vault: &Vault) -> Result<(), VaultError> {
    let path = vault.path().join(layout::MERGE_INTENT);
    match vault.layer().remove(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        removed => removed.context("remove", &path)?,
    }
    sync_directory(vault.layer(), vault.path())
}

/// Completes what an interrupted command left, or removes its traces; gives the log to go on with, which may
/// be another file with its own lock, and the notes that say what was done. Under the lock on `log`.
///
/// # Errors
/// [`VaultError::Structure`] for an intent that cannot be settled, [`VaultError::NotAsRemembered`] for one
/// that leads where memory says otherwise, or what the system refuses.
pub(crate) fn settle(
    vault: &Vault,
    log: LockedLog,
) -> Result<(LockedLog, Vec<String>), VaultError> {
    if fs::symlink_metadata(vault.path().join(layout::MERGE_INTENT)).is_ok() {
        memory::check_unsettled(vault, &log)?;
    }
    let mut notes = version_1::settle(vault, &log)?;
    let Some(pending) = find(vault)? else {
        return Ok((log, notes));
    };
    pending.recollect(vault)?;
    notes.push(pending.note());
    let intent = &pending.intent;
    if pending.state == State::NotBegun {
        intent.withdraw(vault)?;
        return Ok((log, notes));
    }
    // A kill leaves names that no sync has made durable: that of the intent comes before any that it leads to.
    sync_all_names(vault)?;
    let files = intent.write_files(vault)?;
    let next = intent.change_log(vault, &log)?;
    let log = next.unwrap_or(log);
    let length = log.metadata().context("read", &vault.log_path())?.len();
    files.publish(&log, length)?;
    intent.finish(vault)?;
    Ok((log, notes))
}

/// Writes a log beside the log, whole and durable with its name, with its owner and mode; gives its path
/// relative to the vault.
fn stage(vault: &Vault, before: &LockedLog, log: &[u8]) -> Result<String, VaultError> {
    const ACTION: &str = "prepare a new version of";
    let (layer, path) = (vault.layer(), vault.log_path());
    let directory = path.parent().expect("a file in the vault");
    let there = before.metadata().context("read", &path)?;
    // Never wider than the log, also where the mode cannot be changed afterwards.
    let temporary = layer
        .create_temporary(directory, there.mode() & 0o666)
        .context(ACTION, &path)?;
    let own = temporary.file().metadata().context("read", &path)?;
    if (own.uid(), own.gid()) != (there.uid(), there.gid()) {
        // Only root may give files away; for anybody else the file was their own to write before.
        let _ = fchown(temporary.file(), Some(there.uid()), Some(there.gid()));
    }
    keep_mode(temporary.file(), &there.permissions()).context(ACTION, &path)?;
    layer
        .write_temporary(&temporary, log)
        .context(ACTION, &path)?;
    layer
        .sync_temporary(&temporary)
        .map_err(|source| VaultError::Sync {
            path: path.clone(),
            source,
        })?;
    before.check_place()?;
    before.check_within(&temporary)?;
    let name = fresh_name().context(ACTION, &path)?;
    let staged = directory.join(&name);
    layer.rename(temporary, &staged).context(ACTION, &path)?;
    if let Err(error) = sync_directory(layer, directory) {
        let _ = layer.remove(&staged);
        return Err(error);
    }
    let parent = Path::new(layout::LOG).parent().expect("the log has one");
    Ok(parent.join(name).to_string_lossy().into_owned())
}

/// Opens and locks a staged log, so that writers who meet it in its place wait.
fn lock_staged(
    vault: &Vault,
    staged: &Path,
    path: &Path,
    before: &LockedLog,
) -> Result<LockedLog, VaultError> {
    let log = OpenOptions::new()
        .read(true)
        .append(true)
        .custom_flags(rustix::fs::OFlags::NOFOLLOW.bits() as i32)
        .open(staged)
        .context("open for writing", staged)?;
    match log.try_lock() {
        Ok(()) => Ok(before.successor(log)),
        Err(TryLockError::Error(error)) if has_no_locks(&error) && vault.goes_without_lock() => {
            Ok(before.successor(log))
        }
        Err(TryLockError::Error(error)) => Err(error).context("lock", staged),
        Err(TryLockError::WouldBlock) => Err(VaultError::Locked {
            path: path.to_owned(),
            waited: Duration::ZERO,
            holder: "another writer".to_owned(),
        }),
    }
}
