//! What this machine remembers of a vault, held against what a writer finds, and what it has sealed, kept.

use provara_core::id::Digest;
use provara_core::keys::SigningKey;
use provara_core::tree_head::SignedHead;

use crate::error::VaultError;
use crate::index::LogIndex;
use crate::memory::{self, SealSeen};
use crate::seal::NewSeal;
use crate::tree_head;
use crate::vault::Vault;
use crate::writer::LogWriter;

/// Refuses a vault that memory contradicts; gives what is worth a note, and how much is remembered.
///
/// # Errors
/// [`VaultError::NotAsRemembered`].
pub(super) fn check(
    vault: &Vault,
    index: &LogIndex,
    seal: &NewSeal,
) -> Result<memory::Judged, VaultError> {
    match head_of(index, seal, &[]) {
        Some(found) => memory::check_writer(vault, &found),
        None => Ok(memory::Judged::default()),
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
    /// Refuses to sign a tree head over what is to come, before anything is written.
    ///
    /// # Errors
    /// As [`LogWriter::sign_head`].
    pub(super) fn check_published(&self) -> Result<(), VaultError> {
        tree_head::published(self.vault, self.remembered).map(drop)
    }

    /// Signs a tree head over what is sealed, which is all of the log.
    ///
    /// # Errors
    /// [`VaultError::TreeHead`] where none was published of this copy before, or more events than are remembered;
    /// [`VaultError::Memory`].
    pub(super) fn sign_head(&self, key: &SigningKey) -> Result<SignedHead, VaultError> {
        let (size, root) = (self.index.lines, self.index.tree.root());
        tree_head::sign_next(self.vault, self.remembered, (size, root), key)
    }

    /// Remembers what is sealed, durably and in its place; `leaves` are those of the events that it covers
    /// and the seal before did not.
    pub(super) fn recollect(&mut self, leaves: &[Digest]) {
        if !self.vault.has_memory() {
            return;
        }
        let leaves: Vec<_> = leaves.iter().map(memory::leaf).collect();
        let sealed = head_of(&self.index, &self.seal, &leaves);
        let note = sealed.and_then(|sealed| memory::remember_writer(self.vault, &sealed));
        if note.is_none() {
            self.remembered = Some(self.index.lines);
        }
        // Told once: the reason is the same the next time.
        self.notes
            .extend(note.filter(|_| !std::mem::replace(&mut self.forgetful, true)));
    }
}
