//! Verification of one vault, without those that it continues.

use std::io;
use std::path::PathBuf;

use provara_core::beliefs::LogReducer;
use provara_core::finding::{Code, Finding, Severity};
use provara_core::id::Digest;
use provara_core::layout;
use provara_core::layout::{GENESIS, KEYS};
use provara_core::manifest::Manifest;
use provara_core::verify::LogVerdict;
use provara_core::verify::Predecessor;
use provara_core::verify::files::{check_genesis, check_identity, check_keys, check_policies};
use provara_core::verify::seal::{self, KeysOf, SealCase};

use crate::anchors::{Anchors, SeenAnchor};
use crate::checkpoint_check::check_checkpoints;
use crate::error::VaultError;
use crate::heads::Held;
use crate::log_snapshot::LogSnapshot;
use crate::memory::{self, Judged as Compared, Recollection, Sealed};
use crate::refusal::refused;
use crate::replay_record::ReplayRecords;
use crate::replay_start::ReplayStart;
use crate::vault::Vault;
use crate::vault_snapshot::{Interrupted, VaultSnapshot};
use crate::verify::account::Account;
use crate::verify::log_check::{Watched, check_snapshot_log};
use crate::verify::subject::Subject;
use provara_core::parallel::available_threads;

/// How often a vault is looked at where files go while they are read.
const ATTEMPTS: u32 = 32;

/// How often it is looked at again where another program changes the log while it is read.
const EDITS: u32 = 2;

/// How a vault is verified.
#[derive(Debug, Clone, Default)]
pub struct VerifyOptions {
    /// Whether warnings weigh as errors.
    pub strict: bool,
    /// Warnings that stay warnings all the same. An error is never allowed: its code does nothing here.
    pub allowed: Vec<Code>,
    /// How many threads check lines; as many as the machine has where it is not said. The report
    /// does not depend on it.
    pub threads: Option<usize>,
    /// A folder in which the vaults that this one continues are looked for; where it is not said, a
    /// predecessor is a warning.
    pub predecessors: Option<PathBuf>,
    /// Whether it is also told what was verified ([`Examination::subject`](super::Examination::subject),
    /// [`Examination::account`](super::Examination::account)): who does not ask does not pay for it.
    pub describe: bool,
    /// Whether the cache of an earlier verification is passed over, and none is kept. Without a cache
    /// directory ([`Vault::with_cache_directory`]) there is none.
    pub no_cache: bool,
    /// What others kept of the vault, which it must go on from.
    pub held: Held,
}

impl Vault {
    /// As [`Vault::examine`], without the vaults that this one continues.
    pub(crate) fn examine_alone(&self, options: &VerifyOptions) -> Result<Alone, VaultError> {
        let mut left = ATTEMPTS;
        let mut edits = EDITS;
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
                // It is read again as it now stands.
                Err(VaultError::LogChanged { .. }) if edits > 0 => edits -= 1,
                result => return result,
            }
        }
    }

    fn examine_once(&self, options: &VerifyOptions, look: Look) -> Result<Alone, VaultError> {
        let (recollection, snapshot) = look.take(self)?;
        let threads = options.threads.unwrap_or_else(available_threads).max(1);
        let (registry, keys_findings) = check_keys(snapshot.text(KEYS));
        let directory = self.cache_directory().filter(|_| !options.no_cache);
        let genesis_text = snapshot.text(GENESIS).unwrap_or_default();
        let anchors = Anchors::of_snapshot(self.files(), &snapshot)?;
        let mut sizes = options.held.sizes(genesis_text);
        sizes.extend(anchors.sizes());
        sizes.extend(recollection.sizes());
        let watched = Watched {
            recollection: &recollection,
            sizes,
        };
        let checked = check_snapshot_log(self, &snapshot, &registry, threads, directory, &watched)?;
        snapshot.check_log(checked.hashes)?;
        let (log, digest) = (checked.verdict, checked.digest);
        let (genesis, mut findings) = check_genesis(snapshot.text(GENESIS));
        findings.extend(check_identity(&genesis, &log, &registry));
        let listed = keys_findings.is_empty().then_some(&registry);
        findings.extend(keys_findings);
        findings.extend(check_policies(|file| snapshot.text(file)));
        let from_cache = checked.note.is_some();
        let mut notes = Vec::from_iter(checked.note);
        let (held_findings, held_notes) = options.held.judge(&log, genesis_text, &registry);
        findings.extend(held_findings);
        notes.extend(held_notes);
        let anchored = anchors.judge(&options.held, &log, &registry);
        findings.extend(anchored.findings);
        notes.extend(anchored.notes);
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
        let records = directory.and_then(|it| ReplayRecords::of(self, it));
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
        let subject = options
            .describe
            .then(|| Subject::of(&snapshot, &log, &log_bytes, digest, &disk));
        let account = options.describe.then(|| {
            let heads = options.held.kept(genesis_text);
            let genesis = snapshot.text(GENESIS).map(Digest::of);
            let account = Account::of(&log, &registry, &judgement, heads, &findings, genesis);
            Account {
                from_cache,
                ..account
            }
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
        notes.extend(unsealed_note(&snapshot, checked.unsealed.checked));
        findings.extend(interruption(&snapshot));
        findings.extend(snapshot.leftovers().iter().map(|path| leftover(path)));
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
            subject,
            anchors: anchored.seen,
            unasked: anchored.unasked,
            account,
            verdict: log,
            findings,
            notes,
            log: snapshot.log.map(|log| log.lines.with_open_end(&log.tail)),
            replayed: checkpoints.replayed,
            start: start.map(|it| ReplayStart::From(self.path().to_owned(), it)),
            records,
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

impl Look {
    /// What is remembered of the vault, read before it: a writer seals first and remembers then.
    fn take(self, vault: &Vault) -> Result<(Recollection, VaultSnapshot), VaultError> {
        let mut recollection = Recollection::of(vault);
        let snapshot = match self {
            Self::Free => VaultSnapshot::take(vault)?,
            Self::BetweenWriters => VaultSnapshot::take_between_writers(vault, || {
                recollection = Recollection::of(vault);
            })?,
        };
        Ok((recollection, snapshot))
    }
}

/// What there is to say of the bytes beyond the seal, of which `whole` were checked.
fn unsealed_note(snapshot: &VaultSnapshot, whole: u64) -> Option<String> {
    let length = snapshot.log.as_ref()?.unsealed.as_ref()?.len();
    Some(format!(
        "a writer was at work: the log was verified as far as the seal covers it; of the {length} bytes \
         beyond, {whole} are of whole events, which were checked and are not counted"
    ))
}

/// What there is to say of a command that was interrupted and left an intent.
fn interruption(snapshot: &VaultSnapshot) -> Option<Finding> {
    let (code, message) = match snapshot.interrupted()? {
        Interrupted::Settled(what) => (
            Code::W001,
            format!(
                "a command was interrupted; the next writer, or a repair, settles it, and this is the \
                 state that it comes to ({what})"
            ),
        ),
        Interrupted::Broken(reason) => (
            Code::E302,
            format!("an intent that cannot be settled: {reason}"),
        ),
    };
    Some(Finding::new(code, layout::MERGE_INTENT, message))
}

/// What there is to say of a temporary file that an interrupted writer left.
fn leftover(path: &str) -> Finding {
    let message = "an interrupted writer left this temporary file, which counts for nothing; the next writer, \
                   or a repair, removes it";
    Finding::new(Code::W001, path, message)
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
    /// What was verified, if that was asked for.
    pub(super) subject: Option<Subject>,
    /// The anchors that the log goes on from.
    pub(super) anchors: Vec<SeenAnchor>,
    /// What there is to say of them where a reader names nobody.
    pub(super) unasked: Option<String>,
    /// What there is to tell of it, if that was asked for.
    pub(super) account: Option<Account>,
    /// The reducer after the whole log, if its checkpoints had to be compared.
    pub(super) replayed: Option<LogReducer>,
    /// Where a replay may begin.
    pub(super) start: Option<ReplayStart>,
    /// Where replays are recorded.
    pub(super) records: Option<ReplayRecords>,
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
    /// How the vault differs from what this machine remembers of it.
    pub(crate) fn not_as_remembered(&self) -> Option<&Finding> {
        self.memory.judged.findings.first()
    }

    /// Remembers what was found, if the vault is valid and that is what stands there.
    pub(crate) fn remember(&mut self, vault: &Vault) {
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
