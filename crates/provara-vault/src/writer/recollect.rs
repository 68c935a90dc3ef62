//! What this machine remembers of a vault, held against what a writer finds, and what it has sealed, kept.

use provara_core::id::Digest;
use provara_core::keys::SigningKey;
use provara_core::tree_head::SignedHead;

use crate::error::VaultError;
use crate::index::LogIndex;
use crate::memory::{self, SealSeen};
use crate::seal::NewSeal;
use crate::tree_head::Publisher;
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

impl<'v> LogWriter<'v> {
    /// Where a tree head over what is to come may be published; asked before anything is written.
    ///
    /// # Errors
    /// [`VaultError::TreeHead`] where none was published of this copy before; [`VaultError::Memory`].
    pub(super) fn publisher(&self) -> Result<Publisher<'v>, VaultError> {
        Publisher::of(self.vault, self.remembered)
    }

    /// Signs a tree head over what is sealed, which is all of the log.
    ///
    /// # Errors
    /// As [`LogWriter::publisher`].
    pub(super) fn sign_head(
        &self,
        publisher: &Publisher<'_>,
        key: &SigningKey,
    ) -> Result<SignedHead, VaultError> {
        let tree = (self.index.lines, self.index.tree.root());
        publisher.sign(self.remembered, tree, key)
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
