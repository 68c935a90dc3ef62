//! Signed snapshots of the belief state (spec/VAULT_FORMAT, section 6).

use std::path::PathBuf;

use provara_core::beliefs::BeliefState;
use provara_core::checkpoint::{Checkpoint, build};
use provara_core::id::{Digest, EventId, KeyId};
use provara_core::keys::{KeyRegistry, Keyfile};
use provara_core::layout;
use serde::Serialize;

use crate::clock;
use crate::error::VaultError;
use crate::files::{MAX_TEXT, read_text};
use crate::seal::make_directory;
use crate::vault::Vault;
use crate::writer::LogWriter;

/// A checkpoint that is in the vault and in its seal.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct CheckpointReceipt {
    /// The file.
    pub path: PathBuf,
    /// The events that it covers.
    pub event_count: u64,
    /// The last of them.
    pub last_event_id: Option<EventId>,
    /// The hash of the state.
    pub state_hash: Digest,
    /// The key that signed it.
    pub key_id: KeyId,
    /// The root of the seal that lists it.
    pub merkle_root: Digest,
    /// What was found and put right on the way.
    pub notes: Vec<String>,
}

impl Vault {
    /// Writes a checkpoint of the whole log, signed by `key_id` or else by the keyfile's first key
    /// that may, and renews the seal so that it lists it. The log is verified first. Where the same
    /// state was written before, that checkpoint is the answer.
    ///
    /// # Errors
    /// As [`Vault::append`]; [`VaultError::BrokenLog`] for a log that does not verify;
    /// [`VaultError::CheckpointExists`].
    pub fn checkpoint(
        &self,
        keyfile: &Keyfile,
        key_id: Option<KeyId>,
    ) -> Result<CheckpointReceipt, VaultError> {
        LogWriter::open_for(self, keyfile)?.checkpoint(keyfile, key_id)
    }
}

impl LogWriter<'_> {
    /// See [`Vault::checkpoint`].
    ///
    /// # Errors
    /// As [`Vault::checkpoint`].
    pub fn checkpoint(
        &mut self,
        keyfile: &Keyfile,
        key_id: Option<KeyId>,
    ) -> Result<CheckpointReceipt, VaultError> {
        self.refuse_if_stopped()?;
        let made = self.make_checkpoint(keyfile, key_id);
        made.map_err(|error| self.stop_if_lost(error))
    }

    fn make_checkpoint(
        &mut self,
        keyfile: &Keyfile,
        key_id: Option<KeyId>,
    ) -> Result<CheckpointReceipt, VaultError> {
        let key = self.signing_key(keyfile, key_id)?;
        let log = self.verified_log()?;
        let state = log.beliefs_within(MAX_TEXT)?;
        let relative = layout::checkpoint_path(state.event_count());
        let path = self.vault().path().join(&relative);
        let root = self.root_before();
        if let Some(text) = read_text(self.vault().path(), &relative)? {
            let same = same_checkpoint(&text, &state, self.registry());
            let key_id = same.ok_or(VaultError::CheckpointExists { path: path.clone() })?;
            // One that an interrupted writer left is in its place, and not under the seal yet.
            if self.lists(&relative, &text) && self.sealed_root() == root {
                return Ok(receipt(path, &log, &state, key_id, root, self.take_notes()));
            }
        }
        let text = build(&state, Some(root), key, clock::now()?);
        refuse_oversized(text.len() as u64)?;
        make_directory(self.vault(), layout::CHECKPOINTS)?;
        let merkle_root = self.add_file(&relative, &text, key)?;
        Ok(receipt(
            path,
            &log,
            &state,
            key.key_id(),
            merkle_root,
            self.take_notes(),
        ))
    }
}

/// Refuses a checkpoint that no reader would take.
fn refuse_oversized(size: u64) -> Result<(), VaultError> {
    match size > MAX_TEXT {
        true => Err(VaultError::CheckpointTooLarge { most: MAX_TEXT }),
        false => Ok(()),
    }
}

fn receipt(
    path: PathBuf,
    log: &[u8],
    state: &BeliefState,
    key_id: KeyId,
    merkle_root: Digest,
    notes: Vec<String>,
) -> CheckpointReceipt {
    let last = log
        .strip_suffix(b"\n")
        .unwrap_or(log)
        .rsplit(|byte| *byte == b'\n')
        .next();
    let last_event_id = last
        .and_then(|line| provara_core::json::parse(line).ok())
        .and_then(|event| event.get("event_id")?.as_str()?.parse().ok());
    CheckpointReceipt {
        path,
        event_count: state.event_count(),
        last_event_id,
        state_hash: state.state_hash,
        key_id,
        merkle_root,
        notes,
    }
}

/// The signer of a checkpoint that says the same as `state`, under a key of the vault.
fn same_checkpoint(text: &[u8], state: &BeliefState, registry: &KeyRegistry) -> Option<KeyId> {
    let checkpoint = Checkpoint::parse(text).ok()?;
    let key = registry.get(&checkpoint.key_id)?;
    checkpoint.verify(&key.public_key).ok()?;
    checkpoint.agrees_with(state).then_some(checkpoint.key_id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_reader_takes_is_not_written() {
        assert!(refuse_oversized(MAX_TEXT).is_ok());
        let error = refuse_oversized(MAX_TEXT + 1).unwrap_err();
        assert!(matches!(error, VaultError::CheckpointTooLarge { .. }));
    }
}
