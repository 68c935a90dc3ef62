//! What this machine remembers of a vault, held against what a writer finds, and what it has sealed, kept.

use provara_core::id::Digest;

use crate::error::VaultError;
use crate::index::LogIndex;
use crate::memory::{self, SealSeen};
use crate::seal::NewSeal;
use crate::vault::Vault;
use crate::writer::LogWriter;

/// Refuses a vault that memory contradicts; gives what is worth a note.
///
/// # Errors
/// [`VaultError::NotAsRemembered`].
pub(super) fn check(
    vault: &Vault,
    index: &LogIndex,
    seal: &NewSeal,
) -> Result<Vec<String>, VaultError> {
    match head_of(index, seal, &[]) {
        Some(found) => memory::check_writer(vault, &found),
        None => Ok(Vec::new()),
    }
}

fn head_of<'a>(
    index: &LogIndex,
    seal: &NewSeal,
    leaves: &'a [memory::Leaf],
) -> Option<memory::Reached<'a>> {
    Some(memory::Reached {
        identity: index.first_event?,
        size: index.lines,
        length: index.len,
        tree_root: index.tree.root(),
        last_event: index.last_event?,
        seal: seal.signed_at.map(|signed_at| SealSeen {
            root: seal.root,
            signed_at,
        }),
        leaves,
    })
}

impl LogWriter<'_> {
    /// Remembers what is sealed, durably and in its place; `leaves` are those of the events that it covers
    /// and the seal before did not.
    pub(super) fn recollect(&mut self, leaves: &[Digest]) {
        if !self.vault.has_memory() {
            return;
        }
        let leaves: Vec<_> = leaves.iter().map(memory::leaf).collect();
        let sealed = head_of(&self.index, &self.seal, &leaves);
        let note = sealed.and_then(|sealed| memory::remember_writer(self.vault, &sealed));
        // Told once: the reason is the same the next time.
        self.notes
            .extend(note.filter(|_| !std::mem::replace(&mut self.forgetful, true)));
    }
}
