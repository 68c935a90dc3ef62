//! Verification of one vault, without those that it continues.

use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::mpsc::sync_channel;
use std::thread;

use provara_core::beliefs::BeliefReducer;
use provara_core::finding::{Code, Finding, Severity};
use provara_core::id::Digest;
use provara_core::keys::KeyRegistry;
use provara_core::layout;
use provara_core::layout::{GENESIS, KEYS};
use provara_core::manifest::Manifest;
use provara_core::verify::Predecessor;
use provara_core::verify::files::{check_genesis, check_identity, check_keys, check_policies};
use provara_core::verify::seal::{self, KeysOf, SealCase};
use provara_core::verify::{KeyDirectory, LogVerdict, Sequencer, check_lines};
use sha2::{Digest as _, Sha256};

use crate::check::{self, check_log};
use crate::checkpoint_check::check_checkpoints;
use crate::error::{Context, VaultError};
use crate::log_snapshot::LogSnapshot;
use crate::memory::{self, Judged as Compared, Recollection, Sealed};
use crate::parallel::available_threads;
use crate::refusal::refused;
use crate::replay_start::{Confirmed, ReplayStart};
use crate::unsealed_tail::Judged;
use crate::vault::Vault;
use crate::vault_snapshot::{Interrupted, VaultSnapshot};
use crate::verification_cache::CachedVerification;

/// How often a vault is looked at where files go while they are read.
const ATTEMPTS: u32 = 32;

/// How a vault is verified.
#[derive(Debug, Clone, Default)]
pub struct VerifyOptions {
    /// Whether warnings weigh as errors.
    pub strict: bool,
    /// How many threads check lines; as many as the machine has where it is not said. The report
    /// does not depend on it.
    pub threads: Option<usize>,
    /// A folder in which the vaults that this one continues are looked for; where it is not said, a
    /// predecessor is a warning.
    pub predecessors: Option<PathBuf>,
    /// Whether the cache of an earlier verification is passed over, and none is kept. Without a cache
    /// directory ([`Vault::with_cache_directory`]) there is none.
    pub no_cache: bool,
}

impl Vault {
    /// As [`Vault::examine`], without the vaults that this one continues.
    pub(crate) fn examine_alone(&self, options: &VerifyOptions) -> Result<Alone, VaultError> {
        let mut left = ATTEMPTS;
        let mut look = Look::Free;
        loop {
            left -= 1;
            match self.examine_once(options, look) {
                // Before anybody is warned: what is there and what is remembered at one moment, between
                // two writers.
                Ok(alone) if look == Look::Free && !alone.memory.judged.findings.is_empty() => {
                    look = Look::BetweenWriters;
                }
                // A writer took away meanwhile what was there: a leftover, a checkpoint that a merge
                // retired, or the end of the log, which its disk refused to keep. The state that had it
                // is no more; another one is taken.
                Err(VaultError::Io { source, .. })
                    if left > 0
                        && matches!(
                            source.kind(),
                            io::ErrorKind::NotFound | io::ErrorKind::UnexpectedEof
                        ) => {}
                result => return result,
            }
        }
    }

    fn examine_once(&self, options: &VerifyOptions, look: Look) -> Result<Alone, VaultError> {
        // Before the vault: a writer seals first and remembers then.
        let mut recollection = Recollection::of(self);
        let snapshot = match look {
            Look::Free => VaultSnapshot::take(self)?,
            Look::BetweenWriters => {
                VaultSnapshot::take_between_writers(self, || recollection = Recollection::of(self))?
            }
        };
        let threads = options.threads.unwrap_or_else(available_threads).max(1);
        let (registry, keys_findings) = check_keys(snapshot.text(KEYS));
        let directory = self.cache_directory().filter(|_| !options.no_cache);
        let checked =
            self.check_snapshot_log(&snapshot, &registry, threads, directory, &recollection)?;
        let (log, digest) = (checked.verdict, checked.digest);
        let (genesis, mut findings) = check_genesis(snapshot.text(GENESIS));
        findings.extend(check_identity(&genesis, &log, &registry));
        let listed = keys_findings.is_empty().then_some(&registry);
        findings.extend(keys_findings);
        findings.extend(check_policies(|file| snapshot.text(file)));
        let mut notes = Vec::from_iter(checked.note);
        let sound = log
            .findings
            .iter()
            .all(|finding| finding.severity != Severity::Error);
        let known = &checked.confirmed;
        let checkpoints =
            check_checkpoints(self, &snapshot, &registry, &log, sound, known, &mut notes)?;
        findings.extend(checkpoints.findings);
        if sound && let (Some(directory), Some(cached)) = (directory, checked.cached) {
            let keys = Digest::of(snapshot.text(KEYS).unwrap_or_default());
            cached.store(&checkpoints.confirmed, directory, self.path(), keys);
        }
        let start = checkpoints.confirmed.into_iter().next_back();
        let disk = snapshot.disk(self, digest)?;
        let log_bytes = snapshot.log_bytes();
        let mut judgement = seal::judge(&SealCase {
            log: &log_bytes,
            events: log.lines,
            seal: snapshot.seal(),
            disk: &disk,
            keys: KeysOf::verdict(&log, snapshot.text(KEYS).unwrap_or_default(), &registry),
            listed,
            files: &log.files,
            verdict: Some(&log),
            threads,
        });
        let refusal = refused(&judgement, log.lines, log.last_event);
        let sealed = memory::sealed(&log, &log_bytes, &judgement);
        let judged = match self.has_memory() {
            true => recollection.compare_verified(self, &log_bytes, &log, &judgement),
            false => Compared::default(),
        };
        drop(log_bytes);
        if !judged.findings.is_empty() {
            judgement.writers_refuse();
        }
        findings.extend(judgement.findings);
        findings.extend(checked.unsealed.findings);
        if let Some(unsealed) = snapshot.log.as_ref().and_then(|log| log.unsealed.as_ref()) {
            let (length, whole) = (unsealed.len(), checked.unsealed.checked);
            notes.push(format!(
                "a writer was at work: the log was verified as far as the seal covers it; of the {length} \
                 bytes beyond, {whole} are of whole events, which were checked and are not counted"
            ));
        }
        match snapshot.interrupted() {
            None => {}
            Some(Interrupted::Settled(what)) => {
                let message = format!(
                    "a command was interrupted; the next writer, or a repair, settles it, and this is \
                     the state that it comes to ({what})"
                );
                findings.push(Finding::new(Code::W001, layout::MERGE_INTENT, message));
            }
            Some(Interrupted::Broken(reason)) => {
                let message = format!("an intent that cannot be settled: {reason}");
                findings.push(Finding::new(Code::E302, layout::MERGE_INTENT, message));
            }
        }
        if snapshot.holds_intent() {
            notes.push(
                "a merge was interrupted; a repair completes it or removes its traces".to_owned(),
            );
        }
        findings.extend(judged.findings.iter().cloned());
        notes.extend(judged.notes.iter().cloned());
        let unsettled = snapshot.interrupted().is_some() || snapshot.holds_intent();
        let manifest = snapshot
            .seal()
            .manifest
            .and_then(|text| Manifest::parse(text).ok());
        Ok(Alone {
            predecessor: genesis.predecessor,
            merkle_root: manifest.map(|manifest| manifest.merkle_root()),
            verdict: log,
            findings,
            notes,
            log: snapshot.log.map(|log| log.lines.with_open_end(&log.tail)),
            replayed: checkpoints.replayed,
            start: start.map(|it| ReplayStart::From(self.path().to_owned(), it)),
            refusal,
            sealed,
            unsettled,
            memory: Sighting {
                recollection,
                judged,
            },
        })
    }
}

/// When a vault is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Look {
    /// At once.
    Free,
    /// While no writer is at work, together with what is remembered of it.
    BetweenWriters,
}

/// What was remembered of a vault, and what came of the comparison.
pub(crate) struct Sighting {
    recollection: Recollection,
    judged: Compared,
}

/// What was found of one vault, before it is told of those that it continues.
pub(crate) struct Alone {
    pub(crate) verdict: LogVerdict,
    pub(crate) findings: Vec<Finding>,
    pub(crate) notes: Vec<String>,
    /// The vault that it continues.
    pub(crate) predecessor: Option<Predecessor>,
    /// The Merkle root of its manifest.
    pub(crate) merkle_root: Option<Digest>,
    pub(crate) log: Option<LogSnapshot>,
    /// The reducer after the whole log, if its checkpoints had to be compared.
    pub(super) replayed: Option<BeliefReducer>,
    /// Where a replay may begin.
    pub(super) start: Option<ReplayStart>,
    /// Why a writer goes on from no such seal.
    pub(super) refusal: Option<VaultError>,
    /// What its seal covers.
    pub(crate) sealed: Option<Sealed>,
    /// Whether an interrupted command is still to be settled: the state that was verified is then the one
    /// that it comes to, which does not stand there yet.
    pub(crate) unsettled: bool,
    memory: Sighting,
}

impl Alone {
    /// Remembers what was found, if the vault is valid and that is what stands there.
    pub(super) fn remember(&mut self, vault: &Vault) {
        let error = |finding: &Finding| finding.severity == Severity::Error;
        let findings = || self.verdict.findings.iter().chain(&self.findings);
        let (Some(sealed), Some(log)) = (self.sealed, &self.log) else {
            return;
        };
        if !vault.has_memory() || self.unsettled || findings().any(error) {
            return;
        }
        let Sighting {
            recollection,
            judged,
        } = &self.memory;
        let note = recollection.remember_verified(vault, log, &self.verdict, sealed, judged);
        // The first note says that it cannot be used at all.
        if judged.notes.is_empty() {
            self.notes.extend(note);
        }
    }
}

/// A log that was held against the rules.
struct CheckedLog {
    verdict: LogVerdict,
    /// The SHA-256 of its bytes.
    digest: Digest,
    /// What was taken from the cache of an earlier verification.
    note: Option<String>,
    /// The checkpoints that the cache names.
    confirmed: Vec<Confirmed>,
    /// What a later verification may go on from.
    cached: Option<CachedVerification>,
    /// What a writer at work has put beyond the seal.
    unsealed: Judged,
}

impl Vault {
    /// Checks the log, from where the cache of an earlier verification ends if its bytes are the same.
    ///
    /// # Errors
    /// [`VaultError::Cancelled`], or [`VaultError::Io`].
    fn check_snapshot_log(
        &self,
        snapshot: &VaultSnapshot,
        registry: &KeyRegistry,
        threads: usize,
        directory: Option<&Path>,
        recollection: &Recollection,
    ) -> Result<CheckedLog, VaultError> {
        let Some(log) = &snapshot.log else {
            return Ok(CheckedLog {
                verdict: check_log(b"", b"", registry, 1),
                digest: Digest::of(b""),
                note: None,
                confirmed: Vec::new(),
                cached: None,
                unsealed: Judged::default(),
            });
        };
        let lines = log.lines.bytes();
        let directory = directory.filter(|_| lines.len() as u64 >= self.record_from());
        let keys = Digest::of(snapshot.text(KEYS).unwrap_or_default());
        let cached = directory
            .and_then(|directory| CachedVerification::load(directory, self.path(), keys))
            .filter(|cached| {
                let end = usize::try_from(cached.length).ok();
                end.is_some_and(|end| end > 0 && lines.get(end - 1) == Some(&b'\n'))
            });
        let cached_length = cached.as_ref().map_or(0, |cached| cached.length as usize);
        let (sender, prefix) = sync_channel(1);
        let hash = || {
            let mut hasher = Sha256::new_with_prefix(&lines[..cached_length]);
            let _ = sender.send(Digest(hasher.clone().finalize().into()));
            hasher.update(&lines[cached_length..]);
            let whole = Digest(hasher.clone().finalize().into());
            (
                whole,
                Digest(hasher.chain_update(&log.tail).finalize().into()),
            )
        };
        let check = || {
            let restored = cached
                .as_ref()
                .and_then(|cached| {
                    let sequencer = Sequencer::restore(&cached.state)?;
                    // The tree has no way back to what is remembered of fewer events.
                    let known = |size: &u64| {
                        *size >= sequencer.tree().size() || cached.root_at(*size).is_some()
                    };
                    let fits = recollection.sizes().iter().all(known);
                    fits.then_some((sequencer, cached.digest))
                })
                .filter(|(_, digest)| prefix.recv() == Ok(*digest));
            let from = if restored.is_some() { cached_length } else { 0 };
            let mut sequencer =
                restored.map_or_else(|| Sequencer::new(registry), |(sequencer, _)| sequencer);
            for size in recollection.sizes() {
                sequencer.watch(size);
            }
            if self.has_memory() {
                sequencer.keep_leaves(recollection.leaves_from());
            }
            let total = lines.len() as u64;
            let mut told = |done| self.tell_progress(done, total);
            told(from as u64)?;
            let rest = &lines[from..];
            check::feed(
                &mut sequencer,
                rest,
                from as u64,
                registry,
                threads,
                &mut told,
            )?;
            let state = (directory.is_some() && from < lines.len())
                .then(|| sequencer.save())
                .flatten();
            if !log.tail.is_empty() {
                let keys = KeyDirectory::new(registry);
                sequencer.feed(check_lines(&log.tail, total, &keys));
            }
            let unsealed = match &log.unsealed {
                None => Ok(Judged::default()),
                Some(unsealed) => {
                    let mut told = |_| self.tell_progress(total, total);
                    match unsealed.judge(sequencer.clone(), registry, threads, &mut told) {
                        Ok(judged) => Ok(judged?),
                        Err(error) => Err(error),
                    }
                }
            };
            ControlFlow::Continue((sequencer.finish(registry), state, from, unsealed))
        };
        let (checked, (whole, digest)) = thread::scope(|scope| {
            let hashing = (threads > 1).then(|| thread::Builder::new().spawn_scoped(scope, hash));
            match hashing {
                Some(Ok(digests)) => (check(), digests.join().expect("hashing does not panic")),
                // One thread is enough, or all that the system has to give.
                _ => {
                    let digests = hash();
                    (check(), digests)
                }
            }
        });
        let ControlFlow::Continue((mut verdict, state, from, unsealed)) = checked else {
            return Err(VaultError::Cancelled);
        };
        let unsealed = unsealed.context("read", &self.log_path())?;
        let earlier = cached.filter(|_| from > 0);
        if let Some(earlier) = &earlier {
            verdict.roots.extend(&earlier.roots);
        }
        let confirmed = earlier
            .as_ref()
            .map_or_else(Vec::new, |cached| cached.checkpoints.clone());
        let cached = match state {
            Some(state) => {
                let cached = CachedVerification::new(lines.len() as u64, whole, state);
                Some(cached.with_roots(&verdict.roots))
            }
            None => earlier.filter(|_| from == lines.len()),
        };
        let note = (from > 0).then(|| {
            let states = match confirmed.len() {
                0 => String::new(),
                count => format!(" and the states of the checkpoints ({count})"),
            };
            format!(
                "the log's first {from} of {} bytes are those that verified earlier on this machine: \
                 their SHA-256 was computed again, their signatures{states} were not (without the cache \
                 all is checked)",
                lines.len() + log.tail.len()
            )
        });
        Ok(CheckedLog {
            verdict,
            digest,
            note,
            confirmed,
            cached,
            unsealed,
        })
    }
}
