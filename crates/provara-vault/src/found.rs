//! What a command of the owner finds: `manifest`, `adopt`, `redact` and a merge look at the whole vault under
//! its lock, verify every line and judge the seal, before they change anything.

use std::collections::BTreeMap;
use std::fs::File;

use provara_core::finding::{Code, Finding, Severity};
use provara_core::id::{Digest, KeyId};
use provara_core::keys::{KeyRegistry, Keyfile, SigningKey};
use provara_core::layout;
use provara_core::manifest::FileEntry;
use provara_core::mark::SealName;
use provara_core::verify::LogVerdict;
use provara_core::verify::files::DiskEntry;
use provara_core::verify::seal::{KeysOf, SealCase, SealJudgement, SealStanding, judge};

use crate::check::check_log;
use crate::checkpoint_files::unsealed_checkpoints;
use crate::error::{Context, VaultError};
use crate::file_hashes::FileHashes;
use crate::index::LogIndex;
use crate::intent::carry::settle;
use crate::keyfile;
use crate::lock::LockedLog;
use crate::log_snapshot::LogSnapshot;
use crate::memory;
use crate::refusal::refused;
use crate::rotation::{Keys, read_registry};
use crate::seal::{
    leftovers, read_entries, remove_leftover, set_entry, sync_directory, text_entry,
};
use crate::state_dir::recover_tail;
use crate::vault::Vault;
use crate::vault_snapshot::VaultSnapshot;
use provara_core::parallel::available_threads;

/// A vault under its lock, looked at as a whole.
pub(crate) struct Found<'v> {
    pub(crate) vault: &'v Vault,
    pub(crate) log: LockedLog,
    pub(crate) bytes: LogSnapshot,
    /// The length of the whole events, of which the last may lack its line end.
    pub(crate) whole: usize,
    /// What the log comes to; none where its chains do not join.
    pub(crate) index: Option<LogIndex>,
    pub(crate) verdict: LogVerdict,
    /// What `keys.json` says.
    pub(crate) listed: KeyRegistry,
    /// What it must say.
    pub(crate) registry: KeyRegistry,
    /// Whether it says what it said before the log's latest key events.
    pub(crate) keys_lag: bool,
    /// How it contradicts the seal, or signed events.
    keys_fault: Option<(String, String)>,
    /// The entries of `manifest.json`, and of sound checkpoints that it does not list yet; of the log and of
    /// `keys.json` as they stand there.
    pub(crate) entries: Result<Vec<FileEntry>, VaultError>,
    /// The entries of `manifest.json` as they stand there, if it can be read.
    pub(crate) manifest: Vec<FileEntry>,
    /// The checkpoints that it lacks.
    pub(crate) unlisted: Vec<String>,
    /// Every file, with its digest.
    pub(crate) disk: BTreeMap<String, DiskEntry>,
    pub(crate) judgement: SealJudgement,
    leftovers: Vec<String>,
    pub(crate) notes: Vec<String>,
}

impl<'v> Found<'v> {
    /// Takes the lock, settles what an interrupted command left, and looks.
    pub(crate) fn open(vault: &'v Vault) -> Result<Self, VaultError> {
        let (log, mut notes) = vault.lock_for_writing()?;
        let (log, settled) = settle(vault, log)?;
        notes.extend(settled);
        Self::look(vault, log, notes)
    }

    /// Looks at the vault whose lock is held on `log`.
    pub(crate) fn look(
        vault: &'v Vault,
        log: LockedLog,
        notes: Vec<String>,
    ) -> Result<Self, VaultError> {
        let entries = read_entries(vault.path());
        let known = entries.as_deref().unwrap_or_default();
        let leftovers = leftovers(vault.path(), known)?;
        let (listed, _) = read_registry(vault)?;
        let snapshot = VaultSnapshot::look(vault, false)?;
        if let Some((file, reason)) = snapshot.unsafe_entry() {
            return Err(VaultError::Structure {
                file: file.to_owned(),
                reason: reason.to_owned(),
            });
        }
        let FoundLog {
            bytes,
            whole,
            index,
            sealed,
        } = FoundLog::read(vault, &log, known)?;
        let threads = available_threads();
        let verdict = check_with_brought_keys(&bytes[..whole], &listed, threads)
            .map_err(|error| bytes.blame(error))?;
        let mut hashes = FileHashes::of(vault);
        let disk =
            snapshot.disk_with(Digest::of(&bytes[..whole]), &mut |path| hashes.hash(path))?;
        hashes.keep();
        let text = snapshot.text(layout::KEYS).unwrap_or_default();
        // Of a vault without a mark a writer that was interrupted may have left the file of before.
        let keys = index
            .as_ref()
            .map(|index| Keys::read(vault, known, index, sealed));
        let texts = match &keys {
            Some(Ok(keys)) => keys.texts.clone(),
            _ => vec![text.to_vec()],
        };
        let judge_with = |text: &[u8]| {
            judge(&SealCase {
                log: &bytes[..whole],
                events: verdict.lines,
                seal: snapshot.seal(),
                disk: &disk,
                keys: KeysOf::verdict(&verdict, text, &listed),
                listed: Some(&listed),
                files: &verdict.files,
                verdict: Some(&verdict),
                threads,
            })
        };
        let mut judgement = judge_with(&texts[0]);
        for text in &texts[1..] {
            if judgement.standing == SealStanding::Other {
                judgement = judge_with(text);
            }
        }
        let keys = FoundKeys::of(keys, &verdict, &listed, text);
        let manifest = known.to_vec();
        let mut unlisted = Vec::new();
        let entries = match entries {
            Err(error) => Err(error),
            Ok(mut entries) => {
                let found = unsealed_checkpoints(vault, &entries, &keys.registry, verdict.lines)?;
                for checkpoint in found {
                    unlisted.push(checkpoint.path.clone());
                    set_entry(&mut entries, checkpoint);
                }
                // The manifest may be of an earlier state; these two have been read.
                set_entry(&mut entries, text_entry(layout::LOG, &bytes[..whole]));
                set_entry(&mut entries, text_entry(layout::KEYS, text));
                Ok(entries)
            }
        };
        Ok(Self {
            vault,
            log,
            bytes,
            whole,
            index,
            verdict,
            listed,
            registry: keys.registry,
            keys_lag: keys.lag,
            keys_fault: keys.fault,
            entries,
            manifest,
            unlisted,
            disk,
            judgement,
            leftovers,
            notes,
        })
    }

    /// The keys that either the file lists or signed events bring, to check signatures with.
    pub(crate) fn either(&self) -> KeyRegistry {
        both(&self.listed, &self.registry)
    }

    /// The log's whole events.
    pub(crate) fn log(&self) -> &[u8] {
        &self.bytes[..self.whole]
    }

    /// The temporary files of interrupted writers.
    pub(crate) fn leftovers(&self) -> &[String] {
        &self.leftovers
    }

    /// Whether signed events alone say which keys are the vault's.
    pub(crate) fn is_marked(&self) -> bool {
        self.verdict.history.is_some()
    }

    /// The first thing that is wrong with the log.
    pub(crate) fn fault(&self) -> Option<&Finding> {
        let mut findings = self.verdict.findings.iter();
        findings.find(|finding| finding.severity == Severity::Error)
    }

    /// Whether the next writer has something to bring up to date, beside a torn tail and temporary files.
    pub(crate) fn is_stale(&self) -> bool {
        let lags = |finding: &Finding| finding.code == Code::W001;
        self.judgement.standing != SealStanding::Current
            || !self.unlisted.is_empty()
            || self.judgement.findings.iter().any(lags)
            || self.keys_lag
    }

    /// The files that stand there and that a manifest lists, but for what an interrupted writer left.
    pub(crate) fn standing_entries(&self) -> Vec<FileEntry> {
        let files = self.disk.iter().filter_map(|(path, entry)| match entry {
            DiskEntry::File { size, sha256 } => Some(FileEntry {
                path: path.clone(),
                sha256: *sha256,
                size: *size,
            }),
            DiskEntry::Other(_) => None,
        });
        files
            .filter(|entry| !layout::is_unlisted(&entry.path))
            .filter(|entry| !self.leftovers.contains(&entry.path))
            .collect()
    }

    /// The keys.json that must be written, where it is not there yet.
    pub(crate) fn keys_text(&self) -> Option<Vec<u8>> {
        self.keys_lag.then(|| self.registry.to_json())
    }

    /// Refuses a log that does not verify.
    pub(crate) fn refuse_fault(&self) -> Result<(), VaultError> {
        self.fault()
            .map_or(Ok(()), |finding| Err(refused_log(finding)))
    }

    /// Why a writer does not go on from the seal, if it does not.
    pub(crate) fn refusal(&self) -> Option<VaultError> {
        let verdict = &self.verdict;
        refused(&self.judgement, verdict.lines, verdict.last_event)
    }

    /// Refuses a seal that does not vouch for what is there.
    pub(crate) fn refuse_seal(&self) -> Result<(), VaultError> {
        // It says more than that the seal is another one.
        if let Some((file, reason)) = &self.keys_fault {
            return Err(VaultError::SealContradiction {
                file: file.clone(),
                reason: reason.clone(),
            });
        }
        self.refusal().map_or(Ok(()), Err)
    }

    /// What this machine remembers of the vault, held against what is there.
    ///
    /// # Errors
    /// [`VaultError::NotAsRemembered`].
    pub(crate) fn recollect(&self) -> Result<Vec<String>, VaultError> {
        let head = self.reached();
        match head {
            Some(head) => Ok(memory::check_writer(self.vault, &head)?.notes),
            None => Ok(Vec::new()),
        }
    }

    /// The same, for an owner to look at.
    pub(crate) fn remembered(&self) -> memory::Judged {
        let head = self.reached();
        head.map_or_else(memory::Judged::default, |it| memory::look(self.vault, &it))
    }

    /// What is held against the memory.
    fn reached(&self) -> Option<memory::Reached<'static>> {
        let identity = self.verdict.first_event?;
        let last_event = self.verdict.last_event?;
        let signed_at = self.judgement.signed_at_utc.as_deref();
        let seal = self
            .judgement
            .root
            .zip(signed_at.and_then(|at| at.parse().ok()));
        Some(memory::Reached {
            identity,
            size: self.verdict.lines,
            length: self.whole as u64,
            tree_root: self.verdict.tree.root(),
            last_event,
            seal: seal.map(|(root, signed_at)| memory::SealSeen { root, signed_at }),
            leaves: &[],
        })
    }

    /// Refuses a seal that does not vouch for what is there, and a vault that is not as it is remembered.
    pub(crate) fn refuse_unless_vouched(&mut self) -> Result<(), VaultError> {
        self.refuse_seal()?;
        let notes = self.recollect()?;
        self.notes.extend(notes);
        Ok(())
    }

    /// The seal that an event names: the one that is there, where it covers all that is before the event.
    pub(crate) fn seal_name(&self) -> Option<SealName> {
        let covers = self.judgement.standing == SealStanding::Current;
        self.judgement.root.filter(|_| covers).map(SealName::of)
    }

    /// Chooses the key that signs.
    pub(crate) fn signing_key<'k>(
        &self,
        keyfile: &'k Keyfile,
        wanted: Option<KeyId>,
    ) -> Result<&'k SigningKey, VaultError> {
        let revoked = |key: &KeyId| self.verdict.revoked_keys.contains(key);
        keyfile::choose(keyfile, &self.registry, revoked, wanted)
    }

    /// Clears what interrupted writers left, and makes durable what is there: a seal and events that are named
    /// or sealed anew must not be lost later.
    pub(crate) fn clear(&mut self) -> Result<(), VaultError> {
        let cleared = self.clear_all();
        cleared.map_err(|error| self.log.blame(error))
    }

    fn clear_all(&mut self) -> Result<(), VaultError> {
        let (vault, path) = (self.vault, self.vault.log_path());
        for name in self.leftovers.drain(..) {
            self.notes.push(remove_leftover(vault, &name)?);
        }
        let length = self.bytes.len();
        self.log.check(length)?;
        if (self.whole as u64) < length {
            let (offset, rest) = (self.whole as u64, length - self.whole as u64);
            let note = recover_tail(vault, &self.log, &path, offset, rest)?;
            self.notes.push(note);
        }
        let layer = vault.layer();
        let synced = layer.sync_data(&self.log, &path);
        synced.map_err(|source| VaultError::Sync { path, source })?;
        for directory in [layout::EVENTS, layout::IDENTITY, layout::CHECKPOINTS, ""] {
            let directory = vault.path().join(directory);
            if directory.is_dir() {
                sync_directory(layer, &directory)?;
            }
        }
        Ok(())
    }
}

/// The log under the lock.
struct FoundLog {
    bytes: LogSnapshot,
    /// The length of its whole events.
    whole: usize,
    /// What it comes to; none where its chains do not join.
    index: Option<LogIndex>,
    /// How much of it the manifest lists, if it lists any of it.
    sealed: u64,
}

impl FoundLog {
    /// Reads it. `known` are the entries of the manifest.
    fn read(vault: &Vault, log: &File, known: &[FileEntry]) -> Result<Self, VaultError> {
        let path = vault.log_path();
        let length = log.metadata().context("read", &path)?.len();
        let bytes = LogSnapshot::of_prefix(log, length, &path)?;
        let sealed = known.iter().find(|entry| entry.path == layout::LOG);
        let sealed = sealed.map_or_else(|| last_line(&bytes), |entry| entry.size.min(length));
        let index = LogIndex::read(&bytes, sealed);
        // First of all: what it read may be why it failed.
        bytes.check_unchanged()?;
        let (index, whole) = match index {
            Ok((index, torn)) => (Some(index), torn.unwrap_or(length)),
            Err(VaultError::BrokenLog { .. }) => (None, length),
            Err(error) => return Err(error),
        };
        Ok(Self {
            bytes,
            whole: usize::try_from(whole).expect("the log is in memory"),
            index,
            sealed,
        })
    }
}

/// Checks a log under the keys that `keys.json` lists and those that its signed events bring: these count,
/// whatever the file says.
fn check_with_brought_keys(
    log: &[u8],
    listed: &KeyRegistry,
    threads: usize,
) -> Result<LogVerdict, VaultError> {
    let verdict = check_log(log, b"", listed, threads)?;
    let Some(history) = &verdict.history else {
        return Ok(verdict);
    };
    let both = both(listed, &history.registry_after(verdict.lines));
    match both == *listed {
        true => Ok(verdict),
        false => check_log(log, b"", &both, threads),
    }
}

/// `keys.json`, beside what the log says of keys.
struct FoundKeys {
    /// What it must say.
    registry: KeyRegistry,
    /// Whether it says something else.
    lag: bool,
    /// How it contradicts the seal, or signed events.
    fault: Option<(String, String)>,
}

impl FoundKeys {
    /// Of a file that is `text` and lists `listed`. `keys` is what a writer makes of it, where the log's chains
    /// join.
    fn of(
        keys: Option<Result<Keys, VaultError>>,
        verdict: &LogVerdict,
        listed: &KeyRegistry,
        text: &[u8],
    ) -> Self {
        let (registry, lag, fault) = match (&verdict.history, keys) {
            (Some(history), keys) => {
                let registry = history.registry_after(verdict.lines);
                let lag = registry.to_json() != text;
                (registry, lag, keys.and_then(Result::err))
            }
            (None, Some(Ok(keys))) => (keys.registry, keys.lag, None),
            (None, keys) => (listed.clone(), false, keys.and_then(Result::err)),
        };
        let fault = fault.and_then(|error| match error {
            VaultError::SealContradiction { file, reason } => Some((file, reason)),
            _ => None,
        });
        Self {
            registry,
            lag,
            fault,
        }
    }
}

/// The entries of two registries; where both have one, that of `first` stands.
pub(crate) fn both(second: &KeyRegistry, first: &KeyRegistry) -> KeyRegistry {
    let mut both = first.clone();
    for entry in &second.keys {
        if both.get(&entry.key_id).is_none() {
            both.keys.push(entry.clone());
        }
    }
    both
}

/// Where the last line begins, whether it has a line end or not.
fn last_line(log: &[u8]) -> u64 {
    let before = log.strip_suffix(b"\n").unwrap_or(log);
    memchr::memrchr(b'\n', before).map_or(0, |at| at as u64 + 1)
}

/// A log with this finding is not gone on from.
pub(crate) fn refused_log(finding: &Finding) -> VaultError {
    match (finding.line, finding.offset) {
        (Some(line), Some(offset)) => VaultError::BrokenLog {
            line,
            offset,
            reason: finding.message.clone(),
        },
        _ => VaultError::Structure {
            file: finding.file.clone(),
            reason: finding.message.clone(),
        },
    }
}
