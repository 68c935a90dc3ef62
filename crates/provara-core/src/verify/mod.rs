//! Verification: what is proven, what is not, and where.
//!
//! Two stages read the log. [`check_lines`] looks at lines by themselves and may run on any number
//! of threads; [`Sequencer`] takes its results in the order of the log and holds chains, keys over
//! time and redactions against each other. [`files`] judges the other files of the vault. None of
//! them touches a disk.

pub mod files;
mod heads;
mod judge;
mod line;
mod line_hashes;
mod predecessor;
pub mod seal;
mod sequence;
mod timeline;

use std::collections::HashMap;

use crate::finding::{Code, Finding, Report};
use crate::id::KeyId;
use crate::keys::{KeyRegistry, PublicKey};

pub use heads::{KeptHead, judge_root_key};
pub use judge::{Judge, OneByOne, SignedLine};
pub use line::{CLOSING_TYPE, CheckedLine, REDACTION_TYPE, check_lines, check_lines_with};
pub use predecessor::{Closed, Predecessor};
pub use sequence::{FilesStatement, Genesis, KeptLeaves, LogCounts, LogVerdict, Sequencer};

/// The public keys of `keys.json` by id, for the parallel stage.
#[derive(Debug, Clone, Default)]
pub struct KeyDirectory {
    keys: Vec<PublicKey>,
    indexes: HashMap<KeyId, usize>,
}

impl KeyDirectory {
    /// The keys of a registry.
    #[must_use]
    pub fn new(registry: &KeyRegistry) -> Self {
        let entries = registry.keys.iter();
        Self {
            keys: entries
                .clone()
                .map(|entry| entry.public_key.clone())
                .collect(),
            indexes: entries.map(|entry| entry.key_id).zip(0..).collect(),
        }
    }

    /// All of them.
    #[must_use]
    pub fn keys(&self) -> &[PublicKey] {
        &self.keys
    }

    /// The index of the key with this id.
    #[must_use]
    pub fn index(&self, id: &KeyId) -> Option<usize> {
        self.indexes.get(id).copied()
    }
}

/// Verifies a log that is held in memory as one piece, on one thread.
#[must_use]
pub fn verify_log(log: &[u8], registry: &KeyRegistry) -> LogVerdict {
    let keys = KeyDirectory::new(registry);
    let mut sequencer = Sequencer::new(registry);
    sequencer.feed(check_lines(log, 0, &keys));
    sequencer.finish(registry)
}

/// Joins what was found in the log and in the other files into one report; `strict` makes every
/// warning an error, but those with one of the `allowed` codes, and lists the redactions.
#[must_use]
pub fn report(
    log: LogVerdict,
    files: Vec<Finding>,
    notes: Vec<String>,
    strict: bool,
    allowed: &[Code],
) -> Report {
    let mut findings = log.findings;
    findings.extend(files);
    let mut all_notes = log.notes;
    if strict {
        all_notes.extend(log.redactions);
    }
    all_notes.extend(notes);
    Report::judge(strict, allowed, log.event_count, findings, all_notes)
}
