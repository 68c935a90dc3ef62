//! The log of a snapshot, held against the rules: from where the cache of an earlier verification ends, if its
//! bytes are the same.

use std::collections::BTreeSet;
use std::io;
use std::ops::ControlFlow;
use std::path::Path;
use std::thread;

use provara_core::id::Digest;
use provara_core::keys::KeyRegistry;
use provara_core::layout::KEYS;
use provara_core::verify::{KeyDirectory, LogVerdict, Sequencer, check_lines};
use provara_signatures::Disagreement;

use crate::check::{self, Stop};
use crate::error::{Context, VaultError};
use crate::log_hashes::LogHashes;
use crate::memory::Recollection;
use crate::replay_start::Confirmed;
use crate::signatures::Together;
use crate::unsealed_tail::Judged;
use crate::vault::Vault;
use crate::vault_files::TakenLog;
use crate::vault_snapshot::VaultSnapshot;
use crate::verification_cache::CachedVerification;

/// A log that was held against the rules.
pub(super) struct CheckedLog {
    pub(super) verdict: LogVerdict,
    /// The SHA-256 of its bytes.
    pub(super) digest: Digest,
    /// The hashes of its whole lines, with those of their parts where they are mapped.
    pub(super) hashes: LogHashes,
    /// What was taken from the cache of an earlier verification.
    pub(super) note: Option<String>,
    /// The checkpoints that the cache names.
    pub(super) confirmed: Vec<Confirmed>,
    /// What a later verification may go on from.
    pub(super) cached: Option<CachedVerification>,
    /// What a writer at work has put beyond the seal.
    pub(super) unsealed: Judged,
}

/// What is known of earlier states of the log, which its event tree is to be held against.
pub(super) struct Watched<'a> {
    /// What this machine remembers.
    pub(super) recollection: &'a Recollection,
    /// The sizes at which the root is needed, for that and for tree heads.
    pub(super) sizes: BTreeSet<u64>,
}

impl CheckedLog {
    /// Of a vault that has no log.
    fn absent(registry: &KeyRegistry) -> Self {
        Self {
            verdict: Sequencer::new(registry).finish(registry),
            digest: Digest::of(b""),
            hashes: LogHashes::new(false),
            note: None,
            confirmed: Vec::new(),
            cached: None,
            unsealed: Judged::default(),
        }
    }
}

/// Checks the log, from where the cache of an earlier verification below `directory` ends if its bytes are
/// the same.
///
/// # Errors
/// [`VaultError::Cancelled`], [`VaultError::SignaturesDisagree`], or [`VaultError::Io`].
pub(super) fn check_snapshot_log(
    vault: &Vault,
    snapshot: &VaultSnapshot,
    registry: &KeyRegistry,
    threads: usize,
    directory: Option<&Path>,
    watched: &Watched<'_>,
) -> Result<CheckedLog, VaultError> {
    let Some(log) = &snapshot.log else {
        return Ok(CheckedLog::absent(registry));
    };
    let directory = directory.filter(|_| log.lines.len() >= vault.record_from());
    let keys = Digest::of(snapshot.text(KEYS).unwrap_or_default());
    let check = LogCheck {
        vault,
        log,
        registry,
        threads,
        watched,
        cached: directory.and_then(|it| cached_verification(it, vault, keys, log.lines.bytes())),
        is_kept: directory.is_some(),
    };
    check.run()
}

/// What the cache says of a log that may begin with `lines`.
fn cached_verification(
    directory: &Path,
    vault: &Vault,
    keys: Digest,
    lines: &[u8],
) -> Option<CachedVerification> {
    let cached = CachedVerification::load(directory, vault.path(), keys)?;
    let end = usize::try_from(cached.length()).ok()?;
    (end > 0 && lines.get(end - 1) == Some(&b'\n')).then_some(cached)
}

/// A log that is to be checked.
struct LogCheck<'a> {
    vault: &'a Vault,
    log: &'a TakenLog,
    registry: &'a KeyRegistry,
    threads: usize,
    watched: &'a Watched<'a>,
    /// An earlier verification of bytes that the log may begin with.
    cached: Option<CachedVerification>,
    /// Whether a later verification is to go on from this one.
    is_kept: bool,
}

/// What came of the rules.
struct Outcome {
    verdict: LogVerdict,
    /// What the verifier knew at the end of the whole lines, if it is to be kept and is new.
    state: Option<Vec<u8>>,
    /// Where the check began.
    from: usize,
    unsealed: io::Result<Judged>,
}

impl LogCheck<'_> {
    /// Hashes the log and checks it, beside each other where there are threads for both; what the cache speaks
    /// of is compared first.
    fn run(mut self) -> Result<CheckedLog, VaultError> {
        let restored = self.restore();
        if restored.is_none() {
            self.cached = None;
        }
        let hash = || self.hash();
        let (outcome, hashes) = thread::scope(|scope| {
            let hashing =
                (self.threads > 1).then(|| thread::Builder::new().spawn_scoped(scope, hash));
            match hashing {
                Some(Ok(hashes)) => (
                    self.check(restored),
                    hashes.join().expect("hashing does not panic"),
                ),
                // One thread is enough, or all that the system has to give.
                _ => {
                    let hashes = hash();
                    (self.check(restored), hashes)
                }
            }
        });
        match outcome {
            ControlFlow::Continue(outcome) => self.conclude(outcome, hashes),
            ControlFlow::Break(Stop::Told) => Err(VaultError::Cancelled),
            ControlFlow::Break(Stop::Undecided(it)) => {
                Err(self.log.lines.blame(VaultError::SignaturesDisagree(it)))
            }
        }
    }

    /// How many bytes the cache speaks of.
    fn cached_length(&self) -> usize {
        let cached = self.cached.as_ref();
        cached.map_or(0, |cached| cached.length() as usize)
    }

    /// The hashes of the log's whole lines.
    fn hash(&self) -> LogHashes {
        let known = self.cached.as_ref().map(|cached| cached.hashes.clone());
        let lines = &self.log.lines;
        let with_parts = self.is_kept || lines.is_mapped();
        known
            .unwrap_or_else(|| LogHashes::new(with_parts))
            .go_on(lines.bytes())
    }

    /// The sequencer as it was at the end of what the cache speaks of, if the log begins with those bytes.
    fn restore(&self) -> Option<Sequencer> {
        let cached = self.cached.as_ref()?;
        let sequencer = Sequencer::restore(&cached.state)?;
        // The tree has no way back to what is known of fewer events.
        let known =
            |size: &u64| *size >= sequencer.tree().size() || cached.root_at(*size).is_some();
        let fits = self.watched.sizes.iter().all(known);
        let begins = || cached.hashes.begin(self.log.lines.bytes(), self.threads);
        (fits && begins()).then_some(sequencer)
    }

    /// Holds the log against the rules.
    fn check(&self, restored: Option<Sequencer>) -> ControlFlow<Stop<Disagreement>, Outcome> {
        let Self { log, registry, .. } = self;
        let lines = log.lines.bytes();
        let from = self.cached_length();
        let mut sequencer = restored.unwrap_or_else(|| Sequencer::new(registry));
        for size in &self.watched.sizes {
            sequencer.watch(*size);
        }
        if self.vault.has_memory() {
            sequencer.keep_leaves(self.watched.recollection.leaves_from());
        }
        let total = lines.len() as u64;
        sequencer.expect_length(total);
        let mut told = |done| self.vault.tell_progress(done, total);
        told(from as u64).map_break(|()| Stop::Told)?;
        let keys = KeyDirectory::new(registry);
        check::feed(
            &mut sequencer,
            &lines[from..],
            from as u64,
            &keys,
            &Together::new(&keys),
            self.threads,
            &mut told,
        )?;
        let state = (self.is_kept && from < lines.len())
            .then(|| sequencer.save())
            .flatten();
        if !log.tail.is_empty() {
            sequencer.feed(check_lines(&log.tail, total, &keys));
        }
        let unsealed = self.check_unsealed(&sequencer).map_break(|()| Stop::Told)?;
        ControlFlow::Continue(Outcome {
            verdict: sequencer.finish(registry),
            state,
            from,
            unsealed,
        })
    }

    /// Checks what a writer at work has put beyond the seal, given what the log before it left.
    fn check_unsealed(&self, sequencer: &Sequencer) -> ControlFlow<(), io::Result<Judged>> {
        let Some(unsealed) = &self.log.unsealed else {
            return ControlFlow::Continue(Ok(Judged::default()));
        };
        let total = self.log.lines.len();
        let mut told = |_| self.vault.tell_progress(total, total);
        let judged = unsealed.judge(sequencer.clone(), self.registry, self.threads, &mut told);
        ControlFlow::Continue(match judged {
            Ok(judged) => Ok(judged?),
            Err(error) => Err(error),
        })
    }

    /// Puts together what came of the check, with what the cache already knew.
    fn conclude(self, outcome: Outcome, hashes: LogHashes) -> Result<CheckedLog, VaultError> {
        let Outcome {
            mut verdict,
            state,
            from,
            unsealed,
        } = outcome;
        let unsealed = unsealed.context("read", &self.vault.log_path())?;
        let digest = hashes.digest_with(&self.log.tail);
        let length = self.log.lines.len();
        let earlier = self.cached;
        if let Some(earlier) = &earlier {
            verdict.roots.extend(&earlier.roots);
        }
        let confirmed = earlier
            .as_ref()
            .map_or_else(Vec::new, |cached| cached.checkpoints.clone());
        let cached = match state {
            Some(state) => {
                let cached = CachedVerification::new(hashes.clone(), state);
                Some(cached.with_roots(&verdict.roots))
            }
            None => earlier.filter(|_| from as u64 == length),
        };
        Ok(CheckedLog {
            verdict,
            digest,
            hashes,
            note: (from > 0).then(|| cache_note(from, self.log.size(), confirmed.len())),
            confirmed,
            cached,
            unsealed,
        })
    }
}

/// What a verification says that did not check the first `from` bytes of a log anew, nor so many states.
fn cache_note(from: usize, size: u64, checkpoints: usize) -> String {
    let states = match checkpoints {
        0 => String::new(),
        count => format!(" and the states of the checkpoints ({count})"),
    };
    format!(
        "the log's first {from} of {size} bytes are those that verified earlier on this machine: the hashes \
         of their parts were compared, their signatures{states} were not checked (without the cache all is)"
    )
}
