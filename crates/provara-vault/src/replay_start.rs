//! Where a replay may begin, so that it comes to the same and need not read the whole log again.
//!
//! A checkpoint is never believed: not for its signature, and not for the seal that lists it. This
//! machine replayed the log from the start, found the state to be that of the log's first bytes to the
//! byte, and keeps that with the verification ([`crate::verification_cache`]). A replay goes on from
//! the checkpoint if a later verification found those bytes, and the checkpoint's file, unchanged.

use std::path::{Path, PathBuf};

use provara_core::beliefs::{BeliefReducer, LogReducer, ResumedReducer};
use provara_core::checkpoint::Checkpoint;
use provara_core::id::Digest;

use crate::files::read_text;

/// A checkpoint whose state is, byte for byte, that of the log's first `length` bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Confirmed {
    /// The file's path in the vault.
    pub(crate) path: String,
    /// The SHA-256 of the file.
    pub(crate) sha256: Digest,
    /// How many events the state includes.
    pub(crate) events: u64,
    /// How many bytes of the log they are: whole lines.
    pub(crate) length: u64,
}

/// What a verification knows of the beliefs.
#[derive(Debug)]
pub(crate) enum ReplayStart {
    /// The reducer after the whole log, which it had to replay.
    Reduced(LogReducer),
    /// A checkpoint of the vault at this path.
    From(PathBuf, Confirmed),
}

impl Confirmed {
    /// A reducer that goes on from the checkpoint, if its file in `vault` is still the one that was
    /// confirmed.
    pub(crate) fn resume(&self, vault: &Path) -> Option<ResumedReducer> {
        let text = read_text(vault, &self.path).ok()??;
        if Digest::of(&text) != self.sha256 {
            return None;
        }
        BeliefReducer::resume(Checkpoint::parse(&text).ok()?.state()).ok()
    }
}
