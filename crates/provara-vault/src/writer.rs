//! The writer: one per vault at a time, and the order in which it changes files.
//!
//! 1. Take the lock on the log. Judge the seal over log, keys and files; refuse a log that is broken
//!    inside, one that the seal vouches for neither as it is nor as what it goes on from, and one that is
//!    not what this machine remembers. In a marked vault sync the directories: the seal that stands there is going to be named. *Nothing has changed
//!    yet, and no loss of power takes that seal away again.*
//! 2. Build and sign the event, which names that seal. Write the new seal (and `keys.json`, if keys
//!    change) to temporary files and sync them. A full or read-only disk shows here, before the log is
//!    touched. *A crash leaves at most temporary files.*
//! 3. Move a torn tail, if there is one, to a durable file outside the vault, and cut it off.
//! 4. Write the line in one write and `fdatasync` the log. *A crash leaves the line whole, in part,
//!    or not at all, and the seal as it was: it lags, never leads, and the line names it.* After a failed
//!    write or sync the log is cut back: the pages of a failed sync count as clean and would never reach
//!    the disk.
//! 5. Rename the temporary files into place: `keys.json`, sync of its directory, `manifest.json`,
//!    `merkle_root.txt`, `manifest.sig`, sync of the vault's directory. *A crash leaves any of them old or
//!    new. Whichever `manifest.sig` is there, the log goes on from what it covers, and the next writer
//!    renews the rest.*
//! 6. Remember outside the vault what is sealed, for whoever looks at it next, and acknowledge.
//!
//! A failed sync stops a writer for good: what is on the disk is then unknown to it. The next writer
//! starts from what it reads. So does a log, or a vault, that another program replaced, removed, cut or
//! extended: what is open is compared with what stands there before step 3, before step 4, and before and after
//! step 5. Where a file system syncs no directories at all, events name no seal: one
//! that a loss of power undoes would leave a log that nothing vouches for.

mod batch;
mod opening;
mod payload;
mod place;
mod prepare;
mod recollect;
mod repeat;
mod state;

pub use batch::{BatchOptions, BatchReceipt, BatchWriter, LastSeen, Rejected};

use std::path::PathBuf;
use std::sync::Arc;

use provara_core::event_type::{CoreType, EventType};
use provara_core::history::{KeyEvent, KeyHistory};
use provara_core::id::{Digest, EventId, KeyId};
use provara_core::keys::{KeyRegistry, Keyfile, SigningKey};
use provara_core::layout;
use provara_core::manifest::{FileEntry, merkle_root};
use provara_core::verify::REDACTION_TYPE;
use sha2::{Digest as _, Sha256};

use crate::append::{AppendReceipt, AppendRequest};
use crate::check;
use crate::derive::SourceLog;
use crate::error::{Context, VaultError};
use crate::idempotency::{EventPlace, Extent, KeyedEvents};
use crate::index::LogIndex;
use crate::keyfile;
use crate::lock::LockedLog;
use crate::log_snapshot::LogSnapshot;
use crate::seal::{Names, NewSeal, Staged, log_entry, remove_leftover, set_entry, text_entry};
use crate::state_dir::recover_tail;
use crate::tail::{Kept, TailCache};
use crate::vault::Vault;

use opening::{lock_settled, nameless};
use payload::speaks_of_others;
use repeat::Asked;

impl Vault {
    /// Appends one event: signed, durable and sealed when this returns.
    ///
    /// # Errors
    /// Any [`VaultError`] of a writer. The vault is then as it was, but for [`VaultError::SealLags`].
    pub fn append(
        &self,
        request: &AppendRequest<'_>,
        keyfile: &Keyfile,
    ) -> Result<AppendReceipt, VaultError> {
        let mut writer = LogWriter::open_with(self, keyfile)?;
        let publisher = request.with_head.then(|| writer.publisher()).transpose()?;
        let mut receipt = writer.append(request, keyfile)?;
        if let Some(publisher) = &publisher {
            let key = keyfile.get(&receipt.key_id);
            match writer.sign_head(publisher, key.expect("it signed the event")) {
                Ok(head) => receipt.tree_head = Some(head.to_string()),
                // The event is there all the same.
                Err(error) => receipt
                    .notes
                    .push(format!("there is no tree head: {error}")),
            }
        }
        writer.remember(keyfile);
        Ok(receipt)
    }

    /// Appends many events: signed on all cores, synced in groups, sealed when this returns.
    ///
    /// # Errors
    /// The first request that cannot be appended, and why; those before it are then in the log and
    /// sealed, unless the options say `atomic`. A disk that refuses is reported as index 0.
    pub fn append_many(
        &self,
        requests: Vec<AppendRequest<'_>>,
        keyfile: &Keyfile,
        options: BatchOptions,
    ) -> Result<Vec<AppendReceipt>, Rejected> {
        let failed = |error| Rejected { index: 0, error };
        let mut batch = LogWriter::open_with(self, keyfile)
            .map_err(failed)?
            .batch(keyfile, options);
        let taken = batch.append(requests);
        if taken.is_ok() || !options.atomic {
            match (batch.finish(), &taken) {
                // The disk's refusal is the batch's own.
                (Err(VaultError::Stopped), Err(_)) | (Ok(_), _) => {}
                (Err(error), _) => return Err(failed(error)),
            }
        }
        taken.map(|()| batch.take_receipts())
    }
}

/// Holds a vault's lock and appends to it. Other writers wait until it is dropped.
#[derive(Debug)]
pub struct LogWriter<'v> {
    vault: &'v Vault,
    /// Shared with the thread that writes a batch: the lock goes when the last of them lets go.
    log: Arc<LockedLog>,
    path: PathBuf,
    index: LogIndex,
    /// Over the log's first `index.len` bytes.
    hasher: Sha256,
    /// The manifest's files.
    entries: Vec<FileEntry>,
    /// What `keys.json` must say.
    registry: KeyRegistry,
    /// How the keys came, in a marked vault.
    history: Option<KeyHistory>,
    /// Whether `keys.json` must be written anew because the log says more than it does.
    keys_lag: bool,
    /// How many events this machine remembers of the vault at its path.
    remembered: Option<u64>,
    /// The seal in its place.
    seal: NewSeal,
    /// How many events it covers.
    sealed_events: u64,
    /// Whether the name of its signature is on the disk.
    names: Names,
    /// Where a torn tail begins, and how long it is.
    torn: Option<(u64, u64)>,
    /// Temporary files of an interrupted writer.
    leftovers: Vec<String>,
    /// What was found, for the next receipt.
    notes: Vec<String>,
    stopped: bool,
    recalled: bool,
    /// Whether it was told that what is sealed could not be remembered.
    forgetful: bool,
    /// Whether it appended a redaction, which the next writer carries out: that must read the log.
    redacted: bool,
    /// The log as it was found.
    found: Extent,
    /// The events with an idempotency key, from the first request with one on.
    keyed: Option<Box<KeyedEvents>>,
}

impl<'v> LogWriter<'v> {
    /// Keeps the state of the log for the next writer that is given the same keyfile, if the vault has
    /// a cache directory. Changes nothing else.
    pub fn remember(&mut self, keyfile: &Keyfile) {
        if self.stopped || self.redacted || self.index.unterminated {
            return;
        }
        self.keep_keyed();
        let key = self.signing_key(keyfile, None);
        let (Some(directory), Ok(key)) = (self.vault.cache_directory(), key) else {
            return;
        };
        // What is kept would speak for bytes that nobody has read, as those of a torn tail are.
        if self.log.check(self.index.len).is_err() {
            return;
        }
        let cache = TailCache {
            directory,
            vault: self.vault.path(),
            log: &self.log,
            entries: &self.entries,
        };
        let state = Kept {
            index: &self.index,
            hasher: &self.hasher,
            signature: self.seal.signature,
            names: self.names,
        };
        cache.keep(&state, key);
    }

    /// Whether the state of the log came from the tail cache, and the log was not read.
    #[must_use]
    pub fn recalled(&self) -> bool {
        self.recalled
    }

    /// How many events the log holds.
    #[must_use]
    pub fn event_count(&self) -> u64 {
        self.index.lines
    }

    /// Appends one event: signed, durable and sealed when this returns.
    ///
    /// # Errors
    /// What is wrong with the request or the keys, [`VaultError::Closed`], [`VaultError::Io`] for a
    /// disk that refused (the vault is unchanged), [`VaultError::Sync`], [`VaultError::SealLags`] and
    /// [`VaultError::LogLost`], after which this writer answers [`VaultError::Stopped`].
    pub fn append(
        &mut self,
        request: &AppendRequest<'_>,
        keyfile: &Keyfile,
    ) -> Result<AppendReceipt, VaultError> {
        self.refuse_if_stopped()?;
        let appended = self.append_one(request, keyfile);
        appended.map_err(|error| self.stop_if_lost(error))
    }

    /// The error of an operation; a log that is not there any more stops the writer.
    pub(crate) fn stop_if_lost(&mut self, error: VaultError) -> VaultError {
        let error = self.log.blame(error);
        self.stopped |= matches!(error, VaultError::LogLost { .. });
        error
    }

    fn append_one(
        &mut self,
        request: &AppendRequest<'_>,
        keyfile: &Keyfile,
    ) -> Result<AppendReceipt, VaultError> {
        // Key events and redactions speak of what stands before them.
        let log = speaks_of_others(&request.event_type)
            .then(|| LogSnapshot::of_prefix(&self.log, self.index.len, &self.path))
            .transpose()?;
        let asked = Asked::of(request, log.as_deref())?;
        if let Some(asked) = &asked
            && let Some(place) = self.find(asked)?
        {
            return self.repeated(place, request.key_id, keyfile);
        }
        let prepared = self.prepare(request.clone(), keyfile, log.as_deref())?;
        let key = keyfile
            .get(&prepared.key_id)
            .expect("chosen from the keyfile");
        if request.event_type == EventType::Core(CoreType::KeyRevocation) {
            self.seal_surplus(key)?;
        }
        let (place, later) = self.next_place(&prepared.actor, prepared.content.actor())?;
        let event = prepared.content.place(&place)?.sign(key);

        // What a reader would refuse is not written: the next state is taken from the line itself.
        let line = event.line.strip_suffix(b"\n").expect("a line of the log");
        let step = self
            .index
            .step(line)
            .map_err(|reason| VaultError::Unwritable {
                reason: reason.to_string(),
            })?;
        let (bytes, hasher) = self.with_line(&event.line);

        let change = step.key_event.as_ref();
        let changed = change.and_then(|event| self.keys_after(event));
        // The rules decide, over the whole log, before the event is written.
        if let Some(log) = &log {
            let registry = changed.as_ref().map_or(&self.registry, |keys| &keys.0);
            check::candidate(log, &event.line, registry)?;
        }
        let mut entries = self.entries.clone();
        let mut staged = Staged::new(self.vault.layer());
        if changed.is_some() || self.keys_lag {
            let registry = changed.as_ref().map_or(&self.registry, |keys| &keys.0);
            let text = registry.to_json();
            staged.add(self.vault.path().join(layout::KEYS), &text)?;
            set_entry(&mut entries, text_entry(layout::KEYS, &text));
        }
        let length = bytes.len() as u64;
        set_entry(&mut entries, log_entry(&hasher, self.index.len + length));
        let seal = staged.add_signed_seal(self.vault.path(), entries.clone(), key)?;
        let files = staged.sync()?;

        self.recover()?;
        self.write(&bytes, &hasher)?;
        let lines = self.index.lines + 1;
        let published = files.publish_names(&self.log, self.index.len + length);
        let names = published.map_err(|source| self.stop_behind(event.id, lines, source))?;

        if self.index.unterminated {
            self.notes
                .push("the last event lacked its line end; it was added".to_owned());
        }
        self.notes.extend(later.map(|before| {
            format!(
                "the system clock is behind the actor's last event ({before}): this event's time goes \
                 backwards"
            )
        }));
        self.notes.extend(prepared.notes());
        if let Some(asked) = asked {
            let offset = self.index.len + length - event.line.len() as u64;
            let place = EventPlace {
                offset,
                line: lines,
            };
            self.keyed()?.add(asked.known_as, place);
        }
        let leaf = step.leaf;
        self.redacted |= request.event_type.as_str() == REDACTION_TYPE;
        self.index.take(step, length);
        self.hasher = hasher;
        if let Some((registry, history)) = changed {
            self.take_keys(registry, history);
        }
        self.sealed(entries, seal, names);
        self.recollect(leaf.as_slice());
        let mut receipt = prepared.into_receipt(event.id, &place, lines);
        receipt.merkle_root = seal.root;
        receipt.event_json = String::from_utf8(line.to_vec()).expect("canonical JSON is UTF-8");
        receipt.notes = self.take_notes();
        Ok(receipt)
    }

    /// What appends a line to the log, and the hash over the log with it.
    fn with_line(&self, line: &[u8]) -> (Vec<u8>, Sha256) {
        let mut bytes = Vec::with_capacity(line.len() + 1);
        if self.index.unterminated {
            // The last event is whole but for its line end.
            bytes.push(b'\n');
        }
        bytes.extend_from_slice(line);
        let mut hasher = self.hasher.clone();
        hasher.update(&bytes);
        (bytes, hasher)
    }

    /// Ends the writer, as the log has an event that the seal has not.
    fn stop_behind(&mut self, event_id: EventId, line: u64, source: VaultError) -> VaultError {
        self.stopped = true;
        match source {
            // Whether the event is in the log that stands there, nobody can say.
            lost @ VaultError::LogLost { .. } => lost,
            source => VaultError::SealLags {
                event_id,
                line,
                source: Box::new(source),
            },
        }
    }

    fn take_keys(&mut self, registry: KeyRegistry, history: Option<KeyHistory>) {
        self.registry = registry;
        self.history = history;
        if let Some(history) = &self.history {
            self.index.settle_proofs(history);
        }
    }

    /// What `keys.json` must say after an event that the log is to go on with, and how it came to that;
    /// nothing if it says the same as before.
    fn keys_after(&self, event: &KeyEvent) -> Option<(KeyRegistry, Option<KeyHistory>)> {
        if self.history.is_none() {
            let mut changed = self.registry.clone();
            return event.apply(&mut changed).then_some((changed, None));
        }
        let mut events = self.index.key_events.clone();
        events.push(event.clone());
        let history = KeyHistory::build(&events)?;
        let changed = history.registry_after(event.number);
        (changed != self.registry).then_some((changed, Some(history)))
    }

    /// Takes note of a seal that was put in its place: what is placed from now on names it.
    fn sealed(&mut self, entries: Vec<FileEntry>, seal: NewSeal, names: Names) {
        if self.history.is_some() {
            self.notes.extend(nameless(self.vault, names));
        }
        self.entries = entries;
        self.keys_lag = false;
        self.seal = seal;
        self.names = names;
        self.sealed_events = self.index.lines;
    }

    /// Adds a file of the vault, or replaces it, and renews the seal; gives the root.
    pub(crate) fn add_file(
        &mut self,
        relative: &str,
        text: &[u8],
        key: &SigningKey,
    ) -> Result<Digest, VaultError> {
        self.renew_seal(Some((relative, text)), key)
    }

    /// Seals the log as it is, if the seal does not cover all of it. A revocation has to stand directly beyond
    /// a seal that it names: otherwise one that the revoked key made for other files would be as good as the
    /// one before the revocation.
    fn seal_surplus(&mut self, key: &SigningKey) -> Result<(), VaultError> {
        let covered = self.sealed_events == self.index.lines;
        if self.history.is_some() && !covered {
            self.renew_seal(None, key)?;
        }
        Ok(())
    }

    /// Renews the seal, with a file of the vault that is added or replaced.
    fn renew_seal(
        &mut self,
        file: Option<(&str, &[u8])>,
        key: &SigningKey,
    ) -> Result<Digest, VaultError> {
        let mut entries = self.entries.clone();
        let mut staged = Staged::new(self.vault.layer());
        if let Some((relative, text)) = file {
            staged.add(self.vault.path().join(relative), text)?;
            set_entry(&mut entries, text_entry(relative, text));
        }
        if self.keys_lag {
            let text = self.registry.to_json();
            staged.add(self.vault.path().join(layout::KEYS), &text)?;
            set_entry(&mut entries, text_entry(layout::KEYS, &text));
        }
        set_entry(&mut entries, log_entry(&self.hasher, self.index.len));
        let seal = staged.add_signed_seal(self.vault.path(), entries.clone(), key)?;
        let files = staged.sync()?;
        self.recover()?;
        // What an interrupted writer left may not be on the disk yet, and the seal must not lead.
        if let Err(source) = self.vault.layer().sync_data(&self.log, &self.path) {
            self.stopped = true;
            return Err(VaultError::Sync {
                path: self.path.clone(),
                source,
            });
        }
        let names = files
            .publish_names(&self.log, self.index.len)
            .inspect_err(|_| self.stopped = true)?;
        self.sealed(entries, seal, names);
        self.recollect(&[]);
        Ok(seal.root)
    }

    /// The log's whole events, if every one of them verifies.
    pub(crate) fn verified_log(&self) -> Result<SourceLog, VaultError> {
        self.log
            .check(self.index.len + self.torn.map_or(0, |(_, length)| length))?;
        let log = LogSnapshot::of_prefix(&self.log, self.index.len, &self.path)?;
        check::unsealed(&log, 0, &self.registry)?;
        Ok(SourceLog::verified(log, None, None, false))
    }

    /// The root of a seal over the files as the manifest lists them and the log as it is.
    pub(crate) fn root_before(&self) -> Digest {
        let mut entries = self.entries.clone();
        set_entry(&mut entries, log_entry(&self.hasher, self.index.len));
        merkle_root(entries.iter().map(FileEntry::leaf))
    }

    /// The root of the seal in its place.
    pub(crate) fn sealed_root(&self) -> Digest {
        self.seal.root
    }

    /// Whether the manifest lists this file with this content, or the next one will.
    pub(crate) fn lists(&self, relative: &str, text: &[u8]) -> bool {
        self.entries.contains(&text_entry(relative, text))
    }

    pub(crate) fn signing_key<'k>(
        &self,
        keyfile: &'k Keyfile,
        wanted: Option<KeyId>,
    ) -> Result<&'k SigningKey, VaultError> {
        keyfile::choose(
            keyfile,
            &self.registry,
            |key| self.index.revokes(key),
            wanted,
        )
    }

    pub(crate) fn refuse_if_stopped(&self) -> Result<(), VaultError> {
        if self.stopped {
            Err(VaultError::Stopped)
        } else {
            Ok(())
        }
    }

    pub(crate) fn vault(&self) -> &'v Vault {
        self.vault
    }

    pub(crate) fn registry(&self) -> &KeyRegistry {
        &self.registry
    }

    pub(crate) fn take_notes(&mut self) -> Vec<String> {
        std::mem::take(&mut self.notes)
    }

    /// Clears what an interrupted writer left.
    fn recover(&mut self) -> Result<(), VaultError> {
        while let Some(name) = self.leftovers.last() {
            self.notes.push(remove_leftover(self.vault, name)?);
            self.leftovers.pop();
        }
        if let Some((offset, length)) = self.torn {
            self.log.check(offset + length)?;
            let note = recover_tail(self.vault, &self.log, &self.path, offset, length)?;
            self.log.note_read(self.index.len, &self.hasher);
            self.torn = None;
            self.notes.push(note);
        }
        Ok(())
    }

    /// Writes and syncs the log's new bytes, or takes them back; `hasher` is over the log with them.
    fn write(&mut self, bytes: &[u8], hasher: &Sha256) -> Result<(), VaultError> {
        let layer = self.vault.layer();
        let before = self.index.len;
        self.log.check(before)?;
        if let Err(source) = layer.append(&self.log, &self.path, bytes) {
            // Best effort: a torn tail that stays is recovered by the next append.
            self.stopped = layer.truncate(&self.log, &self.path, before).is_err();
            return Err(source).context("write to", &self.path);
        }
        self.log.note_change();
        self.log.note_read(before + bytes.len() as u64, hasher);
        if let Err(source) = layer.sync_data(&self.log, &self.path) {
            self.stopped = true;
            let _ = layer.truncate(&self.log, &self.path, before);
            return Err(VaultError::Sync {
                path: self.path.clone(),
                source,
            });
        }
        Ok(())
    }
}
