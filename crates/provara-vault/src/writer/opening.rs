//! How a writer comes to know the vault that it writes to: the lock, what was interrupted, the seal and the log.

use std::sync::Arc;

use provara_core::keys::Keyfile;
use provara_core::layout;

use super::state::{SealTexts, WriterState};
use super::{LogWriter, recollect};
use crate::error::VaultError;
use crate::file_system::{Lack, is_news};
use crate::idempotency::Extent;
use crate::intent::carry::settle;
use crate::intent::pending;
use crate::lock::LockedLog;
use crate::redact::pending::{Unlike, carry_out_pending};
use crate::seal::{Names, leftovers, sync_all_names};
use crate::tail::TailCache;
use crate::vault::Vault;

/// The log under its lock, after what an interrupted command left is settled.
pub(super) fn lock_settled(vault: &Vault) -> Result<(LockedLog, Vec<String>), VaultError> {
    let (log, mut notes) = vault.lock_for_writing()?;
    let (log, settled) = settle(vault, log)?;
    notes.extend(settled);
    Ok((log, notes))
}

impl<'v> LogWriter<'v> {
    /// Takes the lock and looks at the log, the keys and the seal.
    ///
    /// # Errors
    /// [`VaultError::Locked`], [`VaultError::BrokenLog`]; [`VaultError::SealAbsent`],
    /// [`VaultError::SealNotCounting`], [`VaultError::SealOfOther`] or [`VaultError::SealContradiction`]
    /// for a seal from which nothing goes on; [`VaultError::Structure`], [`VaultError::Sync`] or
    /// [`VaultError::Io`]; [`VaultError::NotAsRemembered`]. The vault is unchanged, but for a merge that was interrupted and is completed
    /// first.
    pub fn open(vault: &'v Vault) -> Result<Self, VaultError> {
        let (log, notes) = lock_settled(vault)?;
        Self::read_log(vault, log, None, notes)
    }

    /// As [`LogWriter::open`]; carries out first, with `keyfile`, redactions whose target still has its
    /// payload.
    ///
    /// # Errors
    /// As [`LogWriter::open`]; the errors of a keyfile.
    pub(crate) fn open_for(vault: &'v Vault, keyfile: &Keyfile) -> Result<Self, VaultError> {
        let (log, notes) = lock_settled(vault)?;
        Self::read_log(vault, log, Some(keyfile), notes)
    }

    /// As [`LogWriter::open`]; carries out first, with `keyfile`, redactions whose target still has its
    /// payload. Takes the log's state from the tail cache if the vault has a cache directory and a key of
    /// `keyfile` authenticated what is there, and reads the log otherwise.
    ///
    /// # Errors
    /// As [`LogWriter::open`]; the errors of a keyfile where a redaction is to be carried out.
    pub fn open_with(vault: &'v Vault, keyfile: &Keyfile) -> Result<Self, VaultError> {
        Self::open_after(vault, keyfile, None)
    }

    /// As [`LogWriter::open_with`], under the lock on `log`.
    pub(super) fn open_locked(
        vault: &'v Vault,
        log: LockedLog,
        keyfile: &Keyfile,
        notes: Vec<String>,
    ) -> Result<Self, VaultError> {
        let texts = SealTexts::read(vault)?;
        let entries = texts.entries()?;
        let recalled = vault.cache_directory().and_then(|directory| {
            let cache = TailCache {
                directory,
                vault: vault.path(),
                log: &log,
                entries: &entries,
            };
            cache.recall(keyfile)
        });
        let recalled = match recalled {
            Some(recalled) => WriterState::recalled(vault, &texts, &entries, recalled)?,
            None => None,
        };
        match recalled {
            Some(found) => Self::at(vault, log, found, leftovers(vault.path(), &entries)?, notes),
            None => Self::read_log(vault, log, Some(keyfile), notes),
        }
    }

    /// As [`LogWriter::open`], to judge events and append none: changes nothing, whatever was interrupted.
    ///
    /// # Errors
    /// As [`LogWriter::open`], and [`VaultError::Pending`].
    pub fn open_to_judge(vault: &'v Vault) -> Result<Self, VaultError> {
        let (log, notes) = vault.lock_for_writing()?;
        let earlier = vault.path().join(layout::MERGE_INTENT);
        let operation = match pending::find(vault)? {
            Some(pending) => Some(pending.intent.operation.words()),
            None => std::fs::symlink_metadata(earlier).ok().map(|_| "a merge"),
        };
        match operation {
            Some(operation) => Err(VaultError::Pending { operation }),
            // What is judged is what stands there now: others need not wait until all of it is judged.
            None => {
                let writer = Self::read_noting(vault, log, None, notes, false)?;
                writer.log.release();
                Ok(writer)
            }
        }
    }

    /// Reads the whole log, under the lock on `log`.
    fn read_log(
        vault: &'v Vault,
        log: LockedLog,
        keyfile: Option<&Keyfile>,
        notes: Vec<String>,
    ) -> Result<Self, VaultError> {
        Self::read_noting(vault, log, keyfile, notes, true)
    }

    /// As [`LogWriter::read_log`]; says in the notes what a writer puts right of what it finds, if it `writes`.
    fn read_noting(
        vault: &'v Vault,
        mut log: LockedLog,
        keyfile: Option<&Keyfile>,
        mut notes: Vec<String>,
        writes: bool,
    ) -> Result<Self, VaultError> {
        let read = |log: &LockedLog, notes: &mut Vec<String>| {
            let texts = SealTexts::read(vault)?;
            let entries = texts.entries()?;
            let leftovers = leftovers(vault.path(), &entries)?;
            let found = WriterState::read(vault, log, &texts, entries, notes)?;
            Ok::<_, VaultError>((found, leftovers))
        };
        let told = notes.len();
        let (mut found, mut left) = read(&log, &mut notes)?;
        if let Some(keyfile) = keyfile.filter(|_| found.pending) {
            // What was noted is of the log before.
            notes.truncate(told);
            let (carried, note) = carry_out_pending(vault, log, keyfile, Unlike::Left)?;
            log = carried;
            notes.extend(note);
            (found, left) = read(&log, &mut notes)?;
        }
        if !writes {
            notes.truncate(told);
        }
        Self::at(vault, log, found, left, notes)
    }

    fn at(
        vault: &'v Vault,
        log: LockedLog,
        mut found: WriterState,
        leftovers: Vec<String>,
        mut notes: Vec<String>,
    ) -> Result<Self, VaultError> {
        let memory = recollect::check(vault, &found.index, &found.seal)?;
        notes.extend(memory.notes);
        if found.keys.history.is_some() && found.names == Names::Unknown {
            found.names = sync_all_names(vault).map_err(|error| log.blame(error))?;
            notes.extend(nameless(vault, found.names));
        }
        if found.torn.is_none() {
            log.note_read(found.index.len, &found.hasher);
        }
        Ok(Self {
            found: Extent {
                length: found.index.len,
                tree: found.index.tree.clone(),
            },
            keyed: None,
            remembered: memory.size,
            torn: found.torn,
            leftovers,
            vault,
            log: Arc::new(log),
            path: vault.log_path(),
            index: found.index,
            hasher: found.hasher,
            entries: found.entries,
            registry: found.keys.registry,
            history: found.keys.history,
            keys_lag: found.keys.lag,
            seal: found.seal,
            sealed_events: found.sealed,
            names: found.names,
            notes,
            stopped: false,
            recalled: found.recalled,
            forgetful: false,
            redacted: false,
        })
    }
}

/// What the notes say where a file system makes no names durable.
const NAMELESS: &str = "the file system cannot make the names in a directory durable: events are on the disk \
    when they are acknowledged, but after a loss of power the seal may be an earlier one, which the next writer \
    renews; so events name no seal, and who can write the vault's files can then take an actor's last events \
    away before the next seal (provara doctor tells more)";

/// What a writer says, once, where a file system makes no names durable.
pub(super) fn nameless(vault: &Vault, names: Names) -> Option<String> {
    let unknown = names == Names::Unknown && is_news(vault.path(), Lack::Names);
    unknown.then(|| NAMELESS.to_owned())
}
